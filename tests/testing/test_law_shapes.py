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
from saga_fn.testing import LawCase, LawError, LawNotJudgedError, World, laws
from tests.support.law_cases import hold, law_cases

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


@saga("turned_back_alone")
def turned_back_alone(order: StepRef[Order]) -> StepRef[Order]:
    return turned_back(order)


@saga("waits_alone")
def waits_alone(order: StepRef[Order]) -> None:
    paid.wait(timeout=timedelta(days=1), after=first(order))


@saga("waits_on", deadline=timedelta(days=1))
def waits_on(order: StepRef[Order]) -> None:
    one = paid.wait(timeout=timedelta(hours=20), default=Paid(), after=first(order))
    refused.wait(timeout=timedelta(hours=20), default=Paid(), after=one)


@saga("turns_in_the_middle")
def turns_in_the_middle(order: StepRef[Order]) -> None:
    last(first(order), step_id="middle")
    last.when(lambda o: o.number > 1)(order, step_id="never")


def unnamed() -> SagaDefinition[Order, Order]:
    builder = SagaBuilder(Order)
    return builder.build(output=builder.add_step(first, depends_on=builder.initial))


def nothing(world: World) -> None:
    """Every step is called itself."""


ORDER = Order()
PAID_AT_ALL = (paid, Paid())
PAID = (paid, Paid(), "order-1")
WITHOUT_EVENT = law_cases(either, nothing, ORDER, unjudged="last")
NOT_TAKEN = "last|undo of first"
"""The cases of a saga that does not take its last step, which is all that could turn it back."""
EVERY = [
    *law_cases(in_doubt, nothing, ORDER),
    *law_cases(past_its_pivot, nothing, ORDER),
    *law_cases(never_done, nothing, ORDER, unjudged="commit of refuses"),
    *law_cases(waits, nothing, ORDER, events=[PAID]),
    *law_cases(either, nothing, ORDER, events=[(refused, Paid())]),
    *WITHOUT_EVENT,
    *law_cases(diamond, nothing, ORDER),
    *law_cases(cancelling, nothing, ORDER),
    *law_cases(sometimes, nothing, ORDER, unjudged=NOT_TAKEN),
    *law_cases(sometimes, nothing, Order(2)),
    *law_cases(transactional, nothing, ORDER),
    *law_cases(unnamed(), nothing, ORDER),
    *law_cases(turned_back_alone, nothing, ORDER),
    *law_cases(waits_alone, nothing, ORDER, events=[PAID_AT_ALL]),
    *law_cases(waits_on, nothing, ORDER, events=[PAID_AT_ALL, (refused, Paid())]),
    *law_cases(turns_in_the_middle, nothing, ORDER, unjudged="never"),
    *(
        each  # the others go on for a week, a try a time
        for each in law_cases(book, nothing, Journey("j", ["ann", "bob"], 50), unjudged="insure")
        if "always" not in str(each.id)
    ),
]


@pytest.mark.parametrize("case, is_judged", EVERY)
async def test_each_case_ends_as_the_core_says(case: LawCase, is_judged: bool) -> None:
    await hold(case, is_judged=is_judged)


@pytest.mark.parametrize("case, is_judged", [each for each in WITHOUT_EVENT if "last" in str(each.id)])
async def test_a_case_behind_a_wait_whose_event_is_not_given_is_not_judged(case: LawCase, is_judged: bool) -> None:
    assert not is_judged
    with pytest.raises(
        LawNotJudgedError, match="waits for 'paid' or 'refused' before that, and no such event is given"
    ):
        await case.run()


UNDONE = {
    "undo of first twice",
    "crash in the undo of first",
    "late answer of the undo of first",
    "undo of first fails once",
    "undo of first fails always",
}


@pytest.mark.parametrize(
    "definition, given, turned_back_by",
    [
        (waits_alone, [PAID_AT_ALL], "world.run(past_waits=True)"),
        (waits_on, [PAID_AT_ALL, (refused, Paid())], "world.run(past_waits=True)"),
        (turns_in_the_middle, [], "world.fake('middle', raises=RuntimeError("),
    ],
    ids=["a wait", "the deadline", "the last step that is called"],
)
@pytest.mark.parametrize("wanted", sorted(each for each in UNDONE if "fails" not in each))
def test_an_undo_has_its_cases_whatever_turns_the_saga_back(
    definition: SagaDefinition[Order, Any], given: list[Any], turned_back_by: str, wanted: str
) -> None:
    def never_undone(world: World) -> None:
        world.fake_undo("first", raises=AssertionError("it is called"))

    found = {case.id: case for case in laws(definition, never_undone, ORDER, events=given)}
    assert found.keys() >= UNDONE
    with pytest.raises(LawError, match="it is called") as broken:
        found[wanted]()
    assert turned_back_by in broken.value.history


def test_a_late_worker_befalls_an_item_of_a_fan_out() -> None:
    (case,) = [
        each for each in laws(book, nothing, Journey("j", ["ann", "bob"], 50)) if each.id == "late worker at seat"
    ]
    case()


def test_a_case_of_a_step_that_is_not_taken_says_so_and_does_not_pass() -> None:
    known = {case.id: case for case in laws(book, nothing, Journey("j", [], 50))}
    for wanted, untaken in (("crash after insure", "insure"), ("seat twice", "seat"), ("undo of seat twice", "seat")):
        with pytest.raises(LawNotJudgedError, match=f"does not take step '{untaken}'"):
            known[wanted]()
    known["room twice"]()


def test_an_undo_that_nothing_brings_says_so_and_does_not_pass() -> None:
    known = {case.id: case for case in laws(sometimes, nothing, ORDER)}
    with pytest.raises(LawNotJudgedError, match="nothing that the laws do turns the saga back once 'first' is done"):
        known["undo of first twice"]()
