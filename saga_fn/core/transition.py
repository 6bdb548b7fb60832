"""The state machine: the law that a saga's state changes by, and who of the rules in `rules/` answers for which event.

`transition` is total: any event in any state gives a `Success(Transition)` or a `Failure(Rejection)`, never an
exception. It knows no clock, no database, no payload and no user code.

The law it keeps (the numbers are those of the invariants in `invariants/`):

- A step starts only when everything it follows is done (I7), and only with an input bound to it. A conditional step whose
  input says so is done without having run; not after an attempt that may have run.
- A result counts only for the execution that is running: same step, same direction, same attempt (I6).
- Once a step has failed for good the saga heads back: nothing new starts forward (I8). Running siblings are awaited, or
  cut short if the plan says so: those may have run. Then every success with a compensation is undone, each after all
  that was built upon it, and those at the same time that are not built upon each other (I9).
- A rollback ends COMPENSATED only if nothing is left over, else FAILED; a saga is COMPLETED only when every step is
  done or was skipped by a person (I12). Ends are absorbing, but for an operator's verbs upon FAILED (I11).
- Once the pivot is done the only way is forward (I10): what fails for good then waits for a person. So does a pivot that
  may have run; and if it succeeds while the saga waits to turn back, the saga goes on.
- An execution that was running when its owner was lost, or timed out, may have been done. Going forward it is repeated under the same
  idempotency key and with the same input, unless its plan says to find out first, to turn back and undo it as what may
  have run, or to leave it to a person. A rollback finds out what can be found out before it undoes anything; what stays
  unknown is listed.
- A step that fans out is done when each of its items is; items are steps of their own, of which no more run at once than
  the plan says.

An event is folded in two moves. First its own rule changes the steps it names. Then `_apply_consequences` does what the new
situation asks for: bind inputs, begin or continue the rollback, or end. The effects are read off by comparing before
and after (`Fold.decided`), so that they can never disagree with the state.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias, assert_never

from returns.result import Failure, Success

from saga_fn.core.ahead import Ahead, go_ahead
from saga_fn.core.chain import begin
from saga_fn.core.effects import Decision, Refusal, Rejection, Transition
from saga_fn.core.event_kinds import Result, is_result
from saga_fn.core.events import (
    AbortRequested,
    Accompanied,
    CompensationFailed,
    CompensationRequested,
    CompensationSucceeded,
    CompensationWaits,
    Event,
    EventReceived,
    HandedBack,
    MomentsMoved,
    OperatorVerb,
    Paused,
    PauseRequested,
    PlanChanged,
    ProbeAnswered,
    ProbeFailed,
    Rescheduled,
    Resumed,
    ResumeRequested,
    RetryRequested,
    RewindRequested,
    SagaParked,
    Started,
    StepFailed,
    StepSettled,
    StepSkipped,
    StepSucceeded,
    Ticked,
    WaitDefaulted,
    is_verb,
    takes_up,
)
from saga_fn.core.facts import is_executed
from saga_fn.core.foresight import straight_ahead
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.items_back import undo_next_item
from saga_fn.core.plan import Plan
from saga_fn.core.rules import (
    forward,
    operators,
    ownership,
    pauses,
    pivot,
    plan_change,
    results,
    rewinding,
    rollback,
    settlement,
    unknown_outcome,
    waits,
)
from saga_fn.core.rules.fold import Fold
from saga_fn.core.state import FailedForGood, Goal, SagaState
from saga_fn.core.way_back import after_failure, go_on_back

_News: TypeAlias = (
    Started
    | Ticked
    | Resumed
    | EventReceived
    | WaitDefaulted
    | HandedBack
    | Accompanied
    | Paused
    | SagaParked
    | MomentsMoved
    | PlanChanged
)
"""The events that are neither the end of an execution nor an operator's."""
_FINISHED: Final = Failure(Rejection(Refusal.FINISHED))


def transition(plan: Plan, state: SagaState | None, event: Event, ahead: Ahead | None = None) -> Decision:
    """Fold one event. `state` is None before `Started`; `plan` must be the one the state names.

    `ahead` is what `foresee` gave for this event, which may have got inputs since, in this state: then it is looked at once.

    >>> from saga_fn.core.events import Bound
    >>> from saga_fn.core.ids import Digest
    >>> from saga_fn.core.plan import PlannedStep
    >>> plan = Plan.of(PlannedStep(StepId("a")))
    >>> match transition(plan, None, Started(at=Moment(0), plan=plan.id, inputs=(Bound(StepId("a"), Digest(b"1")),))):
    ...     case Success(moved): moved.actions
    (RunStep(step='a', attempt=1, generation=0),)
    """
    moved: Transition | None = None
    if state is None:
        if type(event) is Started and event.plan == plan.id:
            moved = begin(plan, event)
    elif state.pause is not None or state.rewound:
        pass  # what is not begun, was moved or taken back, only the rules themselves know
    elif type(event) is StepSucceeded:
        if ahead is None:
            ahead = straight_ahead(plan, state, event)
        if ahead is not None and ahead.is_all:
            moved = go_ahead(plan, event, ahead)
    elif type(event) is StepFailed:
        if plan.is_chain:
            moved = after_failure(plan, state, event)
    elif type(event) is CompensationSucceeded:
        moved = undo_next_item(plan, state, event) if plan.concurrencies else go_on_back(plan, state, event)
    return by_general_rules(plan, state, event) if moved is None else Success(moved)


def by_general_rules(plan: Plan, state: SagaState | None, event: Event) -> Decision:
    """The answer of `transition`, by the rules themselves.

    `chain.py` and `way_back.py`, `items.py` and `items_back.py`, and `branches.py` only know some in short.
    """
    if state is None:
        if not isinstance(event, Started):
            return Failure(Rejection(Refusal.NOT_STARTED))
        state = _unborn(plan, event)
    elif type(event) is Started:
        return Failure(Rejection(Refusal.ALREADY_STARTED))
    if state.plan != plan.id and not isinstance(event, PlanChanged):
        return Failure(Rejection(Refusal.PLAN_MISMATCH))
    ended = state.ended
    if ended and not (state.goal is Goal.FAILED and takes_up(event)):
        return _FINISHED
    if is_result(event):
        if not is_executed(state, event.step):  # one that comes late is not worth a draft
            return _late(event.step, known=event.step in plan.index or event.step in plan)
    elif is_verb(event):
        if event.expect is not None and event.expect != state.rev:
            return Failure(Rejection(Refusal.MOVED_ON))
        if ended and takes_up(event) and event.stopped:
            state = operators.stopped(state, event.stopped)
    fold = Fold(plan, state, event)
    refused = _change(fold, event)
    if refused is not None:
        return Failure(refused)
    # A saga that is handed back is left as it is, for its next owner to settle.
    needs = () if type(event) is HandedBack else _apply_consequences(fold)
    # Parked, or named by a person, in a pause: it has begun, and nothing moves that any more.
    if fold.begins_at and fold.steps:
        fold.begins_at = Moment(0)
    if fold.pause is not None:
        pauses.begun(fold)
    return Success(fold.decided(needs))


@lru_cache(maxsize=1024)
def _late(step: StepId, *, known: bool) -> Failure[Rejection]:
    return Failure(Rejection(Refusal.LATE if known else Refusal.UNKNOWN_STEP, step))


def _unborn(plan: Plan, event: Started) -> SagaState:
    """The saga before its first event, with the moments that its start sets."""
    begins = Moment(event.at + event.delay)
    limit = plan.data.deadline
    deadline = None if limit is None else Moment(max(event.at, begins) + limit)
    return SagaState(plan=event.plan, rev=0, at=event.at, begins_at=begins, deadline=deadline)


def _change(fold: Fold, event: Event) -> Rejection | None:
    """The first move: the rule of the event. In three groups, since a match costs for each kind that comes before."""
    if is_result(event):
        return _end(fold, event)
    return _ask(fold, event) if is_verb(event) else _tell(fold, event)


def _end(fold: Fold, event: Result) -> Rejection | None:
    """An execution has come to its end."""
    match event:
        case StepSucceeded():
            return results.step_succeeded(fold, event)
        case StepFailed():
            return results.step_failed(fold, event)
        case CompensationSucceeded():
            return rollback.compensation_succeeded(fold, event)
        case CompensationFailed():
            return rollback.compensation_failed(fold, event)
        case CompensationWaits():
            return waits.compensation_waits(fold, event)
        case ProbeAnswered():
            return unknown_outcome.probe_answered(fold, event)
        case ProbeFailed():
            return unknown_outcome.probe_failed(fold, event)
        case _:
            assert_never(event)


def _ask(fold: Fold, event: OperatorVerb) -> Rejection | None:
    """An operator asks for something."""
    match event:
        case RetryRequested():
            return operators.retry_requested(fold, event)
        case StepSettled():
            return settlement.step_settled(fold, event)
        case StepSkipped():
            return operators.step_skipped(fold, event)
        case CompensationRequested():
            return operators.compensation_requested(fold)
        case AbortRequested():
            operators.abort_requested(fold, event)
        case Rescheduled():
            return operators.rescheduled(fold, event)
        case PauseRequested():
            return pauses.pause_requested(fold)
        case ResumeRequested():
            return pauses.resume_requested(fold, event)
        case RewindRequested():
            return rewinding.rewind_requested(fold, event)
        case _:
            assert_never(event)
    return None


def _tell(fold: Fold, event: _News) -> Rejection | None:
    """Something else has come to pass: to the saga, its owner, or the world outside."""
    match event:
        case Started():
            pass
        case Ticked():
            waits.fire_timers(fold)
        case Resumed():
            ownership.resumed(fold, event)
        case EventReceived():
            return waits.event_received(fold, event)
        case WaitDefaulted():
            return waits.wait_defaulted(fold, event)
        case HandedBack():
            ownership.handed_back(fold, event)
        case Accompanied():
            ownership.accompanied(fold)
        case Paused():
            pauses.paused(fold)
        case SagaParked():
            ownership.saga_parked(fold, event)
        case MomentsMoved():
            return pauses.moments_moved(fold, event)
        case PlanChanged():
            return plan_change.plan_changed(fold, event)
        case _:
            assert_never(event)
    return None


def _apply_consequences(fold: Fold) -> tuple[StepId, ...]:
    """The second move: whatever the situation asks for. Gives the steps that lack nothing but their input to start."""
    if fold.plan.has_unknown_policies:
        unknown_outcome.settle_unknown_outcomes(fold)
    if fold.goal is Goal.FORWARD and FailedForGood in map(type, fold.steps.values()):
        rollback.turn_back(fold)
    if fold.plan.pivot is not None:
        pivot.enforce_pivot(fold)
    match fold.goal:
        case Goal.FORWARD:
            needs = forward.go_forward(fold)
            forward.end_if_done(fold)
            return needs
        case Goal.ROLLBACK | Goal.HALT:
            rollback.go_back(fold)
        case Goal.COMPLETED | Goal.COMPENSATED | Goal.FAILED:
            pass
        case _:
            assert_never(fold.goal)
    return ()
