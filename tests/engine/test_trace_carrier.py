"""The headers of a caller's trace are kept with the saga, and each step finds them, in whatever process it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NoReturn
from uuid import UUID

import pytest
from typing_extensions import override

from saga_fn import Compensated, MemoryStore, PayloadError, SagaOrchestrator, StepContext
from saga_fn.codec.carrier import LONGEST_CARRIER, NO_CARRIER, carrier_in, kept_carrier
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON

CARRIER = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "vendor=ü"}


class Seeing(Shop):
    """A shop whose steps write down the carrier that they are called with."""

    def __init__(self, seen: list[Mapping[str, str]]) -> None:
        super().__init__(fails={"ship": 9})
        self.seen = seen

    @override
    async def reserve(self, inp: Order, ctx: StepContext) -> Done:
        self.seen.append(ctx.trace_carrier)
        return Done("reserve")

    @override
    async def refund(self, inp: Order, out: Done, ctx: StepContext) -> None:
        self.seen.append(ctx.trace_carrier)


async def test_each_step_and_compensation_finds_it_here_and_elsewhere(make: Make) -> None:
    seen: list[Mapping[str, str]] = []
    async with make(concurrency=0) as starter, make() as worker:
        starter.register("shop", make_saga(Shop()))
        sagas = worker.register("shop", make_saga(Seeing(seen)))
        elsewhere = await starter.start(saga_name="shop", initial_data=Order("1"), trace_carrier=CARRIER)
        here = await worker.start(saga_name="shop", initial_data=Order("2"), trace_carrier=CARRIER)
        for saga_id in elsewhere, here:
            assert isinstance(await sagas.attach(saga_id).outcome(SOON), Compensated)
    assert seen == [CARRIER] * 4


async def test_a_saga_without_one_gives_its_steps_an_empty_one(memory: MemoryStore) -> None:
    seen: list[Mapping[str, str]] = []
    async with SagaOrchestrator(memory) as orchestrator:
        sagas = orchestrator.register("shop", make_saga(Seeing(seen)))
        nothing: dict[str, str] = {}
        for carrier in None, nothing:
            await (await sagas.start(Order("1"), trace_carrier=carrier)).outcome(SOON)
    assert seen == [{}, {}, {}, {}]


class Broken(dict[str, str]):
    """A mapping that raises while it is read."""

    @override
    def keys(self) -> NoReturn:
        raise asyncio.CancelledError

    __iter__ = keys


@pytest.mark.parametrize(
    "wrong",
    [
        "00-1-2-01",
        [("a", "b")],
        {"a": 1},
        {"a": None},
        {1: "a"},
        {b"a": "b"},
        {"a": b"b"},
        {UUID(int=1): "a"},
        {"a": UUID(int=1)},
        {"a": "\ud800"},
        {"a": "x" * LONGEST_CARRIER},
        Broken(a="b"),
    ],
)
async def test_a_carrier_that_cannot_be_kept_is_refused_with_the_mend(wrong: object, memory: MemoryStore) -> None:
    orchestrator = SagaOrchestrator(memory)
    sagas = orchestrator.register("shop", make_saga(Shop()))
    with pytest.raises(PayloadError, match="trace_carrier") as refused:
        await sagas.start(Order("1"), trace_carrier=wrong)  # type: ignore[arg-type]  # that is the test  # pyright: ignore[reportArgumentType]
    assert "propagator" in str(refused.value.hint)


class Vague(dict[str, str]):
    """A mapping that does not say whether it is empty."""

    def __bool__(self) -> NoReturn:
        raise KeyError("hostile")


def test_a_mapping_is_asked_for_no_more_than_its_items() -> None:
    assert carrier_in(kept_carrier(Vague(a="b"))) == {"a": "b"}
    assert kept_carrier(Vague()) is None


def test_a_damaged_one_is_none() -> None:
    kept = kept_carrier(CARRIER)
    assert kept is not None
    assert carrier_in(kept) == CARRIER
    for damaged in b"", b"null", kept[:-1], b'{"a": 1}', b"\xff":
        assert carrier_in(damaged) is NO_CARRIER
    with pytest.raises(TypeError):
        carrier_in(kept)["traceparent"] = "another"  # type: ignore[index]  # that is the test  # pyright: ignore[reportIndexIssue]
