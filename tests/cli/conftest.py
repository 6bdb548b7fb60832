"""The command line as a person calls it: in this process by its function, and as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import attrs
import pytest

from saga_fn import SagaOrchestrator
from saga_fn.cli.app import run
from tests.cli.shop_app import Order, registered

ROOT = Path(__file__).parents[2]
APP = "tests.cli.shop_app:orchestrator"


@attrs.frozen
class Told:
    """The output of a command, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:  # Any: JSON
        [line] = self.out.splitlines()
        return json.loads(line)


Cli: TypeAlias = Callable[..., Awaitable[Told]]


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> None:
    """Ctrl-C reaches the processes of the tests, although a shell that runs the tests in its background ignores it for all of them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Calls a command in this process. Its output is read, and it sees nothing of the environment."""
    for name in ("SAGA_FN_DSN", "SAGA_FN_APP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    async def call(*tokens: str | UUID) -> Told:
        capsys.readouterr()
        code = await asyncio.to_thread(run, [str(each) for each in tokens])
        told = capsys.readouterr()
        return Told(int(code), told.out, told.err)

    return call


@attrs.frozen
class Seeded:
    """A database with a saga that is parked, one that waits for its next attempt, and one that has ended."""

    dsn: str
    parked: UUID
    retrying: UUID
    ended: UUID


@pytest.fixture
async def seeded(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Seeded:
    monkeypatch.setenv("SAGA_FN_TEST_APP_DSN", dsn)
    async with registered(SagaOrchestrator(dsn, concurrency=0)) as orchestrator:
        ids = [
            await orchestrator.start(saga_name=name, initial_data=Order(name), aggregation_id=f"order-{name}")
            for name in ("shipping", "billing", "quick")
        ]
        await orchestrator.run_due()
    return Seeded(dsn, *ids)


def process(*tokens: str, **environment: str) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SAGA_FN_")}
    return subprocess.Popen(
        [sys.executable, "-m", "saga_fn.cli", *tokens],
        cwd=ROOT,
        env={**kept, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def called(*tokens: str, **environment: str) -> Told:
    """The command in a process of its own, to its end."""

    def wait() -> Told:
        with process(*tokens, **environment) as running:
            out, err = running.communicate(timeout=60)
        return Told(running.returncode, out, err)

    return await asyncio.to_thread(wait)
