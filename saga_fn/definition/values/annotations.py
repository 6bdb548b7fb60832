"""The types of annotations, and whether a value of one type can be passed as another."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType
from typing import Annotated, Any, Final, ForwardRef, NewType, TypeVar, Union, cast, get_args, get_origin

from saga_fn.codec import UNRESOLVED, AnyType, PayloadType
from saga_fn.errors import TypeValidationError, is_a, shown


def name_in_messages(fn: object) -> str:
    """Its name in messages."""
    return str(getattr(fn, "__qualname__", None) or getattr(fn, "__name__", None) or shown(fn))


def hints_of(fn: Callable[..., Any] | type) -> dict[str, Any]:  # Any: whatever a user annotated
    """The annotations as types; raises TypeValidationError for one that cannot be found at run time."""
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except NameError as error:
        raise TypeValidationError(
            f"the annotation {shown(error.name)} of {name_in_messages(fn)} cannot be found at run time", hint=UNRESOLVED
        ) from error
    except Exception as error:  # whatever evaluating an annotation raises
        raise TypeValidationError(
            f"an annotation of {name_in_messages(fn)} cannot be evaluated: {error}",
            hint="annotate with types, as in -> Payment",
        ) from error


def written(fn: object) -> FunctionType | MethodType | None:
    """The function that is called in the end: of a partial that which it wraps, of an object its `__call__`; else None."""
    while isinstance(fn, functools.partial):
        fn = cast("functools.partial[object]", fn).func
    if not isinstance(fn, FunctionType | MethodType | type):
        fn = getattr(fn, "__call__", None)  # noqa: B004 - it is asked for its annotations, too
    return fn if isinstance(fn, FunctionType | MethodType) else None


def fits(given: object, wanted: object) -> bool:
    """Whether a value of one type can be passed as the other; False only where it surely cannot."""
    given, wanted = bare(given), bare(wanted)
    if given == wanted or wanted is object or Any in (given, wanted):
        return True
    if len(members(given)) > 1:
        return all(fits(member, wanted) for member in members(given))
    if len(members(wanted)) > 1:
        return any(fits(given, member) for member in members(wanted))
    one, other = get_origin(given) or given, get_origin(wanted) or wanted
    if not isinstance(one, type) or not isinstance(other, type):
        return True
    try:
        if not issubclass(one, int | float if other is float else other):
            return False
    except TypeError:  # a TypedDict or a Protocol: only a checker can tell
        return True
    return _held_fits(one, get_args(given), other, get_args(wanted))


def _held_fits(one: type, held: tuple[object, ...], other: type, wanted: tuple[object, ...]) -> bool:
    """Whether what the one container holds can be what the other one holds; True where either does not say."""
    if wanted and issubclass(one, str | bytes | bytearray):
        return False  # to the checkers a string holds strings; its characters are never meant
    if not held or not wanted:
        return True
    if issubclass(one, tuple):
        if not issubclass(other, tuple):
            return all(_may_be(item, wanted[0]) for item in held if item is not ...)
        if ... in wanted or ... in held:
            return all(_may_be(item, to) for item in held for to in wanted if ... not in (item, to))
        return len(held) == len(wanted) and all(map(_may_be, held, wanted))
    if one is not other and (one.__module__ not in _CONTAINERS or len(held) != len(wanted)):
        return True  # parameters of another meaning
    return all(map(_may_be, held, wanted))


_CONTAINERS: Final = frozenset({"builtins", "collections", "collections.abc"})


def _may_be(held: object, wanted: object) -> bool:
    """As `fits`; an `object` says nothing, and a dict may stand for an object."""
    return all(member is object or is_any_dict(member) or fits(member, wanted) for member in members(held))


def is_any_dict(tp: object) -> bool:
    """Whether it is a dict whose values may be anything: it may stand for an object, and is judged when it is there."""
    return (
        (get_origin(tp) or tp) in (dict, Mapping)
        and all(one in (Any, object, str) for one in get_args(tp)[:1])
        and all(one in (Any, object) for one in get_args(tp)[1:])
    )


def takes(fn: object, arguments: int) -> bool:
    """Whether it can be called with so many arguments, as far as it tells."""
    if not callable(fn):
        return False
    try:
        inspect.signature(fn).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:  # a builtin that does not tell
        return True
    return True


def members(tp: object) -> tuple[object, ...]:
    """The types a union is of; any other type alone."""
    return get_args(tp) if get_origin(tp) in (Union, types.UnionType) else (tp,)


def alternatives(tp: object) -> tuple[object, ...]:
    """The types a union is of, without NewTypes and Annotated; any other type alone."""
    isolated = bare(tp)
    found = members(isolated)
    return (isolated,) if found == (isolated,) else tuple(one for member in found for one in alternatives(member))


def bare(tp: object) -> object:
    """A type without its NewType and Annotated."""
    if get_origin(tp) is Annotated:
        return bare(get_args(tp)[0])
    return bare(tp.__supertype__) if isinstance(tp, NewType) else tp


def payload_type(tp: object, what: str) -> AnyType:
    """How values of a type are stored; raises TypeValidationError naming the step."""
    if isinstance(tp, TypeVar):
        raise TypeValidationError(f"{what} is the type variable {tp}", hint="subclass with concrete types")
    if isinstance(tp, str | ForwardRef):
        raise TypeValidationError(f"{what} is only a name: {shown(tp)}", hint=UNRESOLVED)
    if is_a(tp, (list, dict, set)):
        raise TypeValidationError(
            f"{what} is a value, not a type: {shown(tp)}", hint="write list[Payment], not [Payment]"
        )
    try:
        return PayloadType.of(tp)
    except TypeValidationError as error:
        raise TypeValidationError(f"{what}: {error.fact}", hint=error.hint) from error


def type_arguments(cls: type, base: type) -> tuple[object, ...]:
    """The types that the class puts for the type variables of a generic base, through all classes in between."""
    known: dict[object, object] = {}
    for parent in getattr(cls, "__orig_bases__", ()):
        origin, given = get_origin(parent), get_args(parent)
        if not isinstance(origin, type) or not issubclass(origin, base):
            continue
        if origin is base:
            return given
        above = type_arguments(origin, base)
        known = dict(zip(getattr(origin, "__parameters__", ()), given, strict=False))
        return tuple(_substituted(argument, known) for argument in above)
    for parent in cls.__bases__:
        if parent is not base and issubclass(parent, base):
            return type_arguments(parent, base)
    return ()


def _substituted(argument: object, known: Mapping[object, object]) -> object:
    """The argument with type variables replaced, within list[T] too."""
    if isinstance(argument, TypeVar):
        return known.get(argument, argument)
    inner: tuple[object, ...] = getattr(argument, "__parameters__", ())
    if not inner or isinstance(argument, type):
        return argument
    return cast("Any", argument)[tuple(known.get(one, one) for one in inner)]  # Any: a generic alias of any form
