"""The laws that are asked of an edge: not those that say nothing of it, which are the most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from saga_fn.core.events import Event
from saga_fn.core.invariants.edge import Edge, EdgeLaw

Kinds: TypeAlias = tuple[type[Event], ...]


class Asked:
    """Laws, in groups by the edges that they say something of.

    Args:
        of_all: The laws that may say something of any edge.
        of_changes: Those that say something only of steps that the event has touched.
        of_starts: Those that say something only of executions that start.
        of_turns: Those that say something only of steps that begin to be undone.
        of_events: Those that say something only of events of these kinds.
    """

    def __init__(
        self,
        of_all: Iterable[EdgeLaw],
        *,
        of_changes: Iterable[EdgeLaw] = (),
        of_starts: Iterable[EdgeLaw] = (),
        of_turns: Iterable[EdgeLaw] = (),
        of_events: Iterable[tuple[Kinds, EdgeLaw]] = (),
    ) -> None:
        self._of_all: Final = tuple(of_all)
        self._of_changes: Final = tuple(of_changes)
        self._of_starts: Final = tuple(of_starts)
        self._of_turns: Final = tuple(of_turns)
        self._of_events: Final = tuple(of_events)
        self._found: Final[dict[tuple[type[Event], bool, bool, bool], tuple[EdgeLaw, ...]]] = {}

    @property
    def every(self) -> tuple[EdgeLaw, ...]:
        """All of the laws."""
        of_events = tuple(law for _, law in self._of_events)
        return (*self._of_all, *of_events, *self._of_changes, *self._of_starts, *self._of_turns)

    def also(self, *laws: EdgeLaw) -> Asked:
        """These laws, and others that may say something of any edge."""
        return Asked(
            (*self._of_all, *laws),
            of_changes=self._of_changes,
            of_starts=self._of_starts,
            of_turns=self._of_turns,
            of_events=self._of_events,
        )

    def of(self, edge: Edge) -> tuple[EdgeLaw, ...]:
        """The laws that may say something of the edge."""
        kind = type(edge.event)
        key = (kind, bool(edge.changed), bool(edge.started), bool(edge.turned))
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = (
                *self._of_all,
                *[law for kinds, law in self._of_events if kind in kinds],
                *(self._of_changes if edge.changed else ()),
                *(self._of_starts if edge.started else ()),
                *(self._of_turns if edge.turned else ()),
            )
        return found

    def broken(self, edge: Edge) -> list[EdgeLaw]:
        """The laws that the edge breaks."""
        return [law for law in self.of(edge) if not law(edge)]
