"""Steps as classes, for steps with state of their own."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

from returns.result import Result

from saga_fn.definition.steps.context import StepContext, TransactionalContext
from saga_fn.definition.steps.unknown_outcome import Done, NotDone
from saga_fn.definition.waits.event import WaitFor

I = TypeVar("I")  # noqa: E741 - input and output, the names the docs use throughout
O = TypeVar("O")  # noqa: E741


class StepBase(Generic[I, O]):
    """The common type of all steps of input I and output O."""

    _pin: Callable[[I, O], tuple[I, O]]  # declared, never set: invariance


AnyStep: TypeAlias = StepBase[Any, Any]  # Any: the steps of a saga are of all types


class TransactionalStep(StepBase[I, O], abc.ABC):
    """A transactional step as a class: each of its methods runs in the transaction that its result is committed in.

    Example::

        class Book(TransactionalStep[Booking, Entry]):
            async def execute(self, inp: Booking, ctx: TransactionalContext) -> Entry:
                await ctx.connection.execute("INSERT INTO entry VALUES ($1, $2)", ctx.saga_id, inp.amount)
                return Entry(inp.amount)
    """

    @abc.abstractmethod
    async def execute(self, inp: I, ctx: TransactionalContext, /) -> O | Result[O, object]:
        """Do it by `ctx.connection`, and touch nothing else. It is called again if its transaction was not committed.

        Raise an exception if it failed. Return `returns.result.Failure` if it was refused. Either way nothing is committed.

        Args:
            inp: The input.
            ctx: The facts of this execution, with the connection of its transaction.

        Returns:
            The output, or a Result of one.
        """

    async def compensate(self, inp: I, out: O, ctx: TransactionalContext, /) -> WaitFor | None:
        """Undo it by `ctx.connection`. A step that does not override this needs no undoing: a rollback passes over it.

        Args:
            inp: The input that the step was given.
            out: The output that it gave.
            ctx: The facts of this execution, with the connection of its transaction.

        Returns:
            None when it is undone, or a `WaitFor` to be called again when an event has come.
        """


class BaseStep(StepBase[I, O], abc.ABC):
    """A step as a class, for steps with state of their own. Override `compensate` if it can be undone.

    Example::

        class Reserve(BaseStep[ReserveInput, Reservation]):
            async def execute(self, inp: ReserveInput) -> Reservation: ...
            async def compensate(self, inp: ReserveInput, out: Reservation) -> None: ...
    """

    @abc.abstractmethod
    async def execute(self, inp: I, /) -> O | Result[O, object]:
        """Do it. It may be called again after a crash or a failure: make it idempotent.

        Raise an exception if it failed, for another attempt. An exception that a client raises after its request may have left says
        that the outcome is unknown, as `OutcomeUnknown` does. Return `returns.result.Failure` if it was refused and has not been done.

        Args:
            inp: The input.

        Returns:
            The output, or a Result of one.
        """

    async def compensate(self, inp: I, out: O, /) -> WaitFor | None:
        """Undo it. A step that does not override this needs no undoing: a rollback passes over it.

        Args:
            inp: The input that the step was given.
            out: The output that it gave.

        Returns:
            None when it is undone, or a `WaitFor` to be called again when an event has come.
        """

    async def probe(self, inp: I, /) -> Done[O] | NotDone:
        """Find out whether it has run. A step without a probe is repeated when it may have run.

        Args:
            inp: The input that the step was given.

        Returns:
            `Done(output)` if it has run, `NOT_DONE` if it has not, and will not.
        """
        raise NotImplementedError


class ContextStep(StepBase[I, O], abc.ABC):
    """A step as a class whose methods are given the StepContext, too."""

    @abc.abstractmethod
    async def execute(self, inp: I, ctx: StepContext, /) -> O | Result[O, object]:
        """Do it. It may be called again after a crash or a failure: make it idempotent.

        Raise an exception if it failed, for another attempt. An exception that a client raises after its request may have left says
        that the outcome is unknown, as `OutcomeUnknown` does. Return `returns.result.Failure` if it was refused and has not been done.

        Args:
            inp: The input.
            ctx: The facts of this execution; its `idempotency_key` is the same over every repeat.

        Returns:
            The output, or a Result of one.
        """

    async def compensate(self, inp: I, out: O, ctx: StepContext, /) -> WaitFor | None:
        """Undo it. A step that does not override this needs no undoing: a rollback passes over it.

        Args:
            inp: The input that the step was given.
            out: The output that it gave.
            ctx: The facts of this execution.

        Returns:
            None when it is undone, or a `WaitFor` to be called again when an event has come.
        """

    async def probe(self, inp: I, ctx: StepContext, /) -> Done[O] | NotDone:
        """Find out whether it has run. A step without a probe is repeated when it may have run.

        Args:
            inp: The input that the step was given.
            ctx: The facts of the execution in question, with its `idempotency_key`.

        Returns:
            `Done(output)` if it has run, `NOT_DONE` if it has not, and will not.
        """
        raise NotImplementedError
