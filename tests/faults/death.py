"""How a process of the crash tests kills itself, as SIGKILL does, at a point of its own choice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from saga_fn.store.protocol import Store
from saga_fn.store.records import ClaimedSaga, Committed, EventToSend, SagaWrite, Sent

SURVIVES = "survives"
"""Instead of a point: the process lives on."""


def die_at(store: Store, point: str, event: str, step_id: str, many: int) -> None:
    """Kill this process where that many sagas have come to that point at once.

    `claimed`: they are this process's, and it has done nothing for them; or `before`, `in` or `after` the commit that would
    say `event` of that step; or the same of the statement by which it sends events, if `event` is `events`.
    """
    claim_due, commit, send_many = store.claim_due, store.commit, store.send_many

    async def send_and_die(
        shard: int, events: Sequence[EventToSend], *, owner: UUID, lease: timedelta
    ) -> Mapping[UUID, Sent]:
        if len(events) < many:
            return await send_many(shard, events, owner=owner, lease=lease)
        if point == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        sending = asyncio.create_task(send_many(shard, events, owner=owner, lease=lease))
        if point == "in":
            await asyncio.sleep(0.001)  # it is on its way, and whether it has been written is not known
            os.kill(os.getpid(), signal.SIGKILL)
        await sending
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    async def claim_and_die(
        shard: int, definitions: Sequence[tuple[str, int]], *, owner: UUID, limit: int, lease: timedelta, **more: Any
    ) -> list[ClaimedSaga]:  # Any: whatever else a claim is asked
        claims = await claim_due(shard, definitions, owner=owner, limit=limit, lease=lease, **more)
        if len(claims) >= many:
            os.kill(os.getpid(), signal.SIGKILL)
        return claims

    async def commit_and_die(shard: int, writes: Sequence[SagaWrite], *, skip_locked: bool = False) -> Committed:
        said = [entry.event for write in writes for entry in write.entries]
        here = [each for each in said if type(each).__name__ == event and getattr(each, "step", "") == step_id]
        if len(here) < many:
            return await commit(shard, writes, skip_locked=skip_locked)
        if point == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        committing = asyncio.create_task(commit(shard, writes, skip_locked=skip_locked))
        if point == "in":
            await asyncio.sleep(0.001)  # it is on its way, and whether it has been written is not known
            os.kill(os.getpid(), signal.SIGKILL)
        await committing
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    if event == "events":
        setattr(store, "send_many", send_and_die)  # noqa: B010 - the store's class is final
    elif point == "claimed":
        setattr(store, "claim_due", claim_and_die)  # noqa: B010 - the store's class is final
    else:
        setattr(store, "commit", commit_and_die)  # noqa: B010 - as above
