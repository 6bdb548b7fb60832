"""PostgreSQL for the tests: one server a test run (and xdist worker), one database a test.

By default an embedded server runs. `SAGA_FN_TEST_DSN` names a server of your own instead; its user has to be allowed
to create databases. Nothing but databases called `saga_fn_test_...` is touched there.

- `dsn`: a database of the test's own with the schema in it
- `dsn15`: the same, on PostgreSQL 15
- `empty_dsn`: the same, without the schema
- `any_dsn`: the same as `dsn`; the test runs once for each version of PostgreSQL that is found
- `server`, `pg15`: the servers themselves

Beside them, `consumer`: a user's project that has installed the wheel.

When a test with a database ends, no session may be connected to it any more: a connection left open fails the test. And
every saga in it must be what its journal folds to, unless the test is marked `raw_rows`: it writes rows of its own.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.consumer import consumer
from tests.support.driver import remember_types
from tests.support.durations import FILE, PROCESSOR, SERVERS, durations, of_servers, processor_now, table
from tests.support.servers import GIVEN, Server, database, embedded
from tests.support.tools import PG15, POSTGRES_15, left_out

__all__ = ["consumer"]
pytest_plugins = ["tests.support.hang"]

# How long an example takes says nothing on a machine that is busy with other tests. A landing is judged by the same examples each
# time, and does not hang on another's luck; every other run draws new ones.
settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("SAGA_FN_REQUIRE") == "all",
)
settings.load_profile("any machine")
remember_types()


MANY = 1000
"""A run of fewer tests than this does not write over the record of a whole one."""
BEGAN = pytest.StashKey[float]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Twice as many workers as processors (`-n auto`): tests of processes and leases wait more than they work."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while tests are collected: what is made there stays, and to look takes a sixth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Look no more at thousands of tests and modules whenever garbage is collected: they stay."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note when a test begins, by the processor's time."""
    item.stash[BEGAN] = processor_now()
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Hand on what the test has cost until now."""
    if call.when == "teardown":
        servers = of_servers.taken()
        item.user_properties.append((PROCESSOR, processor_now() - item.stash[BEGAN] - servers))
        item.user_properties.append((SERVERS, servers))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end of a run which tests were left out, and why; write down how long each took."""
    stats = terminalreporter.stats
    for line in left_out(stats.get("skipped", [])):
        terminalreporter.write_line(line, yellow=True)
    reports = [each for found in stats.values() for each in found if isinstance(each, pytest.TestReport)]
    if len(found := durations(reports)) >= MANY:
        FILE.write_text(table(found), encoding="utf-8")
        terminalreporter.write_line(f"how long each took: {FILE.name}")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server of this run: yours, or the embedded one."""
    if GIVEN is not None:
        given = Server(GIVEN)
        yield given
        asyncio.run(given.drop_all())
        return
    with embedded() as own:
        yield Server(own.dsn)


@pytest.fixture(scope="session")
def pg15() -> Iterator[Server]:
    """The oldest PostgreSQL we support, from a Debian package."""
    POSTGRES_15.require()
    with embedded(bin_dir=PG15) as own:
        yield Server(own.dsn)


def _folds(request: pytest.FixtureRequest) -> bool:
    return request.node.get_closest_marker("raw_rows") is None


@pytest.fixture
async def dsn(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[str]:
    """A database with the schema in it."""
    async for name in database(server, migrated=True, folds=_folds(request)):
        yield name


@pytest.fixture
async def dsn15(request: pytest.FixtureRequest, pg15: Server) -> AsyncIterator[str]:
    """A database with the schema in it, on the oldest PostgreSQL we support."""
    async for name in database(pg15, migrated=True, folds=_folds(request)):
        yield name


@pytest.fixture
async def empty_dsn(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[str]:
    """A database with nothing in it."""
    async for name in database(server, migrated=False, folds=_folds(request)):
        yield name


@pytest.fixture(params=["server"] if GIVEN else ["server", "pg15"])
async def any_dsn(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A database with the schema in it, on each PostgreSQL in turn."""
    chosen = request.getfixturevalue(request.param)
    assert isinstance(chosen, Server)
    new = request.node.get_closest_marker("new_database") is not None
    async for name in database(chosen, migrated=True, folds=_folds(request), new=new):
        yield name
