"""The state of a saga: one state per step, and a goal for the whole.

A step of the plan that does not appear in `SagaState.steps` has not been started. Every other step is in exactly one
of the states below, each with just the facts that make sense in it. The whole is small, frozen and holds no payload:
results are named by `seq`, the number of the journal entry that recorded them.

The structs here are stored: their fields are told apart by place, and the kinds of states by tag. So a field is only ever
added at the end, with a default, and a tag is never used again. The next free tag of a state is 22.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import compress
from typing import Final, TypeAlias, cast, get_args

import msgspec
from typing_extensions import TypeIs, override

from saga_fn.core.ids import Digest, Moment, PlanId, StepId
from saga_fn.core.standstill import Stretch


class Goal(enum.IntEnum):
    """Where the saga is heading, or how it ended. The last three are ends, and absorbing."""

    FORWARD = 0
    ROLLBACK = 1
    HALT = 2
    """Let the running steps come to their ends, then end FAILED without undoing anything."""
    COMPLETED = 3
    COMPENSATED = 4
    FAILED = 5


ENDS: Final = frozenset({Goal.COMPLETED, Goal.COMPENSATED, Goal.FAILED})


class Doubt(enum.IntEnum):
    """The open question about the effect of a step's earlier attempts."""

    NONE = 0
    MAY_HAVE_RUN = 1
    """An attempt was cut short, by its timeout, a crash, a lost lease or a stop, or has said that its outcome is unknown."""
    OUTPUT_LOST = 2
    """It ran, but its output could not be kept."""


class ParkReason(enum.StrEnum):
    """Why a step waits for a person."""

    INPUT_FAILED = "input_failed"
    """Its `input_map` raised, or gave something that is not its input."""
    INPUT_CHANGED = "input_changed"
    """A repeat computed another input than the attempt before it, under the same idempotency key.

    If the process died in the first attempt, only the fingerprint of its input is known. A build that lacks an optional
    field cannot tell then whether it is still the same.
    """
    OUTPUT_LOST = "output_lost"
    """It ran, and its output, or a message that it publishes, cannot be kept."""
    PAYLOAD_UNREADABLE = "payload_unreadable"
    """A stored payload cannot be decoded by the definition."""
    PLAN_CHANGED = "plan_changed"
    """The registered definition does not fit what this saga has already done."""
    CRASH_LOOP = "crash_loop"
    """The process died again and again while this saga ran alone in it."""
    ROW_REJECTED = "row_rejected"
    """The database refused the saga's row."""
    STATE_UNREADABLE = "state_unreadable"
    """The stored state cannot be read; only a row says so, no state does."""
    PAST_PIVOT = "past_pivot"
    """It failed for good after the pivot, where the only way is forward."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """It may have run, and only a person can find out."""
    UNDO_FAILED = "undo_failed"
    """Its compensation has failed for as long as it is tried when nothing else is said: a week."""
    TOO_LONG = "too_long"
    """It was tried so often that the saga's journal has come to its limit."""
    CONFLICTS = "conflicts"
    """Its transactions met conflicts with others, each time that it was tried."""
    SETTLED = "settled"
    """A person has found out that nothing of it is in the world, and has not said yet how the saga goes on."""


UNKNOWN_INPUT: Final = Digest(b"?")
"""The fingerprint that no input has: a person has accepted another one than that of an execution that may have run."""


class Attempts(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The attempts of one step in one direction so far.

    `attempt` numbers the executions and never goes back; `failures` counts those the retry policy counts.
    `digest` is the fingerprint of the input that the step was started with.
    `generation` numbers the inputs that events made different on purpose. For a compensation it is the journal entry of
    the event with which it is called. `events` is how many events there were when the input was computed.

    `probes` numbers the calls of the probe, and never goes back.

    `first_attempt_at` is when the first attempt began, where the retry policy has a budget in time, else 0.

    `doubts` counts the failures that count against the budget for attempts in doubt (`unknown_retry`). `doubted` is the
    moment of the first of them.

    `given` is the journal entry of the input that an operator has given in place of the computed one, 0 if there is none.
    It stays the step's input, also after later events, until the step is done or an operator gives another.

    `may_run_until` is set when an execution was taken from a worker that may not know it yet. Until that moment the old
    execution may still run, and no new one starts.
    """

    attempt: int = 0
    failures: int = 0
    doubt: Doubt = Doubt.NONE
    digest: Digest = Digest(b"")
    generation: int = 0
    events: int = 0
    may_run_until: Moment = Moment(0)
    first_attempt_at: Moment = Moment(0)
    probes: int = 0
    doubts: int = 0
    doubted: Moment = Moment(0)
    given: int = 0


class Running(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=1):
    """Its owner may be executing it; if `transactional`, then in the transaction that its success is written in."""

    step: StepId
    attempts: Attempts
    transactional: bool = False


class Retrying(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=2):
    """To be attempted again at `wake`.

    Here and in each other state that waits for a moment, `set_at` is when that was set. The end of a pause moves it by no time
    before. A moment that a person has named counts as set when it comes: no pause moves it.
    """

    step: StepId
    attempts: Attempts
    wake: Moment
    set_at: Moment = Moment(0)


class Unknown(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=3):
    """Was running when its owner was lost, timed out, or does not know: it may have run.

    From `attempts.may_run_until` on it is repeated, or what else its plan says is done about it. With a probe it stays so until that
    has found out: `wake` is when to ask again after `failures` times, `first_attempt_at` when that began if there is a budget.
    """

    step: StepId
    attempts: Attempts
    wake: Moment = Moment(0)
    failures: int = 0
    first_attempt_at: Moment = Moment(0)
    set_at: Moment = Moment(0)


class Parked(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=4):
    """Waits for a person. In a rollback nothing is undone before that one has decided.

    A step that was parked because a plan did not fit also waits for one that does: `before` is its wait of then.
    """

    step: StepId
    attempts: Attempts
    why: ParkReason
    before: Waiting | Sleeping | None = None


class FailedForGood(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=5):
    """Failed for good."""

    step: StepId
    attempts: Attempts


class Succeeded(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=6):
    """Done; its input and output are in journal entry `seq`."""

    step: StepId
    seq: int


class Skipped(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=7):
    """Passed over by an operator, who gave the output in journal entry `seq`. Never compensated.

    `doubt` is the open question about earlier attempts: no operator has answered it by passing the step over.
    """

    step: StepId
    seq: int
    doubt: Doubt = Doubt.NONE


class Settled(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=20):
    """Done, by the word of an operator, who gave the output in journal entry `seq`.

    It is compensated as a success is. `digest` is the fingerprint of the input that it was started with, never none: by that
    its undo knows that the entry has no input. An item has that of its list, or of the input that a person has given it.
    """

    step: StepId
    seq: int
    digest: Digest


class Undoing(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=8):
    """Its owner may be executing its compensation.

    Here and below `seq` is 0 for a step that is undone because it may have run: there is no entry with its output.
    """

    step: StepId
    seq: int
    attempts: Attempts


class UndoRetrying(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=9):
    """Its compensation is to be attempted again at `wake`."""

    step: StepId
    seq: int
    attempts: Attempts
    wake: Moment
    set_at: Moment = Moment(0)


class UndoParked(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=10):
    """Its compensation waits for a person."""

    step: StepId
    seq: int
    attempts: Attempts
    why: ParkReason


class UndoFailed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=11):
    """Its compensation failed for good: it is left over."""

    step: StepId
    seq: int
    attempts: Attempts


class Undone(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=12):
    """Compensated."""

    step: StepId
    seq: int


class NotTaken(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=13):
    """Passed over because its condition did not hold: what follows it finds None. Never compensated."""

    step: StepId


class Rewound(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=21):
    """Not begun again since journal entry `seq` took the saga back to before it. Nothing that was done of it counts any more.

    Its next attempts have numbers and an idempotency key that none before them had: both go on from that entry's number.
    """

    step: StepId
    seq: int


class Waiting(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=14):
    """Waits for an event, until `times_out_at` (None: for as long as it takes); if `correlation` is set, about the same thing only."""

    step: StepId
    times_out_at: Moment | None = None
    correlation: Digest = Digest(b"")
    set_at: Moment = Moment(0)


class UndoWaiting(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=19):
    """Its compensation waits for an event of one of the `names`, as `Waiting` does; then it is called again, with the event."""

    step: StepId
    seq: int
    attempts: Attempts
    names: tuple[str, ...]
    times_out_at: Moment | None = None
    correlation: Digest = Digest(b"")
    set_at: Moment = Moment(0)


class Sleeping(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=15):
    """Waits for the moment `wake`."""

    step: StepId
    wake: Moment
    set_at: Moment = Moment(0)


class Probing(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=16):
    """May have run, and its owner may be finding out."""

    step: StepId
    attempts: Attempts
    failures: int = 0
    first_attempt_at: Moment = Moment(0)


class FannedOut(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=17):
    """Fanned out into that many items, each of which is a step of its own beside this one in `SagaState.steps`.

    `digest` is the fingerprint of the whole list. `events` is how many events there were when it was computed, `latest`
    the one that it could see first: the process that computes it again does so from the same.
    """

    step: StepId
    items: int
    digest: Digest
    events: int = 0
    latest_event_seq: int = 0
    rewound: int = 0
    """The journal entry that took the saga back to before it, where its items' attempts go on from; 0 if none did."""


class Joined(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=18):
    """All its items are done: their outputs, in order, are its own."""

    step: StepId
    items: int


StepState: TypeAlias = (
    Running
    | Retrying
    | Unknown
    | Parked
    | FailedForGood
    | Succeeded
    | Skipped
    | Settled
    | Undoing
    | UndoRetrying
    | UndoParked
    | UndoFailed
    | Undone
    | NotTaken
    | Waiting
    | Sleeping
    | Probing
    | FannedOut
    | Joined
    | UndoWaiting
    | Rewound
)
Unfinished: TypeAlias = Running | Retrying | Unknown | Parked | FailedForGood | Probing
"""The forward states of a step that has begun and has no result."""
Undo: TypeAlias = Undoing | UndoRetrying | UndoWaiting | UndoParked | UndoFailed | Undone
"""The states of a step whose undoing has begun, or is over."""

# Sets of types are looked into by `type(step) in ...`: isinstance on these classes is slow where it says no, and every
# step of every saga comes by here several times.
EXECUTING: Final[frozenset[type[object]]] = frozenset({Running, Undoing, Probing})
COMMITTED: Final[frozenset[type[object]]] = frozenset({Succeeded, Skipped, Settled})
DONE: Final[frozenset[type[object]]] = COMMITTED | {NotTaken, Joined}
UNDISTURBED: Final[frozenset[type[object]]] = DONE | {Running, FannedOut}
"""All that the steps of a saga are while nothing has gone wrong, and nothing of it waits."""
UNFINISHED: Final[frozenset[type[object]]] = frozenset(get_args(Unfinished))
UNDOING: Final[frozenset[type[object]]] = frozenset(get_args(Undo))
ABIDING: Final[frozenset[type[object]]] = frozenset({Waiting, Sleeping})
"""The states of steps that wait for the outside world or a moment, and nothing else."""
TIMED: Final[frozenset[type[object]]] = ABIDING | {UndoWaiting}
"""The states of steps whose wait may end by a moment."""


def is_done(step: StepState | None) -> TypeIs[Succeeded | Skipped | Settled | NotTaken | Joined]:
    """Whether nothing more is to come of the step on the way forward."""
    return type(step) in DONE


def abides(step: StepState) -> TypeIs[Waiting | Sleeping]:
    """Whether the step waits for the outside world or a moment, and for nothing else."""
    return type(step) in ABIDING


def is_executing(step: StepState | None) -> TypeIs[Running | Undoing | Probing]:
    """Whether its owner may be executing something of the step."""
    return type(step) in EXECUTING


def those_of(steps: Collection[StepState], kinds: frozenset[type[object]]) -> Iterator[StepState]:
    """The steps of these kinds. Without a call for each: a saga may have hundreds of them."""
    return compress(steps, map(kinds.__contains__, map(type, steps)))


executing_of: Final = cast(  # those are what `EXECUTING` contains
    "Callable[[Collection[StepState]], Iterator[Running | Undoing | Probing]]", partial(those_of, kinds=EXECUTING)
)
"""Those of the steps that are being executed."""


def is_unfinished(step: StepState | None) -> TypeIs[Unfinished]:
    """Whether the step has begun, and has no result."""
    return type(step) in UNFINISHED


def is_undo(step: StepState | None) -> TypeIs[Undo]:
    """Whether the undoing of the step has begun, or is over."""
    return type(step) in UNDOING


def execution_of(step: Running | Undoing | Probing) -> int:
    """The number of the execution, of those of its kind."""
    return step.attempts.probes if type(step) is Probing else step.attempts.attempt


class Rest(msgspec.Struct, frozen=True, gc=False, eq=False):
    """Those steps of a saga that have not succeeded: a few, though a list may have hundreds of items.

    The caller that goes from state to state takes it along, so that no event of a saga with one list goes from item to item.
    It follows from the state, so two answers that differ in it alone are equal, also where one has none (None).
    """

    of: tuple[StepState, ...]
    """All steps of the state that it belongs to: of another state it says nothing."""
    steps: tuple[StepState, ...]

    @override
    def __eq__(self, other: object) -> bool:
        return other is None or type(other) is Rest

    @override
    def __hash__(self) -> int:
        return hash(None)


def rest_of(steps: tuple[StepState, ...], known: Rest | None = None) -> tuple[StepState, ...]:
    """Those of the steps that have not succeeded, in order: as they are known, if these are the steps that they are known of."""
    if known is not None and known.of is steps:
        return known.steps
    return tuple([step for step in steps if type(step) is not Succeeded])


class Buffered(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An event that came before anything waited for it; its payload is in journal entry `seq`. Void from `expires` on."""

    seq: int
    name: str
    correlation: Digest = Digest(b"")
    expires: Moment | None = None


class PauseState(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The pauses that the saga is under, and those that its moments were moved for."""

    of_name: bool = False
    """Its owner has seen that its name, or everything, is paused. Until the next claim, which that pause puts off."""
    since: Moment | None = None
    """When an operator has paused the saga itself, until an operator resumes it. None if it is not paused."""
    seq: int = 0
    """The journal entry of that, which has who and why."""
    moved: tuple[Stretch, ...] = ()
    """The time that its moments were moved by, because it stood still meanwhile: disjoint, the oldest first."""
    begin_named: Moment = Moment(0)
    """The begin of the saga, if a person has named it. It is moved by no pause, and the deadline by no time before it."""

    @property
    def holds(self) -> bool:
        """Whether nothing of the saga may begin."""
        return self.of_name or self.since is not None


class _OfPlan(msgspec.Struct, frozen=True, gc=False, array_like=True, kw_only=True):
    """The part that no event but a change of plan changes: encoded last, so that a database that logs differences can leave it out."""

    plan: PlanId


class SagaState(_OfPlan, frozen=True, gc=False, array_like=True, cache_hash=True):
    """A saga. `steps` are in the plan's order; `rev` is the number of events folded so far.

    `at` is the latest moment any event brought. `events` are the journal entries of outside events, `latest` the one
    that the current step may see first. `failed_takeovers` counts takeovers without progress; `isolated` says that the last of
    them had a process to itself.
    """

    rev: int
    at: Moment
    goal: Goal = Goal.FORWARD
    steps: tuple[StepState, ...] = ()
    events: tuple[int, ...] = ()
    latest_event_seq: int = 0
    failed_takeovers: int = 0
    isolated: bool = False
    begins_at: Moment = Moment(0)
    """No step starts before."""
    deadline: Moment | None = None
    """When a saga that still goes forward turns back; None if it may take as long as it takes."""
    buffered: tuple[Buffered, ...] = ()
    """Named events that nothing has taken yet, in the order they came."""
    rewound: tuple[Rewound, ...] = ()
    """The steps of the plan that were taken back, each with the latest entry that did so, whatever has become of it since.

    It tells apart a step's effects, and their undoing, from those of its run before.
    """
    pause: PauseState | None = None
    """None if no pause holds the saga, no moment was moved for one, and no person has named its begin, or that is past."""

    @property
    def paused(self) -> bool:
        """Whether nothing of it begins: neither a step, nor a probe, nor an undo. Nor does a timer fire."""
        return self.pause is not None and self.pause.holds

    @property
    def paused_itself(self) -> bool:
        """Whether a person has paused the saga itself."""
        return self.pause is not None and self.pause.since is not None

    @property
    def goes_back(self) -> bool:
        """Whether the saga is being rolled back."""
        return self.goal is Goal.ROLLBACK

    @property
    def ended(self) -> bool:
        """Whether the saga has come to its end."""
        return self.goal >= Goal.COMPLETED
