"""Sagas of a test are made older: in memory the clock moves forward, in PostgreSQL the moments of their rows move back."""

from __future__ import annotations

from datetime import timedelta

from saga_fn import SagaOrchestrator
from saga_fn.core.ids import Moment
from saga_fn.store.postgres import PostgresStore


async def later(orchestrator: SagaOrchestrator, length: timedelta) -> None:
    """Let it be so much later for all sagas that have ended, and for tombstones."""
    store = orchestrator.engine.store
    if store.jump_to(Moment(store.now() + length // timedelta(microseconds=1))):
        return
    assert isinstance(store, PostgresStore)
    async with store._database.work() as connection:  # pyright: ignore[reportPrivateUsage]  # its connection is at hand
        await connection.execute(
            "UPDATE saga_fn.saga SET created_at = created_at - $1::interval, ended_at = ended_at - $1::interval "
            "WHERE ended_at IS NOT NULL",
            length,
        )
        await connection.execute(
            "UPDATE saga_fn.saga_tombstone SET expires_at = expires_at - $1::interval WHERE expires_at IS NOT NULL",
            length,
        )
        await connection.execute("UPDATE saga_fn.saga_retention SET until = until - $1::interval", length)
