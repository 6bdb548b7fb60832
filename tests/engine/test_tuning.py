"""Settings of Python's for the whole process: made where an application asks for them, and put back."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from saga_fn import MemoryStore, SagaError, SagaOrchestrator
from saga_fn.tuning import run, tune_gc
from tests.support.approval import approved
from tests.support.shop import Order, Shop
from tests.support.until import suspended


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.unfreeze()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    if frozen:
        gc.freeze()


def test_the_collector_looks_less_often_and_not_at_what_is_there() -> None:
    _, second, third = before = gc.get_threshold()
    tuned = tune_gc()
    assert gc.get_threshold() == (50_000, second, third)
    assert gc.get_freeze_count() > 1000, "the modules, at least"
    tuned.restore()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
    tuned.restore()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_objects_that_others_had_frozen_stay_so() -> None:
    gc.freeze()
    tune_gc(threshold=700).restore()
    assert gc.get_freeze_count() > 1000


def test_nothing_is_frozen_where_that_is_not_wanted() -> None:
    tune_gc(freeze=False, threshold=10_000)
    assert gc.get_threshold()[0] == 10_000
    assert gc.get_freeze_count() == 0


def test_cycles_that_were_garbage_before_are_not_frozen() -> None:
    gone: list[str] = []

    class Node:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            gone.append("yes")

    Node()
    tune_gc()
    assert gone == ["yes"]


@pytest.mark.parametrize("uvloop", [None, True, False])
def test_a_program_runs_with_all_of_it_and_leaves_nothing_behind(uvloop: bool | None) -> None:
    before = gc.get_threshold()
    seen: list[Any] = []

    async def main() -> str:
        seen.extend((gc.get_threshold()[0], type(asyncio.get_running_loop()).__module__.partition(".")[0]))
        async with SagaOrchestrator(MemoryStore()) as orchestrator:
            started = await orchestrator.register("approved", approved(Shop())).start(Order("1"))
            await suspended(started)
        return "done"

    assert run(main(), uvloop=uvloop) == "done"
    assert seen == [50_000, "asyncio" if uvloop is False else "uvloop"]
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_a_program_that_raises_leaves_nothing_behind_either() -> None:
    before = gc.get_threshold()

    async def main() -> None:
        raise LookupError("the program's own")

    with pytest.raises(LookupError):
        run(main())
    assert gc.get_threshold() == before


def test_uvloop_is_left_out_where_it_is_not_installed_and_refused_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)

    async def main() -> str:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]

    assert run(main()) == "asyncio"
    with pytest.raises(SagaError, match="uvloop is not installed"):
        run(main(), uvloop=True)


@pytest.mark.parametrize("given", [{"threshold": 0}, {"threshold": True}, {"threshold": 1e5}, {"freeze": 1}])
def test_wrong_settings_are_refused_before_anything_is_changed(given: dict[str, Any]) -> None:
    before = gc.get_threshold()
    with pytest.raises(SagaError) as refused:
        tune_gc(**given)
    assert refused.value.hint
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


@pytest.mark.parametrize("given", [{"threshold": -1}, {"uvloop": "yes"}])
def test_wrong_arguments_of_a_program_are_refused_before_it_runs(given: dict[str, Any]) -> None:
    async def main() -> None:
        raise AssertionError("it does not run")

    with pytest.raises(SagaError):
        run(main(), **given)
    wrong: Any = main
    with pytest.raises(SagaError, match="coroutine"):
        run(wrong)


async def test_a_program_is_not_run_within_another() -> None:
    async def main() -> None:
        raise AssertionError("it does not run")

    with pytest.raises(SagaError, match="an event loop runs"):
        run(main())
