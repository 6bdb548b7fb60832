from __future__ import annotations

from datetime import timedelta
from typing import Any, Generic, NewType, TypeVar
from uuid import uuid4

import pytest
from returns.primitives.exceptions import UnwrapFailedError
from returns.result import Failure, Result, Success
from typing_extensions import override

from saga_fn import (
    NOT_DONE,
    BaseStep,
    NotDone,
    SagaBuilder,
    Step,
    StepContext,
    TypeValidationError,
    step,
)
from saga_fn import (
    Done as Found,
)
from saga_fn.definition import CompiledStep
from tests.definition.shop import (
    ChargeCard,
    Charged,
    ChargeInput,
    Order,
    Reserved,
    ReserveInput,
    ReserveInventory,
    charge,
    release,
    reserve,
)

T = TypeVar("T")
untyped: Any = step  # Any: calls that the checkers would refuse


def bound(given: Any) -> CompiledStep:  # Any: steps of all types
    builder = SagaBuilder(Order)
    builder.add_step(given, input_map=lambda _: None)
    (binding,) = builder.build().steps.values()
    return binding


async def helper(inp: ReserveInput) -> Reserved:
    return Reserved(inp.order_id)


CONTEXT = StepContext(
    saga_id=uuid4(), saga_name="s", step_id="x", attempt=3, idempotency_key="k", trace_id="", deadline=None
)


# --- what a step is made of


def test_a_function_is_a_step() -> None:
    binding = bound(reserve)
    assert (binding.step_id, binding.input_type.tp, binding.output_type.tp) == ("reserve", ReserveInput, Reserved)
    assert binding.compensate is not None
    assert bound(charge).compensate is None


def test_the_default_id_is_the_name_in_snake_case() -> None:
    class HTTPCharge(ReserveInventory):
        pass

    assert [bound(ReserveInventory()).step_id, bound(HTTPCharge()).step_id] == ["reserve_inventory", "http_charge"]


def test_a_bound_method_is_a_step() -> None:
    class Payments:
        async def charge(self, inp: ChargeInput, ctx: StepContext, note: str = "") -> Charged:
            return Charged(f"{inp.reservation_id}{ctx.attempt}{note}")

        async def refund(self, inp: ChargeInput, out: Charged, ctx: StepContext) -> None: ...

    pay = Payments()
    binding = bound(step(pay.charge, compensate=pay.refund))
    assert binding.step_id == "charge"
    assert binding.compensate is not None


def test_a_class_is_compensable_if_it_overrides_compensate() -> None:
    assert bound(ReserveInventory()).compensate is not None
    assert bound(ChargeCard()).compensate is None


def test_a_compensation_and_a_probe_that_an_object_has_by_itself_are_its_steps_own() -> None:
    async def release(inp: ReserveInput, out: Reserved, /) -> None: ...

    async def find(inp: ReserveInput, /) -> Found[Reserved] | NotDone:
        return NOT_DONE

    class Reserve(BaseStep[ReserveInput, Reserved]):
        @override
        async def execute(self, inp: ReserveInput, /) -> Reserved:
            return Reserved(inp.order_id)

    given = Reserve()
    vars(given).update(compensate=release, probe=find)
    binding = bound(given)
    assert (binding.compensate is not None, binding.probe is not None) == (True, True)


def test_a_class_may_have_a_time_of_its_own() -> None:
    class Reserve(ReserveInventory):
        timeout = 3.5

    assert bound(Reserve()).timeout == 60


async def test_the_context_is_passed_to_those_who_ask() -> None:
    assert await bound(ChargeCard()).execute(ChargeInput("r"), CONTEXT) == Charged("r-3")
    assert await bound(charge).execute(ChargeInput("r"), CONTEXT) == Charged("p-r-100")


def test_types_come_through_generic_classes() -> None:
    class Fetch(BaseStep[T, list[T]], Generic[T]):
        @override
        async def execute(self, inp: T, /) -> list[T]:
            return [inp]

    class FetchOrder(Fetch[Order]):
        pass

    class FetchOrderAgain(FetchOrder):
        pass

    binding = bound(FetchOrderAgain())
    assert (binding.input_type.tp, binding.output_type.tp) == (Order, list[Order])


def test_the_output_of_a_step_that_returns_a_result_is_what_is_in_it() -> None:
    async def one(inp: Order) -> Result[Charged, str]:
        return Success(Charged(inp.order_id))

    async def two(inp: Order) -> Charged | Result[int, str]:
        return Charged(inp.order_id)

    assert bound(step(one)).output_type.tp == Charged
    assert bound(untyped(two)).output_type.tp == Charged | int


async def test_a_step_runs_alone() -> None:
    @step
    async def shy(inp: str) -> Result[str, int]:
        return Success(inp) if inp else Failure(7)

    assert await reserve.execute(ReserveInput("1")) == Reserved("r-1")
    assert await step(ChargeCard()).execute(ChargeInput("1")) == Charged("1-1")
    assert await shy.execute("x") == "x"
    with pytest.raises(UnwrapFailedError):
        await shy.execute("")
    await reserve.compensate(ReserveInput("1"), Reserved("r-1"))
    await charge.compensate(ChargeInput("1"), Charged("p"))


def test_options_of_the_wiring_override_those_of_the_step() -> None:
    slow: Step[ReserveInput, Reserved] = step(helper, compensate=release, timeout=timedelta(seconds=9), step_id="slow")
    builder = SagaBuilder(ReserveInput)
    builder.add_step(slow, depends_on=builder.initial)
    builder.add_step(slow, depends_on=builder.initial, step_id="quick", timeout=timedelta(seconds=1))
    builder.add_step(
        slow, depends_on=builder.initial, step_id="other", timeout=None, compensation_timeout=timedelta(seconds=2)
    )
    steps = builder.build().steps.values()
    assert [(s.step_id, s.timeout, s.compensation_timeout) for s in steps] == [
        ("slow", 9.0, 9.0),
        ("quick", 1.0, 1.0),
        ("other", None, 2.0),
    ]


def test_a_compensation_may_take_more_than_it_is_given() -> None:
    async def undo(inp: object, out: Reserved | None) -> None: ...

    async def do(inp: ReserveInput) -> Reserved:
        return Reserved(inp.order_id)

    assert bound(step(do, compensate=undo)).compensate is not None


def test_types_that_fit_need_no_map() -> None:
    OrderId = NewType("OrderId", str)

    def fed(tp: Any, wanted: Any) -> None:  # Any: types of all forms
        async def take(inp: object) -> None: ...

        take.__annotations__["inp"] = wanted
        builder: Any = SagaBuilder(tp)
        builder.add_step(untyped(take), depends_on=builder.initial)

    pairs: list[tuple[object, object]] = [
        (int, int),
        (int, int | None),
        (bool, int),
        (int, float),
        (list[int], list[int]),
    ]
    for given, wanted in pairs:
        fed(given, wanted)
    fed(OrderId, str)
    pairs = [(str, int), (int | None, int), (list[int], dict[str, int]), (Order, Charged)]
    for given, wanted in pairs:
        with pytest.raises(TypeValidationError, match="input_map"):
            fed(given, wanted)


def test_a_step_shows_what_it_is() -> None:
    assert isinstance(reserve, Step)
    assert "reserve" in repr(reserve)
