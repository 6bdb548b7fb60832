"""An async function that is no step, and was called as one: Python makes a coroutine of the call, and nothing of it is in the saga."""

from __future__ import annotations

import inspect
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from types import CodeType, CoroutineType
from typing import Any, Final, TypeAlias, cast

from saga_fn.definition.values.refs import StepRef
from saga_fn.errors import SagaDefinitionError, shown

_Made: TypeAlias = "CoroutineType[Any, Any, Any]"  # Any: it never runs
_OF_STEPS: Final = ("Step.execute", "Step.compensate")
"""The methods of a step that call its functions alone."""
_NEVER_AWAITED: Final = "coroutine .* was never awaited"
_CALLS_DEEP: Final = 64
"""So many calls are remembered of each coroutine, to the saga's function if a helper of it has made one."""
_watched: Final = threading.RLock()
"""Held by the thread whose warnings are read. A saga may be defined within another."""


def no_ref(fact: str, given: object, hint: str) -> SagaDefinitionError:
    """The refusal of what stands in the place of a StepRef, with the function that a coroutine came from."""
    if not inspect.iscoroutine(given):
        return SagaDefinitionError(fact, hint=hint)
    given.close()  # it never runs, and this says so
    return SagaDefinitionError(f"{fact}: {_said_of(given)}", hint=_mend_of(given))


@contextmanager
def each_call_is_a_step(function: Callable[..., object], name: str, builder: object) -> Generator[None]:
    """Raise SagaDefinitionError at the end if the function has called an async function meanwhile, and forgotten the coroutine.

    Nothing holds such a coroutine any more, so Python warns of it at once. That warning is the one word about it. It counts if the
    function has made the call, or one that it called, or if the call was given a reference of this builder. Every other warning goes
    on, also if the function raises. All threads have the same `warnings`. While one thread reads them here, a saga that another
    thread defines is not watched: Python's own warning is shown then.

    Args:
        function: The function that is called meanwhile.
        name: Its name in messages.
        builder: The builder whose references it is given.
    """
    if not _watched.acquire(blocking=False):
        yield
        return
    seen: list[warnings.WarningMessage] = []
    forgotten: list[_Made] = []
    depth = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(max(depth, _CALLS_DEEP))
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.filterwarnings("always", _NEVER_AWAITED, RuntimeWarning)
            yield
    finally:
        sys.set_coroutine_origin_tracking_depth(depth)
        _watched.release()
        for each in seen:
            if inspect.iscoroutine(each.source) and (
                _is_made_by(function, each.source) or _has_a_ref_of(builder, each.source)
            ):
                forgotten.append(each.source)
            else:
                _pass_on(each)
    if forgotten:
        raise SagaDefinitionError(f"@saga function {name}: {_said_of(forgotten[0])}", hint=_mend_of(forgotten[0]))


def _is_made_by(function: Callable[..., object], made: _Made) -> bool:
    """Whether the call, or one of those that led to it, stands in the lines of the function."""
    code: object = getattr(inspect.unwrap(function), "__code__", None)
    if not isinstance(code, CodeType):
        return False
    lines = [each for _, _, each in code.co_lines() if each is not None]
    return any(file == code.co_filename and min(lines) <= line <= max(lines) for file, line, _ in made.cr_origin or ())


def _pass_on(told: warnings.WarningMessage) -> None:
    if not inspect.iscoroutine(told.source):
        warnings.showwarning(told.message, told.category, told.filename, told.lineno, told.file, told.line)
        return
    with suppress(RuntimeWarning):  # of another place: where warnings are errors, a collector of garbage can raise none
        warnings.warn_explicit(told.message, told.category, told.filename, told.lineno, source=told.source)


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
