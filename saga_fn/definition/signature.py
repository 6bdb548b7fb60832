"""What the annotations of a step's functions say, found out once, when the step is made."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar, get_args, get_origin

import attrs
from returns.result import Result

from saga_fn.codec import PayloadType
from saga_fn.definition.refs import StepContext
from saga_fn.errors import SagaDefinitionError, TypeValidationError

_EAGER_HINT = (
    "import it at run time, not under `if TYPE_CHECKING:`, and define it at module level; with ruff's TC rules set "
    "runtime-evaluated-decorators = ['saga_fn.step', 'saga_fn.saga'] and "
    "runtime-evaluated-base-classes = ['saga_fn.BaseStep', 'saga_fn.ContextStep']"
)


@attrs.frozen
class Signature:
    """The values a function takes (the context apart), what it returns, and whether it wants the context."""

    takes: tuple[object, ...]
    gives: object
    wants_context: bool


def name_of(fn: object) -> str:
    """What messages call it."""
    return str(getattr(fn, "__qualname__", None) or getattr(fn, "__name__", None) or repr(fn))


def read_signature(fn: Callable[..., Any], *, values: int, what: str) -> Signature:  # Any: judged right here
    """The signature of an async function of `values` values; raises SagaDefinitionError with what to change."""
    if isinstance(fn, functools.partial):
        raise SagaDefinitionError(
            f"{what} is a functools.partial, whose types cannot be found out",
            hint="use a bound method (step(client.charge)) or write a small async function",
        )
    if not inspect.iscoroutinefunction(fn):
        raise SagaDefinitionError(f"{what} {name_of(fn)} is not an async function", hint="write it with `async def`")
    parameters = list(inspect.signature(fn).parameters.values())
    if parameters and parameters[0].name in ("self", "cls") and not inspect.ismethod(fn):
        raise SagaDefinitionError(
            f"{name_of(fn)} is a method that has no object yet",
            hint="leave the method undecorated and wrap it where the object is: step(client.charge)",
        )
    hints = hints_of(fn)
    named = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    wants_context = len(named) > values and hints.get(named[values].name) is StepContext
    extra = named[values + wants_context :]
    unfilled = [p.name for p in extra if p.default is p.empty] + [
        p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty
    ]
    if len(named) < values or unfilled:
        expected = "its input" if values == 1 else "its input and its output"
        raise SagaDefinitionError(
            f"{what} {name_of(fn)} must take {expected}, and may take a StepContext after that",
            hint=f"annotate the parameter as StepContext, or give it a default: {', '.join(unfilled)}"
            if unfilled
            else "add the missing parameter",
        )
    takes: list[object] = []
    for parameter in named[:values]:
        if parameter.name not in hints:
            raise TypeValidationError(
                f"parameter {parameter.name!r} of {name_of(fn)} has no annotation", hint="annotate it with its type"
            )
        takes.append(hints[parameter.name])
    if "return" not in hints:
        raise TypeValidationError(
            f"{name_of(fn)} has no return annotation", hint="annotate what it returns, `-> None` if nothing"
        )
    return Signature(tuple(takes), hints["return"], wants_context)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def hints_of(fn: Callable[..., Any]) -> dict[str, Any]:  # Any: whatever a user annotated
    """The annotations as types; raises TypeValidationError for one that cannot be found at run time."""
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except NameError as error:
        raise TypeValidationError(
            f"the annotation {error.name!r} of {name_of(fn)} cannot be found at run time", hint=_EAGER_HINT
        ) from error


def output_type(gives: object) -> object:
    """The type of a step's output: O for a step that returns O or Result[O, E]."""
    if isinstance(get_origin(gives), type) and issubclass(typing.cast("type", get_origin(gives)), Result):
        return get_args(gives)[0]
    return gives


def payload_type(tp: object, what: str) -> PayloadType[Any]:  # Any: found at run time
    """How values of a type are stored; raises TypeValidationError naming the step."""
    if isinstance(tp, TypeVar):
        raise TypeValidationError(f"{what} is the type variable {tp}", hint="subclass with concrete types")
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
        return tuple(known.get(argument, argument) for argument in above)
    for parent in cls.__bases__:
        if parent is not base and issubclass(parent, base):
            return type_arguments(parent, base)
    return ()
