"""The walk itself: breadth-first through the states of a saga, checking each and every edge on the way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import attrs
import msgspec
from typing_extensions import override

from saga_fn.core.effects import Transition
from saga_fn.core.events import AbortRequested, Event, Started, StepSkipped, name_of
from saga_fn.core.explore.offers import OPERATOR_VERBS, events_for, events_of, variants
from saga_fn.core.explore.shapes import LATER, NOW, cut_plan, steps_of
from saga_fn.core.explore.told import Told
from saga_fn.core.explore.view import interchangeable, repeated_in, view_of
from saga_fn.core.facts import due
from saga_fn.core.ids import Micros, PlanId, StepId
from saga_fn.core.invariants import ASKED, STATE_LAWS, Edge
from saga_fn.core.leftovers import LeftOverKind, left_over
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus, project
from saga_fn.core.state import SagaState, Skipped


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
    """The result of a walk. Where `bounded`, the budget ran out: there is more than this, and no promise is proved."""

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
    walk = Walk([cut_plan(each) for each in (plan, *changes)], budget, skips)
    walk.run()
    return walk.report()


class Walk:
    """One exploration under way. States are known by their number, in the order in which they were found."""

    def __init__(self, plans: Sequence[Plan], budget: int, skips: int | None) -> None:
        self.plans: dict[PlanId, Plan] = {plan.id: plan for plan in plans}
        self.told: dict[PlanId, Told] = {plan.id: Told(events_of(plan)) for plan in plans}
        self.first: Plan = plans[0]
        self.twins: dict[PlanId, tuple[tuple[StepId, ...], ...]] = {plan.id: interchangeable(plan) for plan in plans}
        self.budget: int = budget
        self.skips: int = len(steps_of(plans[0])) + 1 if skips is None else skips
        self.bounded: bool = False
        self.numbers: dict[bytes, int] = {}
        self.known: dict[SagaState, int] = {}
        """The same by the states themselves, as they were met: most edges lead to one whose view is known."""
        self.states: list[SagaState] = []
        self.statuses: list[SagaStatus] = []
        self.found_by: list[tuple[int | None, Event]] = []
        self.edges: int = 0
        self.moves: set[tuple[SagaStatus | None, str, SagaStatus]] = set()
        self.violations: list[Violation] = []
        self.before: tuple[list[set[int]], list[set[int]]] = ([], [])
        """Who leads to each state: by what happens of itself, and by anything but an abort."""

    def run(self) -> None:
        """Walk."""
        for delay in (Micros(0), Micros(LATER)):
            for event, moved in variants(self.first, None, Started(NOW, self.first.id, delay=delay), set()):
                self._arrive(None, None, event, moved)
        place = 0
        while place < len(self.states):
            state, tried = self.states[place], set[tuple[type[Event], Transition]]()
            repeated = repeated_in(state, self.twins[state.plan])
            told = self.told[state.plan].at(state, turn=place)
            for plan, timed, event in events_for(self.plans, {state.plan: told}, state, repeated):
                for variant, moved in variants(plan, timed, event, tried):
                    self._arrive(place, Edge.of(plan, timed, variant, moved), variant, moved)
            place += 1
        if len(self.states) < self.budget or not self.bounded:
            self._judge_ways_out()

    def _arrive(self, source: int | None, edge: Edge | None, event: Event, moved: Transition) -> None:
        self.edges += 1
        if edge is not None:
            for broken in ASKED.broken(edge):
                self.violations.append(Violation(broken.__name__, moved.state, (*self._story(source), _tell(event))))
        number = self._number(source, event, moved.state)
        if number is None:
            return
        self.moves.add((None if source is None else self.statuses[source], name_of(event), self.statuses[number]))
        if source is not None and source != number and type(event) is not AbortRequested:
            of_itself, by_anyone = self.before
            by_anyone[number].add(source)
            if type(event) not in OPERATOR_VERBS:
                of_itself[number].add(source)

    def _number(self, source: int | None, event: Event, state: SagaState) -> int | None:
        """The number of the state's view; None if it is out of bounds."""
        plan = self.plans[state.plan]
        if type(event) is StepSkipped and sum(isinstance(step, Skipped) for step in state.steps) > self.skips:
            self.bounded = True
            return None
        number = self.known.get(state)
        if number is not None:
            return number
        view = view_of(plan, state, self.twins[plan.id])
        key = msgspec.msgpack.encode(view)
        number = self.numbers.get(key)
        if number is not None:
            self.known[state] = number
            return number
        if len(self.states) >= self.budget:
            self.bounded = True
            return None
        number = self.numbers[key] = self.known[state] = len(self.states)
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
        """Everything that was found."""
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
    return f"{name_of(event)} {step}" if step else name_of(event)
