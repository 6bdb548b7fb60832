"""Each law catches the lie it is there for: forged states and edges that must be refused."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from saga_fn.core import invariants
from saga_fn.core.effects import Action, CancelExecution, Release, RunCompensation, RunProbe, RunStep, Transition, Write
from saga_fn.core.events import (
    AbortRequested,
    CompensationFailed,
    CompensationRequested,
    CompensationSucceeded,
    CompensationWaits,
    Declined,
    Event,
    EventReceived,
    FailureKind,
    HandedBack,
    ProbeAnswered,
    ProbeFailed,
    Resumed,
    RetryRequested,
    StepFailed,
    StepSkipped,
    StepSucceeded,
    Ticked,
    WaitDefaulted,
)
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.invariants import EDGE_LAWS, STATE_LAWS, Edge
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.reading import LeftOver, Projection, WaitReason, left_over, project, suspect
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import (
    Buffered,
    Doubt,
    Exhausted,
    Gathered,
    Goal,
    NotTaken,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    Running,
    SagaState,
    Skipped,
    Sleeping,
    Spread,
    StepState,
    Succeeded,
    Tries,
    UndoFailed,
    Undoing,
    Undone,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unknown,
    Waiting,
)
from tests.core.given import PIVOTED, SECOND, THRICE, A, B, C, sequence, sleep, started, step, wait

TWO = sequence("ab")
BARE = sequence("ab", undo="")
A0, A1, SEEN = StepId("a[0]"), StepId("a[1]"), Digest(b"x")
FANNED = Plan.of(step("a", width=1), step("b", "a"))
CONDITIONAL = Plan.of(step("a", when=True), step("b", "a"))
CANCELLING = Plan.of(step("a"), step("b", "a"), cancel_siblings=True)
RETRIED, UNDO_RETRIED = (
    Plan.of(step("a", retry=THRICE), step("b", "a")),
    Plan.of(step("a", undo_retry=THRICE), step("b", "a")),
)
ONCE, TWICE = Tries(1, digest=Digest(b"x")), Tries(2, digest=Digest(b"x"))
BACK = Goal.ROLLBACK
DOUBTFUL = Tries(1, doubt=Doubt.MAY_HAVE_RUN)
LATER = Moment(9)
ASKED_ONCE = Tries(1, doubt=Doubt.MAY_HAVE_RUN, digest=Digest(b"x"), probes=1)
ASKED = Plan.of(
    step("a"),
    step("b", "a", on_unknown=OnUnknown.PROBE, probe_retry=RetrySchedule(attempts=3, base=1, within=9)),
)
UNDONE_IN_DOUBT = Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.UNDO))
LEFT_TO_A_PERSON = Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PARK))
SPENT = Tries(1, 1, since=Moment(-9))
BUDGETED = Plan.of(step("a", retry=RetrySchedule(attempts=3, within=5)), step("b", "a"))
HELD = Tries(1, until=LATER)


def state(*steps: StepState, goal: Goal = Goal.FORWARD, rev: int = 3, events: tuple[int, ...] = ()) -> SagaState:
    return SagaState(rev, Moment(0), goal, steps, events, plan=TWO.id)


EVENTFUL = Plan.of(wait("a", limit=9), wait("b", names=("sent",), limit=9, default=True), deadline=20)
SLEEPY = Plan.of(sleep("a", limit=9), step("b", "a"))
WAITS = Waiting(A, Moment(9))
HEARD = Tries(2, generation=4)


def eventful(
    *steps: StepState,
    kept: tuple[int, ...] = (),
    at: int = 0,
    rev: int = 3,
    goal: Goal = Goal.FORWARD,
    begins: int = 0,
    deadline: int | None = None,
) -> SagaState:
    buffered = tuple(Buffered(seq, "paid") for seq in kept)
    over = None if deadline is None else Moment(deadline)
    return SagaState(rev, Moment(at), goal, steps, begins=Moment(begins), deadline=over, buffered=buffered, plan=TWO.id)


def parked(step: StepId) -> Parked:
    return Parked(step, ONCE, ParkReason.INPUT_FAILED)


BROKEN_STATES: dict[str, list[tuple[Plan, SagaState]]] = {
    # These three compare the state with what is read from it, which is forged below.
    "i1_a_scan_finds_it": [],
    "i1_the_row_keeps_the_tables_rules": [],
    "i7_nothing_runs_before_what_it_follows": [
        (TWO, state(Running(B, ONCE))),
        (TWO, state(Running(A, ONCE), Succeeded(B, 2))),
        (TWO, state(Succeeded(B, 2), goal=Goal.COMPLETED)),
    ],
    "i7_items_belong_to_a_list": [
        (FANNED, state(Running(A0, ONCE))),
        (FANNED, state(Spread(A, 1, SEEN), Running(A1, ONCE))),
        (FANNED, state(Gathered(A, 1))),
        (FANNED, state(Gathered(A, 1), Running(A0, ONCE))),
        (FANNED, state(Gathered(A, 2), Succeeded(A0, 2), goal=Goal.COMPLETED)),
    ],
    "i8_nothing_runs_forward_beside_a_compensation": [
        (TWO, state(Undoing(A, 1, ONCE), Running(B, ONCE), goal=Goal.ROLLBACK)),
        (TWO, state(Undone(A, 1), Retrying(B, ONCE, LATER), goal=Goal.ROLLBACK)),
        (TWO, state(UndoFailed(A, 1, ONCE), parked(B), goal=Goal.ROLLBACK)),
        (TWO, state(Undoing(A, 1, ONCE), Waiting(B), goal=Goal.ROLLBACK)),
        (TWO, state(Undoing(A, 1, ONCE), Sleeping(B, LATER), goal=Goal.ROLLBACK)),
    ],
    "i8_siblings_are_cut_short_where_that_is_declared": [
        (CANCELLING, state(Succeeded(A, 1), Running(B, ONCE), goal=goal)) for goal in (Goal.ROLLBACK, Goal.HALT)
    ],
    "i10_nothing_is_undone_past_the_pivot": [
        (PIVOTED, state(Undoing(A, 1, ONCE), Succeeded(B, 2), goal=BACK)),
        (PIVOTED, state(Succeeded(A, 1), Succeeded(B, 2), goal=BACK)),
        (PIVOTED, state(Succeeded(A, 1), Skipped(B, 2), goal=Goal.HALT)),
        (PIVOTED, state(Undone(A, 1), Succeeded(B, 2), goal=Goal.COMPENSATED)),
        (PIVOTED, state(Undone(A, 1), Succeeded(B, 2), goal=Goal.FAILED)),
        (PIVOTED, state(Succeeded(A, 1), Succeeded(B, 2), Exhausted(C, ONCE))),
    ],
    "i11_an_end_is_at_rest": [
        (TWO, state(going, goal=end))
        for end in (Goal.COMPLETED, Goal.COMPENSATED, Goal.FAILED)
        for going in (
            Running(A, ONCE),
            Retrying(A, ONCE, LATER),
            parked(A),
            Undoing(A, 1, ONCE),
            UndoRetrying(A, 1, ONCE, LATER),
            UndoParked(A, 1, ONCE, ParkReason.ROW_REFUSED),
            WAITS,
            Sleeping(A, LATER),
            UndoWaiting(A, 1, ONCE, "paid"),
        )
    ],
    "i12_completed_means_all_done": [
        (TWO, state(goal=Goal.COMPLETED)),
        (TWO, state(Succeeded(A, 1), Exhausted(B, ONCE), goal=Goal.COMPLETED)),
        (TWO, state(Succeeded(A, 1), goal=Goal.COMPLETED)),
    ],
    "i12_compensated_means_nothing_left": [
        (TWO, state(Succeeded(A, 1), goal=Goal.COMPENSATED)),
        (TWO, state(UndoFailed(A, 1, ONCE), goal=Goal.COMPENSATED)),
        (TWO, state(Unknown(A, DOUBTFUL), goal=Goal.COMPENSATED)),
        (TWO, state(Exhausted(A, HELD), goal=Goal.COMPENSATED)),
    ],
    "i12_failed_lists_what_is_left": [],
}


def moved(
    after: SagaState, *actions: Action, needs: tuple[StepId, ...] = (), writes: tuple[Write, ...] = ()
) -> Transition:
    return Transition(after, needs, writes, actions)


def out_of_time(step: StepId, after: SagaState) -> Transition:
    return msgspec.structs.replace(moved(after), timed_out=step)


def edge(before: SagaState, event: Event, after: Transition | SagaState, plan: Plan = TWO) -> Edge:
    return Edge.of(plan, before, event, after if isinstance(after, Transition) else moved(after))


TICK = Ticked(Moment(0))
FANNING = state(Spread(A, 3, SEEN), Running(A0, ONCE))
DECLINED = Ticked(Moment(0), (Declined(A),))
RAN, DONE = state(Running(A, ONCE)), state(Succeeded(A, 4), rev=4)
SUCCESS = StepSucceeded(Moment(0), A, 1)
PAST: tuple[StepState, ...] = (Succeeded(A, 1), Succeeded(B, 2))

BROKEN_EDGES: dict[str, list[Edge]] = {
    "i3_revisions_are_gapless": [
        edge(state(rev=3), TICK, state(rev=3)),
        edge(state(rev=3), TICK, state(rev=5)),
        edge(state(), Ticked(Moment(5)), state(rev=4)),
        edge(state(), TICK, msgspec.structs.replace(state(rev=4), at=Moment(-1))),
    ],
    "i4_executions_are_told_apart": [
        edge(state(Unknown(A, ONCE)), TICK, state(Running(A, ONCE), rev=4)),
        edge(state(Running(A, TWICE)), TICK, state(Running(A, ONCE), rev=4)),
        edge(state(UndoRetrying(A, 1, ONCE, Moment(0)), goal=BACK), TICK, state(Undoing(A, 1, ONCE), goal=BACK, rev=4)),
        edge(state(), TICK, state(Running(A, Tries(0)), rev=4)),
        edge(state(Unknown(A, ASKED_ONCE)), TICK, state(Probing(A, ASKED_ONCE), rev=4)),
    ],
    "i6_results_are_kept": [
        edge(state(Succeeded(A, 2)), TICK, state(Succeeded(A, 4), rev=4)),
        edge(state(Skipped(A, 2)), TICK, state(Running(A, ONCE), rev=4)),
        edge(state(Undone(A, 2)), TICK, state(Undone(A, 4), rev=4)),
        edge(state(Succeeded(A, 2)), TICK, state(rev=4)),
        edge(state(parked(A)), TICK, state(Skipped(A, 4), rev=4)),
        edge(state(parked(A)), StepSkipped(Moment(0), B), state(Skipped(A, 4), rev=4)),
        edge(state(parked(A)), StepSkipped(Moment(0), A), state(Skipped(A, 3), rev=4)),
        edge(RAN, TICK, DONE),
        edge(state(Unknown(A, ONCE)), SUCCESS, DONE),
        edge(RAN, StepSucceeded(Moment(0), B, 1), DONE),
        edge(RAN, StepSucceeded(Moment(0), A, 2), DONE),
        edge(RAN, SUCCESS, state(Succeeded(A, 3), rev=4)),
        edge(state(Probing(A, ASKED_ONCE)), TICK, DONE),
        edge(state(Probing(A, ASKED_ONCE)), ProbeAnswered(Moment(0), A, 1, done=False), DONE),
        edge(state(Probing(A, ASKED_ONCE)), ProbeAnswered(Moment(0), A, 2, done=True), DONE),
        edge(state(Probing(A, ASKED_ONCE)), ProbeAnswered(Moment(0), B, 1, done=True), DONE),
        edge(state(Probing(A, ASKED_ONCE)), ProbeAnswered(Moment(0), A, 1, done=True), state(Succeeded(A, 3), rev=4)),
        edge(state(Unknown(A, DOUBTFUL)), ProbeAnswered(Moment(0), A, 0, done=True), DONE),
        edge(state(Unknown(A, DOUBTFUL)), TICK, state(Undoing(A, 4, ONCE), goal=BACK, rev=4), UNDONE_IN_DOUBT),
        edge(state(NotTaken(A)), TICK, state(Running(A, ONCE), rev=4)),
        edge(state(Spread(A, 2, SEEN)), TICK, state(Spread(A, 1, SEEN), rev=4)),
        edge(state(Spread(A, 2, SEEN)), TICK, state(Gathered(A, 1), rev=4)),
        edge(state(Gathered(A, 2)), TICK, state(Spread(A, 2, SEEN), rev=4)),
        edge(state(NotTaken(A)), StepSkipped(Moment(0), A), state(Skipped(A, 4), rev=4)),
        # What a wait takes is what it waits for, when it comes, or what was kept for it.
        edge(eventful(WAITS), EventReceived(Moment(0), "sent"), eventful(Succeeded(A, 4), rev=4), EVENTFUL),
        edge(eventful(), EventReceived(Moment(0), "paid"), eventful(Succeeded(A, 4), rev=4), EVENTFUL),
        edge(eventful(WAITS), TICK, eventful(Succeeded(A, 4), rev=4), EVENTFUL),
        edge(eventful(WAITS), TICK, eventful(Succeeded(A, 2), rev=4), EVENTFUL),
        edge(eventful(Waiting(B, LATER), kept=(2,)), TICK, eventful(Succeeded(B, 2), rev=4), EVENTFUL),
        edge(eventful(Waiting(B, LATER)), WaitDefaulted(Moment(0), B), eventful(Succeeded(B, 4), rev=4), EVENTFUL),
        edge(eventful(WAITS), WaitDefaulted(LATER, A), eventful(Succeeded(A, 4), at=9, rev=4), EVENTFUL),
        edge(
            eventful(Waiting(A, LATER), Waiting(B, LATER)),
            WaitDefaulted(LATER, A),
            eventful(Waiting(A, LATER), Succeeded(B, 4), at=9, rev=4),
            EVENTFUL,
        ),
        edge(eventful(Waiting(B)), WaitDefaulted(LATER, B), eventful(Succeeded(B, 4), at=9, rev=4), EVENTFUL),
        edge(eventful(Sleeping(A, LATER)), TICK, eventful(Succeeded(A, 4), rev=4), SLEEPY),
        edge(eventful(), TICK, eventful(Succeeded(A, 4), rev=4), SLEEPY),
    ],
    "i7_no_successor_starts_early": [
        edge(RAN, TICK, state(Running(A, ONCE), Running(B, ONCE), rev=4)),
        edge(RAN, TICK, state(Running(A, ONCE), parked(B), rev=4)),
        edge(state(Unknown(B, ONCE)), TICK, state(Running(B, TWICE), rev=4)),
    ],
    "i7_only_a_condition_passes_over": [
        edge(state(), DECLINED, state(NotTaken(A), rev=4)),
        edge(state(), TICK, state(NotTaken(A), rev=4), CONDITIONAL),
        edge(state(), Ticked(Moment(0), (Declined(B),)), state(NotTaken(A), rev=4), CONDITIONAL),
        *(
            edge(state(begun), DECLINED, state(NotTaken(A), rev=4), CONDITIONAL)
            for begun in (Running(A, ONCE), Unknown(A, DOUBTFUL), Retrying(A, DOUBTFUL, Moment(0)), Succeeded(A, 2))
        ),
    ],
    "i8_nothing_new_starts_once_it_turned_back": [
        edge(state(goal=BACK), TICK, state(Running(A, ONCE), goal=BACK, rev=4)),
        edge(state(goal=BACK), TICK, state(rev=4)),
        edge(state(goal=BACK), TICK, state(rev=4), PIVOTED),
        edge(state(Running(B, ONCE), goal=BACK), TICK, state(Running(B, ONCE), rev=4), PIVOTED),
        edge(state(Running(B, ONCE), goal=BACK), TICK, state(parked(B), rev=4), PIVOTED),
        edge(state(Running(B, ONCE), goal=BACK), TICK, state(Succeeded(B, 4), rev=4), PIVOTED),
        edge(state(goal=BACK), RetryRequested(Moment(0)), state(rev=4)),
        edge(state(goal=Goal.FAILED), CompensationRequested(Moment(0)), state(rev=4)),
        edge(state(goal=Goal.HALT), TICK, state(rev=4, goal=Goal.COMPLETED)),
    ],
    "i8_siblings_are_awaited_unless_declared_otherwise": [
        edge(
            state(Running(A, ONCE), Running(B, ONCE)),
            StepFailed(Moment(0), A, 1),
            moved(state(Exhausted(A, ONCE), Unknown(B, ONCE), goal=BACK, rev=4), CancelExecution(B)),
        ),
    ],
    "i9_only_what_succeeded_is_undone": [
        edge(state(Skipped(A, 1), goal=BACK), TICK, state(Undoing(A, 1, ONCE), goal=BACK, rev=4)),
        edge(state(Succeeded(A, 1), goal=BACK), TICK, state(Undoing(A, 1, ONCE), goal=BACK, rev=4), BARE),
        edge(state(Exhausted(B, DOUBTFUL), goal=BACK), TICK, state(Undoing(B, 0, ONCE), goal=BACK, rev=4)),
        edge(state(Exhausted(B, ONCE), goal=BACK), TICK, state(Undoing(B, 0, ONCE), goal=BACK, rev=4), UNDONE_IN_DOUBT),
        *(
            edge(
                state(Running(B, ONCE)),
                StepFailed(Moment(0), B, 1, kind),
                state(Undoing(B, 0, ONCE), goal=BACK, rev=4),
                UNDONE_IN_DOUBT,
            )
            for kind in (FailureKind.ERROR, FailureKind.REFUSED, FailureKind.FATAL, FailureKind.UNREADABLE)
        ),
    ],
    "i9_in_reverse_order": [
        edge(state(Succeeded(A, 1), before, goal=BACK), TICK, state(Undoing(A, 1, ONCE), before, goal=BACK, rev=4))
        for before in (
            Succeeded(B, 2),
            UndoFailed(B, 2, ONCE),
            Running(B, ONCE),
            Retrying(B, ONCE, LATER),
            Unknown(B, HELD),
        )
    ],
    "i9_what_can_be_found_out_is_before_anything_is_undone": [
        edge(
            state(Succeeded(A, 1), before, goal=BACK), TICK, state(Undoing(A, 1, ONCE), before, goal=BACK, rev=4), ASKED
        )
        for before in (Probing(B, DOUBTFUL), Unknown(B, DOUBTFUL))
    ],
    "i9_what_may_have_run_is_settled_as_declared": [
        edge(state(Succeeded(A, 1), before), event, state(Succeeded(A, 1), Running(B, TWICE), rev=4), plan)
        for before, event, plan in (
            (Unknown(B, DOUBTFUL), TICK, ASKED),
            (Probing(B, DOUBTFUL), ProbeAnswered(Moment(0), B, 0, done=True), ASKED),
            (Parked(B, DOUBTFUL, ParkReason.OUTCOME_UNKNOWN), RetryRequested(Moment(0)), ASKED),
            (Unknown(B, DOUBTFUL), TICK, LEFT_TO_A_PERSON),
            (Unknown(B, DOUBTFUL), TICK, UNDONE_IN_DOUBT),
            (Parked(B, DOUBTFUL, ParkReason.ROW_REFUSED), RetryRequested(Moment(0)), UNDONE_IN_DOUBT),
        )
    ],
    "i9_undone_means_its_compensation_returned": [
        edge(state(Succeeded(A, 1), goal=BACK), CompensationSucceeded(Moment(0), A, 1), state(Undone(A, 1), rev=4)),
        edge(state(Undoing(A, 1, ONCE), goal=BACK), TICK, state(Undone(A, 1), rev=4)),
    ],
    "i10_no_way_forward_after_an_undo": [
        edge(state(begun, goal=BACK), RetryRequested(Moment(0)), state(Succeeded(A, 1), goal=goal, rev=4))
        for begun in (Undone(A, 1), UndoFailed(A, 1, ONCE), Undoing(A, 1, ONCE))
        for goal in (Goal.FORWARD, Goal.COMPLETED)
    ],
    "i10_only_a_person_ends_it_past_the_pivot": [
        edge(state(*PAST), StepFailed(Moment(0), C, 1), state(*PAST, goal=Goal.FAILED, rev=4), PIVOTED),
    ],
    "i10_no_way_back_from_a_pivot_in_doubt": [
        edge(
            state(Succeeded(A, 1), pivot, goal=BACK),
            TICK,
            state(Undoing(A, 1, ONCE), pivot, goal=BACK, rev=4),
            PIVOTED,
        )
        for pivot in (
            Running(B, ONCE),
            Retrying(B, DOUBTFUL, LATER),
            Unknown(B, DOUBTFUL),
            parked(B),
            Probing(B, DOUBTFUL),
        )
    ],
    "i11_ends_are_absorbing": [
        edge(state(goal=Goal.COMPLETED), RetryRequested(Moment(0)), state(rev=4)),
        edge(state(goal=Goal.COMPENSATED), CompensationRequested(Moment(0)), state(rev=4)),
        edge(state(goal=Goal.FAILED), AbortRequested(Moment(0), Moment(0)), state(goal=Goal.FAILED, rev=4)),
    ],
    "i13_events_are_kept_in_order": [
        edge(state(), EventReceived(Moment(0)), state(rev=4)),
        edge(state(events=(2,)), TICK, state(rev=4)),
        edge(state(), TICK, state(rev=4, events=(4,))),
        edge(state(events=(2,)), EventReceived(Moment(0)), state(rev=4, events=(4, 2))),
    ],
    "i13_a_named_event_is_taken_once": [
        # kept, and gone; come, and gone; taken, and still kept; come, and here twice
        edge(eventful(kept=(2,)), TICK, eventful(rev=4), EVENTFUL),
        edge(eventful(), EventReceived(Moment(0), "paid"), eventful(rev=4), EVENTFUL),
        edge(eventful(kept=(2,)), TICK, eventful(Succeeded(A, 2), kept=(2,), rev=4), EVENTFUL),
        edge(eventful(WAITS), EventReceived(Moment(0), "paid"), eventful(Succeeded(A, 4), kept=(4,), rev=4), EVENTFUL),
        edge(eventful(), TICK, eventful(kept=(4,), rev=4), EVENTFUL),
        edge(eventful(WAITS), TICK, eventful(Succeeded(A, 4), rev=4), EVENTFUL),
        edge(eventful(kept=(2,)), TICK, eventful(Succeeded(A, 2), Succeeded(B, 2), rev=4), EVENTFUL),
        # of a compensation: called with what it took, and still kept; waiting, and called with what nobody sent
        edge(
            state(UndoWaiting(A, 1, ONCE, "paid"), goal=BACK),
            EventReceived(Moment(0), "paid"),
            msgspec.structs.replace(state(Undoing(A, 1, HEARD), goal=BACK, rev=4), buffered=(Buffered(4, "paid"),)),
        ),
        edge(
            state(Undoing(A, 1, ONCE), goal=BACK),
            CompensationWaits(Moment(0), A, 1, "paid"),
            state(Undoing(A, 1, HEARD), goal=BACK, rev=4),
        ),
    ],
    "i13_events_wait_in_order": [
        edge(eventful(kept=(1, 2)), TICK, eventful(kept=(2, 1), rev=4), EVENTFUL),
        edge(eventful(kept=(1, 2)), EventReceived(Moment(0), "paid"), eventful(kept=(4, 1, 2), rev=4), EVENTFUL),
    ],
    "i14_no_timer_fires_early": [
        edge(eventful(WAITS), TICK, out_of_time(A, eventful(Exhausted(A, ONCE), goal=BACK, rev=4)), EVENTFUL),
        edge(eventful(deadline=20), TICK, out_of_time(StepId(""), eventful(goal=BACK, rev=4)), EVENTFUL),
        *(
            edge(
                state(UndoWaiting(A, 1, ONCE, "paid", until), goal=BACK),
                TICK,
                out_of_time(A, state(UndoFailed(A, 1, ONCE), goal=BACK, rev=4)),
            )
            for until in (LATER, None)
        ),
        edge(eventful(), TICK, out_of_time(StepId(""), eventful(goal=BACK, rev=4)), EVENTFUL),
        edge(
            eventful(WAITS, at=9),
            EventReceived(Moment(9)),
            out_of_time(A, eventful(Exhausted(A, ONCE), goal=BACK, at=9, rev=4)),
            EVENTFUL,
        ),
        edge(eventful(WAITS, at=9), TICK, out_of_time(A, eventful(Exhausted(A, ONCE), at=9, rev=4)), EVENTFUL),
        edge(
            eventful(WAITS, at=9, goal=BACK),
            TICK,
            out_of_time(A, eventful(Exhausted(A, ONCE), at=9, goal=BACK, rev=4)),
            EVENTFUL,
        ),
    ],
    "i14_what_is_due_fires": [
        edge(eventful(WAITS), Ticked(LATER), eventful(WAITS, at=9, rev=4), EVENTFUL),
        edge(eventful(Sleeping(A, LATER)), Resumed(LATER), eventful(Sleeping(A, LATER), at=9, rev=4), SLEEPY),
        edge(eventful(WAITS, deadline=9), Ticked(LATER), eventful(Waiting(A), deadline=9, at=9, rev=4), EVENTFUL),
    ],
    "i14_nothing_begins_before_its_saga": [
        edge(eventful(begins=5), TICK, eventful(WAITS, begins=5, rev=4), EVENTFUL),
    ],
    "i15_attempts_stay_within_the_policy": [
        edge(RAN, StepFailed(Moment(0), A, 1), state(Retrying(A, Tries(1, 1), LATER), rev=4)),
        edge(RAN, StepFailed(Moment(0), A, 1), state(Running(A, Tries(2, 1)), rev=4)),
        edge(RAN, StepFailed(Moment(0), A, 1), state(Running(A, Tries(2, 1)), rev=4), UNDO_RETRIED),
        edge(RAN, StepFailed(Moment(0), A, 3), state(Running(A, Tries(4, 3)), rev=4), RETRIED),
        *(
            edge(RAN, StepFailed(Moment(0), A, 1, kind), state(Retrying(A, Tries(1, 1), LATER), rev=4), RETRIED)
            for kind in (FailureKind.REFUSED, FailureKind.FATAL)
        ),
        edge(RAN, StepFailed(Moment(0), A, 1), state(Retrying(A, SPENT, LATER), rev=4), BUDGETED),
        edge(RAN, StepFailed(Moment(0), A, 1), state(Running(A, SPENT), rev=4), BUDGETED),
        *(
            edge(state(Probing(B, ASKED_ONCE)), ProbeFailed(Moment(0), B, 1), state(again, rev=4), ASKED)
            for again in (
                Unknown(B, ASKED_ONCE, LATER, failures=3),
                Probing(B, ASKED_ONCE, failures=3),
                Unknown(B, ASKED_ONCE, LATER, failures=1, since=Moment(-1)),
                Probing(B, ASKED_ONCE, failures=1, since=Moment(-11)),
            )
        ),
        *(
            edge(state(Undoing(A, 1, ONCE), goal=BACK), CompensationFailed(Moment(0), A, 1), again, plan)
            for plan in (TWO, RETRIED)
            for again in (
                state(Undoing(A, 1, Tries(2, 1)), goal=BACK, rev=4),
                state(UndoRetrying(A, 1, Tries(1, 1), LATER), goal=BACK, rev=4),
            )
        ),
    ],
    "i15_nothing_starts_before_its_time": [
        edge(state(Retrying(A, ONCE, LATER)), TICK, state(Running(A, TWICE), rev=4)),
        edge(state(Unknown(A, HELD)), TICK, state(Running(A, TWICE), rev=4)),
        edge(state(Unknown(A, ONCE, LATER)), TICK, state(Probing(A, ASKED_ONCE), rev=4)),
        edge(state(Succeeded(A, 1), Unknown(B, HELD)), TICK, state(Succeeded(A, 1), Running(B, TWICE), rev=4)),
        edge(state(UndoRetrying(A, 1, ONCE, LATER), goal=BACK), TICK, state(Undoing(A, 1, TWICE), goal=BACK, rev=4)),
        edge(
            state(UndoFailed(A, 1, HELD), goal=Goal.FAILED),
            CompensationRequested(Moment(0)),
            state(Undoing(A, 1, TWICE), goal=BACK),
        ),
    ],
    "i15_no_more_items_at_once_than_declared": [
        edge(FANNING, TICK, state(Spread(A, 3, SEEN), Running(A0, ONCE), Running(A1, ONCE), rev=4), FANNED),
        edge(
            state(Gathered(A, 2), Succeeded(A0, 1), Succeeded(A1, 2), goal=BACK),
            TICK,
            state(Gathered(A, 2), Undoing(A0, 1, ONCE), Undoing(A1, 2, ONCE), goal=BACK, rev=4),
            FANNED,
        ),
    ],
    "i16_a_cancellation_is_before_or_after_the_end": [
        edge(RAN, AbortRequested(Moment(0), Moment(0)), state(goal=Goal.COMPLETED, rev=4)),
        edge(RAN, AbortRequested(Moment(0), Moment(0)), state(goal=Goal.FORWARD, rev=4)),
        edge(RAN, CompensationRequested(Moment(0)), state(goal=Goal.FORWARD, rev=4)),
        edge(RAN, CompensationRequested(Moment(0)), state(goal=Goal.COMPLETED, rev=4)),
    ],
    "effects_agree_with_the_state": [
        edge(state(), TICK, state(Running(A, ONCE), rev=4)),
        edge(RAN, TICK, moved(state(Running(A, ONCE), rev=4), RunStep(A, 1, 0))),
        edge(RAN, TICK, moved(state(Unknown(A, ONCE), rev=4), writes=(Release(Moment(0)),))),
        edge(RAN, TICK, moved(state(Unknown(A, ONCE), rev=4), CancelExecution(A))),
        edge(RAN, SUCCESS, moved(state(Succeeded(A, 4), rev=4), CancelExecution(A), writes=(Release(Moment(0)),))),
        edge(RAN, TICK, moved(state(Running(A, ONCE), rev=4), writes=(Release(None),))),
        edge(state(), TICK, moved(state(Running(A, ONCE), rev=4), RunStep(A, 1, 0), RunStep(A, 1, 0))),
    ],
    "needs_are_what_could_start": [
        edge(state(), TICK, moved(state(rev=4))),
        edge(state(), TICK, moved(state(rev=4), needs=(A, A))),
        edge(state(), TICK, moved(state(rev=4), needs=(A, B))),
        edge(state(), HandedBack(Moment(0)), moved(state(rev=4), needs=(A,))),
        edge(RAN, TICK, moved(state(Unknown(A, ONCE), rev=4))),
        edge(RAN, TICK, moved(state(Retrying(A, ONCE, Moment(0)), rev=4))),
        edge(RAN, TICK, moved(state(Retrying(A, ONCE, LATER), rev=4), needs=(A,))),
        edge(RAN, TICK, moved(state(Unknown(A, HELD), rev=4), needs=(A,))),
        edge(RAN, TICK, moved(state(Unknown(A, ONCE), goal=BACK, rev=4), needs=(A,))),
        edge(FANNING, TICK, moved(state(*FANNING.steps, rev=4), needs=(A1,)), FANNED),
        edge(state(Spread(A, 3, SEEN)), TICK, moved(state(Spread(A, 3, SEEN), rev=4)), FANNED),
        edge(state(Spread(A, 3, SEEN)), TICK, moved(state(Spread(A, 3, SEEN), rev=4), needs=(A0, A1)), FANNED),
        edge(state(Spread(A, 3, SEEN)), TICK, moved(state(Spread(A, 3, SEEN), rev=4), needs=(A0, B)), FANNED),
    ],
}


# What looks like a lie and is none: the laws forbid no more than they say.
HONEST_STATES: list[SagaState] = [
    state(Succeeded(B, 2), goal=BACK),
    state(Running(B, ONCE), goal=BACK),
    state(Exhausted(A, ONCE), goal=Goal.COMPENSATED),
]
HONEST_EDGES: list[Edge] = [
    edge(
        state(Retrying(A, ONCE, Moment(0))),
        DECLINED,
        moved(state(NotTaken(A), rev=4), needs=(B,), writes=(Release(Moment(0)),)),
        CONDITIONAL,
    ),
    # Under a plan that changed while the saga rolled back, what runs may follow what is not done.
    edge(state(Running(B, ONCE), goal=BACK), TICK, state(Running(B, ONCE), goal=BACK, rev=4)),
    edge(
        state(Succeeded(B, 1), goal=BACK),
        TICK,
        moved(state(Undoing(B, 1, ONCE), goal=BACK, rev=4), RunCompensation(B, 1, 1)),
    ),
    # A pivot that ran when the saga was to turn back decides.
    edge(
        state(Succeeded(A, 1), Running(B, ONCE), goal=BACK),
        StepSucceeded(Moment(0), B, 1),
        moved(state(Succeeded(A, 1), Succeeded(B, 4), rev=4), needs=(C,), writes=(Release(Moment(0)),)),
        PIVOTED,
    ),
    edge(
        state(Succeeded(A, 1), Running(B, ONCE), goal=BACK),
        StepFailed(Moment(0), B, 1),
        moved(state(Succeeded(A, 1), Parked(B, DOUBTFUL, ParkReason.OUTCOME_UNKNOWN), rev=4), writes=(Release(None),)),
        PIVOTED,
    ),
    # A budget in time that has only begun, or not even that.
    edge(
        RAN,
        StepFailed(Moment(0), A, 1),
        moved(state(Retrying(A, Tries(1, 1, since=Moment(5)), LATER), rev=4), writes=(Release(LATER),)),
        BUDGETED,
    ),
    edge(
        RAN,
        StepFailed(Moment(0), A, 1),
        moved(state(Retrying(A, Tries(1, 1), Moment(99)), rev=4), writes=(Release(Moment(99)),)),
        BUDGETED,
    ),
    *(
        edge(
            eventful(Waiting(A), Waiting(B, LATER), kept=kept),
            event,
            msgspec.structs.replace(moved(after, writes=(Release(project(EVENTFUL, after).due),)), defaults=defaults),
            EVENTFUL,
        )
        for kept, event, after, defaults in (
            ((), EventReceived(Moment(0), "paid"), eventful(Succeeded(A, 4), Waiting(B, LATER), rev=4), ()),
            (
                (2,),
                EventReceived(Moment(0), "paid"),
                eventful(Waiting(A), Waiting(B, LATER), kept=(2, 4), rev=4),
                (),
            ),
            ((), WaitDefaulted(LATER, B), eventful(Waiting(A), Succeeded(B, 4), at=9, rev=4), ()),
            ((), Ticked(LATER), eventful(Waiting(A), Waiting(B, LATER), at=9, rev=4), (B,)),
        )
    ),
    # What may have run is undone where that is declared, repeated when it is known not to have run, or a person says so.
    edge(
        state(Succeeded(A, 1), Exhausted(B, DOUBTFUL), goal=BACK),
        TICK,
        moved(state(Succeeded(A, 1), Undoing(B, 0, ONCE), goal=BACK, rev=4), RunCompensation(B, 1, 0)),
        UNDONE_IN_DOUBT,
    ),
    edge(
        state(Succeeded(A, 1), Probing(B, ASKED_ONCE)),
        ProbeAnswered(Moment(0), B, 1, done=False),
        moved(state(Succeeded(A, 1), Running(B, TWICE), rev=4), RunStep(B, 2, 0)),
        ASKED,
    ),
    edge(
        state(Succeeded(A, 1), Retrying(B, DOUBTFUL, Moment(0))),
        TICK,
        moved(state(Succeeded(A, 1), Running(B, TWICE), rev=4), RunStep(B, 2, 0)),
        LEFT_TO_A_PERSON,
    ),
    edge(
        state(Succeeded(A, 1), Unknown(B, ASKED_ONCE)),
        TICK,
        moved(
            state(Succeeded(A, 1), Probing(B, msgspec.structs.replace(ASKED_ONCE, probes=2)), rev=4), RunProbe(B, 2, 0)
        ),
        ASKED,
    ),
    edge(
        state(Succeeded(A, 1), Probing(B, ASKED_ONCE)),
        ProbeFailed(Moment(0), B, 1),
        moved(state(Succeeded(A, 1), Unknown(B, ASKED_ONCE, LATER, failures=1), rev=4), writes=(Release(LATER),)),
        ASKED,
    ),
    # Only a start is too early, not going on.
    edge(state(Running(A, HELD)), TICK, state(Running(A, HELD), rev=4)),
]


@pytest.mark.parametrize("law", STATE_LAWS, ids=lambda law: law.__name__)
def test_an_honest_state_passes(law: object) -> None:
    of_states = next(each for each in STATE_LAWS if each is law)
    assert [honest for honest in HONEST_STATES if not of_states(TWO, honest)] == []


@pytest.mark.parametrize("law", EDGE_LAWS, ids=lambda law: law.__name__)
def test_an_honest_edge_passes(law: object) -> None:
    of_edges = next(each for each in EDGE_LAWS if each is law)
    assert [honest for honest in HONEST_EDGES if not of_edges(honest)] == []


@pytest.mark.parametrize("law", STATE_LAWS, ids=lambda law: law.__name__)
def test_a_broken_state_is_caught_by(law: object) -> None:
    of_states = next(each for each in STATE_LAWS if each is law)
    for plan, broken in BROKEN_STATES[of_states.__name__]:
        assert not of_states(plan, broken), broken


def test_a_row_that_no_scan_can_find_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(plan: Plan, state: SagaState) -> Projection:
        return msgspec.structs.replace(project(plan, state), due=None)

    def found(plan: Plan, state: SagaState) -> Projection:
        return msgspec.structs.replace(project(plan, state), due=Moment(0))

    live = [RAN, state(), state(Retrying(A, ONCE, LATER)), state(Succeeded(A, 1)), state(parked(A), Running(B, ONCE))]
    at_rest = [state(parked(A)), state(goal=Goal.FAILED)]
    monkeypatch.setattr(invariants, "project", lost)
    assert not [each for each in live if invariants.i1_a_scan_finds_it(TWO, each)]
    assert not [each for each in live if invariants.i1_the_row_keeps_the_tables_rules(TWO, each)]
    assert [each for each in at_rest if invariants.i1_a_scan_finds_it(TWO, each)] == at_rest
    monkeypatch.setattr(invariants, "project", found)
    assert not [each for each in at_rest if invariants.i1_the_row_keeps_the_tables_rules(TWO, each)]
    assert not invariants.i1_a_scan_finds_it(TWO, state(goal=Goal.FAILED))


def test_a_wait_that_no_scan_can_find_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(plan: Plan, state: SagaState) -> Projection:
        return msgspec.structs.replace(project(plan, state), due=None)

    finds, keeps = invariants.i1_a_scan_finds_it, invariants.i1_the_row_keeps_the_tables_rules
    for_ever = started(Plan.of(wait("a"))).state
    for_a_while, asleep = started(Plan.of(wait("a", limit=9))).state, started(Plan.of(sleep("a", limit=9))).state
    one, other = Plan.of(wait("a")), Plan.of(sleep("a"))
    for each in (for_ever, for_a_while, asleep):
        assert finds(one, each)
        assert keeps(one, each)
    monkeypatch.setattr(invariants, "project", lost)
    assert finds(one, for_ever)
    assert not finds(one, for_a_while)
    assert not finds(other, asleep)
    assert not keeps(other, asleep)


def test_a_row_that_contradicts_its_status_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_waits(waits: WaitReason) -> Callable[[Plan, SagaState], Projection]:
        return lambda plan, state: msgspec.structs.replace(project(plan, state), waits=waits)

    keeps_the_rules = invariants.i1_the_row_keeps_the_tables_rules
    ended, waiting, held_up = state(goal=Goal.FAILED), state(Retrying(A, ONCE, LATER)), state(Unknown(A, HELD))
    for honest in (RAN, ended, waiting, held_up, state(parked(A))):
        assert keeps_the_rules(TWO, honest)
    monkeypatch.setattr(invariants, "project", with_waits(WaitReason.RETRY))
    assert not [each for each in (RAN, ended, state(parked(A))) if keeps_the_rules(TWO, each)]
    monkeypatch.setattr(invariants, "project", with_waits(WaitReason.NOTHING))
    assert not [each for each in (waiting, held_up, state(parked(A))) if keeps_the_rules(TWO, each)]
    monkeypatch.setattr(invariants, "project", with_waits(WaitReason.PARKED))
    assert not [each for each in (RAN, ended, waiting, held_up) if keeps_the_rules(TWO, each)]


def test_an_end_that_could_still_start_something_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def every_root(plan: Plan, state: SagaState) -> tuple[StepId, ...]:
        return plan.roots if state.rev else ()

    assert invariants.i11_an_end_is_at_rest(TWO, state(goal=Goal.FAILED))
    monkeypatch.setattr(invariants, "startable", every_root)
    assert not invariants.i11_an_end_is_at_rest(TWO, state(goal=Goal.FAILED))
    assert invariants.i11_an_end_is_at_rest(TWO, state())


def test_a_list_of_leftovers_that_lies_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    owing = state(Succeeded(A, 1), Exhausted(B, DOUBTFUL), goal=Goal.FAILED)
    assert invariants.i12_failed_lists_what_is_left(TWO, owing)

    def first_only(plan: Plan, state: SagaState) -> tuple[LeftOver, ...]:
        return left_over(plan, msgspec.structs.replace(state, goal=Goal.FAILED))[:1]

    monkeypatch.setattr(invariants, "left_over", first_only)
    assert not invariants.i12_failed_lists_what_is_left(TWO, owing)
    assert not invariants.i12_failed_lists_what_is_left(TWO, state(Succeeded(A, 1), goal=Goal.COMPENSATED))


@pytest.mark.parametrize("law", EDGE_LAWS, ids=lambda law: law.__name__)
def test_a_broken_edge_is_caught_by(law: object) -> None:
    of_edges = next(each for each in EDGE_LAWS if each is law)
    assert BROKEN_EDGES[of_edges.__name__]
    for broken in BROKEN_EDGES[of_edges.__name__]:
        assert not of_edges(broken), broken


def test_a_crash_loop_is_suspect_from_its_second_takeover() -> None:
    saga = started(TWO, A)
    assert not suspect(saga.state, takeover=True)
    saga.take_over(A)
    assert not suspect(saga.state, takeover=False)
    assert suspect(saga.state, takeover=True)
    saga.tell(HandedBack(Moment(SECOND)))
    assert not suspect(saga.state, takeover=True)
    saga.resume(A)
    saga.take_over(A)
    assert suspect(saga.state, takeover=False)
