"""What is told after a failure is what has been decided: no state that a failure leads to makes it say anything else."""

from __future__ import annotations

import pytest

from saga_fn.core.events import (
    AbortRequested,
    CompensationFailed,
    CompensationRequested,
    Event,
    FailureKind,
    HandedBack,
    ProbeFailed,
    RetryRequested,
    StepFailed,
    StepSettled,
    StepSkipped,
)
from saga_fn.core.explore import explore, walk
from saga_fn.core.facts import find, owes_undo
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.asked import Asked
from saga_fn.core.leftovers import left_over
from saga_fn.core.outlook import Again, ForAPerson, ForGood, Next, Outlook, Overtaken, ToFindOut, ToUndo, outlook
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.state import (
    FailedForGood,
    Goal,
    Parked,
    Probing,
    Retrying,
    Running,
    SagaState,
    StepState,
    UndoFailed,
    Undoing,
    UndoParked,
    UndoRetrying,
    Unknown,
)
from tests.core.given import AT_ONCE, SECOND, THRICE, A, B, Saga, started, step

DOUBTFUL = {
    way: Plan.of(
        step("a", undo_retry=THRICE, undo_parks=True),
        step(
            "b",
            "a",
            on_unknown=way,
            undo_in_doubt=True,
            retry=THRICE,
            unknown_retry=THRICE,
            probe_retry=AT_ONCE,
            undo_retry=AT_ONCE,
        ),
    )
    for way in OnUnknown
}
WITHOUT = [way for way in OnUnknown if way is not OnUnknown.UNDO]
LEFT_OVER = {way: Plan.of(step("a"), step("b", "a", undo=False, on_unknown=way, retry=THRICE)) for way in WITHOUT}
FORWARD_ONLY = {
    way: Plan.of(step("a"), step("b", on_unknown=way, unknown_retry=THRICE), compensate_on_failure=False)
    for way in WITHOUT
}


def is_so(plan: Plan, state: SagaState, now: StepState | None, said: Next) -> bool:
    """Whether that is what the state is about to do."""
    match said:
        case Again(at=at) if isinstance(now, Retrying | UndoRetrying):
            return at == now.wake
        case Again(at=at) if isinstance(now, Unknown):
            return at >= state.at and not state.ended
        case Again():
            return isinstance(now, Running | Undoing | Probing)
        case ToFindOut():
            return isinstance(now, Probing) or (isinstance(now, Unknown) and state.goal is not Goal.HALT)
        case ToUndo():
            return now is not None and owes_undo(plan, now) and state.goal is Goal.ROLLBACK
        case ForAPerson():
            return isinstance(now, Parked | UndoParked)
        case ForGood():
            gone = isinstance(now, FailedForGood | UndoFailed | Unknown)
            return gone and not (
                isinstance(now, FailedForGood) and state.goal is Goal.ROLLBACK and owes_undo(plan, now)
            )
        case Overtaken():
            return False


@pytest.mark.parametrize("plans", [DOUBTFUL, LEFT_OVER, FORWARD_ONLY], ids=["undone", "left over", "forward only"])
def test_it_is_what_the_state_is_about_to_do(plans: dict[OnUnknown, Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    told = 0

    def said_so(edge: Edge) -> bool:
        event, state = edge.event, edge.after
        if not isinstance(event, StepFailed | CompensationFailed | ProbeFailed):
            return True
        nonlocal told
        told += 1
        said = outlook(edge.plan, state, event)
        left = {each.step_id for each in left_over(edge.plan, state)} if state.ended else {event.step}
        in_doubt = said.may_have_run and isinstance(event, StepFailed)
        return is_so(edge.plan, state, find(state, event.step), said.next) and (not in_doubt or event.step in left)

    monkeypatch.setattr(walk, "ASKED", Asked((said_so,)))
    for plan in plans.values():
        assert explore(plan, budget=300, skips=0).violations == ()
    assert told > 500


def in_b(way: OnUnknown) -> Saga:
    saga = started(DOUBTFUL[way], A)
    saga.wait(SECOND)
    saga.succeed(A, B)
    return saga


def after(saga: Saga, event: Event, *then: Event) -> Outlook:
    """What is said of a failure, and of what was decided together with it."""
    assert isinstance(event, StepFailed | CompensationFailed | ProbeFailed)
    for each in (event, *then):
        saga.tell(each)
    return outlook(saga.plan, saga.state, event)


def failed(saga: Saga, kind: FailureKind = FailureKind.ERROR) -> StepFailed:
    return StepFailed(saga.moment, B, saga.of(B, Running).attempts.attempt, kind)


def test_a_failure_is_counted_by_the_policy_that_grants_the_next_attempt() -> None:
    saga = in_b(OnUnknown.REPEAT)
    assert after(saga, failed(saga)).counted == (1, 3)
    saga.wait(SECOND)
    saga.tick(B)
    said = after(saga, failed(saga, FailureKind.UNKNOWN))
    assert (said.counted, said.may_have_run) == ((1, 3), True)
    saga.wait(SECOND)
    saga.tick(B)
    said = after(saga, failed(saga))
    assert (said.counted, said.next) == ((2, 3), Again(saga.of(B, Retrying).wake)), (
        "by the budget for what may have run"
    )


def test_a_person_begins_the_count_anew() -> None:
    saga = in_b(OnUnknown.REPEAT)
    for _ in range(2):
        saga.tell(failed(saga))
        saga.wait(SECOND)
        saga.tick(B)
    saga.tell(failed(saga, FailureKind.UNREADABLE))
    saga.tell(RetryRequested(saga.moment, B))
    saga.tick(B)
    assert after(saga, failed(saga)).counted == (1, 3)


def test_what_no_policy_counts_has_no_count() -> None:
    saga = in_b(OnUnknown.PARK)
    assert after(saga, failed(saga, FailureKind.UNKNOWN)) == Outlook(ForAPerson(), True, None)
    saga = in_b(OnUnknown.REPEAT)
    assert after(saga, failed(saga, FailureKind.UNREADABLE)) == Outlook(ForAPerson(), False, None)
    saga.tell(CompensationRequested(saga.moment))
    saga.tick()
    unreadable = CompensationFailed(saga.moment, A, 1, FailureKind.UNREADABLE)
    assert after(saga, unreadable) == Outlook(ForAPerson(), False, None)


def test_what_is_refused_in_doubt_is_to_be_undone() -> None:
    saga = in_b(OnUnknown.REPEAT)
    saga.tell(failed(saga, FailureKind.UNKNOWN))
    saga.wait(SECOND)
    saga.tick(B)
    assert after(saga, failed(saga, FailureKind.BUSINESS_ERROR)) == Outlook(ToUndo(), True, None)


def test_what_waits_for_a_sibling_to_end_is_to_be_undone_too() -> None:
    saga = started(Plan.of(step("a"), step("b", on_unknown=OnUnknown.UNDO)), A, B)
    assert after(saga, failed(saga, FailureKind.UNKNOWN)) == Outlook(ToUndo(), True, None)
    assert saga.kinds() == {A: "Running", B: "FailedForGood"}


def test_what_is_handed_back_in_the_same_moment_goes_on_elsewhere() -> None:
    saga = in_b(OnUnknown.REPEAT)
    probe = in_b(OnUnknown.PROBE)
    assert isinstance(after(saga, failed(saga, FailureKind.UNKNOWN), HandedBack(saga.moment)).next, Again)
    assert after(probe, failed(probe, FailureKind.UNKNOWN), HandedBack(probe.moment)).next == ToFindOut()
    plain = started(Plan.of(step("a", retry=AT_ONCE)), A)
    first = StepFailed(plain.moment, A, 1)
    plain.tell(first)
    plain.tell(HandedBack(plain.moment))
    assert outlook(plain.plan, plain.state, first).next == Again(plain.moment)


def test_a_person_may_decide_in_the_same_moment() -> None:
    saga = in_b(OnUnknown.REPEAT)
    assert after(saga, failed(saga), StepSkipped(saga.moment, B)).next == Overtaken()
    saga = in_b(OnUnknown.REPEAT)
    assert after(saga, failed(saga), AbortRequested(saga.moment, saga.moment)).next == ForGood()
    saga = in_b(OnUnknown.REPEAT)
    saga.tell(failed(saga, FailureKind.FATAL))
    first = CompensationFailed(saga.moment, A, 1)
    assert after(saga, first, StepSettled(saga.moment, A)).next == Overtaken()


def test_a_probe_that_has_failed_for_good_leaves_the_rest_to_be_undone() -> None:
    saga = in_b(OnUnknown.PROBE)
    saga.tell(failed(saga, FailureKind.UNKNOWN))
    saga.tell(CompensationRequested(saga.moment))
    for count in (1, 2):
        assert after(saga, ProbeFailed(saga.moment, B, count)) == Outlook(Again(saga.moment), True, (count, 3))
    assert after(saga, ProbeFailed(saga.moment, B, 3)) == Outlook(ToUndo(), True, None)
    other = in_b(OnUnknown.PROBE)
    other.tell(failed(other, FailureKind.UNKNOWN))
    said = after(other, ProbeFailed(other.moment, B, 1), HandedBack(other.moment))
    assert said.next == Again(other.moment)
