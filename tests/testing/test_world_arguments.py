"""A World answers whatever a test passes to it, or raises one of our errors, and says the mend."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from saga_fn import Event, SagaDefinitionError, SagaError, StepRef, saga, step
from saga_fn.testing import World
from tests.engine.test_generated_calls import HOSTILE

approval = Event("approval", int)


@step
async def work(number: int) -> int:
    return number


@saga("working")
def working(number: StepRef[int]) -> StepRef[int]:
    approval.wait()
    return work(number)


def answer(number: int) -> int:
    return number


NAMES = [
    "register",
    "fake",
    "fake_undo",
    "fake_probe",
    "crash",
    "twice",
    "late",
    "lose_lease",
    "until",
    "advance",
    "run",
    "send",
    "close",
]


def test_each_method_of_a_world_is_called() -> None:
    assert {name for name in dir(World) if not name.startswith("_") and callable(getattr(World, name))} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
async def test_nothing_but_our_errors_comes_out_of_a_world(name: str) -> None:
    draw = random.Random(name)
    fitting: dict[str, list[object]] = {
        "step": [work, "work"],
        "fn": [answer],
        "at": ["after"],
        "phase": ["execute"],
        "delta": [timedelta(0)],
        "event": [approval],
        "payload": [1],
        "definition": [working],
        "raises": [None],
        "check": [False],
    }
    mends = 0
    for _ in range(150):
        world = World(only_fakes=True)
        run = await world.register(working).start(1)
        call: Callable[..., Any] = getattr(world, name)  # Any: of whatever signature
        parameters = inspect.signature(call).parameters.values()
        wrong = draw.choice([each.name for each in parameters])
        fits: dict[str, list[object]] = {**fitting, "run": [run]}
        given: dict[str, Any] = {  # Any: of whatever type
            each.name: draw.choice(list(HOSTILE) if each.name == wrong else fits[each.name])
            for each in parameters
            if each.name == wrong or (each.name in fits and each.default is inspect.Parameter.empty)
        }
        positional = [
            given.pop(each.name) for each in parameters if each.kind is each.POSITIONAL_ONLY and each.name in given
        ]
        try:
            told = call(*positional, **given)
            if inspect.isawaitable(told):
                await asyncio.wait_for(told, 10)
        except SagaError as error:
            mends += error.hint is not None
        finally:
            world.close(check=False)
    assert mends or name in ("run", "close")


@pytest.mark.parametrize("name", ["start", "lease", "patience", "topics"])
@pytest.mark.parametrize("value", HOSTILE)
def test_nothing_but_our_errors_comes_out_of_making_one(name: str, value: object) -> None:
    given: dict[str, Any] = {name: value}  # Any: of a wrong type
    with contextlib.suppress(SagaError):
        World(**given).close()


@pytest.mark.parametrize("year", [1, 1969, 1970, 9999])
def test_a_world_begins_where_its_clock_can_tell_the_time(year: int) -> None:
    with pytest.raises(SagaError, match=rf"begins in a year from 1971 to 9,000, not in {year}\nHINT"):
        _ = World(start=datetime(year, 6, 1, tzinfo=UTC))


@pytest.mark.parametrize("year", [1971, 9000])
async def test_a_saga_runs_in_the_first_year_of_a_clock_and_in_its_last(year: int) -> None:
    async with World(start=datetime(year, 6, 1, tzinfo=UTC)) as world:
        works = world.register(working)
        run = await works.start(7)
        await world.advance(timedelta(days=365))
        await world.send(run, approval, 1)
        assert (await world.until(run)).status == "COMPLETED"


async def test_time_passes_no_further_than_dates_do() -> None:
    async with World(start=datetime(9000, 1, 1, tzinfo=UTC)) as world:
        while world.now.year < 9799:
            await world.advance(timedelta(days=365))
        await world.advance(datetime(9799, 12, 31, tzinfo=UTC) - world.now)
        with pytest.raises(
            SagaError, match=r"no further than to the year 9,800, and it shows 9,799\nHINT: let less time"
        ):
            await world.advance(timedelta(days=365))
        await world.advance(timedelta(hours=1))


def test_a_fake_is_a_function_of_the_steps_values() -> None:
    world: Any = World()  # Any: the checkers refuse each of these
    world.register(working)
    with pytest.raises(SagaDefinitionError, match=r"it takes the step's input, and may take a StepContext after"):
        world.fake("work", lambda: 1)
    with pytest.raises(SagaDefinitionError, match=r"HINT: a value is given by returns="):
        world.fake("work", 1)
    with pytest.raises(SagaDefinitionError, match=r"one of a function, returns= and raises="):
        world.fake("work", returns=1, raises=ValueError())
    with pytest.raises(SagaDefinitionError, match=r"a crash comes at 'before', 'after'"):
        world.crash("work", at="later")
    world.close()
