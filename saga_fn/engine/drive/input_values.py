"""The values that inputs are computed from: initial data, outputs and events, each decoded when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, final

import msgspec
from typing_extensions import override

from saga_fn.core.ids import StepId
from saga_fn.core.inputs import output_at, outputs_at
from saga_fn.core.state import SagaState
from saga_fn.definition import INITIAL, AnyRef, InputContext
from saga_fn.engine.drive.owned_saga import OwnedSaga


@final
class Known:
    """The values that inputs are computed from: a saga as it stands at a state, which may not be written yet."""

    __slots__ = ("_saga", "_state")

    def __init__(self, saga: OwnedSaga, state: SagaState) -> None:
        self._saga = saga
        self._state = state

    def output(self, ref: AnyRef) -> object:
        """The output of a step that is done, or the initial data. Raises SagaDefinitionError if there is none."""
        step = ref.step_id
        if step == INITIAL:
            return self._saga.initial_data
        at = output_at(self._state, step)
        return self.whole.output(ref) if at is None else self._saga.output(step, at)  # the former says what is wrong

    @property
    def whole(self) -> InputContext[Any]:  # Any: sagas of all types are driven by one engine
        """All of it."""
        saga, state = self._saga, self._state
        return InputContext(
            saga_id=saga.id,
            initial_data=saga.initial_data,
            step_outputs=_Outputs(saga, state),
            events=tuple(msgspec.json.decode(saga.events[seq]) for seq in state.events),
            latest_event=msgspec.json.decode(saga.events[state.latest_event_seq]) if state.latest_event_seq else None,
        )


@final
class _Outputs(Mapping[StepId, object]):
    """The outputs of the steps that are done, each decoded when it is asked for; of a fan-out the whole, not its items."""

    def __init__(self, saga: OwnedSaga, state: SagaState) -> None:
        self._saga = saga
        self._done = outputs_at(saga.plan, state)

    @override
    def __getitem__(self, step: StepId) -> object:
        return self._saga.output(step, self._done[step])

    @override
    def __iter__(self) -> Iterator[StepId]:
        return iter(self._done)

    @override
    def __len__(self) -> int:
        return len(self._done)
