"""Pydantic models, without importing pydantic: how they are stored, and which could not all come back.

Pydantic decides between the members of a union when it reads; the members are judged here by the JSON that they are stored
as, so that a model that could be read as another is refused while the saga is defined.
"""

from __future__ import annotations

import enum
import itertools
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, Literal, Protocol, cast

import msgspec

from saga_fn.codec.containers import is_list
from saga_fn.codec.fields import PydanticModel, is_model
from saga_fn.codec.keys import judge_model_keys
from saga_fn.codec.words import SUPPORTED, UNRESOLVED, UnfitError, split, type_name
from saga_fn.errors import TypeValidationError

_Schema: typing.TypeAlias = dict[str, Any]  # Any: a JSON schema
_TELL_APART: Final = (
    "give each model of the union a field that tells it, as kind: Literal['approved'] = 'approved', "
    "or use msgspec Structs with tag=True"
)
_PASSES: Final = "what is in the future now would be refused when it is read later"
_MOMENTS: Final = {
    "FutureDatetime": (_PASSES, "use pydantic.AwareDatetime, and ask for the future where the value is made"),
    "FutureDate": (_PASSES, "use datetime.date, and ask for the future where the value is made"),
    "NaiveDatetime": ("a datetime without a time zone is another moment elsewhere", "use pydantic.AwareDatetime"),
}
"""Pydantic's own classes whose values are refused when they are stored, or read."""


class _Adapter(Protocol):
    def validate_json(self, data: bytes, *, by_name: bool) -> object: ...
    def dump_json(self, value: object, *, by_alias: bool, round_trip: bool, warnings: bool) -> bytes: ...
    def json_schema(self, *, by_alias: bool, mode: str) -> _Schema: ...


class Models:
    """Values of a type that pydantic knows, as JSON and back. By field names; computed fields are left out."""

    __slots__ = ("_adapter", "names")

    def __init__(self, tp: object) -> None:
        self._adapter = _adapter(tp)
        self.names: frozenset[str] = frozenset(
            name for model in _models_in(tp) for info in (model.model_fields,) for name in info
        )
        """The names that paths may have."""

    def encode(self, value: object) -> bytes:
        """The JSON of a value."""
        return self._adapter.dump_json(value, by_alias=False, round_trip=True, warnings=False)

    def decode(self, data: bytes) -> object:
        """The value of a JSON text; raises UnfitError for one that is none."""
        try:
            return self._adapter.validate_json(data, by_name=True)
        except Exception as error:  # noqa: BLE001 - whatever a class of the user's raises while it is built
            fact, path = split(error, self.names)
            raise UnfitError(fact, path) from None


@cache
def models_of(tp: object) -> Models:
    """How values of a model are stored."""
    return Models(tp)


def _adapter(tp: object) -> _Adapter:
    return cast("_Adapter", cast("Any", sys.modules["pydantic"]).TypeAdapter(tp))  # a model is there, so pydantic is


# --- what could not come back ---------------------------------------------------------------------------------------


def judge_models(tp: object) -> bool:
    """Whether values can hold sets. Raises TypeValidationError for a type of which a value could not come back equal."""
    name = type_name(tp)
    try:
        schema = _schema(tp, "serialization")
    except NameError as error:
        raise TypeValidationError(f"a type within {name} is not known: {error}", hint=UNRESOLVED) from error
    except RecursionError:
        raise TypeValidationError(f"{name} names itself", hint="use a model that has itself in a field") from None
    except Exception as error:  # noqa: BLE001 - whatever a class of the user's raises
        first = str(error).partition("\n")[0]
        hint = UNRESOLVED if "not fully defined" in first else SUPPORTED
        raise TypeValidationError(f"values of {name} cannot be stored: {first}", hint=hint) from None
    sets = False
    for node in _objects(schema):
        if node.get("writeOnly") is True:
            raise TypeValidationError(
                f"values of {name} cannot be stored: a secret would be stored as asterisks",
                hint="keep it elsewhere, and pass a reference; or use str, if it may stand in the journal",
            )
        if node.get("type") == "string" and node.get("format") == "binary":
            raise TypeValidationError(
                f"values of {name} cannot be stored: not all bytes are text",
                hint="model_config = ConfigDict(ser_json_bytes='base64', val_json_bytes='base64')",
            )
        if node.get("format") in ("file-path", "directory-path"):
            raise TypeValidationError(
                f"values of {name} cannot be stored: whether a path is there is another question when it is read",
                hint="use pathlib.Path",
            )
        sets = sets or node.get("uniqueItems") is True
    for each in _types_in(tp):
        if is_model(each):
            _judge_model(each)
        else:
            judge_model_keys(each)
            _judge_class(each)
    for union in _unions_in(tp):
        _judge_union(union)
    return sets


def _schema(tp: object, mode: str) -> _Schema:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of defaults that no schema can show
        return _adapter(tp).json_schema(by_alias=False, mode=mode)


def _objects(schema: object) -> Iterator[_Schema]:
    if isinstance(schema, dict):
        found = cast("_Schema", schema)  # its keys are strings: it was JSON
        yield found
        for key, inside in found.items():
            if key not in ("default", "examples", "const", "enum"):
                yield from _objects(inside)
    elif is_list(schema):
        for inside in schema:
            yield from _objects(inside)


def _judge_model(model: type[PydanticModel]) -> None:
    config = cast("_Schema", cast("Any", model).model_config)  # Any: pydantic's own table
    if config.get("ser_json_bytes", "utf8") != config.get("val_json_bytes", "utf8"):
        raise TypeValidationError(
            f"values of {type_name(model)} cannot be stored: bytes are written one way, and read another",
            hint="make ser_json_bytes and val_json_bytes the same",
        )
    left_out = [name for name, info in model.model_fields.items() if info.exclude]
    if left_out:
        raise TypeValidationError(
            f"values of {type_name(model)} cannot be stored: its field {left_out[0]} is left out (exclude=True)",
            hint="leave out exclude=True, or make it a PrivateAttr that is computed anew",
        )


def _judge_class(cls: object) -> None:
    """Refuse a class of which no value comes back, or not at every moment."""
    if not isinstance(cls, type):
        return
    if issubclass(cls, enum.Enum) and not all(isinstance(each.value, str | int | float) for each in cls):
        raise TypeValidationError(
            f"values of {type_name(cls)} cannot be stored: JSON has lists where its members have tuples, or nothing at all",
            hint="let the values of its members be texts or numbers",
        )
    moment = _MOMENTS.get(cls.__name__) if cls.__module__.partition(".")[0] == "pydantic" else None
    if moment is not None:
        raise TypeValidationError(f"values of {cls.__name__} cannot be stored: {moment[0]}", hint=moment[1])


def _models_in(tp: object) -> list[type[PydanticModel]]:
    return [one for one in _types_in(tp) if is_model(one)]


def _types_in(tp: object) -> list[object]:
    """Every type that the annotations of the type and its models name, each once."""
    found: list[object] = []
    waiting = [tp]
    while waiting:
        one = waiting.pop()
        if any(one is other for other in found):
            continue
        found.append(one)
        if is_model(one):
            waiting.extend(info.annotation for info in one.model_fields.values() if info.discriminator is None)
            waiting.extend(
                inside
                for info in one.model_fields.values()
                if info.discriminator is not None
                for inside in typing.get_args(info.annotation)
            )
        elif typing.get_origin(one) is typing.Annotated:
            inner, *extra = typing.get_args(one)
            told = any(getattr(each, "discriminator", None) is not None for each in extra)
            waiting.extend(typing.get_args(inner) if told else [inner])
        elif typing.get_origin(one) is not Literal:
            waiting.extend(typing.get_args(one))
    return found


def _unions_in(tp: object) -> Iterator[tuple[object, ...]]:
    for one in _types_in(tp):
        if typing.get_origin(one) in (typing.Union, types.UnionType):
            members = tuple(each for each in typing.get_args(one) if each is not type(None))
            if len(members) > 1:
                yield members


def _judge_union(members: tuple[object, ...]) -> None:
    """Refuse two members that JSON does not tell apart."""
    schemas = [_schema(member, "serialization") for member in members]
    for (one, its), (other, others) in itertools.combinations(zip(members, schemas, strict=True), 2):
        if not _told_apart(one, its, other, others):
            raise TypeValidationError(
                f"values of {type_name(one)} | {type_name(other)} cannot be stored: "
                "from JSON the one could be read as the other",
                hint=_TELL_APART if is_model(one) or is_model(other) else "use one of them, or a tagged union",
            )


def _told_apart(one: object, its: _Schema, other: object, others: _Schema) -> bool:
    its, others = _resolved(its), _resolved(others)
    kinds = _kinds(its) & _kinds(others)
    if not kinds or kinds == {"number"}:
        return not (_is_enum(one) or _is_enum(other)) or not kinds
    if kinds == {"object"}:
        return _are_objects_told_apart(its, others) and _are_objects_told_apart(others, its)
    if kinds == {"array"}:
        return (typing.get_origin(one) or one) is (typing.get_origin(other) or other)
    if kinds == {"string"}:
        return Literal in (typing.get_origin(one), typing.get_origin(other))
    return False


def _are_objects_told_apart(its: _Schema, others: _Schema) -> bool:
    """Whether the JSON of the one is surely not the other's: that needs what this has not, or has another constant."""
    mine: _Schema = its.get("properties", {})
    theirs: _Schema = others.get("properties", {})
    if its.get("additionalProperties") in (None, False) and any(
        name not in mine for name in others.get("required", ())
    ):
        return True
    return any(
        _constants(mine[name]).isdisjoint(_constants(theirs[name]))
        and _constants(mine[name])
        and _constants(theirs[name])
        for name in mine.keys() & theirs.keys()
    )


def _constants(schema: _Schema) -> set[str]:
    found: list[object] = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return set(map(repr, found))


def _resolved(schema: _Schema) -> _Schema:
    ref = schema.get("$ref")
    if not isinstance(ref, str):
        return schema
    return cast("_Schema", schema["$defs"][ref.rpartition("/")[2]])  # a schema names only what it has


def _kinds(schema: _Schema) -> set[str]:
    """The kinds of JSON values that it allows, numbers of all kinds as one."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return {"number" if kind in ("integer", "number", "boolean") else kind}
    if "anyOf" in schema:
        found: set[str] = set()
        for each in schema["anyOf"]:
            found |= _kinds(_resolved({**each, "$defs": schema.get("$defs", {})}))
        return found
    if values := [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]:
        return {"string" if isinstance(each, str) else "number" for each in values}
    return {"string", "number", "array", "object"}


def _is_enum(tp: object) -> bool:
    return isinstance(tp, type) and issubclass(tp, enum.Enum)


# --- msgspec's hooks, for models within other types -------------------------------------------------------------------


def to_json(value: object) -> object:
    """A value of a type that msgspec does not know, as JSON."""
    cls = type(value)
    if is_model(cls):
        return msgspec.Raw(models_of(cls).encode(value))
    raise TypeError(f"{type_name(cls)} has no form in JSON")


def from_builtins(tp: type, plain: object) -> object:
    """The JSON of a class that msgspec does not know, as an object of it."""
    if tp is object or isinstance(plain, tp):
        return plain
    if is_model(tp):
        # As JSON, because a strict model takes the text of a datetime only from there.
        return models_of(tp).decode(encode(plain))
    raise NotImplementedError(tp)  # every other class was refused with the type


encode: Callable[[object], bytes] = msgspec.json.Encoder(enc_hook=to_json).encode
encode_sorting: Callable[[object], bytes] = msgspec.json.Encoder(enc_hook=to_json, order="deterministic").encode
