"""For the application that has the process: settings of Python's that sagas gain from, and that concern all of its code.

The library changes none of them by itself. Each call here does so for the whole process.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, cast, final

from saga_fn.arguments import check_is, check_no_loop, check_whole
from saga_fn.errors import SagaError, is_a
from saga_fn.extras import mend_of
from saga_fn.printable import a_type_of

__all__ = ["GcBefore", "run", "tune_gc"]

T = TypeVar("T")

_THRESHOLD: Final = 50_000
_MOST: Final = 10_000_000
_CALL: Final = "saga_fn.tuning.run(main()), in a program that runs no event loop yet"


@final
class GcBefore:
    """The settings of the garbage collector before `tune_gc`. It is made by `tune_gc` alone."""

    __slots__ = ("_frozen", "_thresholds")

    def __init__(self) -> None:
        self._thresholds = gc.get_threshold()
        self._frozen = gc.get_freeze_count()

    def restore(self) -> None:
        """Put them back, as a test does at its end. A second call does the same again.

        Objects that were frozen are looked at again, unless some were frozen before `tune_gc`: Python thaws all or none.
        """
        gc.set_threshold(*self._thresholds)
        if not self._frozen:
            gc.unfreeze()


def tune_gc(*, threshold: int = _THRESHOLD, freeze: bool = True) -> GcBefore:
    """Let the garbage collector of this process look at new objects less often, and no more at those that are there now.

    Call it once, at the end of the start-up: when everything is imported and registered.

    Sagas leave no cycles, so the collector finds nothing among their objects, however often it looks. But each look takes longer
    the more sagas are in flight. Other code of the process may leave cycles: they stay until a look, which comes later.

    Args:
        threshold: The number of objects more than at the last look by which there is another one, from 700 to 10,000,000. Python's
            own is 700, or 2,000. The looks at all objects come as many times later, too. Default: 50,000.
        freeze: Whether all objects that are there now are never looked at any more. Cycles that are garbage by then are collected
            first. One that becomes garbage later stays. Default: True.

    Returns:
        The settings of before, which can be restored.

    Raises:
        SagaError: An argument is not what it has to be.

    Example::

        async with orchestrator:
            tune_gc()
            yield
    """
    check_whole("threshold", threshold, least=700, most=_MOST)
    check_is(freeze, bool, "freeze", error=SagaError, hint="freeze=False leaves what is there now to the collector")
    before = GcBefore()
    if freeze:
        gc.collect()
        gc.freeze()
    gc.set_threshold(threshold, *gc.get_threshold()[1:])
    return before


def run(
    main: Coroutine[Any, Any, T], /, *, uvloop: bool | None = None, threshold: int = _THRESHOLD
) -> T:  # Any: as asyncio.run
    """Run a program as `asyncio.run` does: on uvloop where it is installed, with the garbage collector as `tune_gc` sets it.

    For programs that call `asyncio.run`. A server such as uvicorn chooses its loop by itself, and uvloop if that is
    installed: there `tune_gc` is the call.

    Args:
        main: The coroutine of the program.
        uvloop: Whether uvloop has to be the event loop. Default: None, where the extra `uvloop` is installed.
        threshold: The number of objects more by which the collector looks, from 700 to 10,000,000. Default: 50,000.

    Returns:
        The value that `main` returns. The garbage collector is as before by then.

    Raises:
        SagaError: An argument is not what it has to be, uvloop is missing, or an event loop runs here already.

    Example::

        if __name__ == "__main__":
            run(main())
    """
    if not is_a(main, (Coroutine,)):
        raise SagaError(f"main must be a coroutine, not {a_type_of(main)}", hint=_CALL)
    try:
        check_is(
            uvloop, (bool, type(None)), "uvloop", error=SagaError, hint="uvloop=True, or None for as it is installed"
        )
        check_no_loop(hint=_CALL)
        factory = None if uvloop is False else _uvloop(required=uvloop is True)
        before = tune_gc(threshold=threshold)
    except BaseException:
        main.close()  # else Python complains that it was never awaited
        raise
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)
    finally:
        before.restore()


def _uvloop(*, required: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        found = importlib.import_module("uvloop")
    except ImportError as error:
        if required:
            raise SagaError("uvloop is not installed", hint=mend_of("uvloop")) from error
        return None
    return cast("Callable[[], asyncio.AbstractEventLoop]", found.new_event_loop)  # the module has no types of its own
