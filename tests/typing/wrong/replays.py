"""Replays of what is no export."""

from __future__ import annotations

from saga_fn import MemoryStore, SagaOrchestrator
from saga_fn.testing import replay
from tests.typing.shop import create_order

orchestrator = SagaOrchestrator(MemoryStore())
# refused: arg-type | reportArgumentType
replay(5, orchestrator)
# refused: arg-type | reportArgumentType
replay("live.jsonl", create_order)
# refused: list-item | reportArgumentType
replay("live.jsonl", orchestrator).raise_for_findings(but=["unfit"])
