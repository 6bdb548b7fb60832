"""The inputs that executions are given: of an attempt, of a step that may have run, and of a compensation.

Each is the one that the step was bound to, or was started with: it is read, or computed again and compared.
"""

from __future__ import annotations

from typing import Final

import msgspec

from saga_fn.codec import AnyType
from saga_fn.core.effects import RunCompensation, RunProbe, RunStep
from saga_fn.core.events import Bound
from saga_fn.core.ids import Digest, StepId
from saga_fn.core.inputs import digest_in_doubt, is_settled
from saga_fn.engine.drive.earlier import digest_of
from saga_fn.engine.drive.inputs import bind
from saga_fn.engine.drive.owned_saga import BoundInput, OwnedSaga
from saga_fn.errors import PayloadError

_GIVEN: Final = object()
"""In place of the value of an input that an attempt has in its hands: it may change it in place."""


def input_for_step(saga: OwnedSaga, action: RunStep, kind: AnyType) -> BoundInput:
    """The input the step was bound to: a further attempt is given it as it was, whatever the one before has made of it.

    `kind`: the type of the step's inputs.
    """
    found = saga.inputs[action.step]
    if not kind.unchangeable:
        if found.value is _GIVEN:
            return msgspec.structs.replace(found, value=kind.decode_own(found.data))
        saga.inputs[action.step] = msgspec.structs.replace(found, value=_GIVEN)
    return found


def input_in_doubt(saga: OwnedSaga, step: StepId) -> BoundInput:
    """The input of a step that may have run: the one it was started with, computed again where it is not at hand.

    Raises PayloadError if it cannot be, or has become another.
    """
    digest, in_list = digest_in_doubt(saga.plan, saga.state, step)
    found = saga.inputs.get(step)
    if found is None or digest_of(found.data) != digest:
        kept = _kept(saga, step, digest, in_list=in_list)
        if kept is not None:
            return BoundInput(saga.binding(step).input_type.decode(kept), kept, None)
        binding, step_error = bind(saga, saga.state, step)
        if not isinstance(binding, Bound):
            raise PayloadError(f"the input of step {step!r} cannot be computed again: {step_error or binding}")
        if binding.digest != digest:
            raise PayloadError(
                f"the input of step {step!r} is not the one it was started with",
                hint="an input_map must be pure: make it give the same for the same outputs, then retry_step",
            )
        found = saga.inputs[step]
    return found.unchanged(saga.binding(step).input_type)


def _kept(saga: OwnedSaga, step: StepId, digest: Digest, *, in_list: bool) -> bytes | None:
    """The very input that the step was given, if the journal has been read and has it."""
    if saga.earlier is None:
        return None
    kept = saga.earlier.of_digest(step, digest)
    return saga.earlier.last.get(step) if kept is None and in_list else kept


def needs_journal(saga: OwnedSaga, action: RunProbe | RunCompensation) -> bool:
    """Whether only the journal tells what the step that may have run was given, or which of its events has come."""
    if isinstance(action, RunCompensation) and action.event_seq:
        expected = saga.binding(action.step).compensation_waits_for
        if expected is not None and len(expected.names) > 1:
            return saga.earlier is None or action.event_seq not in saga.earlier.names
    doubtful = isinstance(action, RunProbe) or not action.seq or is_settled(saga.state, action.step)
    return doubtful and saga.earlier is None and action.step not in saga.inputs


def given_for_compensation(saga: OwnedSaga, action: RunCompensation) -> tuple[object, object]:
    """The recorded input and output of a step; raises PayloadError if the definition cannot read them.

    None for the output of one that only may have run.
    """
    if not action.seq:
        return input_in_doubt(saga, action.step).value, None
    binding = saga.binding(action.step)
    recorded = saga.results.get(action.step)
    if recorded is not None and is_settled(saga.state, action.step):
        return input_in_doubt(saga, action.step).value, binding.output_type.decode(recorded.payload or b"null")
    if recorded is None or recorded.input is None or recorded.payload is None:
        raise PayloadError(f"the journal holds no input and output of step {action.step!r}")
    if recorded.own:
        return binding.input_type.decode_own(recorded.input), binding.output_type.decode_own(recorded.payload)
    return binding.input_type.decode(recorded.input), binding.output_type.decode(recorded.payload)
