"""What is to be done about a step that may have run: how it is said, and what is refused with which advice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

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
from saga_fn.definition.steps.base import StepBase
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


def test_an_undo_that_fails_for_good_parks_its_step_unless_a_policy_or_the_step_says_otherwise() -> None:
    once = NoRetry()
    assert planned(step(charge, compensate=refund)).undo_parks
    assert not planned(step(charge, compensate=refund, compensation_retry_policy=once)).undo_parks
    parks = step(charge, compensate=refund, compensation_retry_policy=once, on_undo_failed="park")
    assert planned(parks).undo_parks
    assert not planned(parks, {"on_undo_failed": "fail"}).undo_parks, "the wiring wins"
    assert not planned(step(charge, compensate=refund, on_undo_failed="fail")).undo_parks


def test_each_way_is_said_where_it_belongs() -> None:
    assert planned(step(charge, on_unknown="park")).on_unknown is OnUnknown.PARK
    assert planned(step(charge), {"on_unknown": "park"}).on_unknown is OnUnknown.PARK
    assert planned(step(charge, compensate=refund_perhaps, on_unknown="undo")).on_unknown is OnUnknown.UNDO
    assert planned(step(charge, probe=find)).on_unknown is OnUnknown.PROBE
    assert planned(step(charge, compensate=refund, probe=find_by_key)).on_unknown is OnUnknown.PROBE


def test_a_repeat_in_doubt_has_a_budget_of_its_own() -> None:
    """Ten repeats, with growing delays of at most a minute, within a quarter of an hour, whatever the retry policy says."""
    minute = 60 * 1_000_000
    for options in (StepOptions(), StepOptions(retry_policy=NoRetry())):
        retry = planned(step(charge), options).unknown_retry
        delays = [retry.delay_after(doubts, jitter_draw=0.0) for doubts in range(1, 12)]
        assert delays[0] == 1_000_000
        assert delays[9] == minute
        assert delays[10] is None
        assert [delay for delay in delays if delay is not None] == sorted(
            delay for delay in delays if delay is not None
        )
        assert retry.within == 15 * minute
    chosen = planned(step(charge, unknown_retry_policy=FixedRetry(max_attempts=3)), {"retry_policy": NoRetry()})
    assert (chosen.unknown_retry.attempts, chosen.retry.attempts) == (3, 1)
    assert planned(step(charge), {"unknown_retry_policy": NoRetry()}).unknown_retry.attempts == 1


def test_a_step_knows_whether_its_policy_was_chosen() -> None:
    assert not planned(step(charge)).own_retry
    assert planned(step(charge, retry_policy=NoRetry())).own_retry
    assert planned(step(charge), {"retry_policy": FixedRetry(max_attempts=2)}).own_retry


def test_a_business_error_settles_a_doubt_where_that_is_said() -> None:
    assert not planned(step(charge)).refusal_settles
    assert planned(step(charge, business_error_settles=True)).refusal_settles
    with pytest.raises(SagaDefinitionError, match="business_error_settles must be True or False"):
        step(charge, business_error_settles="yes")  # type: ignore[call-overload]  # what is refused
    with pytest.raises(SagaDefinitionError, match="unknown_retry_policy must be a NoRetry"):
        step(charge, unknown_retry_policy=3)  # type: ignore[call-overload]  # as above


def test_a_compensation_that_accepts_a_missing_output_undoes_what_may_have_run() -> None:
    for options in (StepOptions(), StepOptions(on_unknown="park"), StepOptions(on_unknown="repeat")):
        assert planned(step(charge, compensate=refund_perhaps), options).undoes_in_doubt
        assert not planned(step(charge, compensate=refund), options).undoes_in_doubt
        assert not planned(step(charge), options).undoes_in_doubt
    assert planned(step(charge, compensate=refund_perhaps, probe=find)).undoes_in_doubt
    assert planned(step(charge, compensate=refund_perhaps, on_unknown="undo")).undoes_in_doubt


async def refund_named(inp: ChargeInput, out: Annotated[Charged | None, "by its key"]) -> None: ...


async def charge_without_output(inp: ChargeInput) -> None: ...


async def refund_by_input(inp: ChargeInput, out: None) -> None: ...


async def charge_perhaps(inp: ChargeInput) -> Charged | None:
    return None


async def refund_whatever(inp: ChargeInput, out: object) -> None: ...


class Unsaid(BaseStep[ChargeInput, Charged]):
    @override
    async def execute(self, inp: ChargeInput, /) -> Charged:
        return Charged(inp.reservation_id)

    @override
    async def compensate(self, inp, out, /):  # type: ignore[no-untyped-def]  # what is judged
        return None


class Said(Unsaid):
    @override
    async def compensate(self, inp: ChargeInput, out: Charged | None, /) -> None: ...


def in_doubt(given: StepBase[ChargeInput, Any]) -> bool:
    builder = SagaBuilder(ChargeInput)
    builder.add_step(given, depends_on=builder.initial)
    return builder.build().plan.steps[0].undoes_in_doubt


def test_only_an_annotation_says_that_an_output_may_be_missing() -> None:
    """From a step that may give None a compensation would be told that there is nothing to undo."""
    assert in_doubt(step(charge, compensate=refund_named))
    assert in_doubt(step(charge_without_output, compensate=refund_by_input))
    assert in_doubt(Said())
    assert not in_doubt(step(charge_perhaps, compensate=refund_perhaps))
    assert not in_doubt(step(charge, compensate=refund_whatever))
    assert not in_doubt(Unsaid())
    assert in_doubt(step(Unsaid(), on_unknown="undo"))


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
