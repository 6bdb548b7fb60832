from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga_fn import (
    Event,
    InputContext,
    SagaBuilder,
    SagaDefinition,
    SagaDefinitionError,
    StepRef,
    TypeValidationError,
    WaitFor,
    any_of,
    saga,
    step,
)
from saga_fn.core.ids import StepId
from saga_fn.definition import INITIAL
from tests.definition.shop import Charged, ChargeInput, Order, Reserved, ReserveInput, charge, price, reserve


def context(initial: object, **outputs: object) -> InputContext[Any]:  # Any: sagas of all types
    return InputContext(
        saga_id=uuid4(), initial_data=initial, step_outputs={StepId(step): out for step, out in outputs.items()}
    )


@attrs.frozen
class Seen:
    """What is known of a saga is its InputContext."""

    whole: InputContext[Any]  # Any: as above

    def output(self, ref: StepRef[Any]) -> object:  # Any: as above
        return self.whole.output(ref)


def chained(order: Any = "sequential") -> SagaDefinition[Order, Charged]:  # Any: wrong ones too
    builder = SagaBuilder(Order, order=order)
    reserved = builder.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data.order_id))
    priced = builder.add_step(price, depends_on=builder.initial)
    charged = builder.add_step(
        charge, depends_on=(reserved, priced), input_map=lambda r, cents: ChargeInput(r.reservation_id, cents)
    )
    return builder.build(output=charged)


def test_sequential_steps_follow_each_other() -> None:
    definition = chained()
    assert [(p.step, p.after) for p in definition.plan.steps] == [
        ("reserve", ()),
        ("price", ("reserve",)),
        ("charge", ("price",)),
    ]
    assert [p.compensable for p in definition.plan.steps] == [True, False, False]
    assert (definition.output, definition.output_type.tp, definition.initial_type.tp) == ("charge", Charged, Order)


def test_steps_of_a_graph_follow_what_they_name() -> None:
    assert [(p.step, p.after) for p in chained("graph").plan.steps] == [
        ("reserve", ()),
        ("price", ()),
        ("charge", ("reserve", "price")),
    ]


def test_inputs_are_made_of_outputs() -> None:
    steps = chained().steps
    given_ = context(Order("7"), reserve=Reserved("r"), price=5)
    assert steps[StepId("reserve")].map_input(Seen(given_)) == ReserveInput("7")
    assert steps[StepId("price")].map_input(Seen(given_)) == Order("7")
    assert steps[StepId("charge")].map_input(Seen(given_)) == ChargeInput("r", 5)


def test_in_a_graph_only_declared_outputs_can_be_read() -> None:
    builder = SagaBuilder(Order, order="graph")
    reserved = builder.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data.order_id))
    priced = builder.add_step(price, depends_on=builder.initial)

    def read(ctx: InputContext[Order]) -> ChargeInput:
        assert "price" not in ctx.step_outputs
        assert ctx.output(builder.initial) == Order("7")
        return ChargeInput(ctx.output(reserved).reservation_id)

    builder.add_step(charge, input_map=read, after=reserved)
    builder.add_step(charge, input_map=lambda ctx: ChargeInput("", ctx.output(priced)), step_id="second")
    builder.add_step(charge, input_map=read, after=(reserved, priced), step_id="third")
    definition = builder.build()
    done = context(Order("7"), reserve=Reserved("r"), price=5)
    assert definition.steps[StepId("charge")].map_input(Seen(done)) == ChargeInput("r")
    assert definition.plan.step(StepId("charge")).after == ("reserve",)
    assert definition.plan.step(StepId("third")).after == ("reserve", "price")
    with pytest.raises(SagaDefinitionError, match="after="):
        definition.steps[StepId("second")].map_input(Seen(done))


def test_an_output_that_is_not_there_yet_is_refused() -> None:
    builder = SagaBuilder(Order)
    ref = builder.add_step(price, depends_on=builder.initial)
    with pytest.raises(SagaDefinitionError, match="before"):
        context(Order("7")).output(ref)


def test_the_seeds_context_in_one_dict() -> None:
    found = context(Order("7"), price=5).context
    assert (found["initial_data"], found["step_outputs"]) == (Order("7"), {"price": 5})


def test_a_saga_of_any_dict() -> None:
    builder = SagaBuilder()
    builder.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data["order_id"]))
    definition = builder.build()
    assert definition.initial_type.decode(b'{"order_id": "7"}') == {"order_id": "7"}
    assert (definition.output, definition.output_type.decode(b"null")) == (None, None)


def test_the_initial_data_can_be_the_result() -> None:
    builder = SagaBuilder(Order)
    builder.add_step(price, depends_on=builder.initial)
    definition = builder.build(output=builder.initial)
    assert (definition.output, definition.output_type.tp) == (INITIAL, Order)


def test_without_a_map_the_first_step_takes_the_initial_data() -> None:
    builder: Any = SagaBuilder(Order)  # Any: the checkers ask for depends_on=builder.initial
    builder.add_step(price)
    assert builder.build().steps["price"].map_input(Seen(context(Order("7")))) == Order("7")


def test_a_definition_cannot_be_changed() -> None:
    definition: Any = chained()  # Any: what the checkers would refuse
    with pytest.raises(AttributeError):
        definition.name = "other"
    with pytest.raises(TypeError):
        definition.steps["reserve"] = None


def test_at_most_a_hundred_steps() -> None:
    builder = SagaBuilder(Order)
    for number in range(100):
        builder.add_step(price, depends_on=builder.initial, step_id=f"{'x' * 60}{number}")
    with pytest.raises(SagaDefinitionError, match="100"):
        builder.add_step(price, depends_on=builder.initial)
    assert len(builder.build().steps) == 100


def test_a_refused_step_leaves_the_builder_as_it_was() -> None:
    builder: Any = SagaBuilder(Order)  # Any: what the checkers would refuse
    with pytest.raises(TypeValidationError):
        builder.add_step(charge)
    builder.add_step(price)
    assert list(builder.build().steps) == ["price"]


# --- the traced form


def test_a_traced_saga() -> None:
    @saga("create_order")
    def create_order(order: StepRef[Order]) -> StepRef[Charged]:
        reserved = reserve(order, using=lambda o: ReserveInput(o.order_id))
        priced = price(order)
        return charge(reserved, priced, using=lambda r, cents: ChargeInput(r.reservation_id, cents))

    assert create_order.name == "create_order"
    assert create_order.plan == chained().plan


def test_a_traced_saga_without_a_result() -> None:
    @saga("quiet", compensate_on_failure=False, order="graph")
    def quiet(order: StepRef[Order]) -> None:
        first = price(order)
        price(order, after=first, step_id="again")

    assert quiet.output is None
    assert not quiet.plan.data.compensate_on_failure
    assert quiet.plan.step(StepId("again")).after == ("price",)


# --- both spellings mean the same


@step
async def add(numbers: list[int]) -> int:
    return sum(numbers)


@given(
    shape=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=5, unique=True), min_size=1, max_size=8),
    graph=st.booleans(),
    on_failure=st.booleans(),
    result=st.booleans(),
)
def test_a_traced_saga_is_what_the_builder_builds(
    shape: list[list[int]], graph: bool, on_failure: bool, result: bool
) -> None:
    """A saga of random wiring: each step sums up to five of what came before it (0 is the initial data)."""
    order: Any = "graph" if graph else "sequential"  # Any: one of the two literals

    def total(*values: int) -> list[int]:
        return list(values)

    def wire(initial: Any, put: Callable[[tuple[Any, ...], str], Any]) -> Any:  # Any: refs in a list lose their types
        refs = [initial]
        for place, sources in enumerate(shape):
            refs.append(put(tuple(refs[source % len(refs)] for source in sources), f"s{place}"))
        return refs[-1] if result else None

    builder: Any = SagaBuilder(int, order=order, compensate_on_failure=on_failure)  # Any: as above
    last = wire(
        builder.initial, lambda refs, name: builder.add_step(add, depends_on=refs, input_map=total, step_id=name)
    )
    built_saga = builder.build(output=last) if result else builder.build()

    def traced_function(initial: StepRef[int]) -> Any:  # Any: as above
        caller: Any = add
        return wire(initial, lambda refs, name: caller(*refs, using=total, step_id=name))

    traced: Any = saga("s", order=order, compensate_on_failure=on_failure)(traced_function)
    assert traced.plan == built_saga.plan
    assert (traced.output, traced.output_type.tp) == (built_saga.output, built_saga.output_type.tp)
    assert list(traced.steps) == list(built_saga.steps)
    seen = context(1, **{f"s{place}": place + 2 for place in range(len(shape))})
    for one, other in zip(traced.steps.values(), built_saga.steps.values(), strict=True):
        assert one.map_input(Seen(seen)) == other.map_input(Seen(seen))
        assert (one.timeout, one.compensation_timeout) == (other.timeout, other.compensation_timeout)


async def undo_or_wait(inp: Order, out: Order) -> WaitFor | None:
    return None


@step(compensate=undo_or_wait)
async def pass_on(inp: Order) -> Order:
    return inp


def test_a_saga_whose_state_could_not_be_stored_is_refused_when_it_is_built() -> None:
    # Any: any_of's overloads end at four.
    answers: Any = Event("0".ljust(64, "e"), Reserved)
    for number in range(1, 12):
        answers = any_of(answers, Event(f"{number}".ljust(64, "e"), Reserved))
    builder = SagaBuilder(Order)
    for number in range(99):
        builder.add_step(
            pass_on,
            depends_on=builder.initial,
            step_id=f"{number}".ljust(64, "s"),
            compensation_waits_for=answers,
        )
    with pytest.raises(SagaDefinitionError, match=r"could take \d+,\d+ bytes, the limit is 65,536(.|\n)*fewer events"):
        builder.build()
