"""How a status looks: a colour, and beside it a sign and words that say the same without one."""

from __future__ import annotations

import enum
from typing import Final

import attrs

from saga_fn.core.projection import SagaStatus
from saga_fn.core.step_report import StepStatus
from saga_fn.diagram.icons import Icon


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
    icon: Icon
    sign: str
    """A character for a terminal."""
    plain: str
    """The same of ASCII."""
    text: str
    """The same in words."""

    def saying(self, text: str) -> Look:
        """The same with other words."""
        return attrs.evolve(self, text=text)


_STEPS: Final = {
    StepStatus.PENDING: Look(Tone.IDLE, Icon.RING, "○", ".", "not begun"),
    StepStatus.RUNNING: Look(Tone.BUSY, Icon.PLAY, "▸", ">", "runs"),
    StepStatus.RETRYING: Look(Tone.AGAIN, Icon.AGAIN, "↻", "~", "is tried again"),
    StepStatus.UNKNOWN: Look(Tone.AGAIN, Icon.QUESTION, "?", "?", "may have run"),
    StepStatus.PROBING: Look(Tone.BUSY, Icon.LENS, "?", "?", "is being found out"),
    StepStatus.PARKED: Look(Tone.PERSON, Icon.BANG, "!", "!", "waits for a person"),
    StepStatus.FAILED: Look(Tone.BAD, Icon.CROSS, "✗", "x", "failed"),
    StepStatus.SUCCEEDED: Look(Tone.GOOD, Icon.CHECK, "✓", "+", "done"),
    StepStatus.SKIPPED: Look(Tone.UNDONE, Icon.DASH, "-", "-", "passed over"),
    StepStatus.WAITING: Look(Tone.WAIT, Icon.CLOCK, "◔", "w", "waits for an event"),
    StepStatus.SLEEPING: Look(Tone.WAIT, Icon.MOON, "☾", "z", "sleeps"),
    StepStatus.COMPENSATING: Look(Tone.BUSY, Icon.BACK, "◂", "<", "is being undone"),
    StepStatus.COMPENSATION_RETRYING: Look(Tone.AGAIN, Icon.AGAIN, "↻", "~", "undo is tried again"),
    StepStatus.COMPENSATION_WAITING: Look(Tone.WAIT, Icon.CLOCK, "◔", "w", "undo waits for an event"),
    StepStatus.COMPENSATION_PARKED: Look(Tone.PERSON, Icon.BANG, "!", "!", "undo waits for a person"),
    StepStatus.COMPENSATION_FAILED: Look(Tone.BAD, Icon.CROSS, "✗", "x", "undo failed"),
    StepStatus.COMPENSATED: Look(Tone.UNDONE, Icon.UNDO, "↶", "<", "undone"),
}
_SAGAS: Final = {
    SagaStatus.RUNNING: Look(Tone.BUSY, Icon.PLAY, "▸", ">", "runs"),
    SagaStatus.SUSPENDED: Look(Tone.WAIT, Icon.CLOCK, "◔", "w", "waits"),
    SagaStatus.COMPENSATING: Look(Tone.BUSY, Icon.BACK, "◂", "<", "is rolled back"),
    SagaStatus.COMPLETED: Look(Tone.GOOD, Icon.CHECK, "✓", "+", "completed"),
    SagaStatus.COMPENSATED: Look(Tone.UNDONE, Icon.UNDO, "↶", "<", "compensated: rolled back"),
    SagaStatus.FAILED: Look(Tone.BAD, Icon.CROSS, "✗", "x", "failed"),
}
_WITHOUT_LEASE: Final = {
    StepStatus.RUNNING: _STEPS[StepStatus.UNKNOWN].saying("was being executed: the lease is over"),
    StepStatus.COMPENSATING: _STEPS[StepStatus.UNKNOWN].saying("was being undone: the lease is over"),
    StepStatus.PROBING: _STEPS[StepStatus.UNKNOWN].saying("was being found out: the lease is over"),
}


PAUSED: Final = Look(Tone.PERSON, Icon.HOLD, "‖", "=", "paused")
LEFT_OVER: Final = Look(Tone.BAD, Icon.FLAG, "⚑", "!", "left over")


def look_of_step(status: StepStatus, *, lease_is_over: bool = False) -> Look:
    """The look of a step's status; `lease_is_over`: that of the process that was to execute something of it."""
    return (lease_is_over and _WITHOUT_LEASE.get(status)) or _STEPS[status]


def look_of_saga(status: SagaStatus) -> Look:
    """The look of a saga's status."""
    return _SAGAS[status]
