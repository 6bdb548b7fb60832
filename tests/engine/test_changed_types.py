"""A deploy that adds an optional field to a payload type, and its rollback, stop no saga and refuse no request."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import attrs
import msgspec
import pytest

from saga_fn import (
    NOT_DONE,
    Done,
    FixedRetry,
    MemoryStore,
    NotDone,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    SagaRun,
    StartConflictError,
    step,
)
from tests.support.crash import born, dies
from tests.support.stores import Make
from tests.support.two_builds import (
    NewAttrs,
    NewData,
    NewDict,
    NewModel,
    NewSparse,
    NewStruct,
    OldAttrs,
    OldData,
    OldDict,
    OldModel,
    OldSparse,
    OldStruct,
)
from tests.support.until import SOON, retrying, until


class Order(msgspec.Struct, frozen=True):
    id: str


Pair = tuple[Any, Any]  # Any: a type, and the same of another build
PAIRS: list[Pair] = [
    (OldStruct, NewStruct),
    (OldSparse, NewSparse),
    (OldData, NewData),
    (OldAttrs, NewAttrs),
    (OldDict, NewDict),
    (OldModel, NewModel),
]
BOTH_WAYS = [*PAIRS, *(tuple(reversed(pair)) for pair in PAIRS)]
AGAIN = FixedRetry(max_attempts=1000, delay=timedelta(seconds=1))
"""A process may stand still for longer than the delay before it dies: then it has tried again, and failed again."""
FEW = [(OldStruct, NewStruct), (NewModel, OldModel)]
"""A deploy and a rollback, for what differs from store to store."""


@attrs.define
class Bank:
    """Takes money, when it is there."""

    fails: int = 0
    hold: bool = False
    given: list[Any] = attrs.field(factory=list)
    undone: list[Any] = attrs.field(factory=list)
    probes: list[Any] = attrs.field(factory=list)

    async def work(self, inp: Any) -> None:
        self.given.append(inp)
        if self.fails:
            self.fails -= 1
            raise ConnectionRefusedError
        while self.hold:
            await asyncio.sleep(0.005)


def made(bank: Bank, kind: Any, **options: Any) -> SagaDefinition[Order, Any]:
    """The saga of one build: a step whose input is computed, of the build's own type."""

    async def charge(inp: Any) -> str:
        await bank.work(inp)
        return "charged"

    charge.__annotations__["inp"] = kind
    builder = SagaBuilder(Order)
    charged = builder.add_step(
        step(charge, retry_policy=AGAIN),
        depends_on=builder.initial,
        input_map=lambda order: kind(id=f"id of {order.id}"),
        **options,
    )
    return builder.build(output=charged)


async def parked(run: SagaRun[Any]) -> str | None:
    return (await run.snapshot()).parked


@pytest.mark.parametrize("old, new", FEW)
async def test_a_saga_that_waits_for_its_next_attempt_goes_on(make: Make, old: Any, new: Any) -> None:
    await _retried(make, old, new)


@pytest.mark.parametrize("old, new", BOTH_WAYS)
async def test_every_kind_of_type_may_change(memory: MemoryStore, old: Any, new: Any) -> None:
    def make(**options: Any) -> SagaOrchestrator:
        return SagaOrchestrator(memory, poll_interval=timedelta(milliseconds=100), **options)

    await _retried(make, old, new)
    await _requested(make, old, new)


async def _retried(make: Make, old: Any, new: Any) -> None:
    bank = Bank(fails=1000)
    first = await born(make())
    run = await first.register("s", made(bank, old)).start(Order("x"))
    await retrying(run)
    await dies(first)
    bank.fails, before = 0, len(bank.given)
    async with make() as second:
        again = second.register("s", made(bank, new)).attach(run.id)
        assert await again.result(SOON) == "charged"
    assert bank.given == [*[old(id="id of x")] * before, new(id="id of x")]


@pytest.mark.parametrize("old, new", FEW)
async def test_a_saga_that_was_handed_back_goes_on(make: Make, old: Any, new: Any) -> None:
    bank = Bank(hold=True)
    async with make(stop_timeout=timedelta(milliseconds=1)) as first:
        run = await first.register("s", made(bank, old)).start(Order("x"))
        await until(lambda: len(bank.given) == 1)
    bank.hold = False
    async with make() as second:
        again = second.register("s", made(bank, new)).attach(run.id)
        assert await again.result(SOON) == "charged"


@pytest.mark.parametrize("old, new", PAIRS[:1] + PAIRS[-1:])
async def test_a_saga_whose_process_died_in_its_first_attempt_goes_on(make: Make, old: Any, new: Any) -> None:
    bank = Bank(hold=True)
    first = await born(make())
    run = await first.register("s", made(bank, old)).start(Order("x"))
    await until(lambda: len(bank.given) == 1)
    await dies(first)
    bank.hold = False
    async with make() as second:
        again = second.register("s", made(bank, new)).attach(run.id)
        assert await again.result(SOON) == "charged"


@pytest.mark.parametrize("old, new", FEW[:1])
async def test_a_build_that_cannot_tell_whether_the_input_is_the_same_says_so(make: Make, old: Any, new: Any) -> None:
    bank = Bank(hold=True)
    first = await born(make())
    run = await first.register("s", made(bank, new)).start(Order("x"))
    await until(lambda: len(bank.given) == 1)
    await dies(first)
    async with make() as second:
        again = second.register("s", made(bank, old)).attach(run.id)
        async with asyncio.timeout(SOON):
            while await parked(again) is None:
                await asyncio.sleep(0.01)
        seen = await SagaAdmin(second).get_saga(run.id)
        assert (seen.parked, seen.last_error) == ("input_changed", "InputChangedError")
        told = str(seen.step_history[-1].error)
        assert "a field that this one lacks" in told
        assert "settle_done" in told
        assert await SagaAdmin(second).verify(run.id) == []
    assert len(bank.given) == 1


class Wider(msgspec.Struct):
    id: str
    amount: float = 1.0


class Narrower(msgspec.Struct):
    amount: int = 1
    id: str = ""


async def test_what_is_equal_as_the_present_types_read_it_is_the_same(make: Make) -> None:
    bank = Bank(fails=1)
    first = await born(make())
    run = await first.register("s", made(bank, Narrower)).start(Order("x"))
    await retrying(run)
    await dies(first)
    async with make() as second:
        again = second.register("s", made(bank, Wider)).attach(run.id)
        assert await again.result(SOON) == "charged"


class Dearer(msgspec.Struct):
    id: str
    currency: str = "USD"


async def test_another_default_is_another_input(make: Make) -> None:
    bank = Bank(fails=1)
    first = await born(make())
    run = await first.register("s", made(bank, NewStruct)).start(Order("x"))
    await retrying(run)
    await dies(first)
    async with make() as second:
        again = second.register("s", made(bank, Dearer)).attach(run.id)
        async with asyncio.timeout(SOON):
            while await parked(again) is None:
                await asyncio.sleep(0.01)
        assert await parked(again) == "input_changed"
        told = str((await SagaAdmin(second).get_saga(run.id)).step_history[-1].error)
        assert "not the one that the attempt before was given" in told
    assert len(bank.given) == 1


async def test_only_the_first_failure_keeps_the_input(make: Make) -> None:
    bank = Bank(fails=3)
    async with make() as orchestrator:
        run = await orchestrator.register("s", made(bank, NewStruct)).start(Order("x"))
        assert await run.result(SOON) == "charged"
        journal = await orchestrator.engine.store.journal(run.id)
    kept = [entry.input is not None for entry in journal]
    assert kept == [False, True, False, False, False, False, False, True]  # each retry is a failure and a claim


def items_of(bank: Bank, kind: Any, count: int = 3) -> SagaDefinition[Order, list[Any]]:
    async def pack(inp: Any) -> Any:
        await bank.work(inp)
        return inp

    pack.__annotations__.update(inp=kind, **{"return": kind})
    builder = SagaBuilder(Order)
    packed = builder.add_step(
        step(pack, retry_policy=AGAIN).each(concurrency=2),
        depends_on=builder.initial,
        input_map=lambda order: [kind(id=f"{order.id}{number}") for number in range(count)],
    )
    return builder.build(output=packed)


@pytest.mark.parametrize("old, new", FEW)
@pytest.mark.parametrize("how", ["fails", "handed back"])
async def test_a_fan_out_goes_on(make: Make, old: Any, new: Any, how: str) -> None:
    bank = Bank(fails=1 if how == "fails" else 0, hold=how != "fails")
    async with make(stop_timeout=timedelta(milliseconds=1)) as first:
        run = await first.register("s", items_of(bank, old)).start(Order("x"))
        await until(lambda: len(bank.given) >= 2)
    bank.hold = False
    async with make() as second:
        again = second.register("s", items_of(bank, new)).attach(run.id)
        assert await again.result(SOON) == [new(id=f"x{number}") for number in range(3)]


@pytest.mark.parametrize("old, new", PAIRS[:1] + PAIRS[-1:])
async def test_a_fan_out_whose_process_died_goes_on(make: Make, old: Any, new: Any) -> None:
    bank = Bank(hold=True)
    first = await born(make())
    run = await first.register("s", items_of(bank, old)).start(Order("x"))
    await until(lambda: len(bank.given) == 2)
    await dies(first)
    bank.hold = False
    async with make() as second:
        again = second.register("s", items_of(bank, new)).attach(run.id)
        assert await again.result(SOON) == [new(id=f"x{number}") for number in range(3)]


async def test_a_fan_out_of_another_length_is_another(make: Make) -> None:
    bank = Bank(hold=True)
    async with make(stop_timeout=timedelta(milliseconds=1)) as first:
        run = await first.register("s", items_of(bank, OldStruct)).start(Order("x"))
        await until(lambda: len(bank.given) == 2)
    bank.hold = False
    async with make() as second:
        again = second.register("s", items_of(bank, OldStruct, 4)).attach(run.id)
        async with asyncio.timeout(SOON):
            while await parked(again) is None:
                await asyncio.sleep(0.01)
        assert await parked(again) == "input_changed"


@pytest.mark.parametrize("old, new", FEW)
async def test_a_probe_is_given_what_the_step_was_given(make: Make, old: Any, new: Any) -> None:
    bank = Bank(hold=True)

    def definition(kind: Any, asked: bool) -> SagaDefinition[Order, str]:
        async def charge(inp: Any) -> str:
            await bank.work(inp)
            return "charged"

        async def look(inp: Any) -> Done[str] | NotDone:
            bank.probes.append(inp)
            return Done("found") if asked else NOT_DONE

        charge.__annotations__["inp"] = look.__annotations__["inp"] = kind
        builder = SagaBuilder(Order)
        charged = builder.add_step(
            step(charge, probe=look), depends_on=builder.initial, input_map=lambda order: kind(id=order.id)
        )
        return builder.build(output=charged)

    async with make(stop_timeout=timedelta(milliseconds=1)) as first:
        run = await first.register("s", definition(old, asked=False)).start(Order("x"))
        await until(lambda: len(bank.given) == 1)
    bank.hold = False
    async with make() as second:
        again = second.register("s", definition(new, asked=True)).attach(run.id)
        assert await again.result(SOON) == "found"
    assert bank.probes == [new(id="x")]


def started(kind: Any) -> SagaDefinition[Any, Any]:
    async def echo(inp: Any) -> Any:
        return inp

    echo.__annotations__.update(inp=kind, **{"return": kind})
    builder = SagaBuilder(kind)
    return builder.build(output=builder.add_step(step(echo), depends_on=builder.initial))


@pytest.mark.parametrize("old, new", FEW)
async def test_a_repeated_request_finds_its_saga(make: Make, old: Any, new: Any) -> None:
    await _requested(make, old, new)


async def _requested(make: Make, old: Any, new: Any) -> None:
    async with make() as first:
        run = await first.register("requested", started(old)).start(old(id="x"), idempotency_key="req-1")
        await run.outcome(SOON)
    async with make() as second:
        handle = second.register("requested", started(new))
        again = await handle.start(new(id="x"), idempotency_key="req-1")
        assert (again.id, again.created) == (run.id, False)
        with pytest.raises(StartConflictError):
            await handle.start(new(id="y"), idempotency_key="req-1")


@pytest.mark.parametrize("old, new", FEW)
async def test_a_saga_that_is_handed_its_initial_data_goes_on_after_a_death(make: Make, old: Any, new: Any) -> None:
    bank = Bank(hold=True)

    def definition(kind: Any) -> SagaDefinition[Any, Any]:
        async def charge(inp: Any) -> str:
            await bank.work(inp)
            return "charged"

        charge.__annotations__["inp"] = kind
        builder = SagaBuilder(kind)
        return builder.build(output=builder.add_step(step(charge), depends_on=builder.initial))

    first = await born(make())
    run = await first.register("s", definition(old)).start(old(id="x"))
    await until(lambda: len(bank.given) == 1)
    await dies(first)
    bank.hold = False
    async with make() as second:
        assert await second.register("s", definition(new)).attach(run.id).result(SOON) == "charged"


class Priced(msgspec.Struct):
    amount: int = 1


class PricedInCents(msgspec.Struct):
    amount_cents: int = 0


@pytest.mark.parametrize("where", ["initial data", "an output"])
async def test_a_renamed_field_parks_its_saga(make: Make, where: str) -> None:
    taken: list[object] = []

    def definition(kind: Any, fails: bool) -> SagaDefinition[Any, Any]:
        async def price(inp: Any) -> Any:
            return inp

        async def take(inp: Any) -> str:
            taken.append(inp)
            if fails:
                raise ConnectionRefusedError
            return "taken"

        price.__annotations__.update(inp=kind, **{"return": kind})
        take.__annotations__["inp"] = kind
        builder = SagaBuilder(kind)
        first = (
            builder.initial if where == "initial data" else builder.add_step(step(price), depends_on=builder.initial)
        )
        return builder.build(output=builder.add_step(step(take, retry_policy=AGAIN), depends_on=first))

    first = await born(make())
    run = await first.register("s", definition(Priced, fails=True)).start(Priced(5))
    await retrying(run)
    await dies(first)
    async with make() as second:
        again = second.register("s", definition(PricedInCents, fails=False)).attach(run.id)
        async with asyncio.timeout(SOON):
            while await parked(again) is None:
                await asyncio.sleep(0.01)
        assert await parked(again) == "payload_unreadable"
    assert set(map(repr, taken)) == {repr(Priced(5))}
