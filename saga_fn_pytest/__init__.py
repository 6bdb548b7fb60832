"""The pytest plugin of saga_fn: the fixture `world`, and nothing else.

It is a package of its own, because pytest imports each plugin at its start: a run that asks for no World does not pay for one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    import pluggy

    from saga_fn.testing import World

_HAS_PASSED: Final = pytest.StashKey[bool]()
"""Whether the test itself has passed; not there before it was called, and where a fixture keeps it from that."""


@pytest.hookimpl(hookwrapper=True)  # the form that old versions of pytest know, too
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pluggy.Result[pytest.TestReport]]:
    """Keep whether a test has passed, for the fixture."""
    made = yield
    if call.when == "call":
        item.stash[_HAS_PASSED] = made.get_result().passed


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A World for one test, closed after it: it needs no `async with`, and any plugin for async tests will do."""
    from saga_fn.testing import World

    made = World()
    yield made
    made.close(check=request.node.stash.get(_HAS_PASSED, False))  # any other test has said enough
