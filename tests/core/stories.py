"""Whole lives of sagas, told event by event: what the golden journals record."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from saga_fn.core.events import (
    Accompanied,
    Binding,
    Bound,
    BoundEach,
    CompensationRequested,
    Declined,
    EventReceived,
    FailureKind,
    Finding,
    HandedBack,
    MomentsMoved,
    Paused,
    PauseRequested,
    PlanChanged,
    ResumeRequested,
    RetryRequested,
    RewindRequested,
    SagaParked,
    Started,
    StepSettled,
    StepSkipped,
    StepSucceeded,
    Ticked,
    Unbindable,
    Until,
)
from saga_fn.core.ids import Digest, Micros, Moment, StepId
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import ParkReason
from tests.core.given import (
    DIAMOND,
    ONE,
    PIVOTED,
    SECOND,
    THREE,
    THRICE,
    A,
    B,
    C,
    D,
    Saga,
    bound,
    sequence,
    sleep,
    started,
    step,
    wait,
)


def completed() -> Saga:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.wait(SECOND)
    saga.succeed(B, C)
    saga.succeed(C)
    return saga


def compensated() -> Saga:
    saga = started(DIAMOND, A)
    saga.succeed(A, B, C)
    saga.succeed(C)
    saga.succeed(B, D)
    saga.fail(D)
    saga.undo(C)
    saga.undo(B)
    saga.undo(A)
    return saga


def retried() -> Saga:
    saga = started(sequence("ab", retry=THRICE), A)
    saga.fail(A, jitter_draw=0.25)
    saga.wait(SECOND)
    saga.resume(A)
    saga.succeed(A, B)
    for _ in range(3):
        saga.fail(B)
        saga.wait(SECOND)
        saga.tick(*([B] if saga.kinds()[B] == "Retrying" else []))
    saga.fail_undo(A)
    saga.wait(SECOND)
    saga.tick()
    saga.undo(A)
    return saga


def left_over() -> Saga:
    saga = started(sequence("abc", retry=None), A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C, FailureKind.UNKNOWN)
    saga.fail_undo(B)
    return saga


def taken_over_and_parked() -> Saga:
    saga = started(ONE, A)
    for _ in range(3):
        saga.wait(SECOND)
        saga.take_over(A, isolated=True)
    return saga


def aborted_and_retried() -> Saga:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.abort(until=30 * SECOND)
    saga.tell(RetryRequested(saga.moment))
    saga.wait(30 * SECOND)
    saga.resume(B)
    saga.fail(B, FailureKind.OUTPUT_LOST)
    saga.ask(CompensationRequested(saga.moment))
    saga.undo(A)
    return saga


def helped_by_a_person() -> Saga:
    saga = started(THREE)
    saga.tell(Ticked(saga.moment, (Unbindable(A),)))
    saga.tell(StepSkipped(saga.moment, A, bound(B)))
    saga.tell(HandedBack(saga.moment))
    saga.tell(EventReceived(saga.moment))
    saga.tell(Ticked(saga.moment, (Bound(B, Digest(b"other")),)))
    saga.tell(SagaParked(saga.moment, ParkReason.ROW_REJECTED))
    saga.tell(RetryRequested(saga.moment))
    saga.tell(Ticked(saga.moment, (Bound(B, Digest(b"other")),)))
    saga.succeed(B)
    saga.plan = Plan.of(*THREE.steps, step("d", "c"))
    saga.tell(PlanChanged(saga.moment, saga.plan.id))
    saga.resume(C)
    saga.succeed(C, D)
    return saga


def past_its_pivot() -> Saga:
    saga = started(PIVOTED, A)
    saga.succeed(A, B)
    saga.ask(CompensationRequested(saga.moment))
    saga.succeed(B, C)
    saga.fail(C, FailureKind.BUSINESS_ERROR)
    saga.tell(RetryRequested(saga.moment))
    saga.tick(C)
    saga.fail(C)
    saga.abort()
    return saga


WAITING = Plan.of(
    step("a"),
    wait("b", "a", names=("paid", "sent"), timeout=Micros(60 * SECOND), correlated=True),
    sleep("c", "b", timeout=Micros(SECOND)),
    wait("d", "c", timeout=Micros(SECOND), default=True),
    deadline=Micros(600 * SECOND),
)


def waited() -> Saga:
    saga = Saga(WAITING)
    saga.tell(Started(saga.moment, WAITING.id, delay=Micros(SECOND)))
    saga.receive("sent", b"other")
    saga.wait(SECOND)
    saga.resume(A)
    saga.receive("paid", expires=SECOND + 1)
    saga.succeed(A, B)
    saga.receive("sent", b"input")
    saga.wait(SECOND)
    saga.resume()
    saga.wait(SECOND)
    saga.resume()
    saga.default(D)
    return saga


def waited_in_vain() -> Saga:
    plan = Plan.of(step("a"), wait("b", "a", timeout=Micros(SECOND)), sleep("c"), deadline=Micros(60 * SECOND))
    saga = Saga(plan)
    saga.tell(Started(saga.moment, plan.id, (*bound(A), Until(C, Moment(90 * SECOND)))))
    saga.succeed(A)
    saga.wait(SECOND)
    saga.resume()
    saga.undo(A)
    return saga


def undone_in_two_moves() -> Saga:
    saga = started(Plan.of(step("a", undo_waits=("paid",), undo_retry=THRICE), step("b", "a")), A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.undo_waits(A, timeout=Micros(SECOND))
    saga.wait(SECOND)
    saga.resume()
    saga.wait(SECOND)
    saga.resume()
    saga.undo_waits(A)
    saga.hear("paid")
    saga.undo(A)
    return saga


def late() -> Saga:
    plan = Plan.of(sleep("a"), step("b", "a"), deadline=Micros(60 * SECOND))
    saga = Saga(plan)
    saga.tell(Started(saga.moment, plan.id, (Until(A, Moment(90 * SECOND)),)))
    saga.wait(60 * SECOND)
    saga.resume()
    return saga


def found_out() -> Saga:
    asked = Plan.of(
        step("a"),
        step("b", "a", retry=THRICE, on_unknown=OnUnknown.PROBE, probe_retry=THRICE),
        step("c", "b", on_unknown=OnUnknown.PROBE),
    )
    saga = started(asked, A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.UNKNOWN)
    saga.fail_probe(B)
    saga.wait(SECOND)
    saga.resume()
    saga.take_over()
    saga.found(B, done=False)
    saga.wait(SECOND)
    saga.tick(B)
    saga.take_over()
    saga.found(B, C)
    saga.fail(C, FailureKind.UNKNOWN)
    saga.fail_probe(C)
    saga.ask(CompensationRequested(saga.moment))
    saga.undo(B)
    saga.undo(A)
    return saga


def undone_in_doubt() -> Saga:
    saga = started(Plan.of(step("a"), step("b", "a", undo_retry=THRICE, on_unknown=OnUnknown.UNDO)), A)
    saga.succeed(A, B)
    saga.take_over()
    saga.fail_undo(B)
    saga.wait(SECOND)
    saga.resume()
    saga.undo(B)
    saga.undo(A)
    return saga


def repeated_in_doubt() -> Saga:
    minutes = RetrySchedule(attempts=3, base=Micros(SECOND), within=Micros(900 * SECOND))
    open_ended = step("b", "a", unknown_retry=minutes, undo_in_doubt=True, own_retry=False)
    saga = started(Plan.of(step("a", retry=THRICE, unknown_retry=minutes, has_unknown_policies=True), open_ended), A)
    saga.fail(A, after=Micros(SECOND))
    saga.wait(SECOND)
    saga.resume(A)
    saga.fail(A, FailureKind.UNKNOWN, jitter_draw=0.25)
    saga.wait(SECOND)
    saga.take_over(A)
    saga.succeed(A, B)
    saga.fail(B, after=Micros(SECOND))
    saga.wait(SECOND)
    saga.tick(B)
    saga.fail(B, FailureKind.UNKNOWN)
    saga.wait(SECOND)
    saga.tick(B)
    saga.fail(B, FailureKind.BUSINESS_ERROR)
    saga.undo(B)
    saga.undo(A)
    return saga


def left_to_a_person() -> Saga:
    asked = step("a", on_unknown=OnUnknown.PARK, undo_in_doubt=True)
    saga = started(Plan.of(asked, step("b"), replace(asked, step=C)), A, B, C)
    saga.fail(B)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.fail(C, FailureKind.UNKNOWN)
    saga.tell(StepSettled(saga.moment, C, finding=Finding.NEVER_RAN))
    saga.ask(CompensationRequested(saga.moment))
    saga.undo(A)
    return saga


def given_an_input() -> Saga:
    saga = started(sequence("ab", retry=THRICE), A)
    saga.fail(A)
    edited = Digest(b"edited")
    saga.tell(RetryRequested(saga.moment, A, digest=edited))
    saga.tell(Ticked(saga.moment, bound(A, digest=edited)))
    saga.succeed(A, B)
    saga.succeed(B)
    return saga


def taken_back() -> Saga:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B)
    saga.tell(Ticked(saga.moment, (Unbindable(C),)))
    saga.tell(RewindRequested(saga.moment, B, (B,)))
    saga.tick(B)
    saga.succeed(B, C)
    saga.succeed(C)
    return saga


def settled_by_hand() -> Saga:
    asked = step("b", "a", on_unknown=OnUnknown.PARK)
    saga = started(Plan.of(step("a"), asked, step("c", "b")), A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.UNKNOWN)
    saga.tell(StepSettled(saga.moment, B, finding=Finding.DONE, inputs=bound(C)))
    saga.fail(C)
    saga.fail_undo(B)
    saga.ask(StepSettled(saga.moment, B))
    saga.undo(A)
    return saga


def skipped_in_doubt() -> Saga:
    saga = started(Plan.of(step("a", on_unknown=OnUnknown.PARK), step("b", "a")), A)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.tell(StepSkipped(saga.moment, A, bound(B)))
    saga.fail(B)
    return saga


def passed_over() -> Saga:
    saga = started(Plan.of(step("a"), step("b", "a", when=True), step("c", "b")), A)
    saga.tell(StepSucceeded(saga.moment, A, 1, (Declined(B), *bound(C))))
    saga.succeed(C)
    return saga


def fanned_out() -> Saga:
    items = [StepId(f"b[{number}]") for number in range(3)]
    saga = started(Plan.of(step("a"), step("b", "a", concurrency=2, retry=THRICE), step("c", "b")), A)
    each: tuple[Binding, ...] = (BoundEach(B, 3, Digest(b"input")), *bound(*items[:2]))
    saga.tell(StepSucceeded(saga.moment, A, 1, each))
    saga.fail(items[0])
    saga.tick(items[2])
    saga.wait(SECOND)
    saga.take_over(items[0], items[1])
    saga.succeed(items[0], items[2])
    saga.succeed(items[2])
    saga.succeed(items[1], C)
    saga.fail(C)
    for item in items:
        saga.undo(item)
    saga.undo(A)
    return saga


def cut_short() -> Saga:
    saga = started(Plan.of(step("a"), step("b"), step("c"), cancel_siblings=True), A, B, C)
    saga.succeed(C)
    saga.fail(B)
    saga.undo(C)
    return saga


def parked_by_a_plan() -> Saga:
    saga = started(Plan.of(step("a"), wait("b", timeout=Micros(SECOND)), step("c", "b")), A)
    saga.take_over(A, isolated=True)
    saga.tell(Accompanied(saga.moment))
    saga.tell(SagaParked(saga.moment, ParkReason.PLAN_CHANGED))
    saga.tell(PlanChanged(saga.moment, saga.plan.id))
    saga.resume(A)
    saga.succeed(A)
    saga.receive("paid")
    saga.tick(C)
    saga.succeed(C)
    return saga


def paused() -> Saga:
    saga = started(Plan.of(step("a"), step("b", "a")), A)
    saga.tell(Paused(saga.moment))
    saga.succeed(A)
    saga.resume(B)
    saga.fail(B)
    saga.tell(Paused(saga.moment))
    saga.undo(A)
    return saga


def paused_by_a_person() -> Saga:
    saga = started(Plan.of(sleep("a", timeout=Micros(SECOND)), step("b", "a")))
    saga.tell(PauseRequested(saga.wait(SECOND // 2)))
    saga.resume()
    saga.tell(ResumeRequested(saga.wait(2 * SECOND), extend=True))
    saga.tell(MomentsMoved(saga.wait(0), Moment(0), saga.moment))
    saga.wait(2 * SECOND)
    saga.resume(B)
    saga.succeed(B)
    return saga


STORIES: Mapping[str, Callable[[], Saga]] = {
    story.__name__: story
    for story in (
        completed,
        paused,
        paused_by_a_person,
        compensated,
        retried,
        left_over,
        taken_over_and_parked,
        aborted_and_retried,
        helped_by_a_person,
        past_its_pivot,
        found_out,
        undone_in_doubt,
        repeated_in_doubt,
        left_to_a_person,
        settled_by_hand,
        given_an_input,
        taken_back,
        skipped_in_doubt,
        waited,
        waited_in_vain,
        late,
        passed_over,
        fanned_out,
        cut_short,
        undone_in_two_moves,
        parked_by_a_plan,
    )
}
