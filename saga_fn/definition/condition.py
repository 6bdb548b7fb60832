"""The condition of a step that may not be taken."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from saga_fn.definition.signature import takes
from saga_fn.errors import SagaDefinitionError


def check_condition(name: str, condition: object) -> None:
    """Raise SagaDefinitionError for what cannot be asked whether a step is to be taken."""
    if inspect.iscoroutinefunction(condition):
        raise SagaDefinitionError(
            f"the condition of step {name!r} is async", hint="make it a plain function of the step's input"
        )
    if not takes(condition, 1):
        raise SagaDefinitionError(
            f"the condition of step {name!r} cannot be called with the step's input, and nothing else",
            hint=f"write {name}.when(lambda inp: ...), which says True or False",
        )


def holds(name: str, condition: Callable[[Any], object], value: object) -> bool:  # Any: steps of all types
    """Whether the condition holds for that input; raises SagaDefinitionError if it does not say True or False."""
    answer = condition(value)
    if not isinstance(answer, bool):
        raise SagaDefinitionError(
            f"the condition of step {name!r} returned a {type(answer).__name__}, which is not a bool",
            hint="make it say True or False, as in .when(lambda inp: bool(inp.items))",
        )
    return answer
