"""Which verbs of an operator are legal, and what they do: skip, retry, cancel, abort, reschedule."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace
from typing_extensions import TypeIs

from saga_fn.core.effects import Refusal, Rejection
from saga_fn.core.events import AbortRequested, Rescheduled, RetryRequested, StepSkipped
from saga_fn.core.facts import next_steps, owes_undo, startable, to_ask, to_probe
from saga_fn.core.flaws import LAST_MOMENT
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.plan import OnUnknown, StepKind
from saga_fn.core.rules import pauses
from saga_fn.core.rules.attempts import cut_short, fresh, soonest
from saga_fn.core.rules.fold import Fold
from saga_fn.core.rules.pivot import is_past, waiting_pivot
from saga_fn.core.rules.plan_change import out_of_order
from saga_fn.core.state import (
    Attempts,
    Doubt,
    FailedForGood,
    FannedOut,
    Goal,
    Joined,
    NotTaken,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    Rewound,
    Running,
    SagaState,
    Settled,
    Skipped,
    Sleeping,
    StepState,
    Succeeded,
    UndoFailed,
    Undoing,
    Undone,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unfinished,
    Unknown,
    Waiting,
)


def step_skipped(fold: Fold, event: StepSkipped) -> Rejection | None:
    """A step that waits, or could start, is done with the output that the operator gave.

    That does not say whether an earlier attempt has run: a doubt about it stays.
    """
    if event.step not in fold.plan:
        return Rejection(Refusal.UNKNOWN_STEP, event.step)
    found = fold.steps.get(event.step)
    doubt = Doubt.NONE
    if fold.goal is Goal.FORWARD and isinstance(found, Retrying | Parked | Unknown):
        doubt = found.attempts.doubt
    elif fold.goal is not Goal.FORWARD or not isinstance(found, Waiting | Sleeping):
        if event.step not in startable(fold.plan, fold.before):
            return Rejection(Refusal.NOT_WAITING, event.step)
        if not event.not_begun:
            return Rejection(Refusal.NOT_BEGUN, event.step)
    fold.put(Skipped(event.step, fold.rev, doubt))
    return None


def stopped(state: SagaState, steps: tuple[StepId, ...]) -> SagaState:
    """The state of a saga that was aborted, where it is known that these steps' executions, cut short then, have ended."""
    return replace(state, steps=tuple(_not_held(step) if step.step in steps else step for step in state.steps))


def _not_held(step: StepState) -> StepState:
    if not isinstance(step, Unknown | FailedForGood | UndoFailed):  # what an abort leaves
        return step
    return replace(step, attempts=replace(step.attempts, may_run_until=Moment(0)))


def retry_requested(fold: Fold, event: RetryRequested) -> Rejection | None:
    """A step that waits is tried again now; a saga that has FAILED goes on where it failed, if nothing of it was undone."""
    named = event.step or None
    if named is not None and named not in fold.plan:
        return Rejection(Refusal.UNKNOWN_STEP, named)
    if fold.before.ended:
        if any(isinstance(step, UndoFailed | UndoParked | Undone) for step in fold.before.steps):
            return Rejection(Refusal.COMPENSATION_BEGUN)
        if (
            disorder := out_of_order(fold, fold.before.steps)
        ) is not None:  # its plan changed while it was rolling back
            return disorder
        if named is not None and not _is_unfinished(fold, named):
            return Rejection(Refusal.NOTHING_TO_RETRY, named)
    if event.digest and (hindrance := _hinders_input(fold, event.step, event.digest)) is not None:
        return Rejection(hindrance, named)
    if fold.before.ended:
        fold.goal = Goal.FORWARD
        if fold.deadline is not None and fold.deadline <= fold.at:
            fold.deadline = None  # a person goes on with it, knowing that it is late
    again = tuple(
        _again(fold, step) if fold.before.ended or _is_meant(fold, step.step, named) else step
        for step in fold.before.steps
    )
    if not (fold.before.ended or event.digest) and again == fold.before.steps:
        return Rejection(Refusal.NOTHING_TO_RETRY, named)
    for step in again:
        fold.put(_with_input(fold, step, event.digest) if event.digest and step.step == named else step)
    return None


def _is_asked_again(fold: Fold, found: Retrying, digest: Digest) -> bool:
    """Whether a person has given the step just this input, and nothing has become of it since: another click gives no new key."""
    attempts = found.attempts
    return bool(attempts.given) and attempts.digest == digest and not attempts.failures and found.wake <= fold.at


def _hinders_input(fold: Fold, step: StepId, digest: Digest) -> Refusal | None:
    """Why the step cannot be given an input by hand; None if it can: it has begun, waits, and has surely not run."""
    planned = fold.plan
    if not step or planned.step(step).kind is not StepKind.STEP or step in planned.concurrencies:
        return Refusal.NO_INPUT
    found = fold.steps.get(step)
    if isinstance(found, Unfinished) and found.attempts.doubt:
        return Refusal.IN_DOUBT
    if isinstance(found, Retrying) and _is_asked_again(fold, found, digest):
        return Refusal.NOTHING_TO_RETRY
    waits = isinstance(found, FailedForGood) if fold.before.ended else isinstance(found, Retrying | Parked)
    return None if waits and fold.goal in (Goal.FORWARD, Goal.FAILED) else Refusal.NOTHING_TO_RETRY


def _with_input(fold: Fold, step: StepState, digest: Digest) -> StepState:
    """The step with the input that a person gives it: another input has another idempotency key."""
    assert isinstance(step, Retrying), "it waits, and has surely not run"
    attempts = replace(step.attempts, digest=digest, generation=step.attempts.generation + 1, given=fold.rev)
    return replace(step, attempts=attempts)


def _is_meant(fold: Fold, step: StepId, named: StepId | None) -> bool:
    """Whether the operator means this step: it is the one named or an item of it, or none is named."""
    return named is None or named in (step, fold.plan.owner(step))


def _is_unfinished(fold: Fold, named: StepId) -> bool:
    """Whether a saga that goes on from its end has that step before it: it has not been done, or could start next."""
    begun = any(isinstance(step, Unfinished) and _is_meant(fold, step.step, named) for step in fold.before.steps)
    return begun or any(_is_meant(fold, step, named) for step in next_steps(fold.plan, fold.steps))


def _again(fold: Fold, step: StepState) -> StepState:
    """The step as an operator's wish to try again leaves it: due at once, with a fresh count."""
    if fold.goal is Goal.ROLLBACK and to_ask(step, fold.plan):
        return step  # nothing is tried again on the way back
    if isinstance(step, Unfinished) and _is_settled_otherwise(fold, step):
        return Unknown(step.step, fresh(step.attempts))  # not repeated blindly, whether or not an operator wishes it
    match step:  # the frequent ones first: each that is asked before costs
        case Succeeded() | Skipped() | Settled() | NotTaken() | FannedOut() | Joined() | Undone():
            return step
        case Parked(attempts=attempts, why=ParkReason.INPUT_CHANGED) if fold.plan.owner(step.step) == step.step:
            # The other input is accepted now; a new generation keeps the old idempotency key out of it.
            attempts = replace(attempts, digest=Digest(b""), generation=attempts.generation + 1, given=0)
            return Retrying(step.step, fresh(attempts), soonest(fold, attempts), fold.at)
        case Parked(attempts=attempts) | Retrying(attempts=attempts):
            return Retrying(step.step, fresh(attempts), soonest(fold, attempts), fold.at)
        case FailedForGood(attempts=attempts) if fold.before.ended:
            return Retrying(step.step, fresh(attempts), soonest(fold, attempts), fold.at)
        case Unknown(attempts=attempts) if fold.before.ended:
            return Unknown(step.step, fresh(attempts))
        case UndoRetrying() | UndoParked():
            return _undo_again(fold, step)
        case Running() | Unknown() | FailedForGood() | Probing() | Undoing() | UndoFailed():
            return step
        case Waiting() | Sleeping() | UndoWaiting() | Rewound():
            return step
        case _:
            assert_never(step)


def _undo_again(fold: Fold, step: UndoRetrying | UndoParked | UndoFailed) -> UndoRetrying:
    return UndoRetrying(step.step, step.seq, fresh(step.attempts), soonest(fold, step.attempts), fold.at)


def _is_settled_otherwise(fold: Fold, step: Unfinished) -> bool:
    """Whether the step waits, may have run, and is not to be repeated before that is settled."""
    if not step.attempts.doubt or fold.plan.step(step.step).on_unknown not in (OnUnknown.PROBE, OnUnknown.UNDO):
        return False
    return fold.before.ended or isinstance(step, Parked | Unknown)


def compensation_requested(fold: Fold) -> Rejection | None:
    """The verb `cancel`: the saga rolls back, or takes up again a rollback that waits, has failed, or was never begun."""
    if is_past(fold):
        return Rejection(Refusal.PAST_PIVOT, fold.plan.pivot)
    asked = [step for step in fold.before.steps if to_ask(step, fold.plan)]
    for left in (*asked, waiting_pivot(fold)):
        if left is not None:  # whatever it has done, a person decides to turn back
            fold.put(FailedForGood(left.step, left.attempts))
    if fold.goal is Goal.FORWARD:
        fold.goal = Goal.ROLLBACK
        return None
    waiting = [step for step in fold.before.steps if isinstance(step, UndoFailed | UndoRetrying | UndoParked)]
    for step in waiting:
        fold.put(_undo_again(fold, step))
    begins = fold.goal is not Goal.ROLLBACK and any(
        to_probe(step, fold.plan) or owes_undo(fold.plan, step) for step in fold.before.steps
    )
    if not (waiting or begins or (asked and fold.goal is Goal.ROLLBACK)):
        return Rejection(Refusal.NOTHING_TO_COMPENSATE)
    fold.goal = Goal.ROLLBACK
    return None


def rescheduled(fold: Fold, event: Rescheduled) -> Rejection | None:
    """A delayed start begins at that moment, and its deadline counts from then; or what sleeps goes on at that moment.

    The deadline of a saga that has begun stays, and so does the time that a wait for an event has.
    """
    named = event.step or None
    if named is not None and named not in fold.plan:
        return Rejection(Refusal.UNKNOWN_STEP, named)
    to = Moment(max(event.to, fold.at))
    if fold.begins_at > fold.at:  # nothing of it has begun: there is no step that sleeps
        if named is not None:
            return Rejection(Refusal.NOTHING_SLEEPS, named)
        deadline = None if fold.deadline is None else Moment(fold.deadline + to - fold.begins_at)
        if max(to, deadline or to) > LAST_MOMENT:
            return Rejection(Refusal.TOO_LATE)
        fold.deadline = deadline
        fold.begins_at = to
        pauses.begin_named(fold)
        return None
    sleeping = [step for step in fold.before.steps if _sleeps(step, fold.at) and _is_meant(fold, step.step, named)]
    if not sleeping:
        return Rejection(Refusal.NOTHING_SLEEPS, named)
    if to > LAST_MOMENT:
        return Rejection(Refusal.TOO_LATE, named)
    for step in sleeping:
        fold.put(_until(step, to))
    return None


def _sleeps(step: StepState, at: Moment) -> TypeIs[Retrying | UndoRetrying | Unknown | Sleeping]:
    """Whether the step waits for a moment, which may have come, and for nothing else."""
    return isinstance(step, Retrying | UndoRetrying | Sleeping) or (isinstance(step, Unknown) and step.wake > at)


def _until(step: Retrying | UndoRetrying | Unknown | Sleeping, to: Moment) -> StepState:
    """The step once it waits until that moment; not for less than what was taken from its worker may run on."""
    wake = to if isinstance(step, Sleeping) else Moment(max(to, step.attempts.may_run_until))
    return replace(step, wake=wake, set_at=wake)


def abort_requested(fold: Fold, event: AbortRequested) -> None:
    """The saga ends FAILED as it is; what runs may run on for a while."""
    for step in fold.before.steps:
        match step:  # the frequent ones first: each that is asked before costs
            case Succeeded() | Skipped() | Settled() | NotTaken() | FannedOut() | Joined() | Rewound():
                pass
            case Running(transactional=True):
                fold.put(FailedForGood(step.step, step.attempts))
            case Running():
                fold.put(cut_short(fold, step, event.until))
            case Undoing():
                fold.put(UndoFailed(step.step, step.seq, replace(step.attempts, may_run_until=event.until)))
            case UndoRetrying() | UndoWaiting() | UndoParked():
                fold.put(UndoFailed(step.step, step.seq, step.attempts))
            case Retrying() | Parked():
                fold.put(FailedForGood(step.step, step.attempts))
            case Waiting() | Sleeping():
                fold.put(FailedForGood(step.step, Attempts()))
            case Probing():
                fold.put(Unknown(step.step, step.attempts))
            case Unknown() | FailedForGood() | UndoFailed() | Undone():
                pass
            case _:
                assert_never(step)
    fold.goal = Goal.FAILED
