"""A start whose id or business key another transaction holds, which is still open: it waits, apart from all others."""

from __future__ import annotations

import asyncio
from typing import Final

from saga_fn import steady
from saga_fn.backoff import Backoff
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.first_row import StartRequest, first_row
from saga_fn.engine.requests.start_conflicts import CHANGED_HANDS, HELD, LOOKS, StartedSaga, busy, existing
from saga_fn.engine.requests.start_insert import GLANCE, hand_over, insert, tell_inserted
from saga_fn.store.errors import RowLockedError
from saga_fn.store.ids import shard_of
from saga_fn.store.records import NewSaga

_SHORTEST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.1
_A_KEY: Final = 0.01
"""Seconds that each key that is waited for adds to every pause: all who wait use half a connection together."""
_LONGEST_CROWDED: Final = 1.0


class KeyWait:
    """The starts of one process that wait for a key."""

    def __init__(self, engine: SagaEngine) -> None:
        self._engine = engine
        self._awaited: dict[object, asyncio.Future[None]] = {}
        """Ids and business keys that starts of this process wait for, and when the first of them is through."""

    @property
    def waits(self) -> bool:
        """Whether any start waits."""
        return bool(self._awaited)

    def is_awaited(self, new: NewSaga) -> bool:
        """Whether a start waits for a key of this saga already."""
        return bool(self._awaited) and any(key in self._awaited for key in _keys(new))

    async def start(self, request: StartRequest) -> StartedSaga:
        """Insert a saga as soon as no other transaction holds its key; raises StartBusyError after `key_wait`.

        It looks again and again for a moment, and holds no connection between two looks: neither those with other keys nor
        commits wait for it. Only the first of all that wait for one key looks, and the more keys there are, the less often.
        """
        engine, awaited = self._engine, self._awaited
        give_up = steady.now() + engine.options.key_wait.total_seconds()
        new, _, _ = first_row(engine, request, owned=False)
        keys = _keys(new)
        while (before := next((awaited[key] for key in keys if key in awaited), None)) is not None:
            left = give_up - steady.now()
            if left <= 0:
                raise busy(request, HELD)
            await asyncio.wait([before], timeout=left)
        through: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        awaited.update(dict.fromkeys(keys, through))
        try:
            return await self._look_until(give_up, request, new)
        finally:
            for key in keys:
                del awaited[key]
            through.set_result(None)

    async def _look_until(self, give_up: float, request: StartRequest, new: NewSaga) -> StartedSaga:
        shard = shard_of(new.id, self._engine.store.shards)
        backoff, changed_hands = Backoff(_SHORTEST_PAUSE, _LONGEST_PAUSE), 0
        while changed_hands < LOOKS:
            try:
                created, _ = await insert(self._engine, shard, [new], lock_timeout=GLANCE)
            except RowLockedError as error:
                left = give_up - steady.now()
                if left <= 0:
                    raise busy(request, HELD) from error
                crowd = min(len(self._awaited) * _A_KEY, _LONGEST_CROWDED)
                await backoff.pause(least=crowd, most=left)
                continue
            if created:
                tell_inserted(self._engine, new, owned=False)
                await hand_over(self._engine, request)
                return StartedSaga(new.id, created=True, due=new.projection.due)
            before = await existing(self._engine, request, new)
            if before is not None:
                return before
            changed_hands += 1
        raise busy(request, CHANGED_HANDS)


def _keys(new: NewSaga) -> list[object]:
    """The keys that another transaction could hold; without an idempotency key no other one has its id."""
    return [new.id] if new.aggregation_id is None else [new.id, (new.name, new.aggregation_id)]
