"""The fate of an operator's act whose process has not told it: by what the act has left behind."""

from __future__ import annotations

from typing import Final

import msgspec

from saga_fn.core.event_matching import Answer
from saga_fn.core.verbs import Verb

UNKNOWN: Final = "unknown"
"""Nothing is left that would tell whether it was done."""
NEVER_DONE: Final = "never_done"
"""Its process died before it did anything."""
_LEAVE_NO_TRACE: Final = frozenset({Verb.ACKNOWLEDGE, Verb.ABORT})
"""The verbs that may be done without an entry in the journal."""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The traces that an act upon a saga has left."""

    is_there: bool
    """Whether the saga is."""
    is_written: bool
    """Whether an entry of its journal was written by the act."""
    is_sent: bool
    """Whether it was left as a message, for an owner."""
    answer: str | None
    """The answer to that; None while no owner has read it."""


def came_of(verb: str, trace: Trace | None) -> str | None:
    """`Answer.APPLIED`, or the reason for which it was not; None for a request that stands. Without a trace that is unknown."""
    if trace is None:
        return UNKNOWN
    if trace.is_written:
        return Answer.APPLIED
    if trace.is_sent:
        return None if trace.answer is None else trace.answer.partition(": ")[0]
    return UNKNOWN if not trace.is_there or verb in _LEAVE_NO_TRACE else NEVER_DONE
