"""The most bytes that a saga's state can take, so that what could not be stored is refused before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from saga_fn.core.event_matching import BUFFER_LIMIT
from saga_fn.core.fan_out import ITEM_LIMIT
from saga_fn.core.ids import Digest, Moment, StepId, item_of
from saga_fn.core.plan import Plan, PlannedStep, StepKind
from saga_fn.core.plan_flaws import TooLarge
from saga_fn.core.retry import JOURNAL_LIMIT
from saga_fn.core.rules.waits import EVENT_LIMIT
from saga_fn.core.state import (
    Attempts,
    Buffered,
    Doubt,
    Parked,
    ParkReason,
    Rewound,
    SagaState,
    StepState,
    UndoParked,
    UndoWaiting,
    Unknown,
    Waiting,
)

STATE_LIMIT: Final = 65_536
"""Bytes; the schema has it too."""
LONGEST_NAME: Final = 64
"""Characters of an event's name."""
_LATE: Final = Moment(4_000_000_000_000_000)
_ABOUT: Final = Digest(b"\xff" * 8)
_N: Final = JOURNAL_LIMIT
_TRIED: Final = Attempts(_N, _N, max(Doubt), _ABOUT, _N, _N, _LATE, _LATE, _N, _N, _LATE, _N)
_REASON: Final = max(ParkReason, key=len)
_BUFFERED: Final = Buffered(_N, "e" * LONGEST_NAME, _ABOUT, _LATE)


def most_bytes(plan: Plan) -> int:
    """The length of the largest state, encoded, that a saga of this plan can come to: whatever can come together does."""
    steps = [_largest(planned.step, planned) for planned in plan.data.steps]
    fan_outs = [planned for planned in plan.data.steps if planned.concurrency]
    none: list[StepState] = []
    items = max([none, *map(_items, fan_outs)], key=_size)
    return _size(
        SagaState(
            plan=plan.id,
            rev=_N,
            at=_LATE,
            steps=(*steps, *items),
            events=(_N,) * EVENT_LIMIT,
            latest_event_seq=_N,
            failed_takeovers=_N,
            begins_at=_LATE,
            deadline=_LATE,
            buffered=(_BUFFERED,) * BUFFER_LIMIT if plan.events else (),
            rewound=tuple(Rewound(planned.step, _N) for planned in plan.data.steps),
        )
    )


def size_flaws(plan: Plan) -> Iterator[TooLarge]:
    """Why the state of a saga of this plan could not be stored."""
    size = most_bytes(plan)
    if size > STATE_LIMIT:
        yield TooLarge(size)


def _items(planned: PlannedStep) -> list[StepState]:
    return [_largest(item_of(planned.step, number), planned) for number in range(ITEM_LIMIT)]


def _largest(step: StepId, planned: PlannedStep) -> StepState:
    return max(_candidates(step, planned), key=_size)


def _candidates(step: StepId, planned: PlannedStep) -> Iterator[StepState]:
    """The largest of what a step can be in: whatever else there is holds less."""
    yield UndoParked(step, _N, _TRIED, _REASON)
    yield Unknown(step, _TRIED, _LATE, _N, _LATE, _LATE)
    yield Parked(step, _TRIED, _REASON, None if planned.kind is StepKind.STEP else Waiting(step, _LATE, _ABOUT, _LATE))
    if planned.undo_waits_for:
        yield UndoWaiting(step, _N, _TRIED, planned.undo_waits_for, _LATE, _ABOUT, _LATE)


def _size(value: object) -> int:
    return len(msgspec.msgpack.encode(value))
