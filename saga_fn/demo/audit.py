"""The judgement: what the services' books say about every order, and whether the sagas told the truth.

Pure functions over what was read; nothing here trusts the sagas' own records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Literal

import attrs

from saga_fn.demo.orders import Order
from saga_fn.demo.services.books import Entry, EntryKind

Ending = Literal["completed", "compensated", "failed", "unfinished"]
"""How an order's saga ended, or that it did not."""


class Rule(Enum):
    """The rules that hold for every order."""

    CHARGED_AND_NOT_SHIPPED = "nothing is charged and not shipped"
    RESERVED_AND_NOT_RELEASED = "nothing is reserved and neither shipped nor released"
    CHARGED_TWICE = "nothing is charged twice"
    SHIPPED_TWICE = "nothing is shipped twice"
    NOT_APPROVED = "nothing is charged or shipped without an approval"
    SHIPPED_AND_NOT_PAID = "nothing is shipped without reservation and payment"
    WRONG_AMOUNT = "every charge is the order's total, every refund the charge"
    UNDONE_WRONGLY = "nothing is undone twice, or without having been done"
    UNKNOWN_ORDER = "nothing is booked for an order that no customer placed"
    UNFINISHED = "every saga has ended, with nothing left over"
    UNTRUE_END = "the books agree with the end of every saga"


@attrs.frozen
class Finding:
    """One order that breaks one rule."""

    rule: Rule
    order_id: str
    detail: str


def audit(entries: Iterable[Entry], orders: Iterable[Order], endings: Mapping[str, Ending]) -> tuple[Finding, ...]:
    """Everything that is wrong with the books; empty if they are in order.

    `endings` are the ends of the orders' sagas by order id; an order without one counts as unfinished.
    """
    booked: dict[str, list[Entry]] = {}
    for entry in entries:
        booked.setdefault(entry.order_id, []).append(entry)
    findings: list[Finding] = []
    for order in orders:
        account = _Account(order, tuple(booked.pop(order.order_id, ())))
        ending = endings.get(order.order_id, "unfinished")
        problems = [*account.problems(), *account.problems_with(ending)]
        findings += [Finding(rule, order.order_id, detail) for rule, detail in problems]
    for order_id, strange in booked.items():
        findings.append(Finding(Rule.UNKNOWN_ORDER, order_id, f"{len(strange)} entries"))
    return tuple(findings)


@attrs.frozen
class _Account:
    """The entries of the books about one order."""

    order: Order
    entries: tuple[Entry, ...]

    def of(self, kind: EntryKind) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind == kind]

    def standing(self, done: EntryKind, undone: EntryKind) -> list[Entry]:
        """The steps that were done and not undone."""
        references = {entry.reference for entry in self.of(undone)}
        return [entry for entry in self.of(done) if entry.reference not in references]

    def problems(self) -> Iterator[tuple[Rule, str]]:
        """The faults that are faults at any end of the saga."""
        reserved = self.standing("reserved", "released")
        paid = self.standing("charged", "refunded")
        charged, shipped = self.of("charged"), self.of("shipped")
        if paid and not shipped:
            yield Rule.CHARGED_AND_NOT_SHIPPED, _named(paid)
        if len(reserved) > len(shipped):
            yield Rule.RESERVED_AND_NOT_RELEASED, _named(reserved)
        if len(charged) > 1:
            yield Rule.CHARGED_TWICE, _named(charged)
        if len(shipped) > 1:
            yield Rule.SHIPPED_TWICE, _named(shipped)
        if (charged or shipped) and not self.of("approved"):
            yield Rule.NOT_APPROVED, _named(charged + shipped)
        if shipped and not (paid and reserved):
            yield Rule.SHIPPED_AND_NOT_PAID, _named(shipped)
        wrong = [entry for entry in charged + self.of("refunded") if entry.amount_cents != self.order.total_cents]
        if wrong:
            yield Rule.WRONG_AMOUNT, f"{_named(wrong)}; the order's total is {self.order.total_cents} cents"
        pairs: tuple[tuple[EntryKind, EntryKind], ...] = (("reserved", "released"), ("charged", "refunded"))
        for done, undone in pairs:
            surplus = Counter(e.reference for e in self.of(undone)) - Counter(e.reference for e in self.of(done))
            if surplus:
                yield Rule.UNDONE_WRONGLY, f"{undone}: {', '.join(surplus)}"

    def problems_with(self, ending: Ending) -> Iterator[tuple[Rule, str]]:
        """The faults, given how the saga ended."""
        shipped = bool(self.of("shipped"))
        if ending in ("failed", "unfinished"):
            yield Rule.UNFINISHED, f"the saga is {ending}"
        elif shipped != (ending == "completed"):
            yield Rule.UNTRUE_END, f"the saga is {ending}, the parcel is {'shipped' if shipped else 'not shipped'}"


def _named(entries: Iterable[Entry]) -> str:
    return ", ".join(
        f"{entry.kind} {entry.reference}" + (f" ({entry.amount_cents} cents)" if entry.amount_cents else "")
        for entry in entries
    )
