"""Everything that can happen to a saga, in the past tense. Each event says who raises it; folding them gives the state.

`at` is database time. Events that may let a step start carry `inputs`: what the interpreter found when it computed the
inputs of the steps that `Transition.needs` named. Without them the step stays startable, for any later owner.

Events are stored: their fields are told apart by place, and their kinds by tag. So a field is only ever added at the end,
with a default, and a tag is never used again. The next free tag of an event is 28.
"""

from __future__ import annotations

import enum
import re
from typing import Final, TypeAlias, get_args

import msgspec
from typing_extensions import TypeIs

from saga_fn.core.ids import Digest, Micros, Moment, PlanId, StepId
from saga_fn.core.state import ParkReason


class Bound(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=1):
    """The step's input was computed and encoded; `digest` is its fingerprint."""

    step: StepId
    digest: Digest


class Unbindable(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=2):
    """The step's input could not be computed or encoded: the definition's fault, not to be retried.

    `unreadable`: a stored payload that it is computed from cannot be decoded by the definition.
    """

    step: StepId
    unreadable: bool = False


class Declined(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=3):
    """The step's input was computed, and its condition does not hold: the step is not to be taken."""

    step: StepId


class Until(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=4):
    """The moment that a sleep lasts until was computed."""

    step: StepId
    moment: Moment


class BoundEach(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=5):
    """The list that a step fans out over was computed and encoded; `digest` is the fingerprint of all of it.

    Its items are then bound one by one, each with this same digest: it says that the list is still the same.
    """

    step: StepId
    items: int
    digest: Digest


Binding: TypeAlias = Bound | Unbindable | Declined | Until | BoundEach


class FailureKind(enum.IntEnum):
    """The meaning of a failed execution for the world."""

    ERROR = 0
    """It raised: taken as not done."""
    UNKNOWN = 1
    """It was cut short by its timeout, or says so by itself: it may have run."""
    OUTPUT_LOST = 2
    """It ran, and returned what cannot be stored."""
    UNREADABLE = 3
    """It could not be called: a stored payload does not decode."""
    BUSINESS_ERROR = 4
    """It answered that it will not be done, and has not been: final. It says nothing about earlier attempts."""
    FATAL = 5
    """It raised what is not to be tried again: taken as not done, and final."""
    INTERRUPTED = 6
    """It was cut short in a transaction of its own, and touches nothing else: it has not been done."""
    CONFLICTS = 7
    """Its transaction met conflicts with others, as often as it is repeated for that: it has not been done."""


class Started(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=1):
    """A caller started the saga. With inputs it is owned and runs at once, without it waits for a claim."""

    at: Moment
    plan: PlanId
    inputs: tuple[Binding, ...] = ()
    delay: Micros = Micros(0)
    """How many microseconds later it is to begin."""


class Resumed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=2):
    """A worker claimed the saga. `takeover`: from an owner whose lease had expired. `isolated`: nothing else runs there.

    Harmless at any time: when nothing is due the saga is released again.
    """

    at: Moment
    takeover: bool = False
    isolated: bool = False
    inputs: tuple[Binding, ...] = ()


class Ticked(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=3):
    """A timer of an owned saga came due. Fires every timer whose moment has come, each once."""

    at: Moment
    inputs: tuple[Binding, ...] = ()


class StepSucceeded(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=4):
    """The owner's execution `attempt` of the step returned; its input and output are recorded with this event."""

    at: Moment
    step: StepId
    attempt: int
    inputs: tuple[Binding, ...] = ()


class StepFailed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=5):
    """The owner's execution of the step did not return a result. `jitter_draw` in [0, 1) feeds the jitter.

    `after` is how many microseconds later it asks to be tried again, if it does.
    """

    at: Moment
    step: StepId
    attempt: int
    kind: FailureKind = FailureKind.ERROR
    jitter_draw: float = 0.0
    after: Micros | None = None


class CompensationSucceeded(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=6):
    """The owner's execution of the step's compensation returned."""

    at: Moment
    step: StepId
    attempt: int


class CompensationFailed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=7):
    """The owner's execution of the step's compensation did not return. `jitter_draw` and `after` are as for a step."""

    at: Moment
    step: StepId
    attempt: int
    kind: FailureKind = FailureKind.ERROR
    jitter_draw: float = 0.0
    after: Micros | None = None


class ProbeAnswered(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=17):
    """The owner's probe number `attempt` found out: the step is `done`, and its output recorded here, or not done."""

    at: Moment
    step: StepId
    attempt: int
    done: bool
    inputs: tuple[Binding, ...] = ()


class ProbeFailed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=18):
    """The owner's probe did not find out. `jitter_draw` and `after` are as for a step."""

    at: Moment
    step: StepId
    attempt: int
    kind: FailureKind = FailureKind.ERROR
    jitter_draw: float = 0.0
    after: Micros | None = None


class StepSkipped(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=8):
    """An operator gave the output of a step that waits, in place of running it.

    `not_begun`: the operator knows that the step may not have begun.
    """

    at: Moment
    step: StepId
    inputs: tuple[Binding, ...] = ()
    not_begun: bool = False
    expect: int | None = None
    """Here and in every other event of an operator's: the revision that the operator saw. None: whatever it is."""


class RetryRequested(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=9):
    """An operator wants a step that waits to be attempted again, now and with a fresh count.

    With a fan-out's id all of its items that wait are meant, with the empty id all steps that do. A saga that has FAILED
    goes on as a whole; then the step says which failure the operator has seen.
    """

    at: Moment
    step: StepId = StepId("")
    expect: int | None = None
    stopped: tuple[StepId, ...] = ()
    """Here and below: the steps whose executions were taken from their owner and have ended, as the process that asks knows."""
    digest: Digest = Digest(b"")
    """The fingerprint of the input that the operator gives the step in place of the computed one; it is recorded with this event.

    Empty: none is given.
    """


class CompensationRequested(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=10):
    """An operator wants the saga rolled back, or a failed rollback taken up again."""

    at: Moment
    expect: int | None = None
    stopped: tuple[StepId, ...] = ()


class AbortRequested(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=11):
    """An operator ends the saga as it is. A step that runs now may run on until `until`."""

    at: Moment
    until: Moment
    expect: int | None = None


class Finding(enum.IntEnum):
    """The fact that an operator has found out, or brought about, about a step."""

    UNDONE = 0
    """Its effect is not in the world any more: it has been undone by hand."""
    DONE = 1
    """It has run; its output is recorded with the event."""
    NEVER_RAN = 2
    """None of its attempts has run."""


class StepSettled(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=21):
    """An operator ends a doubt about the step, or an undo that does not come to its end, by what is so in the world."""

    at: Moment
    step: StepId
    expect: int | None = None
    stopped: tuple[StepId, ...] = ()
    finding: Finding = Finding.UNDONE
    inputs: tuple[Binding, ...] = ()


class Rescheduled(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=22):
    """A caller or an operator wants what waits for a moment alone to go on at another one.

    That is a delayed start, and its deadline with it. Once the saga has begun, it is its next attempts, its next probes and its
    sleeps: with a step's id those of that step, of a fan-out those of its items. A moment that has passed is now.
    """

    at: Moment
    to: Moment
    step: StepId = StepId("")
    expect: int | None = None


class RewindRequested(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=23):
    """An operator takes the saga back to before the step: that one and all that follow it are to run again, under other keys.

    `forget` names the steps, or the fan-outs, whose effects the operator knows to be in the world, or perhaps.
    """

    at: Moment
    step: StepId
    forget: tuple[StepId, ...] = ()
    expect: int | None = None
    stopped: tuple[StepId, ...] = ()


class EventReceived(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=12):
    """The outside world sent something; it is recorded with this event.

    With a name it is for whatever waits for that name, now or later, about the same thing (`correlation`, a fingerprint), and
    is void from `expires` on. Without one every step sees it, and waiting retries at once.
    """

    at: Moment
    name: str = ""
    correlation: Digest = Digest(b"")
    expires: Moment | None = None


class PlanChanged(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=13):
    """The owner's definition has another plan than the saga was started with."""

    at: Moment
    plan: PlanId


class SagaParked(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=14):
    """The owner cannot go on with any step of this saga."""

    at: Moment
    why: ParkReason


class HandedBack(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=15):
    """The owner stops: what it was running is cut short, and the saga is anyone's.

    `begun` names the steps of which an execution had begun. None: that is not known, and each may have.
    """

    at: Moment
    begun: tuple[StepId, ...] | None = None


class WaitDefaulted(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=16):
    """A wait for an event was over without one; the value that was declared for this is recorded with this event."""

    at: Moment
    step: StepId
    inputs: tuple[Binding, ...] = ()


class CompensationWaits(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=19):
    """The owner's execution of the step's compensation returned, and wants to be called again with an event.

    That has one of the names, came within `timeout` microseconds (None: whenever), and is about the same, if `correlation` is set.
    """

    at: Moment
    step: StepId
    attempt: int
    names: tuple[str, ...]
    timeout: Micros | None = None
    correlation: Digest = Digest(b"")


class Accompanied(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=20):
    """The owner, which has run the saga alone for a while and is still there, runs other sagas beside it from now on."""

    at: Moment


class Paused(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=24):
    """The owner has seen that the saga's name is paused: what runs comes to its end, and nothing begins before the next claim."""

    at: Moment


class PauseRequested(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=25):
    """An operator wants nothing more of this saga to begin: what runs comes to its end, and no timer fires before it is resumed."""

    at: Moment
    expect: int | None = None


class ResumeRequested(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=26):
    """An operator lets a saga go on that was paused. `extend`: its moments are moved by the time for which it stood still."""

    at: Moment
    expect: int | None = None
    extend: bool = False


class MomentsMoved(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=27):
    """An operator ends a pause of many sagas, and the moments that this one waits for are moved by its length.

    The time from `since` to `until` counts once, however often, and by whichever pause, it is told.
    """

    at: Moment
    since: Moment
    until: Moment


Event: TypeAlias = (
    Started
    | Resumed
    | Ticked
    | StepSucceeded
    | StepFailed
    | CompensationSucceeded
    | CompensationFailed
    | StepSkipped
    | RetryRequested
    | CompensationRequested
    | AbortRequested
    | EventReceived
    | PlanChanged
    | SagaParked
    | HandedBack
    | WaitDefaulted
    | ProbeAnswered
    | ProbeFailed
    | CompensationWaits
    | Accompanied
    | Paused
    | StepSettled
    | Rescheduled
    | RewindRequested
    | PauseRequested
    | ResumeRequested
    | MomentsMoved
)
OperatorVerb: TypeAlias = (
    StepSkipped
    | RetryRequested
    | CompensationRequested
    | AbortRequested
    | StepSettled
    | Rescheduled
    | RewindRequested
    | PauseRequested
    | ResumeRequested
)
"""The requests of operators. Each names the revision that the operator saw, if it is to count for that alone."""
_VERBS: Final[frozenset[type[object]]] = frozenset(get_args(OperatorVerb))


def is_verb(event: Event) -> TypeIs[OperatorVerb]:
    """Whether the event is what an operator asks for."""
    return type(event) in _VERBS


TakesUp: TypeAlias = RetryRequested | CompensationRequested | StepSettled | RewindRequested
"""The requests that a saga accepts which has FAILED."""
_TAKE_UP: Final[frozenset[type[object]]] = frozenset(get_args(TakesUp))


def takes_up(event: Event) -> TypeIs[TakesUp]:
    """Whether the event may be asked of a saga that has FAILED."""
    return type(event) in _TAKE_UP


_FROM_OUTSIDE: Final[frozenset[type[object]]] = _VERBS | {EventReceived, MomentsMoved}


def is_from_outside(event: Event) -> bool:
    """Whether the event may be folded by who does not own the saga, and so could run nothing of it."""
    return type(event) in _FROM_OUTSIDE


CarriesInputs: TypeAlias = (
    Started | Resumed | Ticked | StepSucceeded | ProbeAnswered | StepSkipped | StepSettled | WaitDefaulted
)
_CARRY_INPUTS: Final[frozenset[type[object]]] = frozenset(get_args(CarriesInputs))


def carries_inputs(event: Event) -> TypeIs[CarriesInputs]:
    """Whether the event may let a step start, and so carries inputs."""
    return type(event) in _CARRY_INPUTS


_WORDS: Final = re.compile(r"(?<!^)(?=[A-Z])")
_NAMES: Final = {kind: _WORDS.sub("_", kind.__name__).lower() for kind in get_args(Event)}


def name_of(event: Event) -> str:
    """The event's name, as journals and people have it: `step_succeeded`. Encoded events carry a number instead.

    >>> name_of(Ticked(Moment(0)))
    'ticked'
    """
    return _NAMES[type(event)]
