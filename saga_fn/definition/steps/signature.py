"""The types that a step's functions take and give, by their annotations: found out once, when the step is made."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, Final, Union, cast, get_args, get_origin

import msgspec
from returns.result import Result

from saga_fn.definition.steps.context import StepContext, TransactionalContext
from saga_fn.definition.values.annotations import bare, hints_of, members, name_in_messages
from saga_fn.errors import SagaDefinitionError, TypeValidationError, shown

_FACTORY: Final = (
    "leave the method undecorated and wrap it where the object is, as in "
    "def make_saga(pay: Payments): charge = step(pay.charge, compensate=pay.refund)"
)


class Signature(msgspec.Struct, frozen=True):
    """The values a function takes (the context apart), what it returns, and whether it wants the context."""

    takes: tuple[object, ...]
    gives: object
    wants_context: bool
    wants_connection: bool
    """The context that it wants is a TransactionalContext."""


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
        raise SagaDefinitionError(
            f"{what} {name_in_messages(fn)} is not an async function", hint="write it with `async def`"
        )
    parameters = list(inspect.signature(fn).parameters.values())
    if parameters and parameters[0].name in ("self", "cls") and not inspect.ismethod(fn):
        raise SagaDefinitionError(
            f"{name_in_messages(fn)} is a method that has no object yet",
            hint=_FACTORY,
        )
    hints = hints_of(fn)
    named = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    wanted = _context(hints.get(named[values].name)) if len(named) > values else None
    wants_context = wanted is not None
    extra = named[values + wants_context :]
    for other in parameters:
        if _context(hints.get(other.name)) is not None and not (wants_context and other is named[values]):
            raise SagaDefinitionError(
                f"{what} {name_in_messages(fn)} takes its StepContext as {shown(other.name)}, where it would not be given one",
                hint="make it the next positional parameter after its input, or after its output in a compensation",
            )
    unfilled = [p.name for p in extra if p.default is p.empty] + [
        p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty
    ]
    if len(named) < values or unfilled:
        expected = "its input" if values == 1 else "its input and its output"
        hint = "add the missing parameter"
        if unfilled:
            hint = f"annotate the parameter as StepContext, give it a default, or bind it by a method: {', '.join(unfilled)}"
            if values == 1:
                hint += (
                    "; or let one type have all inputs, made where the step is called: the_step(a, b, using=ThatType)"
                )
        raise SagaDefinitionError(
            f"{what} {name_in_messages(fn)} must take {expected}, and may take a StepContext after that", hint=hint
        )
    takes: list[object] = []
    for parameter in named[:values]:
        if parameter.name not in hints:
            raise TypeValidationError(
                f"parameter {shown(parameter.name)} of {name_in_messages(fn)} has no annotation",
                hint="annotate it with its type",
            )
        takes.append(hints[parameter.name])
    if "return" not in hints:
        raise TypeValidationError(
            f"{name_in_messages(fn)} has no return annotation", hint="annotate what it returns, `-> None` if nothing"
        )
    return Signature(tuple(takes), hints["return"], wants_context, wanted is TransactionalContext)


def _context(annotation: object) -> type[StepContext] | None:
    """The kind of context that it is, or an optional one, as in `ctx: StepContext | None = None`: so a test can do without."""
    of = [member for member in members(bare(annotation)) if member is not types.NoneType]
    if len(of) != 1:
        return None
    return next((kind for kind in (StepContext, TransactionalContext) if of[0] is kind), None)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def output_type(gives: object) -> object:
    """The type of a step's output: O for a step that returns O, Result[O, E] or a union of these."""
    if gives is Result:
        raise TypeValidationError("a bare Result does not say the output's type", hint="write Result[Payment, Refusal]")
    outputs = tuple(get_args(tp)[0] if get_origin(tp) is Result else tp for tp in members(gives))
    if outputs == members(gives):
        return gives
    return cast("Any", Union)[outputs]  # Any: a type of any form
