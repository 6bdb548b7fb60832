"""The argument of an `input_map`: everything that is known of a saga when an input is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar, cast, final
from uuid import UUID

from saga_fn.core.ids import StepId
from saga_fn.definition.values.refs import INITIAL, StepRef
from saga_fn.errors import SagaDefinitionError, is_a, shown
from saga_fn.printable import HidingStruct

O = TypeVar("O")  # noqa: E741 - the name the docs use throughout
D_co = TypeVar("D_co", covariant=True)


@final
class InputContext(HidingStruct, Generic[D_co], frozen=True):
    """The argument of an `input_map` without `depends_on`."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"initial_data", "step_outputs", "events", "latest_event"})

    saga_id: UUID
    """The saga's id."""
    initial_data: D_co
    """The saga's initial data."""
    step_outputs: Mapping[StepId, object]
    """The outputs of the steps that are done, by step id."""
    events: tuple[Any, ...] = ()  # Any: what the outside world sent, in any shape
    """The events that the saga got by `notify` without a name, as JSON, in order."""
    # Any: as above
    latest_event: Any = None
    """The last of them that the current step has not taken, or None."""
    declared: frozenset[StepId] | None = None
    """The steps whose outputs may be asked for; None for every step before."""

    def output(self, ref: StepRef[O]) -> O:
        """Give the output of a step that is done.

        Args:
            ref: The step's reference.

        Returns:
            The output.

        Raises:
            SagaDefinitionError: The step is not one that this step waits for.
        """
        if not is_a(ref, StepRef):
            raise SagaDefinitionError(f"{shown(ref)} is not a StepRef", hint="pass what add_step gave")
        if ref.step_id == INITIAL:
            return cast("O", self.initial_data)  # the reference was made with this very type
        if self.declared is not None and ref.step_id not in self.declared:
            raise SagaDefinitionError(
                f"the output of step {shown(ref.step_id)} is not declared by this step",
                hint="with order='graph' name it in depends_on= or after=",
            )
        try:
            return cast("O", self.step_outputs[ref.step_id])  # decoded by the very type the reference was made with
        except KeyError:
            raise SagaDefinitionError(
                f"step {shown(ref.step_id)} has no output here",
                hint="a step can only use the outputs of steps before it",
            ) from None

    @property
    def context(self) -> dict[str, Any]:  # Any: the seed's untyped view
        """Everything in one dict, as python-saga-orchestrator had it."""
        found: dict[str, Any] = {
            "initial_data": self.initial_data,
            "step_outputs": dict(self.step_outputs),
            "events": list(self.events),
        }
        return found if self.latest_event is None else {**found, "latest_event": self.latest_event}
