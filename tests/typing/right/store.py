"""A store of a user's, written with the package alone: it passes on what it is asked, and counts that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from saga_fn import MemoryStore, SagaOrchestrator
from saga_fn.core.ids import Moment, PlanId
from saga_fn.core.plan import Plan
from saga_fn.core.state import ParkReason
from saga_fn.store import (
    Deletion,
    KeptEvents,
    Lists,
    Operations,
    OutgoingMessages,
    Pauses,
    Processes,
    SentEvents,
    Store,
    Transactions,
)
from saga_fn.store.connection import CallerConnection
from saga_fn.store.protocol import KEY_WAIT
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


class CountingStore:
    """Another store, whose methods it counts."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.calls: Counter[str] = Counter()

    @property
    def shards(self) -> int:
        return self._inner.shards

    @property
    def kept_events(self) -> KeptEvents:
        return self._inner.kept_events

    @property
    def sent_events(self) -> SentEvents:
        return self._inner.sent_events

    @property
    def processes(self) -> Processes:
        return self._inner.processes

    @property
    def operations(self) -> Operations:
        return self._inner.operations

    @property
    def pauses(self) -> Pauses:
        return self._inner.pauses

    @property
    def lists(self) -> Lists:
        return self._inner.lists

    @property
    def deletion(self) -> Deletion:
        return self._inner.deletion

    @property
    def outgoing(self) -> OutgoingMessages:
        return self._inner.outgoing

    @property
    def transactions(self) -> Transactions | None:
        return self._inner.transactions

    @property
    def attendants(self) -> set[object] | None:
        return self._inner.attendants

    def jump_to(self, moment: Moment, /) -> bool:
        self.calls["jump_to"] += 1
        return self._inner.jump_to(moment)

    async def open(self, *, migrate: bool, listen: Callable[[Hint], None] | None) -> None:
        self.calls["open"] += 1
        await self._inner.open(migrate=migrate, listen=listen)

    async def close(self) -> None:
        self.calls["close"] += 1
        await self._inner.close()

    def now(self) -> Moment:
        return self._inner.now()

    async def insert(
        self,
        shard: int,
        sagas: Sequence[NewSaga],
        *,
        lease: timedelta,
        lock_timeout: timedelta = KEY_WAIT,
        connection: CallerConnection | None = None,
    ) -> Inserted:
        self.calls["insert"] += 1
        return await self._inner.insert(shard, sagas, lease=lease, lock_timeout=lock_timeout, connection=connection)

    async def commit(self, shard: int, writes: Sequence[SagaWrite], *, skip_locked: bool = False) -> Committed:
        self.calls["commit"] += 1
        return await self._inner.commit(shard, writes, skip_locked=skip_locked)

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
        self.calls["claim_due"] += 1
        return await self._inner.claim_due(
            shard,
            definitions,
            owner=owner,
            limit=limit,
            lease=lease,
            rooms=rooms,
            passed_over=passed_over,
            since=since,
        )

    async def due_ids(
        self, shard: int, definitions: Sequence[tuple[str, int]], *, limit: int, passed_over: Sequence[UUID] = ()
    ) -> list[UUID]:
        self.calls["due_ids"] += 1
        return await self._inner.due_ids(shard, definitions, limit=limit, passed_over=passed_over)

    async def claim(
        self, saga_id: UUID, *, owner: UUID, lease: timedelta, skip_locked: bool = False
    ) -> ClaimedSaga | None:
        self.calls["claim"] += 1
        return await self._inner.claim(saga_id, owner=owner, lease=lease, skip_locked=skip_locked)

    async def take(self, saga_id: UUID, *, token: UUID, rev: int, owner: UUID, lease: timedelta) -> TakenSaga | None:
        self.calls["take"] += 1
        return await self._inner.take(saga_id, token=token, rev=rev, owner=owner, lease=lease)

    async def renew(self, shard: int, held: Mapping[UUID, UUID], *, owner: UUID, lease: timedelta) -> Committed:
        self.calls["renew"] += 1
        return await self._inner.renew(shard, held, owner=owner, lease=lease)

    async def release(self, shard: int, held: Mapping[UUID, UUID], *, pause: timedelta = NO_PAUSE) -> None:
        self.calls["release"] += 1
        await self._inner.release(shard, held, pause=pause)

    async def park_row(self, saga_id: UUID, token: UUID, why: str, reason: ParkReason) -> None:
        self.calls["park_row"] += 1
        await self._inner.park_row(saga_id, token, why, reason)

    async def end_row(self, saga_id: UUID, rev: int, why: str) -> bool:
        self.calls["end_row"] += 1
        return await self._inner.end_row(saga_id, rev, why)

    async def acknowledge(self, saga_id: UUID, rev: int, detail: str) -> bool:
        self.calls["acknowledge"] += 1
        return await self._inner.acknowledge(saga_id, rev, detail)

    async def due_shards(
        self, definitions: Sequence[tuple[str, int]], *, since: Moment | None = None
    ) -> dict[int, Moment]:
        self.calls["due_shards"] += 1
        return await self._inner.due_shards(definitions, since=since)

    async def read(self, saga_id: UUID, *, connection: CallerConnection | None = None) -> SagaRecord | None:
        self.calls["read"] += 1
        return await self._inner.read(saga_id, connection=connection)

    async def active_tokens(self, shard: int, saga_ids: Sequence[UUID]) -> dict[UUID, ActiveToken]:
        self.calls["active_tokens"] += 1
        return await self._inner.active_tokens(shard, saga_ids)

    async def journal(
        self, saga_id: UUID, *, after: int = 0, last: int = ALL_ENTRIES, most: int = ALL_ENTRIES
    ) -> list[JournalRecord]:
        self.calls["journal"] += 1
        return await self._inner.journal(saga_id, after=after, last=last, most=most)

    async def results(
        self, shard: int, wanted: Sequence[tuple[UUID, int]], *, connection: CallerConnection | None = None
    ) -> dict[tuple[UUID, int], Recorded]:
        self.calls["results"] += 1
        return await self._inner.results(shard, wanted, connection=connection)

    async def standing(self, saga_id: UUID, seq: int) -> Standing | None:
        self.calls["standing"] += 1
        return await self._inner.standing(saga_id, seq)

    async def writers(self, shard: int, wanted: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], UUID]:
        self.calls["writers"] += 1
        return await self._inner.writers(shard, wanted)

    async def active(
        self, shard: int, name: str, aggregation_id: str, *, connection: CallerConnection | None = None
    ) -> UUID | None:
        self.calls["active"] += 1
        return await self._inner.active(shard, name, aggregation_id, connection=connection)

    async def send(self, saga_id: UUID, message: InboxMessage) -> MessageStatus:
        self.calls["send"] += 1
        return await self._inner.send(saga_id, message)

    async def send_many(
        self, shard: int, events: Sequence[EventToSend], *, owner: UUID, lease: timedelta
    ) -> Mapping[UUID, Sent]:
        self.calls["send_many"] += 1
        return await self._inner.send_many(shard, events, owner=owner, lease=lease)

    async def fates(self, shard: int, wanted: Sequence[tuple[UUID, UUID]]) -> Sequence[Fate | None]:
        self.calls["fates"] += 1
        return await self._inner.fates(shard, wanted)

    async def rouse(self, saga_id: UUID) -> None:
        self.calls["rouse"] += 1
        await self._inner.rouse(saga_id)

    async def messages(self, saga_id: UUID) -> list[InboxMessage]:
        self.calls["messages"] += 1
        return await self._inner.messages(saga_id)

    async def unread(self, saga_id: UUID, *, most: int) -> list[UnreadRecord]:
        self.calls["unread"] += 1
        return await self._inner.unread(saga_id, most=most)

    async def answer(self, saga_id: UUID, message_id: UUID, answer: str) -> None:
        self.calls["answer"] += 1
        await self._inner.answer(saga_id, message_id, answer)

    async def read_answer(self, saga_id: UUID, message_id: UUID) -> str | None:
        self.calls["read_answer"] += 1
        return await self._inner.read_answer(saga_id, message_id)

    async def verb_answer(self, saga_id: UUID, message_id: UUID) -> VerbAnswer | None:
        self.calls["verb_answer"] += 1
        return await self._inner.verb_answer(saga_id, message_id)

    async def record_rejection(self, saga_id: UUID, kind: str, detail: str) -> None:
        self.calls["record_rejection"] += 1
        await self._inner.record_rejection(saga_id, kind, detail)

    async def rejections(self, saga_id: UUID) -> list[RejectionRecord]:
        self.calls["rejections"] += 1
        return await self._inner.rejections(saga_id)

    async def keep_plan(self, plan: Plan) -> None:
        self.calls["keep_plan"] += 1
        await self._inner.keep_plan(plan)

    async def hold_plan(self, plan: Plan, connection: CallerConnection) -> bool:
        self.calls["hold_plan"] += 1
        return await self._inner.hold_plan(plan, connection)

    async def plan(self, plan_id: PlanId, *, connection: CallerConnection | None = None) -> Plan | None:
        self.calls["plan"] += 1
        return await self._inner.plan(plan_id, connection=connection)

    async def due_work(self, definitions: Sequence[tuple[str, int]], *, past_waits: bool = True) -> DueWork:
        self.calls["due_work"] += 1
        return await self._inner.due_work(definitions, past_waits=past_waits)

    async def lacking(self) -> frozenset[Right]:
        self.calls["lacking"] += 1
        return await self._inner.lacking()

    @property
    def deaf(self) -> str | None:
        return self._inner.deaf

    async def hint(self, hints: Sequence[Hint], *, connection: CallerConnection | None = None) -> None:
        self.calls["hint"] += 1
        await self._inner.hint(hints, connection=connection)


def on_a_store_of_ones_own() -> SagaOrchestrator:
    store: Store = CountingStore(MemoryStore())
    return SagaOrchestrator(store)
