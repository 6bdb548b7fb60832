"""A caller who waits in a World with a timeout waits by its clock, and is answered as in production."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import saga_fn
from saga_fn import (
    Event,
    FixedRetry,
    SagaAdmin,
    SagaCompensatedError,
    SagaDefinition,
    SagaHandle,
    SagaOrchestrator,
    SagaResultTimeoutError,
    SagaRun,
    SagaStatus,
    StepRef,
    saga,
    step,
    testing,
)
from saga_fn.store.memory import MemoryStore
from saga_fn.testing import World
from tests.support.until import SOON

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = timedelta(days=3)
BRIEFLY = 0.05
"""Seconds of a wait for what does not come."""
AnyRun = SagaRun[Any]  # Any: its result does not matter
AnyDefinition = SagaDefinition[str, Any]  # Any: as above

approval = Event("approval", str)


class DownError(Exception):
    pass


@step
async def ship(order: str) -> str:
    return f"parcel for {order}"


@step(retry_policy=FixedRetry(max_attempts=100, delay=timedelta(hours=1)))
async def down(order: str) -> str:
    raise DownError("no answer")


@step(on_unknown="park")
async def doubtful(order: str) -> str:
    raise TimeoutError


@step
async def refused(order: str) -> str:
    raise ValueError("no such order")


@saga("waits for three days")
def patient(order: StepRef[str]) -> StepRef[str]:
    approval.wait(timeout=DAYS)
    return ship(order)


@saga("waits for ever")
def endless(order: StepRef[str]) -> StepRef[str]:
    approval.wait()
    return ship(order)


@saga("waits for its next attempt")
def retried(order: StepRef[str]) -> StepRef[str]:
    return down(order)


@saga("parked")
def parked(order: StepRef[str]) -> StepRef[str]:
    return doubtful(order)


@saga("completed")
def completed(order: StepRef[str]) -> StepRef[str]:
    return ship(order)


@saga("compensated")
def compensated(order: StepRef[str]) -> StepRef[str]:
    return refused(order)


# It is by the World's clock.


def called() -> dict[str, Callable[[SagaHandle[str, str], AnyRun, float | timedelta], Awaitable[object]]]:
    return {
        "SagaRun.result": lambda _, run, seconds: run.result(timeout=seconds),
        "SagaRun.outcome": lambda _, run, seconds: run.outcome(timeout=seconds),
        "SagaHandle.run": lambda handle, _, seconds: handle.run("1", timeout=seconds),
        "SagaHandle.attach": lambda handle, run, seconds: handle.attach(run.id).result(seconds, wait_parked=True),
    }


def with_a_timeout() -> Iterator[str]:
    for module in (saga_fn, testing):
        for name in module.__all__:
            public: object = getattr(module, name)
            members: dict[str, object] = dict(vars(public)) if inspect.isclass(public) else {}
            for member, function in members.items():
                if inspect.iscoroutinefunction(function) and "timeout" in inspect.signature(function).parameters:
                    yield f"{name}.{member}"


def test_each_wait_with_a_timeout_is_tried_here() -> None:
    assert {*with_a_timeout(), "SagaHandle.attach"} == set(called())


@pytest.mark.parametrize("timeout", [0.5, 5, 3600, timedelta(days=2)], ids=str)
@pytest.mark.parametrize("definition", [patient, endless, retried], ids=lambda each: each.name)
@pytest.mark.parametrize("name", called())
async def test_a_wait_ends_when_so_much_virtual_time_is_over(
    name: str, definition: AnyDefinition, timeout: float | timedelta
) -> None:
    seconds = timeout if isinstance(timeout, timedelta) else timedelta(seconds=timeout)
    async with World(start=START) as world:
        handle = world.register(definition)
        run = await handle.start("1")
        async with asyncio.timeout(SOON):
            with pytest.raises(SagaResultTimeoutError) as late:
                await called()[name](handle, run, timeout)
        assert abs(world.now - START - seconds) <= timedelta(microseconds=1)
        assert late.value.timeout == seconds.total_seconds()
        assert late.value.status is SagaStatus.SUSPENDED


async def test_the_saga_goes_on_after_a_wait_that_was_too_short() -> None:
    async with World(start=START) as world:
        run = await world.register(patient).start("1")
        for _ in range(3):
            with pytest.raises(SagaResultTimeoutError, match=r"step approval waits for .approval. until 2026-01-04"):
                await run.result(timeout=timedelta(hours=20))
        assert world.now == START + timedelta(hours=60)
        await world.send(run, approval, "ann")
        assert await run.result(timeout=5) == "parcel for 1"
        assert world.now == START + timedelta(hours=60)


async def test_what_ends_in_time_is_told_when_it_ends() -> None:
    async with World(start=START) as world:
        run = await world.register(patient).start("1")
        with pytest.raises(SagaCompensatedError):
            await run.result(timeout=timedelta(days=30))
        assert world.now == START + DAYS


async def test_an_end_at_the_very_moment_is_in_time() -> None:
    async with World(start=START) as world:
        run = await world.register(patient).start("1")
        with pytest.raises(SagaCompensatedError):
            await run.result(timeout=DAYS)


async def test_a_wait_without_time_lets_nothing_happen() -> None:
    async with World(start=START) as world:
        run = await world.register(completed).start("1")
        await world.until(run, step=ship)
        with pytest.raises(SagaResultTimeoutError):
            await run.result(timeout=0)
        assert world.called == ()
        assert await run.result() == "parcel for 1"
        assert await run.result(timeout=0) == "parcel for 1"


async def test_each_of_many_waits_ends_at_its_own_time() -> None:
    ended: list[tuple[int, datetime]] = []

    async def wait(run: AnyRun, days: int) -> None:
        with pytest.raises((SagaResultTimeoutError, SagaCompensatedError)):
            await run.result(timeout=timedelta(days=days))
        ended.append((days, world.now))

    async with World(start=START) as world:
        runs = await world.register(patient).start_many(["1", "2"])
        async with asyncio.TaskGroup() as group:
            for days in (9, 2, 1):
                for run in runs:
                    _ = group.create_task(wait(run, days))
        assert ended == [(days, START + timedelta(days=min(days, 3))) for days in (1, 2, 9) for _ in runs]


async def test_a_wait_ends_while_the_test_lets_time_pass() -> None:
    async with World(start=START) as world:
        run = await world.register(endless).start("1")
        waiting = asyncio.ensure_future(run.result(timeout=5))
        await asyncio.sleep(0)
        await world.advance(timedelta(seconds=4))
        assert not waiting.done()
        await world.advance(timedelta(seconds=1))
        with pytest.raises(SagaResultTimeoutError):
            await waiting
        assert world.now == START + timedelta(seconds=5)


async def test_a_step_that_awaits_another_saga_for_so_long_goes_on_then() -> None:
    @step(timeout=timedelta(days=1))
    async def asks(order: str) -> str:
        try:
            return await others.run(order, timeout=timedelta(minutes=5))
        except SagaResultTimeoutError:
            return f"later, at {world.now:%H:%M}"

    @saga("asks")
    def asking(order: StepRef[str]) -> StepRef[str]:
        return asks(order)

    async with World(start=START) as world:
        others = world.register(patient)
        assert await world.register(asking).run("1") == "later, at 00:05"


# It is answered as in production.


Place = tuple[SagaHandle[str, Any], SagaAdmin]  # Any: as above


@asynccontextmanager
async def in_a_world(definition: AnyDefinition) -> AsyncGenerator[Place]:
    async with World() as world:
        yield world.register(definition), world.admin


@asynccontextmanager
async def in_production(definition: AnyDefinition) -> AsyncGenerator[Place]:
    """A caller's process beside that of a worker."""
    store = MemoryStore()
    async with SagaOrchestrator(store) as worker, SagaOrchestrator(store, concurrency=0) as caller:
        _ = worker.register(definition)
        yield caller.register(definition), SagaAdmin(caller)


async def started(place: Place) -> AnyRun:
    return await place[0].start("1")


async def begun_later(place: Place) -> AnyRun:
    return await place[0].start("1", delay=DAYS)


async def paused(place: Place) -> AnyRun:
    run = await begun_later(place)
    await place[1].pause_saga(run.id)
    return run


async def unknown(place: Place) -> AnyRun:
    return place[0].attach(UUID(int=7))


STATES: dict[str, tuple[AnyDefinition, Callable[[Place], Awaitable[AnyRun]]]] = {
    **{each.name or "": (each, started) for each in (patient, endless, retried, parked, completed, compensated)},
    "begins later": (completed, begun_later),
    "paused": (completed, paused),
    "unknown": (completed, unknown),
}


def words(text: str) -> str:
    """The text without what no two sagas have in common."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text)
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d( UTC)?", "TIME", text)


async def answers(place: Place, make: Callable[[Place], Awaitable[AnyRun]], *, wait_parked: bool) -> list[str]:
    """All that such a saga answers to those who wait, once it stands."""
    run, found = await make(place), list[str]()
    await stands(run)
    for seconds in (0, BRIEFLY):
        for wait in (run.result, run.outcome, place[0].attach(run.id).result, place[0].attach(run.id).outcome):
            try:
                answer = await wait(seconds, wait_parked=wait_parked)
                found.append(answer if isinstance(answer, str) else type(answer).__name__)
            except Exception as error:  # noqa: BLE001 - each of them is an answer
                found.append(f"{type(error).__name__}: {error}")
    return [words(each) for each in found]


async def stands(run: AnyRun) -> None:
    """Let it go on until it has ended, or nothing can happen to it within a test's patience."""
    async with asyncio.timeout(SOON):
        while run.id != UUID(int=7):
            try:
                _ = await run.outcome(BRIEFLY)
            except SagaResultTimeoutError as late:
                if late.waiting_for or late.retrying or late.begins_at is not None or late.paused:
                    return
                continue
            except saga_fn.SagaParkedError:
                pass
            return


@pytest.mark.parametrize("wait_parked", [False, True], ids=["to a park", "through a park"])
@pytest.mark.parametrize("state", STATES)
async def test_a_world_answers_as_production_does(state: str, *, wait_parked: bool) -> None:
    definition, make = STATES[state]
    async with in_production(definition) as real, in_a_world(definition) as virtual:
        assert await answers(virtual, make, wait_parked=wait_parked) == await answers(
            real, make, wait_parked=wait_parked
        )
