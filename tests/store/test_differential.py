"""Whatever is asked of them, in whatever order: memory and PostgreSQL give the same answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saga_fn import MemoryStore
from saga_fn.core.events import AbortRequested
from saga_fn.core.ids import Moment
from saga_fn.core.projection import WaitReason
from saga_fn.core.state import Running
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.protocol import Store
from saga_fn.store.records import InboxMessage
from tests.store.given import LONG, OTHER, OVER, OWNER, A, B, Hand, hand_of, hand_of_claim, new_saga

SAGAS = 3
VERBS = (
    "start",
    "start owned",
    "start for a moment",
    "step",
    "fail",
    "abort",
    "claim",
    "claim due",
    "renew",
    "release",
)

pytestmark = pytest.mark.raw_rows
OPERATION = st.tuples(st.sampled_from((*VERBS, "send", "stale")), st.integers(0, SAGAS - 1))


@pytest.fixture
async def postgres(any_dsn: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(any_dsn)
    await store.open(migrate=False, listen=None)
    yield store
    await store.close()


@attrs.define
class Player:
    """Does the same things to one store, and remembers what it knows of the sagas there."""

    store: Store
    name: str
    hands: dict[int, Hand] = attrs.field(factory=dict)

    async def do(self, verb: str, number: int) -> object:
        """The store's answer, without what each store makes up for itself."""
        if verb.startswith("start"):
            return await self._start(verb, number)
        if verb == "claim due":
            claims = await self.store.claim_due(0, [(self.name, 1)], owner=OTHER, limit=9, lease=LONG)
            return sorted((self._number(claim.id), claim.takeover, claim.inbox_sent, claim.rev) for claim in claims)
        hand = self.hands.get(number)
        if hand is None:
            return "nobody"
        match verb:
            case "claim":
                claim = await self.store.claim(hand.id, owner=OTHER, lease=OVER)
                if claim is not None:
                    self.hands[number] = hand_of_claim(claim, OTHER)
                return None if claim is None else (claim.takeover, claim.inbox_sent, claim.rev)
            case "renew":
                token = hand.token or uuid4()
                renewed = await self.store.renew(0, {hand.id: token}, owner=hand.owner or OWNER, lease=LONG)
                return renewed.inbox_sent.get(hand.id)
            case "release":
                await self.store.release(0, {hand.id: hand.token or uuid4()})
                return "released, or not"
            case "send":
                return await self.store.send(hand.id, InboxMessage(UUID(int=number), "event", b"{}"))
            case _:
                return await self._commit(verb, number, hand)

    async def _start(self, verb: str, number: int) -> object:
        new = new_saga(self.store, owned=verb != "start", aggregation_id=f"key {number}", name=self.name)
        inserted = await self.store.insert(0, [new], lease=OVER if verb.endswith("moment") else LONG)
        if new.id in inserted.ids:
            self.hands[number] = hand_of(new)
        return new.id in inserted.ids

    async def _commit(self, verb: str, number: int, hand: Hand) -> object:
        running = [step.step for step in hand.state.steps if isinstance(step, Running)]
        if verb == "abort" and not hand.state.ended:
            write = hand.write(AbortRequested(hand.state.at, Moment(0)))
        elif verb in ("step", "stale") and running:
            write = hand.succeeded(B if running == [B] else A)
        elif verb == "fail" and running == [A]:
            write = hand.failed()
        else:
            return "nothing to write"
        if verb == "stale":
            write = msgspec.structs.replace(write, token=uuid4())
        committed = await self.store.commit(0, [write])
        if hand.id in committed.inbox_sent:
            self.hands[number] = hand.after(write)
        return committed.inbox_sent.get(hand.id)

    async def look(self) -> list[object]:
        """What can be seen of every saga."""
        seen: list[object] = []
        for number, hand in sorted(self.hands.items()):
            row = await self.store.read(hand.id)
            assert row is not None
            holder = await self.store.active(0, self.name, f"key {number}")
            seen.append(
                (
                    number,
                    (row.status, row.waits, row.rev, row.inbox_sent, row.retry_counter, row.leased, row.owner),
                    (row.due_at is None, row.ended_at is None, row.token == hand.token, row.token is None),
                    [(entry.seq, entry.input, entry.payload) for entry in await self.store.journal(hand.id)],
                    [message.body for message in await self.store.messages(hand.id)],
                    (await self.store.active_tokens(0, [hand.id]))
                    == {hand.id: (row.token, WaitReason.PARKED in row.waits)},
                    holder == hand.id,
                )
            )
        return [*seen, sorted(await self.store.due_shards([(self.name, 1)]))]

    def _number(self, saga_id: UUID) -> int:
        return next(number for number, hand in self.hands.items() if hand.id == saga_id)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(OPERATION, max_size=15))
async def test_memory_and_postgres_agree(postgres: PostgresStore, operations: list[tuple[str, int]]) -> None:
    name = f"saga {uuid4()}"
    players = [Player(MemoryStore(), name), Player(postgres, name)]
    for verb, number in operations:
        in_memory, in_postgres = [await player.do(verb, number) for player in players]
        assert in_memory == in_postgres, (verb, number)
        in_memory, in_postgres = [await player.look() for player in players]
        assert in_memory == in_postgres, (verb, number)
