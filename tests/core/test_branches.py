"""Branches of a graph: as wide as it is on the way forward, and on the way back; siblings of a failure as declared."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from saga_fn.core import transition as deciding
from saga_fn.core.ahead import go_ahead
from saga_fn.core.branches import after_branch
from saga_fn.core.effects import CancelExecution, Release, RunCompensation, RunStep
from saga_fn.core.events import Bound, Declined, StepSucceeded
from saga_fn.core.explore import explore
from saga_fn.core.ids import Digest, Micros, Moment, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import Attempts, Goal, Retrying, SagaState, Undone
from saga_fn.core.transition import by_general_rules, transition
from tests.core.given import AT_ONCE, DIAMOND, TWO_ROOTS, A, B, C, D, Saga, started, step, wait

CANCELLING = Plan.of(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"), cancel_siblings=True)
HALTING = Plan.of(step("a"), step("b"), compensate_on_failure=False, cancel_siblings=True)


def forked(plan: Plan) -> Saga:
    """A saga of a diamond, with both branches running."""
    saga = started(plan, A)
    moved = saga.succeed(A, B, C)
    assert moved.actions == (RunStep(B, 1, 0), RunStep(C, 1, 0))
    return saga


def test_what_follows_only_what_is_done_starts_at_once() -> None:
    assert started(TWO_ROOTS, A, B).kinds() == {A: "Running", B: "Running"}
    saga = forked(DIAMOND)
    assert saga.succeed(C).needs == ()
    assert saga.succeed(B).needs == (D,)


def test_a_sibling_of_a_failure_is_awaited_and_its_result_is_undone() -> None:
    saga = forked(DIAMOND)
    assert saga.fail(B).actions == ()
    assert saga.succeed(C).actions == (RunCompensation(C, 1, saga.state.rev),)
    assert saga.undo(C).actions == (RunCompensation(A, 1, 2),)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_a_sibling_of_a_failure_is_cut_short_where_that_is_declared() -> None:
    saga = forked(CANCELLING)
    assert saga.fail(B).actions == (CancelExecution(C), RunCompensation(A, 1, 2))
    saga.undo(A)
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {C: "may have run"})


def test_a_sibling_is_cut_short_when_a_person_turns_the_saga_back() -> None:
    from saga_fn.core.events import CompensationRequested

    saga = forked(CANCELLING)
    moved = saga.ask(CompensationRequested(saga.moment))
    assert moved.actions == (CancelExecution(B), CancelExecution(C), RunCompensation(A, 1, 2))


def test_a_saga_that_halts_cuts_its_siblings_short_too() -> None:
    saga = started(HALTING, A, B)
    assert saga.fail(A).actions == (CancelExecution(B),)
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {B: "may have run"})


def test_what_was_not_built_upon_each_other_is_undone_at_the_same_time() -> None:
    saga = forked(DIAMOND)
    saga.succeed(B)
    saga.succeed(C, D)
    undone = saga.fail(D).actions
    assert {action.step for action in undone if isinstance(action, RunCompensation)} == {B, C}
    assert saga.undo(C).actions == (), "its sibling is not undone yet, and both were built upon a"
    assert [type(action) for action in saga.undo(B).actions] == [RunCompensation]
    saga.undo(A)
    assert {type(found) for found in saga.state.steps[:3]} == {Undone}


def test_a_plan_remembers_what_becomes_of_siblings() -> None:
    assert CANCELLING.data.cancel_siblings
    assert CANCELLING.id != DIAMOND.id


SHAPES = {
    "two roots, halting": HALTING,
    "two roots, one retried at once": Plan.of(step("a"), step("b", retry=AT_ONCE), cancel_siblings=True),
    "two roots that join": Plan.of(step("a"), step("b"), step("c", "a", "b"), cancel_siblings=True),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("shape", SHAPES)
def test_every_state_of_a_saga_that_cuts_its_siblings_short(shape: str) -> None:
    found = explore(SHAPES[shape])
    assert not found.bounded
    assert found.violations == ()
    assert {end.status for end in found.ends} >= {SagaStatus.COMPLETED, SagaStatus.FAILED}


@pytest.mark.exhaustive
def test_the_first_states_of_a_diamond_that_is_cut_short() -> None:
    found = explore(CANCELLING, budget=800)
    assert found.bounded
    assert found.violations == ()


@pytest.mark.exhaustive
def test_every_state_of_a_saga_that_changes_its_mind_about_siblings() -> None:
    """The definition may change while branches run, or while the saga heads back."""
    awaiting = Plan.of(step("a"), step("b"))
    found = explore(awaiting, changes=(Plan.of(step("a"), step("b"), cancel_siblings=True),))
    assert not found.bounded
    assert found.violations == ()


def test_goals_of_a_cut_saga() -> None:
    saga = forked(CANCELLING)
    saga.fail(B)
    assert saga.state.goal is Goal.ROLLBACK


def in_short(plan: Plan, state: SagaState, event: StepSucceeded) -> bool:
    """Whether the event is answered in short, which must be the answer of the general rules."""
    ahead = after_branch(plan, state, event)
    told = None if ahead is None else go_ahead(plan, event, ahead)
    if told is not None:
        assert told == by_general_rules(plan, state, event).unwrap()
    assert transition(plan, state, event) == by_general_rules(plan, state, event)
    return told is not None


def succeeded(name: StepId, *then: StepId, attempt: int = 1) -> StepSucceeded:
    return StepSucceeded(Moment(7), name, attempt, tuple(Bound(other, Digest(b"i")) for other in then))


def test_a_graph_goes_to_its_end_without_the_general_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    saga = started(DIAMOND, A)
    monkeypatch.setattr(deciding, "by_general_rules", None)
    assert saga.tell(succeeded(A, B, C)).actions == (RunStep(B, 1, 0), RunStep(C, 1, 0))
    assert saga.tell(succeeded(C)).actions == ()
    assert saga.tell(succeeded(B, D)).actions == (RunStep(D, 1, 0),)
    assert saga.tell(succeeded(D)).writes == (Release(None),)
    assert saga.state.goal is Goal.COMPLETED


def test_what_starts_goes_where_the_plan_has_it() -> None:
    plan = Plan.of(step("a"), step("b", "a"), step("c"), step("d", "c"))
    saga = started(plan, A, C)
    assert in_short(plan, saga.state, succeeded(C, D))
    saga.tell(succeeded(C, D))
    assert in_short(plan, saga.state, succeeded(A, B))
    saga.tell(succeeded(A, B))
    assert list(saga.kinds()) == [A, B, C, D]


@pytest.mark.parametrize(
    "event",
    [
        succeeded(A),
        succeeded(A, B),
        succeeded(A, C, B),
        succeeded(A, B, C, attempt=2),
        succeeded(B),
        succeeded(StepId("z")),
        StepSucceeded(Moment(7), A, 1, (Bound(B, Digest(b"i")), Declined(C))),
    ],
    ids=lambda event: f"{event.step} {event.attempt} {[each.step for each in event.inputs]}",
)
def test_it_knows_nothing_but_the_success_of_what_runs_and_the_inputs_of_all_that_starts(event: StepSucceeded) -> None:
    state = started(DIAMOND, A).state
    assert in_short(DIAMOND, state, succeeded(A, B, C))
    assert not in_short(DIAMOND, state, event)


def test_it_knows_only_a_saga_of_which_nothing_waits_or_has_gone_wrong() -> None:
    state = forked(DIAMOND).state
    assert in_short(DIAMOND, state, succeeded(C))
    first, second, third = state.steps
    tried = Attempts(1)
    for other in (
        replace(state, goal=Goal.ROLLBACK),
        replace(state, begins_at=Moment(9)),
        replace(state, plan=TWO_ROOTS.id),
        replace(state, steps=(first, Retrying(B, tried, Moment(9)), third)),
        replace(state, steps=(first, second)),
    ):
        assert not in_short(DIAMOND, other, succeeded(C))


@pytest.mark.parametrize(
    "plan, known",
    [
        (Plan.of(step("a"), step("b"), deadline=Micros(9)), True),
        (Plan.of(step("b"), step("a", "b", pivot=True, undo=False)), True),
        (Plan.of(step("a"), step("b", "a", pivot=True, undo=False), deadline=Micros(9)), False),
        (Plan.of(step("a"), wait("b")), False),
        (Plan.of(step("a"), step("b", concurrency=2)), False),
    ],
    ids=["in a time", "a pivot", "a pivot in a time", "beside a wait", "beside a list"],
)
def test_it_leaves_what_more_rules_are_for_to_those(plan: Plan, *, known: bool) -> None:
    saga = started(plan, plan.roots[0])
    assert (after_branch(plan, saga.state, succeeded(plan.roots[0])) is not None) is known


def test_a_budget_in_time_runs_from_the_start_of_what_has_it() -> None:
    plan = Plan.of(step("a"), step("b"), step("c", "a", retry=RetrySchedule(3, base=Micros(1), within=Micros(9))))
    saga = started(plan, A, B)
    assert in_short(plan, saga.state, succeeded(A, C))
