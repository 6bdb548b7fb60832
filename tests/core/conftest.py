"""Every test of this folder is marked `core`, so that those by which coverage is measured need not run once more.

With SAGA_FN_WHOLE_WALKS=1 walks also tell the events that one look at the state refuses (`explore/told.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from saga_fn.core.events import Event
from saga_fn.core.explore import walk
from saga_fn.core.explore.told import Told
from saga_fn.core.state import SagaState
from tests.support.durations import recorded

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them. Where several processes share the tests, the long ones come first, the longest of the last run before all others.

    So none is left over for the end.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        took = recorded()
        items.sort(key=lambda item: -took.get(item.nodeid, 0.0) if item.get_closest_marker("exhaustive") else 1.0)
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("core")


class Everything(Told):
    """All events, to each state."""

    @override
    def at(self, state: SagaState, turn: int) -> tuple[Event, ...]:
        return self.events


@pytest.fixture(autouse=True, scope="session")
def _whole_walks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        if os.environ.get("SAGA_FN_WHOLE_WALKS"):
            patched.setattr(walk, "Told", Everything)
        yield
