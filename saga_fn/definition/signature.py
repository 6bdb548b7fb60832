"""What the annotations of a step's functions say, found out once, when the step is made."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType
from typing import Annotated, Any, Final, ForwardRef, NewType, TypeVar, Union, cast, get_args, get_origin

import attrs
from returns.result import Result

from saga_fn.codec import UNRESOLVED, PayloadType
from saga_fn.definition.refs import StepContext
from saga_fn.errors import (
    SagaDefinitionError,
    TypeValidationError,
    is_a,
    shown,
)

_FACTORY: Final = (
    "leave the method undecorated and wrap it where the object is, as in "
    "def make_saga(pay: Payments): charge = step(pay.charge, compensate=pay.refund)"
)


@attrs.frozen
class Signature:
    """The values a function takes (the context apart), what it returns, and whether it wants the context."""

    takes: tuple[object, ...]
    gives: object
    wants_context: bool


def name_of(fn: object) -> str:
    """What messages call it."""
    return str(getattr(fn, "__qualname__", None) or getattr(fn, "__name__", None) or shown(fn))


def read_signature(fn: Callable[..., Any], *, values: int, what: str) -> Signature:  # Any: judged right here
    """The signature of an async function of `values` values; raises SagaDefinitionError with what to change."""
    if isinstance(fn, functools.partial):
        raise SagaDefinitionError(
            f"{what} is a functools.partial, whose types cannot be found out",
            hint=f"write a small async function, or bind by a method: {_FACTORY}",
        )
    if isinstance(fn, type):
        raise SagaDefinitionError(f"{what} {fn.__name__} is a class", hint=f"give an instance: step({fn.__name__}())")
    if not inspect.iscoroutinefunction(fn):
        raise SagaDefinitionError(f"{what} {name_of(fn)} is not an async function", hint="write it with `async def`")
    parameters = list(inspect.signature(fn).parameters.values())
    if parameters and parameters[0].name in ("self", "cls") and not inspect.ismethod(fn):
        raise SagaDefinitionError(
            f"{name_of(fn)} is a method that has no object yet",
            hint=_FACTORY,
        )
    hints = hints_of(fn)
    named = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    wants_context = len(named) > values and _is_context(hints.get(named[values].name))
    extra = named[values + wants_context :]
    for other in parameters:
        if _is_context(hints.get(other.name)) and not (wants_context and other is named[values]):
            raise SagaDefinitionError(
                f"{what} {name_of(fn)} takes its StepContext as {shown(other.name)}, where it would not be given one",
                hint="make it the next positional parameter after its input, or after its output in a compensation",
            )
    unfilled = [p.name for p in extra if p.default is p.empty] + [
        p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty
    ]
    if len(named) < values or unfilled:
        expected = "its input" if values == 1 else "its input and its output"
        raise SagaDefinitionError(
            f"{what} {name_of(fn)} must take {expected}, and may take a StepContext after that",
            hint=f"annotate the parameter as StepContext, give it a default, or bind it by a method: {', '.join(unfilled)}"
            if unfilled
            else "add the missing parameter",
        )
    takes: list[object] = []
    for parameter in named[:values]:
        if parameter.name not in hints:
            raise TypeValidationError(
                f"parameter {shown(parameter.name)} of {name_of(fn)} has no annotation",
                hint="annotate it with its type",
            )
        takes.append(hints[parameter.name])
    if "return" not in hints:
        raise TypeValidationError(
            f"{name_of(fn)} has no return annotation", hint="annotate what it returns, `-> None` if nothing"
        )
    return Signature(tuple(takes), hints["return"], wants_context)


def _is_context(annotation: object) -> bool:
    """Whether it is StepContext, or an optional one, as in `ctx: StepContext | None = None`: so a test can do without."""
    of = [member for member in members(_bare(annotation)) if member is not types.NoneType]
    return len(of) == 1 and of[0] is StepContext


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def hints_of(fn: Callable[..., Any] | type) -> dict[str, Any]:  # Any: whatever a user annotated
    """The annotations as types; raises TypeValidationError for one that cannot be found at run time."""
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except NameError as error:
        raise TypeValidationError(
            f"the annotation {shown(error.name)} of {name_of(fn)} cannot be found at run time", hint=UNRESOLVED
        ) from error
    except Exception as error:  # whatever evaluating an annotation raises
        raise TypeValidationError(
            f"an annotation of {name_of(fn)} cannot be evaluated: {error}", hint="annotate with types, as in -> Payment"
        ) from error


def written(fn: object) -> FunctionType | MethodType | None:
    """The function that is called in the end: of a partial that which it wraps, of an object its `__call__`; else None."""
    while isinstance(fn, functools.partial):
        fn = cast("functools.partial[object]", fn).func
    if not isinstance(fn, FunctionType | MethodType | type):
        fn = getattr(fn, "__call__", None)  # noqa: B004 - it is asked for its annotations, too
    return fn if isinstance(fn, FunctionType | MethodType) else None


def output_type(gives: object) -> object:
    """The type of a step's output: O for a step that returns O, Result[O, E] or a union of these."""
    if gives is Result:
        raise TypeValidationError("a bare Result does not say the output's type", hint="write Result[Payment, Refusal]")
    outputs = tuple(get_args(tp)[0] if get_origin(tp) is Result else tp for tp in members(gives))
    if outputs == members(gives):
        return gives
    return cast("Any", Union)[outputs]  # Any: a type of whatever form


def fits(given: object, wanted: object) -> bool:
    """Whether a value of one type can be passed as the other; False only where it surely cannot."""
    given, wanted = _bare(given), _bare(wanted)
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
        return False  # to the checkers a string holds strings; nobody means its characters
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
    """Whether it is a dict of whatever values: it may stand for an object, and is judged when it is there."""
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
    bare = _bare(tp)
    found = members(bare)
    return (bare,) if found == (bare,) else tuple(one for member in found for one in alternatives(member))


def _bare(tp: object) -> object:
    """A type without its NewType and Annotated."""
    if get_origin(tp) is Annotated:
        return _bare(get_args(tp)[0])
    return _bare(tp.__supertype__) if isinstance(tp, NewType) else tp


def payload_type(tp: object, what: str) -> PayloadType[Any]:  # Any: found at run time
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
    """What the class puts for the type variables of a generic base, through all classes in between."""
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
    return cast("Any", argument)[tuple(known.get(one, one) for one in inner)]  # Any: a generic alias of whatever form
