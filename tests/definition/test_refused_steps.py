# type: ignore  # noqa: PGH003 - every case is a mistake that the checkers refuse; here it is made at run time
"""What cannot be a step, and what the refusal advises."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from returns.result import Result, Success

from saga_fn import BaseStep, ContextStep, SagaBuilder, StepContext, step
from tests.definition.refusal import Cases, each_of, refused
from tests.definition.shop import (
    Charged,
    ChargeInput,
    Reserved,
    ReserveInput,
    ReserveInventory,
    release,
)

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers

T = TypeVar("T")


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


async def late_context(inp: ReserveInput, other: int = 0, ctx: StepContext | None = None) -> Reserved:
    return Reserved(f"{inp}{other}{ctx}")


async def keyword_context(inp: ReserveInput, *, ctx: StepContext | None = None) -> Reserved:
    return Reserved(f"{inp}{ctx}")


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


class Undecided(ReserveInventory):
    on_unknown = "park"


class Slow(ReserveInventory):
    timeout = timedelta(hours=1)


STEPS: Cases = [
    ("an option in a class", lambda: step(Undecided()), "Undecided.on_unknown is an attribute", "on_unknown=..."),
    ("an option in a base", lambda: step(type("Below", (Undecided,), {})()), "Undecided.on_unknown", "step(Below(...)"),
    (
        "an option in a class that is wired",
        lambda: SagaBuilder(ReserveInput).add_step(Slow()),
        "Slow.timeout is",
        "timeout=",
    ),
    ("partial", lambda: step(functools.partial(helper)), "functools.partial", "make_saga"),
    ("not async", lambda: step(not_async), "not an async function", "async def"),
    ("lambda", lambda: step(lambda inp: inp), "lambda", "async function"),
    ("decorated method", lambda: step(Decorated.charge), "method that has no object", "step(pay.charge"),
    ("a class", lambda: step(ReserveInventory), "is a class", "step(ReserveInventory())"),
    ("no parameter", lambda: step(nothing), "must take its input", "add the missing"),
    ("a second input", lambda: step(two_inputs), "must take its input", "let one type have all inputs"),
    ("a keyword", lambda: step(keyword), "must take its input", "default"),
    ("a context behind another", lambda: step(late_context), "its StepContext as 'ctx'", "after its input"),
    ("a context by name", lambda: step(keyword_context), "its StepContext as 'ctx'", "positional parameter"),
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
    (
        "an end of an undo",
        lambda: step(helper, on_undo_failed="stop"),
        "one of 'park', 'fail'",
        "leave the step to a person",
    ),
    ("no end of an undo", lambda: step(helper, on_undo_failed=True), "on_undo_failed must be", "end the saga"),
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


@each_of(STEPS)
def test_what_cannot_be_a_step_is_refused(make: Callable[[], object], fact: str, mend: str) -> None:
    refused(make, fact, mend)
