"""The end that is foretold for a saga whose calls are answered so: by hand where it is known, and by all ends that there are."""

from __future__ import annotations

import itertools

import pytest

from saga_fn.core.calls import Answers, Befalls, Call, Failed, FaultAt, answers_in
from saga_fn.core.events import (
    Binding,
    Bound,
    BoundEach,
    CompensationFailed,
    CompensationSucceeded,
    Declined,
    Event,
    FailureKind,
    ProbeAnswered,
    ProbeFailed,
    StepFailed,
    StepSucceeded,
    Ticked,
)
from saga_fn.core.explore.ends import ends_of
from saga_fn.core.foretelling import Foretold, foretell, refold
from saga_fn.core.ids import Digest, Micros, Moment, StepId, item_of
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.surprises import Surprise, surprises
from tests.core.given import AT_ONCE, SECOND, A, B, C, sequence, sleep, started, step, wait

TWO = sequence("ab")
PROBED = Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PROBE, probe_retry=RetrySchedule(attempts=2)))
OBSTINATE = FaultAt(Befalls.FAILS, B, times=None)


def words(found: Foretold) -> str:
    return " ".join(
        (found.status.value, *(f"{step}:{status.value}" for step, status in found.steps), *dict(found.left_over))
    )


@pytest.mark.parametrize("how", [Befalls.CRASH_BEFORE, Befalls.CRASH_AFTER, Befalls.CRASH_AFTER_COMMIT, Befalls.TAKEN])
@pytest.mark.parametrize("hit", [A, B])
def test_a_death_changes_no_end_where_steps_are_repeated(how: Befalls, hit: StepId) -> None:
    assert foretell(TWO, Answers(), [FaultAt(how, hit)]) == foretell(TWO, Answers())
    assert words(foretell(TWO, Answers())) == "COMPLETED a:SUCCEEDED b:SUCCEEDED"


def test_a_late_answer_leaves_a_doubt_that_a_repeat_settles() -> None:
    plan = Plan.of(step("a"), step("b", "a", unknown_retry=RetrySchedule(attempts=2, base=Micros(SECOND))))
    assert words(foretell(plan, Answers(), [FaultAt(Befalls.LATE, B)])) == "COMPLETED a:SUCCEEDED b:SUCCEEDED"
    inside = Plan.of(step("a", transactional=True, on_unknown=OnUnknown.PARK))
    assert words(foretell(inside, Answers(), [FaultAt(Befalls.LATE, A)])).startswith("COMPENSATED")


def test_a_failure_is_undone() -> None:
    assert words(foretell(TWO, Answers(), [OBSTINATE])) == "COMPENSATED a:COMPENSATED b:FAILED"
    usual = Answers(failures={B: (Failed(FailureKind.BUSINESS_ERROR),)})
    assert foretell(TWO, usual) == foretell(TWO, Answers(), [OBSTINATE])


def test_a_failure_that_is_tried_again_passes() -> None:
    plan = Plan.of(step("a", retry=RetrySchedule(attempts=2, base=Micros(SECOND))))
    assert words(foretell(plan, Answers(failures={A: (Failed(FailureKind.ERROR), None)}))) == "COMPLETED a:SUCCEEDED"


@pytest.mark.parametrize(
    "fault, end",
    [
        (FaultAt(Befalls.FAILS, A, Call.UNDO), "COMPENSATED a:COMPENSATED b:FAILED"),
        (FaultAt(Befalls.FAILS, A, Call.UNDO, times=None), "FAILED a:COMPENSATION_FAILED b:FAILED a"),
        (FaultAt(Befalls.CRASH_AFTER, A, Call.UNDO), "COMPENSATED a:COMPENSATED b:FAILED"),
        (FaultAt(Befalls.LATE, A, Call.UNDO), "COMPENSATED a:COMPENSATED b:FAILED"),
        (FaultAt(Befalls.CRASH_BEFORE, B), "FAILED a:COMPENSATED b:FAILED b"),
    ],
    ids=["fails once", "always fails", "dies", "is late", "dies before the failure"],
)
def test_what_befalls_an_undo_ends_as_its_policy_says(fault: FaultAt, end: str) -> None:
    plan = Plan.of(step("a", undo_retry=RetrySchedule(attempts=2, base=Micros(SECOND))), step("b", "a"))
    assert words(foretell(plan, Answers(), [fault, OBSTINATE])) == end


@pytest.mark.parametrize(
    "faults, end",
    [
        ([FaultAt(Befalls.CRASH_AFTER, B)], "COMPLETED a:SUCCEEDED b:SUCCEEDED"),
        ([FaultAt(Befalls.CRASH_BEFORE, B)], "COMPLETED a:SUCCEEDED b:SUCCEEDED"),
        ([FaultAt(Befalls.CRASH_AFTER, B), FaultAt(Befalls.LIES, B, Call.PROBE)], "COMPLETED a:SUCCEEDED b:SUCCEEDED"),
        (
            [FaultAt(Befalls.CRASH_AFTER, B), FaultAt(Befalls.CRASH_AFTER, B, Call.PROBE)],
            "COMPLETED a:SUCCEEDED b:SUCCEEDED",
        ),
        ([FaultAt(Befalls.CRASH_AFTER, B), FaultAt(Befalls.LATE, B, Call.PROBE)], "COMPLETED a:SUCCEEDED b:SUCCEEDED"),
        (
            [FaultAt(Befalls.CRASH_AFTER, B), FaultAt(Befalls.FAILS, B, Call.PROBE, times=None)],
            "SUSPENDED a:SUCCEEDED b:PARKED",
        ),
    ],
    ids=["it ran", "it did not", "it lies", "it dies", "it is late", "it never finds out"],
)
def test_a_probe_settles_a_doubt(faults: list[FaultAt], end: str) -> None:
    assert words(foretell(PROBED, Answers(), faults)) == end


def test_an_undone_step_has_not_run_for_a_probe() -> None:
    plan = Plan.of(step("a", on_unknown=OnUnknown.PROBE), step("b", "a"))
    found = foretell(plan, Answers(), [FaultAt(Befalls.CRASH_AFTER, A), OBSTINATE])
    assert words(found) == "COMPENSATED a:COMPENSATED b:FAILED"


WAITING = Plan.of(step("a"), wait("w", "a", names=("paid",), timeout=Micros(SECOND), correlated=True), step("b", "w"))


def test_a_wait_ends_by_its_event_early_or_not_or_by_its_timeout() -> None:
    paid = foretell(WAITING, Answers(events=("other", "paid")))
    assert words(paid) == "COMPLETED a:SUCCEEDED w:SUCCEEDED b:SUCCEEDED"
    assert foretell(WAITING, Answers(early=("other", "paid"))) == paid
    assert foretell(WAITING, Answers(events=("paid",)), [FaultAt(Befalls.CRASH_AFTER_COMMIT, A)]) == paid
    assert words(foretell(WAITING, Answers())) == "COMPENSATED a:COMPENSATED w:FAILED b:PENDING"
    assert words(foretell(Plan.of(wait("w")), Answers())) == "SUSPENDED w:WAITING"
    assert words(foretell(Plan.of(step("a"), wait("w", "a", default=True, timeout=Micros(1))), Answers())) == (
        "COMPLETED a:SUCCEEDED w:SUCCEEDED"
    )


def test_sleeps_conditions_and_items_are_as_the_inputs_say() -> None:
    plan = Plan.of(sleep("s"), step("a", "s", when=True), step("f", "a", concurrency=2), step("b", "f"))
    f, spread = StepId("f"), BoundEach(StepId("f"), 3, Digest(b"list"))
    inputs: dict[StepId, Binding] = {A: Declined(A), f: spread, item_of(f, 1): Bound(item_of(f, 1), Digest(b"list"))}
    found = foretell(plan, Answers(inputs=inputs))
    assert words(found) == (
        "COMPLETED s:SUCCEEDED a:SKIPPED f:SUCCEEDED f[0]:SUCCEEDED f[1]:SUCCEEDED f[2]:SUCCEEDED b:SUCCEEDED"
    )
    assert words(foretell(plan, Answers())).startswith("COMPLETED s:SUCCEEDED a:SUCCEEDED f:SUCCEEDED f[0]:SUCCEEDED b")
    assert foretell(plan, Answers(inputs=inputs), [FaultAt(Befalls.CRASH_AFTER, f, times=2)]) == found


DIAMOND = Plan.of(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"), cancel_siblings=True)


def test_an_end_is_sure_where_no_two_calls_are_out_at_the_same_time() -> None:
    assert foretell(TWO, Answers(), [OBSTINATE]).is_sure
    assert not foretell(DIAMOND, Answers()).is_sure


def test_a_step_that_asks_to_be_tried_again_later_is() -> None:
    plan = Plan.of(step("a", own_retry=False, unknown_retry=RetrySchedule(attempts=3)), step("b", "a"))
    later = Answers(failures={A: (Failed(FailureKind.ERROR, Micros(SECOND)), None)})
    assert words(foretell(plan, later)) == "COMPLETED a:SUCCEEDED b:SUCCEEDED"
    assert words(foretell(plan, later, [FaultAt(Befalls.CRASH_AFTER, A)])) == "COMPLETED a:SUCCEEDED b:SUCCEEDED"


def test_a_doubt_of_its_own_is_settled_as_its_probe_has_settled_it() -> None:
    saga = started(PROBED, A, B)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.UNKNOWN)
    saga.found(B)
    usual = answers_in(saga.journal)
    assert usual.failures[B] == [Failed(FailureKind.UNKNOWN, done=True)]
    assert words(foretell(PROBED, usual)) == "COMPLETED a:SUCCEEDED b:SUCCEEDED"


def test_a_journal_is_folded_in_the_order_that_it_has() -> None:
    saga = started(DIAMOND, A, B, C)
    end = refold(DIAMOND, saga.journal)
    assert end is not None
    assert end.status.value == "RUNNING"
    assert refold(DIAMOND, []) is None
    assert refold(DIAMOND, [*saga.journal, StepSucceeded(saga.journal[-1].at, C, 7)]) is None


NOW = Moment(1)
FAILS_AT_B = StepFailed(NOW, B, 1)
USUAL = [StepSucceeded(NOW, A, 1), StepSucceeded(NOW, B, 1)]


@pytest.mark.parametrize(
    "journal, usual, faults, found",
    [
        ([FAILS_AT_B], USUAL, [], Surprise(B, Call.EXECUTE, certain=True)),
        ([Ticked(NOW), FAILS_AT_B], [], [], Surprise(B, Call.EXECUTE, certain=False)),
        ([FAILS_AT_B], [StepFailed(NOW, B, 1, FailureKind.FATAL)], [], Surprise(B, Call.EXECUTE, certain=False)),
        ([FAILS_AT_B], [FAILS_AT_B], [], None),
        ([FAILS_AT_B], USUAL, [OBSTINATE], None),
        ([FAILS_AT_B], USUAL, [FaultAt(Befalls.LATE, B)], None),
        (
            [FAILS_AT_B],
            USUAL,
            [FaultAt(Befalls.CRASH_AFTER, B), FaultAt(Befalls.LATE, A)],
            Surprise(B, Call.EXECUTE, certain=True),
        ),
        ([FAILS_AT_B, StepSucceeded(NOW, B, 2)], USUAL, [], None),
        ([StepFailed(NOW, B, 1, FailureKind.UNKNOWN), ProbeAnswered(NOW, B, 1, done=True)], USUAL, [], None),
        ([ProbeFailed(NOW, B, 1)], USUAL, [], Surprise(B, Call.PROBE, certain=True)),
        ([CompensationFailed(NOW, A, 1)], [], [], Surprise(A, Call.UNDO, certain=True)),
        ([CompensationFailed(NOW, A, 1), CompensationSucceeded(NOW, A, 2)], USUAL, [], None),
    ],
)
def test_a_failure_that_nothing_explains_is_told(
    journal: list[Event], usual: list[Event], faults: list[FaultAt], found: Surprise | None
) -> None:
    assert list(surprises(TWO, journal, usual, faults)) == ([] if found is None else [found])


PLANS = {
    "chain": TWO,
    "probed": PROBED,
    "undone in doubt": Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.UNDO), step("c", "b")),
    "left to a person": Plan.of(step("a", on_unknown=OnUnknown.PARK), step("b", "a")),
    "waiting": WAITING,
    "diamond": DIAMOND,
    "pivot": Plan.of(step("a"), step("b", "a", undo=False, pivot=True), step("c", "b", undo=False)),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_each_end_that_is_foretold_is_one_that_there_is(plan: Plan) -> None:
    found = ends_of(plan, budget=200_000)
    known = {(each.status, each.steps) for each in (*found.ends, *found.stops)}
    steps = [each.step for each in plan.steps if each.kind.name == "STEP"]
    faults = [FaultAt(how, hit, call) for how, hit, call in itertools.product(Befalls, steps, Call)]
    for hit, other in itertools.product(faults, [None, *(FaultAt(Befalls.FAILS, each, times=None) for each in steps)]):
        told = foretell(plan, Answers(events=("paid",)), [hit] if other is None else [hit, other])
        assert (told.status, told.steps) in known, (hit, other, words(told))


def test_a_fault_that_does_not_come_changes_nothing_and_is_told() -> None:
    found = foretell(TWO, Answers(), [FaultAt(Befalls.CRASH_AFTER, C)])
    assert found.end == foretell(TWO, Answers()).end
    assert not found.came
    assert foretell(TWO, Answers(), [OBSTINATE]).came


def test_the_answers_of_a_saga_that_nothing_befell_are_read_from_its_journal() -> None:
    saga = started(Plan.of(step("a", retry=AT_ONCE), step("b", "a")), A)
    saga.fail(A)
    saga.tick()
    saga.succeed(A, B)
    found = answers_in(saga.journal, events=["paid"])
    assert found == Answers(
        {A: Bound(A, Digest(b"input")), B: Bound(B, Digest(b"input"))},
        {A: [Failed(FailureKind.ERROR), None]},
        ["paid"],
    )
    assert words(foretell(saga.plan, found)) == "COMPLETED a:SUCCEEDED b:SUCCEEDED"
