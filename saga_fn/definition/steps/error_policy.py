"""The meaning of a step's failures: which are tried again, which are the answer, and how a business error is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from itertools import combinations
from typing import Any, Final, TypeAlias, TypeGuard, Union, cast, final, get_args, get_origin

import msgspec
from returns.result import Result

from saga_fn.codec import AnyType
from saga_fn.core.events import FailureKind
from saga_fn.core.ids import Micros
from saga_fn.definition.steps.clients import Arrival, arrival, causes, is_open_timeout, may_be_named
from saga_fn.definition.steps.kept_errors import check_kept, check_typed, is_plain, kept_of, named_so
from saga_fn.definition.steps.raising import OutcomeUnknown, RetryLater
from saga_fn.definition.values.annotations import hints_of, members, payload_type
from saga_fn.errors import PayloadError, SagaDefinitionError, TypeValidationError, shown

ErrorTypes: TypeAlias = type[Exception] | tuple[type[Exception], ...]
"""One class of exceptions, or several, as `except` takes them."""

_OPTIONS: Final = ("unknown_on", "give_up_on", "retry_on")
_MICROSECOND: Final = timedelta(microseconds=1)
_MEND: Final = "give an exception class or a tuple of them, as in retry_on=(BankBusyError, ConnectionRefusedError)"


def error_types(name: str, value: object) -> tuple[type[Exception], ...]:
    """The classes an option names; raises SagaDefinitionError for anything that is not a class of exceptions."""
    given = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    each: object
    for each in given:
        if not isinstance(each, type) or not issubclass(each, Exception):
            told = shown(each)  # pyright: ignore[reportUnknownArgumentType]  # whatever was given
            raise SagaDefinitionError(f"{name} must name exceptions, not {told}", hint=_MEND)
    if not given:
        raise SagaDefinitionError(f"{name} names no exception", hint=f"{_MEND}; or leave it out")
    return cast("tuple[type[Exception], ...]", given)  # just checked, one by one


def check_errors(options: Mapping[str, object]) -> None:
    """Raise SagaDefinitionError for an error that two of the options name, or a business error that cannot be kept."""
    named = {name: error_types(name, options[name]) for name in _OPTIONS if name in options}
    for (one, of_one), (other, of_other) in combinations(named.items(), 2):
        for cls in of_one:
            if cls in of_other:
                raise SagaDefinitionError(
                    f"{cls.__name__} is named in {one} and in {other}",
                    hint=f"name it in one of them; {one} may name a subclass of what {other} names",
                )
    for name in ("give_up_on", "retry_on"):
        for cls in named.get(name, ()):
            if is_open_timeout(cls):
                raise SagaDefinitionError(
                    f"{name} names {cls.__name__}, which says that nothing was done, but after one it may have been done",
                    hint="leave it out: the step is settled as on_unknown= or its probe= say, by default repeated under the same key; "
                    "where it is sure that nothing was done, raise an exception of your own in the step, and name that",
                )
    for cls in named.get("give_up_on", ()):
        check_kept(cls)


@final
class ErrorPolicy(msgspec.Struct, frozen=True):
    """How the failures of one step are read. `retry_on` None: whatever it raises is tried again."""

    retry_on: tuple[type[Exception], ...] | None = None
    give_up_on: tuple[type[Exception], ...] = ()
    returned: Returned | None = None
    unknown_on: tuple[type[Exception], ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, object], returned: Returned | None) -> ErrorPolicy:
        """Make it of a step's options and its return type."""
        check_errors(options)
        named = {name: error_types(name, options[name]) for name in _OPTIONS if name in options}
        again = named.get("retry_on")
        if again is not None and Exception in again:
            again = (
                None  # the same as the default: it names whatever is raised, and says nothing of what stands behind it
            )
        return cls(again, named.get("give_up_on", ()), returned, named.get("unknown_on", ()))

    def judge(self, error: BaseException) -> FailureKind:
        """Judge the step by the exception: UNKNOWN, BUSINESS_ERROR, ERROR (to be tried again), or FATAL (not to be).

        A named exception is what it is named as: in `unknown_on`, `give_up_on` or `retry_on`, in this order. To name
        a base class says nothing of those below it that are known to leave the outcome open (see `may_be_named`). For an
        exception that is not named its causes speak, and for a group its leaves: one in doubt makes the whole doubtful; it is
        refused only if all of them are; and it is tried again only if every one of them is.
        """
        if _is_alone(error):  # nearly always
            kind = self._by_itself(error)
            return self._unnamed if kind is None else kind
        found = {kind for _, kind in self._read(error)} or {self._unnamed}  # causes of each other say nothing
        if FailureKind.UNKNOWN in found:
            return FailureKind.UNKNOWN
        if found == {FailureKind.BUSINESS_ERROR}:
            return FailureKind.BUSINESS_ERROR
        return FailureKind.FATAL if FailureKind.FATAL in found else FailureKind.ERROR

    def answer_of(self, error: BaseException) -> BaseException:
        """The business error in an exception that is judged BUSINESS_ERROR: that itself, or what it wraps."""
        return next((each for each, kind in self._read(error) if kind is FailureKind.BUSINESS_ERROR), error)

    def delay_of(self, error: BaseException) -> Micros | None:
        """How many microseconds it asks to wait, at least, if it is judged ERROR; None if it does not say."""
        if _is_alone(error) and not isinstance(error, RetryLater):  # nearly always
            return None
        telling = (error,) if _is_alone(error) else [each for each, _ in self._read(error)]
        asked = [each.after for each in telling if isinstance(each, RetryLater)]
        return Micros(max(asked) // _MICROSECOND) if asked else None

    def _read(self, error: BaseException) -> Iterator[tuple[BaseException, FailureKind]]:
        """The exceptions that say something, with what they say."""
        seen: set[int] = set()
        left = [(error, False)]
        while left:
            each, aside = left.pop()
            if id(each) in seen:
                continue
            seen.add(id(each))
            kind = self._by_itself(each)
            if kind is None:
                behind = _behind(each)
                left.extend((other, aside or beside) for other, beside in reversed(behind))
                if any(not beside for _, beside in behind):
                    continue
                kind = self._unnamed
            if not aside or kind is FailureKind.UNKNOWN:
                yield each, kind

    def _by_itself(self, error: BaseException) -> FailureKind | None:
        """The kind that the exception is named as, or known as; None where those behind it are to be asked."""
        kind = self._named(error)
        return self._known(error) if kind is None else kind

    def _named(self, error: BaseException) -> FailureKind | None:
        """The kind by the exception itself or by the step's options; None where neither says anything."""
        if isinstance(error, OutcomeUnknown):
            return FailureKind.UNKNOWN
        if isinstance(error, RetryLater):
            return FailureKind.ERROR
        if not (self.unknown_on or self.give_up_on or self.retry_on):
            return None
        for named, kind in (
            (self.unknown_on, FailureKind.UNKNOWN),
            (self.give_up_on, FailureKind.BUSINESS_ERROR),
            (self.retry_on, FailureKind.ERROR),
        ):
            if named and any(
                kind is FailureKind.UNKNOWN or may_be_named(error, cls) for cls in _those_of(error, named)
            ):
                return kind
        return None

    def _known(self, error: BaseException) -> FailureKind | None:
        """The kind of an exception of a usual client; None for any other."""
        said = arrival(error)
        if said is None or said is Arrival.OPEN:
            return None if said is None else FailureKind.UNKNOWN
        # Nothing is in doubt, so that doubt behind it is of no account: a client's ConnectTimeout comes from a TimeoutError.
        named = (self._named(each) for each in causes(error))
        told = (kind for kind in named if kind in (FailureKind.BUSINESS_ERROR, FailureKind.ERROR))
        return next(told, self._unnamed)

    @property
    def _unnamed(self) -> FailureKind:
        """The kind of an exception that nothing is known of."""
        return FailureKind.ERROR if self.retry_on is None else FailureKind.FATAL

    def encode(self, error: object) -> bytes | None:
        """A business error as it is kept beside its message; None where it cannot be stored whole."""
        try:
            if isinstance(error, BaseException):
                return kept_of(type(error)).encode(error) if isinstance(error, self._exceptions) else None
            if self.returned is None:
                return None
            if self.returned.values is None:
                return msgspec.json.encode(error) if is_plain(error) else None
            return self.returned.values.encode(error)
        except (PayloadError, msgspec.EncodeError, ValueError):
            return None

    def decode(self, name: str, data: bytes) -> object:
        """A business error that was kept, as the type that the step declares. Raises PayloadError."""
        for cls in named_so(name, self._exceptions):
            with contextlib.suppress(PayloadError):  # another may have the same name
                return kept_of(cls).decode(data)
        if self.returned is None or self.returned.values is None:
            raise PayloadError(f"the step declares no business error {name}")
        return self.returned.values.decode(data)

    @property
    def _exceptions(self) -> tuple[type[Exception], ...]:
        return (*self.give_up_on, *(self.returned.exceptions if self.returned is not None else ()))


@final
class Returned(msgspec.Struct, frozen=True):
    """The E of a step's `Result[O, E]`: its classes of exceptions, and how its other values are stored.

    `values` None: it does not say what they are; what JSON has is kept.
    """

    exceptions: tuple[type[Exception], ...]
    values: AnyType | None


def returned_errors(name: str, gives: object) -> Returned | None:
    """The errors that a step may return in a Failure, by its annotation; None where it returns none.

    Raises TypeValidationError for errors that could not be stored.
    """
    results = [member for member in members(gives) if get_origin(member) is Result]
    if not results:
        return None
    errors = [error for result in results for error in members(get_args(result)[1])]
    exceptions = tuple(each for each in errors if _is_exception(each))
    for cls in exceptions:
        check_typed(cls)
    values = [each for each in errors if not _is_exception(each)]
    if not values or object in values or Any in values:
        return Returned(exceptions, None)
    wanted = values[0] if len(values) == 1 else cast("Any", Union)[tuple(values)]  # Any: a type of any form
    return Returned(exceptions, payload_type(wanted, f"the error of step {name}, in its Result,"))


def errors_of_method(name: str, execute: Callable[..., Any]) -> Returned | None:  # Any: a method of any types
    """The same for a method, on whose annotations nothing else depends: they may be such as cannot be found."""
    try:
        gives = hints_of(execute).get("return")
    except TypeValidationError:
        return None
    return returned_errors(name, gives)


def _is_exception(tp: object) -> TypeGuard[type[Exception]]:
    return isinstance(tp, type) and issubclass(tp, Exception)


def _those_of(error: BaseException, named: tuple[type[Exception], ...]) -> list[type[Exception]]:
    """The classes among them that the exception is of.

    A group is named by groups only: `Exception` names what is in a group, not the group, which says nothing by itself.
    """
    grouped = isinstance(error, BaseExceptionGroup)
    return [cls for cls in named if isinstance(error, cls) and (not grouped or issubclass(cls, BaseExceptionGroup))]


def _is_alone(error: BaseException) -> bool:
    """Whether nothing stands behind the exception: no cause, nothing that was being handled, no leaves of a group."""
    return error.__cause__ is None and error.__context__ is None and not isinstance(error, BaseExceptionGroup)


def _behind(error: BaseException) -> list[tuple[BaseException, bool]]:
    """The exceptions behind an unknown one: the leaves of a group, or its cause. True: only if it is in doubt.

    So it is of what was being handled when it was raised, unless `from None` says that the one has nothing to do with the
    other.
    """
    behind: list[tuple[BaseException, bool]] = []
    if isinstance(error, BaseExceptionGroup):
        behind += [(each, False) for each in cast("BaseExceptionGroup[BaseException]", error).exceptions]
    grouped = bool(behind)
    if error.__cause__ is not None:
        behind.append((error.__cause__, grouped))
    elif error.__context__ is not None and not error.__suppress_context__:
        behind.append((error.__context__, True))
    return behind
