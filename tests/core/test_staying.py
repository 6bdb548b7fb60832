"""The steps of a saga that turned back which stay done, because they have no undo."""

from __future__ import annotations

import pytest

from saga_fn.core.events import FailureKind, Finding, StepSettled
from saga_fn.core.explain.preview import Consequences, preview
from saga_fn.core.explore import explore, walk
from saga_fn.core.ids import StepId
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.asked import Asked
from saga_fn.core.leftovers import LeftOverKind, left_over, stays_done
from saga_fn.core.plan import Plan, StepKind
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import Goal
from saga_fn.core.step_report import StepStatus, report_of
from saga_fn.core.verbs import Verb, ask
from tests.core.given import THRICE, A, B, C, Saga, bound, sleep, started, step, wait

PAID = Plan.of(step("a"), step("b", "a", undo=False), step("c", "b"))
"""Its second step has no undo."""
PLANS = {
    "a step without an undo": PAID,
    "no step with one": Plan.of(step("a", undo=False), step("b", "a", undo=False)),
    "branches": Plan.of(step("a", undo=False), step("b"), step("c", undo=False)),
    "items": Plan.of(step("a"), step("b", "a", undo=False, concurrency=2), step("c", "b")),
    "a wait and a sleep": Plan.of(wait("a"), sleep("b", "a"), step("c", "b", undo=False), step("d", "c")),
    "a pivot": Plan.of(step("a"), step("b", "a", undo=False, pivot=True), step("c", "b", undo=False, retry=THRICE)),
    "no way back": Plan.of(step("a"), step("b", "a", undo=False), step("c", "b"), compensate_on_failure=False),
}


def is_told_of_once(edge: Edge) -> bool:
    """Whether each step that is done is named as not undone or as staying, once the saga has ended without being COMPLETED."""
    plan, state = edge.plan, edge.after
    stays = set(stays_done(plan, state))
    if state.goal not in (Goal.COMPENSATED, Goal.FAILED):
        return not stays
    done = {
        each.step_id
        for each in report_of(plan, state)
        if each.status is StepStatus.SUCCEEDED
        and plan.step(each.step_id).kind is StepKind.STEP
        and (not plan.step(each.step_id).concurrency or plan.owner(each.step_id) != each.step_id)
    }
    not_undone = {each.step_id for each in left_over(plan, state) if each.kind is LeftOverKind.NOT_UNDONE}
    return stays | not_undone == done and not stays & not_undone


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_all_that_is_done_is_named_in_each_end(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: set[tuple[str, bool]] = set()

    def asked(edge: Edge) -> bool:
        ends.add((edge.after.goal.name, bool(stays_done(edge.plan, edge.after))))
        return is_told_of_once(edge)

    monkeypatch.setattr(walk, "ASKED", Asked((asked,)))
    assert explore(plan, budget=300, skips=0).violations == ()
    assert {end for end, stays in ends if stays} & {"COMPENSATED", "FAILED"}


def test_a_saga_that_is_compensated_names_what_had_no_undo_and_its_preview_has_said_so() -> None:
    saga = started(PAID, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    event = ask(Verb.CANCEL, StepId(""), saga.moment, until=saga.moment)
    assert event is not None
    said = preview(saga.plan, saga.state, event, most=300)
    assert isinstance(said, Consequences)
    assert (said.course.end, said.stays_done) == (SagaStatus.COMPENSATED, (B,))
    saga.fail(C)
    assert stays_done(saga.plan, saga.state) == (), "it has not ended"
    saga.undo(A)
    assert (saga.status, stays_done(saga.plan, saga.state)) == (SagaStatus.COMPENSATED, (B,))


def test_what_a_person_has_found_done_stays_so() -> None:
    """The saga FAILED, for the step may have run; with the answer nothing is in doubt, and it is COMPENSATED."""
    saga: Saga = started(PAID, A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.UNKNOWN)
    saga.undo(A)
    assert (saga.leftovers, stays_done(saga.plan, saga.state)) == ({B: "may have run"}, ())
    saga.tell(StepSettled(saga.moment, B, finding=Finding.DONE, inputs=bound()))
    assert (saga.status, stays_done(saga.plan, saga.state)) == (SagaStatus.COMPENSATED, (B,))
