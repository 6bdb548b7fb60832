"""Sagas that a person has to repair, for a look into the console: cards of thanks, whose addresses are missing."""

from __future__ import annotations

import msgspec

from saga_fn import SagaHandle, StepRef, saga, step


class Card(msgspec.Struct, frozen=True):
    """A card of thanks."""

    customer: str
    address: str = ""


class AddressMissingError(Exception):
    """No caller has said where the customer lives."""


async def write_card(card: Card) -> Card:
    """Write it by hand: it is not thrown away after that."""
    return card


async def post_card(card: Card) -> str:
    """Post it."""
    if not card.address:
        raise AddressMissingError(f"{card.customer} has no address")
    return f"posted to {card.address}"


@saga("thank_customer")
def thank_customer(card: StepRef[Card]) -> StepRef[str]:
    """Write a card and post it. It waits for a person where no address is known; `retry_step` with another input helps."""
    return step(post_card)(step(write_card, pivot=True)(card))


CUSTOMERS = ("Ada", "Grace", "Barbara")
"""Customers whose addresses are missing."""
REPAIRED = '{"customer": "Ada", "address": "Main Street 1"}'
"""An input with which `retry_step` helps."""


async def start_cards(cards: SagaHandle[Card, str]) -> None:
    """Begin one for each of them."""
    for customer in CUSTOMERS:
        await cards.start(Card(customer), aggregation_id=customer, idempotency_key=customer)
