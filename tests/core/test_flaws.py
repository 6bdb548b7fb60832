"""A state that was read from somewhere: one that the rules have made has no flaw, and each flaw is told."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from saga_fn.core.events import PlanChanged, Started
from saga_fn.core.fan_out import ITEM_LIMIT
from saga_fn.core.flaws import LAST_MOMENT, flaw_in, misfit_in
from saga_fn.core.ids import Digest, Moment, PlanId, StepId
from saga_fn.core.leftovers import LeftOver, LeftOverKind, all_that_may_be_left
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    Attempts,
    Buffered,
    FannedOut,
    Joined,
    Probing,
    Running,
    SagaState,
    Sleeping,
    Succeeded,
    Undoing,
    Unknown,
    Waiting,
)
from saga_fn.core.transition import transition
from tests.core.given import A, B, C, sleep, step, wait
from tests.core.stories import STORIES

PLAN = Plan.of(step("a", concurrency=2), wait("b", "a"), sleep("c", "b"))
FINE = SagaState(plan=PLAN.id, rev=9, at=Moment(5))
ITEM = StepId("a[1]")
LATE = Moment(LAST_MOMENT + 1)


@pytest.mark.parametrize("name", STORIES)
def test_no_state_of_a_saga_that_was_lived_has_a_flaw(name: str) -> None:
    saga = STORIES[name]()
    plans = {plan.id: plan for plan in saga.plans}
    state: SagaState | None = None
    for rev, event in enumerate(saga.journal, 1):
        plan = plans[
            event.plan
            if isinstance(event, Started | PlanChanged)
            else saga.plans[0].id
            if state is None
            else state.plan
        ]
        state = transition(plan, state, event).unwrap().state
        assert flaw_in(state, rev) is None
        assert misfit_in(plan, state) is None


@pytest.mark.parametrize(
    "change, flaw",
    [
        ({"rev": 8}, "another revision"),
        ({"at": Moment(-1)}, "moment"),
        ({"begins_at": LATE}, "moment"),
        ({"deadline": LATE}, "moment"),
        ({"buffered": (Buffered(1, "paid", expires=LATE),)}, "moment"),
        ({"steps": (Sleeping(C, LATE),)}, "moment"),
        ({"steps": (Waiting(B, LATE),)}, "moment"),
        ({"steps": (Probing(A, Attempts(), first_attempt_at=LATE),)}, "moment"),
        ({"steps": (Running(A, Attempts(may_run_until=LATE)),)}, "moment"),
        ({"steps": (Running(A, Attempts(first_attempt_at=LATE)),)}, "moment"),
        ({"events": (10,)}, "journal entry"),
        ({"events": (0,)}, "journal entry"),
        ({"latest_event_seq": -1}, "journal entry"),
        ({"buffered": (Buffered(2**63, "paid"),)}, "journal entry"),
        ({"steps": (Succeeded(A, 2**63),)}, "journal entry"),
        ({"steps": (FannedOut(A, 1, Digest(b""), events=10),)}, "journal entry"),
        ({"steps": (FannedOut(A, 1, Digest(b""), latest_event_seq=10),)}, "journal entry"),
        ({"steps": (Undoing(A, 1, Attempts(generation=10)),)}, "journal entry"),
        ({"steps": (Running(A, Attempts(events=10)),)}, "journal entry"),
        ({"failed_takeovers": -1}, "cannot have happened"),
        ({"failed_takeovers": 19}, "cannot have happened"),
        ({"steps": (Running(A, Attempts(doubts=19)),)}, "cannot have happened"),
        ({"steps": (Running(A, Attempts(doubted=LATE)),)}, "moment"),
        ({"steps": (FannedOut(A, -1, Digest(b"")),)}, "less than no items"),
        ({"steps": (Unknown(A, Attempts(), failures=-1),)}, "cannot have happened"),
        ({"steps": (Running(A, Attempts(attempt=-1)),)}, "cannot have happened"),
        ({"steps": (Running(A, Attempts(failures=-1)),)}, "cannot have happened"),
        ({"steps": (Running(A, Attempts(probes=-1)),)}, "cannot have happened"),
        ({"steps": (Joined(A, ITEM_LIMIT + 1),)}, "more items than the 200"),
        ({"steps": (Succeeded(A, 1), Running(A, Attempts()))}, "twice"),
    ],
)
def test_each_flaw_of_a_state_is_told(change: dict[str, Any], flaw: str) -> None:
    found = flaw_in(replace(FINE, **change), 9)
    assert found is not None
    assert flaw in found


def test_no_saga_has_had_no_event() -> None:
    assert flaw_in(replace(FINE, rev=0), 0) is not None
    assert flaw_in(FINE, 9) is None
    largest = replace(FINE, at=LAST_MOMENT, steps=(Joined(A, ITEM_LIMIT),), events=(1, 9), latest_event_seq=9)
    assert flaw_in(largest, 9) is None


@pytest.mark.parametrize(
    "change, flaw",
    [
        ({"plan": PlanId("other")}, "another plan"),
        ({"steps": (Running(StepId("x"), Attempts()),)}, "does not have"),
        ({"steps": (Running(StepId("b[0]"), Attempts()),)}, "does not have"),
        ({"steps": (FannedOut(A, 1, Digest(b"")), Running(ITEM, Attempts()))}, "an item that its list"),
        ({"steps": (Running(ITEM, Attempts()),)}, "an item that its list"),
        ({"steps": (Running(B, Attempts()),)}, "a step of its kind"),
        ({"steps": (Waiting(A),)}, "a step of its kind"),
        ({"steps": (Sleeping(B, Moment(0)),)}, "a step of its kind"),
    ],
)
def test_each_misfit_of_a_state_and_its_plan_is_told(change: dict[str, Any], flaw: str) -> None:
    found = misfit_in(PLAN, replace(FINE, **change))
    assert found is not None
    assert flaw in found


def test_a_state_that_fits_is_one() -> None:
    steps = (FannedOut(A, 2, Digest(b"")), Running(ITEM, Attempts()))
    assert misfit_in(PLAN, replace(FINE, steps=steps)) is None
    assert misfit_in(PLAN, replace(FINE, steps=(Joined(A, 0), Succeeded(B, 1), Sleeping(C, Moment(0))))) is None


def test_of_what_nothing_is_known_any_step_may_have_run() -> None:
    assert all_that_may_be_left(PLAN) == (LeftOver(A, LeftOverKind.MAY_HAVE_RUN),)


def test_a_wait_without_a_limit_is_no_flaw() -> None:
    state = replace(FINE, steps=(Waiting(B),))
    assert flaw_in(state, state.rev) is None
    assert misfit_in(PLAN, state) is None
