"""Negative controls: with one guard gone, or a store that lies, the simulation finds something wrong. Else it would find nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import pytest
from typing_extensions import override

from saga_fn.store.memory import MemoryStore
from saga_fn.store.records import Committed, JournalRecord, SagaRecord, SagaWrite
from tests.simulation.guards import DELETION, ENGINE, STORE
from tests.simulation.mutants import Mutant
from tests.simulation.run import Case, FaultKind, run

KINDS: Final[tuple[FaultKind, ...]] = ("stop", "crash", "stop", "cut", "slow", "leave")
SEEDS: Final = 25
TRIED: Final = 60
"""Seeds that may be tried: the absence that is hardest to see is seen by one in seventeen."""


def rough(seed: int, storm: float = 8) -> Case:
    """A case in which much goes wrong."""
    return Case(
        seed, sagas=tuple(range(60)), deeds=tuple(range(150)), faults=tuple(range(40)), kinds=KINDS, storm=storm
    )


def first_that_finds(mutant: Mutant, first: int, storm: float) -> int | None:
    """The first seed that finds it out; another one than `first`, once the library has changed."""
    with mutant.alive():
        return next((seed for seed in range(first, first + TRIED) if run(rough(seed, storm)).wrong), None)


@pytest.mark.parametrize("mutant, first", [pytest.param(*each, id=each[0].name) for each in STORE])
def test_it_is_found_out_that_a_guard_of_the_store_is_gone(mutant: Mutant, first: int) -> None:
    seed = first_that_finds(mutant, first, storm=8)
    assert seed is not None
    assert run(rough(seed)).wrong == ()


@pytest.mark.parametrize("mutant, first", [pytest.param(*each, id=each[0].name) for each in ENGINE])
def test_it_is_found_out_that_a_guard_of_the_engine_is_gone(mutant: Mutant, first: int) -> None:
    seed = first_that_finds(mutant, first, storm=1)
    assert seed is not None
    assert run(rough(seed, storm=1)).wrong == ()


@pytest.mark.parametrize("mutant", [pytest.param(each, id=each.name) for each in DELETION])
def test_it_is_found_out_that_a_guard_of_the_deletion_is_gone(mutant: Mutant) -> None:
    cases = [Case(seed, sagas=tuple(range(40)), faults=(), deletes=True) for seed in range(SEEDS)]
    with mutant.alive():
        found = next((case for case in cases if run(case).wrong), None)
    assert found is not None
    assert run(found).wrong == ()


class ForgetfulStore(MemoryStore):  # type: ignore[misc]  # a test may do what no user should
    """A store whose disk lies: it acknowledges a commit, and has forgotten it when the next one comes."""

    def __init__(self, clock: Callable[[], float], forgets: int) -> None:
        super().__init__(clock=clock)
        self._left = forgets
        self._lost: dict[UUID, tuple[SagaRecord, list[JournalRecord]]] = {}

    @override
    async def commit(self, shard: int, writes: Sequence[SagaWrite], *, skip_locked: bool = False) -> Committed:
        for saga_id, (record, journal) in self._lost.items():
            self._sagas[saga_id].record, self._sagas[saga_id].journal = record, journal
        self._lost, self._left = {}, self._left - 1
        if self._left == 0:
            there = [self._sagas[write.id] for write in writes if write.id in self._sagas]
            self._lost = {saga.record.id: (saga.record, list(saga.journal)) for saga in there}
        return await super().commit(shard, writes, skip_locked=skip_locked)


@pytest.mark.parametrize("forgets", [5, 20, 60])
def test_it_is_found_out_that_a_commit_was_acknowledged_and_forgotten(forgets: int) -> None:
    case = Case(3, sagas=tuple(range(40)), deeds=(), faults=())
    assert run(case, lambda clock: ForgetfulStore(clock, forgets)).wrong
    assert run(case, lambda clock: ForgetfulStore(clock, -1)).wrong == ()


def test_it_is_found_out_that_what_a_saga_says_is_not_what_stands_in_the_world() -> None:
    wrong = run(Case(4, sagas=tuple(range(40)), deeds=(), faults=()), lying=True).wrong
    assert any("still stands in the books" in line for line in wrong)
