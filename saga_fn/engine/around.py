"""Code of the service's around every call of a step: database sessions, spans, tenants."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack
from typing import Literal, TypeAlias, cast
from uuid import UUID

import msgspec
from returns.result import Failure

from saga_fn.definition import StepContext
from saga_fn.engine.observe.fact import SagaIdentity
from saga_fn.errors import SagaDefinitionError, SagaError, shown
from saga_fn.printable import name_of_type


class StepCall(msgspec.Struct, eq=False):
    """A call of a step's code that is about to begin, or has come to its end.

    Attributes:
        phase: "execute" for the step itself, "compensate" for its compensation, "probe" for its probe.
        context: The saga, the step, the number of the attempt, the idempotency key and the deadline.
        saga: The saga, with its version, and the time when it was started.
        refused: The type's name of the business error that the step has returned as a `Failure`; None until it has.
    """

    phase: Literal["execute", "compensate", "probe"]
    context: StepContext
    saga: SagaIdentity
    refused: str | None = None


Around: TypeAlias = Callable[[StepCall], AbstractAsyncContextManager[object]]
"""Gives the context manager that a call runs in: a function with `@asynccontextmanager`."""


class StartCall(msgspec.Struct, eq=False):
    """A caller's request to start a saga, or many of them at once.

    Attributes:
        saga_name: The name of the sagas.
        version: The number of their version.
        sagas: How many the caller has asked for.
        saga_ids: Their ids, in the order of the request. Empty until they are in the store.
        created: How many of them this call has started: a repeat under an idempotency key starts none. 0 until they are in the store.
    """

    saga_name: str
    version: int
    sagas: int = 1
    saga_ids: tuple[UUID, ...] = ()
    created: int = 0


AroundStart: TypeAlias = Callable[[StartCall], AbstractContextManager[Mapping[str, str]]]
"""Gives the context manager that a start runs in, in its caller's context: a function with `@contextmanager`. It gives headers of a
trace, a mapping of strings, to be stored with the saga. Headers that the caller has passed as `trace_carrier` come before them: one
that cannot be stored beside those is left out.

If the code raises before its `yield`, nothing is started, and the caller gets its error. After that the start ends as it does by
itself: an error of the start reaches the caller though the code hides it, and an error of the code after a start is only logged."""


def check_around(around: object) -> None:
    """Raise SagaError for what gives no context manager."""
    if not callable(around) or inspect.iscoroutinefunction(around) or inspect.isasyncgenfunction(around):
        raise SagaError(
            f"code around steps is a function that gives an async context manager; got {shown(around)}",
            hint="@asynccontextmanager async def with_session(call: StepCall): ...; yield; ...",
        )


class AroundError(Exception):
    """The code around a call has raised `cause`, before the step was called, or after it had returned."""

    def __init__(self, cause: BaseException, *, has_returned: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.has_returned = has_returned


async def within(
    around: Sequence[Around], call: StepCall, run: Callable[..., Awaitable[object]], given: tuple[object, ...]
) -> object:
    """Await user code inside of all context managers, the first of them outermost.

    If the user code raises, that is raised, whatever the context managers make of it: none of them can turn a failure into a
    success, nor a doubt into a certainty.

    Raises AroundError if the user code was not called, or had returned.
    """
    has_returned = False
    returned: object = None
    raised: BaseException | None = None
    try:
        async with AsyncExitStack() as stack:
            for each in around:
                _ = await stack.enter_async_context(each(call))
            try:
                returned = await run(*given)
                has_returned = True
                call.refused = _refusal(returned)
            except BaseException as error:
                raised = error
                raise
    except BaseException as error:
        if raised is None:
            raise AroundError(error, has_returned=has_returned) from error
        raise raised  # noqa: B904 - it is the error itself, or the one that it has led to
    if raised is not None:
        raise raised
    if has_returned:
        return returned
    swallowed = SagaDefinitionError(
        "code around the step has swallowed the error of other code around it",
        hint="let a context manager in `around` raise what it cannot mend",
    )
    raise AroundError(swallowed, has_returned=False)


def _refusal(returned: object) -> str | None:
    """The name of the type of a business error that a step has returned; None for anything else."""
    if type(returned) is not Failure:
        return None
    return name_of_type(cast("object", returned.failure()))  # pyright: ignore[reportUnknownMemberType]  # the step chose its type
