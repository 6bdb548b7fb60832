"""The past of a saga: executions and waits with begin and end, claims, and what others did. `past_reader.py` reads it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import attrs

from saga_fn.core.ids import StepId, owner_of
from saga_fn.core.step_report import StepStatus
from saga_fn.diagram.kinds import Kind, Role
from saga_fn.diagram.looks import Look, Tone, look_of_step
from saga_fn.diagram.seen import EntrySeen, SagaSeen, StepSeen


class SpanKind(enum.Enum):
    """The kind of a length of time."""

    EXECUTE = "execute"
    COMPENSATE = "compensate"
    PROBE = "probe"
    CUT_SHORT = "cut short"
    """An execution of which the journal has no end: its process died, or gave it up."""
    PAUSE = "pause"
    """Between two attempts."""
    WAIT = "wait"
    """For an event or a moment."""


@attrs.frozen
class Span:
    """A length of time of a step."""

    step: str
    kind: SpanKind
    begin: datetime
    end: datetime | None
    """None if it goes on."""
    tone: Tone
    text: str


@attrs.frozen
class Act:
    """Something that a person or a sender did."""

    at: datetime
    step: str | None
    kind: Kind
    text: str


@attrs.frozen
class Claim:
    """The time that a process had the saga, as far as the journal tells."""

    number: int
    begin: datetime
    end: datetime
    """When the last entry under it was written; of one that was taken over, when that was."""
    is_takeover: bool
    process: str | None = None
    """Its host and its number there."""


@attrs.frozen
class Past:
    """All of it."""

    spans: tuple[Span, ...]
    acts: tuple[Act, ...]
    claims: tuple[Claim, ...]
    begins: dict[int, datetime]
    """The begin of the execution that an entry is the end of, by the number of the entry."""


_DONE: Final = (
    StepStatus.PENDING,
    StepStatus.SUCCEEDED,
    StepStatus.SKIPPED,
    StepStatus.COMPENSATED,
    StepStatus.FAILED,
    StepStatus.COMPENSATION_FAILED,
)
"""A step with such a status does nothing, and waits for nothing."""


def what_goes_on(seen: SagaSeen | None) -> Iterator[tuple[StepSeen, Look]]:
    """The steps that do something now, or wait, with the looks of their statuses."""
    if seen is None or seen.status.is_terminal:
        return
    fanned_out = {
        owner_of(StepId(step.step_id)) for step in seen.steps if owner_of(StepId(step.step_id)) != step.step_id
    }
    for step in seen.steps:
        if step.status not in _DONE and step.step_id not in fanned_out:
            yield step, look_of_step(step.status, lease_is_over=seen.is_interrupted)


def act_text(entry: EntrySeen, kind: Kind) -> str:
    """The entry in words, without its error."""
    said = kind.text
    if kind.role is Role.VERB:
        who = entry.actor or "an operator"
        said = f"{who} asks: {said}" + (f" ({entry.reason})" if entry.reason else "")
    elif entry.event:
        said = f"the event {entry.event} comes"
    elif entry.takeover:
        said = f"{entry.process or 'another process'} takes it over: the lease was over"
    elif entry.kind == "resumed" and entry.process:
        said = f"{entry.process} claims it"
    elif entry.process:
        said = f"{said}, and {entry.process} owns it"
    elif entry.kind == "probe_answered":
        said = "the probe says: done" if entry.status == "SUCCESS" else "the probe says: not done"
    return said
