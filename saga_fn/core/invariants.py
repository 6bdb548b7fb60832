"""What must hold of every saga, as pure predicates: of a state, and of an edge from one state to the next.

The names carry the numbers that tests, reports and audits use (I3, I6 ...). Nothing here decides anything: the
predicates are written from the promises, not from the transition function, so that each can catch the other lying.

They speak of the pivot by the plan that an edge was folded with: a plan without one has no point of no return.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, TypeAlias, assert_never

import attrs

from saga_fn.core.effects import CancelExecution, Release, RunCompensation, RunProbe, RunStep, Transition
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
from saga_fn.core.ids import Moment, StepId, item_of, owner_of
from saga_fn.core.plan import OnTimeout, OnUnknown, Plan, PlannedStep, StepKind
from saga_fn.core.reading import SagaStatus, WaitReason, find, left_over, owes_undo, past_pivot, project, startable
from saga_fn.core.state import (
    ENDS,
    Doubt,
    Exhausted,
    Gathered,
    Goal,
    NotTaken,
    Parked,
    Probing,
    Retrying,
    Running,
    SagaState,
    Skipped,
    Sleeping,
    Spread,
    StepState,
    Succeeded,
    UndoFailed,
    Undoing,
    Undone,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unfinished,
    Unknown,
    Waiting,
    execution_of,
    is_done,
    is_executing,
)

Undo: TypeAlias = Undoing | UndoRetrying | UndoWaiting | UndoParked | UndoFailed | Undone
_Tried: TypeAlias = Unfinished | Undoing | UndoRetrying | UndoWaiting | UndoParked | UndoFailed
_Result: TypeAlias = (
    StepSucceeded
    | StepFailed
    | CompensationSucceeded
    | CompensationFailed
    | CompensationWaits
    | ProbeAnswered
    | ProbeFailed
)


@attrs.frozen
class Edge:
    """An accepted event: the plan it was folded with, the state before, and what it led to."""

    plan: Plan
    before: SagaState
    event: Event
    moved: Transition
    steps: tuple[tuple[StepState | None, StepState], ...]
    """For each step of the state after: what it was before (None if it had not begun), and what it is."""

    @classmethod
    def of(cls, plan: Plan, before: SagaState, event: Event, moved: Transition) -> Edge:
        """The edge between these two."""
        was = {step.step: step for step in before.steps}
        return cls(plan, before, event, moved, tuple((was.get(now.step), now) for now in moved.state.steps))

    @property
    def after(self) -> SagaState:
        """The state that the event led to."""
        return self.moved.state


StateLaw: TypeAlias = Callable[[Plan, SagaState], bool]
EdgeLaw: TypeAlias = Callable[[Edge], bool]


# Of states.


def i1_a_scan_finds_it(plan: Plan, state: SagaState) -> bool:
    """No live row that no scan can find: without a due time it waits only for a person, or an event for ever."""
    row = project(plan, state)
    if row.due is not None:
        return not state.ended
    waits_outside = any(isinstance(step, Parked | UndoParked | Waiting | UndoWaiting) for step in state.steps)
    waits_for_time = any(
        isinstance(step, Retrying | UndoRetrying | Running | Undoing | Probing) for step in state.steps
    )
    waits_for_time = waits_for_time or any(
        isinstance(step, Sleeping) or (isinstance(step, Waiting | UndoWaiting) and step.until is not None)
        for step in state.steps
    )
    return state.ended or (waits_outside and not waits_for_time and not startable(plan, state))


def i1_the_row_keeps_the_tables_rules(plan: Plan, state: SagaState) -> bool:
    """The derived columns pass the CHECK constraints of the saga table."""
    row = project(plan, state)
    if row.status.is_terminal:
        return row.due is None and row.waits is WaitReason.NOTHING
    if row.status is SagaStatus.SUSPENDED:
        timed = bool(row.waits & (WaitReason.RETRY | WaitReason.TIMER))
        may_be_timed = timed or bool(row.waits & WaitReason.EVENT)
        is_due = row.due is not None
        return row.waits is not WaitReason.NOTHING and timed <= is_due <= may_be_timed
    return row.due is not None and row.waits is WaitReason.NOTHING


def i7_nothing_runs_before_what_it_follows(plan: Plan, state: SagaState) -> bool:
    """A saga going forward has begun only steps with everything done that they follow."""
    if state.goal not in (Goal.FORWARD, Goal.COMPLETED):
        return True  # its plan may have changed while it was rolling back
    done = {step.step for step in state.steps if is_done(step)}
    return all(done.issuperset(plan.step(step.step).after) for step in state.steps)


def i7_items_belong_to_a_list(plan: Plan, state: SagaState) -> bool:
    """Every item is one of a step that has fanned out into so many; such a step is done, going forward, if its items are."""
    found = {step.step: step for step in state.steps}
    spreads = {step.step: step for step in state.steps if isinstance(step, Spread | Gathered)}
    every = {item_of(step, number) for step, spread in spreads.items() for number in range(spread.items)}
    items = {step for step in found if step not in plan.index}
    forward = state.goal in (Goal.FORWARD, Goal.COMPLETED)
    return items <= every and not any(
        forward and isinstance(spread, Gathered) and not is_done(found.get(item_of(step, number)))
        for step, spread in spreads.items()
        for number in range(spread.items)
    )


def i8_nothing_runs_forward_beside_a_compensation(_plan: Plan, state: SagaState) -> bool:
    """Forward and back never at once."""
    begun = any(isinstance(step, Undo) for step in state.steps)
    going = Running | Retrying | Parked | Waiting | Sleeping | Probing
    return not (begun and any(isinstance(step, going) for step in state.steps))


def i8_siblings_are_cut_short_where_that_is_declared(plan: Plan, state: SagaState) -> bool:
    """A saga that turned back and does not await its siblings runs nothing forward, but for a pivot: that one decides."""
    forward = state.goal in (Goal.FORWARD, Goal.COMPLETED) or not plan.data.cancel_siblings
    return forward or not any(isinstance(step, Running) and step.step != plan.pivot for step in state.steps)


def i11_an_end_is_at_rest(plan: Plan, state: SagaState) -> bool:
    """A saga that has ended runs nothing, waits for nothing and can start nothing."""
    back = Undoing | UndoRetrying | UndoWaiting | UndoParked
    going = back | Running | Retrying | Parked | Waiting | Sleeping | Probing
    return not state.ended or not (any(isinstance(step, going) for step in state.steps) or startable(plan, state))


def i12_completed_means_all_done(plan: Plan, state: SagaState) -> bool:
    """COMPLETED: every step of the plan succeeded, or was passed over by a person or by its condition."""
    done = {step.step for step in state.steps if is_done(step)}
    return state.goal is not Goal.COMPLETED or (done >= set(plan.index) and len(done) == len(state.steps))


def i12_compensated_means_nothing_left(plan: Plan, state: SagaState) -> bool:
    """COMPENSATED: whatever has a compensation is undone, and nothing may have run unseen."""
    if state.goal is not Goal.COMPENSATED:
        return True
    return not any(
        owes_undo(plan, step) or (isinstance(step, Unfinished) and (step.tries.doubt or step.tries.until > state.at))
        for step in state.steps
    )


def i12_failed_lists_what_is_left(plan: Plan, state: SagaState) -> bool:
    """FAILED: exactly the steps that are owed an undo, or in doubt, are listed."""
    if state.goal is not Goal.FAILED:
        return not left_over(plan, state)
    owed = {
        step.step
        for step in state.steps
        if owes_undo(plan, step) or (isinstance(step, Unfinished) and (step.tries.doubt or step.tries.until > state.at))
    }
    return {left.step_id for left in left_over(plan, state)} == owed


# Of edges.


def i3_revisions_are_gapless(edge: Edge) -> bool:
    """One accepted event, one revision; database time never runs back."""
    return edge.after.rev == edge.before.rev + 1 and edge.after.at == max(edge.before.at, edge.event.at)


def i4_executions_are_told_apart(edge: Edge) -> bool:
    """What is started anew has an attempt number that its direction of the step never had."""
    return all(
        execution_of(now) > (_last_of(now, was) if isinstance(was, _Tried) and _same_direction(was, now) else 0)
        for was, now in edge.steps
        if is_executing(now) and _starts(was, now)
    )


def i6_results_are_kept(edge: Edge) -> bool:
    """A result is recorded once, by the event that brought it for the execution that ran, and stays."""
    for was, now in edge.steps:
        if isinstance(was, NotTaken | Gathered):
            if now != was:
                return False
        elif isinstance(was, Spread):
            if now not in (was, Gathered(was.step, was.items)):
                return False
        elif isinstance(was, Succeeded | Skipped | Undo):
            if not isinstance(now, Succeeded | Skipped | Undo) or now.seq != was.seq:
                return False
        elif isinstance(now, Skipped):
            if not isinstance(edge.event, StepSkipped) or edge.event.step != now.step or now.seq != edge.after.rev:
                return False
        elif isinstance(now, Succeeded) and edge.plan.step(now.step).kind is not StepKind.STEP:
            if not _waited_for(edge, edge.plan.step(now.step), was, now):
                return False
        elif isinstance(now, Succeeded | Undo):
            if _brings_its_result(edge.event, was):
                if now.seq != edge.after.rev:
                    return False
            elif isinstance(now, Succeeded) or now.seq or not isinstance(was, Unfinished):
                return False  # but for what is undone because it may have run, see I9
    return len(edge.steps) >= len(edge.before.steps)


def _waited_for(edge: Edge, planned: PlannedStep, was: StepState | None, now: Succeeded) -> bool:
    """Whether what the step waited for is what this edge brought."""
    match edge.event:
        case EventReceived(name=name) if now.seq == edge.after.rev:
            return isinstance(was, Waiting) and name in planned.waits_for
        case WaitDefaulted(step=step) if now.seq == edge.after.rev:
            over = isinstance(was, Waiting) and was.until is not None and was.until <= edge.after.at
            return over and step == now.step and planned.on_timeout is OnTimeout.DEFAULT
        case Ticked() | Resumed() if now.seq == edge.after.rev:
            return isinstance(was, Sleeping) and was.wake <= edge.after.at
        case _:
            kept = [event for event in edge.before.buffered if event.seq == now.seq]
            return any(event.name in planned.waits_for for event in kept)


def _brings_its_result(event: Event, was: StepState | None) -> bool:
    """Whether the event is the success of the execution that ran, or the answer of the probe that asked for it."""
    match event:
        case StepSucceeded():
            return isinstance(was, Running) and (event.step, event.attempt) == (was.step, was.tries.attempt)
        case ProbeAnswered(done=True):
            return isinstance(was, Probing) and (event.step, event.attempt) == (was.step, was.tries.probes)
        case _:
            return False


def i7_no_successor_starts_early(edge: Edge) -> bool:
    """A step that starts has everything it follows done, by the plan of this edge."""
    done = {step.step for step in edge.after.steps if is_done(step)}
    return all(
        done.issuperset(edge.plan.step(now.step).after)
        for was, now in edge.steps
        if was is None or (isinstance(now, Running) and _starts(was, now))
    )


def i7_only_a_condition_passes_over(edge: Edge) -> bool:
    """What is not taken was declined by the input of a conditional step, and no attempt of it may have run."""
    declined = {bound.step for bound in getattr(edge.event, "inputs", ()) if isinstance(bound, Declined)}
    return all(
        isinstance(was, NotTaken)
        or (now.step in declined and edge.plan.step(now.step).conditional and _surely_not_run(was))
        for was, now in edge.steps
        if isinstance(now, NotTaken)
    )


def _surely_not_run(was: StepState | None) -> bool:
    return was is None or (isinstance(was, Retrying) and was.tries.doubt is Doubt.NONE)


def i8_nothing_new_starts_once_it_turned_back(edge: Edge) -> bool:
    """No forward step is begun or repeated unless the saga goes forward.

    It does so again only from FAILED, or by the pivot that was running when it was to turn back.
    """
    if edge.after.goal in (Goal.FORWARD, Goal.COMPLETED):
        again = edge.before.goal is Goal.FAILED and isinstance(edge.event, RetryRequested)
        return edge.before.goal is Goal.FORWARD or again or _the_pivot_says_so(edge)
    return not any(isinstance(now, Running) and _starts(was, now) for was, now in edge.steps)


def i8_siblings_are_awaited_unless_declared_otherwise(edge: Edge) -> bool:
    """The failure of one branch cuts no other short, unless the plan says so."""
    if edge.plan.data.cancel_siblings or not isinstance(edge.event, StepFailed):
        return True
    return not any(isinstance(action, CancelExecution) for action in edge.moved.actions)


def i9_only_what_succeeded_is_undone(edge: Edge) -> bool:
    """A compensation begins for a success that has one, or for what may have run where that is declared.

    For nothing else: no skipped step, none that is known not to have run.
    """
    return all(
        edge.plan.step(now.step).compensable
        and (isinstance(was, Succeeded) or _brings_its_result(edge.event, was) or _may_have_run(edge, was, now.step))
        for was, now in edge.steps
        if isinstance(now, Undo) and not isinstance(was, Undo)
    )


def _may_have_run(edge: Edge, was: StepState | None, step: StepId) -> bool:
    """Whether the step was in doubt, or came to be by this event, and is to be undone then."""
    if not isinstance(was, Unfinished) or edge.plan.step(step).on_unknown is not OnUnknown.UNDO:
        return False
    known = (FailureKind.ERROR, FailureKind.REFUSED, FailureKind.FATAL, FailureKind.UNREADABLE)
    told = isinstance(edge.event, StepFailed) and edge.event.step == step and edge.event.kind in known
    return bool(was.tries.doubt) or (isinstance(was, Running) and not told)


def i9_what_can_be_found_out_is_before_anything_is_undone(edge: Edge) -> bool:
    """No compensation begins while a step may have run and its probe has not given up."""
    begins = any(isinstance(now, Undo) and not isinstance(was, Undo) for was, now in edge.steps)
    return not begins or not any(
        isinstance(now, Probing)
        or (isinstance(now, Unknown) and edge.plan.step(now.step).on_unknown is OnUnknown.PROBE)
        for _, now in edge.steps
    )


def i9_what_may_have_run_is_settled_as_declared(edge: Edge) -> bool:
    """A step that may have run is repeated where that is declared, or once its probe has said that it has not run.

    A person may wish it repeated that was left to a person. One that is to be undone is never repeated.
    """
    for was, now in edge.steps:
        if not isinstance(now, Running) or not isinstance(was, _Tried) or not was.tries.doubt or not _starts(was, now):
            continue
        way = edge.plan.step(now.step).on_unknown
        match way:
            case OnUnknown.REPEAT:
                pass
            case OnUnknown.PARK:
                if not isinstance(was, Running | Retrying | Parked | Exhausted):
                    return False
            case OnUnknown.PROBE:
                if not isinstance(edge.event, ProbeAnswered) or edge.event.done:
                    return False
            case OnUnknown.UNDO:
                return False
            case _:
                assert_never(way)
    return True


def i9_in_reverse_order(edge: Edge) -> bool:
    """A compensation begins when everything built upon its step is undone, and nothing runs forward any more."""
    return all(
        not any(
            isinstance(built, Running | Retrying)
            or owes_undo(edge.plan, built)
            or (isinstance(built, Unfinished) and built.tries.until > edge.after.at)
            for built in edge.after.steps
            if edge.plan.owner(built.step) in edge.plan.descendants[edge.plan.owner(now.step)]
        )
        for was, now in edge.steps
        if isinstance(now, Undoing) and not isinstance(was, Undo)
    )


def i9_undone_means_its_compensation_returned(edge: Edge) -> bool:
    """A step is undone only by the success of the compensation that was running."""
    return all(
        isinstance(was, Undone) or (isinstance(was, Undoing) and isinstance(edge.event, CompensationSucceeded))
        for was, now in edge.steps
        if isinstance(now, Undone)
    )


def i10_no_way_forward_after_an_undo(edge: Edge) -> bool:
    """A saga that has begun to undo never goes forward again."""
    begun = any(isinstance(was, Undo) for was, _ in edge.steps)
    return not (begun and edge.after.goal in (Goal.FORWARD, Goal.COMPLETED))


def i10_nothing_is_undone_past_the_pivot(plan: Plan, state: SagaState) -> bool:
    """Once the pivot is done nothing is undone, and the saga goes forward until it has completed or a person ends it."""
    if not past_pivot(plan, state):
        return True
    return state.goal in (Goal.FORWARD, Goal.COMPLETED, Goal.FAILED) and not any(
        isinstance(step, Undo | Exhausted) and not (state.goal is Goal.FAILED and isinstance(step, Exhausted))
        for step in state.steps
    )


def i10_only_a_person_ends_it_past_the_pivot(edge: Edge) -> bool:
    """A saga whose pivot is done fails by an abort alone."""
    ends = edge.after.goal is Goal.FAILED and past_pivot(edge.plan, edge.after)
    return not ends or isinstance(edge.event, AbortRequested)


def i10_no_way_back_from_a_pivot_in_doubt(edge: Edge) -> bool:
    """Nothing begins to be undone while the pivot may have run, unless a person has decided to turn back all the same."""
    begins = any(isinstance(now, Undo) and not isinstance(was, Undo) for was, now in edge.steps)
    pivot = None if edge.plan.pivot is None else find(edge.after, edge.plan.pivot)
    return not (begins and isinstance(pivot, Running | Retrying | Unknown | Parked | Probing))


def i11_ends_are_absorbing(edge: Edge) -> bool:
    """Only an operator's retry or compensation leaves an end, and only FAILED."""
    if edge.before.goal not in ENDS:
        return True
    return edge.before.goal is Goal.FAILED and isinstance(edge.event, RetryRequested | CompensationRequested)


def i13_events_are_kept_in_order(edge: Edge) -> bool:
    """An unnamed outside event is recorded once, under its own journal entry, and none is ever dropped."""
    new = (edge.after.rev,) if isinstance(edge.event, EventReceived) and not edge.event.name else ()
    return edge.after.events == (*edge.before.events, *new)


def i13_a_named_event_is_taken_once(edge: Edge) -> bool:
    """What was kept and what came is now taken by one wait, or still kept; only what is void may be dropped."""
    had = Counter(event.seq for event in edge.before.buffered)
    if isinstance(edge.event, EventReceived) and edge.event.name:
        had[edge.after.rev] += 1
    has = Counter(event.seq for event in edge.after.buffered)
    for was, now in edge.steps:
        if isinstance(now, Succeeded) and now != was and edge.plan.step(now.step).kind is StepKind.EVENT:
            has[now.seq] += not isinstance(edge.event, WaitDefaulted) or edge.event.step != now.step
        elif isinstance(now, Undoing | UndoRetrying) and _was_waiting(edge, was):
            has[now.tries.generation] += 1
    void = Counter(e.seq for e in edge.before.buffered if e.expires is not None and e.expires <= edge.after.at)
    return not has - had and not had - has - void


def _was_waiting(edge: Edge, was: StepState | None) -> bool:
    """Whether a compensation that starts anew is called with an event, and not because its wait was over."""
    if isinstance(edge.event, CompensationWaits):
        return was is not None and was.step == edge.event.step
    return isinstance(was, UndoWaiting) and isinstance(edge.event, EventReceived)


def i13_events_wait_in_order(edge: Edge) -> bool:
    """Of two events for the same wait the one that came first is taken first: what is kept stays in its order."""
    new = 1 if isinstance(edge.event, EventReceived) and edge.after.buffered[-1:] != edge.before.buffered[-1:] else 0
    before = iter(edge.before.buffered)
    return all(event in before for event in edge.after.buffered[: len(edge.after.buffered) - new])


def i14_no_timer_fires_early(edge: Edge) -> bool:
    """What says that a time ran out is told so by the clock, of a moment that has come, and the saga turns back."""
    if edge.moved.timed_out is None:
        return True
    if not isinstance(edge.event, Ticked | Resumed):
        return False
    undone = {was.step: was.until for was, _ in edge.steps if isinstance(was, UndoWaiting)}
    if edge.before.goal is Goal.ROLLBACK and edge.moved.timed_out in undone:
        until = undone[edge.moved.timed_out]
        return until is not None and until <= edge.after.at
    if edge.before.goal is not Goal.FORWARD:
        return False
    over = {was.step: was.until for was, _ in edge.steps if isinstance(was, Waiting)}
    moment = over[edge.moved.timed_out] if edge.moved.timed_out else edge.before.deadline
    # From a pivot, or past it, there may be no way back: then a person is waited for.
    back = edge.after.goal is not Goal.FORWARD or edge.plan.pivot is not None
    return moment is not None and moment <= edge.after.at and back


def i14_what_is_due_fires(edge: Edge) -> bool:
    """When the clock has told, nothing of a saga that goes forward waits for a moment that has come."""
    after, told = edge.after, edge.event
    if not isinstance(told, Ticked | Resumed) or after.goal is not Goal.FORWARD:
        return True
    begun = {now.step for was, now in edge.steps if type(was) is not type(now)}
    for step in after.steps:
        moment = step.wake if isinstance(step, Sleeping) else step.until if isinstance(step, Waiting) else None
        if moment is not None and moment <= after.at and step.step not in begun | set(edge.moved.defaults):
            return False
    parked = any(isinstance(now, Parked) and not isinstance(was, Parked) for was, now in edge.steps)
    return parked or after.deadline is None or after.deadline > after.at


def i14_nothing_begins_before_its_saga(edge: Edge) -> bool:
    """A saga that is to begin later has begun nothing yet."""
    return edge.after.begins <= edge.after.at or not edge.after.steps


def i15_attempts_stay_within_the_policy(edge: Edge) -> bool:
    """A counted failure leads to another attempt only while the policy grants one, and within its budget in time.

    What was refused, or is not to be tried again, leads to none.
    """
    if isinstance(edge.event, ProbeFailed):
        return _probes_within_the_policy(edge, edge.event.step)
    if not isinstance(edge.event, StepFailed | CompensationFailed):
        return True
    planned = edge.plan.step(edge.event.step)
    retry = planned.retry if isinstance(edge.event, StepFailed) else planned.undo_retry
    again = [
        now
        for _, now in edge.steps
        if now.step == edge.event.step and isinstance(now, Running | Retrying | Undoing | UndoRetrying)
    ]
    if isinstance(edge.event, StepFailed) and edge.event.kind in (FailureKind.REFUSED, FailureKind.FATAL):
        return not again
    return all(
        now.tries.failures < retry.attempts
        and (not retry.within or _begins(edge, now) - now.tries.since <= retry.within)
        for now in again
    )


def _probes_within_the_policy(edge: Edge, step: StepId) -> bool:
    retry = edge.plan.step(step).probe_retry
    for _, now in edge.steps:
        if now.step == step and isinstance(now, Unknown | Probing):
            begins = now.wake if isinstance(now, Unknown) else edge.after.at
            late = retry.within and now.since and begins - now.since > retry.within
            if late or now.failures >= retry.attempts:
                return False
    return True


def i15_nothing_starts_before_its_time(edge: Edge) -> bool:
    """No attempt starts before its retry is due, or while one that was taken from its worker may go on."""
    for was, now in edge.steps:
        if not isinstance(was, _Tried) or not _starts(was, now):
            continue
        wake = was.wake if isinstance(was, Retrying | UndoRetrying | Unknown) else Moment(0)
        early = wake > edge.after.at and not isinstance(edge.event, RetryRequested | CompensationRequested)
        if early or was.tries.until > edge.after.at:
            return False
    return True


def i15_no_more_items_at_once_than_declared(edge: Edge) -> bool:
    """No item starts, forward or back, beside as many others of its step as the plan lets run at once."""
    started = {
        edge.plan.owner(now.step) for was, now in edge.steps if isinstance(now, Running | Undoing) and _starts(was, now)
    }
    return all(_at_once(edge.after, step) <= width for step, width in edge.plan.widths.items() if step in started)


def _at_once(state: SagaState, owner: StepId) -> int:
    return sum(is_executing(step) and owner_of(step.step) == owner for step in state.steps)


def i16_a_cancellation_is_before_or_after_the_end(edge: Edge) -> bool:
    """`abort` ends a live saga FAILED, a rollback never leads forward; a saga that had ended refuses both (I11)."""
    match edge.event:
        case AbortRequested():
            return edge.after.goal is Goal.FAILED
        case CompensationRequested():
            return edge.after.goal in (Goal.ROLLBACK, Goal.COMPENSATED, Goal.FAILED)
        case _:
            return True


def effects_agree_with_the_state(edge: Edge) -> bool:
    """Run exactly what is newly running, cancel what no longer is, and give the saga up when nothing runs."""
    started = {_asked_for(now) for was, now in edge.steps if is_executing(now) and _starts(was, now)}
    returned = edge.event.step if isinstance(edge.event, _Result) else None
    stopped = {
        CancelExecution(was.step)
        for was, now in edge.steps
        if is_executing(was) and _stops(was, now) and was.step != returned
    }
    owned = any(is_executing(now) for _, now in edge.steps)
    released = () if owned else (Release(project(edge.plan, edge.after).due),)
    asked = len(edge.moved.actions) == len(started) + len(stopped)
    return asked and set(edge.moved.actions) == started | stopped and edge.moved.writes == released


def _asked_for(step: Running | Undoing | Probing) -> RunStep | RunCompensation | RunProbe:
    match step:
        case Running():
            return RunStep(step.step, step.tries.attempt, step.tries.generation)
        case Undoing():
            return RunCompensation(step.step, step.tries.attempt, step.seq, step.tries.generation)
        case Probing():
            return RunProbe(step.step, step.tries.probes, step.tries.generation)
        case _:
            assert_never(step)


def needs_are_what_could_start(edge: Edge) -> bool:
    """The steps whose inputs are asked for are those a going-forward saga could start now, each once.

    Of items as many are asked for as may run beside those that do.
    """
    if edge.after.goal is not Goal.FORWARD:
        return not edge.moved.needs
    waiting = {
        now.step
        for _, now in edge.steps
        if (
            isinstance(now, Unknown)
            and now.tries.until <= edge.after.at
            and edge.plan.step(now.step).on_unknown is not OnUnknown.PROBE
        )
        or (isinstance(now, Retrying) and now.wake <= edge.after.at)
    }
    could = waiting | set(startable(edge.plan, edge.after))
    if isinstance(edge.event, HandedBack):  # its owner is leaving
        return not edge.moved.needs
    asked = list(edge.moved.needs)
    for step, width in edge.plan.widths.items():
        items = {item for item in could if item != step and edge.plan.owner(item) == step}
        chosen = [item for item in asked if item in items]
        if len(chosen) != min(len(items), max(0, width - _at_once(edge.after, step))):
            return False
        could -= items
        asked = [item for item in asked if item not in items]
    return set(asked) == could and len(asked) == len(could) and len(set(edge.moved.needs)) == len(edge.moved.needs)


def _begins(edge: Edge, now: Running | Retrying | Undoing | UndoRetrying) -> Moment:
    """When the next attempt begins; what has no beginning of a budget yet has all of it."""
    if not now.tries.since:
        return Moment(0)
    return now.wake if isinstance(now, Retrying | UndoRetrying) else edge.after.at


def _the_pivot_says_so(edge: Edge) -> bool:
    """A rollback that has not begun gives way to a pivot that turns out to be done, or that may have been."""
    if edge.before.goal is not Goal.ROLLBACK or edge.plan.pivot is None:
        return False
    pivot = find(edge.after, edge.plan.pivot)
    in_doubt = isinstance(pivot, Parked) and pivot.tries.doubt is not Doubt.NONE
    return in_doubt or (isinstance(pivot, Succeeded) and isinstance(edge.event, StepSucceeded | ProbeAnswered))


def _same_direction(was: StepState, now: StepState) -> bool:
    return isinstance(was, Unfinished) == isinstance(now, Unfinished)


def _last_of(now: Running | Undoing | Probing, was: _Tried) -> int:
    """The number of the last execution of that kind, as far as the state before knows it."""
    return was.tries.probes if isinstance(now, Probing) else was.tries.attempt


def _execution(step: StepState | None) -> tuple[type[StepState], int] | None:
    return (type(step), execution_of(step)) if is_executing(step) else None


def _starts(was: StepState | None, now: StepState) -> bool:
    return _execution(now) is not None and _execution(was) != _execution(now)


def _stops(was: StepState | None, now: StepState) -> bool:
    return _execution(was) is not None and _execution(was) != _execution(now)


STATE_LAWS: Final[tuple[StateLaw, ...]] = (
    i1_a_scan_finds_it,
    i1_the_row_keeps_the_tables_rules,
    i7_nothing_runs_before_what_it_follows,
    i7_items_belong_to_a_list,
    i8_nothing_runs_forward_beside_a_compensation,
    i8_siblings_are_cut_short_where_that_is_declared,
    i10_nothing_is_undone_past_the_pivot,
    i11_an_end_is_at_rest,
    i12_completed_means_all_done,
    i12_compensated_means_nothing_left,
    i12_failed_lists_what_is_left,
)
EDGE_LAWS: Final[tuple[EdgeLaw, ...]] = (
    i3_revisions_are_gapless,
    i4_executions_are_told_apart,
    i6_results_are_kept,
    i7_no_successor_starts_early,
    i7_only_a_condition_passes_over,
    i8_nothing_new_starts_once_it_turned_back,
    i8_siblings_are_awaited_unless_declared_otherwise,
    i9_only_what_succeeded_is_undone,
    i9_what_can_be_found_out_is_before_anything_is_undone,
    i9_what_may_have_run_is_settled_as_declared,
    i9_in_reverse_order,
    i9_undone_means_its_compensation_returned,
    i10_no_way_forward_after_an_undo,
    i10_only_a_person_ends_it_past_the_pivot,
    i10_no_way_back_from_a_pivot_in_doubt,
    i11_ends_are_absorbing,
    i13_events_are_kept_in_order,
    i13_a_named_event_is_taken_once,
    i13_events_wait_in_order,
    i14_no_timer_fires_early,
    i14_what_is_due_fires,
    i14_nothing_begins_before_its_saga,
    i15_attempts_stay_within_the_policy,
    i15_nothing_starts_before_its_time,
    i15_no_more_items_at_once_than_declared,
    i16_a_cancellation_is_before_or_after_the_end,
    effects_agree_with_the_state,
    needs_are_what_could_start,
)
