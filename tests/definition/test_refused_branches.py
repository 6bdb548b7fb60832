# type: ignore  # noqa: PGH003 - every case is a mistake that the checkers refuse; here it is made at run time
"""What cannot be a condition or a fan-out, and what the refusal advises."""

from __future__ import annotations

from collections.abc import Callable

from saga_fn import SagaBuilder, StepRef, step
from tests.definition.refusal import Cases, each_of, refused, use
from tests.definition.shop import Order, Reserved, price


async def take_int(cents: int) -> None: ...


def asks(order: Order) -> bool:
    return order.order_id != ""


async def asks_async(order: Order) -> bool:
    return True


def asks_how_many(order: Order) -> int:
    return 1


def asks_another(cents: int) -> bool:
    return True


def wants_int(cents: int) -> Order:
    return Order(str(cents))


def takes_none(cents: int | None) -> Order:
    return Order(str(cents))


def maybe(builder: SagaBuilder) -> StepRef[int | None]:
    return builder.add_step(price.when(asks), depends_on=builder.initial)


CONDITIONS: Cases = [
    ("async", lambda: price.when(asks_async), "is async", "plain function"),
    ("no function", lambda: price.when(True), "cannot be called", "price.when(lambda inp"),
    ("two arguments", lambda: price.when(lambda one, two: True), "cannot be called", "price.when(lambda inp"),
    ("no bool", lambda: price.when(asks_how_many), "returns an int, which is not a bool", "True or False"),
    ("of another input", lambda: price.when(asks_another), "takes an int, but the step takes an Order", "own input"),
    ("of one item", lambda: price.each(concurrency=1).when(asks), "the step takes a list[Order]", "own input"),
    ("twice", lambda: price.when(asks).when(asks), "has a condition already", "`and`"),
    (
        "taken for granted",
        use(lambda b, r: b.add_step(step(take_int), depends_on=maybe(b))),
        "takes int, but is given int | None",
        "input_map",
    ),
    (
        "taken for granted by an input_map",
        use(lambda b, r: b.add_step(price, depends_on=maybe(b), step_id="again", input_map=wants_int)),
        "takes an int, but step 'price' is conditional and may give None",
        "annotate it int | None",
    ),
]


def test_a_condition_of_a_fan_out_may_ask_for_a_list() -> None:
    def any_at_all(orders: list[Order]) -> bool:
        return bool(orders)

    assert price.each(concurrency=1).when(any_at_all) is not None


def test_a_condition_need_not_say_what_it_takes_nor_find_its_annotations() -> None:
    def asks_somehow(order):
        return True

    asks_somehow.__annotations__["order"] = "NowhereToBeFound"

    for condition in (bool, len, lambda order: True, asks_somehow):
        assert price.when(condition) is not None


@each_of(CONDITIONS)
def test_what_cannot_be_a_condition_is_refused(make: Callable[[], object], fact: str, mend: str) -> None:
    refused(make, fact, mend)


def test_what_says_that_it_takes_none_is_accepted() -> None:
    use(lambda b, r: b.add_step(price, depends_on=maybe(b), step_id="again", input_map=takes_none))()


def test_what_does_not_say_what_it_takes_is_left_to_the_checkers() -> None:
    use(
        lambda b, r: b.add_step(
            price, depends_on=(r, maybe(b)), step_id="again", input_map=lambda one, two: Order(one.reservation_id)
        )
    )()


# Fan-outs.


def many(builder: SagaBuilder, **options) -> StepRef[list[int]]:
    listed = builder.add_step(step(list_orders), depends_on=builder.initial)
    return builder.add_step(price.each(concurrency=2), depends_on=listed, **options)


async def list_orders(order: Order) -> list[Order]:
    return [order]


async def list_names(order: Order) -> list[str]:
    return [order.order_id]


async def take_ints(cents: list[int]) -> None: ...


FAN_OUTS: Cases = [
    ("none at once", lambda: price.each(concurrency=0), "1 or more, not 0", "one after another"),
    ("less than none at once", lambda: price.each(concurrency=-3), "1 or more, not -3", "one after another"),
    ("half an item at once", lambda: price.each(concurrency=0.5), "1 or more, not 0.5", "one after another"),
    ("True at once", lambda: price.each(concurrency=True), "1 or more, not True", "one after another"),
    ("twice", lambda: price.each(concurrency=1).each(concurrency=1), "for each item already", "flatten"),
    ("a condition of items", lambda: price.when(asks).each(concurrency=1), "the whole list", "each(...).when(...)"),
    (
        "one for a list",
        use(lambda b, r: b.add_step(price.each(concurrency=1), depends_on=b.initial)),
        "takes Sequence[Order], but is given Order",
        "input_map",
    ),
    (
        "a list of others",
        use(
            lambda b, r: b.add_step(
                price.each(concurrency=1), depends_on=b.add_step(step(list_names), depends_on=b.initial)
            )
        ),
        "takes Sequence[Order], but is given list[str]",
        "input_map",
    ),
    (
        "a list for one",
        use(lambda b, r: b.add_step(step(take_int), depends_on=many(b))),
        "takes int, but is given list[int]",
        "input_map",
    ),
    ("a long name", use(lambda b, r: many(b, step_id="x" * 33)), "32 characters at most", "step_id="),
    ("the pivot", use(lambda b, r: b.build(output=many(b, pivot=True))), "cannot be the pivot", "before or after"),
    (
        "the name of an item",
        use(lambda b, r: (many(b), b.add_step(price, step_id="price[3]", depends_on=b.initial))),
        "cannot be told from each other's items",
        "step_id=",
    ),
    (
        "items with the name of a step",
        use(lambda b, r: (b.add_step(price, step_id="price[3]", depends_on=b.initial), many(b))),
        "cannot be told from each other's items",
        "step_id=",
    ),
]


@each_of(FAN_OUTS)
def test_what_cannot_be_a_fan_out_is_refused(make: Callable[[], object], fact: str, mend: str) -> None:
    refused(make, fact, mend)


def test_a_list_is_taken_and_given() -> None:
    def wire(b: SagaBuilder, r: StepRef[Reserved]) -> None:
        b.add_step(step(take_ints), depends_on=many(b))

    use(wire)()
