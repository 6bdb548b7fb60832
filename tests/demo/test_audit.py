"""Every way in which the books can be wrong is found, and right books are left alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from saga_fn.demo.audit import Ending, Rule, audit
from saga_fn.demo.generate import generate_orders
from saga_fn.demo.services.books import Entry, EntryKind

(ORDER,) = generate_orders(1, seed=1)
TOTAL = ORDER.total_cents


def entry(kind: EntryKind, reference: str, amount: int = 0, *, key: str = "", order_id: str = ORDER.order_id) -> Entry:
    return Entry(key or f"{kind}-{reference}", kind, order_id, reference, amount)


APPROVED = entry("approved", "review-1")
REJECTED = entry("rejected", "review-1")
RESERVED = entry("reserved", "res-1")
RELEASED = entry("released", "res-1")
CHARGED = entry("charged", "pay-1", TOTAL)
REFUNDED = entry("refunded", "pay-1", TOTAL)
SHIPPED = entry("shipped", "parcel-1")


@pytest.mark.parametrize(
    "entries, ending",
    [
        ([APPROVED, RESERVED, CHARGED, SHIPPED], "completed"),
        ([], "compensated"),
        ([RESERVED, RELEASED], "compensated"),
        ([REJECTED, RESERVED, RELEASED], "compensated"),
        ([APPROVED, RESERVED, CHARGED, REFUNDED, RELEASED], "compensated"),
    ],
)
def test_books_in_order_have_no_finding(entries: Sequence[Entry], ending: Ending) -> None:
    assert audit(entries, [ORDER], {ORDER.order_id: ending}) == ()


@pytest.mark.parametrize(
    "entries, ending, rules",
    [
        ([APPROVED, RESERVED, CHARGED, RELEASED], "compensated", {Rule.CHARGED_AND_NOT_SHIPPED}),
        ([APPROVED, RESERVED, CHARGED, REFUNDED], "compensated", {Rule.RESERVED_AND_NOT_RELEASED}),
        (
            [APPROVED, RESERVED, entry("reserved", "res-2"), CHARGED, SHIPPED],
            "completed",
            {Rule.RESERVED_AND_NOT_RELEASED},
        ),
        ([APPROVED, RESERVED, CHARGED, entry("charged", "pay-2", TOTAL), SHIPPED], "completed", {Rule.CHARGED_TWICE}),
        (
            [APPROVED, RESERVED, CHARGED, REFUNDED, entry("charged", "pay-2", TOTAL), SHIPPED],
            "completed",
            {Rule.CHARGED_TWICE},
        ),
        (
            [APPROVED, RESERVED, CHARGED, SHIPPED, entry("shipped", "parcel-2")],
            "completed",
            {Rule.SHIPPED_TWICE},
        ),
        ([APPROVED, RESERVED, SHIPPED], "completed", {Rule.SHIPPED_AND_NOT_PAID}),
        ([APPROVED, RESERVED, CHARGED, REFUNDED, SHIPPED], "completed", {Rule.SHIPPED_AND_NOT_PAID}),
        ([APPROVED, CHARGED, SHIPPED], "completed", {Rule.SHIPPED_AND_NOT_PAID}),
        ([RESERVED, CHARGED, SHIPPED], "completed", {Rule.NOT_APPROVED}),
        ([REJECTED, RESERVED, CHARGED, SHIPPED], "completed", {Rule.NOT_APPROVED}),
        ([RESERVED, CHARGED, REFUNDED, RELEASED], "compensated", {Rule.NOT_APPROVED}),
        ([APPROVED, RESERVED, entry("charged", "pay-1", TOTAL + 1), SHIPPED], "completed", {Rule.WRONG_AMOUNT}),
        (
            [APPROVED, RESERVED, CHARGED, entry("refunded", "pay-1", TOTAL - 1), RELEASED],
            "compensated",
            {Rule.WRONG_AMOUNT},
        ),
        ([entry("released", "res-9")], "compensated", {Rule.UNDONE_WRONGLY}),
        (
            [APPROVED, RESERVED, CHARGED, REFUNDED, entry("refunded", "pay-1", TOTAL, key="again"), RELEASED],
            "compensated",
            {Rule.UNDONE_WRONGLY},
        ),
        ([RESERVED, RELEASED], "completed", {Rule.UNTRUE_END}),
        ([APPROVED, RESERVED, CHARGED, SHIPPED], "compensated", {Rule.UNTRUE_END}),
        ([APPROVED, RESERVED, CHARGED, SHIPPED], "failed", {Rule.UNFINISHED}),
        ([], "unfinished", {Rule.UNFINISHED}),
        (
            [APPROVED, RESERVED, CHARGED, SHIPPED, entry("charged", "pay-3", 1, order_id="order-9999")],
            "completed",
            {Rule.UNKNOWN_ORDER},
        ),
    ],
)
def test_tampered_books_are_found_out(entries: Sequence[Entry], ending: Ending, rules: set[Rule]) -> None:
    assert {finding.rule for finding in audit(entries, [ORDER], {ORDER.order_id: ending})} == rules


def test_an_order_whose_saga_nobody_heard_of_counts_as_unfinished() -> None:
    (finding,) = audit([APPROVED, RESERVED, CHARGED, SHIPPED], [ORDER], {})
    assert (finding.rule, finding.order_id) == (Rule.UNFINISHED, ORDER.order_id)
