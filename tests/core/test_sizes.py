"""The largest state that a saga can come to is computed before it runs, and no state is larger.

The states that it is held to are made of the classes themselves: a field that is added to one of them is counted here.
"""

from __future__ import annotations

import enum
import re
import typing
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from saga_fn.core.event_matching import BUFFER_LIMIT
from saga_fn.core.fan_out import ITEM_LIMIT
from saga_fn.core.ids import Digest, Moment, StepId, item_of
from saga_fn.core.plan import LONGEST_FAN_OUT_ID, LONGEST_ID, MOST_STEPS, Plan, PlannedStep, StepKind
from saga_fn.core.plan_flaws import TooLarge
from saga_fn.core.retry import JOURNAL_LIMIT
from saga_fn.core.rules.waits import EVENT_LIMIT
from saga_fn.core.size import LONGEST_NAME, STATE_LIMIT, most_bytes, size_flaws
from saga_fn.core.state import Buffered, Rewound, SagaState, Sleeping, StepState, UndoWaiting, Waiting

SCHEMA: Final = Path(__file__).parents[2] / "sql" / "schema" / "0001_sagas.sql"
LATE: Final = Moment(4_000_000_000_000_000)
"""In the year 2096, in microseconds."""
KINDS: Final[tuple[type[msgspec.Struct], ...]] = typing.get_args(StepState)
NAMES: Final = tuple(f"{number}".ljust(LONGEST_NAME, "e") for number in range(4))
S = TypeVar("S", bound=msgspec.Struct)


# Any: a value of whatever type the field has.
def largest(kind: Any, step: str, names: tuple[str, ...]) -> Any:
    """The largest value of a field's type in a state of that step, whose compensation waits for these."""
    if kind is StepId:
        return step
    if kind is Digest:
        return b"\xff" * 8
    if kind is Moment:
        return LATE
    if kind is bool:
        return True
    if kind is int:
        return JOURNAL_LIMIT
    if kind is str:
        return "e" * LONGEST_NAME
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return max(kind, key=lambda member: size(member.value))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return whole(kind, step, names)
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    if members == [str, ...]:
        return names
    assert members, f"the largest {kind} has to be said here"
    return max((largest(member, step, names) for member in members), key=size)


def whole(kind: type[S], step: str, names: tuple[str, ...]) -> S:
    hints = typing.get_type_hints(kind)
    return kind(**{name: largest(hints[name], step, names) for name in kind.__struct_fields__})


def size(value: object) -> int:
    return len(msgspec.msgpack.encode(value))


def of_step(step: str, planned: PlannedStep) -> StepState:
    """The largest state of all kinds: an item, and any other step, is executed, and neither sleeps nor waits."""
    waits = planned.kind is not StepKind.STEP
    kinds = [kind for kind in KINDS if waits or kind not in (Waiting, Sleeping)]
    if not planned.undo_waits_for:
        kinds.remove(UndoWaiting)
    states = [whole(kind, step, planned.undo_waits_for) for kind in kinds]
    if not waits:
        states = [
            msgspec.structs.replace(state, before=None) if "before" in state.__struct_fields__ else state
            for state in states
        ]
    return typing.cast("StepState", max(states, key=size))


def largest_state(plan: Plan) -> int:
    steps = [of_step(planned.step, planned) for planned in plan.data.steps]
    for planned in plan.data.steps:
        if planned.concurrency:
            steps += [of_step(item_of(planned.step, number), planned) for number in range(ITEM_LIMIT)]
    state = SagaState(
        plan=plan.id,
        rev=JOURNAL_LIMIT,
        at=LATE,
        steps=tuple(steps),
        events=(JOURNAL_LIMIT,) * EVENT_LIMIT,
        latest_event_seq=JOURNAL_LIMIT,
        failed_takeovers=JOURNAL_LIMIT,
        begins_at=LATE,
        deadline=LATE,
        buffered=(whole(Buffered, "", ()),) * BUFFER_LIMIT if plan.events else (),
        rewound=tuple(Rewound(planned.step, JOURNAL_LIMIT) for planned in plan.data.steps),
    )
    return size(state)


def id_of(number: int) -> StepId:
    return StepId(f"{number:03}".ljust(LONGEST_ID, "s"))


def plan_of(steps: int, *, names: tuple[str, ...] = (), waits: int = 0, fan_out: bool = True) -> Plan:
    planned = [
        PlannedStep(id_of(number), compensable=bool(names), undo_waits_for=names) for number in range(steps - waits)
    ]
    planned += [PlannedStep(id_of(steps - number), kind=StepKind.EVENT, waits_for=("e",)) for number in range(waits)]
    if fan_out:
        planned.append(
            PlannedStep(
                StepId("i" * LONGEST_FAN_OUT_ID), compensable=bool(names), undo_waits_for=names, concurrency=200
            )
        )
    return Plan.of(*planned)


def test_the_largest_state_is_what_is_computed() -> None:
    for plan in (
        plan_of(1, fan_out=False),
        plan_of(MOST_STEPS - 1),
        plan_of(MOST_STEPS, waits=50, fan_out=False),
        plan_of(20, names=NAMES, waits=5),
    ):
        assert most_bytes(plan) == largest_state(plan)


def test_a_saga_of_the_most_and_longest_steps_and_items_can_be_stored() -> None:
    assert most_bytes(plan_of(MOST_STEPS - 1)) <= STATE_LIMIT
    assert list(size_flaws(plan_of(MOST_STEPS - 1))) == []


def test_compensations_that_wait_for_many_events_may_be_too_much() -> None:
    plan = plan_of(MOST_STEPS - 1, names=NAMES)
    assert most_bytes(plan) > STATE_LIMIT
    assert list(size_flaws(plan)) == [TooLarge(most_bytes(plan))]


def test_the_schema_has_the_same_limit() -> None:
    limit = re.search(r"saga_state_is_small CHECK \(.*?(\d+)\)", SCHEMA.read_text(encoding="utf-8"))
    assert limit is not None
    assert int(limit[1]) == STATE_LIMIT
