"""An async function that is no step, and was called as one: Python makes a coroutine of the call, and nothing of it is in the saga."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from types import CoroutineType
from typing import Any, Final, TypeAlias, cast

from saga_fn.definition.values.refs import StepRef
from saga_fn.errors import SagaDefinitionError, shown

_Made: TypeAlias = "CoroutineType[Any, Any, Any]"  # Any: it never runs
_OF_STEPS: Final = ("Step.execute", "Step.compensate")
"""The methods of a step that call its functions alone."""
_NEVER_AWAITED: Final = "coroutine .* was never awaited"


def no_ref(fact: str, given: object, hint: str) -> SagaDefinitionError:
    """The refusal of what stands in the place of a StepRef, with the function that a coroutine came from."""
    if not inspect.iscoroutine(given):
        return SagaDefinitionError(fact, hint=hint)
    given.close()  # it never runs, and this says so
    return SagaDefinitionError(f"{fact}: {_said_of(given)}", hint=_mend_of(given))


@contextmanager
def each_call_is_a_step(function: str, builder: object) -> Generator[None]:
    """Raise SagaDefinitionError at the end if a coroutine was given a reference of this builder meanwhile, and forgotten.

    Nothing holds such a coroutine any more, so Python warns of it at once. That warning is the one word about it. Every other
    warning goes on as it would have gone.

    Args:
        function: The name of the function that is called meanwhile.
        builder: The builder whose references it is given.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.filterwarnings("always", _NEVER_AWAITED, RuntimeWarning)
        try:
            yield
        finally:
            seen = list(told)
    forgotten: list[_Made] = []
    for each in seen:
        if not inspect.iscoroutine(each.source):
            warnings.showwarning(each.message, each.category, each.filename, each.lineno, each.file, each.line)
        elif _has_a_ref_of(builder, each.source):
            forgotten.append(each.source)
        else:  # of another place: the collector of garbage found it just now
            with suppress(RuntimeWarning):  # where warnings are errors, none can be raised out of a collector
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno, source=each.source)
    if forgotten:
        raise SagaDefinitionError(f"@saga function {function}: {_said_of(forgotten[0])}", hint=_mend_of(forgotten[0]))


def _has_a_ref_of(builder: object, made: _Made) -> bool:
    """Whether the call was given a reference of this builder, alone or in a list or a mapping."""
    frame = made.cr_frame
    return frame is not None and any(
        isinstance(each, StepRef) and each.builder is builder
        for value in frame.f_locals.values()
        for each in _in(value)
    )


def _in(value: object) -> Iterable[object]:
    if isinstance(value, list | tuple | set | frozenset):
        return cast("Iterable[object]", value)  # isinstance cannot see the type argument
    return cast("dict[object, object]", value).values() if isinstance(value, dict) else (value,)


def _said_of(made: _Made) -> str:
    return f"{_name_of(made)} is an async function, and its call is no step of the saga"


def _mend_of(made: _Made) -> str:
    if made.__qualname__ in _OF_STEPS:
        return "call the step itself: charge(order)"
    name = made.__name__
    return f"make it a step: @step above `async def {name if name.isidentifier() else 'charge'}`"


def _name_of(made: _Made) -> str:
    return f"{made.__qualname__}()" if made.__qualname__ in _OF_STEPS else shown(made.__name__)
