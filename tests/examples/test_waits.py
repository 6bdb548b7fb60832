"""The examples of events, of compensations that wait for one, and of time tell what they promise."""

from __future__ import annotations

import pytest

from saga_fn.examples import events, time, waiting_undo


async def test_events_are_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    await events.main()
    assert capsys.readouterr().out.splitlines() == [
        "the same message again: duplicate",
        "order-1: shipped, 4200 cents paid",
        "  released goods of order-2",
        "order-2: Compensated",
        "  released goods of order-3",
        "order-3: Compensated",
    ]


async def test_a_compensation_waits(capsys: pytest.CaptureFixture[str]) -> None:
    await waiting_undo.main()
    assert capsys.readouterr().out.splitlines() == [
        "  the bank is asked to give back payment-of-order-1",
        "  the bank has given back payment-of-order-1",
        "order-1: COMPENSATED",
        "  the bank is asked to give back payment-of-order-2",
        "order-2: FAILED, pay: undo failed",
        "  the bank is asked to give back payment-of-order-3",
        "  the bank is asked to give back payment-of-order-3",
        "order-3: FAILED, pay: undo failed",
    ]


async def test_time_passes(capsys: pytest.CaptureFixture[str]) -> None:
    await time.main()
    assert capsys.readouterr().out.splitlines() == [
        "ann: SUSPENDED",
        "  ann is reminded",
        "ann: ann is billed",
        "  access of bob revoked",
        "bob: COMPENSATED SagaDeadlineError",
    ]
