"""The effects of an event, as data. They are of two kinds, told apart by type.

`Write` effects are committed together with the state. `Action` effects are started after that commit is durable, and
only then. The interpreter carries them out one by one and decides nothing.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import msgspec
from returns.result import Failure, Success

from saga_fn.core.ids import Moment, StepId
from saga_fn.core.state import Rest, SagaState


class Release(msgspec.Struct, frozen=True, gc=False):
    """Give the saga up with this very commit. A scan finds it at `due`; with None only a person or an event does."""

    due: Moment | None


class RunStep(msgspec.Struct, frozen=True, gc=False):
    """Execute the step. `generation` tells apart the idempotency keys of inputs that an event made different."""

    step: StepId
    attempt: int
    generation: int


class RunCompensation(msgspec.Struct, frozen=True, gc=False):
    """Execute the step's compensation, with the input and output in journal entry `seq`.

    `seq` 0: it may have run, there is no output, and its input is computed again. `event_seq` is the journal entry of the
    event that it waited for, 0 if there is none.
    """

    step: StepId
    attempt: int
    seq: int
    event_seq: int = 0


class RunProbe(msgspec.Struct, frozen=True, gc=False):
    """Find out whether the step has run. `generation` is that of the execution in question."""

    step: StepId
    attempt: int
    generation: int


class CancelExecution(msgspec.Struct, frozen=True, gc=False):
    """Cut short what runs of the step, if anything still does. Its result is no longer wanted."""

    step: StepId


Write: TypeAlias = Release
Action: TypeAlias = RunStep | RunCompensation | RunProbe | CancelExecution


class Transition(msgspec.Struct, frozen=True, gc=False):
    """The answer to an accepted event.

    `needs` names the steps that could start now if their inputs were on the event: an owner computes them and asks
    again, with the same event carrying them; a process that does not own the saga leaves them to the next owner.

    `defaults` names the waits that are over and have a value declared for this, which an owner then gives them.
    `timed_out` names the wait whose time ran out for good with this event; the saga's own deadline has no name.
    """

    state: SagaState
    needs: tuple[StepId, ...]
    writes: tuple[Write, ...]
    actions: tuple[Action, ...]
    defaults: tuple[StepId, ...] = ()
    timed_out: StepId | None = None
    rest: Rest | None = None
    """The facts that are known of the steps of `state`, for the next look at it."""


class Refusal(enum.StrEnum):
    """Why an event changes nothing."""

    NOT_STARTED = "not_started"
    ALREADY_STARTED = "already_started"
    FINISHED = "finished"
    UNKNOWN_STEP = "unknown_step"
    LATE = "late"
    """The result of an execution that is no longer the current one."""
    PLAN_MISMATCH = "plan_mismatch"
    """The plan is not the saga's, or does not fit what the saga has done."""
    NOTHING_TO_RETRY = "nothing_to_retry"
    NOTHING_TO_COMPENSATE = "nothing_to_compensate"
    NOT_WAITING = "not_waiting"
    """The step is not waiting, so it cannot be skipped."""
    COMPENSATION_BEGUN = "compensation_begun"
    """A step whose undoing has begun cannot go forward again."""
    TOO_MANY_EVENTS = "too_many_events"
    NO_ROOM = "no_room"
    """The saga keeps as many events as it may: this one stays where it is stored, and is offered again; see `takes_more`."""
    PAST_PIVOT = "past_pivot"
    """The pivot is done: the saga only goes forward."""
    UNKNOWN_EVENT = "unknown_event"
    """Nothing in the plan waits for an event of that name."""
    EXPIRED = "expired"
    """The event was void when it came."""
    UNDECLARED_EVENT = "undeclared_event"
    """The compensation waits for an event that its step does not declare."""
    NOTHING_TO_SETTLE = "nothing_to_settle"
    """Nothing of the step is open that the operator's finding could answer."""
    MAY_STILL_RUN = "may_still_run"
    """An execution of the step was taken from its worker, which may not have stopped yet."""
    NOT_BEGUN = "not_begun"
    """The step has not begun, and the operator has not said that such a step is meant."""
    NOTHING_SLEEPS = "nothing_sleeps"
    """Nothing of the saga, or of the step, waits for a moment that can be moved."""
    TOO_LATE = "too_late"
    """The moment, or a deadline that moves with it, is later than any that can be stored."""
    MOVED_ON = "moved_on"
    """The saga is at another revision than the one that the operator saw."""
    NOT_FAILED = "not_failed"
    """Only a saga that has ended FAILED can be acknowledged."""
    ACKNOWLEDGED = "acknowledged"
    """A person has acknowledged it before."""
    IN_DOUBT = "in_doubt"
    """The step may have run: what has become of it is to be settled first."""
    NO_INPUT = "no_input"
    """The step takes no input that an operator could give: it is a wait, a sleep or a fan-out as a whole, or no step is named."""
    NOTHING_TO_REWIND = "nothing_to_rewind"
    """The saga has not come to that step, or was taken back to it already."""
    ITEM_ALONE = "item_alone"
    """An item goes back only with the whole of its fan-out."""
    BEING_RUN = "being_run"
    """Something of a step that would go back is being executed."""
    UNNAMED = "unnamed"
    """Effects that are in the world, or may be, would be forgotten, and the operator has not named all of them."""
    NOT_OVER = "not_over"
    """The wait is not over, or has no default."""
    ALREADY_PAUSED = "already_paused"
    """The saga was paused by itself before."""
    NOT_PAUSED = "not_paused"
    """The saga is not paused by itself."""
    NOTHING_TO_MOVE = "nothing_to_move"
    """No moment of the saga is to come, or it was moved for that time before."""


class Misfit(enum.StrEnum):
    """How a changed plan does not fit what a saga has done."""

    GONE = "gone"
    """The step has begun, and the plan does not have it."""
    OTHER_KIND = "other_kind"
    """The step has begun, and the plan makes another kind of step of it: a wait, a sleep, a fan-out."""
    OUT_OF_ORDER = "out_of_order"
    """The step has begun, and the plan puts a step before it that is not done."""
    NOT_TAKEN = "not_taken"
    """The step was passed over by its condition, and the plan takes its output for granted."""
    PIVOT = "pivot"
    """The saga rolls back, and the plan makes a pivot of a step that has run."""


class Rejection(msgspec.Struct, frozen=True):
    """An event that was refused: the state stays as it is. An expected answer, not an exception."""

    refusal: Refusal
    step: StepId | None = None
    misfit: Misfit | None = None
    """For a plan that does not fit: how `step` does not."""
    other: StepId | None = None
    """For `OUT_OF_ORDER`: the step that is not done."""
    unnamed: tuple[StepId, ...] = ()
    """For `UNNAMED`: the steps that have to be named."""

    @property
    def answer(self) -> str:
        """The answer to the message that asked: the refusal, and after a colon, as JSON, the steps that have to be named."""
        if not self.unnamed:
            return self.refusal.value
        return f"{self.refusal.value}: {msgspec.json.encode(self.unnamed).decode()}"


Decision: TypeAlias = Success[Transition] | Failure[Rejection]
