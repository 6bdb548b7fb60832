"""An owner asks a state for two things when it computes an input: the outputs there are, and the input of earlier attempts."""

from __future__ import annotations

from typing import get_args

import pytest
from msgspec.structs import replace

from saga_fn.core.events import Event, EventReceived, ProbeAnswered, StepSkipped, StepSucceeded, Ticked, WaitDefaulted
from saga_fn.core.ids import Digest, Moment, PlanId, StepId
from saga_fn.core.inputs import (
    NO_DIGEST,
    NO_OUTPUT,
    ListBefore,
    OutputAt,
    digest_in_doubt,
    has_begun,
    input_before,
    input_is_recorded,
    is_parked_for_input,
    list_before,
    output_at,
    outputs_at,
    outputs_gained,
    returned_at,
    running,
)
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    Attempts,
    FailedForGood,
    FannedOut,
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
    Unknown,
    Waiting,
    is_done,
)
from tests.core.given import A, B, C, sequence, step

NOW = Moment(100)
DIGEST = Digest(b"12345678")
TRIED = Attempts(attempt=2, digest=DIGEST)
EVERY: list[StepState] = [
    Running(A, TRIED),
    Retrying(A, TRIED, NOW),
    Unknown(A, TRIED),
    Parked(A, TRIED, ParkReason.INPUT_FAILED),
    FailedForGood(A, TRIED),
    Succeeded(A, 3),
    Skipped(A, 3),
    Settled(A, 3, DIGEST),
    Undoing(A, 3, TRIED),
    UndoRetrying(A, 3, TRIED, NOW),
    UndoParked(A, 3, TRIED, ParkReason.PAYLOAD_UNREADABLE),
    UndoFailed(A, 3, TRIED),
    Undone(A, 3),
    NotTaken(A),
    Waiting(A),
    Sleeping(A, NOW),
    Probing(A, TRIED),
    FannedOut(A, 2, DIGEST),
    Joined(A, 2),
    UndoWaiting(A, 3, TRIED, ("paid",)),
    Rewound(A, 3),
]
PLACES: dict[type[object], OutputAt] = {
    Succeeded: 3,
    Skipped: 3,
    Settled: 3,
    Joined: (StepId("a[0]"), StepId("a[1]")),
    NotTaken: NO_OUTPUT,
}


def saga(*steps: StepState, events: tuple[int, ...] = (), latest_event_seq: int = 0) -> SagaState:
    return SagaState(plan=PlanId("plan"), rev=7, at=NOW, steps=steps, events=events, latest_event_seq=latest_event_seq)


def test_the_examples_here_are_of_every_kind() -> None:
    assert {type(now) for now in EVERY} == {*get_args(StepState)}


@pytest.mark.parametrize("now", EVERY, ids=lambda now: type(now).__name__)
def test_there_is_an_output_where_a_step_is_done_and_nowhere_else(now: StepState) -> None:
    place = PLACES.get(type(now))
    assert (place is not None) is is_done(now)
    assert output_at(saga(now), A) == place
    assert outputs_at(sequence("ab"), saga(now)) == ({} if place is None else {A: place})


def test_steps_gain_their_outputs_by_events_and_waits_by_what_came_perhaps_long_before() -> None:
    events: list[Event] = [
        EventReceived(NOW, "paid"),
        StepSucceeded(NOW, A, 1),
        ProbeAnswered(NOW, C, 1, done=False),
        StepSkipped(NOW, C),
        Ticked(NOW),
        WaitDefaulted(NOW, A),
    ]
    before, waited = saga(Waiting(B)), saga(Succeeded(A, 9), Succeeded(B, 4), Skipped(C, 11))
    assert outputs_gained(before, waited, events) == [(A, 9), (C, 11), (A, 13), (B, 4)]
    assert outputs_gained(waited, waited, events[4:5]) == []
    assert outputs_gained(saga(Running(A, TRIED)), saga(Undoing(A, 8, TRIED)), [StepSucceeded(NOW, A, 1)]) == [(A, 8)]


def test_of_a_step_that_has_not_begun_nothing_is_known() -> None:
    assert output_at(saga(Succeeded(A, 3)), B) is None
    assert input_before(saga(Succeeded(A, 3)), B) == (NO_DIGEST, 0)
    assert not has_begun(saga(), A)


def test_the_outputs_of_items_are_left_to_their_list() -> None:
    item = StepId("a[0]")
    state = saga(Joined(A, 1), Succeeded(item, 3), Succeeded(B, 4))
    assert outputs_at(sequence("ab"), state) == {A: (item,), B: 4}


def test_only_what_has_run_has_returned() -> None:
    state = saga(Succeeded(A, 3), Skipped(B, 4), Succeeded(C, 5))
    assert [returned_at(state, step) for step in (A, B, StepId("other"))] == [3, None, None]


def test_only_what_runs_forward_is_running() -> None:
    assert running(saga(*EVERY)) == [A]
    assert running(saga(Undoing(A, 3, TRIED), Probing(B, TRIED))) == []


@pytest.mark.parametrize("now", EVERY, ids=lambda now: type(now).__name__)
def test_what_has_attempts_has_the_input_of_the_last_one(now: StepState) -> None:
    has_attempts = hasattr(now, "attempts")
    assert input_before(saga(now), A) == (DIGEST if has_attempts else NO_DIGEST, 0)
    assert has_begun(saga(now), A) is has_attempts


@pytest.mark.parametrize("now", EVERY, ids=lambda now: type(now).__name__)
def test_an_item_is_told_the_same_as_a_step(now: StepState) -> None:
    item = StepId("z[0]")
    state = saga(FannedOut(StepId("z"), 2, DIGEST), replace(now, step=item))
    assert input_before(state, item) == input_before(saga(now), A)
    assert input_before(state, StepId("z[1]")) == (NO_DIGEST, 0)


def test_a_step_that_was_parked_before_its_first_attempt_has_not_begun() -> None:
    assert not has_begun(saga(Parked(A, Attempts(), ParkReason.INPUT_FAILED)), A)


@pytest.mark.parametrize("now", EVERY, ids=lambda now: type(now).__name__)
def test_what_is_found_out_or_undone_in_doubt_is_so_for_the_input_of_its_last_attempt(now: StepState) -> None:
    digest = DIGEST if isinstance(now, Probing | Undoing) else NO_DIGEST
    if not isinstance(now, FannedOut):
        assert digest_in_doubt(sequence("ab"), saga(now), A) == (digest, False)


def test_an_item_in_doubt_goes_by_the_fingerprint_of_its_list() -> None:
    plan = Plan.of(step("a", concurrency=2))
    item = StepId("a[1]")
    assert digest_in_doubt(plan, saga(FannedOut(A, 2, DIGEST), Probing(item, Attempts())), item) == (DIGEST, True)
    by_hand = Probing(item, Attempts(digest=Digest(b"of one"), given=7))
    assert digest_in_doubt(plan, saga(FannedOut(A, 2, DIGEST), by_hand), item) == (Digest(b"of one"), True)


def test_the_list_of_an_item_that_a_person_has_settled_is_known_once_its_items_are_gathered() -> None:
    state = saga(Joined(A, 1), events=(8,), latest_event_seq=8)
    assert list_before(state, A) is None
    assert list_before(state, A, DIGEST) == ListBefore((StepId("a[0]"),), DIGEST, state)


def test_a_list_is_computed_again_from_the_events_that_it_was_computed_from() -> None:
    state = saga(FannedOut(A, 2, DIGEST, events=1, latest_event_seq=8), events=(8, 9), latest_event_seq=9)
    before = list_before(state, A)
    assert before is not None
    assert before.items == (StepId("a[0]"), StepId("a[1]"))
    assert before.digest == DIGEST
    assert (before.state.events, before.state.latest_event_seq, before.state.steps) == ((8,), 8, state.steps)
    assert list_before(saga(Joined(A, 2)), A) is None


@pytest.mark.parametrize(
    "attempts, recorded",
    [
        (Attempts(attempt=1), False),
        (Attempts(attempt=2, failures=1), True),
        (Attempts(attempt=2, failures=1, generation=1), False),
    ],
)
def test_a_failure_before_has_recorded_the_input_unless_an_event_made_another_of_it(
    attempts: Attempts, recorded: bool
) -> None:
    assert input_is_recorded(saga(Running(A, attempts)), A) is recorded
    assert not input_is_recorded(saga(Unknown(A, attempts)), A)


def test_a_step_is_parked_for_its_input_by_that_reason_alone() -> None:
    assert is_parked_for_input(saga(Parked(A, TRIED, ParkReason.INPUT_CHANGED)), A)
    assert not is_parked_for_input(saga(Parked(A, TRIED, ParkReason.INPUT_FAILED)), A)
    assert not is_parked_for_input(saga(Running(A, TRIED)), A)
