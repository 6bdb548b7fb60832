"""A value that a saga hands on is proved once: its bytes are those of the output that it was, and so is its fingerprint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from saga_fn import (
    Compensated,
    Completed,
    Failed,
    FixedRetry,
    MemoryStore,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    TransactionalContext,
    step,
)
from saga_fn.codec import PayloadType
from saga_fn.core.ids import Digest
from saga_fn.engine.drive import execution_inputs, owned_saga
from saga_fn.engine.drive.earlier import digest_of
from tests.support.crash import born, dies
from tests.support.stores import Make
from tests.support.two_builds import NewStruct, OldStruct
from tests.support.until import SOON, until


class Order(msgspec.Struct, frozen=True):
    number: int


class Counted:
    """Counts the proofs and the fingerprints of this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proofs = self.digests = 0
        prove = PayloadType[Any].proved  # Any: payloads of all types

        def proved(kind: Any, value: object) -> tuple[bytes, Any]:  # Any: as above
            self.proofs += isinstance(value, Order)
            return prove(kind, value)

        def digest(data: bytes) -> Digest:
            self.digests += 1
            return digest_of(data)

        monkeypatch.setattr(PayloadType, "proved", proved)
        for module in (owned_saga, execution_inputs):
            monkeypatch.setattr(module, "digest_of", digest)


def chain(seen: list[Order], then: Callable[[Order], Order]) -> SagaDefinition[Order, Order]:
    """Three steps, each of which is given just what the one before it has returned."""

    async def work(order: Order) -> Order:
        seen.append(order)
        return then(order)

    builder = SagaBuilder(Order)
    ref = builder.initial
    for number in range(3):
        ref = builder.add_step(step(work, step_id=f"step_{number}"), depends_on=ref)
    return builder.build(output=ref)


@pytest.mark.parametrize(
    "adds, digests", [pytest.param(0, 1, id="equal values"), pytest.param(1, 3, id="other values")]
)
async def test_a_value_that_is_handed_on_is_proved_once(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch, adds: int, digests: int
) -> None:
    counted, seen, returned = Counted(monkeypatch), list[Order](), list[Order]()

    def then(order: Order) -> Order:
        returned.append(Order(order.number + adds))
        return returned[-1]

    async with SagaOrchestrator(memory) as orchestrator:
        handle = orchestrator.register("chain", chain(seen, then))
        assert await handle.run(Order(7), timeout=SOON) == Order(7 + 3 * adds)
    assert seen == [Order(7 + adds * number) for number in range(3)]
    assert not {id(order) for order in seen} & {id(order) for order in returned}, "it has come back from its bytes"
    assert counted.proofs == 4, "the initial data, and three outputs"
    assert counted.digests == digests


async def test_an_input_that_was_computed_of_older_data_is_the_same_when_it_is_handed_on(make: Make) -> None:
    """A build with an input map has encoded by its own types what an older build had written; the next build has no map."""
    given: list[object] = []
    hold = asyncio.Event()

    def definition(kind: Any, **options: Any) -> SagaDefinition[Any, str]:  # Any: the same type of two builds
        async def charge(inp: Any) -> str:
            given.append(inp)
            await hold.wait()
            return "charged"

        charge.__annotations__["inp"] = kind
        builder = SagaBuilder(kind)
        return builder.build(output=builder.add_step(step(charge), depends_on=builder.initial, **options))

    async with make(concurrency=0) as starter:
        run = await starter.register("s", definition(OldStruct)).start(OldStruct(id="x"))
    first = await born(make())

    def as_it_is(inp: NewStruct) -> NewStruct:
        return inp

    first.register("s", definition(NewStruct, input_map=as_it_is))
    await until(lambda: len(given) == 1)
    await dies(first)
    hold.set()
    async with make() as second:
        assert await second.register("s", definition(NewStruct)).attach(run.id).result(SOON) == "charged"
    assert given == [NewStruct(id="x"), NewStruct(id="x")]


class Cart(msgspec.Struct):
    """A value that a step may change in place."""

    total: int


@pytest.mark.parametrize("cut", ["by its error", "by its time limit"])
async def test_a_further_attempt_is_given_its_input_as_it_was(memory: MemoryStore, cut: str) -> None:
    """The one before it has changed that in place, as a step may."""
    charged: list[int] = []
    undone: list[int] = []

    async def charge(cart: Cart) -> str:
        cart.total += 5
        charged.append(cart.total)
        if len(charged) < 3:
            if cut == "by its error":
                raise OSError("again")
            await asyncio.sleep(SOON)
        return "charged"

    async def undo(cart: Cart, _: str) -> None:
        undone.append(cart.total)

    async def ship(_: Cart) -> str:
        raise ValueError("no")

    policy = FixedRetry(max_attempts=3)
    builder = SagaBuilder(Cart)
    charging = builder.add_step(
        step(charge, compensate=undo, on_unknown="repeat"),
        depends_on=builder.initial,
        retry_policy=policy,
        unknown_retry_policy=policy,
        timeout=timedelta(seconds=0.05) if cut == "by its time limit" else None,
    )
    builder.add_step(step(ship), depends_on=builder.initial, after=(charging,))
    async with SagaOrchestrator(memory) as orchestrator:
        run = await orchestrator.register("s", builder.build()).start(Cart(100))
        assert isinstance(await run.outcome(SOON), Compensated)
    assert charged == [105, 105, 105]
    assert undone == [100]


async def test_a_further_attempt_at_an_item_is_given_the_item_as_it_was(memory: MemoryStore) -> None:
    charged: list[int] = []

    async def charge(cart: Cart) -> int:
        cart.total += 5
        charged.append(cart.total)
        if len(charged) < 3:
            raise OSError("again")
        return cart.total

    builder = SagaBuilder(Cart)
    builder.add_step(
        step(charge).each(concurrency=1),
        depends_on=builder.initial,
        input_map=lambda cart: [cart, Cart(200)],
        retry_policy=FixedRetry(max_attempts=3),
    )
    async with SagaOrchestrator(memory) as orchestrator:
        run = await orchestrator.register("s", builder.build()).start(Cart(100))
        assert isinstance(await run.outcome(SOON), Completed)
    assert charged == [105, 105, 105, 205]


async def test_a_repeat_of_a_transaction_that_the_server_has_rolled_back_has_the_input_as_it_was(dsn: str) -> None:
    charged: list[int] = []

    async def book(cart: Cart, ctx: TransactionalContext) -> int:
        cart.total += 5
        charged.append(cart.total)
        if len(charged) == 1:
            await ctx.connection.execute("DO $$ BEGIN RAISE EXCEPTION USING errcode = '40001'; END $$")
        return cart.total

    builder = SagaBuilder(Cart)
    booked = builder.add_step(step(book, transactional=True), depends_on=builder.initial)
    async with SagaOrchestrator(dsn) as orchestrator:
        assert await orchestrator.register("s", builder.build(output=booked)).run(Cart(100), timeout=SOON) == 105
    assert charged == [105, 105]


async def test_an_undo_is_given_what_the_step_of_an_older_build_was_given(make: Make) -> None:
    """A newer build has written the value that is handed on. The older one has run the step, without the field that it lacks."""
    used: list[object] = []
    undone: list[object] = []
    use_goes_on, gate_goes_on = asyncio.Event(), asyncio.Event()
    at_gate = asyncio.Event()

    def definition(kind: Any, value: object) -> SagaDefinition[Any, str]:  # Any: the same type of two builds
        async def source(_: Any) -> Any:
            return value

        async def use(inp: Any) -> str:
            used.append(inp)
            await use_goes_on.wait()
            return "used"

        async def undo(inp: Any, _: str) -> None:
            undone.append(inp)

        async def gate(_: str) -> str:
            at_gate.set()
            await gate_goes_on.wait()
            raise ValueError("no")

        source.__annotations__.update({"_": kind, "return": kind})
        use.__annotations__["inp"] = undo.__annotations__["inp"] = kind
        builder = SagaBuilder(kind)
        first = builder.add_step(step(source), depends_on=builder.initial)
        second = builder.add_step(step(use, compensate=undo), depends_on=first)
        return builder.build(output=builder.add_step(step(gate, give_up_on=(ValueError,)), depends_on=second))

    newer = definition(NewStruct, NewStruct(id="x", currency="USD"))
    first = await born(make())
    run = await first.register("s", newer).start(NewStruct(id="x"))
    await until(lambda: len(used) == 1)
    await dies(first)
    use_goes_on.set()
    second = await born(make())
    second.register("s", definition(OldStruct, OldStruct(id="x")))
    async with asyncio.timeout(SOON):
        await at_gate.wait()
    await dies(second)
    gate_goes_on.set()
    async with make() as third:
        assert isinstance(await third.register("s", newer).attach(run.id).outcome(SOON), Failed)
    assert used[1:] == [OldStruct(id="x")]
    assert undone == [NewStruct(id="x")]
