"""Answers to messages that this process has made durable, for those in it who have sent them and wait."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Final, TypeAlias, final
from uuid import UUID

from saga_fn.timeouts import TimeLimits

_Told: TypeAlias = asyncio.Future[None]
_Key: TypeAlias = tuple[UUID, UUID]


@final
class Expected:
    """The answer to one message, for one who waits for it."""

    __slots__ = ("_limits", "_told", "answer")

    def __init__(self, limits: TimeLimits[_Told]) -> None:
        self.answer: str | None = None
        """None until a commit of this process has given it."""
        self._told: _Told | None = None
        self._limits = limits

    def tell(self, answer: str) -> None:
        """Here it is."""
        self.answer = answer
        if self._told is not None and not self._told.done():
            self._told.set_result(None)

    async def wait(self, seconds: float) -> str | None:
        """The answer; None if there is none for so many seconds."""
        if self.answer is not None:
            return self.answer
        told = self._told = asyncio.get_running_loop().create_future()
        self._limits.watch(told, seconds)
        try:
            await told
        finally:
            self._limits.end(told, seconds)
        return self.answer


@final
class Answers:
    """The senders in this process who wait for answers, by the message. Answers that others give are looked up."""

    def __init__(self) -> None:
        self._waiting: Final[dict[_Key, list[Expected]]] = {}
        self._limits: TimeLimits[_Told] = TimeLimits(_give_up, lambda _: None)

    @contextmanager
    def expected(self, saga_id: UUID, message_id: UUID) -> Generator[Expected]:
        """The answer to this message, from now on."""
        key = saga_id, message_id
        expected = Expected(self._limits)
        waiting = self._waiting.setdefault(key, [])
        waiting.append(expected)
        try:
            yield expected
        finally:
            waiting.remove(expected)
            if not waiting and self._waiting.get(key) is waiting:
                del self._waiting[key]

    def tell(self, saga_id: UUID, answers: Iterable[tuple[UUID, str]]) -> None:
        """These messages of the saga have been answered."""
        if not self._waiting:
            return
        for message_id, answer in answers:
            for expected in self._waiting.get((saga_id, message_id), ()):
                expected.tell(answer)

    def stop(self) -> None:
        """Watch no wait any more: the event loop ends."""
        self._limits.stop()


def _give_up(told: _Told) -> None:
    if not told.done():
        told.set_result(None)
