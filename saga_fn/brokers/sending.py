"""The sending of a batch: all its messages at the same time, an outcome for each, and no text of a broker's that tells a password."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeAlias

import attrs

from saga_fn.arguments import micros_of
from saga_fn.errors import SagaError
from saga_fn.outgoing import FailedForNow, OutgoingMessage, Published, PublishOutcome, RefusedForGood
from saga_fn.printable import message_of, name_of_type
from saga_fn.tasks import cut_short, spawn

LARGEST_HEADERS: Final = 8192
"""Bytes of the names and values of a message's headers: HTTP servers take no more, and AMQP only what fits a frame."""
_LONGEST_REASON: Final = 200
_MOST_IN_VAIN: Final = 5
"""How many are tried alone, one after the other, and fail, before the rest is left for later."""
_MICROSECONDS: Final = 1_000_000
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_USER: Final = re.compile(r"//[^/\s]*@")
_OURS: Final = frozenset({"content-type", "message-id", "message-key", "saga-id", "saga-name"})


class UnsendableError(Exception):
    """This message can never be sent to such a broker. Its text is the reason."""


@attrs.frozen
class Shared:
    """The broker has refused everything that was on its way, because of one message: the outcome, if it was this one."""

    outcome: PublishOutcome


Send: TypeAlias = Callable[[OutgoingMessage], Awaitable[PublishOutcome]]
Judge: TypeAlias = Callable[[BaseException], PublishOutcome | Shared]


def seconds_of(limit: timedelta, name: str = "timeout") -> float:
    """The seconds of a limit; raises SagaError for what is none."""
    return micros_of(name, limit, error=SagaError, hint=f"e.g. {name}=timedelta(seconds=5)") / _MICROSECONDS


def told(error: BaseException) -> str:
    """The words of a client or a broker for an operator: on one line, short, and without the user and password of an address."""
    text = _USER.sub("//", message_of(error, _LONGEST_REASON))
    return f"{name_of_type(error)}: {text}" if text else name_of_type(error)


def headers_of(
    message: OutgoingMessage, reserved: frozenset[str] = frozenset(), *, ascii_only: bool = False
) -> dict[str, str]:
    """The headers that the saga gave its message.

    Raises UnsendableError for a header that another one could be smuggled in with, that a broker or this library reads as its own, or
    that is in `reserved` (lower case).
    """
    headers = dict(message.headers)
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise UnsendableError("the name of a header is no name: letters, digits and -_. are, up to 100")
        if name.lower() in _OURS or name.lower() in reserved:
            raise UnsendableError(f"the header {name} has a meaning of its own here: give it another name")
        if not (value.isascii() or not ascii_only) or any(each < " " or each == "\x7f" for each in value):
            raise UnsendableError(f"the value of the header {name} holds a character that a header cannot hold")
        if value.strip() != value:
            raise UnsendableError(f"the value of the header {name} begins or ends with a space, which would be lost")
    if sum(len(name) + len(value.encode()) for name, value in headers.items()) > LARGEST_HEADERS:
        raise UnsendableError(f"its headers are larger than {LARGEST_HEADERS} bytes")
    return headers


async def send_each(
    messages: Sequence[OutgoingMessage],
    send: Send,
    judge: Judge,
    *,
    within: float,
    anew: Callable[[], Awaitable[None]] | None = None,
) -> list[PublishOutcome]:
    """Send all of them at the same time, and tell the fate of each within so many seconds.

    Those that the broker has refused together are sent again one by one, so that the guilty one is alone with its fate. Before that
    `anew` ends the connection: the broker may be about to close it, for messages that it got after the guilty one.
    """
    late = asyncio.get_running_loop().time() + within
    found = await _at_once(messages, send, judge, late)
    shared = [place for place, outcome in enumerate(found) if isinstance(outcome, Shared)]
    if len(shared) > 1 and anew is not None:
        await anew()
    in_vain = 0
    for place in shared:
        if len(shared) > 1 and in_vain < _MOST_IN_VAIN:
            (found[place],) = await _at_once([messages[place]], send, judge, late)
            in_vain = 0 if isinstance(found[place], Published) else in_vain + 1
    return [each.outcome if isinstance(each, Shared) else each for each in found]


async def _at_once(
    messages: Sequence[OutgoingMessage], send: Send, judge: Judge, late: float
) -> list[PublishOutcome | Shared]:
    seconds = late - asyncio.get_running_loop().time()
    if seconds <= 0:
        return [FailedForNow("there was no time left to try it") for _ in messages]
    tasks = [spawn(_one(message, send)) for message in messages]
    try:
        await asyncio.wait(tasks, timeout=seconds)
    finally:
        over = [task for task in tasks if task.done()]
        await cut_short([task for task in tasks if not task.done()], 1.0)
    return [_fate(task, judge) if task in over else judge(TimeoutError()) for task in tasks]


async def _one(message: OutgoingMessage, send: Send) -> PublishOutcome:
    return await send(message)


def _fate(task: asyncio.Task[PublishOutcome], judge: Judge) -> PublishOutcome | Shared:
    if task.cancelled():
        return judge(asyncio.CancelledError("the connection was lost"))
    match task.exception():
        case None:
            return task.result()
        case UnsendableError() as error:
            return RefusedForGood(str(error))
        case UnicodeEncodeError():
            return RefusedForGood("its topic, its key or a header is no text that can be sent (a lone surrogate)")
        case error:
            return judge(error)
