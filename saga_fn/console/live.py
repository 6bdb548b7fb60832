"""Tells a page that is open when it has changed, by server-sent events. The browser then asks for the page again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from saga_fn import SagaError

MOST_LISTENERS: Final = 32
"""Pages that are told at the same time. Others are told nothing, and say so."""
INTERVAL: Final = 2.0
"""Seconds between two looks."""
LIFE: Final = 20.0
"""Seconds after which the browser has to ask again: who may see the page is judged anew, and a server that stops waits no longer."""
_REST: Final = 20
"""How many times as long as a look took the next one waits at least: a page that is hard to draw must not fill the event loop."""
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events back
]

Look = Callable[[], Awaitable[str]]


class Listeners:
    """The pages that listen now, by their operators. Half of them at most are of one."""

    def __init__(self, most: int = MOST_LISTENERS) -> None:
        self._most = most
        self._of: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many pages listen."""
        return self._of.total()

    def add(self, operator: str) -> bool:
        """Let a page of the operator listen, until `remove`; False if no other page of that operator may."""
        if self.count >= self._most or self._of[operator] >= max(1, self._most // 2):
            return False
        self._of[operator] += 1
        return True

    def remove(self, operator: str) -> None:
        """Make room for another page."""
        self._of[operator] -= 1
        if not self._of[operator]:
            del self._of[operator]


def digest_of(text: str) -> str:
    """Another one for another text."""
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


class LiveAnswer:
    """An answer that goes on: an event with the page's digest whenever that has changed, and a comment in between.

    It ends when the browser goes, when the page cannot be read, and after LIFE.
    """

    def __init__(
        self, look: Look, listeners: Listeners, operator: str, *, interval: float = INTERVAL, life: float = LIFE
    ) -> None:
        self._look = look
        self._listeners = listeners
        self._operator = operator
        self._interval = interval
        self._life = life

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if not self._listeners.add(self._operator):
            await send({"type": "http.response.start", "status": 503, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"Too many pages listen."})
            return
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await self._tell(send, gone)
        except OSError:
            pass  # the browser has gone
        finally:
            self._listeners.remove(self._operator)
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone

    async def _tell(self, send: Send, gone: asyncio.Future[None]) -> None:
        told = ""
        ends_at = asyncio.get_running_loop().time() + self._life
        await send(_body("retry: 3000\n\n"))
        while not gone.done() and asyncio.get_running_loop().time() < ends_at:
            begun = asyncio.get_running_loop().time()
            try:
                seen = await self._look()
            except (SagaError, HTTPException):
                break  # the browser asks again, and is told by a page what is wrong
            await send(_body(": \n\n" if seen == told else f"data: {seen}\n\n"))
            told = seen
            took = asyncio.get_running_loop().time() - begun
            await asyncio.wait({gone}, timeout=max(self._interval, _REST * took))
        if not gone.done():
            await send({"type": "http.response.body", "body": b""})


def _body(text: str) -> Message:
    return {"type": "http.response.body", "body": text.encode(), "more_body": True}


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
