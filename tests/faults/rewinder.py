"""A process that takes sagas back to a step, and kills itself where it is told: `main` begins it."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from saga_fn import SagaAdmin, SagaFilter, SagaOrchestrator, SagaStateError, WaitReason
from tests.faults.death import die_at

BACK_TO = "charge"


async def main(dsn: str, point: str = "", many: str = "1") -> None:
    """Take each saga that waits for its next attempt back, at the revision that was seen; a refusal is no error."""
    async with SagaOrchestrator(dsn, concurrency=0, lease=timedelta(seconds=1)) as orchestrator:
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        waiting = SagaFilter(saga_name="shop", waits=WaitReason.RETRY)
        rows = [row async for row in admin.list_all(waiting)]
        for place, row in enumerate(rows):
            if point and place == int(many):
                die_at(orchestrator.engine.store, point, "RewindRequested", BACK_TO, 1)
            with contextlib.suppress(SagaStateError):
                await admin.rewind(row.id, BACK_TO, forget=[BACK_TO], expect=row.revision, reason="OPS-12")
