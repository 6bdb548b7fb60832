"""Makes the orders that ship with the package: `python -m saga_fn.demo.generate > saga_fn/demo/orders.jsonl`."""

from __future__ import annotations

import argparse
import random
import sys
from datetime import UTC, datetime, timedelta

import msgspec

from saga_fn.demo.orders import Address, Order, OrderLine

FIRST_ORDER_AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)

CATALOGUE = (
    ("BOOK-0412", "The Garden of Forking Paths", 1290),
    ("BOOK-0977", "Gödel, Escher, Bach", 2490),
    ("BOOK-1203", "A Pattern Language", 6500),
    ("COFF-0031", "Coffee beans, Huehuetenango, 1 kg", 2150),
    ("COFF-0100", "Hand grinder", 8900),
    ("COFF-0104", "Paper filters, 100 pieces", 450),
    ("DESK-0007", "Desk lamp, brass", 11900),
    ("DESK-0019", "Notebook, dotted, A5", 1490),
    ("DESK-0023", "Fountain pen, fine", 3450),
    ("DESK-0024", "Ink, blue-black, 50 ml", 980),
    ("HOME-0201", "Wool blanket, grey", 7900),
    ("HOME-0233", "Cast-iron pan, 26 cm", 5400),
    ("HOME-0260", "Kitchen scales", 2790),
    ("TOOL-0051", "Pocket screwdriver set", 1990),
    ("TOOL-0062", "Bicycle repair kit", 2350),
    ("TOOL-0075", "Head torch", 3290),
)
GIVEN_NAMES = ("Ada", "Åsa", "Bogdan", "Chloé", "Dmitri", "Eleni", "Femi", "Grażyna", "Hiro", "Inês", "Jürgen", "Maeve")
FAMILY_NAMES = ("Andersson", "Bianchi", "Dupont", "Fischer", "Ito", "Kowalska", "Nilsen", "O'Brien", "Okafor", "Silva")
STREETS = ("Canal Street", "Church Lane", "Harbour Road", "Linden Avenue", "Market Square", "Mill Lane", "Station Road")
CITIES = (
    ("DE", "10115", "Berlin"),
    ("DK", "1050", "København"),
    ("ES", "41001", "Sevilla"),
    ("FR", "69001", "Lyon"),
    ("IE", "D02", "Dublin"),
    ("NL", "3511", "Utrecht"),
    ("PL", "31-005", "Kraków"),
    ("PT", "4000-008", "Porto"),
    ("SE", "411 06", "Göteborg"),
)


def generate_orders(count: int, seed: int) -> list[Order]:
    """So many orders of a few busy hours; the same seed gives the same orders."""
    source = random.Random(seed)
    placed_at = FIRST_ORDER_AT
    orders: list[Order] = []
    for number in range(1, count + 1):
        placed_at += timedelta(seconds=source.randint(5, 240))
        country, postcode, city = source.choice(CITIES)
        orders.append(
            Order(
                order_id=f"order-{number:04d}",
                placed_at=placed_at,
                customer=f"{source.choice(GIVEN_NAMES)} {source.choice(FAMILY_NAMES)}",
                address=Address(f"{source.choice(STREETS)} {source.randint(1, 180)}", postcode, city, country),
                card_token=f"card_{source.getrandbits(64):016x}",
                lines=tuple(
                    OrderLine(sku, title, quantity=source.choice((1, 1, 1, 2, 3)), unit_price_cents=price)
                    for sku, title, price in source.sample(CATALOGUE, k=source.choice((1, 1, 2, 2, 3, 4)))
                ),
            )
        )
    return orders


def main() -> None:
    """Write the orders to standard output, one a line."""
    parser = argparse.ArgumentParser(prog="python -m saga_fn.demo.generate", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="how many orders (default: 300)")
    parser.add_argument("--seed", type=int, default=7, help="same seed, same orders (default: 7)")
    options = parser.parse_args()
    for order in generate_orders(options.count, options.seed):
        sys.stdout.buffer.write(msgspec.json.encode(order) + b"\n")


if __name__ == "__main__":
    main()
