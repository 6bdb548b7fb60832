"""The store, as the engine uses it. PostgreSQL and memory give the same answers: one conformance suite holds both.

A store of your own is a class with these methods. `tests/support/stores.py` adds it to the suite. `saga_fn.store.records` has the
values, `saga_fn.store.errors` the errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from typing_extensions import TypeIs

from saga_fn.core.acts import Trace
from saga_fn.core.ids import Moment, PlanId
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import ParkReason
from saga_fn.snapshot import OperationState, SagaRow
from saga_fn.stats import WorkingProcess
from saga_fn.store.connection import CallerConnection, Connection
from saga_fn.store.listing import Listing
from saga_fn.store.records import (
    ALL_ENTRIES,
    FIRST_KEY,
    NO_LIMITS,
    NO_PAUSE,
    ClaimedSaga,
    Committed,
    Counted,
    Definition,
    DueWork,
    EndedSaga,
    EventToSend,
    FailedMessage,
    Fate,
    HeldMessage,
    InboxMessage,
    Inserted,
    JournalRecord,
    KeptEvent,
    Live,
    MessageStatus,
    NewSaga,
    Noticed,
    OperationRecord,
    OutgoingCounts,
    OutgoingRecord,
    PauseRecord,
    Place,
    Process,
    Progress,
    Recipient,
    Recorded,
    RejectionRecord,
    SagaRecord,
    SagaWrite,
    SeenProcess,
    Sent,
    SentEvent,
    Sought,
    Standing,
    TakenSaga,
    Tombstone,
    UnfitSaga,
)
from saga_fn.store.rights import Right

KEY_WAIT: Final = timedelta(seconds=2)
"""How long an insert waits for another transaction that holds the same key, where its caller does not say."""


class KeptEvents(Protocol):
    """Events for a saga's name and business key, kept until a saga is active under them; see `Store`.

    The methods share these parameters.

    Args:
        shard: The shard of the key, a number from 0.
        key: The saga's name and its `aggregation_id`.
        name: The name of sagas; None stands for every name.
        aggregation_id: Their business key; None stands for every key.
        message: The event as it is put into an inbox.
        event: The name of the event; None stands for every event.
        event_id: The id of the event's message.
        expires: The moment from which on the event is void, in microseconds since 1970; None stands for no moment of its own.
        for_next: Whether the event may wait for the next saga of a key after one has ended.
        wanted: The events and the business keys that they are for.
        sent_at: When the event was sent. A saga that began later counts as the next one. Default: now.
        connection: A connection of the caller's, in whose transaction the call happens. Default: None, one of the store's.
        after: The key to go on after. Default: `FIRST_KEY`, which is before all keys.
    """

    async def keep(
        self,
        shard: int,
        key: tuple[str, str],
        message: InboxMessage,
        event: str,
        *,
        expires: Moment | None,
        for_next: bool,
        sent_at: datetime | None = None,
    ) -> MessageStatus:
        """Store an event for the saga that is, or will be, active under that (name, aggregation_id).

        Gives `FULL` if `MOST_KEPT` wait for it already. Gives `ENDED` if a saga of the key has ended, none is active, and the
        event is not `for_next`; `KNOWN` if such a saga had got it by its own id. It is kept until `expires`, and for
        `KEPT_FOR` at most.
        """
        ...

    async def recipients(self, shard: int, wanted: Sequence[Sought]) -> list[Recipient]:
        """Who gets each of these events for business keys, in the order of `wanted`; takes no lock."""
        ...

    async def hand_over(self, shard: int, key: tuple[str, str]) -> UUID | None:
        """Put what is kept for the key into the inbox of its active saga, and give its id; else None.

        No more than there is room for: while `MOST_UNREAD` of its messages are unread, all of it stays kept.
        A saga that began after another one of its key had ended gets only what was sent to itself, or is `for_next`.
        """
        ...

    async def recipient_of(self, shard: int, key: tuple[str, str], event_id: UUID) -> UUID | MessageStatus | None:
        """The saga that has got this event for a key, or what else became of it; None while none has got it.

        `KNOWN` if the saga had got the same event before, by its own id; `ENDED` if the key's saga ended without it. Then no saga
        gets it any more, not even that one, if somebody takes it up again.
        """
        ...

    async def discard(self, shard: int, key: tuple[str, str], event: str | None) -> int:
        """Forget the events of that name (None: all) that wait for a saga of the key; gives their number."""
        ...

    async def knows(self, shard: int, name: str, *, connection: CallerConnection | None = None) -> bool:
        """Whether a saga of that name with a business key is, or was, in the shard."""
        ...

    async def undelivered(self, shard: int, *, after: tuple[str, str] = FIRST_KEY) -> list[tuple[str, str]]:
        """The first `STRANDED_AT_ONCE` keys after that one, in order, whose active saga has not got all that it gets.

        Takes no lock.
        """
        ...

    async def drop_expired(self, shard: int) -> int:
        """Forget `EXPIRED_AT_ONCE` of the events for keys that have expired; gives how many there were."""
        ...

    async def read(self, shard: int, name: str | None, aggregation_id: str | None) -> list[KeptEvent]:
        """The events that wait for a saga of that name and key (None: of any), the oldest first."""
        ...


class SentEvents(Protocol):
    """Events that were sent in callers' transactions, until they are handed over; see `Store`.

    The methods share these parameters.

    Args:
        target: The saga's id, or its name and its `aggregation_id`.
        message: The event as it is put into an inbox.
        event: The name of the event.
        expires: The moment from which on the event is void, in microseconds since 1970; None stands for no moment of its own.
        for_next: Whether the event may wait for the next saga of a key after one has ended.
        connection: The caller's connection, with a transaction open on it.
        lease: How long no other process takes them, as a timedelta.
        ids: The ids of the rows.
    """

    async def add(
        self,
        target: UUID | tuple[str, str],
        message: InboxMessage,
        event: str,
        *,
        expires: Moment | None,
        for_next: bool,
        connection: CallerConnection,
    ) -> MessageStatus:
        """Store an event in the connection's transaction; waits for no other transaction, and changes no saga's row.

        Gives `DUPLICATE` and `ENDED` as far as the transaction can see that, and `FULL` if `MOST_SENT` are on their way.
        """
        ...

    async def claim(self, *, lease: timedelta) -> list[SentEvent]:
        """Take at most `SENT_AT_ONCE` whose transactions are committed, in the order in which they were sent.

        No further one is taken once those taken are `ANSWER_BYTES` together.
        """
        ...

    async def remove(self, ids: Sequence[UUID]) -> frozenset[UUID]:
        """Forget these; gives those that were there."""
        ...


class OpenTransaction(Protocol):
    """The open transaction of a step, which is rolled back unless it is committed."""

    @property
    def connection(self) -> Connection:
        """Its connection."""
        ...

    @property
    def is_broken(self) -> bool:
        """Whether its connection is gone: nothing more can be done in it."""
        ...

    def is_outdated(self, error: BaseException) -> bool:
        """Whether a statement of the step failed with this error because the driver knew a table, type or statement as it was once.

        The next try goes well.
        """
        ...

    def was_cut(self, error: BaseException) -> bool:
        """Whether a statement of the step was cut short by this error, which leaves nothing of another system's open."""
        ...

    def leave(self) -> None:
        """Let the step, which has returned, and what it has left behind, use the connection no more."""
        ...

    async def has_ended(self) -> bool:
        """Whether the step has ended it, as far as that can be seen."""
        ...

    async def check(self) -> None:
        """Raise TransactionEndedError if the step has ended it, and StoreError if it cannot be written in."""
        ...

    async def write(self, write: SagaWrite) -> Committed:
        """Do as `Store.commit` in it, as its last statement. Raises the same, and StoreError if it is aborted already."""
        ...

    async def commit(self) -> None:
        """Commit it.

        Raises CommitRefusedError if that was refused, or what is sent with it: whether it is committed has to be looked up. Raises
        AnswerLostError if it may be committed, or not.
        """
        ...


class Transactions(Protocol):
    """The transactions of transactional steps; see `Store`.

    The methods share these parameters.

    Args:
        isolation: The isolation level: `read_committed`, `repeatable_read` or `serializable`.
        seconds: How long the step may take, in seconds; None stands for no limit.
        name: The id of the step, for people who look at the server's sessions.
    """

    def check_room(self) -> None:
        """Raise StoreRefusedError if there is no connection for them."""
        ...

    def open(self, *, isolation: str, seconds: float | None, name: str) -> AbstractAsyncContextManager[OpenTransaction]:
        """Open one, once there is a connection for it: a commit never waits for those. Raises StoreError if it cannot."""
        ...


class Processes(Protocol):
    """Which process works on which definitions, and the sagas that none works on; see `Store`.

    The methods share these parameters.

    Args:
        process: The process, with the definitions that it works on.
        process_id: The id of a process.
        seen_within: How long ago a process may have been seen last, as a timedelta.
        left_behind: The same, for names of which a process works on other versions. Default: None, which is `seen_within`.
        definitions: The names and versions of definitions.
        shard: The shard of the sagas, a number from 0.
        saga_ids: The ids of sagas.
        after: The saga's id to go on after.
        most: The greatest number of processes.
    """

    async def note(self, process: Process) -> None:
        """Say that the process is there, and what it works on."""
        ...

    async def forget(self, process_id: UUID) -> None:
        """Forget the process."""
        ...

    async def forget_silent(self) -> int:
        """Forget `FORGOTTEN_AT_ONCE` of those that have said nothing for `SILENT`; gives how many there were."""
        ...

    async def find(self, process_id: UUID) -> SeenProcess | None:
        """Where the process runs, and when it was last seen; None if it is not known; takes no lock."""
        ...

    async def others(self, process_id: UUID, *, seen_within: timedelta) -> frozenset[Definition]:
        """The definitions that other processes work on that were seen within that time; takes no lock.

        It counts the `MOST_PROCESSES` that were seen last, and of each at most `MOST_DEFINITIONS`.
        """
        ...

    async def seen(self, *, seen_within: timedelta, most: int) -> list[WorkingProcess]:
        """The processes that were seen within that time, the last seen first; no more than `most`; takes no lock."""
        ...

    async def notices(self, *, seen_within: timedelta, left_behind: timedelta | None = None) -> list[Noticed]:
        """The findings for a person, a line for each kind, name and version; takes no lock.

        A saga is unowned if it has been due for longer than `seen_within`, and no process seen within that time works on its
        name and version. `left_behind` (default: `seen_within`) takes its place where one works on other versions of the name.
        """
        ...

    async def unfit(self, definitions: Sequence[tuple[str, int]], *, after: UUID) -> list[UnfitSaga]:
        """Sagas of these that were parked because a plan did not fit them, by their ids, from the next one after `after` on.

        At most `MOST_UNFIT` of them; takes no lock.
        """
        ...

    async def wake(self, shard: int, saga_ids: Sequence[UUID]) -> None:
        """Make those of these sagas due now that are still parked because a plan did not fit them."""
        ...


class Operations(Protocol):
    """Acts of operators; see `Store`.

    The methods share these parameters.

    Args:
        operation: The operation; its times and its token are the store's to say.
        operation_id: Its id.
        before: The moment and the id of the operation that the page before ended with.
        most: The greatest number of operations.
        names: The names of the definitions that this process has.
        token: The token of the claim.
        lease: How long a claim lasts, as a timedelta.
        progress: How far the operation has come.
        is_done: Whether it is over.
        kept: How long acts are kept, as a timedelta.
        after: The moment and the id of the act that the page before ended with.
        older: How long ago an act began at least, as a timedelta.
        saga_id: The saga of an act.
        act_id: The id of an act, of its message, or of its write.
    """

    async def insert(self, operation: OperationRecord) -> OperationRecord:
        """Record an operation, unless there is one of its id; gives the one that is there."""
        ...

    async def read(self, operation_id: UUID) -> OperationRecord | None:
        """The operation; None if there is none."""
        ...

    async def page(self, *, before: tuple[datetime, UUID] | None, most: int) -> list[OperationRecord]:
        """The operations before that one, the newest first."""
        ...

    async def claim(self, names: Sequence[str], *, lease: timedelta) -> OperationRecord | None:
        """Take an operation that runs, and that no process carries out; None if there is none."""
        ...

    async def take(self, operation_id: UUID, *, seen: OperationState, lease: timedelta) -> OperationRecord | None:
        """Take this operation; None if another process carries it out, or it is not in the state that the caller has seen.

        So a stop stands that came after a caller has seen the operation running.
        """
        ...

    async def advance(
        self, operation_id: UUID, token: UUID, progress: Progress, *, lease: timedelta, is_done: bool
    ) -> OperationState | None:
        """Write how far it has come; gives its state, or None if the token is another one by now."""
        ...

    async def stop(self, operation_id: UUID) -> bool:
        """Stop it; False if it does not run."""
        ...

    async def close(self, operation_id: UUID, progress: Progress) -> None:
        """Write the outcome of an act that was recorded as over before it was done."""
        ...

    async def unfinished(
        self, *, after: tuple[datetime, UUID] | None, older: timedelta, most: int
    ) -> list[OperationRecord]:
        """The acts after that one that began longer ago, and whose outcome nobody has written; the oldest first."""
        ...

    async def trace(self, saga_id: UUID, act_id: UUID) -> Trace:
        """The traces that the act has left in the saga."""
        ...

    async def drop(self, *, kept: timedelta) -> int:
        """Delete `OPERATIONS_AT_ONCE` acts that are over and began longer ago, the oldest first; gives how many."""
        ...


class Lists(Protocol):
    """Lists of sagas; see `Store`.

    The methods share these parameters.

    Args:
        asked: The page: the filter, the way to its sagas, where it begins, and how many rows it may have.
        saga_ids: The ids of sagas.
        name: The name of sagas; None stands for every name.
        key: The name of a search attribute.
        span: Two texts of values.
        overdue: How long a saga may be due, as a timedelta.
        seen_within: How long ago a process may have been seen last, as a timedelta.
        ends_since: The moment from which on ends are counted, in microseconds since 1970; None counts none.
    """

    async def page(self, asked: Listing) -> list[SagaRow]:
        """The rows of one page, in order: `asked.has` them, and `asked.place_of` sorts them; takes no lock."""
        ...

    async def attributes(self, saga_ids: Sequence[UUID]) -> dict[UUID, dict[str, str]]:
        """The search attributes of these sagas: the text of each value by its name, in the order of names; takes no lock."""
        ...

    async def knows_values(self, name: str | None, key: str, span: tuple[str, str]) -> bool:
        """Whether a saga has a value of that attribute from the first of these texts on and before the second; takes no lock."""
        ...

    async def stats(self, *, overdue: timedelta, seen_within: timedelta, ends_since: Moment | None) -> list[Counted]:
        """Numbers about all sagas, by name and version; takes no lock.

        Counts stop at `MOST_IN_STATS` for each state, those of ends at `MOST_ENDS`.
        """
        ...


class Deletion(Protocol):
    """The deletion of sagas that have ended; see `Store`.

    The methods share these parameters.

    Args:
        shard: The shard of the sagas, a number from 0.
        owner: The id of this process.
        lease: For how long no other process begins to delete in the shard, as a timedelta.
        definition: The name and version of the sagas.
        status: The status that they ended with.
        before: They ended before this moment, in microseconds since 1970.
        acknowledged_only: Whether sagas are left out that FAILED and that nobody has acknowledged.
        sure: A saga that ended after this moment is left out, unless its plan is one of `plans` and no event is kept that only its
            being known keeps from the next saga of its business key.
        plans: The fingerprints of the plans that are known to wait for no event.
        limit: How many sagas at most.
        sagas: The sagas to delete, `DELETED_AT_ONCE` at most.
        keep: How long their tombstones count, as a timedelta; None stands for ever.
        saga_id: The saga's id.
        connection: A connection of the caller's, in whose transaction the call happens. Default: None, one of the store's.
    """

    async def begin(self, shard: int, *, owner: UUID, lease: timedelta) -> bool:
        """Say that this process deletes sagas in the shard; False if another one does."""
        ...

    async def ended(
        self,
        shard: int,
        definition: tuple[str, int],
        status: SagaStatus,
        *,
        before: Moment,
        acknowledged_only: bool,
        sure: Moment,
        plans: Sequence[PlanId],
        limit: int,
    ) -> list[EndedSaga]:
        """The sagas that ended so, the oldest end first; takes no lock."""
        ...

    async def delete(self, shard: int, sagas: Sequence[EndedSaga], *, keep: timedelta | None) -> list[UUID]:
        """Delete those that stand as they did, with all that belongs to them; gives their ids.

        A tombstone takes the place of each whose start had a key, in the same transaction.
        """
        ...

    async def tombstone(self, saga_id: UUID, *, connection: CallerConnection | None = None) -> Tombstone | None:
        """The tombstone of a saga that was deleted; None if it has none, or none that counts."""
        ...

    async def drop_tombstones(self, shard: int) -> int:
        """Forget `DELETED_AT_ONCE` tombstones that count no more; gives how many there were."""
        ...


class Pauses(Protocol):
    """The pauses: claims of a name that is paused find nothing, and `Store.due_shards` does not tell of it. One statement each.

    The methods share these parameters.

    Args:
        name: The name of the sagas; the empty text is everything.
        actor: Who pauses them, or None.
        reason: Why, or None.
    """

    async def read(self) -> list[PauseRecord]:
        """All that is paused, the oldest pause first; takes no lock."""
        ...

    async def add(self, name: str, *, actor: str | None, reason: str | None) -> bool:
        """Pause a name; False, and the pause that there is stays, if it is paused already."""
        ...

    async def remove(self, name: str, *, since: datetime | None = None) -> bool:
        """End the pause of a name, or only the one that began then; False if there is none."""
        ...

    async def open_writers(self) -> frozenset[str]:
        """The transactions that may have started a saga and are open, by names that no other ones ever have.

        A saga that is on its way at this moment is seen by every statement that begins when all of these are over.
        """
        ...


class OutgoingMessages(Protocol):
    """Outgoing messages of sagas: written by `Store.insert` and `Store.commit`, and deleted when they are published.

    The methods share these parameters.

    Args:
        shard: The shard of the sagas, a number from 0.
        topic: The topic.
        token: The token under which this process holds messages.
        lease: For how long no other process takes a message, as a timedelta.
        most: The greatest number of messages.
        saga_id: The saga's id.
        saga_ids: The ids of sagas.
        places: The messages: each by its saga, if that is not given, its revision and its place in that.
        failed: The attempts that failed.
        blocks: Whether a dead message holds the later ones of its saga.
    """

    async def due_topics(self) -> list[tuple[int, str]]:
        """The shards and topics of which messages may be taken; takes no lock."""
        ...

    async def claim(
        self, shard: int, topic: str, *, token: UUID, lease: timedelta, most: int
    ) -> tuple[list[HeldMessage], bool]:
        """Take the due messages of a topic that are the first of their sagas; and whether more of it may be due.

        It looks at the `most` that have been due for longest. Those that are not the first are due again later. No further one
        is taken once those taken are `ANSWER_BYTES` together.
        """
        ...

    async def take(self, shard: int, saga_ids: Sequence[UUID], *, token: UUID, lease: timedelta) -> list[HeldMessage]:
        """Take the first message of each of these sagas, if nobody else holds it, and it waits for nothing.

        No further one is taken once those taken are `ANSWER_BYTES` together.
        """
        ...

    async def confirm(self, shard: int, places: Sequence[Place]) -> None:
        """Delete messages that are published, whoever holds them."""
        ...

    async def fail(self, shard: int, failed: Sequence[FailedMessage], *, token: UUID, blocks: bool) -> None:
        """Record failed attempts of messages that are held under the token."""
        ...

    async def release(self, shard: int, saga_ids: Sequence[UUID], *, token: UUID) -> None:
        """Leave the messages of these sagas to others that are held under the token."""
        ...

    async def of_saga(self, saga_id: UUID, *, most: int) -> list[OutgoingRecord]:
        """The first messages of the saga, in their order; takes no lock."""
        ...

    async def dead(self, *, most: int) -> list[OutgoingRecord]:
        """Dead messages, those that died first at the front; takes no lock."""
        ...

    async def redrive(self, saga_id: UUID, places: Sequence[tuple[int, int]]) -> int:
        """Try these messages of a saga again, if they are dead; gives how many are."""
        ...

    async def discard(self, saga_id: UUID, places: Sequence[tuple[int, int]], *, waiting: bool = False) -> int:
        """Delete these messages of a saga, if they are dead, or, with `waiting`, held by nobody; gives how many were."""
        ...

    async def counts(self) -> OutgoingCounts:
        """How many there are; takes no lock."""
        ...


class Store(Protocol):
    """Where sagas live. Every method is one statement, atomic by itself; `shard` is that of every id in the call.

    The methods share these parameters.

    Args:
        moment: A moment in microseconds since 1970.
        migrate: Whether the schema is brought up to date; else it is only checked.
        listen: A function that is called at each notification, with the saga it names or None. None listens to none.
        shard: The shard of every saga in the call, a number from 0.
        saga_id: The saga's id.
        saga_ids: The ids of sagas.
        sagas: The sagas to insert, or to notify of.
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
        to_verb: Whether the message is an operator's verb. Default: False, it is an event.
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

    async def open(self, *, migrate: bool, listen: Callable[[UUID | None], None] | None) -> None:
        """Connect and check (or bring up to date) the schema; call `listen` at each hint, with the saga it names."""
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

        Raises `RowLockedError`, and nothing is written, if somebody else keeps a row of them locked; `skip_locked` leaves
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
    ) -> list[ClaimedSaga]:
        """Take at most `limit` due sagas of these (name, version) pairs, oldest first, each under a fresh token.

        It takes at most as many of a pair as `rooms` says, and none of `passed_over`, which are few.
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

    async def due_shards(self, definitions: Sequence[tuple[str, int]]) -> list[int]:
        """The shards in which something is due, and `OF_SENT` if some of `sent_events` are; takes no lock."""
        ...

    async def read(self, saga_id: UUID, *, connection: CallerConnection | None = None) -> SagaRecord | None:
        """The saga's row; takes no lock."""
        ...

    async def live(self, shard: int, saga_ids: Sequence[UUID]) -> dict[UUID, Live]:
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
        """The messages nobody has answered, oldest first; `MOST_READ` at most."""
        ...

    async def answer(self, saga_id: UUID, message_id: UUID, answer: str) -> None:
        """Answer a message that changed nothing."""
        ...

    async def read_answer(self, saga_id: UUID, message_id: UUID, *, to_verb: bool = False) -> str | None:
        """The answer to an event, or `to_verb` to an operator's verb; None while no owner has read it."""
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

    async def hint(self, sagas: Sequence[UUID | None], *, connection: CallerConnection | None = None) -> None:
        """Tell listening processes that something is due (None), or that these sagas have messages.

        May be lost: they also look by themselves. With a connection they are told when its transaction is committed.
        """
        ...


def is_store(given: object) -> TypeIs[Store]:
    """Whether it has all that a store has."""
    return not lacking_in(given)


def lacking_in(given: object) -> list[str]:
    """Name the methods that it lacks to be a store."""
    kept_events: object = getattr(given, "kept_events", None)
    sent_events: object = getattr(given, "sent_events", None)
    processes: object = getattr(given, "processes", None)
    lists: object = getattr(given, "lists", None)
    deletion: object = getattr(given, "deletion", None)
    outgoing: object = getattr(given, "outgoing", None)
    return [
        *(name for name in _members(Store) if not hasattr(given, name)),
        *(f"kept_events.{name}" for name in _members(KeptEvents) if not hasattr(kept_events, name)),
        *(f"sent_events.{name}" for name in _members(SentEvents) if not hasattr(sent_events, name)),
        *(f"processes.{name}" for name in _members(Processes) if not hasattr(processes, name)),
        *(f"lists.{name}" for name in _members(Lists) if not hasattr(lists, name)),
        *(f"deletion.{name}" for name in _members(Deletion) if not hasattr(deletion, name)),
        *(f"outgoing.{name}" for name in _members(OutgoingMessages) if not hasattr(outgoing, name)),
    ]


def _members(protocol: type) -> list[str]:
    return [name for name in vars(protocol) if not name.startswith("_")]
