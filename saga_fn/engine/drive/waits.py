"""The engine's part in waits: what they are about, the moment they last until, and what is said when one is over."""

from __future__ import annotations

from datetime import UTC, datetime

from saga_fn.arguments import aware
from saga_fn.core.events import Binding, Bound, Until
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import Plan, StepKind
from saga_fn.definition import CompiledStep
from saga_fn.definition.correlation import fingerprint
from saga_fn.definition.values.mapping import KnownValues
from saga_fn.engine.drive.step_error import StepError
from saga_fn.errors import PayloadError, shown
from saga_fn.printable import a_type_of, in_words
from saga_fn.store.records import moment_of

_LATEST = moment_of(datetime.max.replace(tzinfo=UTC))
WAIT_TIMEOUT = "WaitTimeoutError"
"""The type of the failure of a wait whose time ran out."""


def bind_wait(binding: CompiledStep, known: KnownValues) -> Binding:
    """Compute what a wait is about, or the moment that a sleep lasts until. Raises PayloadError, or what user code does."""
    value = binding.map_input(known)
    if binding.kind is StepKind.EVENT:
        return Bound(binding.step_id, fingerprint(value))
    if not isinstance(value, datetime):
        raise PayloadError(
            f"the moment that {shown(binding.step_id)} lasts until is {a_type_of(value)}",
            hint="give a datetime that knows its time zone, such as datetime.now(UTC) + timedelta(hours=1)",
        )
    what = f"the moment that {shown(binding.step_id)} lasts until"
    moment = moment_of(aware(what, value))
    if moment > _LATEST:
        raise PayloadError(f"{what} is after the year 9999 in UTC", hint="no clock of the store's goes that far")
    return Until(binding.step_id, max(moment, Moment(0)))  # whenever it was: it is over


def timeout_error(plan: Plan, step: StepId) -> StepError:
    """The error of a wait whose time ran out; with an empty name, of the saga's own deadline."""
    if not step:
        return StepError("SagaDeadlineError", f"the saga's deadline of {in_words(plan.data.deadline or 0)} was over")
    planned = plan.step(step)
    if planned.kind is StepKind.STEP:
        names = " or ".join(map(shown, planned.undo_waits_for))
        return StepError(WAIT_TIMEOUT, f"no event {names} came in time for the compensation", step)
    names = " or ".join(map(shown, planned.waits_for))
    return StepError(WAIT_TIMEOUT, f"no event {names} came within {in_words(planned.timeout or 0)}", step)
