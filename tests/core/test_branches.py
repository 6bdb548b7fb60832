"""Branches of a graph: as wide as it is on the way forward, and on the way back; siblings of a failure as declared."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import CancelExecution, RunCompensation, RunStep
from saga_fn.core.explore import explore
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import Goal, Undone
from tests.core.given import AT_ONCE, DIAMOND, TWO_ROOTS, A, B, C, D, Saga, started, step

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
