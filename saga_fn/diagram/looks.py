"""How a status looks: a colour, and beside it a sign and a word that say the same without one."""

from __future__ import annotations

import enum
from typing import Final

import attrs

from saga_fn.core.projection import SagaStatus
from saga_fn.core.step_report import StepStatus


class Tone(enum.StrEnum):
    """A colour with a meaning."""

    IDLE = "idle"
    GOOD = "good"
    BUSY = "busy"
    WAIT = "wait"
    AGAIN = "again"
    PERSON = "person"
    BAD = "bad"
    UNDONE = "undone"


@attrs.frozen
class Look:
    """How something looks."""

    tone: Tone
    sign: str
    """A character for a terminal."""
    plain: str
    """The same of ASCII."""
    text: str
    """The same in words."""


_STEPS: Final = {
    StepStatus.PENDING: Look(Tone.IDLE, "○", ".", "not begun"),
    StepStatus.RUNNING: Look(Tone.BUSY, "▶", ">", "runs"),
    StepStatus.RETRYING: Look(Tone.AGAIN, "↻", "~", "is tried again"),
    StepStatus.UNKNOWN: Look(Tone.AGAIN, "?", "?", "may have run"),
    StepStatus.PROBING: Look(Tone.BUSY, "¿", "?", "is being found out"),
    StepStatus.PARKED: Look(Tone.PERSON, "!", "!", "waits for a person"),
    StepStatus.FAILED: Look(Tone.BAD, "✗", "x", "failed"),
    StepStatus.SUCCEEDED: Look(Tone.GOOD, "✓", "+", "done"),
    StepStatus.SKIPPED: Look(Tone.UNDONE, "\u2013", "-", "passed over"),
    StepStatus.WAITING: Look(Tone.WAIT, "◔", "w", "waits for an event"),
    StepStatus.SLEEPING: Look(Tone.WAIT, "☾", "z", "sleeps"),
    StepStatus.COMPENSATING: Look(Tone.BUSY, "◀", "<", "is being undone"),
    StepStatus.COMPENSATION_RETRYING: Look(Tone.AGAIN, "↻", "~", "undo is tried again"),
    StepStatus.COMPENSATION_WAITING: Look(Tone.WAIT, "◔", "w", "undo waits for an event"),
    StepStatus.COMPENSATION_PARKED: Look(Tone.PERSON, "!", "!", "undo waits for a person"),
    StepStatus.COMPENSATION_FAILED: Look(Tone.BAD, "✗", "x", "undo failed"),
    StepStatus.COMPENSATED: Look(Tone.UNDONE, "↩", "<", "undone"),
}
_SAGAS: Final = {
    SagaStatus.RUNNING: Look(Tone.BUSY, "▶", ">", "runs"),
    SagaStatus.SUSPENDED: Look(Tone.WAIT, "◔", "w", "waits"),
    SagaStatus.COMPENSATING: Look(Tone.BUSY, "◀", "<", "is rolled back"),
    SagaStatus.COMPLETED: Look(Tone.GOOD, "✓", "+", "completed"),
    SagaStatus.COMPENSATED: Look(Tone.UNDONE, "↩", "<", "compensated"),
    SagaStatus.FAILED: Look(Tone.BAD, "✗", "x", "failed"),
}


def look_of_step(status: StepStatus) -> Look:
    """The look of a step's status."""
    return _STEPS[status]


def look_of_saga(status: SagaStatus) -> Look:
    """The look of a saga's status."""
    return _SAGAS[status]
