"""The view of one saga from outside: where it stands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import msgspec

from saga_fn.core.leftovers import LeftOver
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.printable import HidingStruct, kept


def wait_token(saga_id: UUID, rev: int) -> UUID:
    """The token of a saga without an owner, for `notify`: another one after every change of the saga."""
    return UUID(bytes=hashlib.blake2b(saga_id.bytes + rev.to_bytes(8), digest_size=16).digest())


class Wait(msgspec.Struct, frozen=True):
    """A wait of one step of a saga: for any of these events, or (without events) for a moment alone."""

    step_id: str
    """The id of the step that waits."""
    events: tuple[str, ...]
    """The names of the events, any of which ends the wait."""
    until: datetime | None
    """When the wait is over; None if it may last for ever."""


class SagaSnapshot(HidingStruct, frozen=True):
    """A saga at one moment. Reading it takes no lock."""

    id: UUID
    """The saga's id."""
    saga_name: str
    """The name that it is registered under."""
    version: int
    """The version of its definition."""
    revision: int
    """The number of entries in its journal. A verb with this number as `expect=` counts for this state only."""
    aggregation_id: str | None
    """Its business key, or None."""
    trace_id: str
    """The id for logs that it was started with."""
    status: SagaStatus
    """Its status."""
    waits: WaitReason
    """The reasons why a SUSPENDED saga waits."""
    goes_back: bool
    """Whether it is being rolled back, in whichever live status. False before it turns back, and once it has ended."""
    current_step_id: str | None
    """The id of the step that it is at; None if there is none."""
    current_step_index: int
    """The number of steps of the plan that are done. It is computed: the saga itself goes by step ids."""
    retry_counter: int
    """The number of failed attempts of the step that is tried now."""
    deadline_at: datetime | None
    """The end of the lease while a process works on it; the time to wake while it sleeps."""
    step_execution_token: UUID | None
    """The token that `notify` wants to be shown; None once the saga has ended."""
    last_error: str | None
    """The type name of the last error; messages are in the history."""
    parked: str | None
    """The reason why it waits for a person, or None."""
    unreadable: str | None
    """The reason why its stored state cannot be read, or None. Then its row alone speaks, and a person has to look at it."""
    left_over: tuple[LeftOver, ...]
    """The effects that a FAILED saga leaves in the world; each step of its plan where its stored state cannot be read."""
    stays_done: tuple[str, ...]
    """The steps of a COMPENSATED or FAILED saga that are done, and stay so because they have no compensation."""
    rewound: tuple[str, ...]
    """The steps that had begun when `rewind` took the saga back to before them, which undoes nothing."""
    acknowledged: bool
    """Whether an operator has acknowledged that it FAILED; `rejections` of SagaAdmin.get_saga tells who and why."""
    waiting_for: tuple[Wait, ...]
    """The events and moments that it waits for now."""
    buffered_events: tuple[str, ...]
    """The names of events that came and that no wait has taken yet, in order."""
    begins_at: datetime | None
    """The time when it begins, if it was started with a delay that is not over."""
    paused_since: datetime | None
    """The time when an operator paused this saga itself, or None. A pause of its name, or of everything, is not told here."""
    rolls_back_at: datetime | None
    """Its deadline, for as long as it goes forward."""
    created_at: datetime
    """The time of its start."""
    updated_at: datetime
    """The time of its last change."""
    ended_at: datetime | None
    """The time of its end; None before."""

    def _repr_svg_(self) -> str:
        """For a notebook."""
        from saga_fn.diagram.graphs import card

        return card(f"{self.saga_name}, version {self.version}", self.status, self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"id {self.id}"
        if self.goes_back:
            yield "goes back"
        if self.aggregation_id is not None:
            yield f"business key {self.aggregation_id}"
        if self.parked is not None:
            yield f"waits for a person: {self.parked.replace('_', ' ')}"
        elif self.current_step_id is not None:
            yield f"at step {self.current_step_id}"
        if self.paused_since is not None:
            yield f"paused since {self.paused_since:%Y-%m-%d %H:%M:%S}"
        for wait in self.waiting_for:
            events = f" for {' or '.join(wait.events)}" if wait.events else ""
            yield f"{wait.step_id} waits{events}" + (f" until {wait.until:%Y-%m-%d %H:%M:%S}" if wait.until else "")
        if self.last_error is not None:
            yield f"last error: {self.last_error}"
        for left in self.left_over:
            yield f"left over: {left.step_id} ({left.kind})"
        yield from kept(self.stays_done, self.rewound)
