"""The straight course of a saga: all that would happen if whatever runs succeeded, folded move by move on a copy."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, assert_never, final

import attrs
import msgspec
from returns.result import Failure

from saga_fn.core.effects import Action, CancelExecution, RunCompensation, RunProbe, RunStep
from saga_fn.core.events import (
    Binding,
    Bound,
    BoundEach,
    CompensationSucceeded,
    Event,
    EventReceived,
    PlanChanged,
    ProbeAnswered,
    Resumed,
    ResumeRequested,
    SagaParked,
    StepSucceeded,
    Ticked,
    Until,
    carries_inputs,
)
from saga_fn.core.facts import due, find, parked_by_plan, ready, wakes_at
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.owning import not_before
from saga_fn.core.plan import Plan, StepKind
from saga_fn.core.projection import SagaStatus, ended_as
from saga_fn.core.state import (
    FannedOut,
    ParkReason,
    Probing,
    Running,
    SagaState,
    Sleeping,
    StepState,
    Undoing,
    UndoWaiting,
    Unfinished,
    Waiting,
    is_executing,
)
from saga_fn.core.transition import transition

_FORESEEN: Final = Digest(b"foreseen")
"""Stands for the input of a step that was never tried: only code of a user's could compute it."""


class MoveKind(enum.StrEnum):
    """The kind of one move of a saga."""

    RUN = "run"
    """A step is executed."""
    UNDO = "undo"
    """Its compensation is."""
    PROBE = "probe"
    """Its probe is, which finds out whether it has run."""
    AWAIT = "await"
    """It waits for an event or a moment."""
    CUT_SHORT = "cut short"
    """Its execution is."""


@attrs.frozen
class Move:
    """One move of a saga."""

    kind: MoveKind
    """Its kind."""
    step: StepId
    """The id of the step; of a fan-out, where it is not known yet which items it has."""


@attrs.frozen
class Course:
    """The moves of a saga if whatever runs succeeds."""

    moves: tuple[Move, ...]
    end: SagaStatus | None
    """How it ends then; None if it comes to where only a person can go on, or further than was looked."""
    is_whole: bool
    """Whether it was followed to its end, or to where only a person can go on."""
    state: SagaState
    """The saga there."""
    plan: Plan
    """The plan that it goes by there."""
    misfit: bool = False
    """Whether no plan of those that its next owner may have fits it, so that it is parked when one takes it up."""


def course(
    plan: Plan,
    state: SagaState,
    *,
    now: Moment | None = None,
    unread: Sequence[Event] = (),
    owners: Sequence[Plan] = (),
    most: int,
) -> Course:
    """The straight course of a saga from that state on, followed over `most` events at most.

    A probe finds out that the step has run, a condition that its step is to be taken. A fan-out that has not begun is one move.
    `unread` are the events that are stored for its owner, who reads them before all else. `now` is the present moment, if that is
    known: what is over by then is over. `owners` are the plans that its next owner may have; none: it has this one.
    """
    walk = _Walk(plan, state, unread, owners, now)
    while most > 0 and walk.go_on():
        most -= 1
    return Course(tuple(walk.moves), ended_as(walk.state), walk.is_over, walk.state, walk.plan, walk.misfit)


def at_once(
    plan: Plan, state: SagaState, unread: Sequence[Event] = (), owners: Sequence[Plan] = ()
) -> tuple[Move, ...]:
    """The moves that an owner of the saga would begin now."""
    walk = _Walk(plan, state, unread, owners)
    if not walk.is_over and (not owners or not ready(walk.plan, walk.state) or walk.take_up()):
        walk.tell(Ticked(walk.state.at))
    return tuple(walk.moves)


def after_pause(
    plan: Plan, state: SagaState, unread: Sequence[Event] = (), owners: Sequence[Plan] = ()
) -> tuple[Move, ...]:
    """The moves that an owner would begin once the saga, which a person has paused, is resumed; none if it is not paused."""
    walk = _Walk(plan, state, unread, owners)
    if not walk.is_over and state.paused_itself and walk.tell(ResumeRequested(state.at)):
        walk.tell(Ticked(state.at))
    return tuple(walk.moves)


def moves_of(actions: tuple[Action, ...]) -> tuple[Move, ...]:
    """The actions of a decision, as moves."""
    return tuple(map(_move_of, actions))


@final
class _Walk:
    """A saga that is told of success after success."""

    def __init__(
        self,
        plan: Plan,
        state: SagaState,
        unread: Sequence[Event] = (),
        owners: Sequence[Plan] = (),
        now: Moment | None = None,
    ) -> None:
        self.plan = plan
        self.state = state
        self.moves: list[Move] = []
        self._now = state.at if now is None else now
        self._owners = owners
        self._is_taken_up = False
        self._is_ticked = False
        self.misfit = False
        self._unread = tuple(unread)
        if unread or parked_by_plan(state):
            _ = self.take_up()
        self.is_over = self.misfit or self.state.ended

    def take_up(self, awaited: Event | None = None) -> bool:
        """Have an owner take the saga up, by the first plan that fits it. It parks one that none fits, and this is False.

        It reads what is stored before: by the new plan, or, where none fits, by the one that the saga has. So it does with the
        event that the saga has `awaited` till then, by which it may end.
        """
        if self._is_taken_up:
            return not self.misfit
        self._is_taken_up = True
        fits = not self._owners or self.state.ended or self._is_fitted()
        for event in self._unread:  # one that is refused changes nothing
            self.tell(not_before(event, self.state.at))
        if not fits and awaited is not None:
            self.tell(awaited)
        if not fits and not self.state.ended:
            self.tell(SagaParked(max(self.state.at, self._now), ParkReason.PLAN_CHANGED))
            self.misfit = self.is_over = True
        return not self.misfit

    def _is_fitted(self) -> bool:
        if self.plan in self._owners and not parked_by_plan(self.state):
            return True
        for plan in sorted(self._owners, key=lambda each: each != self.plan):
            decision = transition(plan, self.state, PlanChanged(max(self.state.at, self._now), plan.id))
            if not isinstance(decision, Failure):
                moved = decision.unwrap()
                self.plan, self.state = plan, moved.state
                self.moves += moves_of(moved.actions)
                return True
        return False

    def go_on(self) -> bool:
        """Go on by one event; False if the saga has ended, or if only a person can go on with it."""
        event = self._next()
        if event is None or not self.tell(event):
            self.is_over = True
            return False
        self.is_over = self.state.ended
        return not self.is_over

    def _next(self) -> Event | None:
        state = self.state
        if state.ended:
            return None
        if state.paused:  # what runs comes to its end; then a person, or the next owner, goes on
            running = next((step for step in state.steps if is_executing(step)), None)
            if running is not None:
                return _success_of(running, state.at)
            return ResumeRequested(state.at) if state.paused_itself else Resumed(state.at)
        if self._owners and due(self.plan, state) is not None and not self.take_up():
            return None
        state = self.state
        if not self._is_ticked:  # its owner does what is due first
            self._is_ticked = True
            return Ticked(max(state.at, self._now))
        for step in state.steps:
            if (event := _success_of(step, state.at)) is not None:
                return event
        for step in state.steps:
            if (event := self._awaited(step)) is not None:
                if not self.take_up(event):
                    return None
                self._is_ticked = False  # nothing starts by an event from outside alone
                return event
        wake = wakes_at(state)
        return None if wake is None or wake <= state.at else Ticked(wake)

    def _awaited(self, step: StepState) -> EventReceived | None:
        match step:
            case Waiting(step=name, correlation=correlation):
                return EventReceived(self.state.at, self.plan.step(name).waits_for[0], correlation)
            case UndoWaiting(names=names, correlation=correlation):
                return EventReceived(self.state.at, names[0], correlation)
            case _:
                return None

    def tell(self, event: Event) -> bool:
        """Fold the event, with all the inputs that it then may carry; False if the state machine refuses it."""
        before = self.state
        inputs: dict[StepId, Binding] = {}
        while True:
            decision = transition(self.plan, before, event)
            if isinstance(decision, Failure):
                return False
            moved = decision.unwrap()
            lacking = [step for step in moved.needs if step not in inputs]
            spread = [step for step, bound in inputs.items() if isinstance(bound, BoundEach)]
            if not lacking or spread or not carries_inputs(event):
                break
            inputs |= {step: self._input_of(moved.state, step) for step in lacking}
            event = msgspec.structs.replace(event, inputs=tuple(inputs.values()))
        self.state = moved.state
        if spread:  # what follows a list is begun once its items are done
            self._is_ticked = False
        self.moves += [Move(MoveKind.RUN, step) for step in spread]
        self.moves += moves_of(moved.actions)
        self.moves += [Move(MoveKind.AWAIT, step.step) for step in moved.state.steps if _awaits_anew(before, step)]
        return True

    def _input_of(self, state: SagaState, step: StepId) -> Binding:
        """An input for the step: that of the attempt before, if there was one, for a repeat must come with the same."""
        planned = self.plan.step(step)
        if planned.kind is StepKind.SLEEP:
            return Until(step, Moment(state.at + 1))
        owner = self.plan.owner(step)
        whole = find(state, owner)
        if owner != step and isinstance(whole, FannedOut):
            return Bound(step, whole.digest)
        known = find(state, step)
        digest = (known.attempts.digest if isinstance(known, Unfinished) else b"") or _FORESEEN
        return BoundEach(step, 0, Digest(digest)) if planned.concurrency else Bound(step, Digest(digest))


def _awaits_anew(before: SagaState, step: StepState) -> bool:
    if not isinstance(step, Waiting | Sleeping | UndoWaiting):
        return False
    return type(find(before, step.step)) is not type(step)


def _success_of(step: StepState, at: Moment) -> Event | None:
    """The success of the execution that runs of the step, if one does."""
    if not is_executing(step):
        return None
    match step:
        case Running():
            return StepSucceeded(at, step.step, step.attempts.attempt)
        case Undoing():
            return CompensationSucceeded(at, step.step, step.attempts.attempt)
        case Probing():
            return ProbeAnswered(at, step.step, step.attempts.probes, done=True)
        case _:
            assert_never(step)


def _move_of(action: Action) -> Move:
    match action:
        case RunStep():
            return Move(MoveKind.RUN, action.step)
        case RunCompensation():
            return Move(MoveKind.UNDO, action.step)
        case RunProbe():
            return Move(MoveKind.PROBE, action.step)
        case CancelExecution():
            return Move(MoveKind.CUT_SHORT, action.step)
        case _:
            assert_never(action)
