"""Code of the service's around every call of a step: database sessions, spans, tenants."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Literal, TypeAlias

import attrs

from saga_fn.definition import StepContext
from saga_fn.errors import SagaDefinitionError, SagaError, shown


@attrs.frozen
class StepCall:
    """A call of a step's code that is about to begin.

    Attributes:
        phase: "execute" for the step itself, "compensate" for its compensation, "probe" for its probe.
        context: The saga, the step, the number of the attempt, the idempotency key and the deadline.
    """

    phase: Literal["execute", "compensate", "probe"]
    context: StepContext


Around: TypeAlias = Callable[[StepCall], AbstractAsyncContextManager[object]]
"""Gives the context manager that a call runs in: a function with `@asynccontextmanager`."""


def check_around(around: object) -> None:
    """Raise SagaError for what gives no context manager."""
    if not callable(around) or inspect.iscoroutinefunction(around) or inspect.isasyncgenfunction(around):
        raise SagaError(
            f"code around steps is a function that gives an async context manager; got {shown(around)}",
            hint="@asynccontextmanager async def with_session(call: StepCall): ...; yield; ...",
        )


class NotCalled(Exception):  # noqa: N818 - it says when an error was raised, and is the error of nothing
    """The code around a call was ended before the step was called, by `cause`."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(cause)
        self.cause = cause


async def within(
    around: Sequence[Around], call: StepCall, run: Callable[..., Awaitable[object]], given: tuple[object, ...]
) -> object:
    """Await user code inside of all context managers, the first of them outermost.

    None of them can turn a failure into a success: an exception that one swallows is raised all the same.

    Raises NotCalled if the user code was not called.
    """
    called = over = False
    returned: object = None
    raised: BaseException = SagaDefinitionError(
        "code around the step has swallowed the error of other code around it",
        hint="let a context manager in `around` raise what it cannot mend",
    )
    try:
        async with AsyncExitStack() as stack:
            for each in around:
                _ = await stack.enter_async_context(each(call))
            called = True
            try:
                returned = await run(*given)
                over = True
            except BaseException as error:
                raised = error
                raise
    except BaseException as error:
        if called:
            raise
        raise NotCalled(error) from error
    if over:
        return returned
    raise raised if called else NotCalled(raised)
