"""Names and definitions that other processes work on, as the senders of this one have found them in the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from saga_fn.core.plan import Plan
from saga_fn.store.records import Definition

_MOST: Final = 200


@final
class Elsewhere:
    """The last of them: a plan is known by its fingerprint, so what one waits for never changes."""

    def __init__(self, is_registered: Callable[[str, int], bool]) -> None:
        """`is_registered` says whether this process knows a definition by itself: then that one judges."""
        self._is_registered = is_registered
        self._events: dict[Definition, frozenset[str]] = {}
        self._names: dict[str, None] = {}

    def learn(self, definition: Definition, plan: Plan) -> None:
        """A saga of that definition was found."""
        self._events[definition] = plan.events
        if len(self._events) > _MOST:
            del self._events[next(iter(self._events))]

    def knows(self, definition: Definition) -> bool:
        """Whether one was found before."""
        return definition in self._events

    def awaiting(self, event: str) -> frozenset[Definition]:
        """The definitions that wait for an event of that name."""
        found = (each for each, events in self._events.items() if event in events)
        return frozenset(each for each in found if not self._is_registered(*each[:2]))

    def learn_name(self, name: str) -> None:
        """Sagas of that name were found."""
        self._names[name] = None
        if len(self._names) > _MOST:
            del self._names[next(iter(self._names))]

    def has_name(self, name: str) -> bool:
        """Whether sagas of that name were found before."""
        return name in self._names
