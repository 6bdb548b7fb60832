"""Timeouts: one timer watches them all, and a step that says nothing has one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from typing_extensions import Unpack

from saga_fn import SagaBuilder, SagaParkedError, step
from saga_fn.core.ids import StepId
from saga_fn.definition import compiled_step
from saga_fn.definition.steps.step_options import StepOptions
from saga_fn.timeouts import TimeLimits, Timeouts
from tests.support.shop import Done, Order
from tests.support.stores import Make
from tests.support.until import SOON

BRIEFLY = 0.02
LONG = 3600.0


async def hang() -> None:
    await asyncio.Event().wait()


async def under(timeouts: Timeouts, seconds: float, run: Callable[[], Any]) -> str:
    """What becomes of it: its result, or that it was cut short."""
    task = timeouts.begin(seconds)
    try:
        await run()
    except asyncio.CancelledError:
        return "cut short" if timeouts.end(task, seconds) and not task.cancelling() else "cancelled"
    return "late" if timeouts.end(task, seconds) else "in time"


async def test_what_hangs_is_cut_short_and_what_returns_is_not() -> None:
    timeouts = Timeouts()
    async with asyncio.timeout(SOON):
        short, long = await asyncio.gather(
            under(timeouts, BRIEFLY, hang), under(timeouts, LONG, lambda: asyncio.sleep(3 * BRIEFLY))
        )
    assert (short, long) == ("cut short", "in time")
    timeouts.stop()


async def test_a_shorter_timeout_that_begins_later_is_over_first() -> None:
    timeouts = Timeouts()
    async with asyncio.timeout(SOON):
        long = asyncio.create_task(under(timeouts, LONG, hang))
        await asyncio.sleep(0)
        assert await under(timeouts, BRIEFLY, hang) == "cut short"
        assert not long.done()
        long.cancel()
        assert await long == "cancelled"
    timeouts.stop()


async def test_thousands_of_timeouts_that_are_not_reached_arm_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts = Timeouts()
    loop = asyncio.get_running_loop()
    armed: list[float] = []
    arm = loop.call_at

    def counted(when: float, *rest: Any, **options: Any) -> asyncio.TimerHandle:  # Any: passed on
        armed.append(when)
        return arm(when, *rest, **options)

    monkeypatch.setattr(loop, "call_at", counted)
    for _ in range(2_000):
        assert await under(timeouts, LONG, lambda: asyncio.sleep(0)) == "in time"
    assert len(armed) == 1
    timeouts.stop()


async def test_the_next_is_cut_short_after_the_first() -> None:
    timeouts = Timeouts()
    async with asyncio.timeout(SOON):
        fates = await asyncio.gather(*(under(timeouts, BRIEFLY * n, hang) for n in (1, 1, 2, 3)))
        assert fates == ["cut short"] * 4
        assert await under(timeouts, BRIEFLY, hang) == "cut short", "also when none was watched for a while"
    timeouts.stop()


async def test_what_returns_although_it_was_cut_short_is_late_and_can_be_cancelled_again() -> None:
    timeouts = Timeouts()

    async def stubborn() -> None:
        try:
            await hang()
        except asyncio.CancelledError:
            await asyncio.sleep(0)

    async with asyncio.timeout(SOON):
        assert await under(timeouts, BRIEFLY, stubborn) == "late"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    timeouts.stop()


async def test_what_somebody_else_cancels_at_the_same_time_is_cancelled() -> None:
    timeouts = Timeouts()

    async def both() -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await hang()
        except asyncio.CancelledError:
            task.cancel()
            await hang()

    async with asyncio.timeout(SOON):
        assert await asyncio.create_task(under(timeouts, BRIEFLY, both)) == "cancelled"
    timeouts.stop()


async def test_only_a_few_lengths_are_kept_that_nothing_has_any_more() -> None:
    timeouts = Timeouts()
    for number in range(2_000):
        assert await under(timeouts, LONG + number, lambda: asyncio.sleep(0)) == "in time"
    assert timeouts.lengths < 100
    timeouts.stop()


async def test_anything_can_have_a_limit_and_it_is_told_once_that_its_time_is_over() -> None:
    told = asyncio.get_running_loop().create_future()
    cut: list[asyncio.Future[str]] = []
    limits = TimeLimits[asyncio.Future[str]](cut.append, lambda _: None)
    limits.watch(told, BRIEFLY)
    async with asyncio.timeout(SOON):
        while not cut:
            await asyncio.sleep(BRIEFLY)
    assert limits.end(told, BRIEFLY)
    assert not limits.end(told, BRIEFLY), "it is told once"
    limits.stop()


def test_an_event_loop_that_is_gone_takes_its_timeouts_with_it() -> None:
    timeouts = Timeouts()

    async def leave_behind() -> None:
        assert timeouts.begin(BRIEFLY) is asyncio.current_task()

    async def again() -> str:
        return await under(timeouts, 3 * BRIEFLY, hang)

    asyncio.run(leave_behind())
    assert asyncio.run(again()) == "cut short"
    timeouts.stop()


def bound(**options: Unpack[StepOptions]) -> compiled_step.CompiledStep:
    async def one(inp: Order) -> Done:
        return Done(inp.order_id)

    builder = SagaBuilder(Order)
    found = builder.build(output=builder.add_step(step(one, **options), depends_on=builder.initial)).binding(
        StepId("one")
    )
    assert found is not None
    return found


def test_a_step_that_says_nothing_may_take_a_minute_and_so_may_its_undo_and_its_probe() -> None:
    assert bound().timeout == bound().compensation_timeout == bound().probe_timeout == 60.0


def test_a_step_may_say_that_it_has_no_limit() -> None:
    free = bound(timeout=None)
    assert (free.timeout, free.compensation_timeout, free.probe_timeout) == (None, None, None)
    assert bound(timeout=timedelta(seconds=5)).compensation_timeout == 5.0
    assert bound(compensation_timeout=None).timeout == 60.0


async def test_a_step_that_hangs_and_says_nothing_may_have_run(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_step, "DEFAULT_TIMEOUT", timedelta(seconds=BRIEFLY))

    @step
    async def charge(inp: Order) -> Done:
        await hang()
        return Done("never")

    builder = SagaBuilder(Order)
    definition = builder.build(output=builder.add_step(charge, depends_on=builder.initial, on_unknown="park"))
    async with make() as orchestrator:
        run = await orchestrator.register("hangs", definition).start(Order("1"))
        with pytest.raises(SagaParkedError):
            await run.result(SOON)
        assert (await run.snapshot()).parked == "outcome_unknown"
