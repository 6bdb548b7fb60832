"""Lines of the log that say the same of many sagas: some of them are said, the others are counted."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, final

import msgspec

from saga_fn.engine.observe.fact import Line

SECONDS: Final = 10.0
"""How long lines are counted together."""
_MOST_KINDS: Final = 1000


class _Kind(msgspec.Struct, eq=False):
    """The lines of one kind since a moment, in seconds."""

    since: float
    said: int = 0
    left_out: int = 0
    last: Line | None = None
    """The last that was left out."""


@final
class Repeats:
    """How often each kind of line was said within `SECONDS`.

    A flood would hide the other lines, and the log's handler writes within the event loop.

    Args:
        most: The most lines of a kind that are said within that time, 1 or more; None says all.
        now: Seconds, by a clock that never goes back.
    """

    __slots__ = ("_kinds", "_most", "_now")

    def __init__(self, most: int | None, now: Callable[[], float]) -> None:
        self._most = most
        self._now = now
        self._kinds: dict[Hashable, _Kind] = {}

    def take(self, line: Line) -> bool:
        """Whether the line is said now. One that is not is counted."""
        if self._most is None:
            return True
        now = self._now()
        kind = _kind_of(line)
        known = self._kinds.get(kind)
        if known is None and len(self._kinds) >= _MOST_KINDS:
            self._forget(now)
            kind = kind if len(self._kinds) < _MOST_KINDS else None  # too many kinds count as one
            known = self._kinds.get(kind)
        if known is None or (not known.left_out and known.since + SECONDS <= now):
            known = self._kinds[kind] = _Kind(now)
        if known.said < self._most:
            known.said += 1
            return True
        known.left_out += 1
        known.last = line
        return False

    def _forget(self, now: float) -> None:
        """Forget kinds whose time is over and of which nothing was left out."""
        for kind in [key for key, each in self._kinds.items() if not each.left_out and each.since + SECONDS <= now]:
            del self._kinds[kind]

    def over(self, *, all_of_them: bool = False) -> tuple[list[tuple[Line, int]], float | None]:
        """Begin anew with the kinds whose time is over, or with all.

        Returns:
            For each of which lines were left out the last of them, and how many; and the seconds until the next is over, None if
            no line is left out of any other.
        """
        now = self._now()
        limited = [(kind, each, each.last) for kind, each in self._kinds.items() if each.last is not None]
        ended = [(kind, each, last) for kind, each, last in limited if all_of_them or each.since + SECONDS <= now]
        for kind, _, _ in ended:
            del self._kinds[kind]
        left = [each.since + SECONDS - now for _, each, _ in limited if each.since + SECONDS > now and not all_of_them]
        return [(last, each.left_out) for _, each, last in ended], min(left, default=None)


def _kind_of(line: Line) -> Hashable:
    """Lines are of a kind if they say the same of other sagas of that name."""
    extra = line.extra or {}
    return line.logger, line.text, line.like, extra.get("saga_name"), extra.get("step")
