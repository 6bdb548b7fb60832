"""The condition of a step that may not be taken."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

from saga_fn.codec import type_name
from saga_fn.definition.values.annotations import fits, hints_of, takes, written
from saga_fn.errors import SagaDefinitionError, TypeValidationError, shown
from saga_fn.printable import a_type_of, with_article

AnyCondition: TypeAlias = Callable[[Any], object]  # Any: the inputs of steps are of all types
_SAY: Final = "make it say True or False, as in .when(lambda inp: bool(inp.items))"


def check_condition(name: str, condition: object, given: object) -> None:
    """Raise SagaDefinitionError for what cannot be asked whether a step is to be taken that takes a `given`."""
    if inspect.iscoroutinefunction(condition):
        raise SagaDefinitionError(
            f"the condition of step {shown(name)} is async", hint="make it a plain function of the step's input"
        )
    if not takes(condition, 1):
        raise SagaDefinitionError(
            f"the condition of step {shown(name)} cannot be called with the step's input, and nothing else",
            hint=f"write {name}.when(lambda inp: ...), which says True or False",
        )
    _check_annotations(name, cast("AnyCondition", condition), given)  # `takes` has seen that it can be called


def _check_annotations(name: str, condition: Callable[..., object], given: object) -> None:
    """Annotations are believed; a function need not have any."""
    function = written(condition)
    if function is None:
        return
    try:
        hints = hints_of(function)
    except TypeValidationError:
        return
    taken = hints.get(next(iter(inspect.signature(condition).parameters)), Any)
    if not fits(given, taken):
        raise TypeValidationError(
            f"the condition of step {shown(name)} takes {with_article(type_name(taken))}, "
            f"but the step takes {with_article(type_name(given))}",
            hint="a condition is asked of the step's own input",
        )
    if not fits(hints.get("return", Any), bool):
        raise TypeValidationError(
            f"the condition of step {shown(name)} returns {with_article(type_name(hints['return']))}, which is not a bool",
            hint=_SAY,
        )


def holds(name: str, condition: AnyCondition, value: object) -> bool:
    """Whether the condition holds for that input; raises SagaDefinitionError if it does not say True or False."""
    answer = condition(value)
    if not isinstance(answer, bool):
        raise SagaDefinitionError(
            f"the condition of step {shown(name)} returned {a_type_of(answer)}, which is not a bool",
            hint=_SAY,
        )
    return answer
