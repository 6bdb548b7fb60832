"""A few seeds of the simulation, and the seeds that have found something: `make simulate` runs as many as there is time for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from tests.simulation.definitions import FEATURES, draw
from tests.simulation.minimise import as_a_test, minimised
from tests.simulation.run import Case, run


def short(seed: int) -> Case:
    return Case(seed, sagas=tuple(range(40)), deeds=tuple(range(60)), faults=tuple(range(10)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_wrong_in_a_short_run(seed: int) -> None:
    report = run(short(seed))
    assert report.wrong == ()
    assert report.sagas >= 30
    assert set(report.ends) <= {"COMPLETED", "COMPENSATED", "FAILED"}


def test_sagas_go_on_under_another_build_than_they_began_under() -> None:
    report = run(attrs.evolve(short(2), builds=2))
    assert report.wrong == ()
    assert report.counts["PlanChanged"] > 0


def test_sagas_are_archived_and_deleted_once_their_retention_is_over() -> None:
    report = run(attrs.evolve(short(2), builds=2, deletes=True))
    assert report.wrong == ()
    assert report.counts["deleted"] > 0
    assert sum(report.ends.values()) == report.sagas >= 30


def test_a_look_at_the_end_waits_for_a_process_that_has_come_back() -> None:
    assert run(Case(600108, deletes=True)).wrong == ()


def test_a_simulation_that_fails_itself_says_so_of_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr("tests.simulation.people.People.start", broken)
    (line,) = run(short(1)).wrong
    assert "KeyError: 'lost'" in line


def test_a_saga_whose_delay_is_over_may_begin_with_an_event() -> None:
    kinds = ("stop", "crash", "stop", "cut", "slow", "leave")
    assert run(Case(6, sagas=tuple(range(60)), faults=tuple(range(40)), kinds=kinds)).wrong == ()  # type: ignore[arg-type]  # words


def test_a_wait_may_begin_as_the_moments_of_its_delayed_saga_are_moved() -> None:
    assert run(Case(100)).wrong == ()


def test_a_wait_that_is_retried_in_a_pause_may_begin_as_it_ends() -> None:
    assert run(Case(300085, builds=2, deletes=True)).wrong == ()


def test_a_sleep_that_is_retried_in_a_pause_may_begin_as_it_ends() -> None:
    deeds = (45, 48, 51, 58, 62, 63, 64, 70, 71, 72, 78, 81, 84, 99, 100, 107, 110, 113, 114, 118, 126, 137)
    assert run(Case(601399, sagas=tuple(range(12, 100)), deeds=deeds, faults=(2, 4, 6), builds=2)).wrong == ()


def test_a_verb_whose_caller_has_died_is_remembered_for_it_may_have_been_applied() -> None:
    assert run(Case(710386)).wrong == ()


def test_a_saga_does_not_end_before_the_step_after_two_lists() -> None:
    tamed = tuple(feature for feature in FEATURES if feature != "items")
    case = Case(
        1048, sagas=(97,), deeds=(), faults=(), bad_weather=False, tame=True, tamed=tamed, without=("saga-2/step-1",)
    )
    assert run(case).wrong == ()


def test_a_seed_is_the_same_run_in_every_process() -> None:
    script = "from tests.simulation.test_simulation import run, short; print(run(short(5)).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert digests == {run(short(5)).digest}


def test_another_seed_is_another_run() -> None:
    case = Case(1, sagas=(0, 1, 2), deeds=(), faults=())
    assert run(case).digest != run(attrs.evolve(case, seed=2)).digest


def test_a_definition_has_nothing_of_what_is_tamed_in_it() -> None:
    for number in range(30):
        drawn = draw("seed", number, tamed=FEATURES)
        assert {(each.kind, each.doubt, each.conditional, each.publishes) for each in drawn.steps} == {
            ("step", "repeat", False, False)
        }
        assert (drawn.graph, drawn.hooks, drawn.deadline) == (False, False, None)


def test_what_is_left_out_of_a_case_changes_nothing_else_that_is_drawn() -> None:
    whole = draw("seed", 3)
    without = draw("seed", 3, without=[f"{whole.name}/{whole.steps[0].id}"])
    assert [each.id for each in without.steps] == [each.id for each in whole.steps[1:]]


def test_a_failing_run_is_made_small_and_printed_as_a_test() -> None:
    case = Case(4, sagas=tuple(range(16)), deeds=(0, 1), faults=(0, 1, 2), seconds=20)

    def fails(smaller: Case) -> bool:
        return bool(run(smaller, lying=True).wrong)

    small = minimised(case, fails, most=60)
    assert fails(small)
    assert (len(small.sagas), small.deeds, small.faults, small.bad_weather) == (1, (), (), False)
    text = as_a_test(small, ["what was wrong"])
    names: dict[str, object] = {"Case": Case, "run": run}
    exec(text, names)
    test = names["test_seed_4"]
    assert callable(test)
    test()
