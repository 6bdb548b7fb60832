"""Laws judge no good definition to be wrong, whatever its branches, its doubts and its waits; and they still find what is wrong."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from returns.result import Result, Success

from saga_fn import (
    NOT_DONE,
    Done,
    FixedRetry,
    NotDone,
    OutcomeUnknown,
    RetryLater,
    SagaDefinition,
    StepContext,
    StepRef,
    TransactionalContext,
    saga,
    step,
)
from saga_fn.examples import waiting_undo
from saga_fn.testing import LawCase, LawError, LawNotJudgedError, World, laws
from tests.support.law_cases import hold, law_cases

TWICE = FixedRetry(max_attempts=2, delay=timedelta(seconds=1))


class Order(msgspec.Struct, frozen=True):
    items: tuple[str, ...] = ("x", "y")


async def undo(order: Order, out: Order | None) -> None: ...


async def undo_item(item: str, out: str | None) -> None: ...


@step
async def last(order: Order) -> Order:
    return order


@step
async def busy_at_first(order: Order, ctx: StepContext) -> Order:
    if ctx.attempt == 1:
        raise RetryLater(timedelta(seconds=30))
    return order


async def is_there(order: Order) -> Done[Order] | NotDone:
    return Done(order)


@step(probe=is_there)
async def never_sure(order: Order) -> Order:
    raise OutcomeUnknown("no answer")


@step(compensate=undo, compensation_retry_policy=TWICE)
async def branch(order: Order) -> Order:
    return order


@step(compensate=undo, compensation_retry_policy=TWICE)
async def slow_branch(order: Order) -> Order:
    await asyncio.sleep(0.001)
    return order


@step(compensate=undo, compensation_retry_policy=TWICE, on_unknown="undo")
async def turned_back(order: Order) -> Order:
    return order


async def found_none(order: Order) -> Done[Order] | NotDone:
    return NOT_DONE


@step(compensate=undo, compensation_retry_policy=TWICE, probe=found_none)
async def probed(order: Order) -> Order:
    return order


@step(compensate=undo_item, compensation_retry_policy=TWICE, retry_policy=TWICE)
async def item(name: str) -> str:
    await asyncio.sleep(0)
    return name


@saga("busy")
def busy(order: StepRef[Order]) -> StepRef[Order]:
    return last(busy_at_first(order))


@saga("unsure")
def unsure(order: StepRef[Order]) -> StepRef[Order]:
    return last(never_sure(order))


@saga("doubt_beside_others", order="graph")
def doubt_beside_others(order: StepRef[Order]) -> StepRef[Order]:
    one, other, third = branch(order), turned_back(order), probed(order)
    return last(one, other, third, using=lambda a, b, c: a)


@saga("items_beside_a_branch", order="graph", siblings_on_failure="cancel")
def items_beside_a_branch(order: StepRef[Order]) -> StepRef[Order]:
    items = item.each(concurrency=2)(order, using=lambda o: o.items)
    one, other = branch(order), slow_branch(order)
    return last(one, other, items, using=lambda a, b, c: a)


def nothing(world: World) -> None:
    """Every step is called itself."""


REFUNDED = waiting_undo.refunded, waiting_undo.Refund(accepted=True), "payment-of-1"


NEVER_SURE = "commit of never_sure|says yes"
"""It never answers, so its success is never stored, and a probe has no output to lie of."""
TICKET = waiting_undo.Order("1")
GOOD = [
    *law_cases(busy, nothing, Order()),
    *law_cases(unsure, nothing, Order(), unjudged=NEVER_SURE),
    *law_cases(doubt_beside_others, nothing, Order()),
    *law_cases(items_beside_a_branch, nothing, Order()),
    *law_cases(waiting_undo.sell_ticket, nothing, TICKET, events=[REFUNDED], unjudged="commit of seat"),
    *law_cases(waiting_undo.sell_ticket, nothing, TICKET, unjudged="commit of seat"),
]


@pytest.mark.parametrize("case, is_judged", GOOD)
async def test_a_good_definition_keeps_its_laws(case: LawCase, is_judged: bool) -> None:
    await hold(case, is_judged=is_judged)


@pytest.mark.parametrize("definition", [busy, unsure], ids=lambda each: each.name)
def test_the_cases_of_what_comes_after_a_passing_failure_apply(definition: SagaDefinition[Order, Order]) -> None:
    after = [case for case in laws(definition, nothing, Order()) if "last" in case.id]
    assert len(after) > 5
    for case in after:
        case()


async def unbook(order: Order, out: Order, ctx: TransactionalContext) -> None: ...


@step(transactional=True, compensate=unbook)
async def booked(order: Order, ctx: TransactionalContext) -> Order:
    return order


@saga("rows")
def rows(order: StepRef[Order]) -> StepRef[Order]:
    return last(booked(order))


def test_a_fake_that_counts_the_rows_of_a_transactional_step_breaks_no_law() -> None:
    def put(world: World) -> Callable[[], object]:
        written: list[Order] = []

        def write(order: Order) -> Order:
            written.append(order)
            return order

        world.fake(booked, write)
        world.fake_undo(booked, lambda order, out: written.remove(order))
        return lambda: len(written)

    for case in laws(rows, put, Order(), only_fakes=False):
        case()


# What is wrong, and is still found.


def first_broken(definition: SagaDefinition[Order, Any], put: Callable[[World], None], *ids: str) -> str:
    """How the first of those cases breaks a law."""
    for case in laws(definition, put, Order(), only_fakes=False):
        if case.id in ids:
            try:
                case()
            except LawError as error:
                return str(error).splitlines()[0]
    return "none is broken"


def test_a_probe_that_tells_of_another_output_breaks_a_law() -> None:
    def put(world: World) -> None:
        world.fake(probed, lambda order: order)
        world.fake_probe(probed, lambda order: Done(Order(("another",))))

    told = first_broken(doubt_beside_others, put, "crash after probed")
    assert "under a key under which the step had returned something else" in told


@step
async def answers_by_chance(order: Order) -> Result[str, str]:
    return Success(str(uuid4()))


@saga("by_chance")
def by_chance(order: StepRef[Order]) -> StepRef[str]:
    return answers_by_chance(order)


def test_a_success_that_is_another_each_time_breaks_a_law() -> None:
    assert "under a key under which it had returned" in first_broken(by_chance, nothing, "answers_by_chance twice")


def after_the_first(error: Exception) -> Callable[[Order, StepContext], Order]:
    seen: list[str] = []

    def answer(value: Order, ctx: StepContext) -> Order:
        seen.append(ctx.step_id)
        if seen.count(ctx.step_id) > 1:
            raise error
        return value

    return answer


def test_a_branch_that_refuses_a_repeat_breaks_a_law() -> None:
    def put(world: World) -> None:
        refuse = after_the_first(ValueError("known already"))
        world.fake(branch, refuse)

    told = first_broken(doubt_beside_others, put, "crash after branch", "branch twice")
    assert "branch failed, and nothing explains that" in told


def test_an_undo_beside_others_that_refuses_a_repeat_breaks_a_law() -> None:
    def put(world: World) -> None:
        refuse = after_the_first(ValueError("undone already"))
        world.fake_undo(branch, lambda order, out, ctx: (refuse(out, ctx), None)[1])

    told = first_broken(doubt_beside_others, put, "undo of branch twice")
    assert "undo branch failed, and nothing explains that" in told


@step(retry_policy=FixedRetry(max_attempts=3, delay=timedelta(seconds=1)), give_up_on=PermissionError)
async def moody(order: Order) -> Order:
    raise AssertionError(order)


@saga("of_moods")
def of_moods(order: StepRef[Order]) -> StepRef[Order]:
    return moody(order)


def test_a_case_that_cannot_be_foretold_is_shown_as_skipped() -> None:
    def put(world: World) -> None:
        calls: list[int] = []

        def answer(order: Order, ctx: StepContext) -> Order:
            calls.append(ctx.attempt)
            if len(calls) == 1:
                raise ValueError if ctx.attempt == 1 else PermissionError
            return order

        world.fake(moody, answer)

    known = {each.id: each for each in laws(of_moods, put, Order())}
    known["undisturbed"]()
    with pytest.raises(LawNotJudgedError, match="moody failed, which cannot be foretold") as raised:
        known["crash before moody"]()
    assert isinstance(raised.value, unittest.SkipTest)
    assert raised.value.case == "crash before moody"
