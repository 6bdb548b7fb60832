"""The pytest plugin: a fixture for whoever asks for it, and nothing for the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.consumer import Consumer

PROGRAM = """
import asyncio
import sys

import pytest

assert "saga_fn" not in sys.modules, "a run that asks for no World pays for none"

@pytest.fixture
def orders(world):
    from saga_fn import StepRef, saga, step

    @step
    async def charge(cents: int) -> str:
        raise AssertionError("not this one")

    @saga("order")
    def order(cents: StepRef[int]) -> StepRef[str]:
        return charge(cents)

    handle = world.register(order)
    world.fake("charge", lambda cents: f"{cents} taken")
    return handle

def test_without_a_plugin_for_async_tests(world, orders):
    async def test():
        assert await (await orders.start(7)).result() == "7 taken"
    asyncio.run(test())

async def test_with_one(world, orders):
    assert await orders.run(9) == "9 taken"

async def test_that_forgets_something(world, orders):
    world.crash("charge", at="after")

async def test_that_fails(world, orders):
    world.crash("charge", at="after")
    assert False, "for its own reasons"

async def test_that_is_skipped(world, orders):
    world.crash("charge", at="after")
    pytest.skip("for its own reasons")

@pytest.mark.xfail(reason="for its own reasons")
async def test_that_fails_as_expected(world, orders):
    world.crash("charge", at="after")
    assert False

@pytest.fixture
def broken(world, orders):
    world.crash("charge", at="after")
    assert False, "for its own reasons"

async def test_whose_fixture_fails(world, broken): ...
"""

OUTCOMES = ("PASSED", "FAILED", "ERROR", "XFAIL")


def test_a_fixture_is_there_for_who_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PROGRAM)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-p", "no:xdist"]
    # A checkout that was installed before the plugin was there does not know it by itself.
    named = [] if "saga_fn" in _plugins() else ["-p", "saga_fn_pytest"]
    done = subprocess.run(
        [*command, *named, str(tmp_path)], cwd=root, capture_output=True, text=True, check=False, timeout=100
    )
    told = [line.split(" - ")[0] for line in done.stdout.splitlines() if line.startswith(OUTCOMES)]
    assert [(line.split()[0], line.rpartition("::")[2]) for line in told] == [
        ("PASSED", "test_without_a_plugin_for_async_tests"),
        ("PASSED", "test_with_one"),
        ("PASSED", "test_that_forgets_something"),
        ("XFAIL", "test_that_fails_as_expected"),
        ("ERROR", "test_that_forgets_something"),
        ("ERROR", "test_whose_fixture_fails"),
        ("FAILED", "test_that_fails"),
    ], done.stdout
    assert "1 failed, 3 passed, 1 skipped, 1 xfailed, 2 errors" in done.stdout
    assert "NeverCameError: what was asked for never came" in done.stdout


def _plugins() -> set[str]:
    from importlib.metadata import entry_points

    return {each.name for each in entry_points(group="pytest11")}


def test_the_wheel_names_the_plugin(consumer: Consumer) -> None:
    (named,) = consumer.distribution.entry_points.select(group="pytest11")
    assert (named.name, named.value) == ("saga_fn", "saga_fn_pytest")


@pytest.mark.parametrize("name", ["saga_fn_pytest"])
def test_the_plugin_brings_nothing_of_the_library(name: str) -> None:
    program = f"import sys, {name}; print([each for each in sys.modules if each.split('.')[0] == 'saga_fn'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
