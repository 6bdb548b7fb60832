"""A process is killed by SIGKILL at each call to the store of an operator's act: what came of it is told, and done once."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import pytest

from saga_fn import SagaAdmin, SagaOrchestrator, SagaStatus
from tests.faults.actor import NAME
from tests.faults.processes import Processes, processes
from tests.support.shop import Order, Shop, make_saga

NOW = timedelta(0)
HOUR = timedelta(hours=1)


async def survives(actors: Processes, *given: str) -> bool:
    """Whether an actor comes to the end of what it was told."""
    pid = actors.begin(*given)
    async with asyncio.timeout(60):
        while actors.lives(pid):
            await asyncio.sleep(0.005)
    return actors.code(pid) == 0


@pytest.mark.parametrize("deed, point", [("pause_saga", "before"), ("cancel", "in")])
async def test_the_outcome_of_an_act_whose_process_is_killed_is_written_by_another(
    dsn: str, deed: str, point: str
) -> None:
    seen: set[str] = set()
    async with SagaOrchestrator(dsn, concurrency=0, lease=timedelta(seconds=1)) as orchestrator:
        admin = SagaAdmin(orchestrator)
        shop = orchestrator.register(NAME, make_saga(Shop()))
        with processes("tests.faults.actor", dsn) as actors:
            for at in itertools.count(1):
                run = await shop.start(Order(str(at)), delay=HOUR)
                lives = await survives(actors, deed, str(run.id), point, str(at))
                await orchestrator.engine.sweep.finish_acts(older=NOW)
                records = [each for each in await admin.list_operations() if each.saga_id == run.id]
                found = await admin.get_saga(run.id)
                is_done = found.status is SagaStatus.COMPENSATED if deed == "cancel" else bool(found.pauses)
                if not records:
                    assert not is_done, "what is done is recorded first"
                    continue
                (record,) = records
                told = (record.verb, record.asked, record.done, dict(record.refusals))
                assert told == ((deed, 0, 1, {}) if is_done else (deed, 0, 0, {"never_done": 1}))
                assert await admin.verify(run.id) == []
                seen |= set(record.refusals) or {"done"}
                if lives:
                    break
    assert "done" in seen
    assert point == "in" or "never_done" in seen


@pytest.mark.parametrize("point", ["before", "in"])
async def test_the_end_of_a_pause_whose_process_is_killed_moves_each_moment_once(dsn: str, point: str) -> None:
    async with SagaOrchestrator(dsn, concurrency=0, lease=timedelta(milliseconds=300)) as orchestrator:
        admin = SagaAdmin(orchestrator)
        shop = orchestrator.register(NAME, make_saga(Shop()))
        with processes("tests.faults.actor", dsn) as actors:
            for at in itertools.count(1 if point == "before" else 3, 4):
                runs = [await shop.start(Order(str(each)), delay=HOUR) for each in range(2)]
                before = [(await run.snapshot()).begins_at for run in runs]
                await admin.pause(NAME)
                (pause,) = await admin.pauses()
                lives = await survives(actors, "resume", "", point, str(at))
                if not lives and await admin.pauses():
                    assert await admin.resume(NAME, extend=True)
                assert await admin.pauses() == ()
                for run, begins in zip(runs, before, strict=True):
                    seen = await admin.get_saga(run.id)
                    moved = [each for each in seen.step_history if each.kind == "moments_moved"]
                    # One that is moved by both processes is moved by the second for the time since the first.
                    assert begins is not None
                    assert seen.begins_at is not None
                    assert seen.begins_at - begins == moved[-1].timestamp - max(pause.since, seen.created_at)
                    assert await admin.verify(run.id) == []
                    await admin.abort(run.id)
                if lives:
                    return
