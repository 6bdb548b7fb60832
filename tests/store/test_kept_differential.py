"""Whatever comes for a business key, in whatever order: memory and PostgreSQL say the same of it, statement by statement."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

import attrs
import pytest

from saga_fn import MemoryStore
from saga_fn.core.events import AbortRequested
from saga_fn.core.ids import Moment
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.protocol import Store
from saga_fn.store.records import InboxMessage
from tests.store.given import Hand, start

SEEDS: Final = 8
STEPS: Final = 80
KEYS: Final = ("k1", "k2")
EVENTS: Final = 8
OFTEN: Final = ("keep", "keep", "keep", "send", "send", "hand over", "hand over", "recipient", "recipient")
SELDOM: Final = ("start", "start", "end", "discard", "read", "undelivered", "messages")

pytestmark = pytest.mark.raw_rows


@pytest.fixture
async def postgres(any_dsn: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(any_dsn)
    await store.open(migrate=False, listen=None)
    yield store
    await store.close()


@attrs.define
class Player:
    """Does the same things to one store; ids of sagas, which each store makes up, are told as numbers."""

    store: Store
    prefix: str
    active: dict[str, Hand] = attrs.field(factory=dict)
    numbers: dict[UUID, int] = attrs.field(factory=dict)

    async def do(self, verb: str, bare: str, number: int, flag: bool) -> object:
        name = f"{self.prefix} {bare}"
        key, kept, event = ("shop", name), self.store.kept_events, UUID(int=number)
        hand = self.active.get(name)
        match verb:
            case "start" if hand is None:
                hand = self.active[name] = await start(self.store, aggregation_id=name)
                self.numbers[hand.id] = len(self.numbers)
            case "end" if hand is not None:
                row = await self.store.read(hand.id)
                assert row is not None
                hand.inbox_seen = row.inbox_sent
                await self.store.commit(0, [hand.write(AbortRequested(self.store.now(), Moment(0)))])
                del self.active[name]
            case "keep":
                message = InboxMessage(event, "event", b"%d" % number)
                return await kept.keep(0, key, message, f"event {number % 2}", expires=None, for_next=flag)
            case "send" if hand is not None:
                return await self.store.send(hand.id, InboxMessage(event, "event", b"%d" % number))
            case "hand over":
                taken = await kept.hand_over(0, key)
                return None if taken is None else self.numbers[taken]
            case "recipient":
                recipient_of = await kept.recipient_of(0, key, event)
                return self.numbers[recipient_of] if isinstance(recipient_of, UUID) else recipient_of
            case "discard":
                return await kept.discard(0, key, "event 0" if flag else None)
            case "read":
                return [(each.id, each.event) for each in await kept.read(0, *key)]
            case "undelivered":
                return [each for each in await kept.undelivered(0) if each[1].startswith(self.prefix)]
            case "messages" if hand is not None:
                return sorted(message.id for message in await self.store.messages(hand.id))
            case _:
                pass
        return None


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_both_stores_say_the_same_of_events_for_business_keys(postgres: PostgresStore, seed: int) -> None:
    draw = random.Random(seed)
    players = [Player(store, f"seed {seed}") for store in (MemoryStore(), postgres)]
    done: list[object] = []
    for _ in range(STEPS):
        verb = draw.choice(OFTEN if draw.random() < 0.7 else SELDOM)
        asked = (verb, draw.choice(KEYS), draw.randrange(1, EVENTS), draw.random() < 0.4)
        ours, theirs = [await player.do(*asked) for player in players]
        done.append((asked, ours))
        assert ours == theirs, done
