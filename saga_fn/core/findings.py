"""The finding about a step that an event brings, in words for people."""

from __future__ import annotations

from typing import Final

from saga_fn.core.events import Event, Finding, ProbeAnswered, StepSettled

_FOUND: Final = {Finding.DONE: "done", Finding.UNDONE: "undone", Finding.NEVER_RAN: "never ran"}


def finding_in(event: Event) -> str | None:
    """The finding about a step that the event brings, in words: by a probe, or by an operator; None of another event."""
    match event:
        case ProbeAnswered():
            return "done" if event.done else "not done"
        case StepSettled():
            return _FOUND[event.finding]
        case _:
            return None
