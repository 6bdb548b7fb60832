"""An operator gives a step another input than the computed one: under another key, only what has surely not run, and for good."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import Refusal, RunProbe, RunStep
from saga_fn.core.events import (
    BoundEach,
    Declined,
    EventReceived,
    FailureKind,
    Finding,
    PlanChanged,
    RetryRequested,
    StepSettled,
    Ticked,
    Unbindable,
)
from saga_fn.core.ids import Digest, Micros, Moment, StepId
from saga_fn.core.inputs import digest_in_doubt, input_before
from saga_fn.core.owning import recorded_events
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import FailedForGood, Parked, ParkReason, Retrying, Running, Settled, Undoing
from tests.core.given import OTHER, SECOND, THRICE, A, B, Saga, bound, sequence, sleep, started, step, wait

EDITED = Digest(b"edited")
A0, A1 = StepId("a[0]"), StepId("a[1]")
RETRIED = sequence("ab", retry=THRICE)


def edit(saga: Saga, name: StepId, digest: Digest = EDITED) -> None:
    saga.tell(RetryRequested(saga.moment, name, digest=digest))


def run_edited(saga: Saga, name: StepId) -> tuple[object, ...]:
    return saga.tell(Ticked(saga.moment, bound(name, digest=EDITED))).actions


def waiting() -> Saga:
    """A saga whose first step has failed, and waits for its next attempt."""
    saga = started(RETRIED, A)
    saga.fail(A)
    return saga


def test_a_step_that_waits_runs_with_the_given_input_at_once_under_another_key() -> None:
    saga = waiting()
    edit(saga, A)
    found = saga.of(A, Retrying)
    assert (found.wake, found.attempts.failures, found.attempts.given) == (0, 0, saga.state.rev)
    assert input_before(saga.state, A) == (EDITED, 3)
    assert recorded_events(saga.state) == [3], "whoever owns it next reads the input"
    assert run_edited(saga, A) == (RunStep(A, 2, 1),)
    saga.succeed(A, B)
    saga.succeed(B)
    assert saga.status is SagaStatus.COMPLETED


def test_the_same_input_given_again_before_anything_has_become_of_it_changes_nothing() -> None:
    saga = waiting()
    edit(saga, A)
    assert saga.refusal(RetryRequested(saga.moment, A, digest=EDITED)) is Refusal.NOTHING_TO_RETRY
    edit(saga, A, OTHER)
    edit(saga, A)
    assert run_edited(saga, A) == (RunStep(A, 2, 3),)
    saga.fail(A)
    edit(saga, A)
    assert run_edited(saga, A) == (RunStep(A, 3, 4),), "it was tried, and a person wants another key"


def test_a_step_whose_input_could_not_be_computed_takes_the_given_one() -> None:
    saga = started(RETRIED)
    saga.tell(Ticked(saga.moment, (Unbindable(A),)))
    edit(saga, A)
    assert run_edited(saga, A) == (RunStep(A, 1, 1),)


def test_a_failed_saga_goes_on_with_the_given_input() -> None:
    saga = started(sequence("ab", undo=""), A)
    saga.fail(A)
    assert saga.status is SagaStatus.COMPENSATED, "nothing was done"
    saga = started(Plan.of(step("a"), step("b", "a"), compensate_on_failure=False), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert saga.refusal(RetryRequested(saga.moment, A, digest=EDITED)) is Refusal.NOTHING_TO_RETRY
    edit(saga, B)
    assert run_edited(saga, B) == (RunStep(B, 2, 1),)


def test_nothing_but_a_person_gives_the_step_another_input() -> None:
    saga = waiting()
    edit(saga, A)
    saga.tell(EventReceived(saga.moment))
    saga.tell(Ticked(saga.moment, bound(A, digest=b"computed")))
    assert saga.of(A, Parked).why is ParkReason.INPUT_CHANGED, "no owner computes one that knows of the given"
    edit(saga, A)
    edit(saga, A, OTHER)
    assert saga.of(A, Retrying).attempts.generation == 4
    assert saga.tell(Ticked(saga.moment, bound(A, digest=OTHER))).actions == (RunStep(A, 2, 4),)
    saga.fail(A)
    saga.tell(RetryRequested(saga.moment, A))
    assert saga.tell(Ticked(saga.moment, bound(A, digest=OTHER))).actions == (RunStep(A, 3, 4),), "the same key"


def test_a_person_may_go_back_to_what_is_computed_where_that_was_parked() -> None:
    saga = waiting()
    edit(saga, A)
    saga.tell(Ticked(saga.moment, bound(A, digest=b"computed")))
    saga.tell(RetryRequested(saga.moment, A))
    found = saga.of(A, Retrying).attempts
    assert (found.given, found.digest, found.generation) == (0, b"", 2)


def test_a_condition_does_not_pass_over_a_step_that_was_given_an_input() -> None:
    saga = started(Plan.of(step("a", when=True, retry=THRICE), step("b", "a")), A)
    saga.fail(A)
    edit(saga, A)
    saga.tell(EventReceived(saga.moment))
    saga.tell(Ticked(saga.moment, (Declined(A),)))
    assert saga.of(A, Parked).why is ParkReason.INPUT_CHANGED


def test_a_step_that_may_have_run_is_settled_first() -> None:
    saga = started(Plan.of(step("a", on_unknown=OnUnknown.PARK)), A)
    saga.fail(A, FailureKind.UNKNOWN)
    assert saga.refusal(RetryRequested(saga.moment, A, digest=EDITED)) is Refusal.IN_DOUBT
    saga.tell(StepSettled(saga.moment, A, finding=Finding.NEVER_RAN))
    edit(saga, A)
    assert run_edited(saga, A) == (RunStep(A, 2, 1),)


def test_what_is_found_out_or_undone_later_is_so_for_the_given_input() -> None:
    probed = started(Plan.of(step("a", retry=THRICE, on_unknown=OnUnknown.PROBE), step("b", "a")), A)
    probed.fail(A)
    edit(probed, A)
    run_edited(probed, A)
    assert probed.fail(A, FailureKind.UNKNOWN).actions == (RunProbe(A, 1, 1),)
    assert digest_in_doubt(probed.plan, probed.state, A) == (EDITED, False)
    saga = started(Plan.of(step("a", on_unknown=OnUnknown.PARK, retry=THRICE), step("b", "a")), A)
    saga.fail(A)
    edit(saga, A)
    run_edited(saga, A)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.tell(StepSettled(saga.moment, A, finding=Finding.DONE, inputs=bound(B)))
    assert saga.of(A, Settled).digest == EDITED
    saga.fail(B)
    assert saga.of(A, Undoing).attempts.digest == EDITED


def test_an_item_takes_an_input_of_its_own_and_the_others_keep_their_list() -> None:
    plan = Plan.of(step("a", concurrency=2, retry=THRICE, on_unknown=OnUnknown.PROBE))
    saga = Saga(plan)
    saga.start()
    saga.tell(Ticked(saga.moment, (BoundEach(A, 2, OTHER), *bound(A0, A1, digest=OTHER))))
    saga.fail(A0)
    saga.fail(A1)
    edit(saga, A0)
    saga.wait(SECOND)
    assert saga.refusal(RetryRequested(saga.moment, A, digest=EDITED)) is Refusal.NO_INPUT
    inputs = (*bound(A0, digest=EDITED), *bound(A1, digest=OTHER))
    assert saga.tell(Ticked(saga.moment, inputs)).actions == (RunStep(A0, 2, 1), RunStep(A1, 2, 0))
    saga.fail(A0, FailureKind.UNKNOWN)
    saga.fail(A1, FailureKind.UNKNOWN)
    assert digest_in_doubt(plan, saga.state, A0) == (EDITED, True)
    assert digest_in_doubt(plan, saga.state, A1) == (OTHER, True)


def test_a_list_is_spread_whatever_input_its_step_was_given_before_its_plan_changed() -> None:
    saga = started(Plan.of(step("a")))
    saga.tell(Ticked(saga.moment, (Unbindable(A),)))
    edit(saga, A)
    spread = Plan.of(step("a", concurrency=2))
    saga.plan = spread
    saga.tell(PlanChanged(saga.moment, spread.id))
    saga.tell(Ticked(saga.moment, bound(A)))
    assert saga.of(A, Parked).why is ParkReason.INPUT_FAILED


def test_what_takes_no_input_is_given_none() -> None:
    for plan in (Plan.of(wait("a")), Plan.of(sleep("a", timeout=Micros(SECOND)))):
        assert started(plan).refusal(RetryRequested(Moment(0), A, digest=EDITED)) is Refusal.NO_INPUT
    saga = started(RETRIED, A)
    assert saga.refusal(RetryRequested(Moment(0), digest=EDITED)) is Refusal.NO_INPUT
    for running in (A, B):  # what runs, and what has not begun
        assert saga.refusal(RetryRequested(Moment(0), running, digest=EDITED)) is Refusal.NOTHING_TO_RETRY


@pytest.mark.parametrize("compensates", [True, False])
def test_a_saga_that_has_turned_back_gives_no_step_another_input(*, compensates: bool) -> None:
    saga = started(Plan.of(step("a"), step("b"), compensate_on_failure=compensates), A, B)
    saga.fail(A)
    assert isinstance(saga.of(A, FailedForGood), FailedForGood)
    saga.of(B, Running)
    assert saga.refusal(RetryRequested(saga.moment, A, digest=EDITED)) is Refusal.NOTHING_TO_RETRY
