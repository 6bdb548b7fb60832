"""The largest state that a saga can come to is one that the store keeps, whatever of its limits come together.

The states are made of the classes themselves: a field that is added to one of them is counted here.
"""

from __future__ import annotations

import enum
import re
import typing
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from saga_fn.core.ids import Digest, Moment, PlanId, StepId, item_of
from saga_fn.core.items import ITEM_LIMIT
from saga_fn.core.retry import JOURNAL_LIMIT
from saga_fn.core.rules.waits import EVENT_LIMIT
from saga_fn.core.state import Buffered, SagaState, Sleeping, StepState, Waiting
from saga_fn.core.waiting import BUFFER_LIMIT
from saga_fn.definition.ids import LONGEST_FAN_OUT_ID, LONGEST_ID, MOST_STEPS

SCHEMA: Final = Path(__file__).parents[2] / "sql" / "schema" / "0001_sagas.sql"
LATE: Final = Moment(4_000_000_000_000_000)
"""In the year 2096, in microseconds."""
KINDS: Final[tuple[type[msgspec.Struct], ...]] = typing.get_args(StepState)
ABIDING: Final = (Waiting, Sleeping)
S = TypeVar("S", bound=msgspec.Struct)


# Any: a value of whatever type the field has.
def largest(kind: Any, step: str) -> Any:
    """The largest value of a field's type in a state of that step."""
    if kind is StepId:
        return step
    if kind is Digest:
        return b"\xff" * 8
    if kind is Moment:
        return LATE
    if kind is str:
        return "e" * LONGEST_ID
    if kind is bool:
        return True
    if kind is int:
        return JOURNAL_LIMIT
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return max(kind, key=lambda member: size(member.value))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return whole(kind, step)
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    assert members, f"the largest {kind} has to be said here"
    return max((largest(member, step) for member in members), key=size)


def whole(kind: type[S], step: str) -> S:
    hints = typing.get_type_hints(kind)
    return kind(**{name: largest(hints[name], step) for name in kind.__struct_fields__})


def size(value: object) -> int:
    return len(msgspec.msgpack.encode(value))


def test_the_largest_state_is_one_that_the_store_keeps() -> None:
    names = [f"{number:03}".ljust(LONGEST_ID, "s") for number in range(MOST_STEPS)]
    steps = [max((whole(kind, name) for kind in KINDS), key=size) for name in names]
    items = [item_of(StepId("i" * LONGEST_FAN_OUT_ID), number) for number in range(ITEM_LIMIT)]
    steps += [max((largest_of_item(kind, item) for kind in KINDS if kind not in ABIDING), key=size) for item in items]
    state = SagaState(
        plan=PlanId("f" * 64),
        rev=JOURNAL_LIMIT,
        at=LATE,
        steps=tuple(steps),  # type: ignore[arg-type]  # each is one of the classes that StepState is of
        events=(JOURNAL_LIMIT,) * EVENT_LIMIT,
        latest=JOURNAL_LIMIT,
        crashes=JOURNAL_LIMIT,
        begins=LATE,
        deadline=LATE,
        buffered=(whole(Buffered, ""),) * BUFFER_LIMIT,
    )
    limit = re.search(r"saga_state_is_small CHECK \(.*?(\d+)\)", SCHEMA.read_text(encoding="utf-8"))
    assert limit is not None
    assert size(state) <= int(limit[1])


def largest_of_item(kind: type[msgspec.Struct], item: str) -> msgspec.Struct:
    """An item is executed: it neither sleeps nor waits for an event on the way forward."""
    state = whole(kind, item)
    return msgspec.structs.replace(state, before=None) if "before" in kind.__struct_fields__ else state
