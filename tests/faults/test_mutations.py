"""Bytes of rows, messages and payloads, changed at random: nothing but their own saga is any the worse for it.

`SAGA_FN_MUTATIONS=100000` tries so many of them, a tenth on PostgreSQL and the others in memory; `SAGA_FN_SEED` begins anywhere.
A failure names its seed: one mutation is one number.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

import attrs
import msgspec
import pytest

from saga_fn import (
    Event,
    FixedRetry,
    MemoryStore,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaError,
    SagaHandle,
    SagaOrchestrator,
    StoreUnavailableError,
    step,
)
from saga_fn.core.state import SagaState
from saga_fn.store.records import InboxMessage, decode_state
from tests.support.poison import Poison
from tests.support.until import SOON, suspended

NUMBER = int(os.environ.get("SAGA_FN_MUTATIONS", "2000"))
SEED = int(os.environ.get("SAGA_FN_SEED", "1"))
EACH = 50
"""Sagas of one round: each is damaged by a mutation of its own."""
AT_ONCE = 10
"""So many of them are looked at side by side."""
TRIES = 5
"""So often a call is made again where the database was too slow."""

pytestmark = [pytest.mark.raw_rows, pytest.mark.timeout(max(300, NUMBER // 10))]

Stores = tuple[Callable[[], MemoryStore | str], range]
"""Makes the store of a round, and says which mutations there are."""


class Thing(msgspec.Struct, frozen=True):
    name: str
    pieces: list[str] = []


approval = Event("approval", Thing)


async def make(inp: Thing) -> Thing:
    return inp


async def unmake(inp: Thing, out: Thing | None) -> None:
    return None


async def fail(inp: Thing) -> Thing:
    raise ConnectionRefusedError


def definition() -> SagaDefinition[Thing, Thing]:
    """A little of everything: items, a wait, a retry, a compensation."""
    builder = SagaBuilder(Thing)
    made = builder.add_step(step(make, compensate=unmake, step_id="made"), depends_on=builder.initial)
    answer = builder.add_event(approval, timeout=timedelta(hours=1), step_id="answer")
    each = step(make, compensate=unmake, step_id="each").each(concurrency=2)
    builder.add_step(each, depends_on=made, input_map=lambda thing: [Thing(piece) for piece in thing.pieces])
    often = step(fail, step_id="often", retry_policy=FixedRetry(max_attempts=3, delay=timedelta(hours=1)))
    builder.add_step(often, depends_on=answer)
    return builder.build(output=answer)


DEFINITION = definition()


def mutated(data: bytes, dice: random.Random) -> bytes:
    """The bytes with something done to them: cut, flipped, doubled, or a number or a text in them exchanged."""
    kind = dice.randrange(6)
    if not data or kind == 0:
        return dice.randbytes(dice.randrange(40))
    place = dice.randrange(len(data))
    if kind == 1:
        return data[:place]
    if kind == 2:
        return data[:place] + bytes([data[place] ^ (1 << dice.randrange(8))]) + data[place + 1 :]
    if kind == 3:
        return data[:place] + data[place:] * dice.randrange(2, 4)
    for decode, encode in CODECS:
        try:
            whole: object = decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            continue
        return encode(exchanged(whole, dice))
    return data[::-1]


CODECS: list[tuple[Callable[[bytes], object], Callable[[object], bytes]]] = [
    (msgspec.msgpack.decode, msgspec.msgpack.encode),
    (msgspec.json.decode, msgspec.json.encode),
]
STRANGE: list[object] = [
    -1, 0, 1, 250, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 1e300, None, True, "", "x" * 300, "\x00", "made[7]", [], {}, [[]], b"\xff",
]  # fmt: skip


def exchanged(whole: object, dice: random.Random) -> object:
    """The value with one of its parts exchanged for something strange."""
    if isinstance(whole, list) and whole and dice.random() < 0.9:
        parts: list[object] = [*whole]
        place = dice.randrange(len(parts))
        parts[place] = exchanged(parts[place], dice)
        return parts
    if isinstance(whole, dict) and whole and dice.random() < 0.9:
        pairs: dict[object, object] = {**whole}
        name = dice.choice(list(pairs))
        pairs[name] = exchanged(pairs[name], dice)
        return pairs
    return dice.choice(STRANGE)


@attrs.define
class Found:
    """What was wrong, each with the number that makes it again."""

    lines: list[str] = attrs.field(factory=list)


async def damage(starter: SagaOrchestrator, saga_id: UUID, number: int) -> None:
    """One mutation of the saga's state, of its journal, or of a message to it."""
    dice, store, poison = random.Random(number), starter.engine.store, Poison(starter)
    row = await store.read(saga_id)
    assert row is not None
    kind = dice.choice(["state", "state", "state", "event", "input", "payload", "message", "kept"])
    journal = await store.journal(saga_id)
    match kind:
        case "state":
            await poison.state(saga_id, mutated(row.state, dice))
        case "event" | "input" | "payload":
            entry = dice.choice(journal)
            await poison.entry(saga_id, entry.seq, **{kind: mutated(getattr(entry, kind) or b"{}", dice)})
        case _:
            body = mutated(b'{"payload":"eyJuYW1lIjoieCJ9","name":"approval"}', dice)
            message = InboxMessage(UUID(int=number), dice.choice(["event", "skip_step", "retry_step", "x"]), body)
            if kind == "message":
                await store.send(saga_id, message)
            else:
                key = ("thing", str(number))
                await store.kept_events.keep(0, key, message, "approval", expires=None, for_next=False)


async def insisted(call: Callable[[], Awaitable[object]]) -> None:
    """Call it, and again where a busy machine was too slow for it."""
    for number in range(TRIES):
        try:
            async with asyncio.timeout(SOON):
                await call()
        except StoreUnavailableError:
            if number == TRIES - 1:
                raise
        else:
            return


async def looked_at(orchestrator: SagaOrchestrator, saga_id: UUID, number: int, found: Found) -> None:
    """Every way to look at the saga, to ask something of it, and in the end to end it."""
    admin = SagaAdmin(orchestrator)
    handle = orchestrator.register("thing", DEFINITION)

    async def result() -> object:
        return await handle.attach(saga_id).outcome(0.01)

    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: admin.get_saga(saga_id),
        lambda: orchestrator.get_snapshot(saga_id),
        lambda: admin.verify(saga_id),
        result,
        lambda: orchestrator.to(saga_id, approval).send(Thing("late")),
        lambda: admin.compensate_step(saga_id),
        lambda: admin.abort(saga_id),
        admin.kept_events,
        result,
        lambda: admin.get_saga(saga_id),
    ]
    for place, call in enumerate(calls):
        try:
            await insisted(call)
        except SagaError:
            pass
        except Exception as error:  # noqa: BLE001 - what no caller should have to expect
            found.lines.append(f"mutation {number}: call {place} raised {error!r}")
    row = await orchestrator.engine.store.read(saga_id)
    if row is None or row.ended_at is None:
        found.lines.append(f"mutation {number}: no verb ends it")


async def round_of(store: MemoryStore | str, first: int, number: int, found: Found) -> None:
    async with SagaOrchestrator(store, concurrency=0) as starter:
        handle = starter.register("thing", DEFINITION)
        runs = [
            await handle.start(Thing("a", ["x", "y"]), aggregation_id=str(first + place)) for place in range(number)
        ]
        dice = random.Random(first)
        for run in runs:  # some stand before their first step, some wait, some have failed once
            stage = dice.randrange(3)
            if stage:
                await insisted(partial(starter.resume, run.id))
            if stage == 2:
                await starter.to(run.id, approval).send(Thing("b"))
                await insisted(partial(starter.resume, run.id))
        for place, run in enumerate(runs):
            await damage(starter, run.id, first + place)
        async with SagaOrchestrator(store, concurrency=4, poll_interval=timedelta(milliseconds=20)) as worker:
            worker.register("thing", DEFINITION)
            await goes_on(starter, handle)
            for run in runs:
                await insisted(partial(worker.resume, run.id))
            await asyncio.sleep(0)
            await goes_on(starter, handle)
        for place in range(0, number, AT_ONCE):
            some = list(enumerate(runs))[place : place + AT_ONCE]
            await asyncio.gather(*(looked_at(starter, run.id, first + at, found) for at, run in some))


async def goes_on(starter: SagaOrchestrator, handle: SagaHandle[Thing, Thing]) -> None:
    """Start another saga, which the worker brings to where it waits, and then to its retry: the worker lives."""
    good = await handle.start(Thing("good"))
    await suspended(good)
    assert await starter.to(good.id, approval).send(Thing("b")) is not None
    assert await SagaAdmin(starter).verify(good.id) == []


@pytest.fixture(params=["memory", "postgresql"])
def stores(request: pytest.FixtureRequest) -> Stores:
    """Memory has a store for each round. PostgreSQL has one for all of its rounds, and takes ten times as long."""
    end, last = SEED + NUMBER, SEED + NUMBER - NUMBER // 10
    if request.param == "memory":
        return MemoryStore, range(SEED, last)
    dsn: str = request.getfixturevalue("dsn")
    return lambda: dsn, range(last, end)


async def test_nothing_but_its_own_saga_is_the_worse_for_a_mutation(
    stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "saga_fn")
    store, numbers = stores
    found = Found()
    for place in range(0, len(numbers), EACH):
        some = numbers[place : place + EACH]
        await round_of(store(), some[0], len(some), found)
    assert not found.lines, "\n".join(found.lines)


async def test_it_is_told_that_a_look_raises_what_no_caller_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that finds nothing has to show that it could."""

    async def broken(self: SagaAdmin, saga_id: UUID) -> None:
        raise KeyError(saga_id)

    monkeypatch.setattr(SagaAdmin, "verify", broken)
    monkeypatch.setattr(SagaAdmin, "abort", broken)
    found = Found()
    async with SagaOrchestrator(MemoryStore(), concurrency=0) as starter:
        run = await starter.register("thing", DEFINITION).start(Thing("a"))
        await starter.resume(run.id)
        await starter.to(run.id, approval).send(Thing("b"))
        await looked_at(starter, run.id, 7, found)
    assert [line.partition("raised KeyError")[0] for line in found.lines] == [
        "mutation 7: call 2 ",
        "mutation 7: call 6 ",
        "mutation 7: no verb ends it",
    ]


def test_the_mutations_reach_states_that_are_read_and_states_that_are_not() -> None:
    """Else they would try nothing: some are refused where they are read, some are read."""
    state = msgspec.msgpack.encode(SagaState(plan=DEFINITION.plan.id, rev=1, at=5))  # type: ignore[arg-type]
    read = 0
    for number in range(300):
        try:
            decode_state(mutated(state, random.Random(number)), 1)
        except SagaError:
            continue
        read += 1
    assert 10 < read < 290
