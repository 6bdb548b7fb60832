"""`transition` answers every event in every state: garbage too, and every refusal is reached."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from returns.result import Failure, Success

from saga_fn.core.effects import Refusal, Rejection, Release
from saga_fn.core.event_matching import BUFFER_LIMIT
from saga_fn.core.events import (
    AbortRequested,
    Accompanied,
    Bound,
    BoundEach,
    CompensationFailed,
    CompensationRequested,
    CompensationSucceeded,
    CompensationWaits,
    Declined,
    Event,
    EventReceived,
    FailureKind,
    Finding,
    HandedBack,
    MomentsMoved,
    Paused,
    PauseRequested,
    PlanChanged,
    ProbeAnswered,
    ProbeFailed,
    Rescheduled,
    Resumed,
    ResumeRequested,
    RetryRequested,
    RewindRequested,
    SagaParked,
    Started,
    StepFailed,
    StepSettled,
    StepSkipped,
    StepSucceeded,
    Ticked,
    Unbindable,
    Until,
    WaitDefaulted,
)
from saga_fn.core.flaws import LAST_MOMENT
from saga_fn.core.ids import Digest, Micros, Moment, PlanId, StepId
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.rules.waits import EVENT_LIMIT
from saga_fn.core.state import ParkReason, SagaState
from saga_fn.core.transition import transition
from tests.core.given import DIAMOND, ONE, PIVOTED, SECOND, THREE, A, B, C, Saga, sequence, started, step, wait
from tests.core.stories import STORIES

STEPS = (
    *(StepId(name) for name in "abcd"),
    StepId(""),
    StepId("a[0]"),
    StepId("no such step[7]"),
    StepId("\x00\ud800"),
)
MOMENTS = tuple(Moment(at) for at in (0, -1, -(1 << 70), 1 << 70, 30 * SECOND))
ATTEMPTS = (1, 0, -1, 2, 1 << 70)
DRAWS = (0.0, 0.999, 1.0, -1.0, 1e308, math.nan, math.inf, -math.inf)


def garbage(plan: Plan) -> Iterator[Event]:
    """Every kind of event with every kind of value, sensible or not."""
    everything = tuple(Bound(name, Digest(b"")) for name in STEPS) + tuple(Unbindable(name) for name in STEPS)
    declined = tuple(Declined(name) for name in STEPS)
    lists = tuple(BoundEach(name, items, Digest(b"")) for name in STEPS for items in (-1, 1 << 70, 2))
    moments = tuple(Until(name, at) for name in STEPS for at in MOMENTS[:3])
    for at in MOMENTS:
        for inputs in ((), everything, everything[::-1], declined, moments, lists):
            yield Started(at, plan.id, inputs)
            yield Started(at, plan.id, inputs, Micros(-1))
            yield Started(at, plan.id, inputs, Micros(SECOND))
            yield Started(at, PlanId(""), inputs)
            yield Ticked(at, inputs)
            for takeover in (False, True):
                yield Resumed(at, takeover, not takeover, inputs)
                yield Resumed(at, takeover, takeover, inputs)
        yield from (
            HandedBack(at),
            Paused(at),
            PauseRequested(at),
            ResumeRequested(at),
            ResumeRequested(at, extend=True),
            Accompanied(at),
            EventReceived(at),
            RetryRequested(at),
            CompensationRequested(at),
        )
        yield from (Rescheduled(at, at), CompensationRequested(at, expect=-1), RetryRequested(at, expect=1 << 70))
        for name in ("", "paid", "no such event"):
            for expires in (None, *MOMENTS):
                yield EventReceived(at, name, Digest(b""), expires)
            yield EventReceived(at, name, Digest(b"about"))
        yield from (WaitDefaulted(at, name, everything) for name in STEPS)
        yield from (AbortRequested(at, until) for until in MOMENTS)
        yield from (Rescheduled(at, to, name) for to in MOMENTS for name in STEPS)
        yield from (MomentsMoved(at, since, until) for since in MOMENTS for until in MOMENTS)
        yield from (SagaParked(at, why) for why in ParkReason)
        yield from (PlanChanged(at, plan.id), PlanChanged(at, PlanId("no such plan")))
    for name in STEPS:
        yield StepSkipped(Moment(0), name, everything)
        yield StepSkipped(Moment(0), name, everything, not_begun=True)
        yield RetryRequested(Moment(0), name)
        yield RetryRequested(Moment(0), name, digest=Digest(b"other"))
        yield RewindRequested(Moment(0), name)
        yield RewindRequested(Moment(0), name, STEPS[:4])
        yield RewindRequested(Moment(0), name, STEPS)
        for finding in Finding:
            yield StepSettled(Moment(0), name, None, (), finding, everything)
        for attempt in ATTEMPTS:
            yield CompensationWaits(Moment(0), name, attempt, ("paid",))
            yield CompensationWaits(Moment(0), name, attempt, (), Micros(-1), Digest(b"about"))
            yield StepSucceeded(Moment(0), name, attempt, everything)
            yield CompensationSucceeded(Moment(0), name, attempt)
            for kind in FailureKind:
                for jitter_draw in DRAWS:
                    yield StepFailed(Moment(0), name, attempt, kind, jitter_draw)
                    yield CompensationFailed(Moment(0), name, attempt, kind, jitter_draw)
                    yield ProbeFailed(Moment(0), name, attempt, kind, jitter_draw)
            for done in (True, False):
                yield ProbeAnswered(Moment(0), name, attempt, done, everything)


def moments_of(saga: Saga) -> Iterator[SagaState | None]:
    """The saga at every point of its story."""
    state: SagaState | None = None
    yield state
    plan = saga.plans[0]
    for event in saga.journal:
        if isinstance(event, PlanChanged):
            plan = saga.plan
        state = transition(plan, state, event).unwrap().state
        yield state


@pytest.mark.parametrize("name", STORIES)
def test_no_event_raises_at_any_point_of(name: str) -> None:
    saga = STORIES[name]()
    for plan in saga.plans:
        for state in moments_of(saga):
            for event in garbage(plan):
                decision = transition(plan, state, event)
                assert isinstance(decision, Success | Failure)


def refused_not_started() -> tuple[Saga, Event]:
    return Saga(ONE), Ticked(Moment(0))


def refused_already_started() -> tuple[Saga, Event]:
    return started(ONE), Started(Moment(0), ONE.id)


def refused_finished() -> tuple[Saga, Event]:
    saga = started(ONE, A)
    saga.succeed(A)
    return saga, RetryRequested(Moment(0))


def refused_unknown_step() -> tuple[Saga, Event]:
    return started(ONE, A), StepSucceeded(Moment(0), B, 1)


def refused_late() -> tuple[Saga, Event]:
    return started(ONE, A), StepSucceeded(Moment(0), A, 2)


def refused_plan_mismatch() -> tuple[Saga, Event]:
    return started(ONE), PlanChanged(Moment(0), THREE.id)


def refused_nothing_to_retry() -> tuple[Saga, Event]:
    return started(ONE, A), RetryRequested(Moment(0))


def refused_nothing_to_compensate() -> tuple[Saga, Event]:
    saga = started(sequence("a", undo=""), A)
    saga.abort()
    return saga, CompensationRequested(Moment(0))


def refused_not_waiting() -> tuple[Saga, Event]:
    return started(ONE, A), StepSkipped(Moment(0), A)


def refused_past_pivot() -> tuple[Saga, Event]:
    saga = started(PIVOTED, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    return saga, CompensationRequested(Moment(0))


def refused_compensation_begun() -> tuple[Saga, Event]:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.fail_undo(A)
    return saga, RetryRequested(Moment(0))


def refused_too_many_events() -> tuple[Saga, Event]:
    saga = started(ONE)
    for _ in range(EVENT_LIMIT):
        saga.tell(EventReceived(Moment(0)))
    return saga, EventReceived(Moment(0))


def refused_no_room() -> tuple[Saga, Event]:
    saga = started(Plan.of(step("a"), wait("b", "a")), A)
    for _ in range(BUFFER_LIMIT):
        saga.tell(EventReceived(Moment(0), "paid"))
    return saga, EventReceived(Moment(0), "paid")


def refused_unknown_event() -> tuple[Saga, Event]:
    return started(Plan.of(wait("a"))), EventReceived(Moment(0), "sent")


def refused_expired() -> tuple[Saga, Event]:
    return started(Plan.of(wait("a"))), EventReceived(Moment(0), "paid", expires=Moment(0))


def refused_undeclared_event() -> tuple[Saga, Event]:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    return saga, CompensationWaits(Moment(0), A, 1, ("paid",))


def refused_nothing_to_settle() -> tuple[Saga, Event]:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    return saga, StepSettled(Moment(0), B)


def refused_may_still_run() -> tuple[Saga, Event]:
    saga, _ = refused_nothing_to_settle()
    saga.abort(until=SECOND)
    return saga, StepSettled(Moment(0), A, finding=Finding.DONE)


def refused_in_doubt() -> tuple[Saga, Event]:
    saga = started(Plan.of(step("a", on_unknown=OnUnknown.PARK)), A)
    saga.fail(A, FailureKind.UNKNOWN)
    return saga, RetryRequested(Moment(0), A, digest=Digest(b"other"))


def refused_no_input() -> tuple[Saga, Event]:
    return started(Plan.of(wait("a"))), RetryRequested(Moment(0), A, digest=Digest(b"other"))


def refused_nothing_to_rewind() -> tuple[Saga, Event]:
    return started(ONE), RewindRequested(Moment(0), A)


def refused_item_alone() -> tuple[Saga, Event]:
    return started(Plan.of(step("a", concurrency=1))), RewindRequested(Moment(0), StepId("a[0]"))


def refused_being_run() -> tuple[Saga, Event]:
    return started(ONE, A), RewindRequested(Moment(0), A, (A,))


def refused_unnamed() -> tuple[Saga, Event]:
    saga = started(THREE, A)
    saga.succeed(A)
    return saga, RewindRequested(Moment(0), A)


def refused_not_begun() -> tuple[Saga, Event]:
    return started(ONE), StepSkipped(Moment(0), A)


def refused_nothing_sleeps() -> tuple[Saga, Event]:
    return started(ONE), Rescheduled(Moment(0), Moment(SECOND))


def refused_too_late() -> tuple[Saga, Event]:
    saga = Saga(Plan.of(step("a"), deadline=Micros(SECOND)))
    saga.tell(Started(Moment(0), saga.plan.id, delay=Micros(SECOND)))
    return saga, Rescheduled(Moment(0), LAST_MOMENT)


def refused_moved_on() -> tuple[Saga, Event]:
    return started(ONE, A), AbortRequested(Moment(0), Moment(0), expect=2)


def refused_already_paused() -> tuple[Saga, Event]:
    saga = started(ONE)
    saga.tell(PauseRequested(Moment(0)))
    return saga, PauseRequested(Moment(0))


def refused_not_paused() -> tuple[Saga, Event]:
    return started(ONE), ResumeRequested(Moment(0))


def refused_nothing_to_move() -> tuple[Saga, Event]:
    return started(ONE), MomentsMoved(Moment(SECOND), Moment(0), Moment(SECOND))


def refused_not_over() -> tuple[Saga, Event]:
    return started(Plan.of(wait("a", timeout=Micros(SECOND), default=True))), WaitDefaulted(Moment(0), A)


REFUSED = {
    refused.__name__.removeprefix("refused_"): refused
    for refused in (
        refused_not_started,
        refused_already_started,
        refused_finished,
        refused_unknown_step,
        refused_late,
        refused_plan_mismatch,
        refused_nothing_to_retry,
        refused_nothing_to_compensate,
        refused_not_waiting,
        refused_compensation_begun,
        refused_past_pivot,
        refused_too_many_events,
        refused_no_room,
        refused_unknown_event,
        refused_expired,
        refused_not_over,
        refused_already_paused,
        refused_not_paused,
        refused_nothing_to_move,
        refused_undeclared_event,
        refused_nothing_to_settle,
        refused_may_still_run,
        refused_nothing_to_rewind,
        refused_item_alone,
        refused_being_run,
        refused_unnamed,
        refused_in_doubt,
        refused_no_input,
        refused_not_begun,
        refused_nothing_sleeps,
        refused_too_late,
        refused_moved_on,
    )
}


NEVER_OF_AN_EVENT = {Refusal.NOT_FAILED, Refusal.ACKNOWLEDGED}
"""An acknowledgement is beside the journal, and is refused elsewhere: `test_acknowledgement.py`."""


@pytest.mark.parametrize("refusal", sorted(set(Refusal) - NEVER_OF_AN_EVENT))
def test_every_refusal_is_reached(refusal: Refusal) -> None:
    saga, event = REFUSED[refusal.value]()
    assert saga.refusal(event) is refusal


def test_no_more_events_are_kept_than_fit_into_a_state() -> None:
    saga, event = refused_no_room()
    assert saga.refusal(event) is Refusal.NO_ROOM
    unknown = Rejection(Refusal.UNKNOWN_STEP, StepId("x"))
    assert saga.rejection(WaitDefaulted(Moment(0), StepId("x"))) == unknown


def test_a_refusal_names_the_step_that_it_is_about() -> None:
    saga = started(THREE, A)
    correlation: list[Event] = [
        StepSucceeded(Moment(0), B, 1),
        StepFailed(Moment(0), B, 1),
        CompensationSucceeded(Moment(0), B, 1),
        CompensationFailed(Moment(0), B, 1),
        ProbeAnswered(Moment(0), B, 1, done=True),
        ProbeFailed(Moment(0), B, 1),
        CompensationWaits(Moment(0), B, 1, ("paid",)),
        StepSkipped(Moment(0), B),
        RetryRequested(Moment(0), B),
        StepSettled(Moment(0), B),
        RewindRequested(Moment(0), B),
    ]
    for event in correlation:
        assert transition(THREE, saga.state, event).failure().step == B
    for event in correlation:
        of_unknown = transition(ONE, started(ONE, A).state, event).failure()
        assert (of_unknown.refusal, of_unknown.step) == (Refusal.UNKNOWN_STEP, B)


def test_a_state_of_another_plan_is_refused() -> None:
    saga = started(ONE, A)
    decision = transition(THREE, saga.state, Ticked(Moment(0)))
    assert decision.failure().refusal is Refusal.PLAN_MISMATCH
    assert transition(THREE, None, Started(Moment(0), ONE.id)).failure().refusal is Refusal.PLAN_MISMATCH


@pytest.mark.parametrize("name", STORIES)
def test_spurious_events_are_harmless(name: str) -> None:
    """A tick or a claim that finds nothing to do changes nothing but the count, and asks for what was asked before."""
    saga = STORIES[name]()
    plan = saga.plans[0]
    for state in moments_of(saga):
        if state is None or state.ended or state.plan != plan.id:
            continue
        once = transition(plan, state, Ticked(state.at)).unwrap()
        twice = transition(plan, once.state, Ticked(state.at)).unwrap()
        assert (twice.state.steps, twice.state.goal) == (once.state.steps, once.state.goal)
        assert (twice.needs, twice.writes, twice.actions) == (once.needs, once.writes, ())
        if isinstance(once.writes[0] if once.writes else None, Release) and not state.paused:  # a claim ends a pause
            claimed = transition(plan, once.state, Resumed(state.at)).unwrap()
            assert (claimed.state.steps, claimed.needs, claimed.writes) == (once.state.steps, once.needs, once.writes)


def test_a_duplicate_result_is_late() -> None:
    saga = started(DIAMOND, A)
    saga.succeed(A, B, C)
    assert saga.refusal(StepSucceeded(Moment(0), A, 1)) is Refusal.LATE
    saga.succeed(B)
    assert saga.refusal(StepSucceeded(Moment(0), B, 1)) is Refusal.LATE
    assert saga.refusal(StepFailed(Moment(0), B, 1)) is Refusal.LATE
