"""The laws that are asked of an edge: not those that say nothing of it, which are the most."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from itertools import compress
from typing import Final, TypeAlias

from saga_fn.core.events import Event
from saga_fn.core.invariants.edge import Edge, EdgeLaw
from saga_fn.core.state import Goal

Kinds: TypeAlias = frozenset[type[object]]
Change: TypeAlias = tuple[Kinds | None, Kinds | None]
"""The kinds that a step is of before an event that touches it, and after it; None for any. One that has not begun is of None's."""


class Trait(enum.Enum):
    """A fact of an edge that decides which laws say something of it."""

    STARTS = enum.auto()
    """An execution starts."""
    TURNS = enum.auto()
    """A step begins to be undone."""
    NOT_FORWARD = enum.auto()
    """The saga did not head forward before the event, or does not after it."""
    MORE_OR_FEWER = enum.auto()
    """The saga has more steps than before, or fewer."""
    TIMED_OUT = enum.auto()
    """A time limit is over."""
    WAITS = enum.auto()
    """The plan waits for events, or the saga keeps some."""
    UNNAMED_EVENTS = enum.auto()
    """Events without a name have come."""
    BEGINS_LATER = enum.auto()
    """The saga was to begin later, or is to."""
    PAUSES = enum.auto()
    """The state before the event, or after it, knows of pauses."""
    WENT_BACK = enum.auto()
    """The state before the event, or after it, knows of steps that were taken back."""


_Changes: TypeAlias = tuple[tuple[type[object], type[object]], ...]
_Known: TypeAlias = tuple[type[Event], _Changes, tuple[bool, ...]]
_FORWARD: Final = Goal.FORWARD


class Of:
    """The edges that a law says something of: those of which any of this is so.

    Args:
        traits: The edge has one of these.
        events: The event is of one of these kinds.
        changes: The event has touched a step so.
    """

    def __init__(self, *traits: Trait, events: Iterable[type[Event]] = (), changes: Iterable[Change] = ()) -> None:
        self._traits: Final = frozenset(traits)
        self._events: Final = frozenset(events)
        self._changes: Final = tuple(changes)

    def has(self, kind: type[Event], changes: _Changes, traits: frozenset[Trait]) -> bool:
        """Whether an edge with these is one of them."""
        return (
            kind in self._events
            or not self._traits.isdisjoint(traits)
            or any(
                (before is None or was in before) and (after is None or now in after)
                for before, after in self._changes
                for was, now in changes
            )
        )


def _known_of(edge: Edge) -> _Known:
    """All that decides which laws say something of the edge."""
    before, after = edge.before, edge.after
    return (
        type(edge.event),
        tuple([(type(was), type(now)) for was, now in edge.changed]),
        (  # in the order of `Trait`
            bool(edge.started),
            bool(edge.turned),
            before.goal is not _FORWARD or after.goal is not _FORWARD,
            len(before.steps) != len(after.steps),
            edge.moved.timed_out is not None,
            edge.plan.waits or bool(before.buffered or after.buffered),
            bool(before.events or after.events),
            bool(before.begins_at or after.begins_at),
            before.pause is not None or after.pause is not None,
            bool(before.rewound or after.rewound),
        ),
    )


class Asked:
    """Laws, each with the edges that it says something of.

    Args:
        of_all: The laws that may say something of any edge.
        of_some: The other laws, each with its edges.
    """

    def __init__(self, of_all: Iterable[EdgeLaw], of_some: Iterable[tuple[EdgeLaw, Of]] = ()) -> None:
        self._of_all: Final = tuple(of_all)
        self._of_some: Final = tuple(of_some)
        self._some: dict[_Known, tuple[EdgeLaw, ...]] = {}
        """Those of the other laws that are asked. Finding them takes longer than to ask them, and edges are alike."""
        self._asked: dict[_Known, tuple[EdgeLaw, ...]] = {}
        """The same, after those that are asked of all."""

    @property
    def every(self) -> tuple[EdgeLaw, ...]:
        """All of the laws."""
        return (*self._of_all, *[law for law, _ in self._of_some])

    def also(self, *laws: EdgeLaw) -> Asked:
        """These laws, and others that may say something of any edge."""
        more = Asked((*self._of_all, *laws), self._of_some)
        more._some = self._some
        return more

    def of(self, edge: Edge) -> tuple[EdgeLaw, ...]:
        """The laws that may say something of the edge."""
        known = _known_of(edge)
        asked = self._asked.get(known)
        if asked is None:
            asked = self._asked[known] = self._of_all + self._some_of(known)
        return asked

    def _some_of(self, known: _Known) -> tuple[EdgeLaw, ...]:
        some = self._some.get(known)
        if some is None:
            kind, changes, those = known
            traits = frozenset(compress(Trait, those))
            some = self._some[known] = tuple([law for law, of in self._of_some if of.has(kind, changes, traits)])
        return some

    def broken(self, edge: Edge) -> list[EdgeLaw]:
        """The laws that the edge breaks."""
        return [law for law in self.of(edge) if not law(edge)]
