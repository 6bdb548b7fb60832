"""What waits need of the engine: what they are about, the moment they last until, and what is said when one is over."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from saga_fn.core.events import Binding, Bound, Until
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.plan import Plan, StepKind
from saga_fn.definition import SagaDefinition, StepBinding
from saga_fn.definition.mapping import Known
from saga_fn.duration import in_words
from saga_fn.engine.arguments import size_of
from saga_fn.engine.drive.step_error import Fault
from saga_fn.errors import PayloadError, shown
from saga_fn.store.records import moment_of

LONGEST_CORRELATION = 255
_LATEST = moment_of(datetime.max.replace(tzinfo=UTC))
WAIT_TIMEOUT = "WaitTimeoutError"
"""The type of the failure of a wait whose time ran out."""


def bind_wait(binding: StepBinding, known: Known) -> Binding:
    """Compute what a wait is about, or the moment that a sleep lasts until. Raises PayloadError, or what user code does."""
    value = binding.map_input(known)
    if binding.kind is StepKind.EVENT:
        return Bound(binding.step_id, about(value))
    if not isinstance(value, datetime):
        raise PayloadError(
            f"the moment that {shown(binding.step_id)} lasts until is a {type(value).__name__}",
            hint="give a datetime that knows its time zone, such as datetime.now(UTC) + timedelta(hours=1)",
        )
    what = f"the moment that {shown(binding.step_id)} lasts until"
    moment = moment_of(aware(what, value))
    if moment > _LATEST:
        raise PayloadError(f"{what} is after the year 9999 in UTC", hint="no clock of the store's goes that far")
    return Until(binding.step_id, max(moment, Moment(0)))  # whenever it was: it is over


def about(correlation: object) -> Digest:
    """The fingerprint of a correlation id; raises PayloadError for what is none."""
    if not isinstance(correlation, str) or not 0 < len(correlation) <= LONGEST_CORRELATION:
        raise PayloadError(
            f"a correlation id must be a string of 1 to {LONGEST_CORRELATION} characters, not {size_of(correlation)}",
            hint="hash longer ones first",
        )
    return Digest(hashlib.blake2b(correlation.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def aware(what: str, moment: datetime) -> datetime:
    """The moment; raises PayloadError if it does not say in which time zone it is meant."""
    if moment.utcoffset() is None:
        raise PayloadError(
            f"{what} is a naive datetime, which could be anywhere in the world",
            hint="make it aware: datetime.now(UTC), or moment.replace(tzinfo=...)",
        )
    return moment


def unreadable(
    definition: SagaDefinition[Any, Any],
    name: str,
    payload: bytes,  # Any: sagas of all types
    *,
    just_sent: bool = False,
) -> PayloadError | None:
    """Why no wait of the saga could read an event of that name; None if one can, or if none waits for it.

    `just_sent`: whoever wrote it is here to be told of a field that there is not; of what is stored another build may know.
    """
    flaw: PayloadError | None = None
    for planned in definition.plan.steps:
        binding = definition.steps[planned.step]
        readers = [binding.output_type] if name in planned.waits_for else []
        if binding.compensation_waits_for is not None and name in binding.compensation_waits_for.names:
            readers.append(binding.compensation_waits_for.payload_of(name))
        for reader in readers:
            try:
                _ = reader.read(payload) if just_sent else reader.decode(payload)
            except PayloadError as error:
                flaw = error
            else:
                return None
    return flaw


def timeout_fault(plan: Plan, step: StepId) -> Fault:
    """What is told of a wait whose time ran out; with an empty name, of the saga's own deadline."""
    if not step:
        return Fault("SagaDeadlineError", f"the saga's deadline of {in_words(plan.data.deadline or 0)} was over")
    planned = plan.step(step)
    if planned.kind is StepKind.STEP:
        names = " or ".join(map(shown, planned.undo_waits_for))
        return Fault(WAIT_TIMEOUT, f"no event {names} came in time for the compensation", step)
    names = " or ".join(map(shown, planned.waits_for))
    return Fault(WAIT_TIMEOUT, f"no event {names} came within {in_words(planned.limit or 0)}", step)
