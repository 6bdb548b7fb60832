# type: ignore  # noqa: PGH003 - every case is a mistake that the checkers refuse; here it is made at run time
"""Waits and sleeps that could not be meant, refused when the saga is built, with what to do about it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from returns.result import Result, Success

from saga_fn import (
    BaseStep,
    Event,
    PayloadError,
    SagaBuilder,
    SagaDefinitionError,
    StepRef,
    TypeValidationError,
    WaitFor,
    any_of,
    saga,
    sleep,
    step,
)
from saga_fn.core.plan import OnTimeout, StepKind
from tests.definition.shop import Order, Reserved, reserve

HOUR = timedelta(hours=1)


class Approval(msgspec.Struct, frozen=True):
    by: str


class Other(msgspec.Struct, frozen=True):
    by: str


approval = Event("approval", Approval)
other = Event("other", Other)
namesake = Event("approval", Other)


def traced(wire: Callable[[StepRef[Order]], object]) -> None:
    @saga("traced")
    def trace(order: StepRef[Order]) -> None:
        wire(order)


async def undo(order: Order, out: Reserved) -> WaitFor | None:
    return WaitFor(approval)


async def reserved(order: Order) -> Reserved:
    return Reserved(order.order_id)


class Undoes(BaseStep[Order, Reserved]):
    async def execute(self, inp: Order, /) -> Reserved:
        return Reserved(inp.order_id)

    async def compensate(self, inp: Order, out: Reserved, /) -> WaitFor | None:
        return WaitFor(approval)


async def asks(order: Order) -> WaitFor:
    return WaitFor(approval)


async def may_ask(order: Order) -> Result[Order | WaitFor, str]:
    return Success(WaitFor(approval))


class MayAsk(BaseStep[Order, Order | WaitFor]):
    async def execute(self, inp: Order, /) -> WaitFor:
        return WaitFor(approval)


def built(make: Callable[[SagaBuilder], object], **options: object) -> object:
    builder = SagaBuilder(Order, **options)
    made = make(builder)
    builder.build()
    return made


REFUSED = {
    "a name that is none": (lambda _: Event("", Approval), "an event's name must be", 'Event("approval"'),
    "a name that is no string": (lambda _: Event(Approval, "approval"), "an event's name must be", 'Event("approval"'),
    "a negative timeout": (lambda b: b.add_event(approval, timeout=-HOUR), "timeout must be a positive", "hours=1"),
    "a timeout of nothing": (lambda b: b.add_event(approval, timeout=timedelta(0)), "must be a positive", "hours=1"),
    "a timeout over a year": (lambda b: b.add_event(approval, timeout=9000 * HOUR), "at most 365 days", "hours=1"),
    "a timeout that is a number": (lambda b: b.add_event(approval, timeout=5), "timeout must be", "timedelta(hours=1)"),
    "a default without a timeout": (
        lambda b: b.add_event(approval, default=Approval("x")),
        "has a default, but no timeout",
        "give timeout=",
    ),
    "no event": (lambda b: b.add_event("approval"), "'approval' is not an event", 'Event("approval", Approval)'),
    "a ref for nothing": (
        lambda b: b.add_event(approval, depends_on=b.initial),
        "not what to do with it",
        "correlate=lambda",
    ),
    "a correlation of the wrong shape": (
        lambda b: b.add_event(approval, correlate=lambda: "x"),
        "what the wait for it is about",
        "it is given one InputContext",
    ),
    "the same wait twice": (
        lambda b: (b.add_event(approval), b.add_event(approval)),
        "has a step 'approval' already",
        "step_id=",
    ),
    "one name for two types": (
        lambda b: (b.add_event(approval), b.add_event(namesake, step_id="again")),
        "event 'approval' brings Approval here and Other there",
        "the same Event object",
    ),
    "one name for two types, among others": (
        lambda b: (b.add_event(approval), b.add_event(any_of(Event("number", int), namesake))),
        "event 'approval' brings Approval here and Other there",
        "another name",
    ),
    "one name for two types, in a compensation": (
        lambda b: (
            b.add_event(approval),
            b.add_step(Undoes(), depends_on=b.initial, compensation_waits_for=namesake),
        ),
        "event 'approval' brings Approval here and Other there",
        "another name",
    ),
    "a compensation that waits for what is not said": (
        lambda b: b.add_step(step(reserved, compensate=undo), depends_on=b.initial),
        "the compensation of step 'reserved' may return a WaitFor",
        "compensation_waits_for=",
    ),
    "a class that waits for what is not said": (
        lambda b: b.add_step(Undoes(), depends_on=b.initial),
        "the compensation of step 'undoes' may return a WaitFor",
        "compensation_waits_for=",
    ),
    "a sleep of nothing at all": (lambda b: b.add_sleep(), "either a duration, or the moment", "sleep(until="),
    "a sleep of both": (lambda b: b.add_sleep(HOUR, until=b.initial), "either a duration", "sleep(until="),
    "a negative sleep": (lambda b: b.add_sleep(-HOUR), "must be a timedelta from 0 to 365 days", "hours=1"),
    "a sleep of a number": (lambda b: b.add_sleep(5), "must be a timedelta from 0 to 365 days", "hours=1"),
    "a moment known beforehand": (
        lambda b: b.add_sleep(until=datetime(2030, 1, 1, tzinfo=UTC)),
        "until must be a StepRef",
        "the initial data is one",
    ),
    "a duration with an input_map": (lambda b: b.add_sleep(HOUR, input_map=lambda _: None), "using is for", "until="),
    "one event of one": (lambda _: any_of(approval), "two or more different events", "any_of(approved, rejected)"),
    "one event twice": (lambda _: any_of(approval, approval), "two or more different events", "any_of("),
    "any of what is none": (lambda _: any_of(approval, "other"), "is not an event", "make one"),
    "a wait outside of a saga": (lambda _: approval.wait(), "outside of a @saga", "inside a function"),
    "a sleep outside of a saga": (lambda _: sleep(HOUR), "outside of a @saga", "inside a function"),
    "an event for each item": (lambda _: approval.each(concurrency=2), "has no 'each'", "an event that tells of all"),
    "any event for each item": (
        lambda _: any_of(approval, Event("number", int)).each(concurrency=2),
        "<any of the events approval, number> has no 'each'",
        "start a saga for each",
    ),
    "an event on a condition": (lambda _: approval.when(bool), "has no 'when'", "let a step before the wait send"),
    "a wait for each item": (
        lambda b: b.add_event(approval).each(concurrency=2),
        "has no 'each'",
        "of the step, before it is wired",
    ),
    "a sleep on a condition": (lambda b: b.add_sleep(HOUR).when(bool), "has no 'when'", "a sleep have neither"),
    "a loop over a list that is not there yet": (
        lambda b: [b.add_event(approval, step_id=str(each)) for each in b.initial],
        "cannot be iterated",
        "step.each(...)",
    ),
    "a text of what is not there yet": (
        lambda b: f"order {b.initial}",
        "StepRef(initial data) has no value while the saga is being built, so it cannot be put into a text",
        "make the text inside a step",
    ),
    "a comparison": (lambda b: b.initial == 3, "so it cannot be compared", "compare inside a step"),
    "a comparison by !=": (lambda b: b.initial != "paid", "so it cannot be compared", "compare inside a step"),
    "a look for it in a list": (lambda b: b.initial in [1, 2], "so it cannot be compared", "compare inside a step"),
    "a text by str()": (lambda b: str(b.initial), "cannot be put into a text", "make the text inside a step"),
    "a text by %": (lambda b: "order %s" % b.initial, "cannot be put into a text", "make the text inside"),  # noqa: UP031
    "a text by format()": (lambda b: "{:>9}".format(b.initial), "cannot be put into a text", "make the"),  # noqa: UP032
    "a wait on a condition": (lambda b: b.add_event(approval, when=bool), "no option when", "belong to the steps"),
    "a wait for each": (lambda b: b.add_event(approval, each=3), "no option each", "correlate, timeout, default"),
    "a wait as the pivot": (lambda b: b.add_event(approval, pivot=True), "no option pivot", "pivots"),
    "a probe of a wait": (lambda b: b.add_event(approval, probe=reserve), "no option probe", "probes"),
    "a wait in doubt": (lambda b: b.add_event(approval, on_unknown="park"), "no option on_unknown", "belong to"),
    "a sleep as the pivot": (lambda b: b.add_sleep(HOUR, pivot=True), "no option pivot", "until, after"),
    "a traced wait as the pivot": (
        lambda _: traced(lambda order: approval.wait(pivot=True, when=bool)),
        "no option pivot, when",
        "options here are correlate, timeout, default, after, step_id",
    ),
    "a traced sleep as the pivot": (
        lambda _: traced(lambda order: sleep(HOUR, pivot=True)),
        "no option pivot",
        "until, after",
    ),
    "an event as a step": (lambda b: b.add_step(approval), "<event approval> is not a step", "add_event"),
    "a step made of an event": (lambda _: step(approval), "<event approval> is not a step", "approval.wait(...)"),
    "a step made of a wait": (lambda _: step(approval.wait), "is not a step", "approval.wait(...)"),
    "a step that waits by itself": (lambda _: step(asks), "step asks returns a WaitFor", "instead of waiting for each"),
    "a step that may wait by itself": (
        lambda _: step(may_ask, compensation_waits_for=approval),
        "step may_ask returns a WaitFor, which only a compensation can",
        "add_event",
    ),
    "a class that may wait by itself": (lambda _: step(MayAsk()), "step MayAsk returns a WaitFor", "add_event"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_with_the_mend(what: str) -> None:
    make, fact, hint = REFUSED[what]
    with pytest.raises(SagaDefinitionError, match=f"(?s){re.escape(fact)}.*HINT: .*{re.escape(hint)}"):
        built(make)


def test_an_event_has_no_other_attributes_as_any_object() -> None:
    assert not hasattr(approval, "each_item")


def test_a_payload_that_cannot_be_stored_is_refused_with_its_event() -> None:
    with pytest.raises(TypeValidationError, match="the payload of event 'odd'"):
        Event("odd", type("Odd", (), {}))
    with pytest.raises(TypeValidationError, match=r"(?s)does not say what it brings.*Event\[Approved \| Rejected\]"):
        built(lambda b: b.add_event(Event("bare")))


def test_events_whose_payloads_cannot_be_told_apart_are_refused() -> None:
    either = any_of(approval, other)
    with pytest.raises(TypeValidationError, match="what the events approval, other bring"):
        built(lambda b: b.add_event(either))
    with pytest.raises(TypeValidationError, match="what the events approval, other bring"):
        traced(lambda _: either.wait())


def test_any_of_takes_no_event_that_does_not_say_what_it_brings() -> None:
    with pytest.raises(TypeValidationError, match="does not say what it brings"):
        any_of(approval, Event("bare"))


def test_a_default_of_another_type_is_refused() -> None:
    with pytest.raises(PayloadError, match="is no valid Approval"):
        built(lambda b: b.add_event(approval, timeout=HOUR, default=5))


def test_a_wait_is_planned_as_it_was_written() -> None:
    builder = SagaBuilder(Order, deadline=5 * HOUR, order="graph")
    reserved = builder.add_step(reserve, input_map=lambda ctx: ctx.initial_data)
    builder.add_event(approval, timeout=HOUR, default=None, after=reserved)
    builder.add_event(
        approval, depends_on=reserved, correlate=lambda r: r.reservation_id, timeout=HOUR, step_id="about"
    )
    builder.add_sleep(HOUR, after=reserved)
    plan = builder.build().plan
    assert plan.data.deadline == 5 * 3600 * 1_000_000
    _, once, about, asleep = plan.steps
    assert (once.kind, once.waits_for, once.on_timeout) == (StepKind.EVENT, ("approval",), OnTimeout.DEFAULT)
    assert (about.correlated, about.after, about.on_timeout) == (True, ("reserve",), OnTimeout.FAIL)
    assert (asleep.kind, asleep.timeout, asleep.after) == (StepKind.SLEEP, 3600 * 1_000_000, ("reserve",))


def test_a_traced_saga_and_a_built_one_are_one() -> None:
    @saga("traced", deadline=9 * HOUR)
    def traced(order: StepRef[Order]) -> StepRef[Approval]:
        answer = approval.wait(order, correlate=lambda o: o.order_id, timeout=HOUR)
        sleep(HOUR)
        return answer

    builder = SagaBuilder(Order, deadline=9 * HOUR)
    answer = builder.add_event(approval, depends_on=builder.initial, correlate=lambda o: o.order_id, timeout=HOUR)
    builder.add_sleep(HOUR)
    assert builder.build(output=answer).plan == traced.plan
