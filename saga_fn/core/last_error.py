"""The error that a saga's row shows: the last one, until what failed is done."""

from __future__ import annotations

from saga_fn.core.events import Event, ProbeAnswered, StepSucceeded
from saga_fn.core.state import Goal, Running, SagaState, Unfinished


def is_in_trouble(state: SagaState) -> bool:
    """Whether something of the saga has failed and was not done since."""
    return state.goal not in (Goal.FORWARD, Goal.COMPLETED) or any(
        isinstance(step, Unfinished) and (step.attempts.failures or type(step) is not Running) for step in state.steps
    )


def forgets_error(event: Event, state: SagaState) -> bool:
    """Whether the last error is of the past, once the event has led to that state."""
    if type(event) is StepSucceeded or (isinstance(event, ProbeAnswered) and event.done):
        return not is_in_trouble(state)
    return False
