"""The words the tests of the core are written in: plans by name, and a saga that is told what happens to it."""

from __future__ import annotations

from typing import TypeVar

from returns.result import Failure, Success

from saga_fn.core.effects import Refusal, Rejection, Transition
from saga_fn.core.events import (
    AbortRequested,
    Bound,
    CompensationFailed,
    CompensationSucceeded,
    CompensationWaits,
    Event,
    EventReceived,
    FailureKind,
    ProbeAnswered,
    ProbeFailed,
    Resumed,
    Started,
    StepFailed,
    StepSucceeded,
    Ticked,
    WaitDefaulted,
)
from saga_fn.core.facts import find
from saga_fn.core.ids import Digest, Micros, Moment, StepId
from saga_fn.core.invariants import ASKED, STATE_LAWS, Edge
from saga_fn.core.leftovers import left_over
from saga_fn.core.plan import OnTimeout, OnUnknown, Plan, PlannedStep, StepKind
from saga_fn.core.projection import Projection, SagaStatus, project
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import Probing, Running, SagaState, StepState, Undoing
from saga_fn.core.transition import transition

S = TypeVar("S")

SECOND = 1_000_000
MINUTE = 60 * SECOND
THRICE = RetrySchedule(attempts=3, base=Micros(SECOND))
AT_ONCE = RetrySchedule(attempts=3)

OTHER = Digest(b"other")
A, B, C, D = (StepId(name) for name in "abcd")


def step(
    name: str,
    *after: str,
    undo: bool = True,
    retry: RetrySchedule | None = None,
    undo_retry: RetrySchedule | None = None,
    undo_waits: tuple[str, ...] = (),
    undo_parks: bool = False,
    pivot: bool = False,
    when: bool = False,
    on_unknown: OnUnknown = OnUnknown.REPEAT,
    probe_retry: RetrySchedule | None = None,
    concurrency: int = 0,
    unknown_retry: RetrySchedule | None = None,
    undo_in_doubt: bool = False,
    has_unknown_policies: bool = False,
    own_retry: bool = True,
    transactional: bool = False,
) -> PlannedStep:
    return PlannedStep(
        StepId(name),
        tuple(StepId(needed) for needed in after),
        retry or RetrySchedule(),
        undo,
        undo_retry or RetrySchedule(),
        pivot,
        on_unknown,
        probe_retry or RetrySchedule(),
        conditional=when,
        concurrency=concurrency,
        undo_waits_for=undo_waits,
        undo_parks=undo_parks,
        unknown_retry=unknown_retry or RetrySchedule(),
        undoes_in_doubt=undo_in_doubt or on_unknown is OnUnknown.UNDO,
        refusal_settles=has_unknown_policies,
        own_retry=own_retry,
        transactional=transactional,
    )


def wait(
    name: str,
    *after: str,
    names: tuple[str, ...] = ("paid",),
    timeout: Micros | None = None,
    default: bool = False,
    correlated: bool = False,
) -> PlannedStep:
    """A wait for one of these events."""
    return PlannedStep(
        StepId(name),
        tuple(StepId(needed) for needed in after),
        kind=StepKind.EVENT,
        timeout=timeout,
        on_timeout=OnTimeout.DEFAULT if default else OnTimeout.FAIL,
        waits_for=names,
        correlated=correlated,
    )


def sleep(name: str, *after: str, timeout: Micros | None = None) -> PlannedStep:
    """A sleep of that long, or until a moment that has to be computed."""
    return PlannedStep(StepId(name), tuple(StepId(needed) for needed in after), kind=StepKind.SLEEP, timeout=timeout)


def sequence(names: str, *, undo: str | None = None, retry: RetrySchedule | None = None) -> Plan:
    """Steps named by one message each, every one after the one before; `undo` names those with a compensation."""
    undone = names if undo is None else undo
    return Plan.of(
        *(
            step(name, *(names[place - 1] if place else ""), undo=name in undone, retry=retry, undo_retry=retry)
            for place, name in enumerate(names)
        )
    )


ONE = sequence("a")
AGAIN = sequence("abc", retry=THRICE)
AGAIN_AT_ONCE = sequence("a", retry=AT_ONCE)
THREE = sequence("abc")
DIAMOND = Plan.of(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"))
PIVOTED = Plan.of(step("a"), step("b", "a", undo=False, pivot=True), step("c", "b", undo=False))
TWO_ROOTS = Plan.of(step("a"), step("b"), step("c", "a", "b"))


class Saga:
    """A saga under test: `tell` it what happened, look at `state`, and find every accepted event in `journal`."""

    def __init__(self, plan: Plan) -> None:
        self.plans = [plan]
        self.current: SagaState | None = None
        self.journal: list[Event] = []
        self.now = 0

    @property
    def plan(self) -> Plan:
        return self.plans[-1]

    @plan.setter
    def plan(self, changed: Plan) -> None:
        self.plans.append(changed)

    @property
    def state(self) -> SagaState:
        assert self.current is not None
        return self.current

    @property
    def status(self) -> SagaStatus:
        return self.row.status

    @property
    def row(self) -> Projection:
        return project(self.plan, self.state)

    @property
    def leftovers(self) -> dict[str, str]:
        return {left.step_id: left.kind.value for left in left_over(self.plan, self.state)}

    def of(self, name: StepId, kind: type[S]) -> S:
        """The step's state, which must be of that kind."""
        found = find(self.state, name)
        assert isinstance(found, kind), found
        return found

    def kinds(self) -> dict[str, str]:
        """What has become of each step, by the name of its state."""
        return {found.step: type(found).__name__ for found in self.state.steps}

    def tell(self, event: Event) -> Transition:
        """Fold an event that must be accepted, and break no promise."""
        match transition(self.plan, self.current, event):
            case Success(moved):
                assert broken(self.plan, self.current, event, moved) == []
                self.current = moved.state
                self.journal.append(event)
                return moved
            case Failure(rejection):
                raise AssertionError(f"refused: {rejection}")

    def ask(self, event: Event) -> Transition:
        """Fold what comes from outside, and let the saga's next owner go on."""
        moved = self.tell(event)
        return self.tick() if moved.writes and not self.state.ended else moved

    def refusal(self, event: Event) -> Refusal:
        """Why an event is refused; it must be."""
        return self.rejection(event).refusal

    def rejection(self, event: Event) -> Rejection:
        """How an event is refused; it must be."""
        match transition(self.plan, self.current, event):
            case Failure(rejection):
                return rejection
            case Success(moved):
                raise AssertionError(f"accepted: {moved.state}")

    def wait(self, microseconds: int) -> Moment:
        self.now += microseconds
        return Moment(self.now)

    @property
    def moment(self) -> Moment:
        return Moment(self.now)

    def start(self, *bound_steps: StepId) -> Transition:
        return self.tell(Started(self.moment, self.plan.id, bound(*bound_steps)))

    def succeed(self, name: StepId, *bound_steps: StepId) -> Transition:
        attempt = self.of(name, Running).attempts.attempt
        return self.tell(StepSucceeded(self.moment, name, attempt, bound(*bound_steps)))

    def fail(
        self, name: StepId, kind: FailureKind = FailureKind.ERROR, jitter_draw: float = 0.0, after: Micros | None = None
    ) -> Transition:
        return self.tell(
            StepFailed(self.moment, name, self.of(name, Running).attempts.attempt, kind, jitter_draw, after)
        )

    def undo(self, name: StepId) -> Transition:
        return self.tell(CompensationSucceeded(self.moment, name, self.of(name, Undoing).attempts.attempt))

    def fail_undo(self, name: StepId, kind: FailureKind = FailureKind.ERROR, after: Micros | None = None) -> Transition:
        attempt = self.of(name, Undoing).attempts.attempt
        return self.tell(CompensationFailed(self.moment, name, attempt, kind, after=after))

    def found(self, name: StepId, *bound_steps: StepId, done: bool = True) -> Transition:
        number = self.of(name, Probing).attempts.probes
        return self.tell(ProbeAnswered(self.moment, name, number, done, bound(*bound_steps)))

    def fail_probe(
        self, name: StepId, kind: FailureKind = FailureKind.ERROR, after: Micros | None = None
    ) -> Transition:
        return self.tell(ProbeFailed(self.moment, name, self.of(name, Probing).attempts.probes, kind, after=after))

    def undo_waits(
        self, name: StepId, *events: str, timeout: Micros | None = None, correlation: bytes = b""
    ) -> Transition:
        attempt = self.of(name, Undoing).attempts.attempt
        return self.tell(
            CompensationWaits(self.moment, name, attempt, events or ("paid",), timeout, Digest(correlation))
        )

    def resume(self, *bound_steps: StepId) -> Transition:
        return self.tell(Resumed(self.moment, inputs=bound(*bound_steps)))

    def take_over(self, *bound_steps: StepId, isolated: bool = False) -> Transition:
        return self.tell(Resumed(self.moment, takeover=True, isolated=isolated, inputs=bound(*bound_steps)))

    def tick(self, *bound_steps: StepId) -> Transition:
        return self.tell(Ticked(self.moment, bound(*bound_steps)))

    def receive(self, name: str, correlation: bytes = b"", expires: int | None = None) -> Transition:
        void = None if expires is None else Moment(expires)
        return self.tell(EventReceived(self.moment, name, Digest(correlation), void))

    def hear(self, name: str, correlation: bytes = b"") -> Transition:
        """The same by a sender in the owner's stead; then the next owner goes on."""
        return self.ask(EventReceived(self.moment, name, Digest(correlation)))

    def default(self, name: StepId, *bound_steps: StepId) -> Transition:
        return self.tell(WaitDefaulted(self.moment, name, bound(*bound_steps)))

    def abort(self, until: int = 0) -> Transition:
        return self.tell(AbortRequested(self.moment, Moment(until)))


def broken(plan: Plan, before: SagaState | None, event: Event, moved: Transition) -> list[str]:
    """The names of the laws that an accepted event breaks."""
    laws = [law.__name__ for law in STATE_LAWS if not law(plan, moved.state)]
    if before is None:
        return laws
    return laws + [law.__name__ for law in ASKED.broken(Edge.of(plan, before, event, moved))]


def bound(*steps: StepId, digest: bytes = b"input") -> tuple[Bound, ...]:
    return tuple(Bound(name, Digest(digest)) for name in steps)


def started(plan: Plan, *bound_steps: StepId) -> Saga:
    saga = Saga(plan)
    saga.start(*bound_steps)
    return saga


def running(saga: Saga) -> set[StepState]:
    return {found for found in saga.state.steps if isinstance(found, Running | Undoing)}
