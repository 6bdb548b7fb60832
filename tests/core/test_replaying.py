"""A journal that was folded by one plan, judged by another: what differs is told where it begins, and hides nothing behind it."""

from __future__ import annotations

from saga_fn.core.effects import Misfit, Refusal
from saga_fn.core.events import CompensationRequested, Event, EventReceived, PlanChanged, Started, StepSucceeded, Ticked
from saga_fn.core.ids import Micros, Moment
from saga_fn.core.plan import Plan
from saga_fn.core.replaying import Departed, Departure, Point, by_plan, folds_to, follow
from saga_fn.core.retry import RetrySchedule
from tests.core.given import SECOND, A, B, C, Saga, bound, sequence, started, step, wait


def departures(saga: Saga, other: Plan, journal: list[Event]) -> list[tuple[int, Departed]]:
    """The findings of the other plan about the journal of that saga, by the number of the entry."""
    before: Point | None = None
    found: list[tuple[int, Departed]] = []
    for place, event in enumerate(journal, 1):
        before, departed = follow(saga.plan, other, before, event)
        found += [(place, each) for each in departed]
        if before is None:
            break
    return found


def done(plan: Plan) -> Saga:
    saga = started(plan, A)
    saga.succeed(A, B)
    saga.succeed(B)
    return saga


def hows(saga: Saga, other: Plan) -> list[tuple[int, Departure]]:
    return [(place, each.how) for place, each in departures(saga, other, saga.journal)]


def test_the_same_plan_departs_from_nothing() -> None:
    saga = done(sequence("ab"))
    assert hows(saga, sequence("ab")) == []


def test_a_plan_that_goes_on_differs_where_the_other_one_has_ended() -> None:
    saga = done(sequence("ab"))
    found = departures(saga, sequence("abc"), saga.journal)
    assert found == [(3, Departed(Departure.OTHER_START, C, now="begins"))]


def test_a_plan_that_ends_differs_where_the_other_one_goes_on() -> None:
    saga = done(sequence("ab"))
    assert hows(saga, sequence("a")) == [(2, Departure.UNFIT)]


def test_what_the_other_plan_does_not_need_yet_is_told() -> None:
    saga = started(sequence("ab"), A)
    saga.succeed(A)
    found = departures(saga, sequence("a"), saga.journal)
    assert found == [(2, Departed(Departure.OTHER_START, B, now="does not begin"))]


def test_of_several_that_begin_the_one_is_told_that_does_not() -> None:
    saga = started(Plan.of(step("a"), step("b", "a"), step("c", "a")), A)
    saga.succeed(A)
    found = departures(saga, Plan.of(step("a"), step("b", "a"), step("c", "b")), saga.journal)
    assert found == [(2, Departed(Departure.OTHER_START, C, now="does not begin"))]


def test_a_step_that_is_gone_is_told_from_the_entry_that_began_it() -> None:
    saga = done(sequence("ab"))
    found = departures(saga, Plan.of(step("a"), step("x", "a")), saga.journal)
    misfit = next((place, each) for place, each in found if each.how is Departure.UNFIT)
    assert (misfit[0], misfit[1].step) == (2, B)
    assert misfit[1].rejection is not None
    assert misfit[1].rejection.misfit is Misfit.GONE


def test_nothing_is_decided_by_a_plan_that_does_not_fit() -> None:
    saga = done(sequence("ab"))
    found = hows(saga, Plan.of(step("x"), step("a", "x"), step("b", "a")))
    assert found[-1] == (2, Departure.UNFIT)
    assert all(place != 3 for place, _ in found)


def test_another_delay_is_told_as_such() -> None:
    quick, slow = (RetrySchedule(attempts=3, base=Micros(delay * SECOND)) for delay in (1, 9))
    saga = started(Plan.of(step("a", retry=quick)), A)
    saga.fail(A)
    assert departures(saga, Plan.of(step("a", retry=slow)), saga.journal) == [(2, Departed(Departure.OTHER_MOMENTS))]


def test_fewer_attempts_are_another_course() -> None:
    saga = started(Plan.of(step("a", retry=RetrySchedule(attempts=3, base=Micros(SECOND)))), A)
    saga.fail(A)
    ((place, found),) = departures(saga, Plan.of(step("a")), saga.journal)
    assert (place, found.how, found.step, found.was, found.now) == (2, Departure.OTHER_STEP, A, "RETRYING", "FAILED")


def test_an_event_that_nothing_waits_for_any_more_is_refused() -> None:
    saga = started(Plan.of(step("a"), wait("w", "a", names=("paid",))), A)
    saga.hear("paid")
    ((place, found),) = departures(saga, Plan.of(step("a"), wait("w", "a", names=("sent",))), saga.journal)
    assert (place, found.how) == (2, Departure.REFUSED)
    assert found.rejection is not None
    assert found.rejection.refusal is Refusal.UNKNOWN_EVENT


def test_a_saga_that_ends_otherwise_with_the_same_steps_is_told() -> None:
    steps = step("a", undo=False), step("b", "a")
    saga = started(Plan.of(*steps, compensate_on_failure=False), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert departures(saga, Plan.of(*steps), saga.journal) == [
        (3, Departed(Departure.OTHER_STATUS, was="FAILED", now="COMPENSATED"))
    ]


def test_an_entry_that_its_own_plan_does_not_accept_ends_it() -> None:
    saga = started(sequence("ab"), A)
    found = departures(saga, sequence("abc"), [*saga.journal, StepSucceeded(Moment(0), B, 1), Ticked(Moment(0))])
    assert [(place, each.how) for place, each in found] == [(2, Departure.NOT_ACCEPTED)]


def test_what_is_asked_of_a_saga_that_has_failed_is_judged_by_its_own_plan() -> None:
    plan = Plan.of(step("a"), step("b", "a"))
    saga = started(plan, A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.fail_undo(A)
    assert saga.state.ended
    saga.tell(CompensationRequested(saga.moment))
    assert hows(saga, Plan.of(*plan.steps, step("c", "b"))) == []


def test_a_change_to_a_third_plan_is_not_compared() -> None:
    saga = started(sequence("ab"), A)
    saga.plan = sequence("abc")
    saga.tell(PlanChanged(saga.moment, saga.plan.id))
    begun = started(sequence("ab"), A).state
    point, departed = follow(saga.plan, sequence("abcd"), Point(begun, fits=True), saga.journal[1])
    assert departed == ()
    assert point is not None
    assert point.fits


def test_a_journal_of_an_unknown_plan_is_told_by_the_one_that_is_known() -> None:
    plan = sequence("ab")
    started_by_another = Started(Moment(0), sequence("abc").id, bound(A))
    assert by_plan(plan, started_by_another) == Started(Moment(0), plan.id, bound(A))
    assert by_plan(plan, PlanChanged(Moment(0), sequence("abc").id)) == PlanChanged(Moment(0), plan.id)
    heard = EventReceived(Moment(0), "paid")
    assert by_plan(plan, heard) is heard


def test_a_fold_is_compared_with_what_is_stored_whatever_the_plan_is_called() -> None:
    saga, other = done(sequence("ab")), started(sequence("ab"), A)
    point, _ = follow(sequence("abc"), sequence("abc"), None, Started(Moment(0), sequence("abc").id, bound(A)))
    assert point is not None
    assert folds_to(point.state, other.state)
    assert not folds_to(point.state, saga.state)
