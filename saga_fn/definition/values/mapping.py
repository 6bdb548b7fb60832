"""How the input of a step is made of what others give, judged before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from saga_fn.codec import AnyType, type_name
from saga_fn.core.ids import StepId
from saga_fn.definition.values.annotations import fits, hints_of, is_any_dict, members, takes, written
from saga_fn.definition.values.input_context import InputContext
from saga_fn.definition.values.refs import AnyRef
from saga_fn.errors import SagaDefinitionError, TypeValidationError, shown
from saga_fn.printable import counted, with_article


class KnownValues(Protocol):
    """The facts that are known of a saga at the moment in which an input is computed."""

    def output(self, ref: AnyRef) -> object:
        """The output of a step that is done. Raises SagaDefinitionError for any other."""
        ...

    @property
    def whole(self) -> InputContext[Any]:  # Any: sagas of all types
        """All of it; made only for those who ask."""
        ...


InputMap: TypeAlias = Callable[[KnownValues], object]


class Source(msgspec.Struct, frozen=True):
    """The value that a reference stands for."""

    ref: AnyRef
    gives: AnyType
    conditional: bool
    """Its step may not be taken, and then gives None."""


def pass_through(step_id: StepId, wanted: object, sources: Sequence[Source]) -> InputMap:
    """The output of one step as the input of another, which takes a `wanted`. Raises SagaDefinitionError, TypeValidationError."""
    if len(sources) > 1:
        raise SagaDefinitionError(
            f"step {shown(step_id)} depends on {len(sources)} steps, so its input has to be put together",
            hint="give input_map (using, in a @saga)",
        )
    (source,) = sources
    if not fits(source.gives.tp, wanted):
        raise TypeValidationError(
            f"step {shown(step_id)} takes {type_name(wanted)}, but is given {source.gives.name}",
            hint="give input_map (using, in a @saga) to make the one from the other",
        )
    ref = source.ref
    return lambda known: known.output(ref)


def mapped(
    step_id: StepId,
    sources: Sequence[Source],
    using: Callable[..., object],
    *,
    what: str,
    declared: frozenset[StepId] | None,
    initial: object,
    wanted: object,
) -> InputMap:
    """The input that `using` makes of the sources; without any, of the InputContext, which shows only `declared` steps.

    `initial` is the type of the saga's initial data, `wanted` the type that `using` is to give.

    Raises SagaDefinitionError, TypeValidationError.
    """
    arguments = len(sources) or 1
    if not takes(using, arguments):
        raise SagaDefinitionError(
            f"{what} of step {shown(step_id)} cannot be called with {counted(arguments, 'argument')}",
            hint=f"it is given the output{'s' if arguments > 1 else ''} it depends on, in the same order"
            if sources
            else "no reference is named, so it is given one InputContext, which has initial_data and output(ref) of each step before; "
            "name references, and it is given their values: charge(order, using=lambda order: order.cents)",
        )
    if inspect.iscoroutinefunction(using):
        raise SagaDefinitionError(
            f"{what} of step {shown(step_id)} is async", hint="make it a plain function; steps do the awaiting"
        )
    if any(source.conditional for source in sources):
        _check_takes_none(step_id, sources, using)
    context: Any = InputContext  # Any: subscribed with a type that is known at run time only
    _check_annotations(
        f"{what} of step {shown(step_id)}", using, [one.gives.tp for one in sources] or [context[initial]], wanted
    )
    if sources:
        refs = tuple(source.ref for source in sources)
        return lambda known: using(*[known.output(ref) for ref in refs])
    if declared is None:
        return lambda known: using(known.whole)
    return lambda known: using(_restricted(known.whole, declared))


def _check_takes_none(step_id: StepId, sources: Sequence[Source], using: Callable[..., object]) -> None:
    """Refuse what says by its annotations that it does not take the None of a step that was not taken."""
    function = written(using)
    if function is None:
        return
    hints = hints_of(function)
    for source, parameter in zip(sources, inspect.signature(using).parameters, strict=False):
        if source.conditional and parameter in hints and not fits(type(None), hints[parameter]):
            raise TypeValidationError(
                f"the input_map of step {shown(step_id)} takes {with_article(type_name(hints[parameter]))}, "
                f"but step {shown(source.ref.step_id)} is conditional and may give None",
                hint=f"annotate it {type_name(hints[parameter])} | None, and say what to do without it",
            )


def _check_annotations(what: str, using: Callable[..., object], given: Sequence[object], wanted: object) -> None:
    """Refuse what says by its annotations that it takes or gives something else; it need not say anything."""
    function = written(using)
    if function is None:
        return
    try:
        hints = hints_of(function)
    except TypeValidationError:
        return  # an annotation for the checkers alone
    for one, parameter in zip(given, inspect.signature(using).parameters, strict=False):
        taken = hints.get(parameter, Any)
        if one is not object and not fits(one, taken):
            raise TypeValidationError(
                f"{what} takes {with_article(type_name(taken))}, but is given {with_article(type_name(one))}",
                hint=f"annotate {parameter} as {type_name(one)}, or name in depends_on= the step that gives what it takes",
            )
    gives = hints.get("return", Any)
    if not all(member is object or fits(member, wanted) or is_any_dict(member) for member in members(gives)):
        raise TypeValidationError(
            f"{what} gives {with_article(type_name(gives))}, but {with_article(type_name(wanted))} is wanted",
            hint=f"return {with_article(type_name(wanted))}, and annotate it so",
        )


def _restricted(
    context: InputContext[Any], declared: frozenset[StepId]
) -> InputContext[Any]:  # Any: sagas of all types
    """In a graph other steps may or may not be done yet: what a step sees must not depend on that."""
    seen = {step: output for step, output in context.step_outputs.items() if step in declared}
    return msgspec.structs.replace(context, declared=declared, step_outputs=seen)
