"""The example of unknown outcomes tells what it promises."""

from __future__ import annotations

import pytest

from saga_fn.examples.unknown_outcomes import main


async def test_each_is_settled_as_it_says(empty_dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    await main(empty_dsn)
    assert capsys.readouterr().out.splitlines() == [
        "Ada: bought, 1000 cents at the bank",
        "  asked the bank about the deposit",
        "Bob: bought, 1000 cents at the bank",
        "  payment undone without a receipt; taken: True",
        "Cyd: rolled back, 0 cents at the bank",
        "  payment undone without a receipt; taken: False",
        "Dan: rolled back, 0 cents at the bank",
        "  payment undone without a receipt; taken: False",
        "a payment that arrives after all is refused",
        "Eve: 0 cents at the bank",
    ]
