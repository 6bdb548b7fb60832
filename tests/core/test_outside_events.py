"""Events without a name, which every step sees: they wake what waits for its next attempt."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import Release, RunStep
from saga_fn.core.events import Bound, EventReceived, Ticked
from saga_fn.core.ids import Moment
from tests.core.given import AGAIN, AGAIN_AT_ONCE, OTHER, SECOND, THREE, A, B, started


def test_an_event_that_came_while_it_ran_is_seen_by_a_retry_without_delay() -> None:
    saga = started(AGAIN_AT_ONCE, A)
    saga.tell(EventReceived(Moment(0)))
    moved = saga.fail(A)
    assert (moved.needs, moved.actions) == ((A,), ())
    assert saga.tell(Ticked(Moment(0), (Bound(A, OTHER),))).actions == (RunStep(A, 2, 1),)


def test_an_event_wakes_what_waits_and_is_kept() -> None:
    saga = started(AGAIN, A)
    saga.fail(A)
    moved = saga.tell(EventReceived(Moment(0)))
    assert moved.needs == (A,)
    assert moved.writes == (Release(Moment(0)),)
    assert (saga.state.events, saga.state.latest_event_seq) == ((3,), 3)


def test_an_event_leaves_what_is_already_due_as_it_is() -> None:
    saga = started(AGAIN, A)
    saga.fail(A)
    saga.wait(2 * SECOND)
    saga.tell(EventReceived(saga.moment))
    assert saga.row.due == SECOND


@pytest.mark.predecessor(12)
def test_an_event_that_comes_while_a_step_runs_is_kept() -> None:
    saga = started(THREE, A)
    moved = saga.tell(EventReceived(Moment(0)))
    assert (moved.actions, moved.writes) == ((), ())
    assert saga.state.events == (2,)


@pytest.mark.predecessor(12)
def test_an_attempt_that_fails_without_having_seen_an_event_is_repeated_at_once() -> None:
    saga = started(AGAIN, A)
    saga.tell(EventReceived(Moment(0)))
    moved = saga.fail(A)
    assert moved.needs == (A,)
    assert (moved.actions, moved.writes) == ((), (Release(saga.moment),))


@pytest.mark.predecessor(14)
def test_a_failure_keeps_the_latest_event_and_a_success_uses_it_up() -> None:
    saga = started(AGAIN, A)
    saga.tell(EventReceived(Moment(0)))
    saga.fail(A)
    assert saga.state.latest_event_seq == 2
    saga.wait(SECOND)
    saga.resume(A)
    saga.succeed(A, B)
    assert (saga.state.latest_event_seq, saga.state.events) == (0, (2,))
