# type: ignore  # noqa: PGH003 - builders of whatever options
"""What must pass one after another cannot outlast the saga: refused when the saga is built, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from saga_fn import Event, SagaBuilder, SagaDefinitionError
from tests.definition.shop import Order, price

HOUR = timedelta(hours=1)
HALF = HOUR / 2
MOMENT = timedelta(microseconds=1)

approval = Event("approval", str)

Wire = Callable[[SagaBuilder[Order]], object]


def build(wire: Wire, **options: object) -> None:
    builder = SagaBuilder(Order, deadline=HOUR, **options)
    wire(builder)
    builder.build()


def two_branches(builder: SagaBuilder[Order], first: timedelta, second: timedelta, joined: timedelta) -> None:
    """Two sleeps beside each other, and a wait after both."""
    ends = (builder.add_sleep(first, step_id="first"), builder.add_sleep(second, step_id="second"))
    builder.add_event(approval, timeout=joined, after=ends)


def around_the_pivot(builder: SagaBuilder[Order], **pivot: object) -> None:
    """A pivot, and after it a sleep and a wait without limit."""
    builder.add_step(pivot.get("step", price), depends_on=builder.initial, pivot=True)
    builder.add_sleep(2 * HOUR)
    builder.add_event(approval)


TOO_LONG: dict[str, tuple[Wire, str, str]] = {
    "a wait for ever": (
        lambda b: b.add_event(approval),
        "the wait 'approval' has no timeout, but the saga has a deadline",
        "shorter than the deadline",
    ),
    "a longer wait": (
        lambda b: b.add_event(approval, timeout=2 * HOUR),
        "the wait 'approval' may take 2 hours, but the saga's deadline is 60 minutes",
        "its timeout would never be over",
    ),
    "a wait as long": (
        lambda b: b.add_event(approval, timeout=HOUR),
        "the wait 'approval' may take 60 minutes, but the saga's deadline is 60 minutes",
        "its timeout would never be over",
    ),
    "a wait with a default": (
        lambda b: b.add_event(approval, timeout=HOUR, default="no"),
        "the wait 'approval' may take 60 minutes, but the saga's deadline is 60 minutes",
        "its timeout would never be over",
    ),
    "a longer sleep": (
        lambda b: b.add_sleep(2 * HOUR),
        "the sleep 'sleep' takes 2 hours, but the saga's deadline is 60 minutes",
        "never get past it",
    ),
    "sleeps that are longer together": (
        lambda b: (b.add_sleep(HALF), b.add_step(price, depends_on=b.initial), b.add_sleep(HALF, step_id="again")),
        "the sleep 'again' takes 30 minutes after sleeps of 30 minutes, but the saga's deadline is 60 minutes",
        "make it or the sleeps before it shorter, or the deadline longer",
    ),
    "a wait after a sleep": (
        lambda b: (b.add_sleep(HALF), b.add_event(approval, timeout=HALF)),
        "the wait 'approval' may take 30 minutes after sleeps of 30 minutes, but the saga's deadline is 60 minutes",
        "its timeout would never be over",
    ),
    "a wait after the longer of two branches": (
        lambda b: two_branches(b, MOMENT, HALF, HALF),
        "may take 30 minutes after sleeps of 30 minutes",
        "its timeout would never be over",
    ),
    "a sleep before the pivot": (
        lambda b: (b.add_sleep(HOUR), b.add_step(price, depends_on=b.initial, pivot=True)),
        "the sleep 'sleep' takes 60 minutes",
        "never get past it",
    ),
    "a sleep after a pivot that may not be taken": (
        lambda b: around_the_pivot(b, step=price.when(lambda order: order.order_id != "")),
        "the sleep 'sleep' takes 2 hours",
        "never get past it",
    ),
}


@pytest.mark.parametrize("what", TOO_LONG)
def test_what_outlasts_its_saga_is_refused_with_the_mend(what: str) -> None:
    wire, fact, mend = TOO_LONG[what]
    with pytest.raises(SagaDefinitionError, match=f"(?s){re.escape(fact)}.*HINT: .*{re.escape(mend)}"):
        build(wire, order="graph" if "branches" in what else "sequential")


IN_TIME: dict[str, Wire] = {
    "sleeps that leave a moment": lambda b: (b.add_sleep(HALF), b.add_sleep(HALF - MOMENT, step_id="again")),
    "a timeout that leaves a moment": lambda b: (b.add_sleep(HALF), b.add_event(approval, timeout=HALF - MOMENT)),
    "waits that may come at once": lambda b: (
        b.add_event(approval, timeout=HOUR - MOMENT, default="no"),
        b.add_event(approval, timeout=HOUR - MOMENT, step_id="again"),
        b.add_sleep(HOUR - MOMENT),
    ),
    "sleeps that are over meanwhile": lambda b: two_branches(b, HALF, HALF, HALF - MOMENT),
    "a moment that nobody knows yet": lambda b: (
        b.add_sleep(until=b.initial, input_map=lambda _: None),
        b.add_sleep(HOUR - MOMENT, step_id="again"),
    ),
    "whatever comes after the pivot, where no deadline counts": around_the_pivot,
}


@pytest.mark.parametrize("what", IN_TIME)
def test_what_may_be_in_time_is_built(what: str) -> None:
    build(IN_TIME[what], order="graph" if "meanwhile" in what else "sequential")


@pytest.mark.parametrize("deadline", [timedelta(0), -HOUR, timedelta(days=366), 5, "soon"])
def test_a_deadline_that_is_none_is_refused(deadline: object) -> None:
    with pytest.raises(SagaDefinitionError, match=r"(?s)deadline must be a positive timedelta.*HINT: "):
        SagaBuilder(Order, deadline=deadline)
