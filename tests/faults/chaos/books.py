"""The books of the system that sagas act on: what was begun, and what stands done or undone, outside of any saga's database.

It answers as a careful participant does. A request that is repeated under its key has one effect. What was undone, or said
to be not done, is refused to a request that was made before that.
"""

from __future__ import annotations

import math
import os
import time
import zlib
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import asyncpg
import attrs

from saga_fn import SagaNews, StepContext, TransactionalContext

Direction = Literal["execute", "compensate", "probe"]

WALL: Final = time.time
"""The clock of the machine, whatever a test makes of `time.time` later."""

TABLES: Final = """
CREATE TABLE begun (
    saga uuid, step text, direction text, key text, generation bigint, rewound bigint, pid int, at double precision
);
CREATE TABLE effect (
    saga uuid, step text, keys text[] NOT NULL DEFAULT '{}', undone bool NOT NULL DEFAULT false,
    barred double precision NOT NULL DEFAULT 0, PRIMARY KEY (saga, step)
);
CREATE TABLE called (saga uuid, hook text, at timestamptz)
"""
ROWS: Final = "CREATE TABLE public.entered (place bigserial PRIMARY KEY, saga uuid, step text, direction text)"
"""The table of the service itself, in the database of its sagas. Transactional steps write into it, and take nothing out."""
ENTER: Final = "INSERT INTO public.entered (saga, step, direction) VALUES ($1, $2, $3)"

_DO: Final = """
INSERT INTO effect AS e (saga, step, keys) VALUES ($1, $2, ARRAY[$3::text])
ON CONFLICT (saga, step) DO UPDATE SET keys = CASE WHEN $3::text = ANY(e.keys) THEN e.keys ELSE e.keys || $3::text END
WHERE NOT e.undone AND (e.barred < $4 OR $3::text = ANY(e.keys))
RETURNING 1
"""
_UNDO: Final = """
INSERT INTO effect (saga, step, undone) VALUES ($1, $2, true) ON CONFLICT (saga, step) DO UPDATE SET undone = true
"""
_BAR: Final = """
INSERT INTO effect AS e (saga, step, barred) VALUES ($1, $2, $3)
ON CONFLICT (saga, step) DO UPDATE SET barred = CASE WHEN e.keys = '{}' THEN greatest(e.barred, $3) ELSE e.barred END
RETURNING e.keys <> '{}'
"""


class LateError(RuntimeError):
    """The request came after it was undone, or said to be not done; it has done nothing."""


@attrs.frozen
class Begun:
    """One execution that was begun, of the run of its step since `rewound`. `at` is seconds of the machine's clock."""

    saga: UUID
    step: str
    direction: str
    key: str
    generation: int
    rewound: int
    pid: int
    at: float


@attrs.frozen
class Effect:
    """What stands in the books of one step: the keys that it was done under, and whether it was undone."""

    saga: UUID
    step: str
    keys: tuple[str, ...]
    undone: bool

    @property
    def stands(self) -> bool:
        """Whether it has been done, and not undone."""
        return bool(self.keys) and not self.undone


@attrs.frozen
class Row:
    """A row that a transactional step has written, or its compensation."""

    saga: UUID
    step: str
    direction: str


@attrs.frozen
class Call:
    """A call of a hook: the moment of its saga that it tells of."""

    saga: UUID
    hook: str
    at: datetime


class Books:
    """The participant, as a step calls it."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def begin(self, ctx: StepContext, direction: Direction, at: float) -> None:
        """Write down that an execution has begun, at that moment."""
        await self._pool.execute(
            "INSERT INTO begun VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            ctx.saga_id,
            ctx.step_id,
            direction,
            ctx.idempotency_key,
            ctx.generation
            if ctx.received_event is None
            else zlib.crc32(ctx.received_event[1]),  # an event makes another call of an undo
            ctx.rewound,  # a compensation has no other sign of the run that it undoes
            os.getpid(),
            at,
        )

    async def enter(self, ctx: TransactionalContext, direction: Direction) -> None:
        """Write a row of the service's own, in the transaction of the step."""
        await ctx.connection.execute(ENTER, ctx.saga_id, ctx.step_id, direction)

    async def call(self, news: SagaNews) -> None:
        """Write down that a hook was called."""
        await self._pool.execute("INSERT INTO called VALUES ($1, $2, $3)", news.saga_id, news.hook.value, news.at)

    async def do(self, ctx: StepContext, made: float) -> None:
        """Do it, once for each key. `made` is when the request was made (monotonic time). Raises LateError."""
        done = await self._pool.fetchval(_DO, ctx.saga_id, ctx.step_id, ctx.idempotency_key, made)
        if done is None:
            raise LateError

    async def undo(self, ctx: StepContext) -> None:
        """Undo it, or see to it that it is never done."""
        await self._pool.execute(_UNDO, ctx.saga_id, ctx.step_id)

    async def ask(self, ctx: StepContext) -> bool:
        """Whether it has been done; if not, no request that was made before now will do it."""
        return bool(await self._pool.fetchval(_BAR, ctx.saga_id, ctx.step_id, time.monotonic()))

    async def bar_for_ever(self, ctx: StepContext) -> bool:
        """Whether it has been done; if not, no request will ever do it."""
        return bool(await self._pool.fetchval(_BAR, ctx.saga_id, ctx.step_id, math.inf))


async def read_books(pool: asyncpg.Pool) -> tuple[list[Begun], list[Effect]]:
    """All that stands in them."""
    begun = [Begun(*row) for row in await pool.fetch("SELECT * FROM begun ORDER BY at")]
    rows = await pool.fetch("SELECT saga, step, keys, undone FROM effect")
    return begun, [Effect(saga, step, tuple(keys), undone) for saga, step, keys, undone in rows]


async def read_rows(pool: asyncpg.Pool) -> list[Row]:
    """All rows of transactional steps, in the order in which they were written."""
    return [Row(*row) for row in await pool.fetch("SELECT saga, step, direction FROM public.entered ORDER BY place")]


async def read_calls(pool: asyncpg.Pool) -> list[Call]:
    """All calls of hooks."""
    return [Call(*row) for row in await pool.fetch("SELECT saga, hook, at FROM called")]
