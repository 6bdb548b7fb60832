"""The example of failures tells what it promises."""

from __future__ import annotations

import pytest

from saga_fn.examples.failures import main


async def test_it_tells_each_failure_as_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    await main()
    assert capsys.readouterr().out.splitlines() == [
        "order-1: parcel-of-order-1",
        "order-2: parcel-of-order-2",
        "  released reservation-of-order-3",
        "order-3: declined, reported as stolen",
        "order-4: past_pivot at ship: UnknownAddressError(address='unknown')",
        "order-4: fetched by the customer",
    ]
