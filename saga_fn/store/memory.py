"""A store in this process's memory: for tests of one's own sagas, and as the model the PostgreSQL store is held to.

It gives the answers the PostgreSQL store gives, under a clock that can be moved forward. Nothing survives the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import final
from uuid import UUID

import attrs
import msgspec

from saga_fn.core.acts import Trace
from saga_fn.core.event_kinds import is_claim
from saga_fn.core.ids import Moment, PlanId
from saga_fn.core.plan import Plan
from saga_fn.core.projection import ENDED_UNREAD, SET_ASIDE, Projection
from saga_fn.core.state import ParkReason
from saga_fn.errors import (
    StoreError,
    is_a,
)
from saga_fn.printable import a_type_of
from saga_fn.store.connection import CallerConnection
from saga_fn.store.errors import RowRejectedError
from saga_fn.store.ids import new_uuid, shard_of
from saga_fn.store.memory_deletion import MemoryDeletion
from saga_fn.store.memory_events import MemoryKeptEvents
from saga_fn.store.memory_lists import MemoryLists
from saga_fn.store.memory_operations import MemoryOperations
from saga_fn.store.memory_outgoing import MemoryOutgoing
from saga_fn.store.memory_pauses import MemoryPauses
from saga_fn.store.memory_processes import MemoryProcesses
from saga_fn.store.memory_sent import MemorySentEvents, refuse
from saga_fn.store.protocol import KEY_WAIT, Transactions
from saga_fn.store.records import (
    ACKNOWLEDGED,
    ALL_ENTRIES,
    MOST_READ,
    MOST_UNREAD,
    NO_LIMITS,
    NO_PAUSE,
    NO_SAGA,
    ActiveToken,
    ClaimedSaga,
    Committed,
    DueWork,
    Entry,
    EventToSend,
    Fate,
    Hint,
    InboxMessage,
    Inserted,
    JournalRecord,
    MessageStatus,
    NewSaga,
    Recorded,
    RejectionRecord,
    SagaRecord,
    SagaWrite,
    SeenSaga,
    SendStatus,
    Sent,
    Standing,
    TakenSaga,
    UnreadRecord,
    VerbAnswer,
    encode_event,
    encode_state,
    moment_of,
    time_of,
)
from saga_fn.store.rights import Right
from saga_fn.store.this_process import this_process

__all__ = ["MemoryStore"]


@attrs.define
class StoredMessage:
    message: InboxMessage
    sent_at: datetime
    answer: str | None = None


@attrs.define
class _Saga:
    """A row with everything that hangs on it."""

    record: SagaRecord
    keyed: bool = False
    journal: list[JournalRecord] = attrs.field(factory=list)
    inbox: list[StoredMessage] = attrs.field(factory=list)
    rejections: list[RejectionRecord] = attrs.field(factory=list)
    attributes: dict[str, str] = attrs.field(factory=dict)


@final
class MemoryStore:
    """Sagas in memory, for tests. Nothing survives the process.

    Args:
        shards: The number of shards, 1 to 4,096, for tests of sharding. Default: 1.
        clock: A function that gives seconds since 1970 and never goes back. Default: `time.time`.

    Raises:
        StoreError: An argument is out of its range.

    Example::

        async with SagaOrchestrator(MemoryStore()) as orchestrator: ...
    """

    def __init__(self, *, shards: int = 1, clock: Callable[[], float] = time.time) -> None:
        self._shards = shards
        self._clock = clock
        self._ahead = 0
        self._sagas: dict[UUID, _Saga] = {}
        self._plans: dict[PlanId, Plan] = {}
        self.kept_events: MemoryKeptEvents = MemoryKeptEvents(
            self, lambda: (saga.record for saga in self._sagas.values()), self._post, self._has
        )
        self.sent_events: MemorySentEvents = MemorySentEvents()
        self.processes: MemoryProcesses = MemoryProcesses(
            self, lambda: (saga.record for saga in self._sagas.values()), self._change
        )
        self.pauses: MemoryPauses = MemoryPauses(self)
        self.lists: MemoryLists = MemoryLists(
            self, lambda: (saga.record for saga in self._sagas.values()), self._attributes, self.processes
        )
        self.outgoing: MemoryOutgoing = MemoryOutgoing(self, lambda saga_id: self._sagas[saga_id].record)
        self.deletion: MemoryDeletion = MemoryDeletion(
            self,
            lambda: (saga.record for saga in self._sagas.values()),
            lambda saga_id: self._sagas.pop(saga_id).keyed,
            self.kept_events.is_kept_back,
            self.outgoing.holds,
        )
        self.operations: MemoryOperations = MemoryOperations(self.now, self._trace)
        self.attendants: set[object] = set()
        """The callers that work on the sagas in it at this moment: none outside of this process could."""
        self._listeners: list[Callable[[Hint], None]] = []
        self.transactions: Transactions | None = None
        """None: there is no database whose rows a step could write. A test's World puts something in its place."""

    @property
    def shards(self) -> int:
        """How many shards the store has."""
        return self._shards

    def now(self) -> Moment:
        """The store's time."""
        return Moment(int(self._clock() * 1_000_000) + self._ahead)

    def jump_to(self, moment: Moment) -> bool:
        """Move the store's clock forward to a moment; one that is past changes nothing. Always True: it has been moved."""
        if not is_a(moment, int):
            raise StoreError(
                f"a moment is a number of microseconds, not {a_type_of(moment)}",
                hint="store.jump_to(Moment(store.now() + 1_000_000)) moves it by a second",
            )
        self._ahead += max(0, moment - self.now())
        return True

    async def open(self, *, migrate: bool, listen: Callable[[Hint], None] | None) -> None:
        """Nothing to connect: only remembers whom to wake."""
        if listen is not None:
            self._listeners.append(listen)

    async def close(self) -> None:
        """Wake no process any more."""
        self._listeners.clear()

    async def insert(
        self,
        shard: int,
        sagas: Sequence[NewSaga],
        *,
        lease: timedelta,
        lock_timeout: timedelta = KEY_WAIT,
        connection: CallerConnection | None = None,
    ) -> Inserted:
        """Insert those whose id is new and whose business key is free."""
        refuse(connection)
        now = self.now()
        inserted: set[UUID] = set()
        for new in sagas:
            taken = new.aggregation_id is not None and await self.active(shard, new.name, new.aggregation_id)
            if new.id in self._sagas or taken or (new.keyed and self.deletion.counting(new.id)):
                continue
            at = time_of(now)
            record = SagaRecord(
                id=new.id,
                name=new.name,
                version=new.version,
                aggregation_id=new.aggregation_id,
                trace_id=new.trace_id,
                request=new.request,
                plan=new.state.plan,
                status=new.projection.status,
                waits=new.projection.waits,
                wakes_on_message=new.projection.wakes_on_message,
                state=encode_state(new.state),
                rev=1,
                token=new.token,
                owner=new.owner,
                due_at=_due_of(new, at, lease),
                inbox_sent=0,
                retry_counter=0,
                last_error=None,
                parked=None,
                problem_step=None,
                acknowledged=False,
                created_at=at,
                updated_at=at,
                ended_at=None,
                leased=new.owner is not None,
                now=now,
            )
            saga = self._sagas[new.id] = _Saga(record, new.keyed)
            self._journal(
                saga,
                1,
                [Entry(new.event, input=new.trace_carrier, payload=new.payload)],
                new.writer,
                begins=new.token is not None,
            )
            saga.attributes.update(new.attributes)
            if new.outgoing:
                _ = self.outgoing.add(new.id, new.outgoing, now)
            inserted.add(new.id)
        return Inserted(frozenset(inserted), now)

    async def commit(self, shard: int, writes: Sequence[SagaWrite], *, skip_locked: bool = False) -> Committed:
        """Apply those writes whose saga stands as the writer knows it."""
        now = self.now()
        applied: dict[UUID, int] = {}
        earlier: dict[UUID, int] = {}
        for write in writes:
            saga = self._sagas.get(write.id)
            if saga is None:
                continue
            row = saga.record
            stands = row.token == write.token and row.rev == write.rev
            if not stands or write.inbox_seen not in (None, row.inbox_sent):
                continue
            if row.ended_at is not None and not write.state.ended and row.aggregation_id is not None:
                await self._refuse_taken_key(shard, row.name, row.aggregation_id)
            self._apply(saga, write, now)
            applied[write.id] = row.inbox_sent
            before = self.outgoing.add(write.id, write.outgoing, now) if write.outgoing else None
            if before is not None:
                earlier[write.id] = before
        return Committed(applied, now, earlier)

    async def _refuse_taken_key(self, shard: int, name: str, aggregation_id: str) -> None:
        """Raise as the database does for a second active saga of that business key."""
        if await self.active(shard, name, aggregation_id) is not None:
            refused = RowRejectedError("another saga is active for the business key")
            refused.constraint = "saga_active_key"
            raise refused

    def _apply(self, saga: _Saga, write: SagaWrite, now: Moment) -> None:
        row = saga.record
        at = time_of(now)
        due = None if write.due is None else time_of(write.due)
        saga.record = msgspec.structs.replace(
            row,
            plan=write.state.plan,
            status=write.projection.status,
            waits=write.projection.waits,
            wakes_on_message=write.projection.wakes_on_message,
            state=encode_state(write.state),
            rev=write.state.rev,
            token=None if write.release else row.token,
            owner=None if write.release else row.owner,
            due_at=due if write.release else row.due_at,
            retry_counter=write.projection.retry_counter,
            last_error=write.last_error,
            parked=write.projection.parked,
            problem_step=write.projection.problem_step,
            acknowledged=False,
            updated_at=at,
            ended_at=at if write.state.ended else None,
        )
        self._journal(saga, write.rev + 1, write.entries, write.writer)
        saga.attributes.update(write.attributes)
        answers = dict(write.answers)
        for stored in saga.inbox:
            stored.answer = answers.get(stored.message.id, stored.answer)

    def _attributes(self, saga_id: UUID) -> Mapping[str, str]:
        return self._sagas[saga_id].attributes if saga_id in self._sagas else {}

    def _journal(
        self, saga: _Saga, first: int, entries: Iterable[Entry], writer: UUID, *, begins: bool = False
    ) -> None:
        for seq, entry in enumerate(entries, first):
            given = entry.input if entry.input_of is None else saga.journal[entry.input_of - 1].payload
            process = this_process() if begins or is_claim(entry.event) else None
            saga.journal.append(JournalRecord(seq, encode_event(entry.event), writer, process, given, entry.payload))

    async def claim_due(
        self,
        shard: int,
        definitions: Sequence[tuple[str, int]],
        *,
        owner: UUID,
        limit: int,
        lease: timedelta,
        rooms: Mapping[tuple[str, int], int] = NO_LIMITS,
        passed_over: Sequence[UUID] = (),
        since: Moment | None = None,
    ) -> list[ClaimedSaga]:
        """Take at most `limit` due sagas of these definitions, oldest first."""
        due = sorted(
            (saga for saga in self._due(shard, definitions, since) if saga.record.id not in passed_over),
            key=lambda saga: (saga.record.due_at or saga.record.created_at, saga.record.id),
        )
        claimed: list[ClaimedSaga] = []
        left = dict(rooms)
        for saga in due:
            pair = saga.record.name, saga.record.version
            if len(claimed) < limit and left.get(pair, 1) > 0:
                left[pair] = left.get(pair, limit + 1) - 1
                claimed.append(self._claimed(saga, owner, lease))
        return claimed

    async def due_ids(
        self,
        shard: int,
        definitions: Sequence[tuple[str, int]],
        *,
        limit: int,
        passed_over: Sequence[UUID] = (),
    ) -> list[UUID]:
        """At most `limit` due sagas of these definitions, oldest first."""
        due = [saga.record for saga in self._due(shard, definitions) if saga.record.id not in passed_over]
        return [row.id for row in sorted(due, key=lambda row: (row.due_at or row.created_at, row.id))[:limit]]

    async def claim(
        self, saga_id: UUID, *, owner: UUID, lease: timedelta, skip_locked: bool = False
    ) -> ClaimedSaga | None:
        """Take this saga, due or not, unless it has ended or a lease on it is running."""
        saga = self._sagas.get(saga_id)
        if saga is None or saga.record.ended_at is not None or self._leased(saga.record):
            return None
        return self._claimed(saga, owner, lease)

    def _claimed(self, saga: _Saga, owner: UUID, lease: timedelta, token: UUID | None = None) -> ClaimedSaga:
        row, now, token = saga.record, self.now(), token or new_uuid()
        saga.record = msgspec.structs.replace(
            row, token=token, owner=owner, due_at=time_of(now) + lease, updated_at=time_of(now)
        )
        return ClaimedSaga(
            **msgspec.structs.asdict(self._seen(saga.record, now)),
            token=token,
            previous_owner=row.owner,
            was_due=None if row.due_at is None else moment_of(row.due_at),
        )

    def _seen(self, row: SagaRecord, now: Moment) -> SeenSaga:
        return SeenSaga(
            row.id,
            row.name,
            row.version,
            row.aggregation_id,
            row.trace_id,
            row.plan,
            row.state,
            row.rev,
            row.inbox_sent,
            row.last_error,
            row.created_at,
            now,
        )

    async def take(self, saga_id: UUID, *, token: UUID, rev: int, owner: UUID, lease: timedelta) -> TakenSaga | None:
        """Take this saga from its owner, if it still stands at (`token`, `rev`)."""
        saga = self._sagas.get(saga_id)
        if saga is None or (saga.record.token, saga.record.rev) != (token, rev):
            return None
        over = saga.record.due_at
        assert over is not None, "an owned saga has a lease"
        taken = self._claimed(saga, owner, lease)
        return TakenSaga(taken.token, taken.inbox_sent, moment_of(over), taken.now)

    async def renew(self, shard: int, held: Mapping[UUID, UUID], *, owner: UUID, lease: timedelta) -> Committed:
        """Extend the leases on these sagas."""
        now = self.now()
        renewed: dict[UUID, int] = {}
        for saga_id, token in held.items():
            saga = self._sagas.get(saga_id)
            if saga is not None and saga.record.token == token and saga.record.owner == owner:
                saga.record = msgspec.structs.replace(saga.record, due_at=time_of(now) + lease)
                renewed[saga_id] = saga.record.inbox_sent
        return Committed(renewed, now)

    async def release(self, shard: int, held: Mapping[UUID, UUID], *, pause: timedelta = NO_PAUSE) -> None:
        """Give back claimed sagas as they are."""
        for saga_id, token in held.items():
            saga = self._sagas.get(saga_id)
            if saga is not None and saga.record.token == token:
                saga.record = msgspec.structs.replace(
                    saga.record, token=None, owner=None, due_at=time_of(self.now()) + pause
                )

    def _change(self, record: SagaRecord) -> None:
        self._sagas[record.id].record = record

    async def park_row(self, saga_id: UUID, token: UUID, why: str, reason: ParkReason) -> None:
        """Take a claimed saga whose state cannot be used out of work."""
        saga = self._sagas.get(saga_id)
        if saga is not None and saga.record.token == token and saga.record.ended_at is None:
            self._set_apart(saga, SET_ASIDE, why, parked=reason.value, ended_at=None)

    async def end_row(self, saga_id: UUID, rev: int, why: str) -> bool:
        """End a saga, FAILED, whose state cannot be used."""
        saga = self._sagas.get(saga_id)
        if saga is None or saga.record.rev != rev or saga.record.ended_at is not None:
            return False
        self._set_apart(saga, ENDED_UNREAD, why, parked=saga.record.parked, ended_at=time_of(self.now()))
        return True

    async def acknowledge(self, saga_id: UUID, rev: int, detail: str) -> bool:
        """Say that a person has looked at a saga that FAILED."""
        saga = self._sagas.get(saga_id)
        if saga is None or saga.record.rev != rev or not saga.record.has_failed or saga.record.acknowledged:
            return False
        saga.record = msgspec.structs.replace(saga.record, acknowledged=True, updated_at=time_of(self.now()))
        await self.record_rejection(saga_id, ACKNOWLEDGED, detail)
        return True

    def _set_apart(
        self, saga: _Saga, shown: Projection, why: str, *, parked: str | None, ended_at: datetime | None
    ) -> None:
        saga.record = msgspec.structs.replace(
            saga.record,
            status=shown.status,
            waits=shown.waits,
            wakes_on_message=shown.wakes_on_message,
            token=None,
            owner=None,
            due_at=None,
            last_error=why,
            parked=parked,
            problem_step=None if ended_at is None else saga.record.problem_step,
            updated_at=time_of(self.now()),
            ended_at=ended_at,
        )

    async def due_shards(
        self, definitions: Sequence[tuple[str, int]], *, since: Moment | None = None
    ) -> dict[int, Moment]:
        """The shards in which something is due, and since when."""
        due = {shard: self._due(shard, definitions, since) for shard in range(self._shards)}
        times = {shard: [each.record.due_at for each in sagas if each.record.due_at] for shard, sagas in due.items()}
        return {shard: moment_of(min(each)) for shard, each in times.items() if each}

    def _due(self, shard: int, definitions: Sequence[tuple[str, int]], since: Moment | None = None) -> list[_Saga]:
        now, first = time_of(self.now()), None if since is None else time_of(since)
        return [
            saga
            for saga_id, saga in self._sagas.items()
            if saga.record.due_at is not None
            and saga.record.due_at <= now
            and (first is None or saga.record.due_at >= first)
            and (saga.record.name, saga.record.version) in definitions
            and shard_of(saga_id, self._shards) == shard
            and not self.pauses.holds(saga.record.name)
        ]

    async def read(self, saga_id: UUID, *, connection: CallerConnection | None = None) -> SagaRecord | None:
        """The saga's row."""
        refuse(connection)
        saga = self._sagas.get(saga_id)
        if saga is None:
            return None
        return msgspec.structs.replace(saga.record, leased=self._leased(saga.record), now=self.now())

    def _leased(self, row: SagaRecord) -> bool:
        return row.owner is not None and row.due_at is not None and row.due_at > time_of(self.now())

    async def active_tokens(self, shard: int, saga_ids: Sequence[UUID]) -> dict[UUID, ActiveToken]:
        """Those of these sagas that are there and have not ended."""
        found = [saga.record for saga in map(self._sagas.get, saga_ids) if saga is not None]
        return {row.id: ActiveToken(row.token, row.is_parked) for row in found if row.ended_at is None}

    async def journal(
        self, saga_id: UUID, *, after: int = 0, last: int = ALL_ENTRIES, most: int = ALL_ENTRIES
    ) -> list[JournalRecord]:
        """The saga's journal after the entry `after`, up to and with the entry `last`, in order, `most` of it."""
        saga = self._sagas.get(saga_id)
        return [] if saga is None else saga.journal[after:last][:most]

    async def results(
        self, shard: int, wanted: Sequence[tuple[UUID, int]], *, connection: CallerConnection | None = None
    ) -> dict[tuple[UUID, int], Recorded]:
        """The payloads of exactly these journal entries."""
        refuse(connection)
        found = {key: self._entry(*key) for key in wanted}
        return {key: Recorded(entry.input, entry.payload) for key, entry in found.items() if entry is not None}

    async def standing(self, saga_id: UUID, seq: int) -> Standing | None:
        """How the saga stands, and who wrote its journal entry `seq`."""
        saga, entry = self._sagas.get(saga_id), self._entry(saga_id, seq)
        if saga is None:
            return None
        row = saga.record
        return Standing(row.rev, row.token, row.inbox_sent, None if entry is None else entry.writer, self.now())

    async def writers(self, shard: int, wanted: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], UUID]:
        """Who wrote each of these journal entries."""
        found = {key: self._entry(*key) for key in wanted}
        return {key: entry.writer for key, entry in found.items() if entry is not None}

    def _entry(self, saga_id: UUID, seq: int) -> JournalRecord | None:
        saga = self._sagas.get(saga_id)
        return saga.journal[seq - 1] if saga is not None and 0 < seq <= len(saga.journal) else None

    async def active(
        self, shard: int, name: str, aggregation_id: str, *, connection: CallerConnection | None = None
    ) -> UUID | None:
        """The active saga of that name that holds the business key."""
        refuse(connection)
        for saga in self._sagas.values():
            row = saga.record
            if row.name == name and row.aggregation_id == aggregation_id and row.ended_at is None:
                return row.id
        return None

    async def send(self, saga_id: UUID, message: InboxMessage) -> MessageStatus:
        """Leave a message for the saga's owner."""
        saga = self._sagas.get(saga_id)
        if saga is None or saga.record.ended_at is not None:
            return MessageStatus.NO_ACTIVE_SAGA
        unread = sum(stored.answer is None for stored in saga.inbox)
        if not message.is_verb and unread >= MOST_UNREAD and not self._has(saga_id, message.id):
            return MessageStatus.FULL
        return MessageStatus.STORED if self._post(saga_id, message) else MessageStatus.DUPLICATE

    async def send_many(
        self, shard: int, events: Sequence[EventToSend], *, owner: UUID, lease: timedelta
    ) -> dict[UUID, Sent]:
        """Leave events for many sagas, at most one a saga, each judged by itself."""
        return {event.saga_id: self._send(event, owner, lease) for event in events}

    async def fates(self, shard: int, wanted: Sequence[tuple[UUID, UUID]]) -> list[Fate | None]:
        """The fates of events, each by its saga and its id."""
        return [self._fate(*each) for each in wanted]

    def _fate(self, saga_id: UUID, message_id: UUID) -> Fate | None:
        saga = self._sagas.get(saga_id)
        if saga is None:
            return None
        row = saga.record
        has_ended = row.ended_at is not None
        return Fate(
            next((each.answer for each in saga.inbox if each.message.id == message_id), None),
            has_ended,
            row.owner is None and not has_ended,
            (row.name, row.version, row.plan),
            row.wakes_on_message,
        )

    def _send(self, event: EventToSend, owner: UUID, lease: timedelta) -> Sent:
        saga = self._sagas.get(event.saga_id)
        if saga is None:
            return NO_SAGA
        row, message = saga.record, event.message
        definition = row.name, row.version, row.plan
        known = next((stored for stored in saga.inbox if stored.message.id == message.id), None)
        unread = [stored for stored in saga.inbox if stored.answer is None]
        status: SendStatus | None = None
        if definition not in event.fits:
            status = SendStatus.UNFIT
        elif known is not None:
            is_over = row.ended_at is not None and known.answer is None
            status = SendStatus.ENDED if is_over else SendStatus.DUPLICATE
        elif row.ended_at is not None:
            status = SendStatus.ENDED
        elif len(unread) >= MOST_UNREAD:
            status = SendStatus.FULL
        if event.to_key is not None and row.aggregation_id is not None and row.ended_at is None:
            key = row.name, row.aggregation_id
            if status in (None, SendStatus.DUPLICATE):
                self.kept_events.remember(key, row.id, message, event.to_key, repeated=known is not None)
        if status is not None:
            return Sent(status, definition, is_owned=row.owner is not None)
        self._post(event.saga_id, message)
        claim = None
        if event.token is not None and row.goes_on_by_an_event:
            claim = self._claimed(saga, owner, lease, event.token)
        elif event.grace and row.owner is None and saga.record.due_at is not None:
            due = saga.record.due_at + event.grace
            saga.record = msgspec.structs.replace(
                saga.record, due_at=due if row.due_at is None else min(due, row.due_at)
            )
        is_owned = saga.record.owner is not None
        free = None if is_owned or unread else self._seen(saga.record, self.now())
        return Sent(SendStatus.STORED, definition, claim, not unread, is_owned, free)

    def _post(self, saga_id: UUID, message: InboxMessage) -> bool:
        """Put a message into the inbox of a saga, and count it; False if it is there."""
        if self._has(saga_id, message.id):
            return False
        saga = self._sagas[saga_id]
        saga.inbox.append(StoredMessage(message, time_of(self.now())))
        self._rouse(saga)
        return True

    def _has(self, saga_id: UUID, message_id: UUID) -> bool:
        return any(stored.message.id == message_id for stored in self._sagas[saga_id].inbox)

    def _rouse(self, saga: _Saga) -> None:
        row = saga.record
        due = time_of(self.now()) if row.owner is None and row.wakes_on_message else row.due_at
        saga.record = msgspec.structs.replace(row, inbox_sent=row.inbox_sent + 1, due_at=due)

    async def rouse(self, saga_id: UUID) -> None:
        """Have the saga's inbox read, though no message was stored."""
        saga = self._sagas.get(saga_id)
        if saga is not None and saga.record.ended_at is None:
            self._rouse(saga)

    async def messages(self, saga_id: UUID) -> list[InboxMessage]:
        """The messages that no owner has answered, oldest first; `MOST_READ` at most."""
        return [unread.message for unread in await self.unread(saga_id, most=MOST_READ)]

    async def unread(self, saga_id: UUID, *, most: int) -> list[UnreadRecord]:
        """The same with the times when they were sent; `most` of them at most."""
        saga = self._sagas.get(saga_id)
        if saga is None:
            return []
        found = [stored for stored in saga.inbox if stored.answer is None]
        return [UnreadRecord(stored.message, stored.sent_at, saga.record.inbox_sent) for stored in found[:most]]

    async def answer(self, saga_id: UUID, message_id: UUID, answer: str) -> None:
        """Answer a message that changed nothing."""
        for stored in self._sagas[saga_id].inbox:
            if stored.message.id == message_id and stored.answer is None:
                stored.answer = answer

    async def read_answer(self, saga_id: UUID, message_id: UUID) -> str | None:
        """The answer to an event."""
        saga = self._sagas.get(saga_id)
        found = [] if saga is None else [each for each in saga.inbox if each.message.id == message_id]
        return next((stored.answer for stored in found if not stored.message.is_verb), None)

    async def verb_answer(self, saga_id: UUID, message_id: UUID) -> VerbAnswer | None:
        """The answer to an operator's verb, and whether the saga has an owner that may answer; None if there is no such verb."""
        saga = self._sagas.get(saga_id)
        if saga is None:
            return None
        row, found = saga.record, [each for each in saga.inbox if each.message.id == message_id]
        answers = (
            VerbAnswer(stored.answer, row.ended_at is not None, row.owner is not None)
            for stored in found
            if stored.message.is_verb
        )
        return next(answers, None)

    def _trace(self, saga_id: UUID, act_id: UUID) -> Trace:
        saga = self._sagas.get(saga_id)
        sent = [each for each in ([] if saga is None else saga.inbox) if each.message.id == act_id]
        return Trace(
            is_there=saga is not None,
            is_written=saga is not None and any(entry.writer == act_id for entry in saga.journal),
            is_sent=bool(sent),
            answer=sent[0].answer if sent else None,
        )

    async def record_rejection(self, saga_id: UUID, kind: str, detail: str) -> None:
        """Remember something beside the journal."""
        saga = self._sagas.get(saga_id)
        if saga is not None:
            saga.rejections.append(RejectionRecord(kind, detail, time_of(self.now())))

    async def rejections(self, saga_id: UUID) -> list[RejectionRecord]:
        """The records beside the journal, in order."""
        saga = self._sagas.get(saga_id)
        return [] if saga is None else list(saga.rejections)

    async def keep_plan(self, plan: Plan) -> None:
        """Store the plan."""
        self._plans[plan.id] = plan

    async def hold_plan(self, plan: Plan, connection: CallerConnection) -> bool:
        """Refuse: there is no transaction to take part in."""
        refuse(connection)
        return False

    async def plan(self, plan_id: PlanId, *, connection: CallerConnection | None = None) -> Plan | None:
        """The stored plan of that fingerprint."""
        return self._plans.get(plan_id)

    async def due_work(self, definitions: Sequence[tuple[str, int]], *, past_waits: bool = True) -> DueWork:
        """The time, and when the first of these sagas is or was due."""
        now = time_of(self.now())
        known = [
            saga.record
            for saga in self._sagas.values()
            if (saga.record.name, saga.record.version) in definitions and not self.pauses.holds(saga.record.name)
        ]
        found = [
            record.due_at
            for record in known
            if record.due_at is not None and (past_waits or not record.waits_for_an_event or record.due_at <= now)
        ]
        return DueWork(self.now(), min(found, default=None))

    async def lacking(self) -> frozenset[Right]:
        """None: no process is refused."""
        return frozenset()

    @property
    def deaf(self) -> str | None:
        """Never: there is no other process to hear of."""
        return None

    async def hint(self, hints: Sequence[Hint], *, connection: CallerConnection | None = None) -> None:
        """Wake the listeners."""
        for listener in self._listeners:
            for hint in hints:
                listener(hint)


def _due_of(new: NewSaga, at: datetime, lease: timedelta) -> datetime | None:
    if new.owner is not None:
        return at + lease
    return None if new.projection.due is None else time_of(new.projection.due)
