"""Values to bytes and back: the only door between what user code holds and what the store keeps.

The format is JSON in UTF-8, so that an operator can read a payload in psql. JSON cannot say everything that Python
can, and a payload that silently comes back as something else would corrupt a saga long after the mistake. So the law
of this file is: `decode(encode(v)) == v`, or `encode(v)` raises. It is held by doing it: every value is decoded again
and compared before it is given away. What equality cannot see (a NaN that turns into null behind a field that is not
compared, a datetime that means another instant on another machine) is searched for, where the type can hold it.
"""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import cache
from inspect import getattr_static
from typing import Any, Generic, Protocol, TypeGuard, TypeVar, cast

import attrs
import msgspec
from typing_extensions import override

from saga_fn.errors import PayloadError, TypeValidationError

T = TypeVar("T")

SUPPORTED = "use a msgspec Struct, a dataclass, an attrs class, a TypedDict, a pydantic model, or builtins and containers of them"
_CHANGED = "if the saga's definition changed while sagas were live, register the new one as a new version"


class PayloadType(Generic[T]):
    """How values of one Python type are stored. Prefer `PayloadType.of`, which keeps one per type.

    Raises TypeValidationError for a type that cannot be stored.

    >>> PayloadType.of(list[int]).encode([1, 2])
    b'[1,2]'
    >>> PayloadType.of(list[int]).decode(b"[1,2]")
    [1, 2]
    """

    __slots__ = ("_class", "_decoder", "_encoder", "_searched", "name", "tp")

    tp: object
    """The type as it was given: a class, a generic alias, a union."""
    name: str
    """The type as messages call it."""

    def __init__(self, tp: object) -> None:
        self.tp = tp
        self.name = type_name(tp)
        self._class: type | None = tp if _is_class(tp) else None
        traits = _Traits.of(tp)
        self._searched = traits.can_hide_flaws
        self._encoder = _SORTING_ENCODER if traits.holds_sets else _ENCODER
        # Any: `tp` may be any form of type, and what is decoded is what it says.
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(tp, dec_hook=_from_builtins)

    @classmethod
    def of(cls, tp: object) -> PayloadType[Any]:  # Any: a type read from an annotation is known at run time only
        """The payload type of `tp`, inspected once per process."""
        try:
            return _cached(tp)
        except TypeError:  # not hashable after all, as Annotated with a list is not
            return PayloadType(tp)

    @override
    def __repr__(self) -> str:
        return f"PayloadType({self.name})"

    def encode(self, value: object) -> bytes:
        """The bytes of `value`.

        Raises PayloadError for a value of another type, and for one that would not come back equal.
        """
        try:
            data = self._encoder.encode(value)
            back: object = self._decoder.decode(data)
            same = bool(back == value)
            flaw = _first_flaw(value) if self._searched and same else None
        # Whatever a user's class raises while it is encoded, built or compared, it is this value that cannot be stored.
        except Exception as error:
            raise self._refusal(value, error) from error
        if flaw is not None:
            raise _Refused(*flaw).as_error(self.name)
        if not same:
            raise self._refusal(value, back)
        return data

    def decode(self, data: bytes) -> T:
        """The value that was stored as `data`; PayloadError if it is not one of this type (any more)."""
        try:
            value: T = self._decoder.decode(data)
        except Exception as error:
            fact, path = _split(error)
            raise PayloadError(f"stored data is no valid {self.name}: {fact}", path=path, hint=_CHANGED) from error
        return value

    def accept(self, value: object) -> T:
        """`value`, as a T: itself if it is one, converted if it is the dict, list... that stands for one.

        Raises PayloadError if it cannot be converted. What is inside a T is judged by `encode`, not here.

        >>> PayloadType.of(tuple[int, ...]).accept([1, 2])
        (1, 2)
        """
        if self._class is not None and isinstance(value, self._class):
            return cast("T", value)  # just checked, but `tp` is no `type[T]` to a checker
        try:
            # Any: `tp` may be any form of type, which no overload of convert covers.
            converted: Any = msgspec.convert(value, cast("Any", self.tp), dec_hook=_from_builtins)
        except Exception as error:
            fact, path = _split(error)
            raise PayloadError(
                f"{_shown(value)} is no valid {self.name}: {fact}", path=path, hint=f"pass what {self.name} declares"
            ) from error
        return cast("T", converted)  # what msgspec was asked for

    def _refusal(self, value: object, cause: object) -> PayloadError:
        """Why `value` was refused, found out by looking closer: `cause` is the exception, or what it came back as."""
        try:
            flaw = _first_flaw(value)
        except Exception:  # noqa: BLE001 - the search is only for a better message; the cause itself is at hand
            flaw = None
        if flaw is not None:
            return _Refused(*flaw).as_error(self.name)
        if isinstance(cause, RecursionError):
            fact, hint = "it is nested too deeply", "flatten it, or keep it elsewhere and pass a reference"
            return PayloadError(f"this {self.name} cannot be stored: {fact}", hint=hint)
        if isinstance(cause, msgspec.ValidationError) or (
            self._class is not None and not isinstance(value, self._class)
        ):
            fact, path = _split(cause) if isinstance(cause, Exception) else (f"it is a {type_name(type(value))}", None)
            return PayloadError(
                f"{_shown(value)} is no valid {self.name}: {fact}",
                path=path,
                hint=f"return or pass exactly what the annotation says: {self.name}",
            )
        if isinstance(cause, TypeError) and self._encoder is _SORTING_ENCODER:
            return PayloadError(
                f"this {self.name} cannot be stored: {cause}",
                hint="equal sets must have equal bytes: what is in a set must have an order (order=True), or be a list",
            )
        if isinstance(cause, Exception):
            return PayloadError(f"this {self.name} cannot be stored: {_split(cause)[0]}", hint=SUPPORTED)
        return PayloadError(
            f"this {self.name} would not come back equal from JSON: {_shown(value)} would be {_shown(cause)}",
            hint="annotate the exact types (tuple or list, the subclass itself, keys that are strings, no init=False), "
            "and convert aware datetimes to UTC",
        )


@cache
def _cached(tp: object) -> PayloadType[Any]:  # Any: the cache holds payload types of all types
    return PayloadType(tp)


# --- what a type can hold -------------------------------------------------------------------------------------------


@attrs.frozen
class _Traits:
    can_hide_flaws: bool
    """Values can hold floats or datetimes, or anything at all: they are searched one by one."""
    holds_sets: bool
    """Sets have another order in every process, but equal values must have equal bytes: the encoder sorts."""

    @classmethod
    def of(cls, tp: object) -> _Traits:
        hides = sets = False
        for node in _nodes(tp):
            match node:
                case msgspec.inspect.SetType() | msgspec.inspect.FrozenSetType():
                    sets = True
                case msgspec.inspect.FloatType() | msgspec.inspect.DateTimeType() | msgspec.inspect.AnyType():
                    hides = True
                case msgspec.inspect.CustomType(cls=custom):
                    if custom is not object and not _is_pydantic(custom):
                        raise TypeValidationError(f"values of {type_name(custom)} cannot be stored", hint=SUPPORTED)
                    hides = True
                case msgspec.inspect.DataclassType(cls=data) if issubclass(data, BaseException):
                    # msgspec makes objects without asking the class, which crashes the interpreter for exceptions.
                    raise TypeValidationError(
                        f"{type_name(data)} is an exception, and cannot be stored as a value",
                        hint="return returns.result.Failure(error), or raise it and name it in give_up_on=",
                    )
                case msgspec.inspect.StructType(cls=struct) if not struct.__struct_config__.eq:
                    raise _without_equality(struct)
                case msgspec.inspect.DataclassType(cls=data) if getattr_static(data, "__eq__") is object.__eq__:
                    raise _without_equality(data)
                case _:
                    pass
        return cls(can_hide_flaws=hides, holds_sets=sets)


def _nodes(tp: object) -> Iterator[msgspec.inspect.Type]:
    """Every type within `tp`, each once."""
    parameters: object = getattr(tp, "__parameters__", None)
    if isinstance(tp, TypeVar) or (parameters and not isinstance(tp, type)):
        raise TypeValidationError(
            f"{type_name(tp)} has a type variable", hint="say which type it is, as in BaseStep[Order, Payment]"
        )
    try:
        root = msgspec.inspect.type_info(tp)
    except NameError as error:
        raise TypeValidationError(f"a type within {type_name(tp)} is not known: {error}", hint=UNRESOLVED) from error
    except Exception as error:
        raise TypeValidationError(f"{type_name(tp)} cannot be stored: {error}", hint=SUPPORTED) from error
    seen: set[int] = set()
    waiting: list[object] = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, tuple):
            waiting.extend(cast("tuple[object, ...]", node))
        elif isinstance(node, msgspec.inspect.Field):
            waiting.append(node.type)
        elif isinstance(node, msgspec.inspect.Type) and id(node) not in seen:
            seen.add(id(node))
            yield node
            waiting.extend(getattr(node, name) for name in node.__struct_fields__)


UNRESOLVED = (
    "import it at run time, at module level, above its use: not under TYPE_CHECKING, not inside a function. "
    "With ruff's TC rules, put saga_fn.step and saga_fn.saga into runtime-evaluated-decorators, "
    "saga_fn.BaseStep and saga_fn.ContextStep into runtime-evaluated-base-classes (lint.flake8-type-checking)"
)


def _without_equality(cls: type) -> TypeValidationError:
    return TypeValidationError(
        f"values of {type_name(cls)} cannot be stored: they do not compare by value",
        hint="leave out eq=False, or define __eq__: a stored value is compared with what comes back",
    )


def type_name(tp: object) -> str:
    """A type as a person writes it.

    >>> type_name(dict[str, int] | None)
    'dict[str, int] | None'
    """
    if isinstance(tp, type) and not typing.get_args(tp):
        return "None" if tp is type(None) else tp.__qualname__
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?:<locals>\.)?(?=\w)", "", str(tp))


def _is_class(tp: object) -> TypeGuard[type]:
    """Whether isinstance says what a type checker would: not for TypedDict, Any, object and float (takes int)."""
    return (
        isinstance(tp, type)
        and not typing.get_args(tp)
        and not typing.is_typeddict(tp)
        and tp not in (float, object, Any)
    )


# --- what a value hides ---------------------------------------------------------------------------------------------


@attrs.frozen
class _Refused:
    fact: str
    path: str
    hint: str

    def as_error(self, name: str) -> PayloadError:
        return PayloadError(f"this {name} cannot be stored: {self.fact} at {self.path}", path=self.path, hint=self.hint)


def _first_flaw(value: object) -> tuple[str, str, str] | None:
    """What JSON would lose in `value`, as (fact, path, hint). Datetimes and Decimals stay as they are for the search."""
    plain: object = msgspec.to_builtins(value, builtin_types=(datetime, Decimal), enc_hook=_to_builtins)
    return next(_flaws(plain, "$"), None)


def _flaws(plain: object, path: str) -> Iterator[tuple[str, str, str]]:
    match plain:
        case float() if not math.isfinite(plain):
            yield f"{plain} has no form in JSON", path, "use None, or a Decimal, which can be NaN and infinite"
        case datetime() if plain.utcoffset() is None:
            yield (
                f"{plain!r} has no time zone",
                path,
                "make it aware, as in datetime.now(timezone.utc)",
            )
        case str() if not _is_utf8(plain):
            yield (
                "a lone surrogate is no valid text",
                path,
                "decode bytes with errors='replace', or store them as bytes",
            )
        case dict():
            for key, item in cast("dict[object, object]", plain).items():
                yield from _flaws(key, f"{path} (key)")
                yield from _flaws(item, f"{path}.{key}" if isinstance(key, str) else f"{path}[{key!r}]")
        case list() | tuple() | set() | frozenset():
            for place, item in enumerate(cast("list[object]", plain)):
                yield from _flaws(item, f"{path}[{place}]")
        case _:
            pass


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- msgspec's hooks: pydantic models, without importing pydantic ---------------------------------------------------


class _PydanticModel(Protocol):
    @classmethod
    def model_validate_json(cls, json_data: bytes, *, by_name: bool) -> object: ...
    def model_dump(self, *, by_alias: bool, warnings: bool) -> dict[str, object]: ...
    def model_dump_json(self, *, by_alias: bool, warnings: bool) -> str: ...


def _is_pydantic(tp: type) -> TypeGuard[type[_PydanticModel]]:
    return hasattr(tp, "__pydantic_validator__") and hasattr(tp, "model_validate_json")


def _to_json(value: object) -> object:
    if _holds_pydantic(value):
        return msgspec.Raw(value.model_dump_json(by_alias=False, warnings=False).encode())
    raise TypeError(f"{type_name(type(value))} has no form in JSON")


def _to_builtins(value: object) -> object:
    if _holds_pydantic(value):
        return value.model_dump(by_alias=False, warnings=False)
    raise TypeError(f"{type_name(type(value))} has no form in JSON")


def _holds_pydantic(value: object) -> TypeGuard[_PydanticModel]:
    return _is_pydantic(type(value))


def _from_builtins(tp: type, plain: object) -> object:
    if tp is object or isinstance(plain, tp):
        return plain
    if _is_pydantic(tp):
        # By field name as we dump it, and by alias as a user's dict may have it. As JSON, because a strict model takes
        # the text of a datetime only from there.
        return tp.model_validate_json(_ENCODER.encode(plain), by_name=True)
    raise NotImplementedError(tp)  # _Traits has refused every other custom type


_ENCODER = msgspec.json.Encoder(enc_hook=_to_json)
_SORTING_ENCODER = msgspec.json.Encoder(enc_hook=_to_json, order="deterministic")


# --- messages -------------------------------------------------------------------------------------------------------

_AT = re.compile(r" - at `(?:key in )?(\$[^`]*)`$")


def _split(error: Exception) -> tuple[str, str | None]:
    """The message of msgspec's error, and the path in it."""
    text = str(error) or type(error).__name__
    found = _AT.search(text)
    return (text, found.group(1)) if found else (text, None)


def _shown(value: object) -> str:
    """A value as a message shows it: its type only, for payloads do not belong in logs."""
    return f"a value of type {type_name(type(value))}"
