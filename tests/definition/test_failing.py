"""What a step's failures mean: the options that say it, and business errors that come back as what they were."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import attrs
import msgspec
import pytest
from returns.result import Failure, Result
from typing_extensions import override

from saga_fn import BaseStep, ExponentialRetry, FixedRetry, PayloadError, SagaDefinitionError, step
from saga_fn.codec import PayloadType
from saga_fn.definition import Refusals
from saga_fn.definition.failing import returned_errors
from saga_fn.definition.step import parts_of
from tests.definition.shop import Charged, ChargeInput, charge


class Declined(msgspec.Struct, frozen=True):
    reason: str


@dataclasses.dataclass
class CardDeclinedError(Exception):
    code: int
    note: str = ""


@attrs.define
class OutOfStockError(Exception):
    item: str


@dataclasses.dataclass
class OddError(Exception):
    what: Callable[[], int]


def test_by_default_whatever_is_raised_is_tried_again() -> None:
    refusals = Refusals.of({}, None)
    assert not refusals.is_final(ValueError())
    assert not refusals.is_fatal(ValueError())


def test_what_is_not_named_in_retry_on_ends_the_attempts() -> None:
    refusals = Refusals.of({"retry_on": (ConnectionError, KeyError)}, None)
    assert not refusals.is_fatal(ConnectionResetError())
    assert refusals.is_fatal(ValueError())
    assert refusals.is_fatal(SystemExit())
    assert not refusals.is_final(ValueError())


def test_what_is_named_in_give_up_on_is_an_answer() -> None:
    refusals = Refusals.of({"retry_on": OSError, "give_up_on": ConnectionRefusedError}, None)
    assert refusals.is_final(ConnectionRefusedError())
    assert not refusals.is_final(ConnectionResetError())


@pytest.mark.parametrize("error", [CardDeclinedError(7, "stolen"), OutOfStockError("book")])
def test_a_business_error_with_declared_fields_comes_back_whole(error: Exception) -> None:
    refusals = Refusals.of({"give_up_on": (CardDeclinedError, OutOfStockError)}, None)
    data = refusals.encode(error)
    assert data is not None
    again = refusals.decode(type(error).__name__, data)
    assert type(again) is type(error)
    assert vars(again) == vars(error) or attrs.asdict(again) == attrs.asdict(error)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # one is a dataclass, one of attrs


@pytest.mark.parametrize("error", [ValueError("x"), OddError(lambda: 1), CardDeclinedError("seven")])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # not what it says
def test_of_any_other_error_only_the_message_is_kept(error: Exception) -> None:
    assert Refusals.of({"give_up_on": (ValueError, OddError, CardDeclinedError)}, None).encode(error) is None


class Charge(BaseStep[ChargeInput, Charged]):
    @override
    async def execute(self, inp: ChargeInput, /) -> Result[Charged, Declined | CardDeclinedError]:
        return Failure(Declined(inp.reservation_id))


async def refuse(inp: ChargeInput) -> Result[Charged, Declined] | Result[Charged, str]:
    return Failure(Declined(inp.reservation_id))


def test_what_a_step_returns_in_a_failure_is_read_off_its_annotation() -> None:
    of_class = Refusals.of({}, parts_of(Charge()).errors)
    assert of_class.decode("Declined", b'{"reason":"stolen"}') == Declined("stolen")
    assert of_class.decode("CardDeclinedError", b'{"code":7,"note":""}') == CardDeclinedError(7)
    of_function = Refusals.of({}, parts_of(step(refuse)).errors)
    assert of_function.encode("no") == b'"no"'
    assert of_function.encode(Declined("no")) == b'{"reason":"no"}'
    assert of_function.encode(3) is None
    assert parts_of(charge).errors is None


@pytest.mark.parametrize("gives", [Result[int, object], Result[int, Any], Result[int, Callable[[], int]]])
def test_an_error_that_cannot_be_stored_is_kept_as_text(gives: object) -> None:
    refusals = Refusals.of({}, returned_errors(gives))
    assert refusals.encode("no") is None
    with pytest.raises(PayloadError, match="declares no business error"):
        refusals.decode("str", b'"no"')


def test_an_exception_is_no_value() -> None:
    with pytest.raises(SagaDefinitionError, match="CardDeclinedError is an exception") as refused:
        PayloadType.of(list[CardDeclinedError])
    assert "give_up_on=" in str(refused.value)


@pytest.mark.parametrize(
    "options, fact, mend",
    [
        ({"retry_on": "TimeoutError"}, "retry_on must name exceptions, not 'TimeoutError'", "exception class"),
        ({"retry_on": ()}, "names no exception", "leave it out"),
        ({"give_up_on": (ValueError, 3)}, "give_up_on must name exceptions, not 3", "exception class"),
        ({"give_up_on": BaseException}, "must name exceptions", "exception class"),
        ({"give_up_on": [ValueError]}, "must name exceptions", "tuple"),
        ({"retry_on": ValueError, "give_up_on": (KeyError, ValueError)}, "ValueError is named in", "one of them"),
    ],
)
def test_what_is_no_error_is_refused(options: Mapping[str, Any], fact: str, mend: str) -> None:
    with pytest.raises(SagaDefinitionError) as refused:
        step(charge.execute, **options)
    assert fact in refused.value.fact
    assert mend in (refused.value.hint or "")


def test_a_policy_may_be_bounded_by_time_alone() -> None:
    assert FixedRetry(within=timedelta(minutes=1)).schedule().within == 60_000_000
    schedule = ExponentialRetry(max_attempts=3, within=timedelta(hours=1)).schedule()
    assert (schedule.attempts, schedule.within) == (3, 3_600_000_000)


@pytest.mark.parametrize("policy", [FixedRetry, ExponentialRetry])
def test_a_policy_without_any_bound_is_refused(policy: type[FixedRetry | ExponentialRetry]) -> None:
    with pytest.raises(SagaDefinitionError, match="has no limit") as refused:
        policy()
    assert "within=" in str(refused.value)


@pytest.mark.parametrize("within", [timedelta(0), timedelta(-1), timedelta(days=366), 5])
def test_a_budget_that_is_none_is_refused(within: Any) -> None:
    with pytest.raises(SagaDefinitionError, match="within must be a positive timedelta"):
        FixedRetry(within=within)
