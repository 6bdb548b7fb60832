"""A verb, folded on a copy of a saga: whether it is legal, and what would come of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
from returns.result import Failure

from saga_fn.core.effects import Rejection, Transition
from saga_fn.core.event_kinds import is_by_force
from saga_fn.core.events import Event, OperatorVerb, RewindRequested
from saga_fn.core.explain.course import Course, Move, MoveKind, after_pause, at_once, course, moves_of
from saga_fn.core.explain.keys import another_key
from saga_fn.core.explain.prospects import Prospects, prospects
from saga_fn.core.facts import due
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.leftovers import LeftOver, left_over, stays_done
from saga_fn.core.owning import is_interrupted, taken_back, upon_taken_back
from saga_fn.core.plan import Plan
from saga_fn.core.rewinding import Rewinding, rewinding
from saga_fn.core.state import Doubt, FailedForGood, Goal, Parked, SagaState, Undoing, executing_of
from saga_fn.core.step_report import report_of
from saga_fn.core.transition import transition
from saga_fn.core.verbs import Verb, ask


@attrs.frozen
class Consequences:
    """All that would come of a verb that is legal."""

    state: SagaState
    """The saga right after it."""
    at_once: tuple[Move, ...]
    """The moves that the owner, or the next one, makes at once."""
    after_pause: tuple[Move, ...]
    """The moves that it makes once it is resumed, if a person has paused it."""
    due: Moment | None
    """When the saga, unowned, has something to do; None if it has ended or waits for a person alone."""
    course: Course
    """All that happens if each attempt succeeds."""
    left_over: tuple[LeftOver, ...]
    """The effects that this course leaves in the world."""
    stays_done: tuple[StepId, ...]
    """The steps that stay done at its end because they have no undo."""
    prospects: Prospects
    """All that may become of the saga by itself."""
    another_key: tuple[StepId, ...]
    """The steps that were attempted before, and whose next attempt has another idempotency key."""
    runs_on: tuple[StepId, ...]
    """The steps that are being executed, and come to their ends although the saga does not go forward any more."""
    forgotten: tuple[StepId, ...]
    """The steps whose effects are in the world, or may be, and of which the saga would know nothing any more."""
    rows_may_stand: tuple[StepId, ...]
    """The steps that run again in a transaction, though an attempt before may have committed its rows: no key tells that."""


def questions(plan: Plan, state: SagaState, at: Moment, *, until: Moment) -> Iterator[tuple[Verb, OperatorVerb]]:
    """Every verb that changes a state, of every step and item where it names one; those of the whole saga come first.

    `until` is the end of the lease of its owner.
    """
    steps = [each.step_id for each in report_of(plan, state)]
    for verb in sorted(Verb, key=lambda each: each.names_a_step):
        for step in steps if verb.names_a_step else [StepId("")]:
            event = ask(verb, step, at, until=until)
            if event is not None:
                yield verb, event


def preview(
    plan: Plan,
    state: SagaState,
    event: OperatorVerb,
    *,
    leased: bool = True,
    unread: Sequence[Event] = (),
    owners: Sequence[Plan] = (),
    most: int,
) -> Rejection | Consequences:
    """The answer of the state machine to the verb. `leased` is whether a process has the saga's lease, and executes what it tells.

    `unread` are the events that are stored for the saga: who owns it next reads them after the verb, before all else.
    `owners` are the plans that this one may have; none: that of the saga. The course is followed over `most` events at most.
    """
    asked: Event = event
    if is_interrupted(state, leased=leased) and not is_by_force(event):
        lost = _told(plan, state, taken_back(event.at))
        if isinstance(lost, Rejection):
            return lost
        state, asked = lost.state, upon_taken_back(event, state)
    moved = _told(plan, state, asked)
    if isinstance(moved, Rejection):
        return moved
    begun = moves_of(moved.actions)
    then = at_once(plan, moved.state, unread, owners)
    way = course(plan, moved.state, unread=unread, owners=owners, most=most)
    way = attrs.evolve(way, moves=(*(each for each in begun if each.kind is not MoveKind.CUT_SHORT), *way.moves))
    return Consequences(
        state=moved.state,
        at_once=(*begun, *then),
        after_pause=after_pause(plan, moved.state, unread, owners),
        due=due(plan, moved.state, unread=bool(unread)),
        course=way,
        left_over=left_over(way.plan, way.state),
        stays_done=stays_done(way.plan, way.state),
        prospects=prospects(plan, moved.state),
        another_key=another_key(plan, state, moved.state),
        runs_on=_running_on(state, moved.state, begun),
        forgotten=_forgotten(plan, state, event),
        rows_may_stand=_rows_may_stand(plan, state, way),
    )


def _running_on(before: SagaState, after: SagaState, begun: tuple[Move, ...]) -> tuple[StepId, ...]:
    """The steps that ran before the verb, and that it lets come to their ends, where the saga turns back or ends."""
    if after.goal is Goal.FORWARD:
        return ()
    stopped = {move.step for move in begun if move.kind is MoveKind.CUT_SHORT}
    ran = {step.step for step in executing_of(before.steps) if type(step) is not Undoing}
    return tuple(each.step for each in executing_of(after.steps) if each.step in ran - stopped)


def _told(plan: Plan, state: SagaState, event: Event) -> Rejection | Transition:
    decision = transition(plan, state, event)
    if isinstance(decision, Failure):
        rejection: Rejection = decision.failure()
        return rejection
    return decision.unwrap()


def _forgotten(plan: Plan, state: SagaState, event: OperatorVerb) -> tuple[StepId, ...]:
    found = rewinding(plan, state, event.step, event.at) if isinstance(event, RewindRequested) else None
    return found.forgotten if isinstance(found, Rewinding) else ()


def _rows_may_stand(plan: Plan, state: SagaState, way: Course) -> tuple[StepId, ...]:
    again = {move.step for move in way.moves if move.kind is MoveKind.RUN}
    return tuple(
        step.step
        for step in state.steps
        if isinstance(step, Parked | FailedForGood)
        and step.step in again
        and step.attempts.doubt is not Doubt.NONE
        and plan.step(step.step).transactional
    )
