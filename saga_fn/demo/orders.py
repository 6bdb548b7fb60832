"""A customer's order, and how a file of orders is read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

SHIPPED_ORDERS = Path(__file__).with_name("orders.jsonl")
"""The few hundred orders that come with the package (see `saga_fn.demo.generate`)."""

COMPLAINTS = 10
"""How many bad lines of one file are named before the rest is only counted."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
Cents = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a parcel goes."""

    street: Name
    postcode: Name
    city: Name
    country: Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}\\Z")]


class OrderLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many pieces of one article, at the price agreed."""

    sku: Name
    title: Name
    quantity: Count
    unit_price_cents: Cents


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One order as the shop's front end hands it over."""

    order_id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,64}\\Z")]
    placed_at: Annotated[datetime, msgspec.Meta(tz=True)]
    customer: Name
    address: Address
    card_token: Name
    lines: Annotated[tuple[OrderLine, ...], msgspec.Meta(min_length=1, max_length=100)]

    @property
    def total_cents(self) -> int:
        """The sum that the customer pays."""
        return sum(line.quantity * line.unit_price_cents for line in self.lines)


class OrdersFileError(Exception):
    """A file of orders that cannot be used; the message names the file, the lines and the mend."""

    def __init__(self, path: Path, complaints: Sequence[str]) -> None:
        named = list(complaints[:COMPLAINTS])
        if len(complaints) > COMPLAINTS:
            named.append(f"... and {len(complaints) - COMPLAINTS} more")
        mend = f'one JSON object a line, as in {SHIPPED_ORDERS}; "order_id" must be unique in the file'
        super().__init__("\n".join([f"{path} cannot be used:", *(f"  {line}" for line in named), f"HINT: {mend}"]))
        self.path = path
        self.complaints: tuple[str, ...] = tuple(complaints)


def read_orders(path: Path) -> tuple[Order, ...]:
    """The orders of a JSONL file (UTF-8, one order a line, blank lines ignored), in the file's order.

    Raises OrdersFileError if the file cannot be read, holds no order, or has a line that is not an order: all bad
    lines are found before anything is started.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise OrdersFileError(path, [error.strerror or repr(error)]) from error
    decoder = msgspec.json.Decoder(Order)
    orders: list[Order] = []
    first_seen: dict[str, int] = {}
    complaints: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            order = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            complaints.append(f"line {number}: {error}")
            continue
        if order.order_id in first_seen:
            complaints.append(
                f"line {number}: order_id {order.order_id!r} is also on line {first_seen[order.order_id]}"
            )
            continue
        first_seen[order.order_id] = number
        orders.append(order)
    if not orders and not complaints:
        complaints.append("it holds no order")
    if complaints:
        raise OrdersFileError(path, complaints)
    return tuple(orders)
