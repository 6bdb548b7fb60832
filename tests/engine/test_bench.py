"""The benchmark of all paths, in small: it runs, it counts, and it tells a path that became slower from noise."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import paths
from tests.bench.gate import compare, verdict
from tests.bench.kinds import Load
from tests.bench.path_load import Spent

SOME = ("turned back at step 2", "fan-out of 10 with a step beside", "timers", "takeover", "operators' verbs")
"""Each in a way of its own."""


@pytest.mark.parametrize("name", SOME)
async def test_each_path_can_be_measured_beside_the_straight_one(empty_dsn: str, name: str) -> None:
    ((this, straight),) = await paths.measured(empty_dsn, name, Load(6, 6, 6), rounds=1)
    for spent in (this, straight):
        assert spent.per_second > 0
        assert spent.cpu > 0
        assert spent.statements >= spent.commits > 0
        assert spent.wal > 0


async def test_an_event_takes_no_statement_of_its_own(empty_dsn: str) -> None:
    for name in ("events by id", "events by key"):
        ((this, _),) = await paths.measured(empty_dsn, name, Load(200, 200, 400), rounds=1)
        assert this.statements <= 0.2, name


async def test_two_commits_take_turns(any_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    async def measured(*_: object, tree: Path, **__: object) -> list[tuple[Spent, Spent]]:
        asked.append(tree)
        spent = Spent(1.0, 10.0 if tree.name == "old" else 20.0, 1.0, 1.0, 1.0)
        return [(spent, spent)]

    monkeypatch.setattr("tests.bench.gate.measured", measured)
    old, new = Path("old"), Path("new")
    ((name, found),) = await compare(any_dsn, (old, new), ["timers"], sagas=20, rounds=2)
    assert (name, found.ratio, found.is_slower) == ("timers", 2.0, True)
    assert asked == [new, old, old, new]


def test_a_path_is_slower_if_it_is_by_more_than_the_rounds_differ() -> None:
    assert verdict([10, 10.1, 9.9, 10], [11, 11.1, 10.9, 11]).is_slower
    assert not verdict([10, 10.1, 9.9, 10], [10.3, 10.4, 10.2, 10.3]).is_slower
    assert not verdict([10, 13, 8, 11], [11, 14, 9, 12]).is_slower
    assert not verdict([10.0], [10.2]).is_slower
