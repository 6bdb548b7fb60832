"""The state machine. Everything that changes a saga's state is in this file.

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
- What was running when its owner was lost, or timed out, may have run. Going forward it is repeated under the same
  idempotency key and with the same input, unless its plan says to find out first, to turn back and undo it as what may
  have run, or to leave it to a person. A rollback finds out what can be found out before it undoes anything; what stays
  unknown is listed.
- A step that fans out is done when each of its items is; items are steps of their own, of which no more run at once than
  the plan says.

An event is folded in two moves. First its own rule changes the steps it names. Then `_settle` does what the new
situation asks for: bind inputs, begin or continue the rollback, or end. The effects are read off by comparing before
and after, so that they can never disagree with the state.
"""

from __future__ import annotations

from typing import assert_never

import msgspec
from returns.result import Failure, Success

from saga_fn.core.effects import (
    Action,
    CancelExecution,
    Decision,
    Refusal,
    Rejection,
    Release,
    RunCompensation,
    RunProbe,
    RunStep,
    Transition,
    Write,
)
from saga_fn.core.events import (
    AbortRequested,
    Binding,
    Bound,
    BoundEach,
    CompensationFailed,
    CompensationRequested,
    CompensationSucceeded,
    CompensationWaits,
    Declined,
    Event,
    EventReceived,
    FailureKind,
    HandedBack,
    PlanChanged,
    ProbeAnswered,
    ProbeFailed,
    Resumed,
    RetryRequested,
    SagaParked,
    Started,
    StepFailed,
    StepSkipped,
    StepSucceeded,
    Ticked,
    Unbindable,
    Until,
    WaitDefaulted,
)
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.items import ITEM_LIMIT, Places, gathered, in_order, item_count
from saga_fn.core.leftovers import verdict
from saga_fn.core.plan import OnTimeout, OnUnknown, Plan, PlannedStep, StepKind
from saga_fn.core.reading import (
    due,
    held,
    looked_into,
    needs_owner,
    next_steps,
    owes_undo,
    startable,
    to_probe,
    undoable,
)
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import (
    ABIDING,
    COMMITTED,
    DONE,
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
    Unfinished,
    Unknown,
    Waiting,
    execution_of,
    is_done,
    is_executing,
)
from saga_fn.core.straight import advance, begin
from saga_fn.core.waiting import BUFFER_LIMIT, defaulting, first_for, is_over, is_void, undo_wants, wants

CRASH_LIMIT = 3
"""A saga whose takeovers come to this number without progress, the last alone in its process, is parked."""
EVENT_LIMIT = 1000
"""A saga takes no more outside events than this."""

_replace = msgspec.structs.replace


def transition(plan: Plan, state: SagaState | None, event: Event) -> Decision:
    """Fold one event. `state` is None before `Started`; `plan` must be the one the state names.

    >>> from saga_fn.core.plan import PlannedStep
    >>> plan = Plan.of(PlannedStep(StepId("a")))
    >>> match transition(plan, None, Started(at=Moment(0), plan=plan.id, inputs=(Bound(StepId("a"), Digest(b"1")),))):
    ...     case Success(moved): moved.actions
    (RunStep(step='a', attempt=1, generation=0),)
    """
    moved: Transition | None = None
    if type(event) is StepSucceeded and state is not None:
        moved = advance(plan, state, event)
    elif type(event) is Started and state is None and event.plan == plan.id:
        moved = begin(plan, event)
    return in_general(plan, state, event) if moved is None else Success(moved)


def in_general(plan: Plan, state: SagaState | None, event: Event) -> Decision:
    """What `transition` answers, by the rules themselves: `straight.py` only knows some of the answers in short."""
    if state is None:
        if not isinstance(event, Started):
            return Failure(Rejection(Refusal.NOT_STARTED))
        state = _unborn(plan, event)
    elif isinstance(event, Started):
        return Failure(Rejection(Refusal.ALREADY_STARTED))
    if state.plan != plan.id and not isinstance(event, PlanChanged):
        return Failure(Rejection(Refusal.PLAN_MISMATCH))
    if state.ended and not (state.goal is Goal.FAILED and isinstance(event, RetryRequested | CompensationRequested)):
        return Failure(Rejection(Refusal.FINISHED))
    fold = _Fold(plan, state, event.at)
    match event:
        case StepSucceeded():
            return fold.step_succeeded(event)
        case Started():
            return fold.settle(event.inputs)
        case Ticked():
            return fold.ticked(event)
        case Resumed():
            return fold.resumed(event)
        case StepFailed():
            return fold.step_failed(event)
        case CompensationSucceeded():
            return fold.compensation_succeeded(event)
        case CompensationFailed():
            return fold.compensation_failed(event)
        case ProbeAnswered():
            return fold.probe_answered(event)
        case ProbeFailed():
            return fold.probe_failed(event)
        case StepSkipped():
            return fold.step_skipped(event)
        case RetryRequested():
            return fold.retry_requested()
        case CompensationRequested():
            return fold.compensation_requested()
        case AbortRequested():
            return fold.abort_requested(event)
        case EventReceived():
            return fold.event_received(event)
        case PlanChanged():
            return fold.plan_changed(event)
        case SagaParked():
            return fold.saga_parked(event.why)
        case HandedBack():
            return fold.handed_back()
        case WaitDefaulted():
            return fold.wait_defaulted(event)
        case CompensationWaits():
            return fold.compensation_waits(event)
        case _:
            assert_never(event)


def _unborn(plan: Plan, event: Started) -> SagaState:
    """The saga before its first event, with the moments that its start sets."""
    begins = Moment(event.at + event.delay) if event.delay > 0 else Moment(0)
    limit = plan.data.deadline
    deadline = None if limit is None else Moment(max(event.at, begins) + limit)
    return SagaState(plan=event.plan, rev=0, at=event.at, begins=begins, deadline=deadline)


class _Fold:
    """One event being folded: a draft of the next state, local to one call of `transition`."""

    def __init__(self, plan: Plan, before: SagaState, at: Moment) -> None:
        self.plan = plan
        self.before = before
        self.at = Moment(max(before.at, at))
        self.rev = before.rev + 1
        self.goal = before.goal
        self.was: dict[StepId, StepState] = {step.step: step for step in before.steps}
        self.steps = dict(self.was)
        self.events = before.events
        self.latest = before.latest
        self.crashes = 0
        self.alone = False
        self.begins = before.begins
        self.deadline = before.deadline
        self.buffered = before.buffered
        self.timed_out: StepId | None = None
        """Whose time ran out for good with this event."""
        self.over: StepId | None = None
        """The step whose execution ended with this event: nothing is left of it to cancel."""

    # The rule of each event.

    def resumed(self, event: Resumed) -> Decision:
        lost = needs_owner(self.before)
        self.crashes = self.before.crashes
        self.alone = event.alone
        if event.takeover and lost:
            self.crashes += 1
            if self.crashes >= CRASH_LIMIT and self.before.alone:
                return self.saga_parked(ParkReason.CRASH_LOOP)
        self._lose_executions()
        self._fire()
        return self.settle(event.inputs)

    def ticked(self, event: Ticked) -> Decision:
        self._fire()
        return self.settle(event.inputs)

    def _fire(self) -> None:
        """What waits for a moment that has come, each once: sleeps are over, waits have failed, the saga turns back."""
        if self.goal is Goal.ROLLBACK and self.plan.waits:
            for step in tuple(self.steps.values()):
                if isinstance(step, UndoWaiting) and is_over(step, self.at):
                    self.steps[step.step] = self._after_failed_undo(step.step, step.seq, step.tries, 0.0)
                    self.timed_out = self.timed_out or step.step
        if self.goal is not Goal.FORWARD:
            return
        if self.plan.waits:
            for step in tuple(self.steps.values()):
                if isinstance(step, Sleeping) and is_over(step, self.at):
                    self.steps[step.step] = Succeeded(step.step, self.rev)
                elif isinstance(step, Waiting) and is_over(step, self.at) and self._fails_then(step):
                    self.steps[step.step] = self._given_up(step.step, Tries())
                    self.timed_out = self.timed_out or step.step
        if self.deadline is not None and self.deadline <= self.at:
            self.goal = self._back()
            self.deadline = None
            self.timed_out = self.timed_out or StepId("")

    def _fails_then(self, step: Waiting) -> bool:
        return self.plan.step(step.step).on_timeout is OnTimeout.FAIL

    def _back(self) -> Goal:
        return Goal.ROLLBACK if self.plan.data.compensate_on_failure else Goal.HALT

    def wait_defaulted(self, event: WaitDefaulted) -> Decision:
        if event.step not in self.plan:
            return Failure(Rejection(Refusal.UNKNOWN_STEP, event.step))
        step = self.steps.get(event.step)
        over = isinstance(step, Waiting) and is_over(step, self.at) and not self._fails_then(step)
        if not over or self.goal is not Goal.FORWARD:
            return Failure(Rejection(Refusal.NOT_OVER, event.step))
        self.steps[event.step] = Succeeded(event.step, self.rev)
        return self.settle(event.inputs)

    def handed_back(self) -> Decision:
        self.crashes = self.before.crashes
        self._lose_executions()
        return self._decided()

    def step_succeeded(self, event: StepSucceeded) -> Decision:
        match self._current(event.step, event.attempt):
            case Running():
                self.steps[event.step] = Succeeded(event.step, self.rev)
                self.latest = 0
                self.over = event.step
                return self.settle(event.inputs)
            case Rejection() as rejection:
                return Failure(rejection)
            case _:
                return Failure(Rejection(Refusal.LATE, event.step))

    def step_failed(self, event: StepFailed) -> Decision:
        match self._current(event.step, event.attempt):
            case Running(tries=tries):
                self.over = event.step
                self.steps[event.step] = self._after_failure(event, tries)
                return self.settle()
            case Rejection() as rejection:
                return Failure(rejection)
            case _:
                return Failure(Rejection(Refusal.LATE, event.step))

    def _after_failure(self, event: StepFailed, tries: Tries) -> StepState:
        match event.kind:
            case FailureKind.OUTPUT_LOST:
                tries = _replace(tries, doubt=Doubt.OUTPUT_LOST)
                return Parked(event.step, tries, ParkReason.OUTPUT_LOST)
            case FailureKind.UNREADABLE:
                return Parked(event.step, tries, ParkReason.PAYLOAD_UNREADABLE)
            case FailureKind.UNKNOWN:
                tries = _replace(tries, doubt=max(tries.doubt, Doubt.MAY_HAVE_RUN))
                if self.plan.settles and self._on_unknown(event.step) is not OnUnknown.REPEAT:
                    return Unknown(event.step, _replace(tries, failures=tries.failures + 1))
            case FailureKind.REFUSED:
                refused = _replace(tries, failures=tries.failures + 1, doubt=Doubt.NONE)
                return self._given_up(event.step, refused)
            case FailureKind.ERROR | FailureKind.FATAL:
                pass
            case _:
                assert_never(event.kind)
        failed = _replace(tries, failures=tries.failures + 1)
        delay = self._delay(self.plan.step(event.step).retry, failed, event.draw)
        if delay is None or self.goal is not Goal.FORWARD or event.kind is FailureKind.FATAL:
            return self._given_up(event.step, failed)
        if tries.events != len(self.events):  # an event that this attempt has not seen is what the next one waits for
            return Retrying(event.step, failed, self.at)
        if delay == 0:
            return Running(event.step, _next_attempt(failed))
        return Retrying(event.step, failed, Moment(self.at + delay))

    def _given_up(self, step: StepId, tries: Tries) -> StepState:
        """The step has failed for good: the saga turns back, where there is a way back."""
        pivot = self.plan.pivot
        if pivot is not None:
            if type(self.steps.get(pivot)) in COMMITTED:
                return Parked(step, tries, ParkReason.PAST_PIVOT)
            if step == pivot and tries.doubt:
                return Parked(step, tries, ParkReason.OUTCOME_UNKNOWN)
        return Exhausted(step, tries)

    def probe_answered(self, event: ProbeAnswered) -> Decision:
        match self._current(event.step, event.attempt):
            case Probing(tries=tries):
                self.over = event.step
                if event.done:
                    self.steps[event.step] = Succeeded(event.step, self.rev)
                    self.latest = 0
                else:
                    self.steps[event.step] = self._after_all_not_done(event.step, tries)
                return self.settle(event.inputs)
            case Rejection() as rejection:
                return Failure(rejection)
            case _:
                return Failure(Rejection(Refusal.LATE, event.step))

    def _after_all_not_done(self, step: StepId, tries: Tries) -> StepState:
        """The step has not run: what failed of it counts, and nothing of it is in doubt any more."""
        tries = _replace(tries, doubt=Doubt.NONE)
        delay = self._delay(self.plan.step(step).retry, tries, 0.0) if tries.failures else 0
        if delay is None or self.goal is not Goal.FORWARD:
            return self._given_up(step, tries)
        return Retrying(step, tries, Moment(self.at + delay))

    def probe_failed(self, event: ProbeFailed) -> Decision:
        match self._current(event.step, event.attempt):
            case Probing(tries=tries, failures=failures, since=since):
                self.over = event.step
                failures += 1
                spent = self.at - since if since else 0
                retry = self.plan.step(event.step).probe_retry
                delay = retry.delay_after(failures, draw=event.draw, spent=spent)
                if event.kind is FailureKind.OUTPUT_LOST:
                    lost = _replace(tries, doubt=Doubt.OUTPUT_LOST)
                    self.steps[event.step] = self._open_end(event.step, lost, ParkReason.OUTPUT_LOST)
                elif event.kind is FailureKind.UNREADABLE:
                    self.steps[event.step] = self._open_end(event.step, tries, ParkReason.PAYLOAD_UNREADABLE)
                elif delay is None:
                    self.steps[event.step] = self._open_end(event.step, tries, ParkReason.OUTCOME_UNKNOWN)
                else:
                    self.steps[event.step] = Unknown(event.step, tries, Moment(self.at + delay), failures, since)
                return self.settle()
            case Rejection() as rejection:
                return Failure(rejection)
            case _:
                return Failure(Rejection(Refusal.LATE, event.step))

    def _open_end(self, step: StepId, tries: Tries, why: ParkReason) -> StepState:
        """Nobody but a person can find out. A rollback does not wait for that, unless it is about the pivot."""
        waits = self.goal is Goal.FORWARD or step == self.plan.pivot
        return Parked(step, tries, why) if waits else Exhausted(step, tries)

    def compensation_succeeded(self, event: CompensationSucceeded) -> Decision:
        match self._current(event.step, event.attempt):
            case Undoing(seq=seq):
                self.steps[event.step] = Undone(event.step, seq)
                self.over = event.step
                return self.settle()
            case Rejection() as rejection:
                return Failure(rejection)
            case _:
                return Failure(Rejection(Refusal.LATE, event.step))

    def compensation_failed(self, event: CompensationFailed) -> Decision:
        match self._current(event.step, event.attempt):
            case Undoing(seq=seq, tries=tries):
                self.over = event.step
                if event.kind is FailureKind.UNREADABLE:
                    self.steps[event.step] = UndoParked(event.step, seq, tries, ParkReason.PAYLOAD_UNREADABLE)
                else:
                    self.steps[event.step] = self._after_failed_undo(event.step, seq, tries, event.draw)
                return self.settle()
            case Rejection() as rejection:
                return Failure(rejection)
            case _:
                return Failure(Rejection(Refusal.LATE, event.step))

    def _after_failed_undo(self, step: StepId, seq: int, tries: Tries, draw: float) -> StepState:
        failed = _replace(tries, failures=tries.failures + 1)
        delay = self._delay(self.plan.step(step).undo_retry, failed, draw)
        if delay is None:
            return UndoFailed(step, seq, failed)
        if delay == 0:
            return Undoing(step, seq, _next_attempt(failed))
        return UndoRetrying(step, seq, failed, Moment(self.at + delay))

    def compensation_waits(self, event: CompensationWaits) -> Decision:
        match self._current(event.step, event.attempt):
            case Undoing(seq=seq, tries=tries):
                if event.name not in self.plan.step(event.step).undo_waits_for:
                    return Failure(Rejection(Refusal.UNDECLARED_EVENT, event.step))
                self.over = event.step
                until = None if event.limit is None else Moment(self.at + event.limit)
                waiting = UndoWaiting(event.step, seq, tries, event.name, until, event.about)
                came = (each for each in self.buffered if undo_wants(waiting, each) and not is_void(each, self.at))
                first = next(came, None)
                self.steps[event.step] = waiting if first is None else self._heard(waiting, first.seq)
                self.buffered = tuple(each for each in self.buffered if each is not first)
                return self.settle()
            case Rejection() as rejection:
                return Failure(rejection)
            case _:
                return Failure(Rejection(Refusal.LATE, event.step))

    def _heard(self, waiting: UndoWaiting, seq: int) -> UndoRetrying:
        """The compensation is to be called again, now, with the event in that journal entry."""
        return UndoRetrying(waiting.step, waiting.seq, _replace(waiting.tries, generation=seq), self.at)

    def step_skipped(self, event: StepSkipped) -> Decision:
        if event.step not in self.plan:
            return Failure(Rejection(Refusal.UNKNOWN_STEP, event.step))
        waiting = isinstance(self.steps.get(event.step), Retrying | Parked | Unknown | Waiting | Sleeping)
        if self.goal is not Goal.FORWARD or not (waiting or event.step in startable(self.plan, self.before)):
            return Failure(Rejection(Refusal.NOT_WAITING, event.step))
        self.steps[event.step] = Skipped(event.step, self.rev)
        return self.settle(event.inputs)

    def retry_requested(self) -> Decision:
        if self.goal is Goal.FAILED:
            if any(isinstance(step, UndoFailed | UndoParked | Undone) for step in self.steps.values()):
                return Failure(Rejection(Refusal.COMPENSATION_BEGUN))
            if not self._in_order():  # its plan changed while it was rolling back
                return Failure(Rejection(Refusal.PLAN_MISMATCH))
            self.goal = Goal.FORWARD
            if self.deadline is not None and self.deadline <= self.at:
                self.deadline = None  # a person goes on with it, knowing that it is late
        self.steps = {step.step: self._again(step) for step in self.before.steps}
        if not self.before.ended and tuple(self.steps.values()) == self.before.steps:
            return Failure(Rejection(Refusal.NOTHING_TO_RETRY))
        return self.settle()

    def _again(self, step: StepState) -> StepState:
        """The step as an operator's wish to try again leaves it: due at once, with a fresh count."""
        if self.plan.settles and isinstance(step, Unfinished) and self._settled_otherwise(step):
            return Unknown(step.step, _fresh(step.tries))  # not repeated blindly, whoever wishes it
        match step:
            case Parked(tries=tries, why=ParkReason.INPUT_CHANGED) if self.plan.owner(step.step) == step.step:
                # The other input is accepted now; a new generation keeps the old idempotency key out of it.
                fresh = _replace(_fresh(tries), digest=Digest(b""), generation=tries.generation + 1)
                return Retrying(step.step, fresh, self._soonest(fresh))
            case Parked(tries=tries) | Retrying(tries=tries):
                return Retrying(step.step, _fresh(tries), self._soonest(tries))
            case Exhausted(tries=tries) if self.before.ended:
                return Retrying(step.step, _fresh(tries), self._soonest(tries))
            case Unknown(tries=tries) if self.before.ended:
                return Unknown(step.step, _fresh(tries))
            case UndoRetrying(tries=tries) | UndoParked(tries=tries):
                return UndoRetrying(step.step, step.seq, _fresh(tries), self._soonest(tries))
            case Running() | Unknown() | Exhausted() | Probing() | Undoing() | UndoFailed():
                return step
            case Succeeded() | Skipped() | NotTaken() | Spread() | Gathered() | Undone():
                return step
            case Waiting() | Sleeping() | UndoWaiting():
                return step
            case _:
                assert_never(step)

    def _settled_otherwise(self, step: Unfinished) -> bool:
        """Whether the step waits, may have run, and is not to be repeated before that is settled."""
        if not step.tries.doubt or self._on_unknown(step.step) not in (OnUnknown.PROBE, OnUnknown.UNDO):
            return False
        return isinstance(step, Parked | Unknown) or (isinstance(step, Exhausted) and self.before.ended)

    def compensation_requested(self) -> Decision:
        pivot = self.steps.get(self.plan.pivot) if self.plan.pivot is not None else None
        if type(pivot) in COMMITTED:
            return Failure(Rejection(Refusal.PAST_PIVOT, self.plan.pivot))
        if isinstance(pivot, Retrying | Unknown | Parked) and not to_probe(
            pivot, self.plan
        ):  # whatever it has done, a person decides to turn back
            self.steps[pivot.step] = Exhausted(pivot.step, pivot.tries)
        if self.goal is Goal.FORWARD:
            self.goal = Goal.ROLLBACK
            return self.settle()
        owed = [step for step in self.before.steps if owes_undo(self.plan, step) and not isinstance(step, Undoing)]
        for step in owed:
            if isinstance(step, UndoFailed | UndoRetrying | UndoParked):
                fresh = _fresh(step.tries)
                self.steps[step.step] = UndoRetrying(step.step, step.seq, fresh, self._soonest(fresh))
        waited = any(isinstance(step, UndoFailed | UndoRetrying | UndoParked) for step in owed)
        open_ends = [step for step in self.before.steps if to_probe(step, self.plan)]
        opened = self.goal is not Goal.ROLLBACK and bool(owed or open_ends)
        if not (waited or opened):
            return Failure(Rejection(Refusal.NOTHING_TO_COMPENSATE))
        self.goal = Goal.ROLLBACK
        return self.settle()

    def abort_requested(self, event: AbortRequested) -> Decision:
        for step in self.before.steps:
            match step:
                case Running(tries=tries):
                    doubtful = _replace(tries, doubt=max(tries.doubt, Doubt.MAY_HAVE_RUN), until=event.until)
                    self.steps[step.step] = Unknown(step.step, doubtful)
                case Undoing(seq=seq, tries=tries):
                    self.steps[step.step] = UndoFailed(step.step, seq, _replace(tries, until=event.until))
                case UndoRetrying(seq=seq, tries=tries) | UndoParked(seq=seq, tries=tries):
                    self.steps[step.step] = UndoFailed(step.step, seq, tries)
                case UndoWaiting(seq=seq, tries=tries):
                    self.steps[step.step] = UndoFailed(step.step, seq, tries)
                case Retrying(tries=tries) | Parked(tries=tries):
                    self.steps[step.step] = Exhausted(step.step, tries)
                case Waiting() | Sleeping():
                    self.steps[step.step] = Exhausted(step.step, Tries())
                case Probing(tries=tries):
                    self.steps[step.step] = Unknown(step.step, tries)
                case Unknown() | Exhausted() | UndoFailed() | Undone():
                    pass
                case Succeeded() | Skipped() | NotTaken() | Spread() | Gathered():
                    pass
                case _:
                    assert_never(step)
        self.goal = Goal.FAILED
        return self.settle()

    def event_received(self, event: EventReceived) -> Decision:
        if event.name:
            return self._named_event_received(Buffered(self.rev, event.name, event.about, event.expires))
        if len(self.events) >= EVENT_LIMIT:
            return Failure(Rejection(Refusal.TOO_MANY_EVENTS))
        self.events = (*self.events, self.rev)
        self.latest = self.rev
        for step in self.before.steps:
            if isinstance(step, Retrying):
                self.steps[step.step] = _replace(step, wake=min(step.wake, self._soonest(step.tries)))
        return self.settle()

    def _named_event_received(self, event: Buffered) -> Decision:
        """The first wait for it takes it, over or not: until its end is told, it is not over. Else it is kept for one."""
        if event.name not in self.plan.events:
            return Failure(Rejection(Refusal.UNKNOWN_EVENT))
        if is_void(event, self.at):
            return Failure(Rejection(Refusal.EXPIRED))
        for waiting in self.before.steps:
            if isinstance(waiting, Waiting) and wants(self.plan.step(waiting.step), waiting.about, event):
                self.steps[waiting.step] = Succeeded(waiting.step, self.rev)
                return self.settle()
            if isinstance(waiting, UndoWaiting) and undo_wants(waiting, event):
                self.steps[waiting.step] = self._heard(waiting, self.rev)
                return self.settle()
        kept = tuple(each for each in self.buffered if not is_void(each, self.at))
        if len(kept) >= BUFFER_LIMIT:
            return Failure(Rejection(Refusal.TOO_MANY_EVENTS))
        self.buffered = (*kept, event)
        return self.settle()

    def plan_changed(self, event: PlanChanged) -> Decision:
        known = event.plan == self.plan.id and all(
            step.step in self.plan and self._is_of_its_kind(step) for step in self.before.steps
        )
        if not known or not self._kinds_fit():
            return Failure(Rejection(Refusal.PLAN_MISMATCH))
        if not (self._in_order() if self.goal is Goal.FORWARD else self._can_turn_back()):
            return Failure(Rejection(Refusal.PLAN_MISMATCH))
        return self.settle()

    def saga_parked(self, why: ParkReason) -> Decision:
        self._lose_executions()
        if self.goal is not Goal.FORWARD:  # its probe may be what is wrong with the saga
            for step in tuple(self.steps.values()):
                if to_probe(step, self.plan):
                    self.steps[step.step] = self._open_end(step.step, step.tries, ParkReason.OUTCOME_UNKNOWN)
        if self.plan.pivot is not None:
            self._mind_the_pivot(self.plan.pivot)
        forward = self.goal is Goal.FORWARD
        for step in tuple(self.steps.values()):
            if isinstance(step, Unknown | Retrying) and forward:
                self.steps[step.step] = Parked(step.step, step.tries, why)
            elif isinstance(step, Waiting | Sleeping):
                self.steps[step.step] = Parked(step.step, Tries(), why)
            elif isinstance(step, UndoRetrying | UndoWaiting):
                self.steps[step.step] = UndoParked(step.step, step.seq, step.tries, why)
        for unstarted in startable(self.plan, self._draft()):
            self.steps[unstarted] = Parked(unstarted, Tries(), why)
        for undo in undoable(self.plan, self._draft()):
            seq, tries = _undone(undo)
            self.steps[undo.step] = UndoParked(undo.step, seq, tries, why)
        return self.settle()

    # What rules share.

    def _current(self, step: StepId, attempt: int) -> StepState | Rejection | None:
        """The step's state if `attempt` is the execution that runs."""
        if step not in self.plan:
            return Rejection(Refusal.UNKNOWN_STEP, step)
        found = self.steps.get(step)
        return found if is_executing(found) and execution_of(found) == attempt else None

    def _on_unknown(self, step: StepId) -> OnUnknown:
        return self.plan.step(step).on_unknown

    def _in_order(self) -> bool:
        """Whether everything that the begun steps follow is done, by this plan: only then is there a way forward.

        What was not taken has no output to give to those that now take one for granted.
        """
        done = {step.step for step in self.before.steps if is_done(step)}
        return all(
            done.issuperset(self.plan.step(step.step).after)
            and (self.plan.step(step.step).conditional or not isinstance(step, NotTaken))
            for step in self.before.steps
        )

    def _is_of_its_kind(self, step: StepState) -> bool:
        """Whether by this plan the step fans out if it has, and has not been done as a whole if it is to fan out."""
        if step.step not in self.plan.widths:
            return not isinstance(step, Spread | Gathered)
        if isinstance(step, Retrying | Parked):
            return not step.tries.attempt
        return isinstance(step, Spread | Gathered | Skipped | NotTaken)

    def _can_turn_back(self) -> bool:
        """Whether what by this plan is the pivot has not run, so that the way back is open."""
        pivot = self.steps.get(self.plan.pivot) if self.plan.pivot is not None else None
        return pivot is None or isinstance(pivot, Exhausted | NotTaken)

    def _delay(self, retry: RetrySchedule, failed: Tries, draw: float) -> int | None:
        """How long to wait after this failure; None if there is to be no further attempt."""
        spent = self.at - failed.since if failed.since else 0
        return retry.delay_after(failed.failures, draw=draw, spent=spent)

    def _begun(self, tries: Tries, retry: RetrySchedule) -> Tries:
        """The tries with the time when their first attempt began, if there is a budget that runs from it."""
        return _replace(tries, since=self.at) if retry.within and not tries.since else tries

    def _kinds_fit(self) -> bool:
        """Whether everything that has begun is, by this plan, of the kind that it began as."""
        for step in self.before.steps:
            kind = self.plan.step(step.step).kind
            match step:
                case Waiting():
                    fits = kind is StepKind.EVENT
                case Sleeping():
                    fits = kind is StepKind.SLEEP
                case Running() | Unknown() | Probing() | Undoing() | UndoRetrying() | UndoParked() | UndoFailed():
                    fits = kind is StepKind.STEP
                case UndoWaiting():
                    fits = kind is StepKind.STEP
                case Retrying() | Parked() | Exhausted() | Succeeded() | Skipped() | NotTaken() | Undone():
                    fits = True
                case Spread() | Gathered():
                    fits = True  # as `_is_of_its_kind` says
                case _:
                    assert_never(step)
            if not fits:
                return False
        return True

    def _soonest(self, tries: Tries) -> Moment:
        """When the next attempt may start: now, or when the one before is certain to have stopped."""
        return Moment(max(self.at, tries.until))

    def _lose_executions(self) -> None:
        """The owner is gone: what ran forward may have run; a compensation is simply due again."""
        for step in self.before.steps:
            if isinstance(step, Running):
                self.steps[step.step] = _cut_short(step)
            elif isinstance(step, Undoing):
                self.steps[step.step] = UndoRetrying(step.step, step.seq, step.tries, self.at)
            elif isinstance(step, Probing):
                self.steps[step.step] = Unknown(step.step, step.tries, failures=step.failures, since=step.since)

    # What the new situation asks for.

    def settle(self, inputs: tuple[Binding, ...] = ()) -> Decision:
        """Start what can start, turn back if a step has failed for good, end if there is nothing more to do."""
        if self.plan.settles:
            self._look_into_the_unknown()
        if self.goal is Goal.FORWARD and Exhausted in map(type, self.steps.values()):
            self.goal = self._back()
        if self.plan.pivot is not None:
            self._mind_the_pivot(self.plan.pivot)
        match self.goal:
            case Goal.FORWARD:
                return self._go_forward({binding.step: binding for binding in inputs})
            case Goal.ROLLBACK | Goal.HALT:
                return self._turn_back()
            case Goal.COMPLETED | Goal.COMPENSATED | Goal.FAILED:
                return self._decided()
            case _:
                assert_never(self.goal)

    def _look_into_the_unknown(self) -> None:
        """Do about each step that may have run what its plan says; `Unknown` is what stays for later, or for ever."""
        for step in tuple(self.steps.values()):
            if not isinstance(step, Unknown):
                continue
            match self._on_unknown(step.step):
                case OnUnknown.PROBE if self.goal in (Goal.FORWARD, Goal.ROLLBACK) and looked_into(step) <= self.at:
                    within = self.plan.step(step.step).probe_retry.within
                    since = self.at if within and not step.since else step.since
                    probed = _replace(step.tries, probes=step.tries.probes + 1, until=Moment(0))
                    self.steps[step.step] = Probing(step.step, probed, step.failures, since)
                case OnUnknown.PARK if self.goal is Goal.FORWARD:
                    self.steps[step.step] = Parked(step.step, step.tries, ParkReason.OUTCOME_UNKNOWN)
                case OnUnknown.UNDO if self.goal is Goal.FORWARD:
                    self.steps[step.step] = Exhausted(step.step, step.tries)
                case _:
                    pass

    def _mind_the_pivot(self, pivot: StepId) -> None:
        """Turn back only from a pivot that has not been done: what ran when the saga was to turn back may decide otherwise."""
        found = self.steps.get(pivot)
        if type(found) in COMMITTED:
            self.deadline = None  # there is no way back any more
        if self.goal not in (Goal.ROLLBACK, Goal.HALT):
            return
        if type(found) in COMMITTED:
            self.goal = Goal.FORWARD
        elif isinstance(found, Retrying | Unknown | Parked) and found.tries.doubt and not to_probe(found, self.plan):
            self.steps[pivot] = Parked(pivot, found.tries, ParkReason.OUTCOME_UNKNOWN)
            self.goal = Goal.FORWARD

    def _go_forward(self, inputs: dict[StepId, Binding]) -> Decision:
        if self.begins:
            if self.begins > self.at:
                return self._decided()
            self.begins = Moment(0)
        needs: list[StepId] = []
        opened = True
        while opened:
            if self.plan.widths:
                self.steps.update((whole.step, whole) for whole in gathered(self.plan, self.steps))
            if self.plan.waits:
                self._begin_waits(inputs)
            needs, opened = self._start(inputs)
        steps = len(self.plan.steps) + (item_count(self.steps.values()) if self.plan.widths else 0)
        if len(self.steps) == steps and DONE.issuperset(map(type, self.steps.values())):
            self.goal = Goal.COMPLETED
        return self._decided(tuple(needs))

    def _start(self, inputs: dict[StepId, Binding]) -> tuple[list[StepId], bool]:
        """Bind what may start. Gives what has no input yet, and whether that let others start in their turn."""
        needs: list[StepId] = []
        opened = False
        waiting = [
            (step.step, step.tries)
            for step in self.steps.values()
            if (type(step) is Unknown and step.tries.until <= self.at and not to_probe(step, self.plan))
            or (type(step) is Retrying and step.wake <= self.at)
        ]
        places = Places(self.plan, self.steps.values()) if self.plan.widths else None
        for step, tries in [*waiting, *((step, Tries()) for step in next_steps(self.plan, self.steps))]:
            if places is not None and not places.take(step):
                continue
            binding = inputs.get(step)
            if binding is None:
                needs.append(step)
            else:
                bound = self.steps[step] = self._bind(step, tries, binding)
                opened = opened or type(bound) is not Running
        return needs, opened

    def _begin_waits(self, inputs: dict[StepId, Binding]) -> None:
        """Begin what waits for an event or a moment, as far as one leads to the next."""
        begun = True
        while begun:
            again = [step.step for step in self.steps.values() if isinstance(step, Retrying) and step.wake <= self.at]
            begun = False
            for step in (*again, *next_steps(self.plan, self.steps)):
                planned = self.plan.step(step)
                if planned.kind is not StepKind.STEP and (not planned.needs_input or step in inputs):
                    self.steps[step] = self._begin_wait(planned, inputs.get(step))
                    begun = True

    def _begin_wait(self, planned: PlannedStep, binding: Binding | None) -> StepState:
        step = planned.step
        if planned.kind is StepKind.SLEEP:
            if planned.limit is not None:
                return Sleeping(step, Moment(self.at + planned.limit))
            if isinstance(binding, Until):
                return Sleeping(step, binding.moment)
            return Parked(step, Tries(), ParkReason.INPUT_FAILED)
        about = Digest(b"")
        if planned.correlated:
            if not isinstance(binding, Bound):
                return Parked(step, Tries(), ParkReason.INPUT_FAILED)
            about = binding.digest
        event = first_for(planned, about, self.buffered, self.at)
        if event is None:
            return Waiting(step, None if planned.limit is None else Moment(self.at + planned.limit), about)
        self.buffered = tuple(each for each in self.buffered if each is not event)
        return Succeeded(step, event.seq)

    def _bind(self, step: StepId, tries: Tries, binding: Binding) -> StepState:
        match binding:
            case Bound(digest=digest):
                seen = len(self.events)
                owner = self.plan.owner(step)
                if owner in self.plan.widths:
                    return self._bind_item(step, tries, digest, self.steps.get(owner))
                if tries.digest not in (b"", digest):
                    if tries.events == seen:
                        return Parked(step, tries, ParkReason.INPUT_CHANGED)
                    tries = _replace(tries, generation=tries.generation + 1)
                if self.plan.budgets:
                    tries = self._begun(tries, self.plan.step(step).retry)
                return Running(step, _next_attempt(_replace(tries, digest=digest, events=seen)))
            case Declined():
                if not self.plan.step(step).conditional or step not in self.plan.index:
                    return Parked(step, tries, ParkReason.INPUT_FAILED)
                if tries.doubt or (tries.digest and tries.events == len(self.events)):
                    return Parked(step, tries, ParkReason.INPUT_CHANGED)
                return NotTaken(step)
            case BoundEach(items=items, digest=digest):
                fits = 0 <= items <= ITEM_LIMIT - item_count(self.steps.values())
                if step not in self.plan.widths or not fits:
                    return Parked(step, tries, ParkReason.INPUT_FAILED)
                return Spread(step, items, digest, len(self.events), self.latest)
            case Unbindable() | Until():
                return Parked(step, tries, ParkReason.INPUT_FAILED)
            case _:
                assert_never(binding)

    def _bind_item(self, step: StepId, tries: Tries, digest: Digest, spread: StepState | None) -> StepState:
        """An item starts if the list is what it was when the step fanned out; it is kept there, not with each item."""
        if not isinstance(spread, Spread) or spread.step == step:
            return Parked(step, tries, ParkReason.INPUT_FAILED)
        if digest != spread.digest:
            return Parked(step, tries, ParkReason.INPUT_CHANGED)
        if self.plan.budgets:
            tries = self._begun(tries, self.plan.step(step).retry)
        return Running(step, _next_attempt(_replace(tries, events=len(self.events))))

    def _turn_back(self) -> Decision:
        places = Places(self.plan, self.steps.values()) if self.plan.widths else None
        for step in tuple(self.steps.values()):
            if isinstance(step, Running) and self.plan.data.cancel_siblings and step.step != self.plan.pivot:
                self.steps[step.step] = _cut_short(step)
            elif isinstance(step, Retrying | Parked):
                self.steps[step.step] = Exhausted(step.step, step.tries)
            elif type(step) in ABIDING:
                self.steps[step.step] = Exhausted(step.step, Tries())
            elif isinstance(step, UndoRetrying) and step.wake <= self.at and (places is None or places.take(step.step)):
                tries = self._begun(step.tries, self.plan.step(step.step).undo_retry)
                self.steps[step.step] = Undoing(step.step, step.seq, _next_attempt(tries))
        for undo in undoable(self.plan, self._draft()):
            seq, tries = _undone(undo)
            first = self._begun(_next_attempt(tries), self.plan.step(undo.step).undo_retry)
            self.steps[undo.step] = Undoing(undo.step, seq, first)
        if not any(self._goes_on(step) for step in self.steps.values()) and not held(self._draft()):
            self.goal = Goal.FAILED if self.goal is Goal.HALT else verdict(self.plan, self._draft())
        return self._decided()

    def _goes_on(self, step: StepState) -> bool:
        """Whether the rollback cannot end before something has become of the step."""
        if isinstance(step, Running | Probing | Undoing | UndoRetrying | UndoWaiting | UndoParked):
            return True
        return self.goal is Goal.ROLLBACK and to_probe(step, self.plan)

    def _draft(self) -> SagaState:
        return SagaState(
            plan=self.plan.id,
            rev=self.rev,
            at=self.at,
            goal=self.goal,
            steps=tuple([self.steps[step] for step in in_order(self.plan, self.steps) if step in self.steps]),
            events=self.events,
            latest=self.latest,
            crashes=self.crashes,
            alone=self.alone,
            begins=self.begins,
            deadline=self.deadline,
            buffered=self.buffered,
        )

    def _decided(self, needs: tuple[StepId, ...] = ()) -> Decision:
        state = self._draft()
        cancelled = [
            CancelExecution(step.step)
            for step in self.before.steps
            if is_executing(step) and step.step != self.over and not _same_execution(step, self.steps[step.step])
        ]
        started = [
            _run(step)
            for step in state.steps
            if is_executing(step) and not _same_execution(step, self.was.get(step.step))
        ]
        writes: tuple[Write, ...] = () if needs_owner(state) else (Release(due(self.plan, state)),)
        defaults = tuple(step.step for step in defaulting(self.plan, state)) if self.plan.waits else ()
        return Success(Transition(state, needs, writes, (*cancelled, *started), defaults, self.timed_out))


def _next_attempt(tries: Tries) -> Tries:
    return _replace(tries, attempt=tries.attempt + 1, until=Moment(0))


def _cut_short(step: Running) -> Unknown:
    return Unknown(step.step, _replace(step.tries, doubt=max(step.tries.doubt, Doubt.MAY_HAVE_RUN)))


def _fresh(tries: Tries) -> Tries:
    """The tries as a person's wish to try again leaves them: with a fresh count and a fresh budget."""
    return _replace(tries, failures=0, since=Moment(0))


def _undone(step: Succeeded | Unknown | Exhausted) -> tuple[int, Tries]:
    """Where the output of the step is that is to be undone, and the tries of that to begin with.

    What only may have run has no output; its input is told by the fingerprint it was started with.
    """
    return (step.seq, Tries()) if isinstance(step, Succeeded) else (0, Tries(digest=step.tries.digest))


def _same_execution(step: Running | Undoing | Probing, other: StepState | None) -> bool:
    """Whether the other state of this step is of the same execution of it."""
    return is_executing(other) and type(other) is type(step) and execution_of(other) == execution_of(step)


def _run(step: Running | Undoing | Probing) -> Action:
    match step:
        case Running():
            return RunStep(step.step, step.tries.attempt, step.tries.generation)
        case Undoing():
            return RunCompensation(step.step, step.tries.attempt, step.seq, step.tries.generation)
        case Probing():
            return RunProbe(step.step, step.tries.probes, step.tries.generation)
        case _:
            assert_never(step)
