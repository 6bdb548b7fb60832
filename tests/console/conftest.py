"""Parts that the tests of the console share."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from saga_fn import MemoryStore
from tests.console.cast import Browser, Cast, cast


@pytest.fixture
async def sagas() -> AsyncGenerator[Cast]:
    """One saga in each state that a verb is for."""
    async with cast(MemoryStore()) as made:
        yield made


@pytest.fixture
async def browser(sagas: Cast) -> AsyncGenerator[Browser]:
    """A browser of an operator who may do everything."""
    made = Browser(sagas.orchestrator)
    async with made.http:
        yield made
