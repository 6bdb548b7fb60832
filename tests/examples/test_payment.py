"""The example of a payment takes each order's money once, or not at all, whatever the bank's answers come to."""

from __future__ import annotations

import pytest

from saga_fn.examples.payment import main


async def test_money_is_taken_once_or_not_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    await main()
    assert capsys.readouterr().out.splitlines() == [
        "order-1: payment-of-order-1; taken: 900",
        "  asked the bank what became of the charge",
        "order-2: payment-of-order-2; taken: 900",
        "  asked the bank what became of the charge",
        "order-3: payment-of-order-3; taken: 900",
        "  asked the bank what became of the charge",
        "order-4: payment-of-order-4; taken: 900",
        "order-5: payment-of-order-5; taken: 900",
        "order-6: not paid: CardDeclinedError(reason='reported as stolen'); taken: 0",
    ]
