# type: ignore  # noqa: PGH003 - every case is a mistake that the checkers refuse; here it is made at run time
"""What cannot be a step, a wiring or a saga, and what the refusal advises."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

import pytest
from returns.result import Result, Success

from saga_fn import BaseStep, ContextStep, SagaBuilder, SagaDefinitionError, StepRef, saga, step
from tests.definition.shop import (
    Charged,
    ChargeInput,
    Order,
    Reserved,
    ReserveInput,
    ReserveInventory,
    charge,
    price,
    release,
    reserve,
)

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers

T = TypeVar("T")


# --- what cannot be a step


async def helper(inp: ReserveInput) -> Reserved:
    return Reserved(inp.order_id)


def not_async(inp: ReserveInput) -> Reserved:
    return Reserved(inp.order_id)


async def nothing() -> Reserved:
    return Reserved("")


async def two_inputs(inp: ReserveInput, other: int) -> Reserved:
    return Reserved(f"{inp}{other}")


async def keyword(inp: ReserveInput, *, other: int) -> Reserved:
    return Reserved(f"{inp}{other}")


async def bare(inp) -> Reserved:
    return Reserved("")


async def no_return(inp: ReserveInput):
    return Reserved("")


async def late(inp: ReserveInput) -> OnlyForCheckers:
    raise NotImplementedError


async def bare_result(inp: ReserveInput) -> Result:
    return Success(1)


async def unstorable(inp: ReserveInput) -> Callable[[], int]:
    return lambda: 1


async def undo_one(inp: ReserveInput) -> None: ...


async def undo_other(inp: ChargeInput, out: Charged) -> None: ...


class Decorated:
    async def charge(self, inp: ChargeInput) -> Charged:
        return Charged(inp.reservation_id)


class NoTypes(BaseStep):
    async def execute(self, inp, /):
        return inp


class NotAsync(BaseStep[ReserveInput, Reserved]):
    def execute(self, inp: ReserveInput, /) -> Reserved:
        return Reserved(inp.order_id)


class NoContext(ContextStep[ReserveInput, Reserved]):
    async def execute(self, inp: ReserveInput, /) -> Reserved:
        return Reserved(inp.order_id)


class Unbound(BaseStep[T, T], Generic[T]):
    async def execute(self, inp: T, /) -> T:
        return inp


class Named(BaseStep["ReserveInput", "Reserved"]):
    async def execute(self, inp: ReserveInput, /) -> Reserved:
        return Reserved(inp.order_id)


STEPS: list[tuple[str, Callable[[], object], str, str]] = [
    ("partial", lambda: step(functools.partial(helper)), "functools.partial", "make_saga"),
    ("not async", lambda: step(not_async), "not an async function", "async def"),
    ("lambda", lambda: step(lambda inp: inp), "lambda", "async function"),
    ("decorated method", lambda: step(Decorated.charge), "method that has no object", "step(pay.charge"),
    ("a class", lambda: step(ReserveInventory), "is a class", "step(ReserveInventory())"),
    ("no parameter", lambda: step(nothing), "must take its input", "add the missing"),
    ("a second input", lambda: step(two_inputs), "must take its input", "StepContext"),
    ("a keyword", lambda: step(keyword), "must take its input", "default"),
    ("no annotation", lambda: step(bare), "no annotation", "annotate"),
    ("no return type", lambda: step(no_return), "no return annotation", "-> None"),
    ("TYPE_CHECKING", lambda: step(late), "OnlyForCheckers", "runtime-evaluated-decorators"),
    ("a bare Result", lambda: step(bare_result), "bare Result", "Result[Payment, Refusal]"),
    ("unstorable", lambda: step(unstorable), "output of step unstorable", "use a msgspec Struct"),
    ("not callable", lambda: step(7), "not an async function", "async def"),
    ("a short compensation", lambda: step(helper, compensate=undo_one), "undo_one must take", "add the missing"),
    ("another's compensation", lambda: step(helper, compensate=undo_other), "takes ChargeInput", "exactly"),
    ("a sync compensation", lambda: step(helper, compensate=not_async), "compensation not_async", "async def"),
    ("compensate for a class", lambda: step(ReserveInventory(), compensate=release), "its own", "leave compensate"),
    ("an unknown option", lambda: step(helper, retries=3), "unknown step option retries", "retry_policy"),
    ("a number for a timeout", lambda: step(helper, timeout=5), "timeout", "timedelta"),
    ("a timeout of zero", lambda: step(helper, timeout=timedelta(0)), "timeout", "timedelta"),
    ("a negative timeout", lambda: step(helper, compensation_timeout=timedelta(-1)), "timeout", "timedelta"),
    ("no policy", lambda: step(helper, retry_policy=3), "retry_policy", "FixedRetry"),
    (
        "a class without types",
        lambda: SagaBuilder(ReserveInput).add_step(NoTypes()),
        "does not say",
        "BaseStep[In, Out]",
    ),
    (
        "a class that is not async",
        lambda: SagaBuilder(ReserveInput).add_step(NotAsync()),
        "NotAsync.execute is not async",
        "async def",
    ),
    (
        "a class without ctx",
        lambda: SagaBuilder(ReserveInput).add_step(NoContext()),
        "NoContext.execute cannot be called",
        "StepContext",
    ),
    ("a type variable", lambda: SagaBuilder(ReserveInput).add_step(Unbound()), "type variable", "concrete"),
    (
        "a type as a string",
        lambda: SagaBuilder(ReserveInput).add_step(Named()),
        "only a name",
        "runtime-evaluated-base-classes",
    ),
    ("a function, unwrapped", lambda: SagaBuilder(ReserveInput).add_step(helper), "is not a step", "step(...)"),
    (
        "a class, unwrapped",
        lambda: SagaBuilder(ReserveInput).add_step(ReserveInventory),
        "is not a step",
        "not its class",
    ),
]


@pytest.mark.parametrize("make, fact, mend", [case[1:] for case in STEPS], ids=[case[0] for case in STEPS])
def test_what_cannot_be_a_step_is_refused(make: Callable[[], object], fact: str, mend: str) -> None:
    with pytest.raises(SagaDefinitionError) as refusal:
        make()
    assert fact in refusal.value.fact
    assert mend in (refusal.value.hint or "")


# --- what cannot be wired


def use(act: Callable[[SagaBuilder, StepRef[Reserved]], object], tp=Order, **options) -> Callable[[], object]:
    """A builder with one step, and what is done to it."""

    def run() -> object:
        builder = SagaBuilder(tp, **options)
        return act(builder, builder.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data.order_id)))

    return run


def other_ref() -> StepRef[int]:
    builder = SagaBuilder(Order)
    return builder.add_step(price, depends_on=builder.initial)


async def map_async(ref: object) -> ChargeInput:
    return ChargeInput(str(ref))


def built(builder):
    builder.build()
    return builder


def to_charge(_: object) -> ChargeInput:
    return ChargeInput("")


def unfit() -> None:
    builder = SagaBuilder(Order)
    builder.add_step(charge)


WIRINGS: list[tuple[str, Callable[[], object], str, str]] = [
    ("empty", lambda: SagaBuilder(Order).build(), "at least one step", "add_step"),
    ("an unknown order", use(lambda b, r: None, order="random"), "order must be", ""),
    ("unknown siblings", use(lambda b, r: None, siblings_on_failure="stop"), "'await' or 'cancel'", "'await' lets"),
    ("siblings of none", use(lambda b, r: None, siblings_on_failure="cancel"), "one step runs after another", "graph"),
    ("the same id twice", use(lambda b, r: b.add_step(reserve, input_map=to_charge)), "already", "step_id="),
    ("an empty id", use(lambda b, r: b.add_step(charge, depends_on=r, input_map=to_charge, step_id="")), "ASCII", ""),
    ("a long id", use(lambda b, r: b.add_step(price, depends_on=b.initial, step_id="x" * 65)), "64", "step_id="),
    ("an id with NUL", use(lambda b, r: b.add_step(price, depends_on=b.initial, step_id="\0")), "printable", ""),
    ("an id of no text", use(lambda b, r: b.add_step(price, depends_on=b.initial, step_id=3)), "printable", ""),
    ("a list", use(lambda b, r: b.add_step(charge, depends_on=[r], input_map=to_charge)), "depends_on", "(first"),
    (
        "no ref",
        use(lambda b, r: b.add_step(charge, depends_on=(r, 7), input_map=to_charge)),
        "not a StepRef",
        "add_step",
    ),
    ("a step", use(lambda b, r: b.add_step(charge, depends_on=(reserve,), input_map=to_charge)), "not a StepRef", ""),
    (
        "another saga's ref",
        use(lambda b, r: b.add_step(charge, depends_on=other_ref(), input_map=to_charge)),
        "another saga",
        "only in the saga",
    ),
    ("another's after", use(lambda b, r: b.add_step(price, after=other_ref())), "another saga", "only in the saga"),
    ("another's output", use(lambda b, r: b.build(output=other_ref())), "another saga", "only in the saga"),
    ("an output of no ref", use(lambda b, r: b.build(output="charge")), "not a StepRef", ""),
    (
        "a map of no arguments",
        use(lambda b, r: b.add_step(charge, depends_on=r, input_map=lambda: 1)),
        "1 argument",
        "order of depends_on",
    ),
    (
        "a map of two",
        use(lambda b, r: b.add_step(charge, input_map=lambda a, b: 1)),
        "1 argument",
        "InputContext",
    ),
    ("no map at all", use(lambda b, r: b.add_step(charge, input_map=7)), "cannot be called", "InputContext"),
    (
        "an async map",
        use(lambda b, r: b.add_step(charge, depends_on=r, input_map=map_async)),
        "async",
        "plain function",
    ),
    ("two refs, no map", use(lambda b, r: b.add_step(charge, depends_on=(r, b.initial))), "put together", "input_map"),
    ("types that do not fit", use(lambda b, r: b.add_step(charge, depends_on=r)), "is given Reserved", "input_map"),
    ("first step does not fit", unfit, "is given Order", "input_map"),
    ("unknown option", use(lambda b, r: b.add_step(price, depends_on=b.initial, retries=3)), "retries", "retry_policy"),
    ("seconds", use(lambda b, r: b.add_step(price, depends_on=b.initial, timeout=3)), "timeout", "timedelta"),
    ("added after build", use(lambda b, r: built(b).add_step(price, depends_on=b.initial)), "built", "another"),
    ("built twice", use(lambda b, r: built(b).build()), "built", "another SagaBuilder"),
    ("a condition", use(lambda b, r: bool(r)), "no value", "input_map"),
    ("unpacked", use(lambda b, r: [*r]), "no value", "input_map"),
    ("an attribute", use(lambda b, r: r.reservation_id), "no attribute 'reservation_id'", "lambda value"),
    ("an unstorable type", lambda: SagaBuilder(Callable), "initial data", "msgspec Struct"),
]


@pytest.mark.parametrize("make, fact, mend", [case[1:] for case in WIRINGS], ids=[case[0] for case in WIRINGS])
def test_what_cannot_be_wired_is_refused(make: Callable[[], object], fact: str, mend: str) -> None:
    with pytest.raises(SagaDefinitionError) as refusal:
        make()
    assert fact in refusal.value.fact
    assert mend in (refusal.value.hint or "")


# --- what cannot be traced


def trace(fn: Callable[..., object], name="s") -> Callable[[], object]:
    decorate = saga(name) if isinstance(name, str) and name else None
    return lambda: (decorate or saga(name))(fn)


async def traced_async(order: StepRef[Order]) -> None: ...
def traced_none() -> None: ...
def traced_plain(order: Order) -> None: ...
def traced_bare(order) -> None: ...
def traced_empty(order: StepRef[Order]) -> None: ...
def traced_wrong(order: StepRef[Order]) -> int:
    price(order)
    return 7


def traced_forgets(order: StepRef[Order]) -> StepRef[int]:
    price(order)


def traced_if(order: StepRef[Order]) -> None:
    if price(order):
        price(order, step_id="again")


leaked: list[StepRef[int]] = []


def traced_leak(order: StepRef[Order]) -> None:
    price(order)
    step(take_int)(leaked[0])


async def take_int(cents: int) -> None: ...


def traced_value(order: StepRef[Order]) -> None:
    price(Order("7"))


TRACED: list[tuple[str, Callable[[], object], str, str]] = [
    ("no name", lambda: saga(traced_empty), "name", '@saga("create_order")'),
    ("an empty name", lambda: saga(""), "name", ""),
    ("async", trace(traced_async), "async", "plain `def`"),
    ("no parameter", trace(traced_none), "exactly one", "one type"),
    ("no StepRef", trace(traced_plain), "StepRef[...]", "StepRef[Order]"),
    ("no annotation", trace(traced_bare), "StepRef[...]", "StepRef[Order]"),
    ("a class", trace(Order), "no function", "@saga"),
    ("no steps", trace(traced_empty), "at least one step", ""),
    ("returns a value", trace(traced_wrong), "returned 7", "StepRef"),
    ("forgets to return", trace(traced_forgets), "returned nothing", "-> None"),
    ("control flow", trace(traced_if), "no value", "using"),
    ("a leaked ref", trace(traced_leak), "another saga", "only in the saga"),
    ("a value for a ref", trace(traced_value), "not a StepRef", "await price.execute(value)"),
    ("outside of a saga", lambda: price(other_ref()), "outside of a @saga", "add_step"),
]


@pytest.mark.parametrize("make, fact, mend", [case[1:] for case in TRACED], ids=[case[0] for case in TRACED])
def test_what_cannot_be_traced_is_refused(make: Callable[[], object], fact: str, mend: str) -> None:
    leaked[:] = [other_ref()]
    with pytest.raises(SagaDefinitionError) as refusal:
        make()
    assert fact in refusal.value.fact
    assert mend in (refusal.value.hint or "")


def test_after_a_failed_trace_no_saga_is_being_traced() -> None:
    with pytest.raises(SagaDefinitionError):
        trace(traced_if)()
    with pytest.raises(SagaDefinitionError, match="outside of a @saga"):
        price(other_ref())


# --- conditions


def asks(order: Order) -> bool:
    return order.order_id != ""


async def asks_async(order: Order) -> bool:
    return True


def wants_int(cents: int) -> Order:
    return Order(str(cents))


def takes_none(cents: int | None) -> Order:
    return Order(str(cents))


def maybe(builder: SagaBuilder) -> StepRef[int | None]:
    return builder.add_step(price.when(asks), depends_on=builder.initial)


CONDITIONS: list[tuple[str, Callable[[], object], str, str]] = [
    ("async", lambda: price.when(asks_async), "is async", "plain function"),
    ("no function", lambda: price.when(True), "cannot be called", "price.when(lambda inp"),
    ("two arguments", lambda: price.when(lambda one, two: True), "cannot be called", "price.when(lambda inp"),
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
        "takes a int, but step 'price' is conditional and may give None",
        "annotate it int | None",
    ),
    (
        "taken for granted by a join",
        use(
            lambda b, r: b.add_step(
                price, depends_on=(r, maybe(b)), step_id="again", input_map=lambda one, two: Order(one)
            )
        ),
        "",
        "",
    ),
]


@pytest.mark.parametrize("make, fact, mend", [case[1:] for case in CONDITIONS], ids=[case[0] for case in CONDITIONS])
def test_what_cannot_be_a_condition_is_refused(make: Callable[[], object], fact: str, mend: str) -> None:
    if not fact:  # nothing says what it takes: that is for the checkers
        make()
        return
    with pytest.raises(SagaDefinitionError) as refusal:
        make()
    assert fact in refusal.value.fact
    assert mend in (refusal.value.hint or "")


def test_what_says_that_it_takes_none_is_accepted() -> None:
    use(lambda b, r: b.add_step(price, depends_on=maybe(b), step_id="again", input_map=takes_none))()


# --- fan-outs


def many(builder: SagaBuilder, **options) -> StepRef[list[int]]:
    listed = builder.add_step(step(list_orders), depends_on=builder.initial)
    return builder.add_step(price.each(concurrency=2), depends_on=listed, **options)


async def list_orders(order: Order) -> list[Order]:
    return [order]


async def list_names(order: Order) -> list[str]:
    return [order.order_id]


async def take_ints(cents: list[int]) -> None: ...


FAN_OUTS: list[tuple[str, Callable[[], object], str, str]] = [
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


@pytest.mark.parametrize("make, fact, mend", [case[1:] for case in FAN_OUTS], ids=[case[0] for case in FAN_OUTS])
def test_what_cannot_be_a_fan_out_is_refused(make: Callable[[], object], fact: str, mend: str) -> None:
    with pytest.raises(SagaDefinitionError) as refusal:
        make()
    assert fact in refusal.value.fact
    assert mend in (refusal.value.hint or "")


def test_a_list_is_taken_and_given() -> None:
    def wire(b: SagaBuilder, r: StepRef[Reserved]) -> None:
        b.add_step(step(take_ints), depends_on=many(b))

    use(wire)()
