"""Sagas of the examples, exported, are folded against the examples of today, as a user does it before a deploy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from saga_fn import MemoryStore, SagaOrchestrator, SagaRun, StepRef, saga
from saga_fn.examples import shop
from saga_fn.testing import ReplayKind, World, replay
from tests.examples.exported import EXPORTED, SAGAS, line, this_build


def test_this_build_goes_on_with_what_an_older_one_has_begun() -> None:
    found = replay(EXPORTED, this_build())
    found.raise_for_findings()
    assert found.sagas == len(SAGAS)


@pytest.mark.parametrize("begun", SAGAS, ids=lambda begun: begun.__name__)
async def test_this_build_goes_on_with_what_it_has_begun(
    begun: Callable[[World], Awaitable[SagaRun[Any]]],  # Any: results of all types stand side by side
) -> None:
    replay([await line(begun)], this_build()).raise_for_findings()


def test_a_build_without_the_approval_does_not_go_on_with_an_order_that_has_it() -> None:
    @saga("order")
    def without_approval(order: StepRef[shop.Order]) -> StepRef[str]:
        return shop.charge(order)

    changed = SagaOrchestrator(MemoryStore())
    changed.register(without_approval)
    kinds = {finding.kind for finding in replay(EXPORTED, changed) if finding.saga_name == "order"}
    assert kinds == {ReplayKind.UNFIT}
