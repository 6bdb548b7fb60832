# type: ignore  # noqa: PGH003 - every case is a mistake that the checkers refuse; here it is made at run time
"""A call of an async function that is no step is never left out of a saga in silence."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import warnings
from collections.abc import Callable
from datetime import timedelta

import pytest

from saga_fn import Event, SagaBuilder, SagaDefinitionError, StepRef, saga, sleep, step
from tests.definition.refusal import Cases, each_of, refused
from tests.definition.shop import Order, price
from tests.support.until import SOON


async def hold(order: Order) -> int:
    return 1


async def hold_all(orders: list[Order]) -> int:
    return 1


async def hold_named(**orders: Order) -> int:
    return 1


async def audit() -> int:
    return 1


class Warehouse:
    async def hold(self, order: Order) -> int:
        return 1


paid = Event("paid", int)
warehouse = Warehouse()
FACT = "'hold' is an async function, and its call is no step of the saga"
MEND = "make it a step: @step above `async def hold`"


def traced(lines: Callable[[StepRef[Order]], object], **options) -> Callable[[], object]:
    def shop(order: StepRef[Order]) -> StepRef[float]:
        return lines(order)

    return lambda: saga("shop", **options)(shop)


def left_out(order: StepRef[Order]) -> StepRef[float]:
    hold(order)
    return price(order)


def in_a_list(order: StepRef[Order]) -> StepRef[float]:
    hold_all([order])
    return price(order)


def by_name(order: StepRef[Order]) -> StepRef[float]:
    hold_named(order=order)
    return price(order)


def without_a_reference(order: StepRef[Order]) -> StepRef[float]:
    audit()
    return price(order)


def audits() -> int:
    return sum(1 for _ in (audit(), audit()))


def in_a_helper(order: StepRef[Order]) -> StepRef[float]:
    audits()
    return price(order)


def in_a_loop(order: StepRef[Order]) -> StepRef[float]:
    _ = [audit() for _ in range(2)]
    return price(order)


def named_and_left_out(order: StepRef[Order]) -> StepRef[float]:
    held = hold(order)
    assert held is not None
    return price(order)


def of_an_object(order: StepRef[Order]) -> StepRef[float]:
    warehouse.hold(order)
    return price(order)


def alone(order: StepRef[Order]) -> StepRef[float]:
    price.execute(order)
    return price(order)


def built(order: object) -> object:
    builder = SagaBuilder(Order)
    return builder.add_step(price, depends_on=hold(order))


def of_these(told: list[warnings.WarningMessage]) -> list[str]:
    """The warnings of the functions above. The collector may find as well what other tests have left behind."""
    return [
        text for each in told if re.match(r"coroutine '(\w+\.)*(hold\w*|audit|execute)'", text := str(each.message))
    ]


FORGOTTEN: Cases = [
    ("left out", traced(left_out), "shop: " + FACT, MEND),
    ("named, and left out", traced(named_and_left_out), FACT, MEND),
    (
        "without a reference",
        lambda: saga("shop")(without_a_reference),
        "'audit' is an async function",
        "`async def audit`",
    ),
    ("in a helper", lambda: saga("shop")(in_a_helper), "'audit' is an async function", "`async def audit`"),
    ("without a reference, in a loop", lambda: saga("shop")(in_a_loop), "'audit' is an async", "`async def audit`"),
    ("in a list, and left out", traced(in_a_list), "'hold_all' is an async function", "`async def hold_all`"),
    ("by name, and left out", traced(by_name), "'hold_named' is an async function", "`async def hold_named`"),
    ("a method", traced(of_an_object), FACT, MEND),
    ("a step that is executed alone", traced(alone), "Step.execute() is an async function", "call the step itself"),
    ("returned", traced(hold), " returned <coroutine", MEND),
    ("given to a step", traced(lambda order: price(hold(order))), "which is not a StepRef: " + FACT, MEND),
    ("awaited before a step", traced(lambda order: price(order, after=hold(order)), order="graph"), FACT, MEND),
    ("in a tuple of them", traced(lambda order: price(order, after=(hold(order),)), order="graph"), FACT, MEND),
    ("slept until", traced(lambda order: sleep(until=hold(order))), "until must be a StepRef", MEND),
    ("waited after", traced(lambda order: paid.wait(after=hold(order)), order="graph"), FACT, MEND),
    ("waited about", traced(lambda order: paid.wait(hold(order), correlate=str)), FACT, MEND),
    ("given to a builder's step", lambda: built(None), "depends_on must be a StepRef", MEND),
    ("the output of a builder", lambda: SagaBuilder(Order).build(output=hold(None)), FACT, MEND),
]


@each_of(FORGOTTEN)
@pytest.mark.parametrize("filters", ["error", "ignore", "default"])
def test_it_is_refused_with_the_mend(make: Callable[[], object], fact: str, mend: str, filters: str) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter(filters)
        refused(make, fact, mend)
        gc.collect()
    assert of_these(told) == [], "the refusal has said it"


def test_other_warnings_of_the_function_go_where_they_would() -> None:
    def shop(order: StepRef[Order]) -> StepRef[float]:
        warnings.warn("old words", DeprecationWarning, stacklevel=2)
        return price(order)

    with pytest.warns(DeprecationWarning, match="old words"):
        assert saga("shop")(shop).name == "shop"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning, match="old words"):
            saga("shop")(shop)


def test_other_warnings_of_a_function_that_raises_go_where_they_would() -> None:
    def shop(order: StepRef[Order]) -> StepRef[float]:
        warnings.warn("old words", DeprecationWarning, stacklevel=2)
        return price(order, step_id="")

    with pytest.warns(DeprecationWarning, match="old words"), pytest.raises(SagaDefinitionError):
        saga("shop")(shop)


def test_sagas_that_threads_define_together_leave_the_warnings_of_the_process_as_they_were() -> None:
    first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()

    def first(order: StepRef[Order]) -> StepRef[float]:
        first_is_in.set()
        assert second_is_in.wait(SOON)
        return price(order)

    def second(order: StepRef[Order]) -> StepRef[float]:
        second_is_in.set()
        hold(order)
        assert first_is_out.wait(SOON)
        return price(order)

    def defines_second() -> None:
        assert first_is_in.wait(SOON)
        saga("second")(second)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        other = threading.Thread(target=defines_second)
        other.start()
        saga("first")(first)
        first_is_out.set()
        other.join(SOON)
        warnings.warn("a word of later", UserWarning, stacklevel=1)
    assert of_these(told) == ["coroutine 'hold' was never awaited"]
    assert "a word of later" in [str(each.message) for each in told]


def test_a_saga_within_another_is_watched_too() -> None:
    def outer(order: StepRef[Order]) -> StepRef[float]:
        refused(traced(left_out), FACT, MEND)
        return price(order)

    assert saga("outer")(outer).name == "outer"


@pytest.mark.parametrize("filters", ["error", "ignore", "always"])
def test_a_coroutine_of_another_place_that_the_collector_finds_meanwhile_is_no_forgotten_step(filters: str) -> None:
    kept: list[object] = []
    for given in (Order("1"), SagaBuilder(Order).initial):
        circle: list[object] = [hold(given)]
        circle.append(circle)
        kept.append(circle)
        del circle

    def shop(order: StepRef[Order]) -> StepRef[float]:
        kept.clear()
        gc.collect()
        return price(order)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter(filters)
        assert saga("shop")(shop).name == "shop"
    assert len(of_these(told)) == (2 if filters == "always" else 0)


def test_an_error_of_the_function_comes_first() -> None:
    def shop(order: StepRef[Order]) -> StepRef[float]:
        hold(order)
        return price(order, step_id="")

    with pytest.raises(SagaDefinitionError, match="printable ASCII"):
        saga("shop")(shop)


async def test_a_coroutine_that_somebody_runs_is_no_forgotten_step() -> None:
    begun: list[asyncio.Task[int]] = []

    def shop(order: StepRef[Order]) -> StepRef[float]:
        begun.append(asyncio.ensure_future(hold(Order("1"))))
        return price(order)

    assert saga("shop")(shop).name == "shop"
    assert await begun[0] == 1


def test_the_text_of_a_definition_lists_its_steps() -> None:
    @step
    async def reserve(order: Order) -> int:
        return 1

    def shop(order: StepRef[Order]) -> StepRef[float]:
        reserve(order)
        sleep(timedelta(days=1))
        return price(order)

    assert "steps=['reserve', 'sleep', 'price']" in repr(saga("shop")(shop))
