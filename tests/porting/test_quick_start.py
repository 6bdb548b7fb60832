"""The README of python-saga-orchestrator runs here; what is replaced below is all that a user who comes from there has to touch."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import types
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from saga_fn import SagaAdminSnapshot, SagaStatus

SEED = Path(__file__).with_name("python-saga-orchestrator-0.1.0.md")
QUICK_START, START, RUN_DUE, NOTIFY, LOOK, RETRY, SKIP, COMPENSATE, ABORT = re.findall(
    r"```python\n(.*?)```", SEED.read_text(encoding="utf-8"), re.DOTALL
)

IMPORTS = [
    ("from sqlalchemy.ext.asyncio import async_sessionmaker\nfrom sqlalchemy.orm import DeclarativeBase\n", ""),
    ("from saga_orchestrator import (", "from saga_fn import ("),
    ("    SagaStateMixin,\n", ""),
]
SET_UP = [
    ("class Base(DeclarativeBase):\n    pass\n", ""),
    ('class OrderSagaState(Base, SagaStateMixin):\n    __tablename__ = "order_saga_state"\n', ""),
    ("    session_maker: async_sessionmaker,\n", "    pool,\n"),
    ("tuple[SagaOrchestrator[OrderSagaState], SagaAdmin[OrderSagaState]]", "tuple[SagaOrchestrator, SagaAdmin]"),
    (
        """SagaOrchestrator[OrderSagaState](
        model_class=OrderSagaState,
        session_maker=session_maker,
    )""",
        "SagaOrchestrator(pool)",
    ),
    ("SagaAdmin[OrderSagaState](engine=", "SagaAdmin(engine="),
]
MODELS = {
    "still pydantic": [],
    "msgspec": [("from pydantic import BaseModel\n", "from msgspec import Struct\n"), ("(BaseModel)", "(Struct)")],
}
CHARGE = '"charge_payment_step"'
"""A verb names the step that it is for."""
RETRY_IT = RETRY.replace("(saga_id)", f"(saga_id, {CHARGE})")
SKIP_IT = SKIP.replace("    saga_id,\n", f"    saga_id,\n    {CHARGE},\n")
START_IT = START.replace("setup_saga(session_maker)", "setup_saga(pool)")


class Reader:
    """A user who types the blocks in, one after the other."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], models: str) -> None:
        self._module = types.ModuleType("quick_start")
        self._module.__dict__["pool"] = pool
        sys.modules["quick_start"] = self._module
        text = QUICK_START
        for old, new in [*IMPORTS, *SET_UP, *MODELS[models]]:
            assert old in text
            text = text.replace(old, new)
        exec(compile(text, "quick start", "exec"), self._module.__dict__)

    async def types_in(self, block: str) -> None:
        """Run a block that awaits."""
        awaited = eval(compile(block, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), self._module.__dict__)
        if inspect.isawaitable(awaited):
            await awaited

    def __getattr__(self, name: str) -> Any:  # Any: what the blocks define is theirs
        return self._module.__dict__[name]

    def define(self, **names: object) -> None:
        """Give what a block uses without saying where it is from."""
        self._module.__dict__.update(names)

    async def status(self) -> SagaStatus:
        """Where the saga is."""
        saga = await self.admin.get_saga(self.saga_id)
        assert isinstance(saga, SagaAdminSnapshot)
        return saga.status


@pytest.fixture(params=MODELS)
async def reader(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Reader]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool:
        reader = Reader(pool, request.param)
        yield reader
    del sys.modules["quick_start"]


@pytest.fixture
async def waiting(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """The saga when its first payment has failed, and no further one will."""
    charge = reader.ChargePaymentStep.execute
    attempts: list[object] = []

    async def execute(self: object, inp: object) -> object:
        attempts.append(inp)
        if len(attempts) == 1:
            raise ConnectionError("the payment service is down")
        return await charge(self, inp)

    monkeypatch.setattr(reader.ChargePaymentStep, "execute", execute)
    await reader.types_in(START_IT)
    await reader.types_in(RUN_DUE)
    assert await reader.status() is SagaStatus.SUSPENDED
    return reader


async def test_the_quick_start_runs_with_its_imports_and_set_up_changed(reader: Reader) -> None:
    await reader.types_in(START_IT)
    await reader.types_in(RUN_DUE)
    assert await reader.status() is SagaStatus.COMPLETED
    history = (await reader.admin.get_saga(reader.saga_id)).step_history
    outputs = [entry.output for entry in history if entry.phase == "execute" and entry.output]
    assert outputs == [{"reservation_id": "res-order-123"}, {"payment_id": "pay-res-order-123"}]


async def test_a_saga_that_waits_can_be_looked_at(waiting: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    await waiting.types_in(LOOK)
    printed = capsys.readouterr().out
    assert printed.startswith("SUSPENDED")
    assert "the payment service is down" in printed


async def test_a_notification_wakes_a_saga_that_waits(waiting: Reader) -> None:
    snapshot = await waiting.orchestrator.get_snapshot(waiting.saga_id)
    waiting.define(current_token=snapshot.step_execution_token)
    await waiting.types_in(NOTIFY)
    assert waiting.accepted is True
    await waiting.types_in(RUN_DUE)
    assert await waiting.status() is SagaStatus.COMPLETED


@pytest.mark.parametrize(
    "verb, end",
    [
        pytest.param(RETRY_IT, SagaStatus.COMPLETED, id="retry"),
        pytest.param(SKIP_IT, SagaStatus.COMPLETED, id="skip"),
        pytest.param(COMPENSATE, SagaStatus.COMPENSATED, id="compensate"),
        pytest.param(ABORT, SagaStatus.FAILED, id="abort"),
    ],
)
async def test_every_verb_of_an_operator_is_there(waiting: Reader, verb: str, end: SagaStatus) -> None:
    await waiting.types_in(verb)
    await waiting.types_in(RUN_DUE)
    assert await waiting.status() is end
