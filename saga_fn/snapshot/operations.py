"""Acts of operators, and the effect that an act would have on many sagas."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec
from typing_extensions import override

from saga_fn.core.projection import SagaStatus
from saga_fn.printable import LONGEST_NAME, printable
from saga_fn.snapshot.lists import SagaCount, SagaRow
from saga_fn.snapshot.pauses import Pause


class OperationState(enum.StrEnum):
    """The state of an operation."""

    RUNNING = "running"
    """It goes on, in whichever process carries it out."""
    STOPPED = "stopped"
    """An operator has stopped it; it goes on if one says so."""
    DONE = "done"
    """It is over."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """An act of an operator: a verb of one saga, a verb of all sagas that a filter finds, a pause, or the end of one.

    Attributes:
        id: Its id.
        verb: The name of the verb, as the method of `SagaAdmin` has it.
        step_id: The step that it names, or None.
        saga_id: The saga, if the verb was asked of one.
        wanted: The filter, if it was asked of many: the arguments that were given to `SagaFilter`, by name. A condition on a
            search attribute is told by its stored texts: `attribute` is the name, `value` the value, and a range has
            `value_before`. A pause of a name, or its end, has `saga_name` alone. A verb of one saga has none, nor has `pause_all`.
        actor: Who asked, or None.
        reason: Why, or None.
        state: Its state.
        began_at: The time when it was asked.
        updated_at: The time of its last change.
        done: The number of sagas that the verb was applied to; 1 for a pause that was made, or ended.
        asked: The number of sagas whose owners were asked and have not answered in time; they answer yet.
        refusals: The number of sagas that have refused the verb, by the reason: `moved_on` are those that have changed meanwhile.
            A pause that was there before is `already_paused`, the end of one that was not there is `not_paused`.
        remaining: How many sagas are left, counted up to 1,000; None in a list of operations.
        unreadable: The reason why its filter or its counts cannot be read, or None. Then `wanted`, or each count, is empty.
    """

    id: UUID
    verb: str
    step_id: str | None
    saga_id: UUID | None
    wanted: Mapping[str, object]
    actor: str | None
    reason: str | None
    state: OperationState
    began_at: datetime
    updated_at: datetime
    done: int
    asked: int
    refusals: Mapping[str, int]
    remaining: SagaCount | None = None
    unreadable: str | None = None

    @override
    def __str__(self) -> str:
        """It in one line: the filter, who asked and why are left out."""
        of = "" if self.saga_id is None else f" of {self.saga_id}"
        step = "" if self.step_id is None else f" {printable(self.step_id, LONGEST_NAME)}"
        asked = f", {self.asked:,} asked" if self.asked else ""
        left = "" if self.remaining is None or not self.remaining.sagas else f", {self.remaining} remaining"
        told = f"{self.done:,} done{asked}{_refusals(self.refusals)}{left}"
        return f"{self.verb}{step}{of}, {self.state}: {told if self.unreadable is None else 'it cannot be read'}"

    @property
    def refused(self) -> int:
        """The number of sagas that have refused the verb."""
        return sum(self.refusals.values())


class BulkSample(msgspec.Struct, frozen=True):
    """A saga that a filter finds, and whether it would accept a verb.

    Attributes:
        saga: The saga.
        refusal: The reason for which it would refuse the verb, as a code such as `past_pivot`; None if it would accept it.
    """

    saga: SagaRow
    refusal: str | None


class BulkPreview(msgspec.Struct, frozen=True):
    """The effect that a verb would have on all sagas that a filter finds.

    Attributes:
        sagas: How many sagas the filter finds.
        looked_at: The number of those that the verb was folded on: the first 100 at most.
        accepted: The number of those looked at that would accept the verb.
        refusals: The number of those looked at that would refuse it, by the reason.
        samples: The first ten.
        pauses: The pauses of everything and of the names of these sagas: until they end, nothing that the verb lets begin begins. A
            pause of a saga by itself is not among them.
        ends: The number of those that would accept it and then end, by the end, if each attempt succeeds.
        parked_again: The number of those that would accept it and be parked again, because no definition that processes work with
            fits what they have done.
        left_over: The number of them that leave something of a step over then, by the step.
        stays_done: The number of them of which a step stays done that has no undo, by the step.
        rewound: The number of them that end rolled back, and of which a step had begun before a rewind, by the step.
    """

    sagas: SagaCount
    looked_at: int
    accepted: int
    refusals: Mapping[str, int]
    samples: tuple[BulkSample, ...]
    pauses: tuple[Pause, ...] = ()
    ends: Mapping[SagaStatus, int] = MappingProxyType({})
    parked_again: int = 0
    left_over: Mapping[str, int] = MappingProxyType({})
    stays_done: Mapping[str, int] = MappingProxyType({})
    rewound: Mapping[str, int] = MappingProxyType({})

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """All that would come of it, if each attempt succeeds, as subjects and numbers in words."""
        found = (
            ("would end", _counts(self.ends)),
            ("parked again, for no definition fits", str(self.parked_again or "")),
            ("left over then", _counts(self.left_over)),
            ("stays done, without an undo", _counts(self.stays_done)),
            ("run before a rewind, which undid nothing", _counts(self.rewound)),
        )
        return tuple((subject, number) for subject, number in found if number)

    @override
    def __str__(self) -> str:
        """It in one line; the samples are left out."""
        refused = _refusals(self.refusals)
        told = f"{self.sagas} sagas; of {self.looked_at} looked at, {self.accepted} would accept the verb{refused}"
        paused = ", ".join(
            printable(each.saga_name, LONGEST_NAME) if each.saga_name else "everything" for each in self.pauses
        )
        foreseen = "".join(f"; {subject}: {number}" for subject, number in self.told)
        return f"{told}{foreseen}; paused: {paused}" if paused else f"{told}{foreseen}"


def _counts(numbers: Mapping[Any, int]) -> str:  # Any: an end, or a step
    return ", ".join(f"{number:,} {printable(str(what), LONGEST_NAME)}" for what, number in numbers.items())


def _refusals(refusals: Mapping[str, int]) -> str:
    told = ", ".join(f"{number:,} {why}" for why, number in refusals.items())
    return f", {sum(refusals.values()):,} refused ({told})" if told else ""
