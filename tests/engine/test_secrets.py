"""What stands in logs, errors and representations: never a payload, never the password of a DSN."""

from __future__ import annotations

import logging
import traceback
from datetime import timedelta

import msgspec
import pytest

from saga_fn import (
    FixedRetry,
    PayloadError,
    SagaAdmin,
    SagaBuilder,
    SagaOrchestrator,
    StoreRefusedError,
    StoreUnavailableError,
    step,
)
from tests.support.stores import Make
from tests.support.until import SOON

SECRET = "4929-1234-5678"


class Card(msgspec.Struct, frozen=True):
    number: str
    fails: str = ""


class Slip(msgspec.Struct, frozen=True):
    number: str


class BankError(Exception):
    """The bank said no."""


async def charge(inp: Card) -> Slip:
    if inp.fails == "raises":
        raise BankError(f"card {inp.number} was refused")
    if inp.fails == "wrong type":
        return inp.number  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # what the test wants
    return Slip(inp.number)


async def refund(inp: Card, out: Slip) -> None:
    raise BankError(f"card {inp.number} was refused")


def _mapped(card: Card) -> Card:
    if card.fails == "mapping":
        raise BankError(f"card {card.number} is odd")
    return card


@pytest.mark.parametrize("fails", ["", "raises", "wrong type", "mapping", "later"])
async def test_a_log_holds_no_payload(make: Make, caplog: pytest.LogCaptureFixture, fails: str) -> None:
    caplog.set_level(logging.DEBUG, logger="saga_fn")

    async def ship(inp: Slip) -> Slip:
        if fails == "later":
            raise BankError(f"card {inp.number} was refused")
        return inp

    builder = SagaBuilder(Card)
    soon = FixedRetry(max_attempts=2, delay=timedelta(milliseconds=1))
    charged = builder.add_step(
        step(charge, compensate=refund, compensation_retry_policy=soon),
        depends_on=builder.initial,
        input_map=_mapped,
        retry_policy=soon,
    )
    shipped = builder.add_step(step(ship), depends_on=charged)
    async with make() as orchestrator:
        run = await orchestrator.register("payment", builder.build(output=shipped)).start(Card(SECRET, fails))
        await orchestrator.run_until_idle()
        snapshot = await run.snapshot()
        assert SECRET not in repr(snapshot)
        assert SECRET not in repr(run)
        assert SECRET not in repr(orchestrator.engine.held)
        if fails:
            assert caplog.records, "there is something to be told"
        for record in caplog.records:
            told = record.getMessage() + repr(vars(record)) + (caplog.handler.format(record))
            assert SECRET not in told
        shown = await SagaAdmin(orchestrator).get_saga(run.id)
        assert SECRET not in repr(shown), "a log of the whole snapshot has no payload"
        if snapshot.ended_at is not None:
            assert SECRET not in repr(await run.outcome(SOON))
        assert shown.context["initial_data"] == {"number": SECRET, "fails": fails}, "an operator sees what it is about"


async def test_an_error_about_data_holds_none_of_it(make: Make) -> None:
    async with make() as orchestrator:
        builder = SagaBuilder(Card)
        handle = orchestrator.register(
            "payment", builder.build(output=builder.add_step(step(charge), depends_on=builder.initial))
        )
        for data in ({"number": SECRET, "fails": 5}, {"nummer": SECRET}, [SECRET], SECRET):
            with pytest.raises(PayloadError) as caught:
                await orchestrator.start(saga_name="payment", initial_data=data)
            assert SECRET not in str(caught.value)
        with pytest.raises(PayloadError) as caught:
            await handle.start(Card(SECRET, "\ud800"))
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "dsn, says",
    [
        ("postgresql://app:hunter2@127.0.0.1:1/shop", "does not answer"),
        ("postgresql://app:hunter2@nowhere.invalid/shop", "does not answer"),
        ("postgresql://app:hunter2@127.0.0.1:nonsense/shop", "DSN cannot be read"),
        ("postgresql://app:hunter2@[::1/shop", "DSN cannot be read"),
        ("mysql://app:hunter2@127.0.0.1/shop", "DSN cannot be read"),
        ("app:hunter2@127.0.0.1", "DSN cannot be read"),
    ],
)
async def test_a_password_stays_in_the_dsn(dsn: str, says: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    kind = StoreUnavailableError if says == "does not answer" else StoreRefusedError
    with pytest.raises(kind, match=says) as caught:
        async with SagaOrchestrator(dsn):
            pass
    told = [line for line in traceback.format_exception(caught.value) if not line.startswith("  ")]
    assert "hunter2" not in "".join(told)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in caplog.text
