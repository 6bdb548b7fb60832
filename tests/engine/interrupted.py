"""A store between whose calls something else happens: for races aimed at each window in turn."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from saga_fn.store.protocol import Store


class Interrupted:
    """Stands before a store; `deed` is done once, before the call number `at` of those that one task makes in order.

    The calls of the parts of the store that are named in `parts` count as well.
    """

    def __init__(
        self, store: Store, at: int, deed: Callable[[], Awaitable[object]], *, parts: Sequence[str] = ()
    ) -> None:
        self._store = store
        self._parts = parts
        self._at = at
        self._deed: Callable[[], Awaitable[object]] | None = deed
        self.calls: list[str] = []

    @property
    def reached(self) -> bool:
        """Whether the deed was done."""
        return self._deed is None

    def as_store(self) -> Store:
        """It, where a store is wanted."""
        return cast("Store", self)  # it answers to all that the store behind it does

    def __getattr__(self, name: str) -> Any:  # Any: whatever the store has by that name
        found = getattr(self._store, name)
        if name in self._parts:
            return _Part(found, self._call)
        return self._call(name, found)

    def _call(self, name: str, found: Any) -> Any:  # Any: as above
        if not inspect.iscoroutinefunction(found) or name == "hint":
            return found

        async def call(*args: Any, **named: Any) -> Any:  # Any: handed through
            if self._deed is not None and len(self.calls) == self._at:
                deed, self._deed = self._deed, None
                await deed()
            self.calls.append(name)
            return await found(*args, **named)

        return call


class _Part:
    """A part of that store."""

    def __init__(self, part: object, wrapped: Callable[[str, Any], Any]) -> None:
        self._part = part
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:  # Any: whatever the part has by that name
        return self._wrapped(name, getattr(self._part, name))
