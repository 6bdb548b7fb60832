"""The record of a World: each call of the user's own code, in order."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, TypeAlias, cast, final
from uuid import UUID

import attrs
from returns.result import Failure, Success
from typing_extensions import override

from saga_fn.core.ids import StepId, owner_of
from saga_fn.definition import NOT_DONE, Done, NotDone, StepContext
from saga_fn.definition.steps.base import AnyStep
from saga_fn.definition.values.refs import AnyRef
from saga_fn.errors import SagaError

Phase: TypeAlias = Literal["execute", "compensate", "probe"]
"""The part of a step that is called: the step itself, its compensation or its probe."""
AnyStepName: TypeAlias = str | AnyRef | AnyStep
"""A step: its id, its StepRef, or the step itself."""
_WORDS: Final[dict[Phase, str]] = {"execute": "", "compensate": "undo ", "probe": "probe "}


class WorldError(SagaError, AssertionError):
    """A test asks its World for what cannot come, or what a test gave to it has failed."""


class NeverCameError(WorldError):
    """A fault that a test asked for has not come."""


@final
@attrs.frozen
class Call:
    """One call of the code of a step, or of the fake in its place.

    Attributes:
        saga_id: The saga's id.
        saga_name: The saga's name.
        step: The step's id; an item of a fan-out is "charge[3]".
        phase: "execute" for the step itself, "compensate" for its compensation, "probe" for its probe.
        input: The input that it was given.
        output: The output that a compensation was to undo; None for the others.
        attempt: The number of the attempt, as `StepContext` tells it.
        idempotency_key: The key, as `StepContext` tells it.
        at: The moment when it was called, by the World's clock.
        worker: The number of the worker process that has called it, from 1. After a crash it is another one.
        returned: The value that it has returned; None if it has not.
        raised: The exception that it has raised; None if it has not.
        is_over: Whether it has come to its end.
    """

    saga_id: UUID
    saga_name: str
    step: str
    phase: Phase
    input: object
    output: object
    attempt: int
    idempotency_key: str
    at: datetime
    worker: int
    returned: object = None
    raised: BaseException | None = None
    is_over: bool = False

    @property
    def what(self) -> str:
        """The call in a word: "charge", "undo charge" or "probe charge"."""
        return f"{_WORDS[self.phase]}{self.step}"

    @override
    def __str__(self) -> str:
        return self.what


def done_by(returned: object) -> Done[object] | NotDone:
    """The work that a step has done, as its probe tells of it, by what the step has returned."""
    if isinstance(returned, Failure):
        return NOT_DONE
    return Done(cast("Success[object]", returned).unwrap() if isinstance(returned, Success) else returned)


@final
class Place:
    """Where the code of a saga calls the user's: a call that is about to be made, by a process."""

    __slots__ = ("context", "given", "owner", "phase")

    def __init__(self, phase: Phase, given: tuple[object, ...], context: StepContext) -> None:
        self.phase: Phase = phase
        self.given: tuple[object, ...] = given
        self.context: StepContext = context
        self.owner: StepId = owner_of(StepId(context.step_id))
        """The step; of an item, the step that has fanned out."""

    @property
    def what(self) -> str:
        """The call in a word."""
        return f"{_WORDS[self.phase]}{self.context.step_id}"


@final
class Record:
    """A call of which the end is still to come."""

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call: Call = call

    def end(self, returned: object = None, raised: BaseException | None = None) -> None:
        """Note how it has ended."""
        self.call = attrs.evolve(self.call, returned=returned, raised=raised, is_over=True)
