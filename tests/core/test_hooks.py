"""Which hooks a fold calls: told by the states before and after it, for every way a saga can go."""

from __future__ import annotations

import pytest

from saga_fn.core.events import AbortRequested, FailureKind, RetryRequested, SagaParked, StepSkipped
from saga_fn.core.explore import explore, walk
from saga_fn.core.hooks import Hook, hooks_of
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.asked import Asked
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus, ended_as
from saga_fn.core.state import ParkReason, SagaState
from tests.core.given import A, B, Saga, started, step

CHAIN = Plan.of(step("a"), step("b", "a"))
ENDS = {
    SagaStatus.COMPLETED: Hook.COMPLETED,
    SagaStatus.COMPENSATED: Hook.COMPENSATED,
    SagaStatus.FAILED: Hook.FAILED,
}


def parked() -> Saga:
    saga = started(CHAIN, A)
    saga.fail(A, kind=FailureKind.OUTPUT_LOST)
    return saga


def told(saga: Saga, before: SagaState) -> tuple[Hook, ...]:
    return hooks_of(before, saga.state)


def test_a_start_tells_that_the_saga_was_stored() -> None:
    assert hooks_of(None, started(CHAIN).state) == (Hook.STARTED,)


def test_every_end_is_told_once_by_its_own_hook_whichever_event_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = 0

    def tells(edge: Edge) -> bool:
        nonlocal ends
        before, end = ended_as(edge.before), ended_as(edge.after)
        fresh = [ENDS[end]] if end is not None and end is not before else []
        ends += len(fresh)
        return [each for each in hooks_of(edge.before, edge.after) if each in ENDS.values()] == fresh

    monkeypatch.setattr(walk, "ASKED", Asked((tells,)))
    assert explore(CHAIN, budget=300, skips=1).violations == ()
    assert ends > 20


@pytest.mark.predecessor(20)
def test_a_skip_of_the_last_step_tells_the_end_as_any_other_event() -> None:
    saga = started(CHAIN, A)
    saga.succeed(A, B)
    saga.fail(B, kind=FailureKind.OUTPUT_LOST)
    before = saga.state
    saga.tell(StepSkipped(saga.moment, B))
    assert told(saga, before) == (Hook.COMPLETED,)


@pytest.mark.predecessor(20)
def test_an_abort_tells_the_end_as_any_other_event() -> None:
    saga = parked()
    before = saga.state
    saga.tell(AbortRequested(saga.moment, saga.moment))
    assert told(saga, before) == (Hook.FAILED,)


def test_a_saga_that_a_person_has_to_look_at_is_told_when_it_begins_to_wait_and_not_again() -> None:
    saga = started(CHAIN, A)
    before = saga.state
    saga.fail(A, kind=FailureKind.OUTPUT_LOST)
    assert told(saga, before) == (Hook.PARKED,)
    before = saga.state
    saga.tell(SagaParked(saga.moment, ParkReason.CRASH_LOOP))
    assert told(saga, before) == ()


def test_a_saga_that_waits_for_a_plan_that_fits_is_not_told_for_it_goes_on_by_itself() -> None:
    saga = started(CHAIN)
    before = saga.state
    saga.tell(SagaParked(saga.moment, ParkReason.PLAN_CHANGED))
    assert told(saga, before) == ()


def test_a_saga_that_is_parked_again_after_a_retry_is_told_again() -> None:
    saga = parked()
    saga.tell(RetryRequested(saga.moment, A, stopped=(A,)))
    saga.tick(A)
    before = saga.state
    saga.fail(A, kind=FailureKind.OUTPUT_LOST)
    assert told(saga, before) == (Hook.PARKED,)
