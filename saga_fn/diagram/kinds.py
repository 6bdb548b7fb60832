"""The look of each kind of journal entry, and the words for it."""

from __future__ import annotations

import enum
from typing import Final

import attrs

from saga_fn.diagram.icons import Icon
from saga_fn.diagram.looks import Tone


class Role(enum.Enum):
    """The part that a kind of entry has in a timeline."""

    END_OF_EXECUTION = enum.auto()
    """An execution of a step, a compensation or a probe has come to its end."""
    CLAIM = enum.auto()
    """A process has the saga from here on."""
    TIMER = enum.auto()
    """A moment that was waited for has come."""
    VERB = enum.auto()
    """An operator asked for it."""
    NEWS = enum.auto()
    """It came from outside."""
    OTHER = enum.auto()


@attrs.frozen
class Kind:
    """How a kind of entry is shown."""

    role: Role
    text: str
    icon: Icon
    sign: str
    plain: str
    tone: Tone | None = None


KINDS: Final = {
    "started": Kind(Role.CLAIM, "the saga starts", Icon.PLAY, "●", "o"),
    "resumed": Kind(Role.CLAIM, "a process claims it", Icon.PLAY, "▸", ">"),
    "ticked": Kind(Role.TIMER, "a timer is due", Icon.CLOCK, "◔", "t"),
    "step_succeeded": Kind(Role.END_OF_EXECUTION, "done", Icon.CHECK, "✓", "+", Tone.GOOD),
    "step_failed": Kind(Role.END_OF_EXECUTION, "failed", Icon.CROSS, "✗", "x", Tone.BAD),
    "compensation_succeeded": Kind(Role.END_OF_EXECUTION, "undone", Icon.UNDO, "↶", "<", Tone.UNDONE),
    "compensation_failed": Kind(Role.END_OF_EXECUTION, "undo failed", Icon.CROSS, "✗", "x", Tone.BAD),
    "compensation_waits": Kind(Role.END_OF_EXECUTION, "undo waits for an event", Icon.CLOCK, "◔", "w", Tone.WAIT),
    "probe_answered": Kind(Role.END_OF_EXECUTION, "the probe has an answer", Icon.LENS, "?", "?", Tone.BUSY),
    "probe_failed": Kind(Role.END_OF_EXECUTION, "the probe failed", Icon.CROSS, "✗", "x", Tone.AGAIN),
    "step_skipped": Kind(Role.VERB, "skip it", Icon.HAND, "!", "!", Tone.PERSON),
    "retry_requested": Kind(Role.VERB, "try again", Icon.HAND, "!", "!", Tone.PERSON),
    "compensation_requested": Kind(Role.VERB, "cancel", Icon.HAND, "!", "!", Tone.PERSON),
    "abort_requested": Kind(Role.VERB, "abort", Icon.HAND, "!", "!", Tone.PERSON),
    "step_settled": Kind(Role.VERB, "settle it", Icon.HAND, "!", "!", Tone.PERSON),
    "rescheduled": Kind(Role.VERB, "go on at another time", Icon.HAND, "!", "!", Tone.PERSON),
    "rewind_requested": Kind(Role.VERB, "go back to it", Icon.HAND, "!", "!", Tone.PERSON),
    "pause_requested": Kind(Role.VERB, "pause it", Icon.HAND, "!", "!", Tone.PERSON),
    "resume_requested": Kind(Role.VERB, "let it go on", Icon.HAND, "!", "!", Tone.PERSON),
    "moments_moved": Kind(Role.OTHER, "its moments are moved by the length of a pause", Icon.CLOCK, "◔", "t"),
    "event_received": Kind(Role.NEWS, "an event comes", Icon.LETTER, "◆", "e", Tone.WAIT),
    "wait_defaulted": Kind(Role.TIMER, "goes on with its default", Icon.CLOCK, "◔", "t", Tone.WAIT),
    "plan_changed": Kind(Role.OTHER, "goes on by another plan", Icon.DASH, "·", "."),
    "saga_parked": Kind(Role.OTHER, "waits for a person", Icon.BANG, "!", "!", Tone.PERSON),
    "handed_back": Kind(Role.OTHER, "its process hands it back", Icon.DASH, "·", "."),
    "accompanied": Kind(Role.OTHER, "others run beside it again", Icon.DASH, "·", "."),
    "paused": Kind(Role.OTHER, "its process sees a pause", Icon.DASH, "·", "."),
    "unreadable": Kind(Role.OTHER, "this entry cannot be read", Icon.BANG, "!", "!", Tone.PERSON),
}
"""By the name of the event; `unreadable` stands for an entry that cannot be read."""
_UNKNOWN: Final = KINDS["paused"]


def kind_of(name: str) -> Kind:
    """The kind of that name; of one that this build does not know, its name alone."""
    return KINDS.get(name) or attrs.evolve(_UNKNOWN, text=name.replace("_", " "))
