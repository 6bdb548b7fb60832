"""The tests named after the weaknesses of python-saga-orchestrator, by number; both stores, where both can have it."""

from __future__ import annotations

from tests.engine.conftest import make, memory

__all__ = ["make", "memory"]
