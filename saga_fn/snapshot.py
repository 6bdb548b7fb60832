"""What can be seen of a saga from outside: snapshots and ends, as values of their own."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar
from uuid import UUID

import attrs
from typing_extensions import override

from saga_fn.core.leftovers import LeftOver
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.steps import StepStatus

R_co = TypeVar("R_co", covariant=True)


def wait_token(saga_id: UUID, rev: int) -> UUID:
    """The token of a saga that nobody owns, for `notify`: another one after every change of the saga."""
    return UUID(bytes=hashlib.blake2b(saga_id.bytes + rev.to_bytes(8), digest_size=16).digest())


@attrs.frozen
class Wait:
    """What one step of a saga waits for outside: any of these events, or (without events) a moment alone."""

    step_id: str
    events: tuple[str, ...]
    until: datetime | None
    """When the wait is over; None if it may last for ever."""


@attrs.frozen
class SagaSnapshot:
    """A saga at one moment. Reading it takes no lock."""

    id: UUID
    saga_name: str
    version: int
    revision: int
    """How many entries its journal has. Operators give it to a verb as `expect=`: then the verb counts for this state only."""
    aggregation_id: str | None
    trace_id: str
    status: SagaStatus
    waits: WaitReason
    """Why a SUSPENDED saga waits."""
    current_step_id: str | None
    current_step_index: int
    """How many steps of the plan are done; computed, the saga itself goes by step ids."""
    retry_counter: int
    """Failed attempts of the step that is tried now."""
    deadline_at: datetime | None
    """While somebody runs it the end of the lease, while it sleeps the time to wake."""
    step_execution_token: UUID | None
    """What `notify` wants to be shown; None once the saga has ended."""
    last_error: str | None
    """Type name of the last error; messages are in the history."""
    parked: str | None
    """Why it waits for a person."""
    unreadable: str | None
    """The reason why its stored state cannot be read; then its row alone speaks, and a person has to look at it."""
    left_over: tuple[LeftOver, ...]
    """What a FAILED saga leaves in the world; each step of its plan where its stored state cannot be read."""
    waiting_for: tuple[Wait, ...]
    """The events and moments it waits for now."""
    buffered_events: tuple[str, ...]
    """The names of events that came and that nothing has taken yet, in order."""
    begins_at: datetime | None
    """When it begins, if it was started with a delay that is not over."""
    rolls_back_at: datetime | None
    """Its deadline, for as long as it goes forward."""
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


@attrs.frozen
class Unreadable:
    """Stands where a stored payload is shown that cannot be read: it was damaged, or written by hand."""

    size: int | None
    """Bytes that are stored; None if there is no such journal entry."""

    @override
    def __repr__(self) -> str:
        return "<missing>" if self.size is None else f"<unreadable: {self.size} bytes>"


@attrs.frozen
class KeptEvent:
    """An event for a business key under which no saga is active yet."""

    saga_name: str
    aggregation_id: str
    event: str
    payload: object = attrs.field(repr=False)  # a repr may end in a log, and payloads do not belong there
    """Plain JSON."""
    sent_at: datetime
    expires_at: datetime


class HistoryStatus(enum.StrEnum):
    """What one history entry says."""

    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    INFO = "INFO"
    """Neither: a start, a claim, an operator's verb, an outside event, a probe that says that it has not run."""


@attrs.frozen
class HistoryEntry:
    """One entry of a saga's journal, readable. Payloads are plain JSON values."""

    seq: int
    kind: str
    phase: str
    """`execute`, `compensate`, `probe` or `saga`."""
    status: HistoryStatus
    step_id: str | None
    attempt: int | None
    timestamp: datetime
    token: UUID
    """Whose word it is: the token of the claim under which it was written, or an id of its own."""
    skipped: bool
    input: Any = attrs.field(default=None, repr=False)  # Any: JSON of whatever type the step has
    output: Any = attrs.field(default=None, repr=False)  # Any: as above
    error: str | None = None
    business_error: Any = attrs.field(
        default=None, repr=False
    )  # Any: JSON of whatever business error the step declares
    event: str | None = None
    """The name of an outside event that has one."""
    actor: str | None = None
    """Of an operator's verb: who asked for it, if that was said (`SagaAdmin(orchestrator, actor=...)`)."""
    reason: str | None = None
    """Of an operator's verb: why, if that was said (`reason=`)."""


@attrs.frozen
class StepFailure:
    """What made a saga turn back, or wait for a person: the failure of one step."""

    step_id: str
    type: str
    """The name of the error's type."""
    message: str = attrs.field(repr=False)
    error: object = attrs.field(default=None, repr=False)
    """The business error itself, as the type the step declares: the E of its `Result[O, E]`, or a class in `give_up_on`.

    Plain JSON where this process does not know the definition; None where only the message could be kept, because the error
    holds a value that cannot be stored: see `give_up_on`.
    """


@attrs.frozen
class StepSnapshot:
    """One step of a saga at one moment."""

    step_id: str
    status: StepStatus
    attempt: int
    """How often it was executed in its present direction, forward or back; 0 once that is done."""
    failures: int
    """Failed attempts that its retry policy counts."""
    wakes_at: datetime | None
    """When it is tried again, or its wait is over."""
    parked: str | None
    """Why it waits for a person."""


@attrs.frozen
class SagaAdminSnapshot(SagaSnapshot):
    """A snapshot with the saga's data and history.

    `context` has the keys `saga_name`, `initial_data`, `step_outputs`,
    `events` and, if there is one, `latest_event`; everything in it is plain JSON, and changing it changes nothing.
    """

    context: Mapping[str, Any] = attrs.field(repr=False)  # Any: JSON of whatever types the saga has
    step_history: tuple[HistoryEntry, ...] = attrs.field(repr=False)
    notes: tuple[str, ...]
    """What happened beside the journal: late results, refused verbs."""
    steps: tuple[StepSnapshot, ...]
    """Every step of the plan, in its order, and what has become of it."""
    failure: StepFailure | None = None
    """What made it turn back; while it goes forward, what failed last and has not been done since."""


@attrs.frozen
class Completed(Generic[R_co]):
    """The saga did everything; `result` is its output."""

    result: R_co = attrs.field(repr=False)
    snapshot: SagaSnapshot


@attrs.frozen
class Compensated:
    """The saga was rolled back and leaves nothing."""

    snapshot: SagaSnapshot
    error: str | None = attrs.field(repr=False)
    failure: StepFailure | None = None
    """Which step made it turn back, and its business error, if there was one."""


@attrs.frozen
class Failed:
    """The saga ended and leaves `left_over`."""

    snapshot: SagaSnapshot
    error: str | None = attrs.field(repr=False)
    failure: StepFailure | None = None
    """Which step made it turn back, and its business error, if there was one."""

    @property
    def left_over(self) -> tuple[LeftOver, ...]:
        """What is left in the world, step by step."""
        return self.snapshot.left_over


Outcome: TypeAlias = Completed[R_co] | Compensated | Failed
"""How a saga ended: a closed union, for `match`."""


class AttentionKind(enum.StrEnum):
    """What a person should look at."""

    PARKED = "parked"
    """Sagas wait for a person; their snapshots say why."""
    UNOWNED = "unowned"
    """Sagas are due, but no process that was seen lately works on their name and version."""
    OVERDUE = "overdue"
    """Sagas of this process's definitions have been due for longer than a minute."""
    FAILED = "failed"
    """Sagas ended FAILED within the last day; their snapshots say what is left over."""
    SLOTS_HELD = "slots_held"
    """The same sagas have held all slots of this process for minutes, so that no other one runs here."""
    SUSPECTS = "suspects"
    """Sagas that were taken over again and again without progress wait for their turns, each apart from others."""
    DEAF = "deaf"
    """This process hears of nothing that others tell it, and finds sagas by looking only: a pooler is in between."""
    RIGHTS = "rights"
    """The role of this process has not all the rights of any kind of process; a call that lacks one is refused."""


@attrs.frozen
class Attention:
    """One thing that a person should look at. It is no fault of this process."""

    kind: AttentionKind
    text: str
    """The same in words."""
    sagas: int = 0
    """How many sagas it is so of, where they were counted; 1,000 stands for 1,000 or more."""
    saga_name: str | None = None
    version: int | None = None
    saga_ids: tuple[UUID, ...] = ()
    """Some of the sagas, three at most."""


@attrs.frozen
class Health:
    """Whether this process can do its work, and what a person should look at.

    For a probe use `ok`: it is False if this process cannot do its work, whatever becomes of sagas. For an alert use
    `attention`, which never changes `ok`: to restart this process would not help.
    """

    ok: bool
    database: bool
    schema: bool
    worker: bool
    """The worker loop runs; also True where none is wanted (`concurrency=0`, or a pool or MemoryStore not entered)."""
    in_flight: int
    """How many sagas this process runs now."""
    oldest_due: datetime | None
    """Since when the longest waiting saga of this process's definitions has been due."""
    problems: tuple[str, ...]
    """What this process cannot do, in words; empty if `ok`."""
    attention: tuple[Attention, ...] = ()
    """What a person should look at: parked, unowned, overdue and FAILED sagas, slots that are held for long."""
