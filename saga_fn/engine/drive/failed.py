"""The failures of executions, as events: what an exception, an answer or a cancellation says of the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from saga_fn.core.effects import RunCompensation, RunProbe, RunStep
from saga_fn.core.events import CompensationFailed, FailureKind, ProbeFailed, StepFailed
from saga_fn.core.inputs import input_is_recorded
from saga_fn.definition import ErrorPolicy
from saga_fn.engine.drive.call import Raised
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.drive.step_error import StepError
from saga_fn.engine.drive.surroundings import Surroundings

_NOTHING_NAMED: Final = ErrorPolicy()
_FAILED: Final[
    Mapping[type[RunStep | RunCompensation | RunProbe], type[StepFailed | CompensationFailed | ProbeFailed]]
] = {
    RunStep: StepFailed,
    RunCompensation: CompensationFailed,
    RunProbe: ProbeFailed,
}


def cut_by_others(
    action: RunStep | RunCompensation | RunProbe, surroundings: Surroundings, *, transactional: bool = False
) -> Incoming:
    """The meaning of a cancellation by other code of the process, in the middle of an execution: it may have run.

    In a transaction it has not.
    """
    kind = FailureKind.INTERRUPTED if transactional else FailureKind.UNKNOWN
    kind = FailureKind.ERROR if isinstance(action, RunProbe) else kind
    step_error = StepError("CancelledError", "its task was cancelled by code outside of this library", action.step)
    return failed(surroundings, action, kind, step_error)


def failed_within(
    saga: OwnedSaga,
    action: RunStep | RunCompensation,
    surroundings: Surroundings,
    kind: FailureKind,
    error: BaseException,
) -> Incoming:
    """The failure of an execution that has returned, and whose transaction could not be committed.

    An error is judged as one that the step raises.
    """
    found = Raised(error, kind)
    if isinstance(action, RunStep):
        return with_input(
            saga, action, step_raised(surroundings, action, found, saga.binding(action.step).error_policy)
        )
    return failed(surroundings, action, kind, StepError.of(error, step=action.step), found)


def output_lost(surroundings: Surroundings, action: RunStep | RunProbe, error: BaseException) -> Incoming:
    """The step has run, and what came of it, its output or a message, cannot be kept."""
    return failed(surroundings, action, FailureKind.OUTPUT_LOST, StepError.of(error, step=action.step))


def step_raised(surroundings: Surroundings, action: RunStep, raised: Raised, policy: ErrorPolicy) -> Incoming:
    """The step's options say what an exception means; that it was cut short says what it is by itself."""
    kind = raised.kind
    if kind is FailureKind.UNKNOWN and surroundings.connection is not None:  # cut short here, and rolled back
        kind = FailureKind.INTERRUPTED
    after = None
    if kind is FailureKind.ERROR and raised.is_judged:
        kind = policy.judge(raised.error)
        if kind is FailureKind.BUSINESS_ERROR:
            return step_refused(surroundings, action, policy.answer_of(raised.error), policy, raised.error)
        after = policy.delay_of(raised.error)
    step_error = StepError.of(raised.error, step=action.step)
    event = StepFailed(surroundings.now(), action.step, action.attempt, kind, surroundings.jitter_draw(), after)
    return Incoming(event, payload=step_error.encode(), raised=raised.error)


def step_refused(
    surroundings: Surroundings, action: RunStep, error: object, policy: ErrorPolicy, raised: BaseException | None = None
) -> Incoming:
    """The step has answered with an error of its business; it may have raised that."""
    step_error = StepError.answer(error, policy.encode(error), step=action.step, raised=raised)
    event = StepFailed(
        surroundings.now(), action.step, action.attempt, FailureKind.BUSINESS_ERROR, surroundings.jitter_draw()
    )
    return Incoming(event, payload=step_error.encode(), raised=raised)


def failed(
    surroundings: Surroundings,
    action: RunStep | RunCompensation | RunProbe,
    kind: FailureKind,
    step_error: StepError,
    raised: Raised | None = None,
) -> Incoming:
    """A failure that is judged by nothing that the step names; it says when to try again, all the same, if it does."""
    after = _NOTHING_NAMED.delay_of(raised.error) if raised is not None and raised.kind is FailureKind.ERROR else None
    event = _FAILED[type(action)](
        surroundings.now(), action.step, action.attempt, kind, surroundings.jitter_draw(), after
    )
    return Incoming(event, payload=step_error.encode(), raised=None if raised is None else raised.error)


def with_input(saga: OwnedSaga, action: RunStep, told: Incoming) -> Incoming:
    """A first failure with the step's input, so that the next owner can tell whether it is still the same."""
    if input_is_recorded(saga.state, action.step):
        return told
    given = saga.inputs[action.step]  # its bytes: the attempt may have changed the value
    data = given.data if given.same_as is None else None
    return msgspec.structs.replace(told, input=data, input_of=given.same_as)
