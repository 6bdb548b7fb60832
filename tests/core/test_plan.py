"""A plan is a directed acyclic graph, listed in an order that works."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from saga_fn.core.ids import Micros, StepId
from saga_fn.core.plan import (
    LONGEST_FAN_OUT_ID,
    LONGEST_ID,
    MOST_STEPS,
    OnUnknown,
    Plan,
    PlanData,
    PlannedStep,
    flaws_in,
)
from saga_fn.core.plan_flaws import (
    BesidePivot,
    ListedTwice,
    LongFanOutName,
    NamedAsItem,
    NeedsUnlisted,
    NoFanOut,
    NoName,
    NoSteps,
    PivotFansOut,
    PivotIsUndone,
    PlanFlaw,
    PlanFlawError,
    TooManySteps,
    TwoPivots,
    UndoIsMissing,
    UndoneAfterPivot,
    UndoNeedsOutput,
)
from tests.core.given import DIAMOND, ONE, PIVOTED, SECOND, THREE, THRICE, TWO_ROOTS, A, B, C, D, sleep, step, wait

PIVOT = step("a", undo=False, pivot=True)
A_3 = StepId("a[3]")


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


TOO_MANY = tuple(step(str(number)) for number in range(MOST_STEPS + 1))
LONG = "x" * (LONGEST_FAN_OUT_ID + 1)


@pytest.mark.parametrize(
    "steps, flaws",
    [
        ((), [NoSteps()]),
        ((step("a"), step("a")), [ListedTwice(A)]),
        (TOO_MANY, [TooManySteps(StepId(str(MOST_STEPS)))]),
        ((step(""),), [NoName(StepId(""))]),
        ((step("\n"),), [NoName(StepId("\n"))]),
        ((step("x" * (LONGEST_ID + 1)),), [NoName(StepId("x" * (LONGEST_ID + 1)))]),
        ((step("a", "b"), step("b")), [NeedsUnlisted(A, B)]),
        ((step("a", "a"),), [NeedsUnlisted(A, A)]),
        ((replace(step("a", on_unknown=OnUnknown.UNDO), undoes_in_doubt=False),), [UndoNeedsOutput(A)]),
        ((step("a", undo=False, on_unknown=OnUnknown.UNDO),), [UndoIsMissing(A)]),
        ((step("a", undo=False, undo_in_doubt=True),), [UndoIsMissing(A)]),
        ((step("a", concurrency=-1),), [NoFanOut(A)]),
        ((replace(wait("a"), concurrency=1),), [NoFanOut(A)]),
        ((step(LONG, concurrency=1),), [LongFanOutName(StepId(LONG))]),
        ((step("a", concurrency=1), step("a[3]")), [NamedAsItem(A_3, A)]),
        ((step("a[3]"), step("a", concurrency=1)), [NamedAsItem(A, A_3)]),
        ((PIVOT, step("b", "a", undo=False, pivot=True)), [TwoPivots(A, B)]),
        ((step("a", undo=False, pivot=True, concurrency=1),), [PivotFansOut(A)]),
        ((step("a", pivot=True),), [PivotIsUndone(A)]),
        ((PIVOT, step("b", "a"), step("c", "b")), [UndoneAfterPivot(B, A), UndoneAfterPivot(C, A)]),
        ((step("a"), replace(PIVOT, step=B), step("c", "a", undo=False)), [BesidePivot(A, B), BesidePivot(C, B)]),
        ((step("a", "d"), step("a", undo=False, pivot=True)), [NeedsUnlisted(A, D), ListedTwice(A)]),
    ],
)
def test_what_is_no_plan_is_refused_with_each_flaw(steps: tuple[PlannedStep, ...], flaws: list[PlanFlaw]) -> None:
    assert list(flaws_in(PlanData(steps))) == flaws
    with pytest.raises(PlanFlawError) as refusal:
        Plan.of(*steps)
    assert refusal.value.flaw == flaws[0]
    assert isinstance(refusal.value, ValueError)


@pytest.mark.parametrize(
    "plan",
    [
        ONE,
        DIAMOND,
        PIVOTED,
        Plan.of(*TOO_MANY[:MOST_STEPS]),
        Plan.of(step("x" * LONGEST_ID)),
        Plan.of(step("x" * LONGEST_FAN_OUT_ID, concurrency=1)),
        Plan.of(step("a"), step("a[3]")),
    ],
)
def test_what_is_a_plan_has_no_flaw(plan: Plan) -> None:
    assert list(flaws_in(plan.data)) == []


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
        Plan.of(step("a", has_unknown_policies=True)),
        Plan.of(step("a", own_retry=False)),
        Plan.of(step("a"), compensate_on_failure=False),
        Plan.of(step("a"), step("b")),
        Plan.of(step("a"), step("b", "a")),
        Plan.of(step("a"), deadline=Micros(1)),
        Plan.of(step("a", undo_waits=("paid",))),
        Plan.of(wait("a")),
        Plan.of(wait("a", names=("sent",))),
        Plan.of(wait("a", correlated=True)),
        Plan.of(wait("a", timeout=Micros(1))),
        Plan.of(wait("a", timeout=Micros(1), default=True)),
        Plan.of(sleep("a", timeout=Micros(1))),
        Plan.of(sleep("a")),
    ]
    assert len({plan.id for plan in different}) == len(different)


def test_an_id_is_the_same_in_every_process() -> None:
    assert ONE.id == Plan.of(step("a")).id == "a8ddea071647069c"


def test_the_journal_entry_of_a_sleep_gives_nothing() -> None:
    plan = Plan.of(step("a"), wait("b"), sleep("c", timeout=Micros(SECOND)))
    assert [plan.gives(name) for name in (A, B, C, StepId("x"))] == [True, True, False, True]
    assert ONE.gives(A)
