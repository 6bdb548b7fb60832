"""The way from a process to the store: requests are late, lost, or answered too late, and each is served at one moment."""

from __future__ import annotations

import inspect
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, final

import attrs

from saga_fn.errors import StoreUnavailableError
from saga_fn.store.memory import MemoryStore
from saga_fn.store.records import Hint
from saga_fn.testing.virtual_loop import VirtualLoop
from tests.simulation.machine import Machine, Node

TIME_LIMIT: Final = 5.0
"""Seconds after which the driver gives a request up."""
_PARTS: Final = (
    "kept_events",
    "sent_events",
    "processes",
    "operations",
    "pauses",
    "lists",
    "deletion",
    "outgoing",
)


@attrs.frozen
class Weather:
    """How likely it is that a request fares badly."""

    refused: float = 0.0
    """It never arrives."""
    lost: float = 0.0
    """It is served, and the answer does not come back."""
    late: float = 0.0
    """It takes seconds, there or back."""


CALM: Final = Weather()


Served = Callable[[Node, str, tuple[Any, ...], dict[str, Any], object], None]  # Any: arguments of all methods


@final
class Network:
    """Between the processes and the store."""

    def __init__(self, machine: Machine, store: MemoryStore, seed: str, served: Served) -> None:
        self._machine = machine
        self._dice = random.Random(f"{seed} network")
        self._served = served
        self.store = store
        self.weather = CALM
        self.listeners: dict[Node, Callable[[Hint], None]] = {}
        self.requests = 0

    def ask(
        self,
        node: Node,
        name: str,
        method: Callable[..., Coroutine[Any, Any, object]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Awaitable[Any]:
        """Send a request for a process; gives what its answer is awaited by."""
        answer = node.loop.create_future()
        self.requests += 1
        dice, weather = self._dice.random, self.weather
        there, back = 0.002 * dice() * node.slow, 0.002 * dice() * node.slow
        luck = dice()

        after, serve = self._machine.after, partial(self._serve, node, name, method, args, kwargs)
        if node.unreachable:
            # A wire that is cut: nothing is heard until the driver gives up. Or a host that refuses: it is heard at once.
            error = StoreUnavailableError("no way to the store")
            after(TIME_LIMIT if luck < 0.3 else there, partial(self._deliver, node, answer, error))
            return answer
        if luck < weather.refused:
            error = StoreUnavailableError("the connection was refused")
            after(there, partial(self._deliver, node, answer, error))
            return answer
        if luck < weather.refused + weather.lost:
            after(there, partial(self._arrive, serve, back, node, answer, StoreUnavailableError("the answer was lost")))
            return answer
        if luck < weather.refused + weather.lost + weather.late:
            if dice() < 0.5:
                there *= 2000 * dice()
            else:
                back *= 2000 * dice()
            if there + back > TIME_LIMIT:
                after(there, serve)
                error = StoreUnavailableError("the time limit of the statement is over")
                after(TIME_LIMIT, partial(self._deliver, node, answer, error))
                return answer
        after(there, partial(self._arrive, serve, back, node, answer))
        return answer

    def _arrive(
        self, serve: Callable[[], object], back: float, node: Node, answer: Any, instead: object = None
    ) -> None:  # Any: a future of all results
        """Serve a request that has arrived, and send back what it gives, or something instead."""
        given = serve()
        self._machine.after(back, partial(self._deliver, node, answer, given if instead is None else instead))

    def _serve(
        self,
        node: Node,
        name: str,
        method: Callable[..., Coroutine[Any, Any, object]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> object:
        """Serve a request at this moment, whole, whatever has become of who sent it."""
        self._machine.caller = node.name
        running = method(*args, **kwargs)
        try:
            running.send(None)
        except StopIteration as returned:
            result = returned.value
        except Exception as error:  # noqa: BLE001 - it is the answer
            return error
        else:
            raise AssertionError(f"{name} of the memory store waits for something")
        self._served(node, name, args, kwargs, result)
        return result

    def _deliver(self, node: Node, answer: Any, given: object) -> None:  # Any: a future of all results
        if not node.alive or answer.done():
            return
        if isinstance(given, Exception):
            answer.set_exception(given)
        else:
            answer.set_result(given)

    def hint(self, hints: Sequence[Hint]) -> None:
        """Tell those who listen, each after a while, or never."""
        for node, listener in list(self.listeners.items()):
            if self._dice.random() < 0.1 or node.unreachable:
                continue
            for hint in hints:
                self._machine.after(0.01 * self._dice.random(), partial(_tell, node, listener, hint))


def _tell(node: Node, listener: Callable[[Hint], None], hint: Hint) -> None:
    if node.alive:
        node.loop.call_soon(listener, hint)


class _Part:
    """A part of the store, as one process reaches it."""

    def __init__(self, network: Network, node: Node, prefix: str, part: object) -> None:
        self._network = network
        self._node = node
        self._prefix = prefix
        self._part = part

    def __getattr__(self, name: str) -> object:
        value: Any = getattr(self._part, name)  # Any: a method of any part
        if not inspect.iscoroutinefunction(value):
            if inspect.ismethod(value):  # it is asked for no more; an attribute is, for it may be another next time
                setattr(self, name, value)
            return value
        called, network, node = self._prefix + name, self._network, self._node

        async def call(*args: Any, **kwargs: Any) -> Any:  # Any: as the method has them
            return await network.ask(node, called, value, args, kwargs)

        setattr(self, name, call)
        return call


@final
class Link(_Part):
    """The store, as one process reaches it: a `saga_fn.store.Store`."""

    def __init__(self, network: Network, node: Node) -> None:
        super().__init__(network, node, "", network.store)
        self.attendants: set[object] | None = None  # other processes work on the sagas, too
        for name in _PARTS:
            setattr(self, name, _Part(network, node, f"{name}.", getattr(network.store, name)))

    async def open(self, *, migrate: bool, listen: Callable[[Hint], None] | None) -> None:
        """Listen."""
        if listen is not None:
            self._network.listeners[self._node] = listen

    async def close(self) -> None:
        """Listen no more."""
        self._network.listeners.pop(self._node, None)

    async def hint(self, hints: Sequence[Hint], *, connection: object = None) -> None:
        """Tell other processes, perhaps."""
        self._network.hint(hints)


__all__ = ["CALM", "Link", "Network", "VirtualLoop", "Weather"]
