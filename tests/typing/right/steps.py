"""Every way to make a step: its types are found out, nothing is annotated twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Generic, TypeVar, assert_type

from returns.result import Failure, Result, Success
from typing_extensions import override

from saga_fn import (
    BaseStep,
    Done,
    ExponentialRetry,
    FixedRetry,
    NoRetry,
    NotDone,
    RetryPolicy,
    Step,
    StepContext,
    StepOptions,
    step,
)
from tests.typing.shop import (
    ChargeCard,
    Charged,
    ChargeInput,
    Order,
    Payments,
    Reserved,
    ReserveInput,
    ReserveInventory,
    do_charge,
    do_reserve,
    do_reserve_with_context,
    find_charge,
    find_charge_by_key,
    refund,
    refund_perhaps,
    refund_perhaps_with_context,
    release,
    release_with_context,
    reserve,
    try_charge,
)

T = TypeVar("T")


@step
async def plain(inp: Order) -> Charged:
    return Charged(inp.order_id)


@step
async def with_context(inp: Order, ctx: StepContext) -> Charged:
    return Charged(ctx.idempotency_key + inp.order_id)


@step
async def may_refuse(inp: Order) -> Result[Charged, str]:
    return Success(Charged(inp.order_id)) if inp.order_id else Failure("no order")


@step(compensate=release)
async def undone(inp: ReserveInput) -> Reserved:
    return Reserved(inp.order_id)


@step(compensate=release_with_context, timeout=timedelta(seconds=3))
async def undone_with_context(inp: ReserveInput, ctx: StepContext) -> Reserved:
    return Reserved(ctx.step_id + inp.order_id)


@step(timeout=None, retry_policy=FixedRetry(max_attempts=3, delay=timedelta(seconds=1)))
async def with_options(inp: Order) -> Charged:
    return Charged(inp.order_id)


@step(step_id="shy", compensation_retry_policy=NoRetry(), compensation_timeout=timedelta(seconds=1))
async def refusing_with_options(inp: Order, ctx: StepContext) -> Result[Charged, Exception]:
    return Success(Charged(inp.order_id + ctx.trace_id))


class DeclinedError(Exception): ...


@step(
    pivot=True,
    retry_on=ConnectionRefusedError,
    give_up_on=DeclinedError,
    unknown_on=(ConnectionError, KeyError),
    retry_policy=ExponentialRetry(base_delay=timedelta(seconds=1), within=timedelta(minutes=10)),
)
async def with_errors(inp: Order) -> Charged:
    return Charged(inp.order_id)


@step(compensate=refund_perhaps, on_unknown="undo", retry_policy=NoRetry())
async def undone_in_doubt(inp: ChargeInput) -> Charged:
    return Charged(inp.reservation_id)


@step(probe=find_charge, probe_timeout=timedelta(seconds=1))
async def found_out(inp: ChargeInput) -> Charged:
    return Charged(inp.reservation_id)


@step(compensate=refund, probe=find_charge_by_key, probe_retry_policy=FixedRetry(max_attempts=3))
async def found_out_and_undone(inp: ChargeInput, ctx: StepContext) -> Result[Charged, str]:
    return Success(Charged(ctx.idempotency_key))


@step(compensate=refund_perhaps, unknown_retry_policy=FixedRetry(max_attempts=3), business_error_settles=True)
async def undone_with_or_without(inp: ChargeInput) -> Charged:
    return Charged(inp.reservation_id)


@step(compensate=refund_perhaps)
async def may_charge_nothing(inp: ChargeInput) -> Charged | None:
    return None


class ChargeInDoubt(BaseStep[ChargeInput, Charged]):
    @override
    async def execute(self, inp: ChargeInput, /) -> Charged:
        return Charged(inp.reservation_id)

    @override
    async def compensate(self, inp: ChargeInput, out: Charged | None, /) -> None: ...

    @override
    async def probe(self, inp: ChargeInput, /) -> Done[Charged] | NotDone:
        return Done(Charged(inp.reservation_id))


assert_type(undone_in_doubt, Step[ChargeInput, Charged])
assert_type(undone_with_or_without, Step[ChargeInput, Charged])
assert_type(may_charge_nothing, Step[ChargeInput, Charged | None])
assert_type(step(do_charge, compensate=refund_perhaps), Step[ChargeInput, Charged])
assert_type(step(do_charge, compensate=refund_perhaps, probe=find_charge), Step[ChargeInput, Charged])
assert_type(found_out, Step[ChargeInput, Charged])
assert_type(found_out_and_undone, Step[ChargeInput, Charged])
assert_type(step(do_charge, on_unknown="park"), Step[ChargeInput, Charged])
assert_type(step(do_charge, compensate=refund, on_undo_failed="park"), Step[ChargeInput, Charged])
assert_type(step(do_charge, probe=find_charge), Step[ChargeInput, Charged])
assert_type(step(do_charge, compensate=refund, probe=find_charge), Step[ChargeInput, Charged])
assert_type(step(try_charge, probe=find_charge), Step[ChargeInput, Charged])
assert_type(step(do_charge, compensate=refund_perhaps_with_context, on_unknown="undo"), Step[ChargeInput, Charged])
assert_type(step(ChargeInDoubt()), Step[ChargeInput, Charged])
assert_type(step(ChargeInDoubt(), on_unknown="undo"), Step[ChargeInput, Charged])
assert_type(with_errors, Step[Order, Charged])
assert_type(step(do_charge, compensate=refund, give_up_on=(DeclinedError, KeyError)), Step[ChargeInput, Charged])
assert_type(plain, Step[Order, Charged])
assert_type(with_context, Step[Order, Charged])
assert_type(may_refuse, Step[Order, Charged])
assert_type(undone, Step[ReserveInput, Reserved])
assert_type(undone_with_context, Step[ReserveInput, Reserved])
assert_type(with_options, Step[Order, Charged])
assert_type(refusing_with_options, Step[Order, Charged])

assert_type(step(do_reserve), Step[ReserveInput, Reserved])
assert_type(step(do_reserve, compensate=release), Step[ReserveInput, Reserved])
assert_type(step(do_reserve, compensate=release_with_context), Step[ReserveInput, Reserved])
assert_type(step(do_reserve_with_context, compensate=release), Step[ReserveInput, Reserved])
assert_type(step(do_charge, compensate=refund, retry_policy=NoRetry()), Step[ChargeInput, Charged])
assert_type(step(try_charge), Step[ChargeInput, Charged])

payments = Payments()
assert_type(step(payments.charge), Step[ChargeInput, Charged])
assert_type(step(payments.charge, compensate=payments.refund), Step[ChargeInput, Charged])
assert_type(step(ReserveInventory()), Step[ReserveInput, Reserved])
assert_type(step(ChargeCard(), step_id="card"), Step[ChargeInput, Charged])


class Twice(BaseStep[T, list[T]], Generic[T]):
    @override
    async def execute(self, inp: T, /) -> list[T]:
        return [inp, inp]


class TwiceOrder(Twice[Order]): ...


assert_type(step(TwiceOrder()), Step[Order, list[Order]])

patience = StepOptions(timeout=timedelta(seconds=1))
assert_type(step(do_charge, **patience), Step[ChargeInput, Charged])

policy: RetryPolicy = ExponentialRetry(max_attempts=3, base_delay=timedelta(seconds=5), max_delay=None, jitter=0.5)
assert_type(step(do_charge, retry_policy=policy), Step[ChargeInput, Charged])


async def isolated() -> None:
    assert_type(await reserve.execute(ReserveInput("1")), Reserved)
    assert_type(await may_refuse.execute(Order("1")), Charged)
    await reserve.compensate(ReserveInput("1"), Reserved("r"))
