"""I9: of doubt. The fate of a step that may have run."""

from __future__ import annotations

from typing import assert_never

from typing_extensions import TypeIs

from saga_fn.core.events import (
    AbortRequested,
    CompensationRequested,
    Event,
    FailureKind,
    HandedBack,
    ProbeAnswered,
    Resumed,
    StepFailed,
    StepSettled,
)
from saga_fn.core.ids import StepId
from saga_fn.core.invariants.edge import Edge, is_tried
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.state import (
    Doubt,
    FailedForGood,
    Goal,
    Parked,
    Probing,
    Retrying,
    Running,
    Skipped,
    StepState,
    Undone,
    Unfinished,
    Unknown,
    is_undo,
    is_unfinished,
)


def i9_what_can_be_found_out_is_before_anything_is_undone(edge: Edge) -> bool:
    """No compensation begins while a step may have run and its probe has not given up. One that a person did by hand is over."""
    return all(type(now) is Undone for _, now in edge.turned) or not any(
        isinstance(now, Probing)
        or (isinstance(now, Unknown) and edge.plan.step(now.step).on_unknown is OnUnknown.PROBE)
        for _, now in edge.steps
    )


def i9_what_may_have_run_is_settled_as_declared(edge: Edge) -> bool:
    """A step that may have run is repeated where that is declared, or once its probe has said that it has not run.

    A person may wish it repeated that was left to a person, and may know that it has not run. One that is to be undone is
    never repeated.
    """
    for was, now in edge.started:
        if type(now) is not Running or not is_tried(was) or not was.attempts.doubt:
            continue
        if isinstance(edge.event, StepSettled) and edge.event.step == now.step:
            continue
        way = edge.plan.step(now.step).on_unknown
        match way:
            case OnUnknown.REPEAT:
                pass
            case OnUnknown.PARK:
                if not isinstance(was, Running | Retrying | Parked | FailedForGood):
                    return False
            case OnUnknown.PROBE:
                if not isinstance(edge.event, ProbeAnswered) or edge.event.done:
                    return False
            case OnUnknown.UNDO:
                return False
            case _:
                assert_never(way)
    return True


def i9_what_is_handed_back_is_in_doubt_if_it_had_begun(edge: Edge) -> bool:
    """A step that was running may have run, unless its owner says that the execution had not begun, or it is in a transaction."""
    if not isinstance(edge.event, HandedBack):
        return True
    begun = edge.event.begun
    for was, now in edge.changed:
        if not isinstance(was, Running) or was.transactional:
            continue
        if begun is None or was.step in begun:
            is_so = isinstance(now, Unknown) and bool(now.attempts.doubt)
        else:
            is_so = isinstance(now, Unknown | Retrying | FailedForGood) and now.attempts == was.attempts
        if not is_so:
            return False
    return True


def i9_a_doubt_is_settled_by_what_says_so(edge: Edge) -> bool:
    """A doubt goes by its step's success, its probe, a person who settles it, or a refusal that the step says settles it.

    By nothing else: a step that a person only passes over keeps it.
    """
    for was, now in edge.changed:
        if not _may_be_in_doubt(was) or (doubt := _doubt_of(was)) is Doubt.NONE or not _may_be_in_doubt(now):
            continue
        if _doubt_of(now) < doubt and not _is_told(edge.event, edge.plan, now.step):
            return False
    return True


def _may_be_in_doubt(step: StepState | None) -> TypeIs[Unfinished | Skipped]:
    return is_unfinished(step) or type(step) is Skipped


def _doubt_of(step: Unfinished | Skipped) -> Doubt:
    return step.attempts.doubt if is_unfinished(step) else step.doubt


def _is_told(event: Event, plan: Plan, step: StepId) -> bool:
    match event:
        case ProbeAnswered(step=asked) | StepSettled(step=asked):
            return asked == step
        case StepFailed(step=failed, kind=FailureKind.BUSINESS_ERROR):
            return failed == step and plan.step(step).refusal_settles
        case _:
            return False


def i9_a_person_is_asked_before_what_is_left_to_one_is_given_up(edge: Edge) -> bool:
    """A step that may have run and is left to a person is given up by a verb, or where nothing is undone at all.

    By a plan that changed on the way, too, after the first compensation.
    """
    if edge.after.goal is not Goal.ROLLBACK or isinstance(edge.event, CompensationRequested | AbortRequested):
        return True
    return not any(
        type(now) is FailedForGood
        and now.attempts.doubt is Doubt.MAY_HAVE_RUN
        and edge.plan.step(now.step).on_unknown is OnUnknown.PARK
        and not isinstance(was, FailedForGood)
        and not any(is_undo(other) for other, _ in edge.steps)
        for was, now in edge.changed
    )


def i9_what_ran_in_a_transaction_is_in_doubt_by_its_own_word_alone(edge: Edge) -> bool:
    """A transactional step that was cut short, by whatever it was, has not happened: no doubt comes of that.

    It alone may say that it has touched something else.
    """
    return all(
        now.attempts.doubt <= was.attempts.doubt
        or (
            isinstance(edge.event, StepFailed)
            and edge.event.step == was.step
            and edge.event.kind is FailureKind.UNKNOWN
        )
        for was, now in edge.changed
        if isinstance(was, Running) and was.transactional and isinstance(now, Unfinished)
    )


def i9_what_was_interrupted_in_a_transaction_is_repeated(edge: Edge) -> bool:
    """It is given up by a saga that turns back or is parked, and else when the budget for that is used up."""
    if edge.after.goal is not Goal.FORWARD or not isinstance(edge.event, HandedBack | Resumed):
        return True
    return all(
        isinstance(now, Running | Retrying | Parked)
        for was, now in edge.changed
        if isinstance(was, Running) and was.transactional
    )


def may_have_run(edge: Edge, was: StepState | None, step: StepId) -> bool:
    """Whether the step was in doubt, or came to be by this event, and is to be undone then."""
    if not is_unfinished(was) or not edge.plan.step(step).undoes_in_doubt:
        return False
    known = (FailureKind.ERROR, FailureKind.BUSINESS_ERROR, FailureKind.FATAL, FailureKind.UNREADABLE)
    told = isinstance(edge.event, StepFailed) and edge.event.step == step and edge.event.kind in known
    cut = isinstance(was, Running) and not was.transactional
    return bool(was.attempts.doubt) or (cut and not told)
