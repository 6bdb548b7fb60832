"""Every test of this folder is marked `core`, so that those by which coverage is measured need not run once more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them. Where several processes share the tests, the long ones come first: none is left over for the end."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("exhaustive") is None)
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("core")
