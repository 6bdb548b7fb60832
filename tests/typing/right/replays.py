"""Exports of production, replayed."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type
from uuid import UUID

from saga_fn import MemoryStore, SagaAdmin, SagaOrchestrator
from saga_fn.testing import Replayed, ReplayFinding, ReplayKind, replay

orchestrator = SagaOrchestrator(MemoryStore())
found = replay("live.jsonl", orchestrator)
assert_type(found, Replayed)
assert_type(replay(Path("live.jsonl"), orchestrator).sagas, int)
for finding in replay(["{}"], orchestrator):
    assert_type(finding, ReplayFinding)
    assert_type(finding.kind, ReplayKind)
    assert_type(finding.saga_id, UUID | None)
found.raise_for_findings(but=[ReplayKind.OTHER_MOMENTS])


async def exported(admin: SagaAdmin, saga_id: UUID) -> None:
    assert_type(await admin.export(saga_id), str)
