"""What a step's failures mean: the options that say it, and business errors that come back as what they were."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import attrs
import httpx
import msgspec
import pytest
from returns.result import Failure, Result
from typing_extensions import override

from saga_fn import (
    BaseStep,
    ExponentialRetry,
    FixedRetry,
    OutcomeUnknown,
    PayloadError,
    RetryLater,
    SagaDefinitionError,
    step,
)
from saga_fn.codec import PayloadType
from saga_fn.core.events import FailureKind
from saga_fn.definition import ErrorPolicy
from saga_fn.definition.steps.error_policy import returned_errors
from saga_fn.definition.steps.step import parts_of
from tests.definition.shop import Charged, ChargeInput, charge

E = TypeVar("E", bound=Exception)
ERROR, FATAL, REFUSED, UNKNOWN = FailureKind.ERROR, FailureKind.FATAL, FailureKind.BUSINESS_ERROR, FailureKind.UNKNOWN


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


class BankError(Exception):
    """It is not known what it means."""


class StolenError(CardDeclinedError):
    """It is named by its base."""


def raised(error: E, *, cause: BaseException) -> E:
    """The error as it comes out of a `raise ... from`."""
    error.__cause__ = cause
    return error


def handled(error: E, handling: BaseException) -> E:
    """The error as it comes out of an `except` that raises another, without a `from`."""
    error.__context__ = handling
    return error


def test_by_default_whatever_is_raised_is_tried_again() -> None:
    assert ErrorPolicy.of({}, None).judge(ValueError()) is ERROR


def test_what_is_not_named_in_retry_on_ends_the_attempts() -> None:
    policy = ErrorPolicy.of({"retry_on": (ConnectionError, KeyError)}, None)
    assert policy.judge(ConnectionRefusedError()) is ERROR
    assert policy.judge(ValueError()) is FATAL


def test_what_is_named_in_give_up_on_is_an_answer() -> None:
    policy = ErrorPolicy.of({"retry_on": OSError, "give_up_on": ConnectionRefusedError}, None)
    assert policy.judge(ConnectionRefusedError()) is REFUSED
    assert policy.judge(FileNotFoundError()) is ERROR


def test_what_is_named_in_unknown_on_may_have_been_done() -> None:
    policy = ErrorPolicy.of({"unknown_on": (BankError, KeyError)}, None)
    assert policy.judge(BankError()) is UNKNOWN
    assert policy.judge(ValueError()) is ERROR


def test_where_several_options_name_an_error_doubt_comes_first_and_the_answer_second() -> None:
    options = {"retry_on": Exception, "give_up_on": CardDeclinedError, "unknown_on": StolenError}
    policy = ErrorPolicy.of(options, None)
    assert policy.judge(StolenError(1)) is UNKNOWN
    assert policy.judge(CardDeclinedError(1)) is REFUSED
    assert policy.judge(BankError()) is ERROR


@pytest.mark.parametrize("options", [{}, {"retry_on": KeyError}, {"give_up_on": Exception}, {"retry_on": Exception}])
def test_what_a_step_says_itself_needs_no_option(options: Mapping[str, Any]) -> None:
    policy = ErrorPolicy.of(options, None)
    assert policy.judge(OutcomeUnknown("the bank is still at it")) is UNKNOWN
    assert policy.judge(RetryLater(timedelta(seconds=3))) is ERROR
    assert policy.judge(raised(RetryLater(timedelta(seconds=3)), cause=OutcomeUnknown())) is ERROR


@pytest.mark.parametrize(
    "error, kind",
    [
        (raised(BankError(), cause=OutcomeUnknown()), UNKNOWN),
        (raised(BankError(), cause=raised(BankError(), cause=OutcomeUnknown())), UNKNOWN),
        (raised(BankError(), cause=CardDeclinedError(1)), REFUSED),
        (raised(BankError(), cause=ConnectionRefusedError()), ERROR),
        (raised(BankError(), cause=ValueError()), FATAL),
        (raised(CardDeclinedError(1), cause=OutcomeUnknown()), REFUSED),
        (raised(ConnectionRefusedError(), cause=OutcomeUnknown()), ERROR),
        (handled(BankError(), OutcomeUnknown()), UNKNOWN),
        (handled(BankError(), raised(BankError(), cause=OutcomeUnknown())), UNKNOWN),
        (handled(BankError(), CardDeclinedError(1)), FATAL),
        (handled(CardDeclinedError(1), OutcomeUnknown()), REFUSED),
    ],
)
def test_an_error_that_is_not_named_means_what_its_cause_means(error: BaseException, kind: FailureKind) -> None:
    policy = ErrorPolicy.of({"retry_on": ConnectionError, "give_up_on": CardDeclinedError}, None)
    assert policy.judge(error) is kind


def test_an_error_that_is_raised_from_none_speaks_for_itself() -> None:
    error = handled(BankError(), OutcomeUnknown())
    error.__suppress_context__ = True
    assert ErrorPolicy.of({}, None).judge(error) is ERROR


def test_errors_that_are_causes_of_each_other_come_to_an_end() -> None:
    one, other = BankError(), BankError()
    one.__cause__, other.__cause__ = other, one
    assert ErrorPolicy.of({}, None).judge(one) is ERROR
    assert ErrorPolicy.of({"retry_on": KeyError}, None).judge(one) is FATAL


@pytest.mark.parametrize(
    "leaves, kind",
    [
        ([CardDeclinedError(1), CardDeclinedError(2)], REFUSED),
        ([CardDeclinedError(1), ConnectionRefusedError()], ERROR),
        ([CardDeclinedError(1), ValueError()], FATAL),
        ([ConnectionRefusedError(), ConnectionRefusedError()], ERROR),
        ([ConnectionRefusedError(), ValueError()], FATAL),
        ([CardDeclinedError(1), OutcomeUnknown()], UNKNOWN),
        ([ExceptionGroup("inner", [CardDeclinedError(1), raised(BankError(), cause=OutcomeUnknown())])], UNKNOWN),
        ([ExceptionGroup("inner", [raised(BankError(), cause=CardDeclinedError(1))])], REFUSED),
    ],
)
def test_a_group_means_what_its_leaves_mean(leaves: list[Exception], kind: FailureKind) -> None:
    policy = ErrorPolicy.of({"retry_on": ConnectionError, "give_up_on": CardDeclinedError}, None)
    assert policy.judge(ExceptionGroup("unhandled errors in a TaskGroup", leaves)) is kind
    assert policy.judge(raised(BankError(), cause=ExceptionGroup("", leaves))) is kind


class CutShort(BaseException):
    """By what some libraries cut short a call: no `except Exception` hears it."""


@pytest.mark.parametrize("error", [CutShort(), GeneratorExit(), KeyboardInterrupt(), SystemExit()])
def test_what_is_no_error_has_cut_the_step_short_and_is_doubt(error: BaseException) -> None:
    policy = ErrorPolicy.of({"retry_on": ConnectionError, "give_up_on": CardDeclinedError}, None)
    assert policy.judge(error) is UNKNOWN
    assert policy.judge(raised(BankError(), cause=error)) is UNKNOWN
    assert policy.judge(BaseExceptionGroup("", [CardDeclinedError(1), error])) is UNKNOWN
    assert policy.judge(raised(CardDeclinedError(1), cause=error)) is REFUSED


def test_a_cause_of_a_group_is_asked_for_doubt_only() -> None:
    policy = ErrorPolicy.of({"give_up_on": CardDeclinedError}, None)
    assert policy.judge(raised(ExceptionGroup("", [CardDeclinedError(1)]), cause=KeyError())) is REFUSED
    assert policy.judge(raised(ExceptionGroup("", [CardDeclinedError(1)]), cause=OutcomeUnknown())) is UNKNOWN


def test_naming_exceptions_names_the_leaves_of_groups_and_naming_groups_the_groups() -> None:
    broad = ErrorPolicy.of({"retry_on": Exception}, None)
    assert broad.judge(ExceptionGroup("", [OutcomeUnknown()])) is UNKNOWN
    groups = ErrorPolicy.of({"give_up_on": ExceptionGroup}, None)
    assert groups.judge(ExceptionGroup("", [BankError()])) is REFUSED


def test_the_answer_is_the_business_error_wherever_it_stands() -> None:
    policy = ErrorPolicy.of({"give_up_on": CardDeclinedError}, None)
    declined = CardDeclinedError(1)
    assert policy.answer_of(declined) is declined
    assert policy.answer_of(ExceptionGroup("", [raised(BankError(), cause=declined)])) is declined


def test_the_longest_delay_that_is_asked_for_is_the_one() -> None:
    policy = ErrorPolicy.of({}, None)
    group = ExceptionGroup("", [RetryLater(timedelta(seconds=3)), BankError(), RetryLater(timedelta(seconds=2))])
    assert policy.delay_of(group) == 3_000_000
    assert policy.delay_of(BankError()) is None


@pytest.mark.parametrize(
    "error",
    [
        BankError(),
        CardDeclinedError(1),
        ConnectionRefusedError(),
        ConnectionResetError(),
        TimeoutError(),
        ValueError(),
        OutcomeUnknown(),
        RetryLater(timedelta(seconds=1)),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"retry_on": ConnectionError},
        {"retry_on": OSError, "give_up_on": (CardDeclinedError, BankError)},
        {"give_up_on": ConnectionResetError, "unknown_on": BankError},
        {"unknown_on": Exception},
    ],
    ids=str,
)
def test_an_exception_behind_which_nothing_stands_means_what_it_means_alone_in_a_group(
    error: Exception, options: dict[str, object]
) -> None:
    policy = ErrorPolicy.of(options, None)
    grouped = ExceptionGroup("unhandled errors in a TaskGroup", [error])
    assert policy.judge(error) is policy.judge(grouped)
    assert policy.delay_of(error) == policy.delay_of(grouped)


def test_a_delay_is_kept_within_what_can_be_waited() -> None:
    assert RetryLater(timedelta(seconds=-3)).after == timedelta(0)
    assert RetryLater(timedelta.max).after == timedelta(days=365)
    assert str(RetryLater(timedelta(seconds=1.5))) == "not before 1.5 s from now"
    assert str(RetryLater(timedelta(seconds=7), "too many")) == "too many (not before 7 s from now)"
    again: RetryLater = pickle.loads(pickle.dumps(RetryLater(timedelta(seconds=7), "too many")))
    assert (again.after, str(again)) == (timedelta(seconds=7), "too many (not before 7 s from now)")
    with pytest.raises(SagaDefinitionError, match="must be a timedelta, not an int"):
        RetryLater(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # what a caller may do


@dataclasses.dataclass
class CountedError(Exception):
    code: int
    seen: list[str] = dataclasses.field(init=False, default_factory=list[str])
    twice: int = dataclasses.field(init=False, default=0)
    by: str = dataclasses.field(kw_only=True, default="")

    def __post_init__(self) -> None:
        self.twice = 2 * self.code


@attrs.frozen
class PrivateError(Exception):
    code: int
    _why: str = attrs.field(default="w", alias="why")
    twice: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "twice", 2 * self.code)


class OwnError(Exception):
    """Its constructor is its own."""

    def __init__(self, code: int, *, why: str, at: datetime | None = None) -> None:
        super().__init__(f"{code} {why}")
        self.code = code
        self.why = why
        self.at = at


class PriceError(Exception):
    """What it is made of is not in JSON; `super().__init__` is not called."""

    price: Decimal

    def __init__(self, price: Decimal) -> None:
        self.price = price


class UntypedError(Exception):
    def __init__(self, code, *, why):  # type: ignore[no-untyped-def]  # as people write it
        super().__init__(code, why)  # pyright: ignore[reportUnknownArgumentType]  # as above
        self.code = code
        self.why = why


class SlottedError(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


class PlainError(Exception):
    pass


def changed(error: E, **attributes: object) -> E:
    for name, value in attributes.items():
        object.__setattr__(error, name, value)
    return error


KEPT = [
    CardDeclinedError(7, "stolen"),
    CardDeclinedError(code=7),
    StolenError(7),
    OutOfStockError("book"),
    CountedError(3, by="ann"),
    changed(CountedError(3), twice=5, seen=["x"]),
    PrivateError(5, why="OTHER"),
    changed(PrivateError(5), twice=1),
    OwnError(5, why="stolen"),
    OwnError(5, why="stolen", at=datetime(2026, 1, 2, tzinfo=UTC)),
    PriceError(Decimal("9.90")),
    UntypedError(5, why=["stolen", {"by": None}]),  # type: ignore[no-untyped-call]  # as it is
    SlottedError(4),
    PlainError(),
    PlainError("no", 7, 1.5, True, None),
    changed(PlainError("no"), code=7),
    KeyError("sku"),
    FileNotFoundError(2, "no such file"),
    FileNotFoundError(2, "no such file", "the file's name"),
    PermissionError(13, "not permitted", "from", None, "to"),
    ImportError("no module", name="shop", path="/shop.py"),
    UnicodeEncodeError("ascii", "\xe4", 0, 1, "ordinal not in range(128)"),
    InterruptedError(),
]


MEMBERS = (
    "item",
    "code",
    "_why",
    "twice",
    "filename",
    "filename2",
    "errno",
    "strerror",
    "name",
    "path",
    "object",
    "reason",
)


def state(error: BaseException) -> object:
    slots = {name: getattr(error, name) for name in MEMBERS if hasattr(error, name)}
    return type(error), error.args, vars(error), slots, str(error)


@pytest.mark.parametrize("error", KEPT, ids=lambda error: type(error).__name__)
def test_a_business_error_comes_back_as_it_was(error: Exception) -> None:
    policy = ErrorPolicy.of({"give_up_on": (*{type(each) for each in KEPT},)}, None)
    data = policy.encode(error)
    assert data is not None
    again = policy.decode(type(error).__name__, data)
    assert isinstance(again, BaseException)
    assert state(again) == state(error)


def test_an_error_of_a_class_below_the_one_that_is_named_comes_back_as_it_was() -> None:
    policy = ErrorPolicy.of({"give_up_on": Exception}, None)
    data = policy.encode(StolenError(7, "x"))
    assert data == b'{"code":7,"note":"x"}'
    assert type(policy.decode("StolenError", data)) is StolenError


@pytest.mark.parametrize(
    "error",
    [
        CardDeclinedError("seven"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # not what it says
        changed(CardDeclinedError(7), response=object()),
        UntypedError(object(), why=""),  # type: ignore[no-untyped-call]  # as it is
        PlainError(object()),
        PlainError(float("nan")),
        PlainError({"attribute": "x"}),
        PlainError(("a tuple",)),
        OSError(2, "no such file", b"the file's name"),
        AttributeError("x", name="x", obj=object()),
        UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"),
        ExceptionGroup("", [ValueError()]),
        ValueError("not named"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_would_come_back_altered_is_not_kept(error: Exception) -> None:
    names = (CardDeclinedError, UntypedError, PlainError, OSError, AttributeError, UnicodeError, ExceptionGroup)
    assert ErrorPolicy.of({"give_up_on": names}, None).encode(error) is None


def test_what_was_stored_otherwise_is_not_trusted() -> None:
    policy = ErrorPolicy.of({"give_up_on": (CardDeclinedError, OwnError, CountedError, PlainError)}, None)
    assert policy.decode("CardDeclinedError", b'{"code":7}') == CardDeclinedError(7)  # a field with a default was added
    newer = b'{"code":7,"note":"x","other":[1]}'  # by a build that knows a field more, and was taken back
    assert policy.decode("CardDeclinedError", newer) == CardDeclinedError(7, "x")
    for name, data in (
        ("CardDeclinedError", b'{"note":"x"}'),
        ("CardDeclinedError", b'{"code":7,"other":"x"}'),
        ("CardDeclinedError", b'{"code":"7"}'),
        ("CountedError", b'{"twice":2}'),
        ("OwnError", b'{"args":[{"attribute":"code"}]}'),
        ("PlainError", b"7"),
        ("SomeError", b"{}"),
    ):
        with pytest.raises(PayloadError):
            policy.decode(name, data)


class ResponseError(Exception):
    def __init__(self, response: Callable[[], int]) -> None:
        self.response = response


@attrs.define
class BareError(Exception):
    code = attrs.field()  # type: ignore[var-annotated]  # the very point


class Response:
    """No type that can be stored."""


@dataclasses.dataclass
class HeldError(Exception):
    response: Response = dataclasses.field(init=False)


@pytest.mark.parametrize("cls", [OddError, ResponseError, BareError, HeldError])
def test_an_exception_that_can_never_be_kept_is_refused_when_the_step_is_made(cls: type[Exception]) -> None:
    async def gives(inp: ChargeInput) -> Result[Charged, str]:
        return Failure(inp.reservation_id)

    with pytest.raises(
        SagaDefinitionError, match=r"cannot be kept as a business error: its (what|response|code)"
    ) as refused:
        step(gives, give_up_on=cls)
    assert "dataclass" in str(refused.value)
    gives.__annotations__["return"] = Result[Charged, cls]  # type: ignore[valid-type]  # pyright: ignore[reportInvalidTypeForm]  # at run time it is
    with pytest.raises(SagaDefinitionError, match="cannot be kept as a business error"):
        step(gives)


@pytest.mark.parametrize(
    "cls", [UnicodeDecodeError, ExceptionGroup, httpx.HTTPStatusError], ids=lambda cls: cls.__name__
)
def test_an_exception_that_never_comes_back_whole_may_be_given_up_on_and_not_promised(cls: type[Exception]) -> None:
    async def gives(inp: ChargeInput) -> Result[Charged, str]:
        return Failure(inp.reservation_id)

    step(gives, give_up_on=cls)
    gives.__annotations__["return"] = Result[Charged, cls]  # type: ignore[valid-type]  # pyright: ignore[reportInvalidTypeForm]  # at run time it is
    with pytest.raises(SagaDefinitionError, match="cannot be kept as a business error"):
        step(gives)


def test_a_clients_exceptions_may_be_named_though_only_their_message_is_kept() -> None:
    policy = ErrorPolicy.of({"give_up_on": httpx.HTTPStatusError}, None)
    request = httpx.Request("POST", "http://bank")
    error = httpx.HTTPStatusError("refused", request=request, response=httpx.Response(402, request=request))
    assert policy.judge(error) is REFUSED
    assert policy.encode(error) is None


class BankBusyError(httpx.HTTPStatusError):
    """Made by httpx's constructor, whose annotations cannot be found at run time."""


def test_a_class_that_has_a_clients_constructor_may_be_named_as_the_clients_own() -> None:
    policy = ErrorPolicy.of({"give_up_on": BankBusyError}, None)
    request = httpx.Request("POST", "http://bank")
    error = BankBusyError("refused", request=request, response=httpx.Response(402, request=request))
    assert policy.judge(error) is REFUSED
    assert policy.encode(error) is None


class Charge(BaseStep[ChargeInput, Charged]):
    @override
    async def execute(self, inp: ChargeInput, /) -> Result[Charged, Declined | CardDeclinedError]:
        return Failure(Declined(inp.reservation_id))


async def refuse(inp: ChargeInput) -> Result[Charged, Declined] | Result[Charged, str]:
    return Failure(Declined(inp.reservation_id))


def test_what_a_step_returns_in_a_failure_is_read_off_its_annotation() -> None:
    of_class = ErrorPolicy.of({}, parts_of(Charge()).errors)
    assert of_class.decode("Declined", b'{"reason":"stolen"}') == Declined("stolen")
    assert of_class.decode("CardDeclinedError", b'{"code":7,"note":""}') == CardDeclinedError(7)
    of_function = ErrorPolicy.of({}, parts_of(step(refuse)).errors)
    assert of_function.encode("no") == b'"no"'
    assert of_function.encode(Declined("no")) == b'{"reason":"no"}'
    assert of_function.encode(3) is None
    assert parts_of(charge).errors is None


@pytest.mark.parametrize("gives", [Result[int, object], Result[int, Any]])
def test_of_errors_that_may_be_anything_what_json_has_is_kept(gives: object) -> None:
    policy = ErrorPolicy.of({}, returned_errors("charge", gives))
    assert policy.encode("no") == b'"no"'
    assert policy.encode(Declined("no")) is None
    with pytest.raises(PayloadError, match="declares no business error"):
        policy.decode("str", b'"no"')


def test_errors_that_cannot_be_stored_are_refused_when_the_step_is_made() -> None:
    with pytest.raises(SagaDefinitionError, match="the error of step charge, in its Result"):
        returned_errors("charge", Result[int, Response])


def test_an_exception_is_no_value() -> None:
    with pytest.raises(SagaDefinitionError, match="CardDeclinedError is an exception") as refused:
        PayloadType.of(list[CardDeclinedError])
    assert "give_up_on=" in str(refused.value)


@pytest.mark.parametrize(
    "options, fact, mend",
    [
        ({"retry_on": "TimeoutError"}, "retry_on must name exceptions, not 'TimeoutError'", "exception class"),
        ({"retry_on": TimeoutError}, "but after one it may have been done", "leave it out"),
        ({"retry_on": ()}, "names no exception", "leave it out"),
        ({"give_up_on": (ValueError, 3)}, "give_up_on must name exceptions, not 3", "exception class"),
        ({"give_up_on": BaseException}, "must name exceptions", "exception class"),
        ({"give_up_on": [ValueError]}, "must name exceptions", "tuple"),
        ({"retry_on": ValueError, "give_up_on": (KeyError, ValueError)}, "ValueError is named in", "one of them"),
        ({"unknown_on": TimeoutError(), "retry_on": ValueError}, "unknown_on must name exceptions", "exception class"),
        ({"unknown_on": KeyError, "retry_on": KeyError}, "named in unknown_on and in retry_on", "one of them"),
        ({"unknown_on": KeyError, "give_up_on": KeyError}, "named in unknown_on and in give_up_on", "one of them"),
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
