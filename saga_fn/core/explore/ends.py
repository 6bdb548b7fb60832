"""All the ends that a saga may come to by itself, each with the shortest way there.

"By itself" leaves out operators and other plans, and nothing else: each call may return, fail in each way, or never return, each
process may die, each timer may fire, and each event may come or not. Moments are left out as in `view.py`: any timer may fire at any
point. So these may be more ends than real delays allow, and never fewer.

Policies are cut to one attempt, and where a step in doubt is repeated, to one repeat: more of them lead to no other end. A law in
`tests/core/test_ends.py` compares the ends with those of the walk over everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import TypeAlias

import attrs
import msgspec
from returns.result import Failure

from saga_fn.core.effects import Transition
from saga_fn.core.events import (
    Binding,
    Bound,
    BoundEach,
    CompensationFailed,
    CompensationSucceeded,
    CompensationWaits,
    Declined,
    Event,
    EventReceived,
    FailureKind,
    ProbeAnswered,
    ProbeFailed,
    Resumed,
    SagaParked,
    Started,
    StepFailed,
    StepSucceeded,
    Ticked,
    Unbindable,
    Until,
    WaitDefaulted,
)
from saga_fn.core.explore.shapes import LATER, MOST_ITEMS, NOW, SAME, cut_plan
from saga_fn.core.explore.story import told
from saga_fn.core.explore.timers import SOON, firing
from saga_fn.core.explore.view import view_of
from saga_fn.core.facts import due
from saga_fn.core.ids import Micros, StepId
from saga_fn.core.leftovers import LeftOverKind, left_over
from saga_fn.core.plan import Plan, PlannedStep, StepKind
from saga_fn.core.projection import SagaStatus, project
from saga_fn.core.state import (
    Goal,
    Parked,
    ParkReason,
    Probing,
    Running,
    SagaState,
    StepState,
    Undoing,
    UndoParked,
    UndoWaiting,
    Waiting,
    is_executing,
)
from saga_fn.core.step_report import StepStatus, report_of
from saga_fn.core.transition import transition

_replace = msgspec.structs.replace
_MOST_TOGETHER = 256
_SURE = (FailureKind.ERROR, FailureKind.UNKNOWN, FailureKind.OUTPUT_LOST, FailureKind.UNREADABLE)
"""The failures of a step that is not in doubt: the others are as an error is, which no policy tries again here."""
_IN_DOUBT = (*_SURE, FailureKind.BUSINESS_ERROR, FailureKind.FATAL)
_IN_TRANSACTION = (FailureKind.INTERRUPTED, FailureKind.CONFLICTS)


@attrs.frozen
class Rest:
    """A state that a saga does not leave by itself: an end, or one in which it waits for a person."""

    status: SagaStatus
    steps: tuple[tuple[StepId, StepStatus], ...]
    """Every step, and the items of a fan-out behind it."""
    parked: tuple[tuple[StepId, ParkReason], ...]
    """Why steps wait for a person."""
    left_over: tuple[tuple[StepId, LeftOverKind], ...]
    story: tuple[str, ...] = attrs.field(eq=False)
    """The shortest way there, a sentence for each event."""


@attrs.frozen
class Ends:
    """The result of a walk. Where `bounded`, there is more than this."""

    ends: tuple[Rest, ...]
    stops: tuple[Rest, ...]
    """Where a saga waits for a person."""
    states: int
    bounded: bool


def ends_of(plan: Plan, *, budget: int, given: frozenset[StepId] = frozenset()) -> Ends:
    """All the ends that a saga of this plan may come to by itself, from `budget` states at most.

    `given` are the steps whose inputs are not computed: that cannot fail, other than by a payload that the step itself cannot read.

    >>> from saga_fn.core.plan import PlannedStep
    >>> found = ends_of(Plan.of(PlannedStep(StepId("a"))), budget=1000)
    >>> sorted((end.status.value, *end.steps) for end in found.ends)[0]
    ('COMPENSATED', ('a', <StepStatus.FAILED: 'FAILED'>))
    """
    return _Walk(shortened(plan), budget, given).run()


def shortened(plan: Plan) -> Plan:
    """The plan with policies that are used up at once, and with few moments and items."""
    plan = cut_plan(plan)
    steps = (
        _replace(
            step,
            retry=_replace(step.retry, attempts=1),
            undo_retry=_replace(step.undo_retry, attempts=1),
            probe_retry=_replace(step.probe_retry, attempts=1),
            unknown_retry=_replace(step.unknown_retry, attempts=min(2, step.unknown_retry.attempts)),
        )
        for step in plan.steps
    )
    return Plan.from_data(_replace(plan.data, steps=tuple(steps)))


_Edge: TypeAlias = tuple[int | None, Event]
"""The number of the state before, if there is one, and the event."""
_Reasons: TypeAlias = tuple[tuple[StepId, ParkReason], ...]


class _Walk:
    """Breadth-first; states are known by their number, in the order in which they were found.

    Each item of a fan-out keeps its name: a law of a test may name one, and items that begin one after the other are not alike.
    """

    def __init__(self, plan: Plan, budget: int, given: frozenset[StepId]) -> None:
        self.plan = plan
        self.budget = budget
        self.given = given
        self.bounded = False
        self.numbers: dict[bytes, int] = {}
        self.known: set[SagaState] = set()
        self.states: list[SagaState] = []
        self.found_by: list[_Edge] = []
        self.reasons: list[_Reasons] = []
        self.others: dict[tuple[int, _Reasons], tuple[SagaState, _Edge]] = {}
        """States that differ from one that is known by the reasons alone for which its steps are parked."""

    def run(self) -> Ends:
        for event, moved in variants(self.plan, None, Started(NOW, self.plan.id), self.given):
            self._arrive(None, event, moved.state)
        place = 0
        while place < len(self.states):
            for state, event in happenings(self.plan, self.states[place]):
                for variant, moved in variants(self.plan, state, event, self.given):
                    self._arrive(place, variant, moved.state)
            place += 1
        return self._told()

    def _arrive(self, source: int | None, event: Event, state: SagaState) -> None:
        if state in self.known:
            return
        reasons = _reasons(state, () if source is None else self.reasons[source])
        seen = view_of(self.plan, state, ())
        key = msgspec.msgpack.encode(seen)
        number = self.numbers.get(key)
        if number is None:
            if len(self.states) >= self.budget:
                self.bounded = True
                return
            self.numbers[key] = len(self.states)
            self.states.append(seen)
            self.found_by.append((source, event))
            self.reasons.append(reasons)
        elif reasons != self.reasons[number]:
            _ = self.others.setdefault((number, reasons), (seen, (source, event)))
        self.known.add(state)

    def _told(self) -> Ends:
        ends: dict[Rest, Rest] = {}
        stops: dict[Rest, Rest] = {}
        others = [(state, edge, why) for (_, why), (state, edge) in self.others.items()]
        for state, edge, reasons in (*zip(self.states, self.found_by, self.reasons, strict=True), *others):
            if state.ended:
                self._tell(ends, state, edge, ())
            elif _is_stop(self.plan, state):
                self._tell(stops, state, edge, reasons)
        return Ends(tuple(ends.values()), tuple(stops.values()), len(self.states), self.bounded)

    def _tell(self, found: dict[Rest, Rest], state: SagaState, edge: _Edge, reasons: _Reasons) -> None:
        rest = Rest(
            project(self.plan, state).status,
            tuple((step.step_id, step.status) for step in report_of(self.plan, state)),
            reasons,
            tuple((left.step_id, left.kind) for left in left_over(self.plan, state)),
            (),
        )
        if rest not in found:
            found[rest] = attrs.evolve(rest, story=self._story(state, edge))

    def _story(self, state: SagaState, edge: _Edge) -> tuple[str, ...]:
        story: list[str] = []
        source, event = edge
        after = state
        while source is not None:
            before = self.states[source]
            story.append(told(before, event, after))
            after = before
            source, event = self.found_by[source]
        story.append(told(None, event, after))
        return tuple(sentence for sentence in reversed(story) if sentence)


def _reasons(state: SagaState, before: _Reasons) -> _Reasons:
    """Why its steps are parked: the view knows that no more of those that were before."""
    parked = {step.step: step.why for step in state.steps if isinstance(step, Parked | UndoParked)}
    known = dict(before)
    return tuple((step, known.get(step, why)) for step, why in parked.items())


def _is_stop(plan: Plan, state: SagaState) -> bool:
    """Whether a person alone can make it go on."""
    goes_on = due(plan, state) is not None or any(map(is_executing, state.steps))
    return not goes_on and not any(isinstance(step, Waiting | UndoWaiting) for step in state.steps)


def happenings(plan: Plan, state: SagaState) -> Iterator[tuple[SagaState, Event]]:
    """Everything that may happen to the state by itself, with the state as its timers are then."""
    if state.ended:
        return
    running = [step for step in state.steps if is_executing(step)]
    if running:
        yield state, Resumed(NOW, takeover=True)
        yield state, SagaParked(NOW, ParkReason.CRASH_LOOP)  # as after that many takeovers
    if state.goal is not Goal.FORWARD and running and all(isinstance(step, Undoing) for step in running):
        # Compensations that run beside each other know nothing of each other: any order of their results leads to the same.
        for event in _of_step(plan, running[0]):
            yield state, event
        return
    for timed in firing(state):
        yield timed, Ticked(SOON)
    yield state, Ticked(NOW)
    for step in state.steps:
        for event in _of_step(plan, step):
            yield state, event


def _of_step(plan: Plan, step: StepState) -> Iterator[Event]:
    name = step.step
    match step:
        case Running():
            yield StepSucceeded(NOW, name, step.attempts.attempt)
            for kind in _failures(plan.step(name), step):
                yield StepFailed(NOW, name, step.attempts.attempt, kind)
        case Undoing():
            yield CompensationSucceeded(NOW, name, step.attempts.attempt)
            for kind in (FailureKind.ERROR, FailureKind.UNREADABLE):  # the others count as errors
                yield CompensationFailed(NOW, name, step.attempts.attempt, kind)
            if plan.step(name).transactional:
                yield CompensationFailed(NOW, name, step.attempts.attempt, FailureKind.CONFLICTS)
            for awaited in plan.step(name).undo_waits_for:
                yield CompensationWaits(NOW, name, step.attempts.attempt, (awaited,))
                yield CompensationWaits(NOW, name, step.attempts.attempt, (awaited,), Micros(LATER))
        case Probing():
            for done in (True, False):
                yield ProbeAnswered(NOW, name, step.attempts.probes, done)
            for kind in (FailureKind.ERROR, FailureKind.OUTPUT_LOST, FailureKind.UNREADABLE):  # as above
                yield ProbeFailed(NOW, name, step.attempts.probes, kind)
        case Waiting():
            yield WaitDefaulted(NOW, name)
            for awaited in plan.step(name).waits_for:
                yield EventReceived(
                    NOW, awaited, SAME if plan.step(name).correlated else EventReceived(NOW).correlation
                )
        case UndoWaiting():
            for awaited in plan.step(name).undo_waits_for:
                yield EventReceived(NOW, awaited)
        case _:
            return


def _failures(planned: PlannedStep, step: Running) -> Iterator[FailureKind]:
    yield from _IN_DOUBT if step.attempts.doubt else _SURE
    if planned.transactional:
        yield from _IN_TRANSACTION


def variants(
    plan: Plan, state: SagaState | None, event: Event, given: frozenset[StepId] = frozenset()
) -> Iterator[tuple[Event, Transition]]:
    """The event, if it is accepted, without inputs; a tick also with all that it then may carry.

    An event with inputs leads to where it leads without them, and a tick with them.
    """
    decision = transition(plan, state, event)
    if isinstance(decision, Failure):
        return
    moved = decision.unwrap()
    yield event, moved
    if isinstance(event, Ticked):
        for inputs in _inputs(plan, moved.needs, given):
            variant = _replace(event, inputs=inputs)
            yield variant, transition(plan, state, variant).unwrap()


def _inputs(plan: Plan, needs: tuple[StepId, ...], given: frozenset[StepId]) -> Iterator[tuple[Binding, ...]]:
    """All that may be found out about the inputs of these steps, together; one step at a time if that would be too much."""
    each = [_of_one(plan, step, given) for step in needs]
    if math.prod(map(len, each)) <= _MOST_TOGETHER:
        yield from (found for found in product(*each) if found)
    else:
        yield from ((found,) for of_one in each for found in of_one)


def _of_one(plan: Plan, step: StepId, given: frozenset[StepId]) -> list[Binding]:
    found: list[Binding] = [] if step in given else [Unbindable(step)]
    if step in plan.concurrencies:
        found += [BoundEach(step, items, SAME) for items in range(MOST_ITEMS + 1)]
    elif plan.step(step).kind is StepKind.SLEEP:
        found.append(Until(step, LATER))
    else:
        found.append(Bound(step, SAME))
    if plan.step(step).conditional and step in plan.index:
        found.append(Declined(step))
    return found[::-1]
