"""The words that forged states and edges are written in."""

from __future__ import annotations

from saga_fn.core.effects import Action, Transition, Write
from saga_fn.core.events import Event, StepSucceeded, Ticked
from saga_fn.core.ids import Digest, Micros, Moment, StepId
from saga_fn.core.invariants import Edge
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import (
    Attempts,
    Buffered,
    Doubt,
    FannedOut,
    Goal,
    Parked,
    ParkReason,
    Running,
    SagaState,
    StepState,
    Waiting,
)
from tests.core.given import A, sequence, sleep, step, wait

TWO = sequence("ab")
A0, A1, SEEN = StepId("a[0]"), StepId("a[1]"), Digest(b"x")
FANNED = Plan.of(step("a", concurrency=1), step("b", "a"))
ONCE, TWICE = Attempts(1, digest=Digest(b"x")), Attempts(2, digest=Digest(b"x"))
BACK = Goal.ROLLBACK
DOUBTFUL = Attempts(1, doubt=Doubt.MAY_HAVE_RUN)
TWICE_IN_DOUBT = Attempts(2, doubt=Doubt.MAY_HAVE_RUN)
LATER = Moment(9)
ASKED_ONCE = Attempts(1, doubt=Doubt.MAY_HAVE_RUN, digest=Digest(b"x"), probes=1)
ASKED = Plan.of(
    step("a"),
    step("b", "a", on_unknown=OnUnknown.PROBE, probe_retry=RetrySchedule(attempts=3, base=Micros(1), within=Micros(9))),
)
UNDONE_IN_DOUBT = Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.UNDO))
HELD = Attempts(1, may_run_until=LATER)


def state(*steps: StepState, goal: Goal = Goal.FORWARD, rev: int = 3, events: tuple[int, ...] = ()) -> SagaState:
    return SagaState(rev, Moment(0), goal, steps, events, plan=TWO.id)


EVENTFUL = Plan.of(
    wait("a", timeout=Micros(9)), wait("b", names=("sent",), timeout=Micros(9), default=True), deadline=Micros(20)
)
SLEEPY = Plan.of(sleep("a", timeout=Micros(9)), step("b", "a"))
WAITS = Waiting(A, Moment(9))


def eventful(
    *steps: StepState,
    kept: tuple[int, ...] = (),
    at: int = 0,
    rev: int = 3,
    goal: Goal = Goal.FORWARD,
    begins_at: int = 0,
    deadline: int | None = None,
) -> SagaState:
    buffered = tuple(Buffered(seq, "paid") for seq in kept)
    over = None if deadline is None else Moment(deadline)
    return SagaState(
        rev, Moment(at), goal, steps, begins_at=Moment(begins_at), deadline=over, buffered=buffered, plan=TWO.id
    )


def parked(step: StepId) -> Parked:
    return Parked(step, ONCE, ParkReason.INPUT_FAILED)


def moved(
    after: SagaState, *actions: Action, needs: tuple[StepId, ...] = (), writes: tuple[Write, ...] = ()
) -> Transition:
    return Transition(after, needs, writes, actions)


def edge(before: SagaState, event: Event, after: Transition | SagaState, plan: Plan = TWO) -> Edge:
    return Edge.of(plan, before, event, after if isinstance(after, Transition) else moved(after))


TICK = Ticked(Moment(0))
FANNING = state(FannedOut(A, 3, SEEN), Running(A0, ONCE))
RAN = state(Running(A, ONCE))
SUCCESS = StepSucceeded(Moment(0), A, 1)
