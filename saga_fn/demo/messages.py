"""Requests to the services, and their answers: the same types on both ends of the wire, and in the saga."""

from __future__ import annotations

import msgspec

from saga_fn import Event

SAGA = "fulfil_order"
"""The name of an order's saga: with the order's number it says where an event is to go."""


class ReviewRequest(msgspec.Struct, frozen=True):
    """Say whether this order may be carried out."""

    order_id: str
    amount_cents: int


class Review(msgspec.Struct, frozen=True):
    """A decision that is being made."""

    review_id: str


class Decision(msgspec.Struct, frozen=True):
    """The answer of the risk office about an order, some time after it was asked."""

    approved: bool
    by: str
    """A rule, or a person."""


decision: Event[Decision] = Event("decision", Decision)
"""The same object types the saga that waits for it and the office that sends it."""


class ReserveRequest(msgspec.Struct, frozen=True):
    """Put these pieces aside for an order."""

    order_id: str
    pieces: dict[str, int]
    """SKU to quantity."""


class Reservation(msgspec.Struct, frozen=True):
    """Pieces put aside until they are shipped or released."""

    reservation_id: str


class ReleaseRequest(msgspec.Struct, frozen=True):
    """Put the pieces of a reservation back on the shelf."""

    order_id: str
    reservation_id: str


class ChargeRequest(msgspec.Struct, frozen=True):
    """Take this much from the customer's card."""

    order_id: str
    card_token: str
    amount_cents: int


class Payment(msgspec.Struct, frozen=True):
    """Money taken."""

    payment_id: str
    amount_cents: int


class RefundRequest(msgspec.Struct, frozen=True):
    """Give the money of a payment back."""

    order_id: str
    payment_id: str
    amount_cents: int


class ShipRequest(msgspec.Struct, frozen=True):
    """Hand the reserved pieces to the carrier."""

    order_id: str
    reservation_id: str
    recipient: str
    country: str


class Shipment(msgspec.Struct, frozen=True):
    """A parcel on its way."""

    tracking_number: str
