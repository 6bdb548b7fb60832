"""The fields of a class whose objects are stored as JSON objects, whatever library made the class."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeGuard, cast

import msgspec

from saga_fn.codec.attrs_classes import is_of_attrs


class Field(msgspec.Struct, frozen=True):
    """One field of an object, as Python and as JSON have it."""

    attribute: str
    stored: str
    """The key it is stored under."""
    names: frozenset[str]
    """The keys that it is read from."""
    defaulted: bool
    """It may be missing from what is read, and is always in what is stored."""
    compared: bool = True
    """Equality looks at it."""


class Fields(msgspec.Struct, frozen=True):
    """The facts that are known of a class."""

    each: tuple[Field, ...]
    known: frozenset[str]
    """Every key that is read, the tag included."""
    open: bool
    """The class itself says what becomes of other keys, or makes others of them: nothing is said of what it reads."""
    positional: int | None = None
    """It is stored as a list: how many places come before the first field."""
    omits: bool = False
    """It leaves out what equals its default when it is encoded."""


class PydanticModel(Protocol):
    """The part of a pydantic model that this package uses, without importing pydantic."""

    model_fields: Mapping[str, Any]  # Any: pydantic's FieldInfo
    __dict__: dict[str, object]
    __pydantic_private__: dict[str, object] | None
    __pydantic_extra__: dict[str, object] | None


def is_model(cls: object) -> TypeGuard[type[PydanticModel]]:
    """Whether it is a class of pydantic's."""
    return isinstance(cls, type) and hasattr(cls, "__pydantic_validator__") and hasattr(cls, "model_validate_json")


_KNOWN: dict[type[object], Fields | None] = {}


def fields_of(cls: type[object]) -> Fields | None:
    """The fields of the class; None if its objects are no objects in JSON."""
    try:
        return _KNOWN[cls]
    except KeyError:
        found = _KNOWN[cls] = _look_up(cls)
        return found


def _look_up(cls: type[object]) -> Fields | None:
    if is_model(cls):
        return _of_model(cls)
    if issubclass(cls, msgspec.Struct):
        return _of_struct(cls)
    if is_of_attrs(cls):
        import attrs

        found: tuple[Any, ...] = attrs.fields(cls)  # Any: attributes of all types
        return _closed(
            Field(each.name, each.name, frozenset({each.name}), each.default is not attrs.NOTHING, bool(each.eq))
            for each in found
        )
    if dataclasses.is_dataclass(cls):
        return _closed(
            Field(
                each.name,
                each.name,
                frozenset({each.name}),
                # A field that is not among the arguments of `__init__` is stored only once it is set.
                each.init and not (each.default is each.default_factory is dataclasses.MISSING),
                each.compare,
            )
            for each in dataclasses.fields(cls)
        )
    return None


def _closed(found: Iterator[Field]) -> Fields:
    each = tuple(found)
    return Fields(each, frozenset(one.stored for one in each), open=False)


def _of_struct(cls: type[msgspec.Struct]) -> Fields:
    config = cls.__struct_config__
    each = tuple(
        Field(
            one.name,
            one.encode_name,
            frozenset({one.encode_name}),
            # A field that can be UNSET is left out by the choice of its class.
            not one.required and one.default is not msgspec.UNSET,
        )
        for one in msgspec.structs.fields(cls)
    )
    tag = frozenset[str]() if config.tag_field is None else frozenset({config.tag_field})
    return Fields(
        each,
        frozenset(one.stored for one in each) | tag,
        open=False,
        positional=len(tag) if config.array_like else None,
        omits=config.omit_defaults,
    )


def _of_model(cls: type[PydanticModel]) -> Fields:
    decorators = cast("Any", cls).__pydantic_decorators__  # Any: pydantic's own tables
    config = cast("dict[str, Any]", cast("Any", cls).model_config)  # Any: as above
    each = tuple(
        Field(name, name, frozenset({name, *_aliases(info)}), not info.is_required())
        for name, info in cls.model_fields.items()
    )
    # A root model is stored as what it holds; one that validates or serializes as a whole has its own way with keys.
    opened = (
        config.get("extra") == "allow"
        or bool(getattr(cls, "__pydantic_root_model__", False))
        or bool(decorators.model_serializers or decorators.root_validators)
        or any(one.info.mode != "after" for one in decorators.model_validators.values())
    )
    return Fields(each, frozenset(name for one in each for name in one.names), open=opened)


def _aliases(info: Any) -> Iterator[str]:  # Any: pydantic's FieldInfo
    for alias in (info.alias, info.validation_alias):
        for choice in getattr(alias, "choices", [alias]):
            first = choice if isinstance(choice, str) else next(iter(getattr(choice, "path", ())), None)
            if isinstance(first, str):
                yield first


def held(value: object) -> Iterator[tuple[Field, object]]:
    """The fields of an object with what they hold; none for what is no object."""
    found = fields_of(type(value))
    for field in () if found is None else found.each:
        inside = getattr(value, field.attribute, msgspec.UNSET)
        if inside is not msgspec.UNSET:
            yield field, inside
