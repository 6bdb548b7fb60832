# type: ignore  # noqa: PGH003 - every case is a mistake that the checkers refuse; here it is made at run time
"""Refusals of search attributes and of what sets them; and the order of the texts that values are kept as."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga_fn import Attribute, PayloadError, SagaBuilder, SagaDefinitionError, StepRef, TypeValidationError, saga, step
from saga_fn.codec.searchable import after, all_of, kind_of, text_of, unknown, value_in
from saga_fn.errors import SagaError, StoredDataError


class Order(msgspec.Struct, frozen=True):
    customer: str
    cents: int | None = None


class Colour(enum.Enum):
    RED = "red"


class Size(enum.StrEnum):
    L = "l"


class Basket(TypedDict):
    customer: str


@step
async def price(order: Order) -> int:
    return order.cents or 0


customer, cents = Attribute("customer", str), Attribute("cents", int)


def builder_with(*attributes):
    builder = SagaBuilder(Order, attributes=attributes)
    return builder, builder.add_step(price, depends_on=builder.initial)


def fanned_out():
    builder = SagaBuilder(list[Order], attributes=(cents,))
    builder.set_attribute(cents, builder.add_step(price.each(concurrency=2), depends_on=builder.initial), input_map=sum)


def set_by(attribute, **how):
    builder, priced = builder_with(customer, cents)
    builder.set_attribute(attribute, priced, **how)


def twice():
    builder, priced = builder_with(cents)
    builder.set_attribute(cents, priced)
    builder.set_attribute(cents, priced)


async def later(_: int) -> int:
    return 1


def to_text(_: int) -> str:
    return ""


def of_text(_: str) -> int:
    return 1


REFUSED = {
    "no name": (lambda: Attribute("", str), "1 to 64 printable ASCII"),
    "a name of another alphabet": (lambda: Attribute("größe", str), "printable ASCII"),
    "a name with a line break": (lambda: Attribute("a\nb", str), "printable ASCII"),
    "a number for a name": (lambda: Attribute(5, str), "printable ASCII"),
    "a float": (lambda: Attribute("x", float), "its type is str, int"),
    "a list": (lambda: Attribute("x", list[str]), "its type is str, int"),
    "an Enum of no texts": (lambda: Attribute("x", Colour), "its type is str, int"),
    "no type": (lambda: Attribute("x", "str"), "its type is str, int"),
    "nine": (lambda: builder_with(*[Attribute(str(n), str) for n in range(9)]), "at most 8 attributes"),
    "two of one name": (
        lambda: builder_with(customer, Attribute("customer", int)),
        "two attributes are named 'customer'",
    ),
    "no attribute": (lambda: builder_with("customer"), "a tuple of Attributes"),
    "one without a tuple": (lambda: SagaBuilder(Order, attributes=customer), "a tuple of Attributes"),
    "one of another saga": (lambda: set_by(Attribute("other", int)), "none of this saga's"),
    "one of another type": (lambda: set_by(Attribute("cents", str)), "none of this saga's"),
    "a text": (lambda: set_by("cents"), "none of this saga's"),
    "an output of another type": (lambda: set_by(customer), "has values of str, but step 'price' is of int"),
    "a function of two": (lambda: set_by(cents, input_map=lambda a, b: a), "cannot be called with 1 argument"),
    "an async function": (lambda: set_by(cents, input_map=later), "is async"),
    "a function of another type": (lambda: set_by(cents, input_map=of_text), "takes a str, but is given an int"),
    "a function to another type": (lambda: set_by(cents, input_map=to_text), "gives a str"),
    "twice": (twice, "set twice from step 'price'"),
    "a fan-out": (fanned_out, "done for each item"),
    "a field that is not there": (
        lambda: builder_with(Attribute("region", str))[0].build(output=None),
        "nothing sets attribute 'region', and Order has no field of that name",
    ),
    "a field of another type": (
        lambda: builder_with(Attribute("cents", str))[0].build(output=None),
        "field 'cents' of Order is of int",
    ),
    "outside of a saga": (lambda: customer.set(None), "outside of a @saga"),
    "no reference": (lambda: builder_with(cents)[0].set_attribute(cents, 5), "not a StepRef"),
    "a value of another type": (lambda: customer.equals(5), "has values of str, not of int"),
    "a flag for a number": (lambda: cents.equals(True), "has values of int, not of bool"),
    "a moment for a day": (lambda: Attribute("d", date).equals(datetime.now(UTC)), "not of datetime"),
    "a text for a StrEnum": (lambda: Attribute("s", Size).equals("l"), "has values of Size, not of str"),
    "a naive moment": (lambda: Attribute("t", datetime).equals(datetime(2026, 1, 1)), "naive"),  # noqa: DTZ001
    "a moment before UTC": (
        lambda: Attribute("t", datetime).equals(datetime.min.replace(tzinfo=timezone(timedelta(hours=3)))),
        "no year",
    ),
    "a large number": (lambda: cents.equals(2**63), "more than 64 bits"),
    "no number": (lambda: Attribute("d", Decimal).equals(Decimal("NaN")), "no number"),
    "many digits": (lambda: Attribute("d", Decimal).equals(Decimal("1" * 101)), "more than 100 digits"),
    "a surrogate": (lambda: customer.equals("\ud800"), "lone surrogate"),
    "a range upside down": (lambda: cents.between(2, 1), "smaller than the smallest"),
}


@pytest.mark.parametrize("make, fact", REFUSED.values(), ids=list(REFUSED))
def test_each_of_these_is_refused_with_its_mend(make, fact: str) -> None:
    with pytest.raises((SagaDefinitionError, TypeValidationError, PayloadError)) as refusal:
        make()
    assert fact in str(refusal.value)
    assert "HINT: " in str(refusal.value)


def test_an_attribute_that_nothing_sets_is_the_field_of_its_name() -> None:
    builder, _ = builder_with(customer, cents)
    built = builder.build()
    assert [setting.text(Order("c", 5)) for setting in built.set_at_start] == ["sc", text_of(5)]
    assert [setting.text(Order("c")) for setting in built.set_at_start] == ["sc", None]
    basket = SagaBuilder(Basket, attributes=(customer,))
    basket.add_step(price, input_map=lambda _: Order(""))
    assert [setting.text({"customer": "d"}) for setting in basket.build().set_at_start] == ["sd"]


def test_attributes_are_no_part_of_the_plan() -> None:
    @saga("with", attributes=(cents,))
    def one(order: StepRef[Order]) -> StepRef[int]:
        priced = price(order)
        cents.set(priced)
        return priced

    @saga("without")
    def other(order: StepRef[Order]) -> StepRef[int]:
        return price(order)

    assert one.plan.id == other.plan.id
    assert [each.attribute for each in one.set_by["price"]] == [cents]


VALUES = {
    "texts": st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20),
    "numbers": st.integers(-(2**63) + 1, 2**63 - 1),
    "flags": st.booleans(),
    "decimals": st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30).filter(
        lambda number: len(number.as_tuple().digits) <= 100  # as many as can be kept
    ),
    "days": st.dates(),
    "moments": st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3))])).filter(
        lambda moment: moment.year < 9999
    ),
    "ids": st.uuids(),
}


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_the_order_of_texts_is_that_of_the_values_and_each_comes_back(kind: str, data: st.DataObject) -> None:
    one, other = data.draw(VALUES[kind]), data.draw(VALUES[kind])
    first, second = text_of(one), text_of(other)
    assert (first < second, first == second) == (one < other, one == other)
    assert (first.encode() < second.encode()) == (first < second)
    assert value_in(first) == one
    low, high = all_of(kind_of(one))
    assert low <= first < after(first) < high


def test_texts_of_other_builds_and_by_other_hands_are_told_apart() -> None:
    assert value_in(unknown(KeyError("secret"))) is None
    assert "secret" not in unknown(KeyError("secret"))
    for text in ("", "x1", "iyes", "t2026", "y1", "d", "u5", "d2x"):
        with pytest.raises(StoredDataError):
            value_in(text)
    assert issubclass(StoredDataError, SagaError)
    assert value_in(text_of(UUID(int=1))) == UUID(int=1)
