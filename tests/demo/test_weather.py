from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from saga_fn.demo.orders import SHIPPED_ORDERS, read_orders
from saga_fn.demo.saga import DECISION_TIMEOUT
from saga_fn.demo.services.weather import (
    FORGOTTEN_RATE,
    MOST_MISHAPS,
    REFUSAL_RATE,
    REJECTED_RATE,
    STUTTER_RATE,
    Operation,
    Weather,
)

OPERATIONS: tuple[Operation, ...] = ("review", "reserve", "release", "charge", "refund", "ship")
ORDER_IDS = [order.order_id for order in read_orders(SHIPPED_ORDERS)]


def test_the_same_seed_gives_the_same_refusals_in_another_process() -> None:
    program = (
        "from saga_fn.demo.services.weather import Weather\n"
        "print([Weather(5).refuses(f'order-{n:04d}', 'charge') for n in range(50)])"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": "123"}
    )
    assert elsewhere.stdout.strip() == str([Weather(5).refuses(f"order-{n:04d}", "charge") for n in range(50)])


def test_another_seed_refuses_others() -> None:
    refused = [{order_id for order_id in ORDER_IDS if Weather(seed).refuses(order_id, "charge")} for seed in range(10)]
    assert len({frozenset(orders) for orders in refused}) == 10


@pytest.mark.parametrize("operation", OPERATIONS)
def test_about_as_many_are_refused_as_announced_and_undoing_never_is(operation: Operation) -> None:
    refused = sum(Weather(seed).refuses(order_id, operation) for seed in range(10) for order_id in ORDER_IDS)
    assert refused == pytest.approx(10 * len(ORDER_IDS) * REFUSAL_RATE.get(operation, 0), rel=0.25)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_mishap_happens_and_none_after_the_last_bad_attempt(operation: Operation) -> None:
    weather = Weather(1)
    early = {
        weather.mishap(order_id, operation, attempt) for order_id in ORDER_IDS for attempt in range(1, MOST_MISHAPS + 1)
    }
    assert early == {None, "unavailable", "late"}
    assert {weather.mishap(order_id, operation, MOST_MISHAPS + 1) for order_id in ORDER_IDS} == {None}


def test_people_decide_as_announced() -> None:
    said = Counter(Weather(seed).verdict(order_id) for seed in range(10) for order_id in ORDER_IDS)
    assert said["rejected"] == pytest.approx(10 * len(ORDER_IDS) * REJECTED_RATE, rel=0.25)
    assert said["forgotten"] == pytest.approx(10 * len(ORDER_IDS) * FORGOTTEN_RATE, rel=0.25)
    twice = sum(Weather(seed).stutters(order_id) for seed in range(10) for order_id in ORDER_IDS)
    assert twice == pytest.approx(10 * len(ORDER_IDS) * STUTTER_RATE, rel=0.25)


def test_people_decide_before_an_order_stops_waiting() -> None:
    assert max(Weather(1).reflection(order_id) for order_id in ORDER_IDS) < DECISION_TIMEOUT.total_seconds() / 2


def test_latency_stays_far_below_the_patience_of_a_step() -> None:
    delays = [Weather(1).latency(order_id, operation, 1) for order_id in ORDER_IDS for operation in OPERATIONS]
    assert min(delays) >= 0.02
    assert max(delays) <= 0.3
