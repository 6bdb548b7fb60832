"""Kept for porting from python-saga-orchestrator: steps with their wiring, as untyped values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import msgspec

from saga_fn.definition.builder import SagaBuilder
from saga_fn.definition.steps.base import AnyStep
from saga_fn.definition.steps.step_options import StepOptions
from saga_fn.definition.values.refs import AnyRef


@final
class StepInputMap(msgspec.Struct, frozen=True):
    """An input_map with the steps that it depends on. Kept for porting from python-saga-orchestrator."""

    input_map: Callable[..., object]
    """As for `SagaBuilder.add_step`."""
    depends_on: AnyRef | tuple[AnyRef, ...] | None = None
    """As for `SagaBuilder.add_step`. Default: None."""


@final
class StepDefinition(msgspec.Struct, frozen=True):
    """A step with its wiring, as `add_step` takes them. Kept for porting from python-saga-orchestrator."""

    step: AnyStep
    """The step."""
    input: StepInputMap
    """The way to its input."""
    options: StepOptions = msgspec.field(default_factory=StepOptions)
    """The options of the step here. Default: those of the step."""

    def add_to(self, builder: SagaBuilder[Any]) -> AnyRef:  # Any: sagas of all types
        """Add the step to a saga.

        Args:
            builder: The saga.

        Returns:
            The reference to the step's output.

        Raises:
            SagaDefinitionError: The step or an option cannot be used so.
            TypeValidationError: The types do not fit.
        """
        wanted = self.input.depends_on
        refs = () if wanted is None else wanted if isinstance(wanted, tuple) else (wanted,)
        return builder.wire(self.step, refs, self.input.input_map, (), self.options)
