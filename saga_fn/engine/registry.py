"""The definitions a process knows, by name and version."""

from __future__ import annotations

from typing import Final

import msgspec

from saga_fn.core.plan import Plan
from saga_fn.definition import AnySaga
from saga_fn.engine.topics import NO_TOPICS, Topics
from saga_fn.errors import (
    SagaDefinitionError,
    SagaNotRegisteredError,
    is_a,
    shown,
)
from saga_fn.store.records import Definition

_MOST_EVENTS: Final = 1000
"""The names of events whose definitions are remembered: a sender may ask for others."""


class Registered(msgspec.Struct, frozen=True, eq=False):
    """A definition under the name and version it was registered by."""

    name: str
    version: int
    definition: AnySaga
    topics: Topics = NO_TOPICS
    """The topics that its process publishes to."""


class Registry:
    """Every registered definition. Several versions of a name may live side by side; new sagas take the highest."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, int], Registered] = {}
        self._latest: dict[str, Registered] = {}
        self.left_out: set[str] = set()
        """Names that the store's encoding cannot hold: no saga of them can be stored, so none is looked for."""
        self._awaiting: dict[str, tuple[Registered, ...]] = {}
        """By the name of an event, for those that were asked for."""
        self.definitions: set[Definition] = set()
        """Every name and version with its plan."""
        self.limits: dict[str, int] = {}
        """How many sagas of a name this process runs at once, of all versions together; most names have no limit."""
        self._numbers: dict[tuple[str, int], int] = {}
        """The limits, by the versions that gave them."""

    def add(self, registered: Registered, concurrency: int | None = None) -> None:
        """Register; the same definition twice is harmless, another under the same name and version is refused.

        `concurrency` limits the name, all its versions together. It may be changed by the version that gave it; another number of
        another version is refused.
        """
        key = (registered.name, registered.version)
        known = self._by_key.get(key)
        if known is not None and known.definition is not registered.definition:
            raise SagaDefinitionError(
                f"saga {shown(registered.name)} version {registered.version} is registered already, with another definition",
                hint="register a changed definition under the next version: register(definition, version=2)",
            )
        if concurrency is not None:
            self._limit(key, concurrency)
        self._by_key[key] = registered
        self._awaiting.clear()
        self.definitions.add((*key, registered.definition.plan.id))
        latest = self._latest.get(registered.name)
        if latest is None or latest.version <= registered.version:
            self._latest[registered.name] = registered

    def _limit(self, key: tuple[str, int], number: int) -> None:
        name, version = key
        for (other_name, other), its in self._numbers.items():
            if other_name == name and other != version and its != number:
                raise SagaDefinitionError(
                    f"saga {shown(name)} has concurrency={its} with version {other}, and concurrency={number} with version {version}, "
                    "but all its versions together have one limit",
                    hint="give the same number, or give it with one version alone",
                )
        self._numbers[key] = self.limits[name] = number

    def find(self, name: str, version: int) -> Registered | None:
        """The definition of that name and version, if this process knows it."""
        return self._by_key.get((name, version))

    def versions(self, name: str) -> list[Registered]:
        """Every definition of that name that this process knows, the newest last."""
        found = [registered for registered in self._by_key.values() if registered.name == name]
        return sorted(found, key=lambda registered: registered.version)

    def awaiting(self, event: str) -> tuple[Registered, ...]:
        """Every definition that waits for an event of that name."""
        found = self._awaiting.get(event)
        if found is None:
            found = tuple(each for each in self._by_key.values() if event in each.definition.plan.events)
            if len(self._awaiting) < _MOST_EVENTS:
                self._awaiting[event] = found
        return found

    @property
    def all(self) -> list[Registered]:
        """Every definition under its name and version."""
        return list(self._by_key.values())

    @property
    def names(self) -> list[str]:
        """Every name of a saga that this process can run."""
        return list(self._latest)

    @property
    def awaits_events(self) -> bool:
        """Whether any of the definitions may wait for an event."""
        return any(registered.definition.plan.events for registered in self._by_key.values())

    def latest(self, name: str) -> Registered:
        """The definition new sagas of that name get; raises SagaNotRegisteredError."""
        if not is_a(name, str):
            raise SagaNotRegisteredError(shown(name), registered=self._latest)
        found = self._latest.get(name)
        if found is None:
            raise SagaNotRegisteredError(name, registered=self._latest)
        return found

    def of(self, definition: AnySaga) -> Registered:
        """The entry of this very definition; raises SagaNotRegisteredError."""
        for registered in self._by_key.values():
            if registered.definition is definition:
                return registered
        raise SagaNotRegisteredError(definition.name or "(unnamed)", registered=self._latest)

    @property
    def plans(self) -> list[Plan]:
        """The plan of every definition."""
        return [registered.definition.plan for registered in self._by_key.values()]

    @property
    def pairs(self) -> list[tuple[str, int]]:
        """Every (name, version) this process can run, but for names that the store cannot hold."""
        return [pair for pair in self._by_key if pair[0] not in self.left_out] if self.left_out else list(self._by_key)
