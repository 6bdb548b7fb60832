"""Where a point of no return may be, and what is refused with which advice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from saga_fn import SagaBuilder, SagaDefinition, SagaDefinitionError, step
from tests.definition.shop import Charged, ChargeInput, Order, ReserveInput, charge, price, reserve


def charge_input(_: object) -> ChargeInput:
    return ChargeInput("r")


def reserve_input(_: object) -> ReserveInput:
    return ReserveInput("o")


def test_one_step_may_be_the_pivot() -> None:
    builder = SagaBuilder(Order)
    builder.add_step(reserve, input_map=reserve_input)
    builder.add_step(charge, input_map=charge_input, pivot=True)
    builder.add_step(price, depends_on=builder.initial)
    definition = builder.build()
    assert definition.plan.pivot == "charge"


def test_a_step_may_bring_it_along_and_the_wiring_wins() -> None:
    async def pay(inp: ChargeInput) -> Charged:
        return Charged(inp.reservation_id)

    builder = SagaBuilder(Order)
    builder.add_step(step(pay, pivot=True), input_map=charge_input)
    assert builder.build().plan.pivot == "pay"
    builder = SagaBuilder(Order)
    builder.add_step(step(pay, pivot=True), input_map=charge_input, pivot=False)
    assert builder.build().plan.pivot is None


def two_pivots() -> SagaDefinition[Order, None]:
    builder = SagaBuilder(Order)
    builder.add_step(charge, input_map=charge_input, pivot=True)
    builder.add_step(price, depends_on=builder.initial, pivot=True)
    return builder.build()


def compensation_after() -> SagaDefinition[Order, None]:
    builder = SagaBuilder(Order)
    builder.add_step(charge, input_map=charge_input, pivot=True)
    builder.add_step(reserve, input_map=reserve_input)
    return builder.build()


def compensation_of_it() -> SagaDefinition[Order, None]:
    builder = SagaBuilder(Order)
    builder.add_step(reserve, input_map=reserve_input, pivot=True)
    return builder.build()


def beside() -> SagaDefinition[Order, None]:
    builder = SagaBuilder(Order, order="graph")
    first = builder.add_step(price, depends_on=builder.initial)
    paid = builder.add_step(charge, depends_on=first, input_map=charge_input, pivot=True)
    builder.add_step(price, depends_on=builder.initial, after=paid, step_id="later")
    builder.add_step(price, depends_on=builder.initial, step_id="loose")
    return builder.build()


def no_bool() -> SagaDefinition[Order, None]:
    builder = SagaBuilder(Order)
    builder.add_step(charge, input_map=charge_input, pivot="yes")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # the mistake
    return builder.build()


@pytest.mark.parametrize(
    "make, fact, mend",
    [
        (two_pivots, "'charge' and 'price' are both the pivot", "one point of no return"),
        (compensation_after, "'reserve' has a compensation, but comes after the pivot 'charge'", "before the pivot"),
        (compensation_of_it, "'reserve' is the pivot and has a compensation", "leave out compensate="),
        (beside, "'loose' may run beside the pivot 'charge'", "after="),
        (no_bool, "pivot must be True or False, not 'yes'", ""),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_what_would_not_know_which_way_to_go_is_refused(
    make: Callable[[], SagaDefinition[Order, None]], fact: str, mend: str
) -> None:
    with pytest.raises(SagaDefinitionError) as refusal:
        make()
    assert fact in refusal.value.fact
    assert mend in (refusal.value.hint or "")
