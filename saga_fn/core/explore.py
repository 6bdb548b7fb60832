"""Every outcome of a plan, found before the first deploy.

`explore` walks breadth-first through every state that a saga of the plan can reach, over all events: successes, every
kind of failure, crashes and takeovers, hand-backs, late and duplicate results, every operator's verb, outside events,
inputs that change or cannot be computed, changes of the plan. In every state and on every edge it checks the promises
of `invariants/`; at the end, that every state has a way to an end.

States are compared by the view of `view.py`. Of the inputs that one event may carry for several steps, only a few
combinations are tried: binding them one after another leads to the same states.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import attrs
import msgspec
from returns.result import Failure
from typing_extensions import override

from saga_fn.core.effects import Transition
from saga_fn.core.events import (
    AbortRequested,
    Binding,
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
    HandedBack,
    PlanChanged,
    ProbeAnswered,
    ProbeFailed,
    Resumed,
    RetryRequested,
    SagaParked,
    Started,
    StepFailed,
    StepSkipped,
    StepSucceeded,
    Ticked,
    Unbindable,
    Until,
    WaitDefaulted,
    carries_inputs,
    name_of,
)
from saga_fn.core.ids import Digest, Moment, PlanId, StepId, item_of
from saga_fn.core.invariants import EDGE_LAWS, STATE_LAWS, Edge
from saga_fn.core.leftovers import LeftOverKind, left_over
from saga_fn.core.plan import OnUnknown, Plan, StepKind
from saga_fn.core.projection import SagaStatus, project
from saga_fn.core.reading import due
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import (
    Gathered,
    NotTaken,
    ParkReason,
    Retrying,
    SagaState,
    Skipped,
    Sleeping,
    Spread,
    StepState,
    Succeeded,
    Undone,
    UndoRetrying,
    UndoWaiting,
    Unknown,
    Waiting,
)
from saga_fn.core.transition import transition
from saga_fn.core.view import LATER, MOST_ITEMS, NOW, SAME, TOO_LATE, cut_plan, interchangeable, view_of

_SOON = Moment(1)
_OTHER = Digest(b"other")
_replace = msgspec.structs.replace
_TIMELESS: TypeAlias = Succeeded | Skipped | NotTaken | Spread | Gathered | Undone

OPERATOR_VERBS = (StepSkipped, RetryRequested, CompensationRequested, AbortRequested)


@attrs.frozen
class Outcome:
    """One way for a saga to end, and the shortest story that leads there, event by event."""

    status: SagaStatus
    left_over: tuple[tuple[StepId, LeftOverKind], ...]
    story: tuple[str, ...] = attrs.field(eq=False)


@attrs.frozen
class Violation:
    """A broken promise: its name, the state it was seen in, and the shortest story that leads there."""

    law: str
    state: SagaState
    story: tuple[str, ...]


@attrs.frozen
class Exploration:
    """What was found. Where `bounded`, the budget ran out: there is more than this, and no promise is proved."""

    states: int
    edges: int
    ends: tuple[Outcome, ...]
    moves: frozenset[tuple[SagaStatus | None, str, SagaStatus]]
    """How events move a saga's status: from (None before it starts), the event's kind, to."""
    bounded: bool
    violations: tuple[Violation, ...]

    @override
    def __str__(self) -> str:
        extent = f"bounded: the first {self.states} states" if self.bounded else f"all {self.states} states"
        return f"{extent}, {self.edges} edges, {len(self.ends)} ends, {len(self.violations)} violations"


def explore(
    plan: Plan, *, budget: int = 100_000, changes: Sequence[Plan] = (), skips: int | None = None
) -> Exploration:
    """Walk through the states of a saga of this plan, `budget` of them at most.

    `changes` are plans that the saga may be changed to on its way, back and forth. `skips` bounds how many steps an
    operator passes over in one saga: each possible one doubles the states of what follows. Leaving it out, or having
    met the bound never, the walk is over all events; else the exploration says that it is bounded.

    >>> from saga_fn.core.plan import PlannedStep
    >>> found = explore(Plan.of(PlannedStep(StepId("a")), PlannedStep(StepId("b"), after=(StepId("a"),))))
    >>> found.bounded, found.violations
    (False, ())
    >>> sorted({end.status.value for end in found.ends})
    ['COMPENSATED', 'COMPLETED', 'FAILED']
    """
    walk = _Walk([cut_plan(each) for each in (plan, *changes)], budget, skips)
    walk.run()
    return walk.report()


class _Walk:
    """One exploration under way. States are known by their number, in the order in which they were found."""

    def __init__(self, plans: Sequence[Plan], budget: int, skips: int | None) -> None:
        self.plans = {plan.id: plan for plan in plans}
        self.first = plans[0]
        self.twins = {plan.id: interchangeable(plan) for plan in plans}
        self.budget = budget
        self.skips = len(_steps(plans[0])) + 1 if skips is None else skips
        self.bounded = False
        self.numbers: dict[bytes, int] = {}
        self.states: list[SagaState] = []
        self.statuses: list[SagaStatus] = []
        self.found_by: list[tuple[int | None, Event]] = []
        self.edges = 0
        self.moves: set[tuple[SagaStatus | None, str, SagaStatus]] = set()
        self.violations: list[Violation] = []
        self.before: tuple[list[set[int]], list[set[int]]] = ([], [])
        """Who leads to each state: by what happens of itself, and by anything but an abort."""

    def run(self) -> None:
        for delay in (0, LATER):
            for event, moved in _variants(self.first, None, Started(NOW, self.first.id, delay=delay)):
                self._arrive(None, None, event, moved)
        place = 0
        while place < len(self.states):
            state = self.states[place]
            for plan, timed, event in _events(self.plans, state):
                for variant, moved in _variants(plan, timed, event):
                    self._arrive(place, Edge.of(plan, timed, variant, moved), variant, moved)
            place += 1
        if len(self.states) < self.budget or not self.bounded:
            self._judge_ways_out()

    def _arrive(self, source: int | None, edge: Edge | None, event: Event, moved: Transition) -> None:
        self.edges += 1
        if edge is not None:
            for law in EDGE_LAWS:
                if not law(edge):
                    self.violations.append(Violation(law.__name__, moved.state, (*self._story(source), _tell(event))))
        number = self._number(source, event, moved.state)
        if number is None:
            return
        self.moves.add((None if source is None else self.statuses[source], name_of(event), self.statuses[number]))
        if source is not None and source != number and not isinstance(event, AbortRequested):
            of_itself, by_anyone = self.before
            by_anyone[number].add(source)
            if not isinstance(event, OPERATOR_VERBS):
                of_itself[number].add(source)

    def _number(self, source: int | None, event: Event, state: SagaState) -> int | None:
        """The number of the state's view; None if it is out of bounds."""
        plan = self.plans[state.plan]
        if isinstance(event, StepSkipped) and sum(isinstance(step, Skipped) for step in state.steps) > self.skips:
            self.bounded = True
            return None
        view = view_of(plan, state, self.twins[plan.id])
        key = msgspec.msgpack.encode(view)
        number = self.numbers.get(key)
        if number is not None:
            return number
        if len(self.states) >= self.budget:
            self.bounded = True
            return None
        number = self.numbers[key] = len(self.states)
        self.states.append(view)
        self.statuses.append(project(plan, view).status)
        self.found_by.append((source, event))
        for predecessors in self.before:
            predecessors.append(set())
        for law in STATE_LAWS:
            # The state itself, and as it looks when its timers are still to come.
            if not (law(plan, view) and law(plan, state)):
                self.violations.append(Violation(law.__name__, state, self._story(number)))
        return number

    def _story(self, number: int | None) -> tuple[str, ...]:
        told: list[str] = []
        while number is not None:
            number, event = self.found_by[number]
            told.append(_tell(event))
        return tuple(reversed(told))

    def _judge_ways_out(self) -> None:
        ended = {number for number, state in enumerate(self.states) if state.ended}
        resting = ended | {n for n, state in enumerate(self.states) if due(self.plans[state.plan], state) is None}
        of_itself, by_anyone = self.before
        for law, goals, predecessors in (
            ("comes to an end or waits for a person, of itself", resting, of_itself),
            ("has a way to an end other than abort", ended, by_anyone),
        ):
            for number in sorted(set(range(len(self.states))) - _leading_to(goals, predecessors)):
                self.violations.append(Violation(law, self.states[number], self._story(number)))

    def report(self) -> Exploration:
        ends: dict[Outcome, None] = {}
        for number, state in enumerate(self.states):
            if state.ended:
                left = tuple((left.step_id, left.kind) for left in left_over(self.plans[state.plan], state))
                ends.setdefault(Outcome(self.statuses[number], left, self._story(number)))
        return Exploration(
            states=len(self.states),
            edges=self.edges,
            ends=tuple(ends),
            moves=frozenset(self.moves),
            bounded=self.bounded,
            violations=tuple(self.violations),
        )


def _leading_to(goals: Iterable[int], predecessors: Sequence[set[int]]) -> set[int]:
    reached = set(goals)
    queue = deque(reached)
    while queue:
        fresh = predecessors[queue.popleft()] - reached
        reached |= fresh
        queue.extend(fresh)
    return reached


def _tell(event: Event) -> str:
    step = getattr(event, "step", None)
    return name_of(event) if step is None else f"{name_of(event)} {step}"


# What may happen.


def _events(plans: dict[PlanId, Plan], state: SagaState) -> Iterator[tuple[Plan, SagaState, Event]]:
    """Every event worth telling to the state, with the plan to fold it by and the state as timers have it then."""
    plan = plans[state.plan]
    for timed in _firing(state):
        yield plan, timed, Ticked(_SOON)
    for event in (*_events_of_an_owner(plan), *_events_of_an_operator(plan)):
        yield plan, state, event
    for other in plans.values():
        yield other, state, PlanChanged(NOW, other.id)
    for event in _events_of_waits(plan):
        yield plan, state, event
    # An outside event that came since the inputs were bound excuses other inputs than before.
    yield plan, _replace(state, events=(0,)), Ticked(NOW)


def _events_of_an_owner(plan: Plan) -> Iterator[Event]:
    yield Started(NOW, plan.id)
    yield Ticked(NOW)
    yield Resumed(NOW)
    yield Resumed(NOW, takeover=True)
    yield Resumed(NOW, takeover=True, alone=True)
    yield HandedBack(NOW)
    yield SagaParked(NOW, ParkReason.ROW_REFUSED)
    yield EventReceived(NOW)
    for step in _steps(plan):
        planned = plan.step(step)
        for attempt in (1, 2):  # the one that runs, and one that never did
            yield StepSucceeded(NOW, step, attempt)
            yield CompensationSucceeded(NOW, step, attempt)
            for kind in FailureKind:
                for at, draw in _failings(planned.retry):
                    yield StepFailed(at, step, attempt, kind, draw)
            for kind in (FailureKind.ERROR, FailureKind.UNREADABLE):  # the others count as errors
                for at, draw in _failings(planned.undo_retry):
                    yield CompensationFailed(at, step, attempt, kind, draw)
            if planned.on_unknown is OnUnknown.PROBE:
                for done in (True, False):
                    yield ProbeAnswered(NOW, step, attempt, done)
                for kind in (FailureKind.ERROR, FailureKind.OUTPUT_LOST, FailureKind.UNREADABLE):  # as above
                    for at, draw in _failings(planned.probe_retry):
                        yield ProbeFailed(at, step, attempt, kind, draw)


def _events_of_waits(plan: Plan) -> Iterator[Event]:
    if not plan.waits:
        return
    for planned in plan.steps:
        yield WaitDefaulted(NOW, planned.step)
    for step in _steps(plan):
        for name in plan.step(step).undo_waits_for:
            yield CompensationWaits(NOW, step, 1, "no such event")
            yield CompensationWaits(NOW, step, 1, name)
            yield CompensationWaits(NOW, step, 1, name, LATER)
    yield EventReceived(NOW, "no such event")
    for name in sorted(plan.events):
        yield EventReceived(NOW, name)
        yield EventReceived(NOW, name, expires=NOW)
        yield EventReceived(NOW, name, expires=LATER)
        if any(planned.correlated for planned in plan.steps if name in planned.waits_for):
            yield EventReceived(NOW, name, SAME)


def _steps(plan: Plan) -> list[StepId]:
    """The steps of the plan, and the items that its fan-outs may have."""
    steps: list[StepId] = []
    for planned in plan.steps:
        steps.append(planned.step)
        if planned.width:
            steps += [item_of(planned.step, number) for number in range(MOST_ITEMS)]
    return steps


def _events_of_an_operator(plan: Plan) -> Iterator[Event]:
    yield RetryRequested(NOW)
    yield CompensationRequested(NOW)
    yield AbortRequested(NOW, NOW)
    yield AbortRequested(NOW, LATER)
    for step in _steps(plan):
        yield StepSkipped(NOW, step)


def _variants(plan: Plan, state: SagaState | None, event: Event) -> Iterator[tuple[Event, Transition]]:
    """The event, if it is accepted, without and with the inputs that it then may carry."""
    decision = transition(plan, state, event)
    if isinstance(decision, Failure):
        return
    moved = decision.unwrap()
    yield event, moved
    if not carries_inputs(event):
        return
    for inputs in _inputs(plan, moved):
        variant = _replace(event, inputs=inputs)
        # Inputs never turn an accepted event into a refused one.
        yield variant, transition(plan, state, variant).unwrap()


def _inputs(plan: Plan, moved: Transition) -> Iterator[tuple[Binding, ...]]:
    if len(moved.needs) > 1:
        yield tuple(_bound(plan, step) for step in moved.needs)
    for step in moved.needs:
        yield (_bound(plan, step),)
        yield (Unbindable(step),)
        if plan.step(step).conditional and step in plan.index:
            yield (Declined(step),)
        if step in plan.widths:
            for items in range(MOST_ITEMS):
                yield (BoundEach(step, items, SAME),)
        elif plan.owner(step) != step or any(found.step == step for found in moved.state.steps):
            yield (Bound(step, _OTHER),)


def _bound(plan: Plan, step: StepId) -> Binding:
    if step in plan.widths:
        return BoundEach(step, MOST_ITEMS, SAME)
    return Until(step, LATER) if plan.step(step).kind is StepKind.SLEEP else Bound(step, SAME)


def _firing(state: SagaState) -> Iterator[SagaState]:
    """The state with its timers set so that one of them fires soon, or all of them."""
    armed = [step.step for step in state.steps if _later(step)]
    for fired in ({step} for step in armed):
        yield _replace(state, steps=tuple(_soon(step) if step.step in fired else step for step in state.steps))
    if len(armed) > 1:
        yield _replace(state, steps=tuple(_soon(step) for step in state.steps))
    own = [each for each in _own_timers(state) if each != state]
    yield from own
    if own and armed:
        for each in own:
            yield _replace(each, steps=tuple(_soon(step) for step in state.steps))


def _own_timers(state: SagaState) -> Iterator[SagaState]:
    """The state with a moment of the saga itself set to come soon."""
    yield _replace(state, begins=min(state.begins, _SOON))
    yield _replace(state, deadline=_sooner(state.deadline))
    yield _replace(state, buffered=tuple(_replace(each, expires=_sooner(each.expires)) for each in state.buffered))


def _sooner(moment: Moment | None) -> Moment | None:
    return None if moment is None else min(moment, _SOON)


def _later(step: StepState) -> bool:
    if isinstance(step, Retrying | UndoRetrying | Unknown) and step.wake > NOW:
        return True
    if isinstance(step, Sleeping):
        return step.wake > NOW
    if isinstance(step, Waiting | UndoWaiting) and step.until is not None and step.until > NOW:
        return True
    if isinstance(step, Waiting):
        return False
    return not isinstance(step, _TIMELESS) and step.tries.until > NOW


def _soon(step: StepState) -> StepState:
    if isinstance(step, _TIMELESS):
        return step
    if isinstance(step, Sleeping):
        return _replace(step, wake=min(step.wake, _SOON))
    if isinstance(step, Waiting):
        return _replace(step, until=_sooner(step.until))
    if isinstance(step, UndoWaiting):
        step = _replace(step, until=_sooner(step.until))
    step = _replace(step, tries=_replace(step.tries, until=Moment(min(step.tries.until, _SOON))))
    return (
        _replace(step, wake=Moment(min(step.wake, _SOON)))
        if isinstance(step, Retrying | UndoRetrying | Unknown)
        else step
    )


def _failings(retry: RetrySchedule) -> Iterator[tuple[Moment, float]]:
    """When an attempt may fail, and what may be drawn for the next."""
    for draw in (0.0, 0.75) if retry.jitter else (0.0,):
        yield NOW, draw
        if retry.within:
            yield TOO_LATE, draw
