"""The laws of definitions of every shape: the engine, run by a World, ends each case as the core alone foretells it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from saga_fn import (
    NOT_DONE,
    Done,
    Event,
    FixedRetry,
    NotDone,
    SagaBuilder,
    SagaDefinition,
    StepContext,
    StepRef,
    TransactionalContext,
    any_of,
    saga,
    sleep,
    step,
)
from saga_fn.examples.branches import Journey, book
from saga_fn.testing import LawCase, LawNotJudgedError, World, laws

TWICE = FixedRetry(max_attempts=2, delay=timedelta(seconds=1))


class Order(msgspec.Struct, frozen=True):
    number: int = 1


class Paid(msgspec.Struct, frozen=True):
    cents: int = 900


paid = Event("paid", Paid)
refused = Event("refused", Paid)


async def undo(order: Order, out: Order) -> None: ...


async def undo_in_doubt(order: Order, out: Order | None) -> None: ...


@step(compensate=undo, compensation_retry_policy=TWICE)
async def first(order: Order) -> Order:
    return order


@step(compensate=undo_in_doubt, compensation_retry_policy=TWICE, on_unknown="undo")
async def turned_back(order: Order) -> Order:
    return order


@step(on_unknown="park")
async def left_to_a_person(order: Order) -> Order:
    return order


async def has_run(order: Order, ctx: StepContext) -> Done[Order] | NotDone:
    return NOT_DONE


@step(probe=has_run)
async def probed(order: Order) -> Order:
    return order


@step(pivot=True)
async def pivot(order: Order) -> Order:
    return order


@step
async def last(order: Order) -> Order:
    return order


@step
async def refuses(order: Order) -> Order:
    raise ValueError(order)


@step(transactional=True)
async def written(order: Order, ctx: TransactionalContext) -> Order:
    return order


@step(timeout=None, compensate=undo, compensation_retry_policy=TWICE)
async def endless(order: Order) -> Order:
    return order


@saga("in_doubt")
def in_doubt(order: StepRef[Order]) -> StepRef[Order]:
    return last(left_to_a_person(turned_back(first(order))))


@saga("past_its_pivot")
def past_its_pivot(order: StepRef[Order]) -> StepRef[Order]:
    return last(pivot(first(order)))


@saga("never_done")
def never_done(order: StepRef[Order]) -> StepRef[Order]:
    return refuses(endless(first(order)))


@saga("waits")
def waits(order: StepRef[Order]) -> StepRef[Order]:
    began = first(order)
    payment = paid.wait(order, correlate=lambda o: f"order-{o.number}", timeout=timedelta(days=1), after=began)
    sleep(timedelta(hours=1), after=payment)
    return last(began)


@saga("either", deadline=timedelta(days=2))
def either(order: StepRef[Order]) -> StepRef[Order]:
    began = first(order)
    any_of(paid, refused).wait(timeout=timedelta(days=1), after=began)
    return last(began)


@saga("diamond", order="graph")
def diamond(order: StepRef[Order]) -> StepRef[Order]:
    began = first(order)
    one, other = first(began, step_id="one"), endless(began)
    return last(one, other, using=lambda a, b: a)


@saga("cancelling", order="graph", siblings_on_failure="cancel")
def cancelling(order: StepRef[Order]) -> StepRef[Order]:
    one, other = first(order, step_id="one"), first(order, step_id="other")
    return last(one, other, using=lambda a, b: a)


@saga("sometimes", order="graph")
def sometimes(order: StepRef[Order]) -> StepRef[Order]:
    return last.when(lambda o: o.number > 1)(first(order), using=lambda o: o)  # type: ignore[return-value]


@saga("transactional")
def transactional(order: StepRef[Order]) -> StepRef[Order]:
    return last(written(first(order)))


def unnamed() -> SagaDefinition[Order, Order]:
    builder = SagaBuilder(Order)
    return builder.build(output=builder.add_step(first, depends_on=builder.initial))


def nothing(world: World) -> None:
    """Every step is called itself."""


def cases(definition: SagaDefinition[Any, Any], data: object, **sent: Any) -> list[Any]:
    name = definition.name or "unnamed"
    return [pytest.param(case, id=f"{name}: {case.id}") for case in laws(definition, nothing, data, **sent)]


ORDER = Order()
PAID = (paid, Paid(), "order-1")
WITHOUT_EVENT = cases(either, ORDER)
EVERY = [
    *cases(in_doubt, ORDER),
    *cases(past_its_pivot, ORDER),
    *cases(never_done, ORDER),
    *cases(waits, ORDER, events=[PAID]),
    *cases(either, ORDER, events=[(refused, Paid())]),
    *(each for each in WITHOUT_EVENT if "last" not in each.id),
    *cases(diamond, ORDER),
    *cases(cancelling, ORDER),
    *cases(sometimes, ORDER),
    *cases(sometimes, Order(2)),
    *cases(transactional, ORDER),
    *cases(unnamed(), ORDER),
    *(
        each for each in cases(book, Journey("j", ["ann", "bob"], 50)) if "always" not in each.id
    ),  # for a week, a try a time
]


@pytest.mark.parametrize("case", EVERY)
async def test_each_case_ends_as_the_core_says(case: LawCase) -> None:
    _ = await case.run()


@pytest.mark.parametrize("case", [each for each in WITHOUT_EVENT if "last" in each.id])
async def test_a_case_behind_a_wait_whose_event_is_not_given_is_not_judged(case: LawCase) -> None:
    with pytest.raises(
        LawNotJudgedError, match="waits for 'paid' or 'refused' before that, and no such event is given"
    ):
        _ = await case.run()


def test_a_fault_that_cannot_come_is_told() -> None:
    applies = {case.id: case for case in laws(book, nothing, Journey("j", [], 50))}
    assert not applies["crash after insure"]()
    assert not applies["seat twice"]()
    assert applies["room twice"]()
