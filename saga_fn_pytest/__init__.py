"""The pytest plugin of saga_fn: the fixture `world`, and nothing else.

It is a package of its own, because pytest imports each plugin at its start: a run that asks for no World does not pay for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from saga_fn.testing import World


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A World for one test, closed after it: it needs no `async with`, and any plugin for async tests will do."""
    from saga_fn.testing import World

    failed = request.session.testsfailed
    made = World()
    yield made
    made.close(check=request.session.testsfailed == failed)  # a test that has failed has said enough
