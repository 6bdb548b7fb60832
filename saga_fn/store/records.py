"""The values that go into a store and come out of it, in the words of the core; and the bytes in between.

States, events and plans are kept as msgpack arrays under a format number. A reader knows every format up to its own.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

import msgspec

from saga_fn.core.event_matching import BUFFER_LIMIT
from saga_fn.core.events import Event, Started
from saga_fn.core.flaws import LAST_MOMENT, flaw_in
from saga_fn.core.ids import Moment, PlanId
from saga_fn.core.plan import Plan, PlanData
from saga_fn.core.projection import Projection, SagaStatus, WaitReason, only_a_person_goes_on
from saga_fn.core.state import SagaState
from saga_fn.errors import StoredDataError
from saga_fn.snapshot import OperationState

T = TypeVar("T")

KEPT_FOR: Final = timedelta(days=7)
"""How long an event for a business key is kept at most, whenever it says that it expires."""
EXPIRED_AT_ONCE: Final = 500
"""One statement forgets no more expired events than this."""
NOT_BY_MESSAGE: Final = 8
"""In the column `waits`, beside the reasons: no message makes the saga due."""
MOST_UNREAD: Final = 1000
"""A saga's inbox takes no further event while so many of its messages are unread."""
MOST_READ: Final = 2 * MOST_UNREAD
"""Nobody reads more messages at once than this: more than a saga can have left unread for want of room."""
HANDED_OVER_AT_ONCE: Final = 100
"""One statement hands over no more events for a business key than this; the next sweep goes on."""
STRANDED_AT_ONCE: Final = 100
"""One statement finds no more business keys than this whose events were left on their way."""
SENT_AT_ONCE: Final = 100
"""One statement takes no more events than this that were sent in callers' transactions."""
ANSWER_BYTES: Final = 4 * 1024 * 1024
"""One statement takes no further message or event for a process once it brings so many bytes: its answer has seconds to come."""
OF_SENT: Final = -1
"""Among due shards, and none: events that were sent in callers' transactions are due."""
MOST_SENT: Final = MOST_UNREAD
"""No more of them are on their way to one saga, or to one business key, than this."""
FIRST_KEY: Final = ("", "")
"""Every name and business key comes after it."""
MOST_LOOKED_INTO: Final = 1000
"""An event for a business key whose saga has ended is looked for in the inboxes of no more of its sagas than this."""
MOST_KEPT: Final = BUFFER_LIMIT
"""No more events wait for a business key than a saga takes that does not wait for any of them yet."""
MOST_COUNTED: Final = 1000
"""Nobody counts further than this to tell how many sagas something is so of."""
MOST_IN_STATS: Final = 10_000
"""Nobody counts further than this to tell how many sagas of a name, version and state there are."""
MOST_ENDS: Final = 100_000
"""Nor more ends of a name, version and status than this."""
MOST_GROUPS: Final = 20_000
"""Numbers are told of no more names, versions and states than this."""
STILL_FOR: Final = timedelta(hours=1)
"""A saga that a process works on, and of which nothing has become durable for so long, is noticed."""
OPERATIONS_AT_ONCE: Final = 1000
"""No more acts of operators are deleted by one statement."""
PAUSED_LONG: Final = timedelta(hours=1)
"""A pause that is older is noticed."""
SILENT: Final = timedelta(minutes=10)
"""A process that has said nothing for so long is forgotten."""
MOST_PROCESSES: Final = 2000
"""No more processes than this are asked what they work on: those that were seen last."""
MOST_DEFINITIONS: Final = 10_000
"""The most definitions of one process that are believed."""
MOST_DEFINITIONS_OF_ALL: Final = 50_000
"""Nor more than this of all together."""
FORGOTTEN_AT_ONCE: Final = 2000
"""One statement forgets no more silent processes than this."""
MOST_UNFIT: Final = 200
"""One look finds no more sagas than this that were parked because a plan did not fit them."""
NO_LIMITS: Final[Mapping[tuple[str, int], int]] = {}
"""As many of each definition as there are."""
NO_PAUSE: Final = timedelta(0)
"""At once."""
FORMAT: Final = 1
"""The format this library writes; it reads `READABLE`."""
READABLE: Final = (1,)

DELETED_AT_ONCE: Final = 1000
"""One statement deletes no more sagas than this, and no more tombstones."""
LEAST_KEPT: Final = timedelta(hours=1)
"""A saga is deleted no sooner after its end. So no snapshot that is younger may have missed it all."""

ACKNOWLEDGED: Final = "acknowledged"
"""The kind of the record of an operator who has looked at a saga that FAILED."""

ALL_ENTRIES: Final = 2**62
"""A number that no journal entry has: all of them come before it."""

Definition: TypeAlias = tuple[str, int, PlanId]
"""A definition that a process works on: a name, a version, and the fingerprint of the plan that it has for them."""

_encode = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(SagaState).decode
_decode_event: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
_decode_plan = msgspec.msgpack.Decoder(PlanData).decode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_REASON: Final = WaitReason(0)
_MICROSECOND = timedelta(microseconds=1)


def encode_state(state: SagaState) -> bytes:
    """The state as it is stored."""
    return _encode(state)


def decode_state(data: bytes, rev: int | None = None) -> SagaState:
    """The state that was stored, with that revision if it is known. Raises StoredDataError for bytes that are not one."""
    state = _decoded("state", _decode_state, data)
    flaw = flaw_in(state, state.rev if rev is None else rev)
    if flaw is not None:
        raise StoredDataError("state", flaw)
    return state


def encode_event(event: Event) -> bytes:
    """The event as the journal keeps it."""
    return _encode(event)


def decode_event(data: bytes) -> Event:
    """The event that was journaled. Raises StoredDataError for bytes that are not one."""
    event = _decoded("journal entry", _decode_event.decode, data)
    if not 0 <= event.at <= LAST_MOMENT:
        raise StoredDataError("journal entry", "it names a moment that is none")
    return event


def encode_plan(plan: PlanData) -> bytes:
    """The plan as it is stored."""
    return _encode(plan)


def decode_plan(data: bytes) -> PlanData:
    """The plan that was stored. Raises StoredDataError for bytes that are not one."""
    return _decoded("plan", _decode_plan, data)


def waits_column(shown: Projection) -> int:
    """The column `waits`: the reasons, and the bit that keeps messages from making the saga due."""
    # An IntFlag would be taken for an array.
    return int(shown.waits) if shown.wakes_on_message else int(shown.waits) | NOT_BY_MESSAGE


def waits_columns(shown: Sequence[Projection]) -> list[int | None]:
    """The same of many rows: None for the usual one, which waits for nothing."""
    # Asked by identity, for the truth of a flag is a call of its own.
    return [
        None if each.waits is WaitReason.NOTHING and each.wakes_on_message else waits_column(each) for each in shown
    ]


def waits_alone(waits: WaitReason) -> int:
    """The column `waits` of a saga that waits for just that."""
    return int(waits) | NOT_BY_MESSAGE if only_a_person_goes_on(waits) else int(waits)


def reasons_in(column: int) -> WaitReason:
    """The reasons of the column `waits`."""
    return WaitReason(column & ~NOT_BY_MESSAGE)


def plan_from(data: bytes) -> Plan:
    """The plan that was stored, ready for use. Raises StoredDataError for bytes that are not one."""
    try:
        return Plan.from_data(decode_plan(data))
    except (ValueError, LookupError) as error:
        raise StoredDataError("plan", type(error).__name__) from None


def _decoded(what: str, decode: Callable[[bytes], T], data: bytes) -> T:
    try:
        return decode(data)
    except (
        ValueError,
        RecursionError,
        OverflowError,
        MemoryError,
    ) as error:  # msgspec's errors, and UnicodeDecodeError
        raise StoredDataError(what, type(error).__name__) from None


def moment_of(time: datetime) -> Moment:
    """The moment of an aware time, exact to the microsecond."""
    return Moment((time - _EPOCH) // _MICROSECOND)


def time_of(moment: Moment) -> datetime:
    """The aware UTC time of a moment."""
    return _EPOCH + timedelta(0, 0, moment)  # by place: by name it takes twice as long


Attributes: TypeAlias = tuple[tuple[str, str], ...]
"""Search attributes to set: the name of each, and its value as a text whose order is that of the values."""
NO_ATTRIBUTES: Final[Attributes] = ()


class OutgoingRow(msgspec.Struct, frozen=True, gc=False):
    """An outgoing message to be written with the journal entry that makes it true."""

    rev: int
    n: int
    topic: str
    key: str
    headers: bytes | None
    body: bytes
    token: UUID | None
    """The token of the process that publishes it, for as long as `lease`; None leaves it to whoever takes it."""
    lease: timedelta
    made: float
    """The monotonic time of this process when it was made. The lease counts from the statement that writes it, which is later."""


class HeldMessage(msgspec.Struct, frozen=True, gc=False):
    """An outgoing message that this process holds, to publish it."""

    saga_id: UUID
    rev: int
    n: int
    topic: str
    key: str
    headers: bytes | None
    body: bytes
    attempts: int
    """How often it was tried before."""
    created_at: datetime
    saga_name: str
    version: int


def is_full(bodies: Iterable[bytes]) -> bool:
    """Whether one statement has taken so many bytes that it may have left some for the next."""
    return sum(map(len, bodies)) >= ANSWER_BYTES


class FailedMessage(msgspec.Struct, frozen=True, gc=False):
    """A failed attempt to publish a message: it is tried again after `delay`, unless it is dead."""

    saga_id: UUID
    rev: int
    n: int
    delay: timedelta
    error: str
    is_dead: bool


class OutgoingRecord(msgspec.Struct, frozen=True):
    """An outgoing message as it stands in the store."""

    saga_id: UUID
    rev: int
    n: int
    topic: str
    key: str
    headers: bytes | None
    body: bytes
    attempts: int
    error: str | None
    due_at: datetime
    dead_at: datetime | None
    blocks: bool
    created_at: datetime
    is_held: bool


class OutgoingCounts(msgspec.Struct, frozen=True):
    """How many outgoing messages there are; `MOST_COUNTED` a shard stand for as many or more."""

    waiting: int
    oldest: datetime | None
    """When the oldest of those that were counted was written."""
    dead: int


class PauseRecord(msgspec.Struct, frozen=True):
    """A pause of a name, or with the empty name of everything."""

    name: str
    actor: str | None
    reason: str | None
    since: datetime

    def holds(self, name: str) -> bool:
        """Whether sagas of that name are paused by it."""
        return self.name in ("", name)


class NewSaga(msgspec.Struct, frozen=True, gc=False):
    """A saga to insert, with its first journal entry. `token` and `owner` are set together, when its process runs it."""

    id: UUID
    name: str
    version: int
    aggregation_id: str | None
    trace_id: str
    trace_carrier: bytes | None
    """The headers of the caller's trace: the input of the first journal entry."""
    request: bytes
    state: SagaState
    event: Started
    payload: bytes
    token: UUID | None
    owner: UUID | None
    writer: UUID
    projection: Projection
    """Its `due` counts for a saga without an owner."""
    attributes: Attributes = NO_ATTRIBUTES
    keyed: bool = False
    """Whether its id was made of an idempotency key."""
    outgoing: tuple[OutgoingRow, ...] = ()


class Live(NamedTuple):
    """A saga that has not ended: the token it is owned under, and whether it waits for a person."""

    token: UUID | None
    parked: bool


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One journal entry to append: an accepted event with the payloads that belong to it.

    `input_of` names the entry whose payload the input is, where it is just that; `input` is None then.
    """

    event: Event
    input: bytes | None = None
    payload: bytes | None = None
    input_of: int | None = None


class SagaWrite(msgspec.Struct, frozen=True, gc=False):
    """The next state of a saga, to be written only if (`token`, `rev`) still stand, with everything that goes with it.

    `release` gives the saga up, due at `due`; else its owner keeps it. `inbox_seen`, the number of messages the writer knows of,
    must stand too; None where a message more does not matter: the saga is kept, and no step starts. `writer` is the token of
    the claim, or for an outsider's single write an id of its own: with (`id`, `rev`) it names the write.
    """

    id: UUID
    token: UUID | None
    rev: int
    state: SagaState
    projection: Projection
    release: bool
    due: Moment | None
    inbox_seen: int | None
    last_error: str | None
    entries: tuple[Entry, ...]
    answers: tuple[tuple[UUID, str], ...]
    writer: UUID
    attributes: Attributes = NO_ATTRIBUTES
    outgoing: tuple[OutgoingRow, ...] = ()


Place: TypeAlias = tuple[UUID, int, int]
"""A message's saga, the revision that it is of, and its place in that."""
PASSED_OVER_FOR: Final = timedelta(seconds=5)
"""A message that is not the first of its saga is looked at again after so long."""
BLOCKED_FOR: Final = timedelta(minutes=5)
"""The same where a dead message stands before it."""
NOTHING_EARLIER: Final[Mapping[UUID, int]] = {}


class Committed(msgspec.Struct, frozen=True, gc=False):
    """The writes that were applied, each with the number of messages its saga has had; and the database's time.

    `earlier` names the sagas whose write brought an outgoing message, and that had one before which is not published: by the
    revision of the last of them.
    """

    inbox_sent: dict[UUID, int]
    now: Moment
    earlier: Mapping[UUID, int] = NOTHING_EARLIER


class Inserted(msgspec.Struct, frozen=True, gc=False):
    """The sagas that were inserted; and the database's time."""

    ids: frozenset[UUID]
    now: Moment


class SeenSaga(msgspec.Struct, frozen=True):
    """A saga as one statement has seen it, at that moment."""

    id: UUID
    name: str
    version: int
    aggregation_id: str | None
    trace_id: str
    plan: PlanId
    state: bytes
    rev: int
    inbox_sent: int
    last_error: str | None
    created_at: datetime
    now: Moment


class ClaimedSaga(SeenSaga, frozen=True):
    """A saga this process now owns under `token`. `previous_owner`: the one whose lease had run out; None if it had given it up."""

    token: UUID
    previous_owner: UUID | None

    @property
    def takeover(self) -> bool:
        """Whether the saga comes from an owner whose lease had run out."""
        return self.previous_owner is not None


class TakenSaga(msgspec.Struct, frozen=True):
    """A saga that this process has taken from its owner, under `token`. `lease_end`: until when that one may still run it."""

    token: UUID
    inbox_sent: int
    lease_end: Moment
    now: Moment


class SagaRecord(msgspec.Struct, frozen=True):
    """A saga's row as it stands. `leased`: its owner's lease is running."""

    id: UUID
    name: str
    version: int
    aggregation_id: str | None
    trace_id: str
    request: bytes
    plan: PlanId
    status: SagaStatus
    waits: WaitReason
    state: bytes
    rev: int
    token: UUID | None
    owner: UUID | None
    due_at: datetime | None
    inbox_sent: int
    retry_counter: int
    last_error: str | None
    parked: str | None
    problem_step: str | None
    acknowledged: bool
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    leased: bool
    now: Moment

    wakes_on_message: bool = True
    """Whether a message makes the saga due while nobody owns it."""

    @property
    def is_parked(self) -> bool:
        """Whether it waits for a person, among other things perhaps."""
        return WaitReason.PARKED in self.waits

    @property
    def is_paused(self) -> bool:
        """Whether a person has paused it by itself, and nothing of it runs any more."""
        return WaitReason.PAUSED in self.waits

    @property
    def waits_for_a_plan(self) -> bool:
        """Whether it waits for a plan that fits it."""
        return WaitReason.PLAN in self.waits

    @property
    def waits_for_an_event(self) -> bool:
        """Whether it waits for an event and for no retry, so that it is due once its time for that is over."""
        return self.waits & (WaitReason.EVENT | WaitReason.RETRY) == WaitReason.EVENT

    @property
    def goes_on_by_an_event(self) -> bool:
        """Whether nobody owns it, and it waits for an event, and for no person and no plan."""
        return self.owner is None and WaitReason.EVENT in self.waits and self.waits < WaitReason.PARKED

    @property
    def has_failed(self) -> bool:
        """Whether it has ended and left something over."""
        return self.status is SagaStatus.FAILED


class Standing(msgspec.Struct, frozen=True):
    """How a saga stands at one moment for a writer that has had no answer.

    `writer` wrote the journal entry that was asked for; None if there is no such entry.
    """

    rev: int
    token: UUID | None
    inbox_sent: int
    writer: UUID | None
    now: Moment


class JournalRecord(msgspec.Struct, frozen=True):
    """One row of a saga's journal."""

    seq: int
    event: bytes
    writer: UUID
    process: str | None
    """The process that took the saga with it."""
    input: bytes | None
    payload: bytes | None


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """The payloads of one journal entry."""

    input: bytes | None
    payload: bytes | None
    own: bool = False
    """Whether this process has encoded the payload, by the types that it has now."""


class InboxMessage(msgspec.Struct, frozen=True):
    """Something for whoever owns the saga: an operator's verb or an outside event."""

    id: UUID
    kind: str
    body: bytes

    @property
    def is_verb(self) -> bool:
        """Whether it is an operator's verb."""
        return self.kind != "event"


class MessageStatus(enum.Enum):
    """The outcome of leaving a message for a saga."""

    STORED = enum.auto()
    DUPLICATE = enum.auto()
    """It was there already, or the saga had got it in another way."""
    NO_ACTIVE_SAGA = enum.auto()
    """There is no such saga, or it has ended: nothing was stored."""
    FULL = enum.auto()
    """As many wait unread as may: nothing was stored."""
    ENDED = enum.auto()
    """A saga of that business key has ended, and none is active: nothing was stored."""


class SentEvent(msgspec.Struct, frozen=True):
    """An event that was sent in a caller's transaction, on its way to its saga; `id` is its row's, the message has its own."""

    id: UUID
    target: UUID | tuple[str, str]
    """The saga's id, or its name and its `aggregation_id`."""
    message: InboxMessage
    event: str
    sent_at: datetime
    expires: Moment | None
    for_next: bool


class KeyedEvent(msgspec.Struct, frozen=True):
    """The part of an event, beside its id, that a business key remembers until it expires."""

    name: str
    expires: Moment | None


class Sought(NamedTuple):
    """A business key that an event is for."""

    name: str
    aggregation_id: str
    event_id: UUID


class Recipient(NamedTuple):
    """Who gets an event that is sent to a business key."""

    saga_id: UUID | None
    """The saga that is active under the key."""
    known: bool
    """Whether the event was sent to the key before."""
    has_kept: bool
    """Whether other events wait for the key: they come first."""


class EventToSend(msgspec.Struct, frozen=True):
    """An event on its way to a saga, with others in one statement."""

    saga_id: UUID
    message: InboxMessage
    fits: frozenset[Definition]
    """The definitions that its sender has judged it by: a saga of any other one does not get it."""
    token: UUID | None = None
    """With a token the saga is claimed by it, if it is free and waits for an event and for no person."""
    to_key: KeyedEvent | None = None
    """Where it was sent to the saga's business key, which remembers it then."""
    grace: timedelta = NO_PAUSE
    """How long after that a saga without an owner is due that was not claimed: its sender reads the event meanwhile."""


class SendStatus(enum.Enum):
    """The outcome of an event, judged by itself. But for `STORED`, nothing was stored of it."""

    STORED = enum.auto()
    DUPLICATE = enum.auto()
    """The saga had got it before."""
    NO_SAGA = enum.auto()
    """There is no such saga."""
    UNFIT = enum.auto()
    """The saga has another definition than those that it was judged by."""
    ENDED = enum.auto()
    FULL = enum.auto()
    """As many wait unread as may."""
    LOCKED = enum.auto()
    """Another session had the saga's row locked at this moment."""


class Sent(msgspec.Struct, frozen=True):
    """The outcome of an event, and how its saga stands."""

    status: SendStatus
    definition: Definition | None = None
    """The definition of the saga, if there is one."""
    claim: ClaimedSaga | None = None
    """The saga, where the event has claimed it."""
    is_alone: bool = False
    """Whether the event is the one message of the saga that is unread."""
    is_owned: bool = False
    """Whether the saga has an owner now."""
    free: SeenSaga | None = None
    """The saga with the event, where nobody owns it and the event is the one message that is unread."""


NO_SAGA: Final = Sent(SendStatus.NO_SAGA)


class Fate(msgspec.Struct, frozen=True):
    """The answer to an event that was stored, and who could give one, as of one snapshot."""

    answer: str | None
    """None while nobody has read it."""
    has_ended: bool
    """Whether the saga has."""
    is_free: bool
    """Whether nobody owns the saga, which has not ended."""
    definition: Definition
    wakes_on_message: bool
    """Whether a message makes the saga due: not if it waits for a person, and no message can change that."""


class KeptEvent(msgspec.Struct, frozen=True):
    """An event for whatever saga of that name is, or will be, active under a business key; a message until then."""

    name: str
    aggregation_id: str
    id: UUID
    event: str
    body: bytes
    sent_at: datetime
    expires_at: datetime


class EndedSaga(msgspec.Struct, frozen=True):
    """A saga that has ended and may be deleted, if it is still at that revision then."""

    id: UUID
    rev: int
    era: int
    """The part of the journal that its entries stand in."""


class Tombstone(msgspec.Struct, frozen=True):
    """The rest of a saga that was deleted and whose start had an idempotency key."""

    name: str
    request: bytes
    status: SagaStatus
    ended_at: datetime
    deleted_at: datetime


class RejectionRecord(msgspec.Struct, frozen=True):
    """Something that changed nothing: a late result, a refused verb."""

    kind: str
    detail: str
    recorded_at: datetime


class Process(msgspec.Struct, frozen=True):
    """A process that works on sagas."""

    id: UUID
    """The owner that its claims name."""
    host: str
    definitions: tuple[Definition, ...]
    """The definitions that it works on."""


class CountKind(enum.StrEnum):
    """The kinds of numbers about the sagas of a name and version."""

    NOW = "now"
    """No number: the store's time."""
    LIVE = "live"
    """Those that have not ended, of one status and one set of reasons to wait."""
    OVERDUE = "overdue"
    """Those that have been due for long; and since when the first is due."""
    FAILED = "failed"
    """Those that ended FAILED, and that nobody has acknowledged."""
    ENDED = "ended"
    """Those that ended in one minute with one status."""
    WORKS = "works"
    """The processes that work on them."""
    PAUSED = "paused"
    """No number: the name is paused; the empty name is everything."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """A number about the sagas of one name and version, in one shard perhaps: those of several are added up."""

    kind: CountKind
    name: str = ""
    version: int = 0
    sagas: int = 0
    status: SagaStatus | None = None
    waits: WaitReason = NO_REASON
    minute: int | None = None
    """For ends: how many minutes after the moment from which they were counted."""
    moment: datetime | None = None
    is_cut: bool = False
    """Whether counting stopped in this minute: it, and those before it, have more ends."""


class SeenProcess(msgspec.Struct, frozen=True):
    """Where a process runs, and when it last said what it works on."""

    host: str
    seen_at: datetime


class Notice(enum.StrEnum):
    """The findings about sagas."""

    PARKED = "parked"
    """They wait for a person."""
    UNOWNED = "unowned"
    """They are due, and no process works on their name and version."""
    FAILED = "failed"
    """They ended FAILED, and nobody has acknowledged it."""
    PAUSED = "paused"
    """A person has paused them one by one, and nothing of them has become durable for long."""
    STILL = "still"
    """A process works on them, and nothing of them has become durable for long."""


class Noticed(msgspec.Struct, frozen=True):
    """A finding about the sagas of one name and version."""

    kind: Notice
    name: str
    version: int
    sagas: int
    """How many there are; `MOST_COUNTED` stands for as many or more."""
    ids: tuple[UUID, ...]
    """Some of them."""


class UnfitSaga(msgspec.Struct, frozen=True):
    """A saga that was parked because a plan did not fit it."""

    id: UUID
    name: str
    version: int
    plan: PlanId
    state: bytes


class DueWork(msgspec.Struct, frozen=True):
    """The facts that the health check reads: the database's time, and since when the longest waiting saga has been due."""

    now: Moment
    next_due: datetime | None
    """When the first of the sagas is due, or since when it has been."""
    newest_era: int | None = None
    """The newest era that the journal has a partition for; None if it is not partitioned."""

    @property
    def oldest_due(self) -> datetime | None:
        """Since when the longest waiting saga has been due."""
        return self.next_due if self.next_due is not None and moment_of(self.next_due) <= self.now else None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an operation has come, and which sagas it is at."""

    done: int = 0
    asked: int = 0
    """Sagas whose owners were asked, and have not answered yet."""
    refusals: dict[str, int] = {}
    """How many sagas have refused the verb, by the reason."""
    at: Moment | None = None
    """The place in the list after the sagas of the batch: the moment of the last one, and its id."""
    at_id: UUID | None = None
    batch: tuple[tuple[UUID, int], ...] = ()
    """The sagas that it is at, each with the revision that it was read at."""
    is_last: bool = False
    """Whether no saga comes after those of the batch."""
    began: Moment | None = None
    """When the first batch was."""
    spent: int = 0
    """The time in which a process was at its sagas: microseconds."""


class OperationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An act of an operator."""

    id: UUID
    verb: str
    step_id: str | None = None
    saga_id: UUID | None = None
    actor: str | None = None
    reason: str | None = None
    request: bytes = b""
    needs: str | None = None
    state: OperationState
    progress: Progress
    unreadable: str | None = None
    """Why its progress cannot be read, if a page has it all the same: `progress` is an empty one then."""
    token: UUID | None = None
    began_at: datetime
    updated_at: datetime


_decode_progress = msgspec.msgpack.Decoder(Progress).decode


def encode_progress(progress: Progress) -> bytes:
    """The progress as it is stored."""
    return _encode(progress)


def decode_progress(data: bytes) -> Progress:
    """The progress that was stored. Raises StoredDataError for bytes that are not one."""
    return _decoded("progress", _decode_progress, data)
