"""A saga goes as it was said before that it would: every preview is compared with the fold.

That the prospects hold is asked of all that `test_exploration` walks through.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest
from msgspec.structs import replace
from returns.result import Failure, Success

from saga_fn.core.effects import CancelExecution, Refusal, Rejection, RunStep, Transition
from saga_fn.core.events import (
    BoundEach,
    CompensationRequested,
    EventReceived,
    FailureKind,
    Finding,
    HandedBack,
    OperatorVerb,
    Rescheduled,
    Resumed,
    RetryRequested,
    RewindRequested,
    SagaParked,
    Started,
    StepFailed,
    StepSettled,
    StepSkipped,
    Ticked,
)
from saga_fn.core.explain.course import Course, Move, MoveKind, at_once, course, moves_of
from saga_fn.core.explain.preview import Consequences, preview, questions
from saga_fn.core.explain.prospects import Prospects, prospects
from saga_fn.core.explain.reasons import Cause, Reason, ended, reasons
from saga_fn.core.explore import explore, walk
from saga_fn.core.explore.offers import variants
from saga_fn.core.explore.shapes import SAME
from saga_fn.core.ids import Digest, Micros, Moment, StepId
from saga_fn.core.invariants.asked import Asked
from saga_fn.core.plan import OnUnknown, Plan, StepKind
from saga_fn.core.projection import SagaStatus, WaitReason, project
from saga_fn.core.state import (
    FannedOut,
    Goal,
    Joined,
    NotTaken,
    ParkReason,
    Probing,
    Rewound,
    Running,
    SagaState,
    Skipped,
    Sleeping,
    StepState,
    Unfinished,
    Waiting,
    is_executing,
)
from saga_fn.core.step_report import report_of
from saga_fn.core.transition import transition
from saga_fn.core.verbs import Verb, ask, verb_of
from tests.core.given import (
    MINUTE,
    ONE,
    PIVOTED,
    SECOND,
    THREE,
    THRICE,
    A,
    B,
    C,
    Saga,
    sequence,
    sleep,
    started,
    step,
    wait,
)
from tests.core.prospected import within
from tests.core.test_exploration import EXHAUSTIVE, QUICK

MOST = 300
ENDS = frozenset({SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED})
ABORTED_UNTIL = Moment(2)


def owner_goes_on(plan: Plan, state: SagaState) -> list[Transition]:
    """The moves that an owner may make now, with each of the inputs that it may have computed."""
    return [] if state.ended else [moved for _, moved in variants(plan, state, Ticked(state.at), set())]


def says_of_each_verb_what_it_does(plan: Plan, state: SagaState) -> bool:
    """Its answer, its effects, and a course that is among the prospects; with nothing more said, and with all that can be."""
    plain = [event for _, event in questions(plan, state, state.at, until=ABORTED_UNTIL)]
    return all(is_so(plan, state, event) for event in (*plain, *with_all_that_can_be_given(plan, state)))


def with_all_that_can_be_given(plan: Plan, state: SagaState) -> Iterator[OperatorVerb]:
    """A rewind that forgets all, a retry with another input, a skip of what has not begun, and another moment for what sleeps."""
    at, every = state.at, tuple(plan.index)
    yield Rescheduled(at, Moment(at + MINUTE))
    for name in every:
        yield RewindRequested(at, name, forget=every)
    for name in (each.step_id for each in report_of(plan, state)):
        yield RetryRequested(at, name, digest=SAME)
        yield StepSkipped(at, name, not_begun=True)
        yield Rescheduled(at, Moment(at + MINUTE), name)


def is_so(plan: Plan, state: SagaState, event: OperatorVerb) -> bool:
    said = preview(plan, state, event, most=MOST)
    match transition(plan, state, event):
        case Failure(rejection):
            return said == rejection
        case Success(moved):
            assert isinstance(said, Consequences)
            return (
                does_so(plan, moved, said)
                and forgets_what_must_be_named(plan, state, event, said)
                and tells_which_keys_are_others(plan, state, moved, said)
                and tells_what_comes_to_its_end_first(state, moved, said)
            )
    raise AssertionError


def forgets_what_must_be_named(plan: Plan, state: SagaState, event: OperatorVerb, said: Consequences) -> bool:
    """Without these names the verb is refused, and asks for just them."""
    if not isinstance(event, RewindRequested):
        return said.forgotten == ()
    match transition(plan, state, replace(event, forget=())):
        case Failure(Rejection(refusal=Refusal.UNNAMED, unnamed=unnamed)):
            return said.forgotten == unnamed
        case _:
            return said.forgotten == ()


def tells_which_keys_are_others(plan: Plan, state: SagaState, moved: Transition, said: Consequences) -> bool:
    """The next execution has the key that was told: another one than its attempt before, or the same."""
    before = {each.step: each for each in state.steps}
    for action in (each for then in owner_goes_on(plan, moved.state) for each in then.actions):
        was = before.get(action.step)
        if not isinstance(action, RunStep) or was is None or is_unbegun(was):
            continue
        same = isinstance(was, Unfinished) and was.attempts.generation == action.generation
        if same is bool({action.step, plan.owner(action.step)} & {*said.another_key}):
            return False
    return True


def tells_what_comes_to_its_end_first(state: SagaState, moved: Transition, said: Consequences) -> bool:
    """A saga that turns back waits for what runs and is not cut short: nothing is undone before."""
    cut = {each.step for each in moved.actions if isinstance(each, CancelExecution)}
    forward = {each.step for each in state.steps if isinstance(each, Running | Probing)}
    still = {each.step for each in moved.state.steps if isinstance(each, Running | Probing)} & forward - cut
    if moved.state.goal is Goal.FORWARD:
        return said.runs_on == ()
    return {*said.runs_on} == still and not (still and MoveKind.UNDO in {move.kind for move in said.at_once})


def is_unbegun(step: StepState) -> bool:
    """Whether nothing of the step was ever executed, or may have been, so that it has no key yet."""
    if isinstance(step, Unfinished):
        return not step.attempts.attempt
    return isinstance(step, Rewound | FannedOut | Joined | NotTaken | Waiting | Sleeping) or (
        isinstance(step, Skipped) and not step.doubt
    )


def does_so(plan: Plan, moved: Transition, said: Consequences) -> bool:
    cut = [each.step for each in moved.actions if isinstance(each, CancelExecution)]
    begun = moves_of(moved.actions)
    rest = said.at_once[len(begun) :]
    then = owner_goes_on(plan, moved.state)
    known = {move for each in then for move in moves_of(each.actions)}
    needed = {
        Move(MoveKind.RUN, name) for each in then[:1] for name in each.needs if plan.step(name).kind is StepKind.STEP
    }
    undone = tuple(move.step for move in said.course.moves if move.kind is MoveKind.UNDO)
    return (
        said.state == moved.state
        and said.at_once[: len(begun)] == begun
        and [move.step for move in begun if move.kind is MoveKind.CUT_SHORT] == cut
        and needed <= set(rest)
        and all(move in known or move.kind is MoveKind.AWAIT or move.step in plan.concurrencies for move in rest)
        and all(move in rest for move in known if move.kind in (MoveKind.UNDO, MoveKind.PROBE))
        and said.course.is_whole
        and said.course.end in {None, *said.prospects.ends}
        and (said.course.end is None) is (WaitReason.PARKED in project(plan, said.course.state).waits)
        and within(plan, undone, said.prospects.may_be_undone)
        and (
            said.course.end is None
            or within(plan, tuple(x.step_id for x in said.left_over), said.prospects.may_be_left)
        )
    )


def tells_why(plan: Plan, state: SagaState) -> bool:
    """Each execution and each wait that the row shows is among the reasons."""
    found = reasons(plan, state)
    causes = {each.cause for each in found}
    shown = project(plan, state)
    if state.ended:
        return causes == {Cause.ENDED}
    runs = {each.step for each in state.steps if is_executing(each)}
    told = {each.step for each in found if each.cause in (Cause.RUNNING, Cause.UNDOING, Cause.PROBING)}
    persons = {each.parked for each in found if each.cause in (Cause.PERSON, Cause.UNDO_PERSON)}
    orphaned = reasons(plan, state, leased=False, lease_over=Moment(7))
    return (
        bool(found)
        and runs == told
        and runs == {each.step for each in orphaned if each.interrupted and each.lease_over == Moment(7)}
        and all(each.may_have_run or each.transactional for each in orphaned if each.cause is Cause.RUNNING)
        and all(one == other for one, other in zip(found, orphaned, strict=True) if not other.interrupted)
        and (WaitReason.PARKED not in shown.waits or shown.parked in {why and why.value for why in persons})
        and (WaitReason.EVENT not in shown.waits or not causes.isdisjoint({Cause.EVENT, Cause.UNDO_EVENT}))
        and (shown.status is not SagaStatus.RUNNING or not causes <= {Cause.PERSON, Cause.UNDO_PERSON})
    )


@pytest.mark.parametrize(
    "shape", [name if name in QUICK else pytest.param(name, marks=pytest.mark.exhaustive) for name in EXHAUSTIVE]
)
def test_what_is_said_is_what_comes(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "ASKED", Asked(()))
    monkeypatch.setattr(walk, "STATE_LAWS", (says_of_each_verb_what_it_does, tells_why))
    assert explore(EXHAUSTIVE[shape], budget=120).violations == ()


def test_every_verb_is_asked_of_every_step_that_it_may_name() -> None:
    state = started(THREE, A).state
    asked = list(questions(THREE, state, state.at, until=state.at))
    assert {type(event) for _, event in asked} == set(get_args(OperatorVerb))
    assert all(verb_of(event) is verb for verb, event in asked)
    steps = {verb: [getattr(event, "step", None) for each, event in asked if each is verb] for verb in Verb}
    assert all(steps[verb] == [A, B, C] for verb in Verb if verb.names_a_step)
    assert all(len(steps[verb]) <= 1 for verb in Verb if not verb.names_a_step)


def of_verb(saga: Saga, verb: Verb, name: StepId = A, *, orphaned: bool = False) -> Rejection | Consequences:
    event = ask(verb, name, saga.moment, until=Moment(saga.moment + MINUTE))
    assert event is not None
    return preview(saga.plan, saga.state, event, leased=not orphaned, most=MOST)


def told(moves: tuple[Move, ...]) -> list[str]:
    return [f"{move.kind} {move.step}" for move in moves]


def test_a_rollback_says_what_it_would_undo_and_how_it_would_end() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    said = of_verb(saga, Verb.CANCEL)
    assert isinstance(said, Consequences)
    assert (told(said.at_once), told(said.course.moves)) == ([], ["undo c", "undo b", "undo a"])
    assert (said.course.end, said.left_over) == (SagaStatus.COMPENSATED, ())
    assert said.prospects.ends == {SagaStatus.COMPENSATED, SagaStatus.FAILED}


def test_an_end_by_force_says_what_it_cuts_short_and_leaves() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    said = of_verb(saga, Verb.ABORT)
    assert isinstance(said, Consequences)
    assert told(said.at_once) == ["cut short b"]
    assert told(said.course.moves) == []
    assert (said.course.end, [each.step_id for each in said.left_over]) == (SagaStatus.FAILED, [A, B])
    assert said.due is None


def test_an_owner_that_is_gone_has_lost_what_it_was_running() -> None:
    saga = started(ONE, A)
    assert isinstance(of_verb(saga, Verb.RETRY_STEP), Rejection), "it runs"
    lost = of_verb(saga, Verb.SETTLE_UNDONE, orphaned=True)
    assert isinstance(lost, Consequences), "nobody runs it any more, and it may have run"
    ended = of_verb(saga, Verb.ABORT, orphaned=True)
    assert isinstance(ended, Consequences)
    assert told(ended.at_once) == ["cut short a"], "it is taken from its owner as it stands"


def test_a_verb_after_an_abort_says_when_it_begins() -> None:
    saga = started(sequence("a", retry=THRICE), A)
    saga.tell(ask(Verb.ABORT, A, saga.moment, until=Moment(saga.moment + MINUTE)) or Ticked(saga.moment))
    said = of_verb(saga, Verb.RETRY_STEP)
    assert isinstance(said, Consequences)
    assert (said.at_once, said.due, said.course.end) == ((), Moment(saga.moment + MINUTE), SagaStatus.COMPLETED)


def test_a_course_passes_events_moments_and_lists() -> None:
    plan = Plan.of(
        wait("a", correlated=True),
        sleep("b", "a", timeout=Micros(SECOND)),
        sleep("c", "b"),
        step("d", "c", concurrency=1),
        step("e", "d", on_unknown=OnUnknown.PROBE),
        deadline=None,
    )
    saga = started(plan)
    found = course(plan, saga.state, most=MOST)
    assert told(found.moves) == ["await a", "await b", "await c", "run d", "run e"]
    assert (found.end, found.is_whole) == (SagaStatus.COMPLETED, True)
    short = course(plan, saga.state, most=2)
    assert (short.end, short.is_whole) == (None, False)


def test_a_course_counts_with_what_is_stored_and_not_read() -> None:
    plan = Plan.of(step("a"), wait("b", "a", timeout=Micros(SECOND)), step("c", "b"))
    saga = started(plan, A)
    saga.succeed(A)
    saga.tick(B)
    paid, lost = EventReceived(Moment(2 * SECOND), "paid"), EventReceived(Moment(2 * SECOND), "lost")
    found = course(plan, saga.state, unread=(lost, paid), most=MOST)
    assert (told(found.moves), found.end) == (["run c"], SagaStatus.COMPLETED), "though the time of the wait is over"
    void = EventReceived(Moment(2 * SECOND), "paid", expires=Moment(SECOND))
    late = course(plan, saga.state, now=Moment(2 * SECOND), unread=(void,), most=MOST)
    assert (told(late.moves), late.end) == (["undo a"], SagaStatus.COMPENSATED)
    event = CompensationRequested(saga.moment)
    said = preview(plan, saga.state, event, unread=(paid,), most=MOST)
    assert isinstance(said, Consequences)
    assert said.course.end is SagaStatus.COMPENSATED, "the verb comes first"


GROWN = Plan.of(step("a"), step("b", "a"), step("c", "b"), step("d", "c"))
"""Fits a saga of THREE, whatever it has done."""
OTHER = Plan.of(step("x"), step("y", "x"))
"""Fits none that has begun a step."""


@pytest.mark.parametrize(
    "owners, goes_by",
    [((GROWN,), GROWN), ((GROWN, THREE), THREE), ((OTHER, GROWN), GROWN)],
    ids=["one", "its own", "a fit"],
)
def test_a_course_goes_by_the_first_plan_that_fits(owners: tuple[Plan, ...], goes_by: Plan) -> None:
    saga = started(THREE, A)
    saga.succeed(A)
    found = course(THREE, saga.state, owners=owners, most=MOST)
    assert (found.plan, found.misfit, found.end) == (goes_by, False, SagaStatus.COMPLETED)
    assert told(found.moves)[-1] == f"run {goes_by.steps[-1].step}"


@pytest.mark.parametrize("is_due", [True, False], ids=["due", "waits for an event"])
def test_a_course_ends_where_no_plan_fits(*, is_due: bool) -> None:
    plan = THREE if is_due else Plan.of(step("a"), wait("b", "a"), step("c", "b"))
    saga = started(plan, A)
    saga.succeed(A)
    if not is_due:
        saga.tick(B)
    found = course(plan, saga.state, owners=(OTHER,), most=MOST)
    assert (found.misfit, found.end, found.is_whole) == (True, None, True)
    assert project(plan, found.state).waits == WaitReason.PARKED | WaitReason.PLAN
    assert at_once(plan, saga.state, owners=(OTHER,)) == ()


def test_a_course_reads_what_is_stored_as_the_next_owner_does() -> None:
    plan = Plan.of(step("a"), wait("b", "a"), step("c", "b"))
    grown = Plan.of(step("a"), wait("b", "a"), step("c", "b"), step("d", "c"))
    saga = started(plan, A)
    saga.succeed(A)
    saga.tick(B)
    paid = EventReceived(saga.moment, "paid")
    assert told(course(plan, saga.state, unread=(paid,), owners=(grown,), most=MOST).moves) == ["run c", "run d"]
    lost = course(plan, saga.state, unread=(paid,), owners=(OTHER,), most=MOST)
    assert (lost.misfit, lost.moves) == (True, ()), "it is read by the plan that the saga has, and then no plan fits"


def test_a_course_runs_the_items_that_are_known() -> None:
    plan = Plan.of(step("a", concurrency=1), step("b", "a"))
    saga = Saga(plan)
    saga.tell(Started(saga.moment, plan.id, (BoundEach(A, 2, Digest(b"list")),)))
    assert told(course(plan, saga.state, most=MOST).moves) == ["run a[0]", "run a[1]", "run b"]
    assert {verb for verb in Verb if verb.needs_output} == {Verb.SKIP_STEP, Verb.SETTLE_DONE}


def test_a_course_ends_where_only_a_person_can_go_on() -> None:
    saga = started(THREE, A)
    saga.tell(StepFailed(saga.moment, A, 1, FailureKind.OUTPUT_LOST))
    found = course(THREE, saga.state, most=MOST)
    assert found == Course((), None, is_whole=True, state=found.state, plan=THREE)


def test_a_course_waits_for_the_events_of_a_compensation() -> None:
    plan = Plan.of(step("a", undo_waits=("paid",)), step("b", "a"))
    saga = started(plan, A)
    saga.succeed(A, B)
    saga.tell(StepFailed(saga.moment, B, 1))
    saga.undo_waits(A, "paid")
    assert reasons(plan, saga.state) == (Reason(Cause.UNDO_EVENT, A, None, ("paid",), None, 1),)
    assert told(course(plan, saga.state, most=MOST).moves) == ["undo a"]


def test_each_reason_says_since_which_attempt_and_until_when() -> None:
    saga = started(Plan.of(step("a", retry=THRICE, undo_retry=THRICE), step("b", "a")), A)
    assert reasons(saga.plan, saga.state) == (Reason(Cause.RUNNING, A, attempt=1),)
    saga.fail(A)
    assert reasons(saga.plan, saga.state) == (
        Reason(Cause.RETRY, A, Moment(SECOND), attempt=1, failures=1, most_attempts=3),
    )
    saga.wait(SECOND)
    saga.tick(A)
    saga.tell(HandedBack(saga.moment))
    assert reasons(saga.plan, saga.state) == (
        Reason(Cause.DOUBT, A, saga.moment, attempt=2, failures=1, may_have_run=True),
        Reason(Cause.WORKER),
    )
    saga.tick(A)
    saga.succeed(A, B)
    saga.fail(B)
    assert reasons(saga.plan, saga.state) == (Reason(Cause.UNDOING, A, attempt=1),)
    saga.fail_undo(A)
    assert reasons(saga.plan, saga.state) == (
        Reason(Cause.UNDO_RETRY, A, Moment(2 * SECOND), attempt=1, failures=1, most_attempts=3),
    )
    saga.tell(SagaParked(saga.moment, ParkReason.ROW_REJECTED))
    assert reasons(saga.plan, saga.state) == (
        Reason(Cause.UNDO_PERSON, A, parked=ParkReason.ROW_REJECTED, attempt=1, failures=1),
    )
    saga.abort()
    assert reasons(saga.plan, saga.state) == (Reason(Cause.ENDED),)


def test_what_a_process_without_a_lease_executes_may_have_run() -> None:
    saga = started(Plan.of(step("a"), step("b", transactional=True, on_unknown=OnUnknown.PARK)), A, B)
    assert reasons(saga.plan, saga.state, leased=False, lease_over=Moment(7)) == (
        Reason(Cause.RUNNING, A, attempt=1, may_have_run=True, interrupted=True, lease_over=Moment(7)),
        Reason(Cause.RUNNING, B, attempt=1, transactional=True, interrupted=True, lease_over=Moment(7)),
    )


def test_a_delayed_start_and_what_may_still_run_are_reasons() -> None:
    saga = Saga(ONE)
    saga.tell(Started(saga.moment, ONE.id, delay=Micros(SECOND)))
    assert reasons(ONE, saga.state) == (Reason(Cause.BEGIN, until=Moment(SECOND)),)
    saga = started(Plan.of(step("a", undo_in_doubt=True), step("b", undo=False)), A, B)
    saga.succeed(B)
    saga.abort(MINUTE)
    saga.tell(CompensationRequested(saga.moment))
    assert Reason(Cause.STOPPING, until=Moment(MINUTE)) in reasons(saga.plan, saga.state)


def test_a_probe_a_sleep_and_a_wait_are_reasons() -> None:
    plan = Plan.of(step("a", on_unknown=OnUnknown.PROBE), sleep("b", timeout=Micros(SECOND)), wait("c"))
    saga = started(plan, A)
    saga.fail(A, FailureKind.UNKNOWN)
    assert reasons(plan, saga.state) == (
        Reason(Cause.PROBING, A, attempt=1, may_have_run=True),
        Reason(Cause.SLEEP, B, Moment(SECOND)),
        Reason(Cause.EVENT, C, None, ("paid",)),
    )
    assert told(course(plan, saga.state, most=MOST).moves) == []


def test_what_may_become_of_a_saga_is_said_of_its_plan_and_its_place() -> None:
    halting = Plan.of(step("a"), step("b", "a"), compensate_on_failure=False)
    saga = started(halting, A)
    saga.succeed(A, B)
    saga.fail(B)
    assert saga.status is SagaStatus.FAILED
    two = started(Plan.of(step("a"), step("b"), compensate_on_failure=False), A, B)
    two.fail(B)
    assert prospects(two.plan, two.state) == Prospects(frozenset({SagaStatus.FAILED}), (), (A,))
    past = started(PIVOTED, A)
    past.succeed(A, B)
    assert prospects(PIVOTED, past.state).ends == ENDS
    past.succeed(B, C)
    assert prospects(PIVOTED, past.state) == Prospects(frozenset({SagaStatus.COMPLETED}))


def test_a_pivot_that_runs_on_may_still_decide() -> None:
    saga = started(PIVOTED, A)
    saga.succeed(A, B)
    saga.tell(CompensationRequested(saga.moment))
    assert saga.state.goal is Goal.ROLLBACK
    assert prospects(PIVOTED, saga.state).ends == ENDS


def test_what_is_left_for_certain_rules_a_clean_end_out() -> None:
    left = started(Plan.of(step("a"), step("b", "a")), A)
    left.fail(A, FailureKind.OUTPUT_LOST)
    left.tell(StepSkipped(left.moment, A))
    left.tick(B)
    assert prospects(left.plan, left.state) == Prospects(
        frozenset({SagaStatus.COMPLETED, SagaStatus.FAILED}), (B,), (A, B)
    )
    two = started(Plan.of(step("a"), step("b"), step("c")), A, B, C)
    two.succeed(A)
    two.succeed(B)
    two.fail(C)
    two.fail_undo(A)
    assert prospects(two.plan, two.state) == Prospects(frozenset({SagaStatus.FAILED}), (B,), (A, B))


def test_what_a_person_sees_to_in_the_end_is_never_left() -> None:
    saga = started(Plan.of(step("a", undo_parks=True), step("b", "a")), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert prospects(saga.plan, saga.state) == Prospects(frozenset({SagaStatus.COMPENSATED}), (A,), ())


def test_nothing_is_foreseen_of_a_saga_by_another_plan() -> None:
    assert course(THREE, started(ONE, A).state, most=MOST).moves == ()
    lost = preview(THREE, started(ONE, A).state, CompensationRequested(Moment(0)), leased=False, most=MOST)
    assert lost == Rejection(Refusal.PLAN_MISMATCH)


def test_a_step_that_is_taken_back_is_told_to_run_under_another_key_and_its_effects_to_be_forgotten() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C, FailureKind.OUTPUT_LOST)
    refused = preview(THREE, saga.state, RewindRequested(saga.moment, B, forget=(B,)), most=MOST)
    assert refused == Rejection(Refusal.UNNAMED, B, unnamed=(C,))
    said = preview(THREE, saga.state, RewindRequested(saga.moment, B, forget=(A, B, C)), most=MOST)
    assert isinstance(said, Consequences)
    assert (said.another_key, said.forgotten) == ((B, C), (B, C))
    assert told(said.course.moves) == ["run b", "run c"]
    assert said.course.end is SagaStatus.COMPLETED


def test_a_retry_has_another_key_with_another_input_alone() -> None:
    saga = started(sequence("a", retry=THRICE), A)
    saga.fail(A)
    plain = of_verb(saga, Verb.RETRY_STEP)
    given = preview(saga.plan, saga.state, RetryRequested(saga.moment, A, digest=Digest(b"by hand")), most=MOST)
    assert isinstance(plain, Consequences)
    assert isinstance(given, Consequences)
    assert (plain.another_key, given.another_key) == ((), (A,))


def test_nothing_has_another_key_of_a_saga_that_goes_back() -> None:
    saga = started(Plan.of(step("a", on_unknown=OnUnknown.PARK, undo_in_doubt=True), step("b", "a")), A)
    saga.tell(Resumed(saga.moment, takeover=True))
    forward = preview(saga.plan, saga.state, StepSettled(saga.moment, A, finding=Finding.UNDONE), most=MOST)
    saga.tell(CompensationRequested(saga.moment))
    back = preview(saga.plan, saga.state, StepSettled(saga.moment, A, finding=Finding.UNDONE), most=MOST)
    assert isinstance(forward, Consequences)
    assert isinstance(back, Consequences)
    assert (forward.another_key, back.another_key, back.state.goal) == ((A,), (), Goal.COMPENSATED)


def test_a_fan_out_that_is_taken_back_stands_for_its_items() -> None:
    plan = Plan.of(step("a", concurrency=1), step("b", "a"))
    saga = Saga(plan)
    saga.tell(Started(saga.moment, plan.id, (BoundEach(A, 2, Digest(b"input")),)))
    saga.tick(StepId("a[0]"))
    saga.succeed(StepId("a[0]"), StepId("a[1]"))
    saga.fail(StepId("a[1]"), FailureKind.OUTPUT_LOST)
    said = preview(plan, saga.state, RewindRequested(saga.moment, A, forget=(A,)), most=MOST)
    assert isinstance(said, Consequences)
    assert (said.another_key, said.forgotten) == ((A,), (A,))


def test_nothing_that_was_never_attempted_has_another_key() -> None:
    plan = Plan.of(wait("a"), step("b", "a"), step("c", "b"))
    saga = started(plan)
    saga.tell(StepSkipped(saga.moment, A))
    saga.tick(B)
    saga.fail(B, FailureKind.OUTPUT_LOST)
    saga.tell(StepSkipped(saga.moment, B))
    said = preview(plan, saga.state, RewindRequested(saga.moment, A, forget=(B,)), most=MOST)
    assert isinstance(said, Consequences)
    assert said.another_key == (B,)


def test_an_end_tells_the_attempts_of_the_step_that_failed_for_good() -> None:
    saga = started(Plan.of(step("a"), step("b", "a", retry=THRICE)), A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.FATAL)
    saga.undo(A)
    told = [ended(saga.plan, saga.state, failed) for failed in (B, A, None)]
    assert [(each.cause, each.step, each.attempt, each.most_attempts) for each in told] == [
        (Cause.ENDED, B, 1, 3),
        (Cause.ENDED, A, 0, None),
        (Cause.ENDED, None, 0, None),
    ]
