"""What a step's failures mean: which are tried again, which are the answer, and how a business error is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeGuard, Union, cast, final, get_args, get_origin

import attrs
import msgspec
from returns.result import Result

from saga_fn.codec import PayloadType
from saga_fn.definition.signature import hints_of, members
from saga_fn.errors import PayloadError, SagaDefinitionError, TypeValidationError

ErrorTypes: TypeAlias = type[Exception] | tuple[type[Exception], ...]
"""One class of exceptions, or several, as `except` takes them."""

_MEND: Final = "give an exception class or a tuple of them, as in retry_on=(TimeoutError, ConnectionError)"


def error_types(name: str, value: object) -> tuple[type[Exception], ...]:
    """The classes an option names; raises SagaDefinitionError for anything that is not a class of exceptions."""
    given = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    for each in given:
        if not isinstance(each, type) or not issubclass(each, Exception):
            raise SagaDefinitionError(f"{name} must name exceptions, not {each!r:.80}", hint=_MEND)
    if not given:
        raise SagaDefinitionError(f"{name} names no exception", hint=f"{_MEND}; or leave it out")
    return cast("tuple[type[Exception], ...]", given)  # just checked, one by one


def check_errors(options: Mapping[str, object]) -> None:
    """Raise SagaDefinitionError for an error that is to be both, tried again and given up on."""
    if "retry_on" in options and "give_up_on" in options:
        again = error_types("retry_on", options["retry_on"])
        for cls in error_types("give_up_on", options["give_up_on"]):
            if cls in again:
                raise SagaDefinitionError(
                    f"{cls.__name__} is named in retry_on and in give_up_on",
                    hint="name it in one of them; give_up_on may name a subclass of what retry_on names",
                )


@final
@attrs.frozen
class Refusals:
    """How the failures of one step are read. `retry_on` None: whatever it raises is tried again."""

    retry_on: tuple[type[Exception], ...] | None = None
    give_up_on: tuple[type[Exception], ...] = ()
    returned: Returned | None = None

    @classmethod
    def of(cls, options: Mapping[str, object], returned: Returned | None) -> Refusals:
        """What a step's options and its return type say."""
        check_errors(options)
        again, final_ = options.get("retry_on"), options.get("give_up_on")
        return cls(
            None if again is None else error_types("retry_on", again),
            () if final_ is None else error_types("give_up_on", final_),
            returned,
        )

    def is_final(self, error: BaseException) -> bool:
        """Whether the error is the step's answer: it has not been done, and will not be."""
        return isinstance(error, self.give_up_on)

    def is_fatal(self, error: BaseException) -> bool:
        """Whether the error ends the attempts, without being an answer."""
        return self.retry_on is not None and not isinstance(error, self.retry_on)

    def encode(self, error: object) -> bytes | None:
        """A business error as it is kept beside its message; None where its type cannot be stored whole."""
        try:
            if isinstance(error, BaseException):
                kept = _kept(type(error)) if type(error) in self._exceptions else None
                return None if kept is None else kept.encode(error)
            values = self.returned.values if self.returned is not None else None
            return None if values is None else values.encode(error)
        except PayloadError:
            return None

    def decode(self, name: str, data: bytes) -> object:
        """A business error that was kept, as the type that the step declares. Raises PayloadError."""
        for cls in self._exceptions:
            kept = _kept(cls) if cls.__name__ == name else None
            if kept is not None:
                return kept.decode(data)
        if self.returned is None or self.returned.values is None:
            raise PayloadError(f"the step declares no business error {name}")
        return self.returned.values.decode(data)

    @property
    def _exceptions(self) -> tuple[type[Exception], ...]:
        return (*self.give_up_on, *(self.returned.exceptions if self.returned is not None else ()))


@final
@attrs.frozen
class Returned:
    """The E of a step's `Result[O, E]`: its classes of exceptions, and how its other values are stored, if they can be."""

    exceptions: tuple[type[Exception], ...]
    values: PayloadType[Any] | None  # Any: found at run time


def returned_errors(gives: object) -> Returned | None:
    """What a step may return in a Failure, by its annotation; None where it returns none."""
    results = [member for member in members(gives) if get_origin(member) is Result]
    if not results:
        return None
    errors = [error for result in results for error in members(get_args(result)[1])]
    exceptions = tuple(each for each in errors if _is_exception(each))
    values = [each for each in errors if not _is_exception(each)]
    if not values or object in values or Any in values:
        return Returned(exceptions, None)
    wanted = values[0] if len(values) == 1 else cast("Any", Union)[tuple(values)]  # Any: a type of whatever form
    try:
        return Returned(exceptions, PayloadType.of(wanted))
    except TypeValidationError:
        return Returned(exceptions, None)


def errors_of_method(execute: Callable[..., Any]) -> Returned | None:  # Any: a method of whatever types
    """The same for a method, whose annotations nothing else depends on."""
    try:
        return returned_errors(hints_of(execute).get("return"))
    except TypeValidationError:
        return None


def _is_exception(tp: object) -> TypeGuard[type[Exception]]:
    return isinstance(tp, type) and issubclass(tp, Exception)


@attrs.frozen
class _Kept:
    """An exception with declared fields (a dataclass or an attrs class), as a record of them."""

    cls: type[BaseException]
    names: tuple[str, ...]
    record: PayloadType[Any]  # Any: made at run time

    def encode(self, error: BaseException) -> bytes:
        values = {name: getattr(error, name) for name in self.names}
        return self.record.encode(self.record.accept(values))

    def decode(self, data: bytes) -> BaseException:
        record = self.record.decode(data)
        return self.cls(**{name: getattr(record, name) for name in self.names})


_KNOWN: Final[dict[type[BaseException], _Kept | None]] = {}


def _kept(cls: type[BaseException]) -> _Kept | None:
    """How the exception is stored whole; None if it does not declare what it is made of, or that cannot be stored."""
    if cls not in _KNOWN:
        _KNOWN[cls] = _record_of(cls)
    return _KNOWN[cls]


def _record_of(cls: type[BaseException]) -> _Kept | None:
    names = _fields(cls)
    if names is None:
        return None
    try:
        hints = hints_of(cls)
        record = msgspec.defstruct(cls.__name__, [(name, hints[name]) for name in names], frozen=True)
        return _Kept(cls, names, PayloadType.of(record))
    except (TypeValidationError, KeyError, TypeError, ValueError):
        return None


def _fields(cls: type) -> tuple[str, ...] | None:
    """What an instance is made of and made with; None for a class that does not say."""
    if attrs.has(cls):
        return tuple(field.name for field in attrs.fields(cls) if field.init and field.alias == field.name)
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls) if field.init)
    return None
