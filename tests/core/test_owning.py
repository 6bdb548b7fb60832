"""What the owner of a saga asks of its state: which actions still stand, when to look again, what to read first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga_fn.core.effects import Action, CancelExecution, Release, RunCompensation, RunProbe, RunStep
from saga_fn.core.events import BoundEach, EventReceived, HandedBack, RetryRequested
from saga_fn.core.fan_out import ITEM_LIMIT
from saga_fn.core.ids import Digest, Moment, PlanId, StepId
from saga_fn.core.owning import (
    entries_needed,
    executing,
    is_due,
    not_before,
    recorded_events,
    recorded_steps,
    room_for_items,
    still_wanted,
    taken_back,
    upon_taken_back,
    wakes_owner,
    with_fan_out,
)
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    Attempts,
    Buffered,
    FannedOut,
    Goal,
    Joined,
    Probing,
    Retrying,
    Running,
    SagaState,
    Skipped,
    Sleeping,
    StepState,
    Succeeded,
    Undoing,
    UndoRetrying,
    UndoWaiting,
    Unknown,
)
from saga_fn.core.transition import transition
from tests.core.given import THREE, A, B, C, sequence, started, step

NOW = Moment(100)
PLAN = PlanId("plan")


def saga(*steps: StepState, goal: Goal = Goal.FORWARD, deadline: Moment | None = None) -> SagaState:
    return SagaState(plan=PLAN, rev=7, at=NOW, goal=goal, steps=steps, deadline=deadline)


SECOND_TRY = Attempts(attempt=2, probes=3)
STANDS: list[tuple[StepState, Action, bool]] = [
    (Running(A, SECOND_TRY), RunStep(A, 2, 0), True),
    (Running(A, SECOND_TRY), RunStep(A, 1, 0), False),
    (Retrying(A, SECOND_TRY, NOW), RunStep(A, 2, 0), False),
    (Undoing(A, 3, SECOND_TRY), RunCompensation(A, 2, 3), True),
    (Undoing(A, 3, SECOND_TRY), RunCompensation(A, 1, 3), False),
    (UndoRetrying(A, 3, SECOND_TRY, NOW), RunCompensation(A, 2, 3), False),
    (Probing(A, SECOND_TRY), RunProbe(A, 3, 0), True),
    (Probing(A, SECOND_TRY), RunProbe(A, 2, 0), False),
    (Unknown(A, SECOND_TRY), RunProbe(A, 3, 0), False),
    (Succeeded(A, 3), CancelExecution(A), True),
]


@pytest.mark.parametrize("now, action, stands", STANDS)
def test_an_action_stands_while_the_state_is_of_the_same_execution(
    now: StepState, action: Action, stands: bool
) -> None:
    assert still_wanted(saga(now), [action]) == ([action] if stands else [])


SIDE_BY_SIDE = Plan.of(step("a"), step("b"), step("c"))


@pytest.mark.parametrize("plan", [sequence("abc"), SIDE_BY_SIDE], ids=["chain", "graph"])
def test_what_runs_alone_wakes_nobody(plan: Plan) -> None:
    assert wakes_owner(plan, saga(Running(A, Attempts(attempt=1)))) is None


def test_a_retry_beside_it_wakes_the_owner_unless_it_is_due_already() -> None:
    plan = SIDE_BY_SIDE
    running = Running(A, Attempts(attempt=1))
    later = Moment(NOW + 5)
    assert wakes_owner(plan, saga(running, Retrying(B, Attempts(), later))) == later
    assert wakes_owner(plan, saga(running, Retrying(B, Attempts(), NOW))) is None
    assert (
        wakes_owner(plan, saga(running, Retrying(B, Attempts(), later), Unknown(C, Attempts(), Moment(NOW + 3))))
        == NOW + 3
    )


def test_the_deadline_and_a_sleep_wake_the_owner() -> None:
    running = Running(A, Attempts(attempt=1))
    assert wakes_owner(sequence("ab"), saga(running, deadline=Moment(NOW + 9))) == NOW + 9
    sleeping = saga(running, Sleeping(B, Moment(NOW + 4)), deadline=Moment(NOW + 9))
    assert wakes_owner(SIDE_BY_SIDE, sleeping) == NOW + 4


def test_an_owner_reads_the_initial_data_outputs_and_events() -> None:
    state = SagaState(
        plan=PLAN,
        rev=20,
        at=NOW,
        goal=Goal.ROLLBACK,
        steps=(
            Succeeded(A, 2),
            Skipped(B, 3),
            UndoWaiting(C, 4, Attempts(generation=15), ("paid",)),
            Undoing(StepId("d"), 0, Attempts(generation=16)),
            Running(StepId("e"), Attempts(given=18)),
        ),
        events=(8, 9),
        buffered=(Buffered(11, "paid"),),
    )
    assert recorded_steps(state) == [(A, 2), (B, 3), (C, 4)]
    assert recorded_events(state) == [8, 9, 11, 15, 16, 18]
    assert entries_needed(state) == [1, 2, 3, 4, 8, 9, 11, 15, 16, 18]


def test_a_saga_is_due_at_once_if_its_moment_has_come() -> None:
    due = {at: is_due(saga(), Release(at)) for at in (None, Moment(NOW - 1), NOW, Moment(NOW + 1))}
    assert due == {None: False, Moment(NOW - 1): True, NOW: True, Moment(NOW + 1): False}


def test_a_verb_for_the_state_that_an_owner_left_is_one_for_the_state_after_that_is_taken_back() -> None:
    left = saga(Running(A, Attempts(attempt=1)))
    assert taken_back(NOW) == HandedBack(NOW)
    for event, upon in (
        (RetryRequested(NOW, A, expect=7), RetryRequested(NOW, A, expect=8)),
        (RetryRequested(NOW, A, expect=6), RetryRequested(NOW, A, expect=6)),
        (RetryRequested(NOW, A), RetryRequested(NOW, A)),
        (EventReceived(NOW, "paid"), EventReceived(NOW, "paid")),
    ):
        assert upon_taken_back(event, left) == upon


def test_fan_outs_share_the_room_for_items() -> None:
    digest = Digest(b"12345678")
    state = SagaState(plan=PLAN, rev=7, at=NOW, steps=(Joined(A, 30),), events=(2, 3), latest_event_seq=3)
    assert room_for_items(state) == ITEM_LIMIT - 30
    fanned_out = with_fan_out(state, BoundEach(B, 50, digest))
    assert fanned_out.steps == (Joined(A, 30), FannedOut(B, 50, digest, 2, 3))
    assert room_for_items(fanned_out) == ITEM_LIMIT - 80


def test_what_runs_in_either_direction_and_what_is_found_out_is_executing() -> None:
    state = saga(
        Running(A, SECOND_TRY),
        Undoing(B, 3, SECOND_TRY),
        Probing(C, SECOND_TRY),
        Retrying(StepId("d"), SECOND_TRY, NOW),
    )
    assert executing(state) == (A, B, C)


@given(st.integers(0, 20), st.integers(0, 20))
def test_no_entry_of_a_journal_is_older_than_the_one_before_it_and_nothing_is_decided_otherwise(
    at: int, told: int
) -> None:
    saga = started(THREE, A)
    saga.wait(at)
    saga.tell(EventReceived(saga.moment))
    event = RetryRequested(Moment(told), A)
    kept = not_before(event, saga.state.at)
    assert kept.at == max(told, saga.state.at)
    for each in (event, EventReceived(Moment(told)), HandedBack(Moment(told))):
        assert transition(THREE, saga.state, each) == transition(THREE, saga.state, not_before(each, saga.state.at))
