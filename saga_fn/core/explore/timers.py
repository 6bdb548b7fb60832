"""Armed timers, each of which may fire at any point: alone, or all at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from saga_fn.core.ids import Moment
from saga_fn.core.state import (
    FannedOut,
    Joined,
    NotTaken,
    Retrying,
    Rewound,
    SagaState,
    Settled,
    Skipped,
    Sleeping,
    StepState,
    Succeeded,
    Undone,
    UndoRetrying,
    UndoWaiting,
    Unknown,
    Waiting,
)

SOON = Moment(1)
_replace = msgspec.structs.replace
_TIMELESS: TypeAlias = Succeeded | Skipped | Settled | NotTaken | FannedOut | Joined | Undone | Rewound


def firing(state: SagaState) -> Iterator[SagaState]:
    """The state with its timers set so that one of them fires soon, or all of them."""
    soon = tuple(_soon(step) for step in state.steps)
    armed = [place for place, step in enumerate(state.steps) if step != soon[place]]
    for place in armed:
        yield _replace(state, steps=(*state.steps[:place], soon[place], *state.steps[place + 1 :]))
    if len(armed) > 1:
        yield _replace(state, steps=soon)
    own = [each for each in _own_timers(state) if each != state]
    yield from own
    if armed:
        for each in own:
            yield _replace(each, steps=soon)


def _own_timers(state: SagaState) -> Iterator[SagaState]:
    """The state with a moment of the saga itself set to come soon."""
    yield _replace(state, begins_at=min(state.begins_at, SOON))
    yield _replace(state, deadline=_sooner(state.deadline))
    yield _replace(state, buffered=tuple(_replace(each, expires=_sooner(each.expires)) for each in state.buffered))


def _soon(step: StepState) -> StepState:
    if isinstance(step, _TIMELESS):
        return step
    if isinstance(step, Sleeping):
        return _replace(step, wake=min(step.wake, SOON))
    if isinstance(step, Waiting):
        return _replace(step, times_out_at=_sooner(step.times_out_at))
    if isinstance(step, UndoWaiting):
        step = _replace(step, times_out_at=_sooner(step.times_out_at))
    step = _replace(
        step, attempts=_replace(step.attempts, may_run_until=Moment(min(step.attempts.may_run_until, SOON)))
    )
    return (
        _replace(step, wake=Moment(min(step.wake, SOON)))
        if isinstance(step, Retrying | UndoRetrying | Unknown)
        else step
    )


def _sooner(moment: Moment | None) -> Moment | None:
    return None if moment is None else min(moment, SOON)
