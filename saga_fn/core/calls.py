"""How the calls of a saga answer, and which faults befall them: as data, and as a journal tells it.

`foretelling.py` folds a saga whose calls answer so. `surprises.py` looks for the failures that nothing of it explains.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from saga_fn.core.events import (
    Binding,
    Event,
    FailureKind,
    ProbeAnswered,
    StepFailed,
    StepSucceeded,
    carries_inputs,
)
from saga_fn.core.ids import Micros, StepId


class Befalls(enum.Enum):
    """The faults that may befall a call."""

    CRASH_BEFORE = enum.auto()
    """Its process dies before the code is called."""
    CRASH_AFTER = enum.auto()
    """Its process dies after the code has returned, and has stored nothing of it."""
    CRASH_AFTER_COMMIT = enum.auto()
    """Its process dies after its success is stored."""
    LATE = enum.auto()
    """The code does its work, and its timeout is over."""
    TAKEN = enum.auto()
    """The code does its work, and another process has taken the saga meanwhile."""
    TWICE = enum.auto()
    """It is made twice, and the second answer counts."""
    FAILS = enum.auto()
    """The code raises, and has done nothing."""
    LIES = enum.auto()
    """A probe says the contrary."""


class Call(enum.Enum):
    """The code that is called."""

    EXECUTE = enum.auto()
    UNDO = enum.auto()
    PROBE = enum.auto()


class FaultAt(msgspec.Struct, frozen=True):
    """A fault, and where it comes."""

    how: Befalls
    step: StepId
    call: Call = Call.EXECUTE
    times: int | None = 1
    """The number of calls that it befalls, from the first on. None: all."""
    kind: FailureKind = FailureKind.ERROR
    """For `FAILS`: the meaning of what it raises."""


class Failed(msgspec.Struct, frozen=True):
    """The failure of a step that no fault has brought."""

    kind: FailureKind
    after: Micros | None = None
    """How much later it asks to be tried again, if it does."""
    done: bool = False
    """Whether it has run, and its probe finds that."""


class Answers(msgspec.Struct, frozen=True):
    """All that comes from outside, as far as no fault changes it."""

    inputs: Mapping[StepId, Binding] = {}
    """By step, the finding when its input is computed. A step that is missing has some input, and one item if it fans out."""
    failures: Mapping[StepId, Sequence[Failed | None]] = {}
    """By step, its failures, call by call; None for a success, and the last one for all calls after it."""
    events: Sequence[str] = ()
    """The names of the events that come, each as often as something waits for it."""
    early: Sequence[str] = ()
    """The names of the events that come right after the start."""
    withheld: frozenset[StepId] = frozenset()
    """The waits for which no event comes."""


def answers_in(journal: Iterable[Event], *, events: Sequence[str] = (), early: Sequence[str] = ()) -> Answers:
    """The answers that a saga was given which no fault befell; `events` and `early` are those of another one."""
    inputs: dict[StepId, Binding] = {}
    failures: dict[StepId, list[Failed | None]] = {}
    for event in journal:
        for each in event.inputs if carries_inputs(event) else ():
            _ = inputs.setdefault(each.step, each)
        if isinstance(event, StepSucceeded):
            failures.setdefault(event.step, []).append(None)
        elif isinstance(event, StepFailed):
            failures.setdefault(event.step, []).append(Failed(event.kind, event.after))
        elif isinstance(event, ProbeAnswered):
            known = failures.get(event.step, [])  # none of a step of which nothing was heard before the probe
            known[-1:] = [
                each if each is None else msgspec.structs.replace(each, done=event.done) for each in known[-1:]
            ]
    return Answers(inputs, failures, events, early)
