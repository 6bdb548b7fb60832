"""The example of branches tells what it promises."""

from __future__ import annotations

import pytest

from saga_fn.examples.branches import main


async def test_it_books_in_branches_and_cancels_them(capsys: pytest.CaptureFixture[str]) -> None:
    await main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "journey-1: room-of-journey-1, seat-of-ann, seat-of-bob, seat-of-cyd, not insured",
        "journey-2: room-of-journey-2, seat-of-ann, policy-of-journey-2",
    ]
    assert set(lines[2:4]) == {"  gave back room-of-journey-3", "  freed seat-of-ann"}
    assert lines[4:] == [
        "journey-3: cancelled, LookupError: no such traveller",
        "  room: SUCCEEDED",
        "  seat: SUCCEEDED",
        "  seat[0]: SUCCEEDED",
        "  seat[1]: SUCCEEDED",
        "  insure: SKIPPED",
        "  voucher: SUCCEEDED",
    ]
