"""A plan is a directed acyclic graph, listed in an order that works."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from saga_fn.core.ids import StepId
from saga_fn.core.plan import OnUnknown, Plan
from tests.core.given import DIAMOND, ONE, PIVOTED, SECOND, THREE, THRICE, TWO_ROOTS, A, B, C, D, sleep, step, wait

PIVOT = step("a", undo=False, pivot=True)


def test_roots_and_descendants() -> None:
    two_roots, diamond = Plan.from_data(TWO_ROOTS.data), Plan.from_data(DIAMOND.data)
    assert two_roots.roots == (A, B)
    assert diamond.descendants == {A: {B, C, D}, B: {D}, C: {D}, D: frozenset()}
    assert diamond.index == {A: 0, B: 1, C: 2, D: 3}


def test_a_step_is_found_by_its_name() -> None:
    assert DIAMOND.step(B) is DIAMOND.steps[1]
    assert B in DIAMOND
    assert StepId("x") not in DIAMOND
    with pytest.raises(KeyError):
        DIAMOND.step(StepId("x"))


@pytest.mark.parametrize(
    "steps, message",
    [
        ((), "a plan needs at least one step"),
        ((step("a"), step("a")), "step 'a' is listed twice"),
        ((step("a", "b"), step("b")), "step 'a' depends on 'b', which is not listed before it"),
        ((step("a", "a"),), "step 'a' depends on 'a', which is not listed before it"),
        ((PIVOT, step("b", "a", undo=False, pivot=True)), "steps 'a' and 'b' are both the pivot"),
        ((step("a", pivot=True),), "step 'a' has a compensation, but nothing is undone from pivot 'a' on"),
        ((PIVOT, step("b", "a")), "step 'b' has a compensation, but nothing is undone from pivot 'a' on"),
        ((PIVOT, step("b")), "step 'b' may run beside pivot 'a'"),
        (
            (replace(step("a", on_unknown=OnUnknown.UNDO), undoes_in_doubt=False),),
            "step 'a' is to be undone if it may have run, but nothing can do that",
        ),
        ((step("a", undo=False, undo_in_doubt=True),), "step 'a' is undone without an output, but has no compensation"),
    ],
)
def test_what_is_no_plan_is_refused(steps: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Plan.of(*steps)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - steps, whose type parametrize hides


def test_steps_come_before_the_pivot_or_after_it() -> None:
    assert PIVOTED.pivot == B
    assert Plan.of(step("a"), step("b"), step("c", "a", "b", undo=False, pivot=True)).pivot == C
    assert THREE.pivot is None


def test_equal_plans_are_one() -> None:
    again = Plan.of(step("a"))
    assert again == ONE
    assert hash(again) == hash(ONE)
    assert again.id == ONE.id
    assert len({again, ONE, THREE}) == 2
    assert again != "a plan"


def test_whatever_changes_a_decision_changes_the_id() -> None:
    different = [
        Plan.of(step("a")),
        Plan.of(step("b")),
        Plan.of(step("a", undo=False)),
        Plan.of(step("a", retry=THRICE)),
        Plan.of(step("a", undo_retry=THRICE)),
        Plan.of(step("a", undo=False, pivot=True)),
        Plan.of(step("a", on_unknown=OnUnknown.PARK)),
        Plan.of(step("a", on_unknown=OnUnknown.PROBE)),
        Plan.of(step("a", on_unknown=OnUnknown.PROBE, probe_retry=THRICE)),
        Plan.of(step("a", unknown_retry=THRICE)),
        Plan.of(step("a", undo_in_doubt=True)),
        Plan.of(step("a", settles=True)),
        Plan.of(step("a", own_retry=False)),
        Plan.of(step("a"), compensate_on_failure=False),
        Plan.of(step("a"), step("b")),
        Plan.of(step("a"), step("b", "a")),
        Plan.of(step("a"), deadline=1),
        Plan.of(step("a", undo_waits=("paid",))),
        Plan.of(wait("a")),
        Plan.of(wait("a", names=("sent",))),
        Plan.of(wait("a", correlated=True)),
        Plan.of(wait("a", limit=1)),
        Plan.of(wait("a", limit=1, default=True)),
        Plan.of(sleep("a", limit=1)),
        Plan.of(sleep("a")),
    ]
    assert len({plan.id for plan in different}) == len(different)


def test_an_id_is_the_same_in_every_process() -> None:
    assert ONE.id == Plan.of(step("a")).id == "a8ddea071647069c"


def test_the_journal_entry_of_a_sleep_gives_nothing() -> None:
    plan = Plan.of(step("a"), wait("b"), sleep("c", limit=SECOND))
    assert [plan.gives(name) for name in (A, B, C, StepId("x"))] == [True, True, False, True]
    assert ONE.gives(A)
