"""A plan that could never be in time is told by what is in vain; it can be folded all the same."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from saga_fn.core.deadline import deadline_flaws
from saga_fn.core.ids import Micros
from saga_fn.core.plan import Plan, PlannedStep
from saga_fn.core.plan_flaws import DeadlineFlaw, SleepsTooLong, WaitsForEver, WaitsTooLong
from tests.core.given import MINUTE, SECOND, A, B, C, D, sleep, step, wait

SLEEP = sleep("a", timeout=Micros(MINUTE - SECOND))
PIVOT = step("a", undo=False, pivot=True)


@pytest.mark.parametrize(
    "steps, flaws",
    [
        ((step("a"),), []),
        ((wait("a"),), [WaitsForEver(A)]),
        ((wait("a", timeout=Micros(MINUTE - 1)),), []),
        ((wait("a", timeout=Micros(MINUTE)),), [WaitsTooLong(A, Micros(MINUTE), Micros(0), Micros(MINUTE))]),
        ((sleep("a"),), []),
        ((sleep("a", timeout=Micros(MINUTE - 1)),), []),
        ((sleep("a", timeout=Micros(MINUTE)),), [SleepsTooLong(A, Micros(MINUTE), Micros(0), Micros(MINUTE))]),
        ((SLEEP, sleep("b", "a", timeout=Micros(SECOND - 1))), []),
        (
            (SLEEP, step("b", "a"), sleep("c", "b", timeout=Micros(SECOND))),
            [SleepsTooLong(C, Micros(SECOND), Micros(MINUTE - SECOND), Micros(MINUTE))],
        ),
        (
            (SLEEP, wait("b", "a", timeout=Micros(SECOND))),
            [WaitsTooLong(B, Micros(SECOND), Micros(MINUTE - SECOND), Micros(MINUTE))],
        ),
        (
            (wait("a", timeout=Micros(SECOND)), sleep("b", "a", timeout=Micros(MINUTE - 1))),
            [],
        ),  # the event may come at once
        (
            (SLEEP, sleep("b", timeout=Micros(2 * SECOND)), wait("c", "b", timeout=Micros(SECOND))),
            [],
        ),  # one beside the other
        (
            (SLEEP, sleep("b"), sleep("c", "a", "b", timeout=Micros(SECOND)), wait("d", "c")),
            [SleepsTooLong(C, Micros(SECOND), Micros(MINUTE - SECOND), Micros(MINUTE)), WaitsForEver(D)],
        ),
        ((PIVOT, wait("b", "a"), sleep("c", "b", timeout=Micros(MINUTE))), []),  # past it no deadline counts
        ((replace(PIVOT, conditional=True), wait("b", "a")), [WaitsForEver(B)]),
        ((wait("b"), replace(PIVOT, after=(B,))), [WaitsForEver(B)]),
    ],
)
def test_what_cannot_be_over_before_the_deadline_is_told(
    steps: tuple[PlannedStep, ...], flaws: list[DeadlineFlaw]
) -> None:
    assert list(deadline_flaws(Plan.of(*steps, deadline=Micros(MINUTE)))) == flaws
    assert list(deadline_flaws(Plan.of(*steps))) == []
