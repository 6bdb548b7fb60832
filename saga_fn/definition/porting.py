"""Kept for porting from python-saga-orchestrator: steps with their wiring, as untyped values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import attrs

from saga_fn.definition.base import StepBase
from saga_fn.definition.builder import SagaBuilder
from saga_fn.definition.options import StepOptions
from saga_fn.definition.refs import StepRef


@final
@attrs.frozen
class StepInputMap:
    """Kept for porting from python-saga-orchestrator: an input_map with what it depends on."""

    input_map: Callable[..., object]
    depends_on: StepRef[Any] | tuple[StepRef[Any], ...] | None = None  # Any: steps of all types


@final
@attrs.frozen
class StepDefinition:
    """Kept for porting from python-saga-orchestrator: a step with its wiring, as `add_step` takes them."""

    step: StepBase[Any, Any]  # Any: steps of all types
    input: StepInputMap
    options: StepOptions = attrs.field(factory=StepOptions)

    def add_to(self, builder: SagaBuilder[Any]) -> StepRef[Any]:  # Any: as above
        """Add the step to a saga."""
        wanted = self.input.depends_on
        refs = () if wanted is None else wanted if isinstance(wanted, tuple) else (wanted,)
        return builder.wire(self.step, refs, self.input.input_map, (), self.options)
