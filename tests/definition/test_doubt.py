"""What is to be done about a step that may have run: how it is said, and what is refused with which advice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from typing_extensions import override

from saga_fn import (
    NOT_DONE,
    BaseStep,
    ContextStep,
    Done,
    FixedRetry,
    NoRetry,
    NotDone,
    SagaBuilder,
    SagaDefinitionError,
    Step,
    StepContext,
    StepOptions,
    step,
)
from saga_fn.core.plan import OnUnknown, PlannedStep
from tests.definition.shop import Charged, ChargeInput, Order, Reserved, ReserveInput, ReserveInventory


async def charge(inp: ChargeInput) -> Charged:
    return Charged(inp.reservation_id)


async def refund(inp: ChargeInput, out: Charged) -> None: ...


async def refund_perhaps(inp: ChargeInput, out: Charged | None) -> None: ...


async def find(inp: ChargeInput) -> Done[Charged] | NotDone:
    return NOT_DONE


async def find_by_key(inp: ChargeInput, ctx: StepContext) -> Done[Charged]:
    return Done(Charged(ctx.idempotency_key))


def planned(given: Step[ChargeInput, Charged], options: StepOptions | None = None) -> PlannedStep:
    builder = SagaBuilder(Order)
    builder.add_step(given, input_map=lambda ctx: ChargeInput(ctx.initial_data.order_id), **(options or {}))
    return builder.build().plan.steps[0]


def test_by_default_it_is_repeated() -> None:
    assert planned(step(charge, compensate=refund)).on_unknown is OnUnknown.REPEAT


def test_each_way_is_said_where_it_belongs() -> None:
    assert planned(step(charge, on_unknown="park")).on_unknown is OnUnknown.PARK
    assert planned(step(charge), {"on_unknown": "park"}).on_unknown is OnUnknown.PARK
    assert planned(step(charge, compensate=refund_perhaps, on_unknown="undo")).on_unknown is OnUnknown.UNDO
    assert planned(step(charge, probe=find)).on_unknown is OnUnknown.PROBE
    assert planned(step(charge, compensate=refund, probe=find_by_key)).on_unknown is OnUnknown.PROBE


def test_the_wiring_wins() -> None:
    assert planned(step(charge, probe=find), {"on_unknown": "repeat"}).on_unknown is OnUnknown.REPEAT


def test_a_probe_has_a_policy_and_a_timeout_of_its_own() -> None:
    assert planned(step(charge, probe=find)).probe_retry.attempts == 10
    assert planned(step(charge, probe=find, probe_retry_policy=FixedRetry(max_attempts=2))).probe_retry.attempts == 2
    assert planned(step(charge, probe=find), {"probe_retry_policy": NoRetry()}).probe_retry.attempts == 1
    builder = SagaBuilder(ChargeInput)
    builder.add_step(step(charge, probe=find), depends_on=builder.initial, timeout=timedelta(seconds=3))
    builder.add_step(
        step(charge, probe=find),
        depends_on=builder.initial,
        step_id="other",
        timeout=timedelta(seconds=3),
        probe_timeout=timedelta(seconds=1),
    )
    assert [binding.probe_timeout for binding in builder.build().steps.values()] == [3.0, 1.0]


class Charging(BaseStep[ChargeInput, Charged]):
    @override
    async def execute(self, inp: ChargeInput, /) -> Charged:
        return Charged(inp.reservation_id)

    @override
    async def compensate(self, inp: ChargeInput, out: Charged | None, /) -> None: ...


class Finding(ContextStep[ChargeInput, Charged]):
    @override
    async def execute(self, inp: ChargeInput, ctx: StepContext, /) -> Charged:
        return Charged(inp.reservation_id)

    @override
    async def probe(self, inp: ChargeInput, ctx: StepContext, /) -> Done[Charged] | NotDone:
        return NOT_DONE


def test_a_class_says_it_by_what_it_overrides() -> None:
    assert planned(step(Charging())).on_unknown is OnUnknown.REPEAT
    assert planned(step(Charging(), on_unknown="undo")).on_unknown is OnUnknown.UNDO
    assert planned(step(Finding())).on_unknown is OnUnknown.PROBE


async def find_other(inp: ReserveInput) -> Done[Charged] | NotDone:
    return NOT_DONE


async def find_reserved(inp: ChargeInput) -> Done[Reserved] | NotDone:
    return NOT_DONE


async def find_charged(inp: ChargeInput) -> Charged | None:
    return None


async def find_nothing() -> NotDone:
    return NOT_DONE


def find_at_once(inp: ChargeInput) -> NotDone:
    return NOT_DONE


loose: Any = step  # Any: every case is a mistake that the checkers refuse; here it is made at run time


REFUSED: list[tuple[str, Callable[[], object], str, str]] = [
    ("no way", lambda: loose(charge, on_unknown="forget"), "must be one of 'repeat'", "'park'"),
    ("no text", lambda: loose(charge, on_unknown=True), "must be one of", "probe="),
    ("undo by nothing", lambda: loose(charge, on_unknown="undo"), "but no compensation", "compensate="),
    (
        "undo that needs an output",
        lambda: loose(charge, compensate=refund, on_unknown="undo"),
        "does not accept a missing output",
        "out: Payment | None",
    ),
    (
        "undo of a class that needs an output",
        lambda: loose(ReserveInventory(), on_unknown="undo"),
        "does not accept a missing output",
        "| None",
    ),
    ("probe by nothing", lambda: loose(charge, on_unknown="probe"), "but no probe", "Done(output) or NOT_DONE"),
    (
        "undo at the wiring",
        lambda: planned(step(charge, compensate=refund), loose_options(on_unknown="undo")),
        "does not accept a missing output",
        "| None",
    ),
    ("both", lambda: loose(charge, probe=find, on_unknown="park"), "has a probe and on_unknown='park'", "leave"),
    ("a probe for a class", lambda: loose(Charging(), probe=find), "brings its own probe", "override probe"),
    ("another's probe", lambda: loose(charge, probe=find_other), "takes ReserveInput", "exactly the step's input"),
    (
        "another's output",
        lambda: loose(charge, probe=find_reserved),
        "but step charge gives",
        "Done[Charged] | NotDone",
    ),
    ("an output alone", lambda: loose(charge, probe=find_charged), "returns", "Done[Charged] | NotDone"),
    ("no input", lambda: loose(charge, probe=find_nothing), "must take its input", "add the missing"),
    ("not async", lambda: loose(charge, probe=find_at_once), "not an async function", "async def"),
    ("a negative time", lambda: loose(charge, probe=find, probe_timeout=timedelta(-1)), "probe_timeout", "timedelta"),
    ("no policy", lambda: loose(charge, probe=find, probe_retry_policy=3), "probe_retry_policy", "FixedRetry"),
]


def loose_options(**options: Any) -> Any:  # Any: as above
    return options


@pytest.mark.parametrize("make, fact, mend", [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_could_not_be_done_then_is_refused(make: Callable[[], object], fact: str, mend: str) -> None:
    with pytest.raises(SagaDefinitionError) as refusal:
        make()
    assert fact in refusal.value.fact
    assert mend in (refusal.value.hint or "")


def test_an_operation_is_named_alike_in_every_direction() -> None:
    from uuid import UUID

    context = StepContext(UUID(int=7), "s", "charge", 1, "key", "trace", None)
    assert context.operation == "00000000-0000-0000-0000-000000000007:charge"
