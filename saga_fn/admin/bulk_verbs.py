"""The verbs as data: what an operator asks of one saga, in a preview, or of all sagas that a filter finds."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import ClassVar, TypeAlias

import attrs
import msgspec

from saga_fn.admin.base import step_of, steps_of
from saga_fn.arguments import check_is
from saga_fn.core.verbs import Verb
from saga_fn.definition import StepRef
from saga_fn.errors import PayloadError
from saga_fn.listing import check_time


@attrs.frozen
class RetryStep:
    """Attempt a step again, or its compensation: `SagaAdmin.retry_step`.

    Args:
        step: The step's id or its StepRef.
        input: The input to use instead, as for `retry_step`. Default: none is given.

    Raises:
        SagaDefinitionError: `step` names no step.
    """

    verb: ClassVar[Verb] = Verb.RETRY_STEP
    """The verb."""

    step: str | StepRef[object] = attrs.field(converter=step_of)
    """The step's id."""
    input: object = attrs.field(default=msgspec.UNSET, repr=False)
    """The input, if one is given."""


@attrs.frozen
class SkipStep:
    """Go on as if a step that waits had returned `mock_output`: `SagaAdmin.skip_step`.

    Args:
        step: The step's id or its StepRef.
        mock_output: A value of the step's output type, or a dict that stands for one. Default: None, a value like any other.
        not_begun: Whether a step is meant too that comes next and has not begun. Default: False, that is refused.

    Raises:
        SagaDefinitionError: `step` names no step.
        PayloadError: `not_begun` is no bool.
    """

    verb: ClassVar[Verb] = Verb.SKIP_STEP
    """The verb."""

    step: str | StepRef[object] = attrs.field(converter=step_of)
    """The step's id."""
    mock_output: object = attrs.field(default=None, repr=False)
    """The output."""
    not_begun: bool = attrs.field(default=False, kw_only=True)
    """Whether a step that has not begun is meant too."""

    def __attrs_post_init__(self) -> None:
        """Judge what was given."""
        check_is(self.not_begun, bool, "not_begun: a bool", error=PayloadError, hint="SkipStep(..., not_begun=True)")


@attrs.frozen
class Cancel:
    """Cancel the saga: `SagaAdmin.cancel`."""

    verb: ClassVar[Verb] = Verb.CANCEL
    """The verb."""


@attrs.frozen
class Rewind:
    """Take the saga back to a step: `SagaAdmin.rewind`.

    Args:
        to: The first step to run again: its id or its StepRef.
        forget: The steps whose effects stay in the world, by id or StepRef. Default: none.

    Raises:
        SagaDefinitionError: `to` names no step, or `forget` is no list of steps.
    """

    verb: ClassVar[Verb] = Verb.REWIND
    """The verb."""

    to: str | StepRef[object] = attrs.field(converter=step_of)
    """The step's id."""
    forget: Collection[str | StepRef[object]] = attrs.field(default=(), converter=steps_of, kw_only=True)
    """The ids of the steps whose effects stay."""


@attrs.frozen
class Abort:
    """End the saga as it is, FAILED: `SagaAdmin.abort`."""

    verb: ClassVar[Verb] = Verb.ABORT
    """The verb."""


@attrs.frozen
class SettleDone:
    """Say that a step has run, with this output: `SagaAdmin.settle_done`.

    Args:
        step: The step's id or its StepRef.
        output: A value of the step's output type, or a dict that stands for one. Default: None, a value like any other.

    Raises:
        SagaDefinitionError: `step` names no step.
    """

    verb: ClassVar[Verb] = Verb.SETTLE_DONE
    """The verb."""

    step: str | StepRef[object] = attrs.field(converter=step_of)
    """The step's id."""
    output: object = attrs.field(default=None, repr=False)
    """The output."""


@attrs.frozen
class SettleUndone:
    """Say that nothing of a step is in the world any more: `SagaAdmin.settle_undone`.

    Args:
        step: The step's id or its StepRef.

    Raises:
        SagaDefinitionError: `step` names no step.
    """

    verb: ClassVar[Verb] = Verb.SETTLE_UNDONE
    """The verb."""

    step: str | StepRef[object] = attrs.field(converter=step_of)
    """The step's id."""


@attrs.frozen
class SettleNeverRan:
    """Say that a step has never run: `SagaAdmin.settle_never_ran`.

    Args:
        step: The step's id or its StepRef.

    Raises:
        SagaDefinitionError: `step` names no step.
    """

    verb: ClassVar[Verb] = Verb.SETTLE_NEVER_RAN
    """The verb."""

    step: str | StepRef[object] = attrs.field(converter=step_of)
    """The step's id."""


@attrs.frozen
class StartNow:
    """Let what waits for a moment go on now: `SagaAdmin.start_now`, or at another moment: `SagaAdmin.reschedule`.

    Args:
        at: The moment, an aware datetime. Default: None, now.
        step: The step that is meant, its id or its StepRef; if it is a fan-out, its items. Default: None, all that sleep.

    Raises:
        PayloadError: `at` is no aware datetime.
        SagaDefinitionError: `step` names no step.
    """

    verb: ClassVar[Verb] = Verb.START_NOW
    """The verb."""

    at: datetime | None = None
    """The moment; None is now."""
    step: str | StepRef[object] | None = attrs.field(
        default=None, converter=attrs.converters.optional(step_of), kw_only=True
    )
    """The step's id; None is all that sleep."""

    def __attrs_post_init__(self) -> None:
        """Judge what was given."""
        check_time("at", self.at)


@attrs.frozen
class PauseSaga:
    """Let nothing more of the saga begin: `SagaAdmin.pause_saga`."""

    verb: ClassVar[Verb] = Verb.PAUSE_SAGA
    """The verb."""


@attrs.frozen
class ResumeSaga:
    """Let a saga go on that was paused: `SagaAdmin.resume_saga`.

    Args:
        extend: Whether its timers and its deadline are moved by the length of the pause. Default: False, those that have come fire.

    Raises:
        PayloadError: `extend` is no bool.
    """

    verb: ClassVar[Verb] = Verb.RESUME_SAGA
    """The verb."""

    extend: bool = attrs.field(default=False, kw_only=True)
    """Whether timers and deadline are moved."""

    def __attrs_post_init__(self) -> None:
        """Judge what was given."""
        check_is(self.extend, bool, "extend: a bool", error=PayloadError, hint="ResumeSaga(extend=True)")


@attrs.frozen
class Acknowledge:
    """Say that a person has looked at a FAILED saga: `SagaAdmin.acknowledge`."""

    verb: ClassVar[Verb] = Verb.ACKNOWLEDGE
    """The verb."""


BulkVerb: TypeAlias = (
    RetryStep
    | SkipStep
    | Cancel
    | Rewind
    | Abort
    | SettleDone
    | SettleUndone
    | SettleNeverRan
    | StartNow
    | PauseSaga
    | ResumeSaga
    | Acknowledge
)
"""A verb with all that is given with it: a closed union. `explain` previews it for one saga, an operation applies it to many."""
