"""The store as the engine uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

from saga_fn.core.ids import Moment, PlanId
from saga_fn.core.plan import Plan
from saga_fn.core.state import ParkReason
from saga_fn.store.connection import CallerConnection
from saga_fn.store.protocol.deletion import Deletion
from saga_fn.store.protocol.events import KeptEvents, SentEvents
from saga_fn.store.protocol.lists import Lists
from saga_fn.store.protocol.operations import Operations, Pauses
from saga_fn.store.protocol.outgoing import OutgoingMessages
from saga_fn.store.protocol.processes import Processes
from saga_fn.store.protocol.transactions import Transactions
from saga_fn.store.records import (
    ALL_ENTRIES,
    NO_LIMITS,
    NO_PAUSE,
    ActiveToken,
    ClaimedSaga,
    Committed,
    DueWork,
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
    Sent,
    Standing,
    TakenSaga,
    UnreadRecord,
    VerbAnswer,
)
from saga_fn.store.rights import Right

KEY_WAIT: Final = timedelta(seconds=2)
"""How long an insert waits for another transaction that holds the same key, where its caller does not say."""


class Store(Protocol):
    """Where sagas live. Every method is one statement, atomic by itself; `shard` is that of every id in the call.

    The methods share these parameters.

    Args:
        moment: A moment in microseconds since 1970.
        migrate: Whether the schema is brought up to date; else it is only checked.
        listen: A function that is called with each hint. None listens to none.
        shard: The shard of every saga in the call, a number from 0.
        saga_id: The saga's id.
        saga_ids: The ids of sagas.
        sagas: The sagas to insert.
        hints: The news that other processes are told.
        writes: The writes, at most one per saga.
        events: The events, at most one per saga.
        definitions: The names and versions of definitions.
        owner: The id of this process.
        token: The token of the claim that the saga stands at.
        rev: The revision that the saga stands at, a number from 1.
        held: The ids of claimed sagas, with the tokens of their claims.
        lease: How long a claim lasts without a renewal, as a timedelta.
        lock_timeout: The longest wait for a key that another open transaction holds, as a timedelta. Default: `KEY_WAIT`.
        pause: How much later a saga is due that is given back, as a timedelta. Default: none.
        limit: How many sagas at most.
        rooms: How many sagas of a definition at most. Default: no limits.
        passed_over: The ids of due sagas that are left out. Default: none.
        since: Only what became due at this moment of store time or later. Default: None, all that is due.
        skip_locked: Whether rows that another session has locked are left out, or waited for. Default: False.
        connection: A connection of the caller's, in whose transaction the call happens. Default: None, one of the store's.
        why: The error that is shown of the saga.
        reason: The reason for which a row is parked.
        after: The number of the entry before the first to read. Default: 0.
        last: The number of the last entry to read. Default: `ALL_ENTRIES`.
        most: The greatest number of entries to read. Default: `ALL_ENTRIES`.
        wanted: The journal entries to read, each by the saga's id and the entry's number.
        seq: The number of a journal entry, from 1.
        name: The name of the saga.
        aggregation_id: Its business key.
        message: The message.
        message_id: The id of the message.
        answer: The answer to the message.
        kind: The kind of the record.
        detail: Its text.
        plan: The plan.
        plan_id: The plan's fingerprint.
        past_waits: Whether sagas count that an event will wake before they are due. Default: True.

    Raises:
        RowRejectedError: A value is one that the store cannot keep.
        StoreBusyError: The same call has to be made again.
        StoreUnavailableError: The store does not answer; a write may or may not have happened.
    """

    @property
    def shards(self) -> int:
        """How many shards the store has."""
        ...

    @property
    def kept_events(self) -> KeptEvents:
        """Events for business keys."""
        ...

    @property
    def sent_events(self) -> SentEvents:
        """Events that were sent in callers' transactions."""
        ...

    @property
    def processes(self) -> Processes:
        """Who works on what."""
        ...

    @property
    def operations(self) -> Operations:
        """Acts of operators."""
        ...

    @property
    def pauses(self) -> Pauses:
        """The pauses of names, and of everything."""
        ...

    @property
    def lists(self) -> Lists:
        """Lists of sagas."""
        ...

    @property
    def deletion(self) -> Deletion:
        """The deletion of sagas that have ended."""
        ...

    @property
    def outgoing(self) -> OutgoingMessages:
        """Outgoing messages."""
        ...

    @property
    def transactions(self) -> Transactions | None:
        """The transactions of transactional steps; None if this store has none, so that no such step can be registered."""
        ...

    @property
    def attendants(self) -> set[object] | None:
        """The owner that works on the sagas in it now, if only this process can. None if other processes can, too."""
        ...

    def jump_to(self, moment: Moment, /) -> bool:
        """Move the store's clock forward to that moment, for tests; False if its time is not its own to move."""
        ...

    async def open(self, *, migrate: bool, listen: Callable[[Hint], None] | None) -> None:
        """Connect and check (or bring up to date) the schema; call `listen` with each hint."""
        ...

    async def close(self) -> None:
        """Give back everything held."""
        ...

    def now(self) -> Moment:
        """The store's time, estimated: it may lag behind, never lead."""
        ...

    async def insert(
        self,
        shard: int,
        sagas: Sequence[NewSaga],
        *,
        lease: timedelta,
        lock_timeout: timedelta = KEY_WAIT,
        connection: CallerConnection | None = None,
    ) -> Inserted:
        """Insert those whose id is new and whose business key is free, each with its first journal entry.

        The id of a saga that was deleted is not new for as long as its tombstone counts.

        An id or key that another open transaction has inserted is waited for, `lock_timeout` at most: then it raises
        `RowLockedError`, and nothing is written. With `connection`, here and below, it happens in that connection's
        transaction, and a connection that cannot be used raises `StoreError`.
        """
        ...

    async def commit(self, shard: int, writes: Sequence[SagaWrite], *, skip_locked: bool = False) -> Committed:
        """Apply those writes whose saga stands as the writer knows it; at most one write a saga.

        Raises `RowLockedError`, and nothing is written, if another session keeps a row of them locked; `skip_locked` leaves
        such rows out instead.
        """
        ...

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
        """Take at most `limit` due sagas of these (name, version) pairs, oldest first, each under a fresh token.

        It takes at most as many of a pair as `rooms` says, none of `passed_over`, which are few, and with `since` only what is
        due since that moment.
        """
        ...

    async def due_ids(
        self,
        shard: int,
        definitions: Sequence[tuple[str, int]],
        *,
        limit: int,
        passed_over: Sequence[UUID] = (),
    ) -> list[UUID]:
        """At most `limit` due sagas of these definitions, oldest first; takes no lock, and claims nothing."""
        ...

    async def claim(
        self, saga_id: UUID, *, owner: UUID, lease: timedelta, skip_locked: bool = False
    ) -> ClaimedSaga | None:
        """Take this saga, due or not; None if there is none, it has ended, or a lease on it is running.

        A row that another session keeps locked is waited for as long as a statement may take, then StoreUnavailableError is
        raised; with `skip_locked` it gives None soon.
        """
        ...

    async def take(self, saga_id: UUID, *, token: UUID, rev: int, owner: UUID, lease: timedelta) -> TakenSaga | None:
        """Take this saga from its owner, lease or no lease, if it still stands at (`token`, `rev`); else None."""
        ...

    async def renew(self, shard: int, held: Mapping[UUID, UUID], *, owner: UUID, lease: timedelta) -> Committed:
        """Extend the leases on these sagas (id to token). One that is missing is lost, or locked just now: read it."""
        ...

    async def release(self, shard: int, held: Mapping[UUID, UUID], *, pause: timedelta = NO_PAUSE) -> None:
        """Give back claimed sagas (id to token) as they are, due when `pause` is over."""
        ...

    async def park_row(self, saga_id: UUID, token: UUID, why: str, reason: ParkReason) -> None:
        """Take a claimed saga whose state cannot be used out of work, until a person has looked at it; `why` is its error."""
        ...

    async def end_row(self, saga_id: UUID, rev: int, why: str) -> bool:
        """End a saga, FAILED, whose state cannot be used; False if it has moved on from `rev`, or has ended."""
        ...

    async def acknowledge(self, saga_id: UUID, rev: int, detail: str) -> bool:
        """Say that a person has looked at a saga that FAILED, and record who and why (`detail`) beside its journal.

        False if it has moved on from `rev`, or was acknowledged before. The next write of the saga ends it.
        """
        ...

    async def due_shards(
        self, definitions: Sequence[tuple[str, int]], *, since: Moment | None = None
    ) -> dict[int, Moment]:
        """The shards in which something is due, with the moment since when the oldest of it is; takes no lock.

        With `since` only sagas count that are due since that moment. `OF_SENT` is among them if some of `sent_events` are due.
        """
        ...

    async def read(self, saga_id: UUID, *, connection: CallerConnection | None = None) -> SagaRecord | None:
        """The saga's row; takes no lock."""
        ...

    async def active_tokens(self, shard: int, saga_ids: Sequence[UUID]) -> dict[UUID, ActiveToken]:
        """Those of these sagas that are there and have not ended; takes no lock."""
        ...

    async def journal(
        self, saga_id: UUID, *, after: int = 0, last: int = ALL_ENTRIES, most: int = ALL_ENTRIES
    ) -> list[JournalRecord]:
        """The saga's journal after the entry `after`, up to and with the entry `last`, in order; by default the whole."""
        ...

    async def results(
        self, shard: int, wanted: Sequence[tuple[UUID, int]], *, connection: CallerConnection | None = None
    ) -> dict[tuple[UUID, int], Recorded]:
        """The payloads of exactly these journal entries (saga, seq)."""
        ...

    async def standing(self, saga_id: UUID, seq: int) -> Standing | None:
        """How the saga stands, and who wrote its journal entry `seq`, as of one snapshot; None if there is no such saga.

        Takes no lock.
        """
        ...

    async def writers(self, shard: int, wanted: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], UUID]:
        """Who wrote each of these journal entries, where there is one."""
        ...

    async def active(
        self, shard: int, name: str, aggregation_id: str, *, connection: CallerConnection | None = None
    ) -> UUID | None:
        """The active saga of that name that holds the business key."""
        ...

    async def send(self, saga_id: UUID, message: InboxMessage) -> MessageStatus:
        """Leave a message for the saga's owner, present or next. The same message sent again is there once.

        Gives `FULL`, for an event, while `MOST_UNREAD` messages of the saga are unread.
        """
        ...

    async def send_many(
        self, shard: int, events: Sequence[EventToSend], *, owner: UUID, lease: timedelta
    ) -> Mapping[UUID, Sent]:
        """Leave events for many sagas, at most one a saga, each judged by itself; gives the outcome of each by its saga.

        One that is stored does what `send` does, or claims its saga for `owner`. No row is waited for that another session
        has locked.
        """
        ...

    async def fates(self, shard: int, wanted: Sequence[tuple[UUID, UUID]]) -> Sequence[Fate | None]:
        """The fates of events that were stored, each by its saga and its id, in the order of `wanted`; takes no lock.

        None for one whose saga is not there.
        """
        ...

    async def rouse(self, saga_id: UUID) -> None:
        """Have the saga's inbox read, though no message was stored: an unowned saga becomes due, as by `send`.

        Nothing is done while another session keeps the saga's row locked.
        """
        ...

    async def messages(self, saga_id: UUID) -> list[InboxMessage]:
        """The messages that no owner has answered, oldest first; `MOST_READ` at most."""
        ...

    async def unread(self, saga_id: UUID, *, most: int) -> list[UnreadRecord]:
        """The same with the times when they were sent, and how many the saga has had; `most` of them at most; takes no lock.

        One look gives both: an owner that has read these knows so many messages.
        """
        ...

    async def answer(self, saga_id: UUID, message_id: UUID, answer: str) -> None:
        """Answer a message that changed nothing."""
        ...

    async def read_answer(self, saga_id: UUID, message_id: UUID) -> str | None:
        """The answer to an event; None while no owner has read it."""
        ...

    async def verb_answer(self, saga_id: UUID, message_id: UUID) -> VerbAnswer | None:
        """The answer to an operator's verb, and whether the saga has an owner that may answer; None if there is no such verb."""
        ...

    async def record_rejection(self, saga_id: UUID, kind: str, detail: str) -> None:
        """Remember something beside the journal."""
        ...

    async def rejections(self, saga_id: UUID) -> list[RejectionRecord]:
        """The records beside the journal, in order."""
        ...

    async def keep_plan(self, plan: Plan) -> None:
        """Store the plan, unless it is there."""
        ...

    async def hold_plan(self, plan: Plan, connection: CallerConnection) -> bool:
        """Store the plan in the connection's transaction, unless it can be seen there; waits for no other transaction.

        True if `keep_plan` has stored it, so that it is there whatever becomes of the transaction.
        """
        ...

    async def plan(self, plan_id: PlanId, *, connection: CallerConnection | None = None) -> Plan | None:
        """The stored plan of that fingerprint."""
        ...

    async def due_work(self, definitions: Sequence[tuple[str, int]], *, past_waits: bool = True) -> DueWork:
        """The time, and when the first of these sagas is or was due, by one cheap read.

        Without `past_waits` those are left out that an event will wake before, unless they wait for a retry as well.
        """
        ...

    async def lacking(self) -> frozenset[Right]:
        """The rights that this process's role has not, of all that any kind of process needs."""
        ...

    @property
    def deaf(self) -> str | None:
        """Why this process hears of nothing that others tell it, if it was meant to; a person should look at it."""
        ...

    async def hint(self, hints: Sequence[Hint], *, connection: CallerConnection | None = None) -> None:
        """Tell listening processes: that a saga has messages by its id, and by a moment that something may be due since then.

        May be lost: they also look by themselves. With a connection they are told when its transaction is committed.
        """
        ...
