"""A value that a saga hands on is proved once: its bytes are those of the output that it was, and so is its fingerprint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from saga_fn import MemoryStore, SagaBuilder, SagaDefinition, SagaOrchestrator, step
from saga_fn.codec import PayloadType
from saga_fn.core.ids import Digest
from saga_fn.engine.drive import owned_saga
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
        monkeypatch.setattr(owned_saga, "digest_of", digest)


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
    first = await born(make(lease=timedelta(milliseconds=600)))

    def as_it_is(inp: NewStruct) -> NewStruct:
        return inp

    first.register("s", definition(NewStruct, input_map=as_it_is))
    await until(lambda: len(given) == 1)
    await dies(first)
    hold.set()
    async with make() as second:
        assert await second.register("s", definition(NewStruct)).attach(run.id).result(SOON) == "charged"
    assert given == [NewStruct(id="x"), NewStruct(id="x")]
