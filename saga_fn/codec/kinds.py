"""The kinds of values that a type can hold, found out once. A type whose values could not all come back is refused."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from inspect import getattr_static
from typing import Any, Final, TypeGuard, TypeVar, cast

import msgspec
from typing_extensions import is_typeddict

from saga_fn.codec.attrs_classes import is_of_attrs
from saga_fn.codec.containers import is_tuple
from saga_fn.codec.fields import fields_of, is_model
from saga_fn.codec.keys import judge_keys
from saga_fn.codec.models import judge_models
from saga_fn.codec.words import SUPPORTED, UNIONS, UNRESOLVED, type_name
from saga_fn.errors import TypeValidationError

_ORDERED: Final = (
    msgspec.inspect.StrType,
    msgspec.inspect.IntType,
    msgspec.inspect.BytesType,
    msgspec.inspect.UUIDType,
    msgspec.inspect.DecimalType,
    msgspec.inspect.DateType,
)


_CHANGEABLE: Final = (
    msgspec.inspect.AnyType,
    msgspec.inspect.ByteArrayType,
    msgspec.inspect.CustomType,
    msgspec.inspect.DictType,
    msgspec.inspect.ListType,
    msgspec.inspect.MemoryViewType,
    msgspec.inspect.SetType,
    msgspec.inspect.TypedDictType,
)


class Traits(msgspec.Struct, frozen=True):
    """The traits of a type that matter when its values are encoded and read."""

    by_pydantic: bool = False
    """Only pydantic can tell its values apart: it is a model, or holds a union of models."""
    can_hide_flaws: bool = False
    """Values can hold floats, datetimes or times, or anything at all: they are searched one by one."""
    holds_sets: bool = False
    """Sets have another order in every process, but equal values must have equal bytes: the encoder sorts."""
    arranged: bool = False
    """Its JSON is put in order by this package: it has sets that no encoder can sort, or fields that would be left out."""
    has_fields: bool = False
    """Its values have fields, so that what is read may have unknown ones."""
    has_defaults: bool = False
    """A field of its values may be missing from what is read."""
    unchangeable: bool = False
    """No code can change a value in place, so that one object may be given to several."""

    @classmethod
    def of(cls, tp: object) -> Traits:
        """Judge the type; raises TypeValidationError for one that cannot be stored."""
        _refuse_variables(tp)
        if is_model(tp):
            return _of_models(tp)
        try:
            root = msgspec.inspect.type_info(tp)
        except NameError as error:
            raise TypeValidationError(
                f"a type within {type_name(tp)} is not known: {error}", hint=UNRESOLVED
            ) from error
        except RecursionError:
            raise TypeValidationError(
                f"{type_name(tp)} names itself", hint="use a class that has itself in a field, or Any"
            ) from None
        except Exception as error:
            if _union_of_models(tp):
                return _of_models(tp)
            hint = UNIONS if "custom type" in str(error) else SUPPORTED
            raise TypeValidationError(f"{type_name(tp)} cannot be stored: {error}", hint=hint) from error
        return _of_nodes(root)


def _of_models(tp: object) -> Traits:
    sets = judge_models(tp)
    return Traits(
        by_pydantic=True,
        can_hide_flaws=True,
        holds_sets=sets,
        arranged=sets,
        has_fields=True,
        has_defaults=True,
    )


def _of_nodes(root: msgspec.inspect.Type) -> Traits:
    hides = sets = arranged = fields = defaults = other_keys = False
    unchangeable = True
    for node in _nodes(root):
        unchangeable = unchangeable and _is_unchangeable(node)
        match node:
            case msgspec.inspect.SetType(item_type=item) | msgspec.inspect.FrozenSetType(item_type=item):
                sets = True
                arranged = arranged or not isinstance(item, _ORDERED)
            case msgspec.inspect.DictType(key_type=key):
                judge_keys(key)
                other_keys = other_keys or not isinstance(key, msgspec.inspect.StrType)
            case (
                msgspec.inspect.FloatType()
                | msgspec.inspect.DateTimeType()
                | msgspec.inspect.TimeType()
                | msgspec.inspect.AnyType()
            ):
                hides = True
            case msgspec.inspect.CustomType(cls=custom):
                if is_model(custom):
                    of_model = _of_models(custom)
                    sets, arranged = sets or of_model.holds_sets, arranged or of_model.arranged
                    fields = defaults = True
                elif custom is not object:
                    raise TypeValidationError(f"values of {type_name(custom)} cannot be stored", hint=SUPPORTED)
                hides = True
            case msgspec.inspect.StructType() | msgspec.inspect.DataclassType():
                made = cast("type[object]", typing.get_origin(node.cls) or node.cls)  # a generic class, as Box[int]
                _judge_class(made)
                known = fields_of(made)
                arranged = arranged or (known is not None and known.omits)
                fields = True
                defaults = defaults or any(not field.required for field in node.fields)
            case msgspec.inspect.TypedDictType():
                fields = True
            case _:
                pass
    # The encoder sorts the keys of dicts too, which it can only if they are strings.
    return Traits(
        can_hide_flaws=hides,
        holds_sets=sets,
        arranged=arranged or (sets and other_keys),
        has_fields=fields,
        has_defaults=defaults,
        unchangeable=unchangeable,
    )


def _is_unchangeable(node: msgspec.inspect.Type) -> bool:
    """Whether a value of this very kind cannot be changed in place, whatever is in it."""
    match node:
        case msgspec.inspect.StructType(cls=cls):
            return bool(_origin(cls).__struct_config__.frozen)
        case msgspec.inspect.DataclassType(cls=cls):
            params: Any = getattr(_origin(cls), "__dataclass_params__", None)  # Any: an attrs class has none
            return params is not None and bool(params.frozen)
        case _:
            return not isinstance(node, _CHANGEABLE)


def _origin(cls: object) -> Any:  # Any: a class of any library
    return typing.get_origin(cls) or cls


def _judge_class(cls: type[object]) -> None:
    if issubclass(cls, BaseException):
        # msgspec makes objects without asking the class, which crashes the interpreter for exceptions.
        raise TypeValidationError(
            f"{type_name(cls)} is an exception, and cannot be stored as a value",
            hint="return returns.result.Failure(error), or raise it and name it in give_up_on=",
        )
    compares = (
        cls.__struct_config__.eq
        if issubclass(cls, msgspec.Struct)
        else getattr_static(cls, "__eq__") is not object.__eq__
    )
    if not compares:
        raise TypeValidationError(
            f"values of {type_name(cls)} cannot be stored: they do not compare by value",
            hint="leave out eq=False, or define __eq__: a stored value is compared with what comes back",
        )
    if is_of_attrs(cls):
        import attrs

        private = [field.name for field in attrs.fields(cls) if field.name.startswith("_")]
        if private:
            raise TypeValidationError(
                f"values of {type_name(cls)} cannot be stored: the private field {private[0]} would be left out",
                hint="name its fields without an underscore",
            )


def _refuse_variables(tp: object) -> None:
    parameters: object = getattr(tp, "__parameters__", None)
    if isinstance(tp, TypeVar) or (parameters and not isinstance(tp, type)):
        raise TypeValidationError(
            f"{type_name(tp)} has a type variable", hint="say which type it is, as in BaseStep[Order, Payment]"
        )


def _nodes(root: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    """Every type within a type, each once."""
    seen: set[int] = set()
    waiting: list[object] = [root]
    while waiting:
        node = waiting.pop()
        if is_tuple(node):
            waiting.extend(node)
        elif isinstance(node, msgspec.inspect.Field):
            waiting.append(node.type)
        elif isinstance(node, msgspec.inspect.Type) and id(node) not in seen:
            seen.add(id(node))
            yield node
            waiting.extend(getattr(node, name) for name in node.__struct_fields__)


def _union_of_models(tp: object) -> bool:
    """Whether pydantic models stand in it, and nothing that pydantic does not know."""
    waiting, models = [tp], False
    while waiting:
        one = waiting.pop()
        if is_model(one):
            models = True
            continue
        made = typing.get_origin(one) or one
        if _is_foreign(made):
            return False
        waiting.extend(typing.get_args(one))
    return models


def _is_foreign(made: object) -> bool:
    """Whether it is a class that pydantic does not know."""
    cls: type[object] | None = made if isinstance(made, type) else None
    return cls is not None and (issubclass(cls, msgspec.Struct) or is_of_attrs(cls))


def classes_of(tp: object) -> tuple[type, ...]:
    """The classes whose instances are values of the type, if isinstance says what a type checker would; else none."""
    members = typing.get_args(tp) if typing.get_origin(tp) in (typing.Union, types.UnionType) else (tp,)
    found = tuple(_bare(member) for member in members)
    return tuple(one for one in found if _is_class(one)) if all(map(_is_class, found)) else ()


def _bare(tp: object) -> object:
    """The class of a generic class of one's own, as in Box[int]; any other type as it is."""
    origin = typing.get_origin(tp)
    return origin if isinstance(origin, type) and fields_of(origin) is not None else tp


def _is_class(tp: object) -> TypeGuard[type]:
    """Not for TypedDict, Any, object and float (takes int): there isinstance says something else."""
    return isinstance(tp, type) and not typing.get_args(tp) and not is_typeddict(tp) and tp not in (float, object, Any)
