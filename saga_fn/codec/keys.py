"""Which keys of a dict come back from JSON, where every key is a text."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Collection, Mapping
from typing import Final, Literal

import msgspec

from saga_fn.codec.fields import fields_of
from saga_fn.codec.words import type_name
from saga_fn.errors import TypeValidationError

_HINT: Final = "let the keys be texts, numbers, dates, UUIDs or enums, all of one type; or store a list of pairs"
_FIT: Final = (
    msgspec.inspect.StrType,
    msgspec.inspect.IntType,
    msgspec.inspect.FloatType,
    msgspec.inspect.BytesType,
    msgspec.inspect.UUIDType,
    msgspec.inspect.DecimalType,
    msgspec.inspect.DateType,
    msgspec.inspect.DateTimeType,
    msgspec.inspect.TimeType,
    msgspec.inspect.TimeDeltaType,
    msgspec.inspect.EnumType,
    msgspec.inspect.LiteralType,
    msgspec.inspect.AnyType,
)


def judge_keys(key: msgspec.inspect.Type) -> None:
    """Refuse keys that msgspec cannot write, or would read as others. Raises TypeValidationError."""
    members = key.types if isinstance(key, msgspec.inspect.UnionType) else (key,)
    texts = any(isinstance(each, msgspec.inspect.StrType) for each in members)
    for each in members:
        if isinstance(each, msgspec.inspect.CustomType) and each.cls is object:
            continue
        if not isinstance(each, _FIT) or (texts and len(members) > 1):
            _refuse(" | ".join(sorted(type(one).__name__.removesuffix("Type").lower() for one in members)))


def judge_model_keys(tp: object) -> None:
    """The same for a type within a pydantic model, if it is a mapping; raises TypeValidationError."""
    made = typing.get_origin(tp)
    if not isinstance(made, type) or not issubclass(made, Mapping):
        return
    key = next(iter(typing.get_args(tp)), str)
    members = [_bare(each) for each in typing.get_args(key)] if _is_union(_bare(key)) else [_bare(key)]
    if (str in members and len(members) > 1) or not all(map(_comes_back, members)):
        _refuse(type_name(key))


def _comes_back(key: object) -> bool:
    """Whether pydantic reads the text of a key as the key again."""
    if typing.get_origin(key) is Literal:
        return all(isinstance(each, str) for each in typing.get_args(key))
    made = typing.get_origin(key) or key
    cls: type[object] | None = made if isinstance(made, type) else None
    if cls is None:
        return key is not None
    if issubclass(cls, enum.Enum):
        return issubclass(cls, int) or all(isinstance(each.value, str) for each in cls)
    return cls is not type(None) and not _is_composed(cls) and fields_of(cls) is None


def _is_composed(cls: type[object]) -> bool:
    return issubclass(cls, Collection) and not issubclass(cls, str | bytes)


def _is_union(tp: object) -> bool:
    return typing.get_origin(tp) in (typing.Union, types.UnionType)


def _bare(tp: object) -> object:
    return typing.get_args(tp)[0] if typing.get_origin(tp) is typing.Annotated else tp


def _refuse(name: str) -> typing.NoReturn:
    raise TypeValidationError(
        f"a dict whose keys are {name} cannot be stored: not every key would come back", hint=_HINT
    )
