"""Steps as classes, for steps with state of their own."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Generic, TypeVar

from returns.result import Result

from saga_fn.definition.doubt import Done, NotDone
from saga_fn.definition.event import WaitFor
from saga_fn.definition.refs import StepContext

I = TypeVar("I")  # noqa: E741 - input and output, the names the docs use throughout
O = TypeVar("O")  # noqa: E741


class StepBase(Generic[I, O]):
    """Whatever can be wired as a step of input I and output O."""

    _pin: Callable[[I, O], tuple[I, O]]  # declared, never set: invariance


class BaseStep(StepBase[I, O], abc.ABC):
    """A step as a class, for steps with state of their own. Override `compensate` if it can be undone.

    Example::

        class Reserve(BaseStep[ReserveInput, Reservation]):
            async def execute(self, inp: ReserveInput) -> Reservation: ...
            async def compensate(self, inp: ReserveInput, out: Reservation) -> None: ...
    """

    @abc.abstractmethod
    async def execute(self, inp: I, /) -> O | Result[O, object]:
        """Do it. May be called again after a crash or a failure: make it idempotent.

        Raise if it failed, for another attempt: what a client raises after its request may have left is taken for that, and
        `OutcomeUnknown` says it of anything else. Return `returns.result.Failure` if it was refused and has not been done.
        """

    async def compensate(self, inp: I, out: O, /) -> WaitFor | None:
        """Undo it. A step that does not override this needs no undoing: a rollback passes over it."""

    async def probe(self, inp: I, /) -> Done[O] | NotDone:
        """Find out whether it has run. Without this it is repeated when it may have."""
        raise NotImplementedError


class ContextStep(StepBase[I, O], abc.ABC):
    """A step as a class that wants the StepContext."""

    @abc.abstractmethod
    async def execute(self, inp: I, ctx: StepContext, /) -> O | Result[O, object]:
        """Do it; `ctx.idempotency_key` is the same over every repeat."""

    async def compensate(self, inp: I, out: O, ctx: StepContext, /) -> WaitFor | None:
        """Undo it. A step that does not override this needs no undoing: a rollback passes over it."""

    async def probe(self, inp: I, ctx: StepContext, /) -> Done[O] | NotDone:
        """Find out whether it has run; `ctx.idempotency_key` is that of the execution in question."""
        raise NotImplementedError
