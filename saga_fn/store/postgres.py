"""Sagas in PostgreSQL, through the typed statements generated from `sql/queries`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, final
from uuid import UUID

from asyncpg.pgproto import pgproto

from saga_fn.core.event_kinds import step_of
from saga_fn.core.events import name_of
from saga_fn.core.ids import Moment, PlanId
from saga_fn.core.plan import Plan
from saga_fn.core.projection import ENDED_UNREAD, SET_ASIDE, SagaStatus
from saga_fn.core.state import ParkReason
from saga_fn.errors import StoredDataError
from saga_fn.store._queries import (
    ClaimedRow,
    CommittedAtLengthRow,
    CommittedRow,
    EventSentRow,
    TakenRow,
    VerbSentRow,
)
from saga_fn.store.connection import CallerConnection, Connection, Pool, holdable
from saga_fn.store.database import LOCK_TIMEOUT, Database
from saga_fn.store.eras import era_of
from saga_fn.store.errors import RowLockedError
from saga_fn.store.ids import new_uuid, shard_of, shard_of_plan, use_uuid_class
from saga_fn.store.journal_rows import alike, journal_columns, sparse
from saga_fn.store.migrate import lacking_of, read_only_error
from saga_fn.store.pool_check import check_codecs
from saga_fn.store.postgres_deletion import PostgresDeletion
from saga_fn.store.postgres_events import PostgresKeptEvents
from saga_fn.store.postgres_lists import PostgresLists
from saga_fn.store.postgres_operations import PostgresOperations
from saga_fn.store.postgres_outgoing import PostgresOutgoing, columns_of_rows, one_each, outgoing_columns
from saga_fn.store.postgres_pauses import PostgresPauses
from saga_fn.store.postgres_processes import PostgresProcesses
from saga_fn.store.postgres_sends import fates_of, send_events_of
from saga_fn.store.postgres_sent import PostgresSentEvents
from saga_fn.store.protocol import KEY_WAIT
from saga_fn.store.records import (
    ACKNOWLEDGED,
    ALL_ENTRIES,
    ANSWER_BYTES,
    FORMAT,
    LEAST_KEPT,
    MOST_READ,
    MOST_UNREAD,
    NO_LIMITS,
    NO_PAUSE,
    NO_SAGA,
    NOT_BY_MESSAGE,
    READABLE,
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
    Sent,
    Standing,
    TakenSaga,
    UnreadRecord,
    VerbAnswer,
    encode_event,
    encode_plan,
    encode_state,
    is_full,
    moment_of,
    plan_from,
    reasons_in,
    time_of,
    waits_column,
    waits_columns,
)
from saga_fn.store.rights import Right
from saga_fn.store.this_process import this_process
from saga_fn.store.transactions import PostgresTransactions

use_uuid_class(pgproto.UUID)

_MOST_MILLISECONDS = 2**31 - 1
"""The longest lock_timeout there is; none would be 0."""

_MILLISECOND = timedelta(milliseconds=1)
_BEFORE_ALL: Final = (datetime.min.replace(tzinfo=UTC), UUID(int=0))
"""When the message was sent, and the id that it has, behind which all others stand."""


@final
class PostgresStore:
    """Sagas in one schema of a PostgreSQL database (15 or newer).

    `source` is a DSN, or a pool of the caller's, of which at most `max_connections` are used at once, and
    `transactional_connections` more by transactional steps. `listen=False`
    does without the connection that hears of due sagas sooner than the next look. No statement takes longer than
    `time_limit` seconds (default 5), the wait for its connection included.
    A single write takes a statement without arrays. `batches_only` sends it by the arrays, too, so that tests try those as hard.
    """

    def __init__(
        self,
        source: str | Pool,
        *,
        schema: str = "saga_fn",
        shards: int = 1,
        pool_size: int = 4,
        max_connections: int = 2,
        transactional_connections: int = 4,
        listen: bool = True,
        time_limit: float = 5.0,
        statement_cache_size: int | None = None,
        listen_dsn: str | None = None,
        read_only: bool = False,
        batches_only: bool = False,
    ) -> None:
        self.source: str | Pool = source
        self.schema: str = schema
        self._batches_only = batches_only
        self._database = Database(
            source,
            schema=schema,
            shards=shards,
            pool_size=pool_size,
            max_connections=max_connections,
            transactional_connections=transactional_connections,
            listen=listen,
            time_limit=time_limit,
            statement_cache_size=statement_cache_size,
            listen_dsn=listen_dsn,
            read_only=read_only,
        )
        self.transactions: PostgresTransactions = PostgresTransactions(
            self._database.for_steps,
            self._commit_within,
            partial(check_codecs, self._database.queries, whose="connection that the step leaves"),
            self._database.work,
            room=self._database.room_for_steps,
            time_limit=time_limit,
        )
        self._shards = shards
        self.kept_events: PostgresKeptEvents = PostgresKeptEvents(self._database)
        self.sent_events: PostgresSentEvents = PostgresSentEvents(self._database, self.kept_events)
        self.processes: PostgresProcesses = PostgresProcesses(self._database)
        self.pauses: PostgresPauses = PostgresPauses(self._database)
        self.lists: PostgresLists = PostgresLists(self._database)
        self.operations: PostgresOperations = PostgresOperations(self._database)
        self.deletion: PostgresDeletion = PostgresDeletion(self._database)
        self.outgoing: PostgresOutgoing = PostgresOutgoing(self._database, shards)

    @property
    def shards(self) -> int:
        """How many shards the store has."""
        return self._shards

    @property
    def attendants(self) -> None:
        """It is not known who works on it: other processes can."""
        return

    def jump_to(self, _: Moment, /) -> bool:
        """False: the time is the database's."""
        return False

    async def open(self, *, migrate: bool, listen: Callable[[Hint], None] | None) -> None:
        """Connect, check or migrate the schema, and begin to listen."""
        await self._database.open(migrate=migrate, listen=listen)

    async def close(self) -> None:
        """Stop listening and close what is ours."""
        await self._database.close()

    def now(self) -> Moment:
        """The database's time: its last word, and what this process's monotonic clock says has passed since."""
        return self._database.now()

    # Writing.

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
        async with self._database.on(connection) as chosen:
            ids, now = await self._insert(chosen, shard, sagas, lease, _milliseconds(lock_timeout))
        if connection is None:
            return Inserted(ids, self._database.sync_clock(now))
        return Inserted(ids, self.now())  # the statement's now() is when the caller's transaction began

    async def _insert(
        self, connection: CallerConnection, shard: int, sagas: Sequence[NewSaga], lease: timedelta, lock_timeout: int
    ) -> tuple[frozenset[UUID], datetime]:
        if len(sagas) == 1 and not self._batches_only and not sagas[0].attributes and not sagas[0].outgoing:
            return await self._insert_one(connection, shard, sagas[0], lease, lock_timeout)
        queries = self._database.queries
        named = [(new.id, new.name, key, value) for new in sagas for key, value in new.attributes]
        outgoing = [(new.id, row) for new in sagas for row in new.outgoing]
        insert = queries.insert_sagas
        if named or outgoing:
            insert = partial(
                queries.insert_sagas_at_length,
                n_saga_ids=[saga for saga, _, _, _ in named],
                n_names=[name for _, name, _, _ in named],
                n_keys=[key for _, _, key, _ in named],
                n_values=[holdable(connection, value) for _, _, _, value in named],
                **outgoing_columns(connection, outgoing),
            )
        tokens, writers = [new.token for new in sagas], [new.writer for new in sagas]
        shown = [new.projection for new in sagas]
        rows = await insert(
            connection,
            lock_timeout=lock_timeout,
            month=era_of(self.now()),
            shard=shard,
            ids=[new.id for new in sagas],
            names=alike([new.name for new in sagas]),
            versions=alike([new.version for new in sagas]),
            aggregation_ids=sparse([new.aggregation_id for new in sagas]),
            trace_ids=[new.trace_id for new in sagas],
            trace_carriers=sparse([new.trace_carrier for new in sagas]),
            requests=[new.request for new in sagas],
            plans=alike([new.state.plan for new in sagas]),
            format=FORMAT,
            states=[encode_state(new.state) for new in sagas],
            tokens=tokens,
            owners=alike([new.owner for new in sagas]),
            writers=[] if writers == tokens else writers,
            process=this_process(),
            events=[encode_event(new.event) for new in sagas],
            payloads=[new.payload for new in sagas],
            statuses=alike([each.status for each in shown]),
            waits=sparse(waits_columns(shown)),
            dues=sparse([_due_of(new) for new in sagas]),
            keyed=sparse([new.keyed or None for new in sagas]),
            oldest_snapshot=LEAST_KEPT,
            lease=lease,
        )
        return frozenset(row.id for row in rows if row.id is not None), rows[0].now

    async def _insert_one(
        self, connection: CallerConnection, shard: int, new: NewSaga, lease: timedelta, lock_timeout: int
    ) -> tuple[frozenset[UUID], datetime]:
        row = await self._database.queries.insert_saga(
            connection,
            lock_timeout=lock_timeout,
            month=era_of(self.now()),
            shard=shard,
            id=new.id,
            name=new.name,
            version=new.version,
            aggregation_id=new.aggregation_id,
            trace_id=new.trace_id,
            trace_carrier=new.trace_carrier,
            request=new.request,
            plan=new.state.plan,
            format=FORMAT,
            state=encode_state(new.state),
            token=new.token,
            owner=new.owner,
            lease=lease,
            writer=new.writer,
            process=this_process(),
            event=encode_event(new.event),
            payload=new.payload,
            status=new.projection.status.value,
            waits=waits_column(new.projection),
            due=_due_of(new),
            keyed=new.keyed,
            oldest_snapshot=LEAST_KEPT,
        )
        return frozenset(() if row.id is None else (row.id,)), row.now

    async def _commit_within(self, connection: Connection, write: SagaWrite) -> Committed:
        """Apply one write in a step's transaction."""
        return await self.commit(self._shard(write.id), [write], within=connection)

    async def commit(
        self, shard: int, writes: Sequence[SagaWrite], *, skip_locked: bool = False, within: Connection | None = None
    ) -> Committed:
        """Apply those writes whose saga stands as the writer knows it, in one statement; `within`: in a step's transaction."""
        at_length = [write for write in writes if write.answers or write.attributes or write.outgoing]
        first = writes[0]
        plain = len(writes) == 1 and len(first.entries) == 1 and not first.answers and not first.attributes
        if plain and not skip_locked and not self._batches_only:
            return await self._commit_one(shard, first, first.entries[0], within)
        answers = [(write.id, message, answer) for write in at_length for message, answer in write.answers]
        named = [(write.id, key, value) for write in at_length for key, value in write.attributes]
        tokens, shown = [write.token for write in writes], [write.projection for write in writes]
        single = [len(write.entries) for write in writes].count(1) == len(writes)
        by_owners = [write.writer for write in writes] == tokens
        commit: Callable[..., Awaitable[Sequence[CommittedRow | CommittedAtLengthRow]]] = (
            self._database.queries.commit_sagas
        )
        outgoing = [(write.id, row) for write in at_length for row in write.outgoing]
        async with self._for(within) as connection:
            if outgoing and not answers and not named:
                columns = outgoing_columns(connection, outgoing)
                if single and [saga for saga, _ in outgoing] == [write.id for write in writes]:
                    columns = one_each(columns)
                commit = partial(self._database.queries.commit_sagas_publishing, **columns)
            elif at_length:
                commit = partial(
                    self._database.queries.commit_sagas_at_length,
                    a_saga_ids=[saga for saga, _, _ in answers],
                    a_ids=[message for _, message, _ in answers],
                    a_answers=[answer for _, _, answer in answers],
                    n_saga_ids=[saga for saga, _, _ in named],
                    n_keys=[key for _, key, _ in named],
                    n_values=[holdable(connection, value) for _, _, value in named],
                    **outgoing_columns(connection, outgoing),
                )
            rows = await commit(
                connection,
                shard=shard,
                lock_timeout=LOCK_TIMEOUT if within is None else self.transactions.lock_timeout,
                skip_locked=skip_locked,
                ids=[write.id for write in writes],
                tokens=tokens,
                revs=[write.rev for write in writes],
                next_revs=[] if single else [write.state.rev for write in writes],
                releases=[write.release for write in writes],
                dues=sparse([None if write.due is None else time_of(write.due) for write in writes]),
                inbox_seens=sparse([write.inbox_seen for write in writes]),
                plans=alike([write.state.plan for write in writes]),
                statuses=[each.status for each in shown],
                waits=sparse(waits_columns(shown)),
                states=[encode_state(write.state) for write in writes],
                retry_counters=sparse([each.retry_counter or None for each in shown]),
                last_errors=sparse([write.last_error and holdable(connection, write.last_error) for write in writes]),
                parked_reasons=sparse([each.parked for each in shown]),
                problem_steps=sparse([each.problem_step for each in shown]),
                process=this_process(),
                **journal_columns(writes, plain=single and by_owners),
            )
        now = self._database.sync_clock(rows[0].now) if rows and within is None else self.now()
        inbox_sent = {row.id: row.inbox_sent for row in rows}
        if not outgoing:
            return Committed(inbox_sent, now)
        earlier = {row.id: row.earlier for row in rows if isinstance(row, CommittedAtLengthRow) and row.earlier}
        return Committed(inbox_sent, now, earlier)

    def _for(self, within: Connection | None) -> AbstractAsyncContextManager[Connection]:
        return self._database.work() if within is None else nullcontext(within)

    async def _commit_one(self, shard: int, write: SagaWrite, entry: Entry, within: Connection | None) -> Committed:
        commit: Callable[..., Awaitable[CommittedRow | CommittedAtLengthRow | None]] = (
            self._database.queries.commit_saga
        )
        async with self._for(within) as connection:
            if write.outgoing:
                commit = partial(
                    self._database.queries.commit_saga_publishing, **columns_of_rows(connection, write.outgoing)
                )
            row = await commit(
                connection,
                shard=shard,
                id=write.id,
                token=write.token,
                rev=write.rev,
                next_rev=write.state.rev,
                release=write.release,
                due=None if write.due is None else time_of(write.due),
                lock_timeout=LOCK_TIMEOUT if within is None else self.transactions.lock_timeout,
                inbox_seen=write.inbox_seen,
                plan=write.state.plan,
                status=write.projection.status,
                waits=waits_column(write.projection),
                state=encode_state(write.state),
                retry_counter=write.projection.retry_counter,
                last_error=write.last_error and holdable(connection, write.last_error),
                parked=write.projection.parked,
                problem_step=write.projection.problem_step,
                j_kind=name_of(entry.event),
                j_step_id=step_of(entry.event),
                j_writer=write.writer,
                process=this_process(),
                j_event=encode_event(entry.event),
                j_input=entry.input,
                j_input_of=entry.input_of,
                j_payload=entry.payload,
            )
        if row is None:
            return Committed({}, self.now())
        # In a transaction its now() is when that began.
        now = self._database.sync_clock(row.now) if within is None else self.now()
        earlier = {row.id: row.earlier} if isinstance(row, CommittedAtLengthRow) and row.earlier else {}
        return Committed({row.id: row.inbox_sent}, now, earlier)

    # Ownership.

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
        async with self._database.control() as connection:
            rows = await self._database.queries.claim_due_sagas(
                connection,
                shard=shard,
                names=[name for name, _ in definitions],
                versions=[version for _, version in definitions],
                rooms=[min(limit, rooms.get(definition, limit)) for definition in definitions],
                formats=list(READABLE),
                passed_over=passed_over,
                since=None if since is None else time_of(since),
                batch_size=limit,
                tokens=[new_uuid() for _ in range(limit)],
                owner=owner,
                lease=lease,
            )
        return [self._claimed(row) for row in rows]

    async def due_ids(
        self,
        shard: int,
        definitions: Sequence[tuple[str, int]],
        *,
        limit: int,
        passed_over: Sequence[UUID] = (),
    ) -> list[UUID]:
        """At most `limit` due sagas of these definitions, oldest first."""
        async with self._database.control() as connection:
            return await self._database.queries.find_due_sagas(
                connection,
                shard=shard,
                names=[name for name, _ in definitions],
                versions=[version for _, version in definitions],
                rooms=[limit] * len(definitions),
                formats=list(READABLE),
                passed_over=passed_over,
                batch_size=limit,
            )

    async def claim(
        self, saga_id: UUID, *, owner: UUID, lease: timedelta, skip_locked: bool = False
    ) -> ClaimedSaga | None:
        """Take this saga, due or not, unless it has ended or a lease on it is running."""

        async def claimed() -> ClaimedRow | None:
            async with self._database.control() as connection:
                return await self._database.queries.claim_saga(
                    connection,
                    shard=self._shard(saga_id),
                    id=saga_id,
                    token=new_uuid(),
                    owner=owner,
                    lease=lease,
                    lock_timeout=LOCK_TIMEOUT,
                )

        try:
            row = await (claimed() if skip_locked else self._database.persist(claimed))
        except RowLockedError:
            return None
        return None if row is None else self._claimed(row)

    async def take(self, saga_id: UUID, *, token: UUID, rev: int, owner: UUID, lease: timedelta) -> TakenSaga | None:
        """Take this saga from its owner, if it still stands at (`token`, `rev`)."""

        async def taken() -> TakenRow | None:
            async with self._database.control() as connection:
                return await self._database.queries.take_saga(
                    connection,
                    shard=self._shard(saga_id),
                    id=saga_id,
                    from_token=token,
                    rev=rev,
                    token=new_uuid(),
                    owner=owner,
                    lease=lease,
                    lock_timeout=LOCK_TIMEOUT,
                )

        row = await self._database.persist(taken)
        if row is None:
            return None
        return TakenSaga(row.token, row.inbox_sent, moment_of(row.lease_end), self._database.sync_clock(row.now))

    def _claimed(self, row: ClaimedRow) -> ClaimedSaga:
        return ClaimedSaga(
            id=row.id,
            name=row.name,
            version=row.version,
            aggregation_id=row.aggregation_id,
            trace_id=row.trace_id,
            plan=PlanId(row.plan),
            state=row.state,
            rev=row.rev,
            token=row.token,
            inbox_sent=row.inbox_sent,
            last_error=row.last_error,
            created_at=row.created_at,
            previous_owner=row.previous_owner,
            was_due=None if row.was_due is None else moment_of(row.was_due),
            now=self._database.sync_clock(row.now),
        )

    async def renew(self, shard: int, held: Mapping[UUID, UUID], *, owner: UUID, lease: timedelta) -> Committed:
        """Extend the leases on these sagas, all at once."""
        ids = sorted(held)
        async with self._database.control() as connection:
            rows = await self._database.queries.renew_leases(
                connection, shard=shard, ids=ids, tokens=[held[saga] for saga in ids], owner=owner, lease=lease
            )
        now = self._database.sync_clock(rows[0].now) if rows else self.now()
        return Committed({row.id: row.inbox_sent for row in rows}, now)

    async def release(self, shard: int, held: Mapping[UUID, UUID], *, pause: timedelta = NO_PAUSE) -> None:
        """Give back claimed sagas as they are."""
        ids = sorted(held)
        async with self._database.control() as connection:
            await self._database.queries.release_sagas(
                connection, shard=shard, ids=ids, tokens=[held[saga] for saga in ids], pause=pause
            )

    async def park_row(self, saga_id: UUID, token: UUID, why: str, reason: ParkReason) -> None:
        """Take a claimed saga whose state cannot be used out of work."""
        async with self._database.work() as connection:
            await self._database.queries.park_saga_row(
                connection,
                shard=self._shard(saga_id),
                id=saga_id,
                token=token,
                status=SET_ASIDE.status,
                waits=waits_column(SET_ASIDE),
                why=holdable(connection, why),
                parked=reason,
                lock_timeout=LOCK_TIMEOUT,
            )

    async def end_row(self, saga_id: UUID, rev: int, why: str) -> bool:
        """End a saga, FAILED, whose state cannot be used."""

        async def ended() -> int:
            async with self._database.work() as connection:
                return await self._database.queries.end_saga_row(
                    connection,
                    shard=self._shard(saga_id),
                    id=saga_id,
                    rev=rev,
                    status=ENDED_UNREAD.status,
                    waits=waits_column(ENDED_UNREAD),
                    why=holdable(connection, why),
                    lock_timeout=LOCK_TIMEOUT,
                )

        return await self._database.persist(ended) > 0

    async def acknowledge(self, saga_id: UUID, rev: int, detail: str) -> bool:
        """Say that a person has looked at a saga that FAILED."""

        async def acknowledged() -> int:
            async with self._database.work() as connection:
                return await self._database.queries.acknowledge_saga(
                    connection,
                    shard=self._shard(saga_id),
                    id=saga_id,
                    rev=rev,
                    record_id=new_uuid(),
                    kind=ACKNOWLEDGED,
                    detail=holdable(connection, detail),
                    lock_timeout=LOCK_TIMEOUT,
                )

        return await self._database.persist(acknowledged) > 0

    async def due_shards(
        self, definitions: Sequence[tuple[str, int]], *, since: Moment | None = None
    ) -> dict[int, Moment]:
        """The shards in which something is due, and since when; takes no lock."""
        async with self._database.control() as connection:
            rows = await self._database.queries.find_due_shards(
                connection,
                shards=list(range(self._shards)),
                names=[name for name, _ in definitions],
                versions=[version for _, version in definitions],
                formats=list(READABLE),
                since=None if since is None else time_of(since),
            )
        return {row.shard: moment_of(row.due_at) for row in rows}

    # Reading.

    async def read(self, saga_id: UUID, *, connection: CallerConnection | None = None) -> SagaRecord | None:
        """The saga's row; takes no lock."""
        async with self._database.on(connection) as chosen:
            row = await self._database.queries.read_saga(chosen, shard=self._shard(saga_id), id=saga_id)
        if row is None:
            return None
        return SagaRecord(
            id=row.id,
            name=row.name,
            version=row.version,
            aggregation_id=row.aggregation_id,
            trace_id=row.trace_id,
            request=row.request,
            plan=PlanId(row.plan),
            status=SagaStatus(row.status),
            waits=reasons_in(row.waits),
            wakes_on_message=not row.waits & NOT_BY_MESSAGE,
            state=row.state,
            rev=row.rev,
            token=row.token,
            owner=row.owner,
            due_at=row.due_at,
            inbox_sent=row.inbox_sent,
            retry_counter=row.retry_counter,
            last_error=row.last_error,
            parked=row.parked,
            problem_step=row.problem_step,
            acknowledged=row.acknowledged,
            created_at=row.created_at,
            updated_at=row.updated_at,
            ended_at=row.ended_at,
            leased=row.leased,
            now=self._database.sync_clock(row.now) if connection is None else self.now(),
        )

    async def active_tokens(self, shard: int, saga_ids: Sequence[UUID]) -> dict[UUID, ActiveToken]:
        """Those of these sagas that are there and have not ended; takes no lock."""
        async with self._database.work() as connection:
            rows = await self._database.queries.read_active_tokens(connection, shard=shard, ids=saga_ids)
        return {row.id: ActiveToken(row.token, row.parked) for row in rows}

    async def journal(
        self, saga_id: UUID, *, after: int = 0, last: int = ALL_ENTRIES, most: int = ALL_ENTRIES
    ) -> list[JournalRecord]:
        """The saga's journal after the entry `after`, up to and with the entry `last`, in order, `most` of it."""
        async with self._database.work() as connection:
            rows = await self._database.queries.read_journal(
                connection, shard=self._shard(saga_id), saga_id=saga_id, after=after, last=last, most=most
            )
        return [JournalRecord(row.seq, row.event, row.writer, row.process, row.input, row.payload) for row in rows]

    async def results(
        self, shard: int, wanted: Sequence[tuple[UUID, int]], *, connection: CallerConnection | None = None
    ) -> dict[tuple[UUID, int], Recorded]:
        """The payloads of exactly these journal entries, by primary key."""
        async with self._database.on(connection) as chosen:
            rows = await self._database.queries.read_results(
                chosen, shard=shard, saga_ids=[saga for saga, _ in wanted], seqs=[seq for _, seq in wanted]
            )
        return {(row.saga_id, row.seq): Recorded(row.input, row.payload) for row in rows}

    async def standing(self, saga_id: UUID, seq: int) -> Standing | None:
        """How the saga stands, and who wrote its journal entry `seq`, as of one snapshot."""
        async with self._database.work() as connection:
            row = await self._database.queries.read_standing(
                connection, shard=self._shard(saga_id), id=saga_id, seq=seq
            )
        if row is None:
            return None
        return Standing(row.rev, row.token, row.inbox_sent, row.writer, self._database.sync_clock(row.now))

    async def writers(self, shard: int, wanted: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], UUID]:
        """Who wrote each of these journal entries."""
        async with self._database.work() as connection:
            rows = await self._database.queries.read_writers(
                connection, shard=shard, saga_ids=[saga for saga, _ in wanted], seqs=[seq for _, seq in wanted]
            )
        return {(row.saga_id, row.seq): row.writer for row in rows}

    async def active(
        self, shard: int, name: str, aggregation_id: str, *, connection: CallerConnection | None = None
    ) -> UUID | None:
        """The active saga of that name that holds the business key."""
        async with self._database.on(connection) as chosen:
            return await self._database.queries.read_active(
                chosen, shard=shard, name=name, aggregation_id=aggregation_id
            )

    # Messages and rejections.

    async def send(self, saga_id: UUID, message: InboxMessage) -> MessageStatus:
        """Leave a message for the saga's owner, present or next."""
        sent = await self._database.persist(lambda: self._send(saga_id, message))
        if sent.stored:
            return MessageStatus.STORED
        if sent.known or sent.told:  # or another sender has sent it at the same moment
            return MessageStatus.DUPLICATE
        has_no_room = isinstance(sent, EventSentRow) and sent.is_full
        return MessageStatus.FULL if has_no_room else MessageStatus.NO_ACTIVE_SAGA

    async def _send(self, saga_id: UUID, message: InboxMessage) -> EventSentRow | VerbSentRow:
        shard, queries = self._shard(saga_id), self._database.queries
        async with self._database.work() as connection:
            if message.is_verb:
                return await queries.send_verb(
                    connection,
                    shard=shard,
                    saga_id=saga_id,
                    id=message.id,
                    kind=message.kind,
                    body=message.body,
                    lock_timeout=LOCK_TIMEOUT,
                )
            return await queries.send_event(
                connection,
                shard=shard,
                saga_id=saga_id,
                id=message.id,
                body=message.body,
                most=MOST_UNREAD,
                lock_timeout=LOCK_TIMEOUT,
            )

    async def send_many(
        self, shard: int, events: Sequence[EventToSend], *, owner: UUID, lease: timedelta
    ) -> dict[UUID, Sent]:
        """Leave events for many sagas, at most one a saga, each judged by itself."""
        sent = await send_events_of(self._database, shard, events, owner=owner, lease=lease)
        return {event.saga_id: sent.get(event.saga_id, NO_SAGA) for event in events}

    async def fates(self, shard: int, wanted: Sequence[tuple[UUID, UUID]]) -> list[Fate | None]:
        """The fates of events, each by its saga and its id."""
        return await fates_of(self._database, shard, wanted)

    async def rouse(self, saga_id: UUID) -> None:
        """Have the saga's inbox read, though no message was stored."""
        with suppress(RowLockedError):
            async with self._database.work() as connection:
                await self._database.queries.rouse_saga(
                    connection, shard=self._shard(saga_id), saga_id=saga_id, lock_timeout=LOCK_TIMEOUT
                )

    async def messages(self, saga_id: UUID) -> list[InboxMessage]:
        """The messages that no owner has answered, oldest first; `MOST_READ` at most."""
        return [unread.message for unread in await self.unread(saga_id, most=MOST_READ)]

    async def unread(self, saga_id: UUID, *, most: int) -> list[UnreadRecord]:
        """The same with the times when they were sent; `most` of them at most."""
        read: list[UnreadRecord] = []
        after = _BEFORE_ALL
        while True:
            async with self._database.work() as connection:
                rows = await self._database.queries.read_messages(
                    connection,
                    shard=self._shard(saga_id),
                    saga_id=saga_id,
                    after_sent_at=after[0],
                    after_id=after[1],
                    most=most - len(read),
                    bytes=ANSWER_BYTES,
                )
            read += [
                UnreadRecord(InboxMessage(row.id, row.kind, row.body), row.sent_at, row.inbox_sent) for row in rows
            ]
            if len(read) >= most or not is_full(row.body for row in rows):
                break
            after = rows[-1].sent_at, rows[-1].id
        verbs = {unread.message.id for unread in read if unread.message.is_verb}
        # No event goes by the id of a verb: its answer would be taken for the verb's.
        return [unread for unread in read if unread.message.is_verb or unread.message.id not in verbs]

    async def answer(self, saga_id: UUID, message_id: UUID, answer: str) -> None:
        """Answer a message that changed nothing."""

        async def answered() -> None:
            async with self._database.work() as connection:
                await self._database.queries.answer_message(
                    connection,
                    shard=self._shard(saga_id),
                    saga_id=saga_id,
                    id=message_id,
                    answer=answer,
                    lock_timeout=LOCK_TIMEOUT,
                )

        await self._database.persist(answered)

    async def read_answer(self, saga_id: UUID, message_id: UUID) -> str | None:
        """The answer to an event; None while no owner has read it."""
        async with self._database.work() as connection:
            row = await self._database.queries.read_event_answer(
                connection, shard=self._shard(saga_id), saga_id=saga_id, id=message_id
            )
        return None if row is None else row.answer

    async def verb_answer(self, saga_id: UUID, message_id: UUID) -> VerbAnswer | None:
        """The answer to an operator's verb, and whether the saga has an owner that may answer; None if there is no such verb."""
        async with self._database.work() as connection:
            row = await self._database.queries.read_verb_answer(
                connection, shard=self._shard(saga_id), saga_id=saga_id, id=message_id
            )
        return None if row is None else VerbAnswer(row.answer, row.has_ended, row.is_owned)

    async def record_rejection(self, saga_id: UUID, kind: str, detail: str) -> None:
        """Remember something beside the journal."""
        async with self._database.work() as connection:
            await self._database.queries.insert_rejection(
                connection,
                shard=self._shard(saga_id),
                saga_id=saga_id,
                id=new_uuid(),
                kind=kind,
                detail=holdable(connection, detail),
            )

    async def rejections(self, saga_id: UUID) -> list[RejectionRecord]:
        """The records beside the journal, in order."""
        async with self._database.work() as connection:
            rows = await self._database.queries.read_rejections(connection, shard=self._shard(saga_id), saga_id=saga_id)
        return [RejectionRecord(row.kind, row.detail, row.recorded_at) for row in rows]

    # Plans, health, hints.

    async def keep_plan(self, plan: Plan) -> None:
        """Store the plan, unless it is there."""
        shard, data = shard_of_plan(plan.id, self._shards), encode_plan(plan.data)

        async def kept() -> datetime:
            async with self._database.work() as connection:
                return await self._database.queries.insert_plan(
                    connection, shard=shard, id=plan.id, data=data, lock_timeout=LOCK_TIMEOUT
                )

        self._database.sync_clock(await self._database.persist(kept))

    async def hold_plan(self, plan: Plan, connection: CallerConnection) -> bool:
        """Store the plan in the connection's transaction, unless it can be seen there."""
        async with self._database.within(connection):
            row = await self._database.queries.hold_plan(
                connection,
                shard=shard_of_plan(plan.id, self._shards),
                id=plan.id,
                copy=new_uuid(),
                data=encode_plan(plan.data),
            )
        self._database.sync_clock(row.now)
        return row.known

    async def plan(self, plan_id: PlanId, *, connection: CallerConnection | None = None) -> Plan | None:
        """The stored plan of that fingerprint."""
        try:
            shard = shard_of_plan(plan_id, self._shards)
        except ValueError:  # some hand has written it into a row
            raise StoredDataError("plan's id", "it is no fingerprint") from None
        async with self._database.on(connection) as chosen:
            data = await self._database.queries.read_plan(chosen, shard=shard, id=plan_id)
        return None if data is None else plan_from(data)

    async def due_work(self, definitions: Sequence[tuple[str, int]], *, past_waits: bool = True) -> DueWork:
        """The time, and when the first of these sagas is or was due."""
        async with self._database.control() as connection:
            row = await self._database.queries.read_health(
                connection,
                shards=list(range(self._shards)),
                names=[name for name, _ in definitions],
                versions=[version for _, version in definitions],
                past_waits=past_waits,
            )
            if row.is_read_only and not self._database.read_only:
                raise read_only_error(is_replica=False)  # in here, so that the connection is not used again
        return DueWork(moment_of(row.now), row.next_due, row.newest_era)

    async def lacking(self) -> frozenset[Right]:
        """The rights that this process's role has not, of all that any kind of process needs."""
        async with self._database.control() as connection:
            return await lacking_of(connection, schema=self._database.schema)

    async def hint(self, hints: Sequence[Hint], *, connection: CallerConnection | None = None) -> None:
        """Notify listening processes."""
        await self._database.notify(*map(str, hints), connection=connection)

    @property
    def deaf(self) -> str | None:
        """Why this process hears of nothing that others tell it, if that is so."""
        return None if self._database.listener is None else self._database.listener.deaf

    def _shard(self, saga_id: UUID) -> int:
        return shard_of(saga_id, self._shards)


def _milliseconds(lock_timeout: timedelta) -> int:
    return min(max(1, lock_timeout // _MILLISECOND), _MOST_MILLISECONDS)


def _due_of(new: NewSaga) -> datetime | None:
    """When a saga without an owner is due."""
    due = new.projection.due
    return None if due is None or new.owner is not None else time_of(due)
