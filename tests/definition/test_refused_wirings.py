# type: ignore  # noqa: PGH003 - every case is a mistake that the checkers refuse; here it is made at run time
"""What cannot be wired or traced, and what the refusal advises."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from saga_fn import Event, FixedRetry, SagaBuilder, SagaDefinitionError, StepRef, saga, step
from tests.definition.refusal import Cases, each_of, other_ref, refused, use
from tests.definition.shop import ChargeInput, Order, charge, price, reserve


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


WIRINGS: Cases = [
    ("empty", lambda: SagaBuilder(Order).build(), "at least one step", "add_step"),
    ("an unknown order", use(lambda b, r: None, order="random"), "order must be", ""),
    ("unknown siblings", use(lambda b, r: None, siblings_on_failure="stop"), "'await' or 'cancel'", "'await' lets"),
    ("siblings of none", use(lambda b, r: None, siblings_on_failure="cancel"), "one step runs after another", "graph"),
    ("the same id twice", use(lambda b, r: b.add_step(reserve, input_map=to_charge)), "already", "step_id="),
    ("an empty id", use(lambda b, r: b.add_step(charge, depends_on=r, input_map=to_charge, step_id="")), "ASCII", ""),
    ("a long id", use(lambda b, r: b.add_step(price, depends_on=b.initial, step_id="x" * 65)), "64", "step_id="),
    ("an id with NUL", use(lambda b, r: b.add_step(price, depends_on=b.initial, step_id="\0")), "printable", ""),
    ("an id of no text", use(lambda b, r: b.add_step(price, depends_on=b.initial, step_id=3)), "printable", ""),
    (
        "what is tried again, and not how often",
        lambda: SagaBuilder(ChargeInput).add_step(charge, retry_on=ConnectionRefusedError),
        "step 'charge' has retry_on, but no retry_policy",
        "give it retry_policy=",
    ),
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
        "the input_map (using) of step 'charge' cannot be called with 1 argument",
        "in the same order",
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
    (
        "a circle",
        use(lambda b, r: b.add_step(price, depends_on=b.initial, after=StepRef(b, "later"))),
        "depends on step 'later', which is not there",
        "add first what a step depends on",
    ),
    (
        "itself",
        use(lambda b, r: b.add_step(price, depends_on=StepRef(b, "price"))),
        "'price' depends on step 'price', which is not there",
        "no steps wait for each other",
    ),
    (
        "a wait of a compensation that there is not",
        use(lambda b, r: b.add_step(price, depends_on=b.initial, compensation_waits_for=Event("paid", int))),
        "compensation_waits_for, but no compensation",
        "give compensate=",
    ),
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


@each_of(WIRINGS)
def test_what_cannot_be_wired_is_refused(make: Callable[[], object], fact: str, mend: str) -> None:
    refused(make, fact, mend)


# Traced sagas.


async def take_int(cents: int) -> None: ...


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


def traced_value(order: StepRef[Order]) -> None:
    price(Order("7"))


def traced_tuple(order: StepRef[Order]) -> None:
    price((order, order), using=lambda one, two: one)


def traced_misspelt(order: StepRef[Order]) -> None:
    price(order, usign=str)


TRACED: Cases = [
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
    ("a misspelt using", trace(traced_misspelt), "unknown step option usign", "and using"),
    ("refs in a tuple", trace(traced_tuple), "not a StepRef", "one by one"),
    ("a value for a ref", trace(traced_value), "not a StepRef", "await price.execute(value)"),
    ("outside of a saga", lambda: price(other_ref()), "outside of a @saga", "add_step"),
]


@each_of(TRACED)
def test_what_cannot_be_traced_is_refused(make: Callable[[], object], fact: str, mend: str) -> None:
    leaked[:] = [other_ref()]
    refused(make, fact, mend)


def test_after_a_failed_trace_no_saga_is_being_traced() -> None:
    with pytest.raises(SagaDefinitionError):
        trace(traced_if)()
    with pytest.raises(SagaDefinitionError, match="outside of a @saga"):
        price(other_ref())


def test_the_policy_of_what_is_tried_again_may_stand_where_the_step_is_wired() -> None:
    builder = SagaBuilder(ChargeInput)
    builder.add_step(step(charge, retry_on=ConnectionRefusedError), retry_policy=FixedRetry(max_attempts=3))
    (planned,) = builder.build().plan.steps
    assert planned.retry.attempts == 3
