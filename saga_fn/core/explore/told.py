"""The events that are told to a state, of all that are worth telling to some state.

Two sorts are refused by one look at the state, whatever else they say: a result of a step of which nothing is executed, and each
event, once the saga has ended, that cannot take it up. `tests/core/test_told.py` asks for both of states of every sort. A state is
told one of those that are of one kind and of one step, and the next state another one. They are more than half of all events.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeAlias

from saga_fn.core.event_kinds import is_result
from saga_fn.core.events import Event, takes_up
from saga_fn.core.ids import StepId
from saga_fn.core.state import SagaState, executing_of

_Parts: TypeAlias = tuple[tuple[Event, ...], tuple[tuple[Event, ...], ...]]
"""Those that are told to each state, and groups of those of which one is."""


class Told:
    """The events of one plan.

    Args:
        events: All of them, in the order in which they are told.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.events: tuple[Event, ...] = tuple(events)
        self._parts: dict[tuple[frozenset[StepId], bool], _Parts] = {}

    def at(self, state: SagaState, turn: int) -> tuple[Event, ...]:
        """Those that are told to the state; `turn`, a number of the state's own, chooses among those that are refused alike."""
        known = frozenset([step.step for step in executing_of(state.steps)]), state.ended
        parts = self._parts.get(known)
        if parts is None:
            parts = self._parts[known] = self._parted(*known)
        each, alike = parts
        return (*each, *[group[turn % len(group)] for group in alike])

    def _parted(self, executed: frozenset[StepId], ended: bool) -> _Parts:
        each: list[Event] = []
        alike: dict[Hashable, list[Event]] = {}
        for event in self.events:
            if ended and not takes_up(event):
                alike.setdefault(type(event), []).append(event)
            elif is_result(event) and event.step not in executed:
                alike.setdefault((type(event), event.step), []).append(event)
            else:
                each.append(event)
        return tuple(each), tuple(map(tuple, alike.values()))
