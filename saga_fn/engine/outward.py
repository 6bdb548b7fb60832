"""The one place where an error that the library's own parts tell each other becomes one of those that its users know."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

from saga_fn.errors import PayloadError, SagaError, StoreRefusedError, StoreUnavailableError
from saga_fn.store.errors import RowRejectedError, StoreBusyError

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
_ENTERED_AND_LEFT: Final = ("__aenter__", "__aexit__")
_MARK: Final = "__judges_its_own__"


def public_error(error: RowRejectedError | StoreBusyError) -> SagaError:
    """The public error for an error of a store that no part on the way could mend."""
    if isinstance(error, StoreBusyError):
        return StoreUnavailableError(error.fact, hint="make the same call again")
    if error.is_of_a_value:
        return PayloadError(
            f"the database cannot store a value that was given: {error.fact}",
            hint="names, keys and data need characters that the database's encoding has: UTF8 has them all",
        )
    return StoreRefusedError(
        error.fact,
        hint="the server's log says which row; restore a row from a backup that another program has written",
    )


INTERNAL: Final = (RowRejectedError, StoreBusyError)
"""The errors that the library's own parts tell each other."""


def judges_its_own(call: Callable[P, R]) -> Callable[P, R]:
    """A public coroutine that many wait in at once, and that turns what is `INTERNAL` into public errors by itself.

    A coroutine around it would cost each of them an object that the garbage collector looks through.
    """
    setattr(call, _MARK, True)
    return call


def only_public_errors(face: type[C]) -> type[C]:
    """Let nothing but public errors out of a class that users call: out of each public coroutine that it defines itself."""
    for name, member in list(vars(face).items()):
        public = not name.startswith("_") or name in _ENTERED_AND_LEFT
        if public and inspect.iscoroutinefunction(member) and not hasattr(member, _MARK):
            setattr(face, name, _told(member))
    return face


def _told(
    call: Callable[P, Awaitable[R]],
) -> Callable[P, Coroutine[Any, Any, R]]:  # Any: a coroutine yields to its loop
    @functools.wraps(call)
    async def told(*args: P.args, **named: P.kwargs) -> R:
        try:
            return await call(*args, **named)
        except INTERNAL as error:
            raise public_error(error) from error

    return told
