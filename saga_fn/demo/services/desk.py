"""The common part of the services: each answers a request once, in any weather."""

from __future__ import annotations

import asyncio
import uuid
from typing import TypeVar

import attrs
import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from saga_fn.demo.services.books import Books, Entry, EntryKind
from saga_fn.demo.services.weather import Operation, Weather

TOO_LATE = 2.5
"""Seconds after which a `late` answer comes: beyond the patience of the saga's steps."""

B = TypeVar("B", bound=msgspec.Struct)


@attrs.frozen
class Posting:
    """The entry that a request would make in the books."""

    operation: Operation
    kind: EntryKind
    order_id: str
    refusal: str | None = None
    """The words to the customer if the order is turned down; None: this is never refused."""
    reference: str | None = None
    """None: a new one."""
    amount_cents: int = 0


@attrs.frozen
class Desk:
    """Where requests arrive."""

    books: Books
    weather: Weather

    async def serve(self, request: Request, posting: Posting) -> Entry:
        """Book what is asked, once for each `Idempotency-Key`, however often it is asked.

        `Operation` names what is done and undone, for the guard; without it, each key is an operation of its own.

        Raises HTTPException: 400 without a key, 503 when the weather is bad (ask again), 409 for a refusal (final).
        """
        key = _key(request)
        order_id, operation = posting.order_id, posting.operation
        attempt = await self.books.count_call(key, operation, order_id, request.headers.get("Worker", "unknown"))
        await asyncio.sleep(self.weather.latency(order_id, operation, attempt))
        mishap = self.weather.mishap(order_id, operation, attempt)
        if mishap == "unavailable":
            raise HTTPException(503, "temporarily unavailable")
        if posting.refusal is not None and self.weather.refuses(order_id, operation):
            raise HTTPException(409, posting.refusal)
        reference = posting.reference or f"{operation}-{uuid.uuid4().hex[:12]}"
        asked = Entry(key, posting.kind, order_id, reference, posting.amount_cents)
        entry = await self.books.record(asked, request.headers.get("Operation", key))
        if entry is None and posting.refusal is not None:
            raise HTTPException(409, "undone before it came")
        entry = entry or asked  # what was never done is undone
        if mishap == "late":
            await asyncio.sleep(TOO_LATE)
        return entry

    async def find(self, request: Request) -> Entry:
        """Give the entry for this `Idempotency-Key`. Raises HTTPException: 400 without one, 404 if nothing has."""
        entry = await self.books.find(_key(request))
        if entry is None:
            raise HTTPException(404, "never heard of it")
        return entry


def _key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key")
    if not key:
        raise HTTPException(400, "the header Idempotency-Key is missing")
    return key


async def read_body(request: Request, expected: type[B]) -> B:
    """The request's body. Raises HTTPException 400 if it is not what is expected."""
    try:
        return msgspec.json.decode(await request.body(), type=expected)
    except msgspec.DecodeError as error:
        raise HTTPException(400, str(error)) from error


def answer(body: msgspec.Struct) -> Response:
    """200, with this body."""
    return Response(msgspec.json.encode(body), media_type="application/json")
