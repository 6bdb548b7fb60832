"""The end that a saga comes to if its calls answer so and faults befall them so: by folding the same events.

It is what a test of the whole engine is compared with. Each call answers at once, in the order in which they began. Time goes on
only where nothing runs. Where several calls are out at the same time, another order may come to another end: see `surprises.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias, assert_never, final

import msgspec
from returns.result import Failure

from saga_fn.core.calls import Answers, Befalls, Call, Failed, FaultAt
from saga_fn.core.effects import CancelExecution, RunCompensation, RunProbe, RunStep
from saga_fn.core.events import (
    Binding,
    Bound,
    BoundEach,
    CompensationFailed,
    CompensationSucceeded,
    Event,
    EventReceived,
    FailureKind,
    ProbeAnswered,
    ProbeFailed,
    Resumed,
    Started,
    StepFailed,
    StepSucceeded,
    Ticked,
    Until,
    WaitDefaulted,
    carries_inputs,
)
from saga_fn.core.ids import Digest, Micros, Moment, StepId
from saga_fn.core.leftovers import left_over
from saga_fn.core.owning import is_due, still_wanted
from saga_fn.core.plan import Plan, StepKind
from saga_fn.core.projection import SagaStatus, project
from saga_fn.core.state import FannedOut, Joined, SagaState, Waiting
from saga_fn.core.step_report import StepStatus, report_of
from saga_fn.core.transition import transition

_replace = msgspec.structs.replace
_BEGIN: Final = Moment(1_000_000)
_LEASE: Final = Micros(15_000_000)
_SOME: Final = Digest(b"1")
_MOST_EVENTS: Final = 20_000
_Call: TypeAlias = RunStep | RunCompensation | RunProbe


class Foretold(msgspec.Struct, frozen=True):
    """The end of a saga, or where it waits for a person or an event."""

    status: SagaStatus
    steps: tuple[tuple[StepId, StepStatus], ...]
    left_over: tuple[tuple[StepId, str], ...]
    came: bool = True
    """Whether each fault that befalls some calls has befallen as many."""
    is_sure: bool = True
    """Whether no two calls were ever out at the same time. Else another order of their answers may come to another end."""

    @property
    def end(self) -> tuple[object, ...]:
        """The end alone."""
        return self.status, self.steps, self.left_over


def foretell(plan: Plan, answers: Answers, faults: Sequence[FaultAt] = ()) -> Foretold:
    """Fold it to its end.

    >>> from saga_fn.core.plan import PlannedStep
    >>> plan = Plan.of(PlannedStep(StepId("a")))
    >>> foretell(plan, Answers(), [FaultAt(Befalls.CRASH_AFTER, StepId("a"))]).status.value
    'COMPLETED'
    """
    return _Course(plan, answers, faults).run()


def refold(plan: Plan, journal: Iterable[Event]) -> Foretold | None:
    """Fold a journal by the core, in the order that it has. None if it does not accept it."""
    state: SagaState | None = None
    for event in journal:
        decision = transition(plan, state, event)
        if isinstance(decision, Failure):
            return None
        state = decision.unwrap().state
    return None if state is None else _told_of(plan, state)


def _told_of(plan: Plan, state: SagaState) -> Foretold:
    return Foretold(
        project(plan, state).status,
        tuple((each.step_id, each.status) for each in report_of(plan, state)),
        tuple((each.step_id, each.kind.value) for each in left_over(plan, state)),
    )


@final
class _Course:
    """One saga, on its way."""

    def __init__(self, plan: Plan, answers: Answers, faults: Sequence[FaultAt]) -> None:
        self.plan = plan
        self.answers = answers
        self.faults = faults
        self.left = [fault.times for fault in faults]
        self.is_sure = True
        self.at = _BEGIN
        self.running: list[_Call] = []
        self.is_owned = True
        self.has_run: set[StepId] = set()
        self.calls: dict[StepId, int] = {}
        self.state = self._told(None, Started(self.at, plan.id))

    def run(self) -> Foretold:
        for name in self.answers.early:
            self._tell(EventReceived(self.at, name, _SOME))
        while self.state.rev < _MOST_EVENTS and not self.state.ended and self._go_on():
            pass
        return _replace(_told_of(self.plan, self.state), came=not any(self.left), is_sure=self.is_sure)

    def _go_on(self) -> bool:
        """Let the next thing happen; False if nothing more happens by itself."""
        if self.running:
            self.is_sure &= len(self.running) == 1
            self._answer(self.running.pop(0))
            return True
        awaited = self._awaited()
        if awaited is not None:
            self._tell(EventReceived(self.at, awaited, _SOME))
            return True
        due = project(self.plan, self.state).due
        if due is None:
            return False
        self.at = Moment(max(self.at, due))
        before = self.state
        self._tell(Resumed(self.at))
        return self.state.steps != before.steps or self.state.goal is not before.goal or bool(self.running)

    def _awaited(self) -> str | None:
        withheld = self.answers.withheld
        waiting = [each.step for each in self.state.steps if isinstance(each, Waiting) and each.step not in withheld]
        for name in self.answers.events:
            if any(name in self.plan.step(step).waits_for for step in waiting):
                return name
        return None

    # The answers.

    def _answer(self, call: _Call) -> None:
        match call:
            case RunStep():
                self._execute(call)
            case RunCompensation():
                self._undo(call)
            case RunProbe():
                self._probe(call)
            case _:
                assert_never(call)

    def _execute(self, call: RunStep) -> None:
        step = call.step
        if self._befalls(Befalls.CRASH_BEFORE, step, Call.EXECUTE):
            self._crash()
            return
        kind, after = self._fails(step, Call.EXECUTE), None
        if kind is None:
            usual = self._usual(step)
            if usual is not None:
                kind, after = usual.kind, usual.after
            if usual is None or usual.done:
                self.has_run.add(step)
        if self._dies(step, Call.EXECUTE):
            return
        if self._befalls(Befalls.LATE, step, Call.EXECUTE):
            kind = FailureKind.INTERRUPTED if self.plan.step(step).transactional else FailureKind.UNKNOWN
            after = None
        if kind is not None:
            self._tell(StepFailed(self.at, step, call.attempt, kind, after=after))
            return
        self._tell(StepSucceeded(self.at, step, call.attempt))
        if self._befalls(Befalls.CRASH_AFTER_COMMIT, step, Call.EXECUTE):
            self._crash()

    def _undo(self, call: RunCompensation) -> None:
        step = call.step
        kind = self._fails(step, Call.UNDO)
        if kind is None:
            self.has_run.discard(step)
        if self._dies(step, Call.UNDO):
            return
        if self._befalls(Befalls.LATE, step, Call.UNDO):
            kind = FailureKind.UNKNOWN
        if kind is None:
            self._tell(CompensationSucceeded(self.at, step, call.attempt))
        else:
            self._tell(CompensationFailed(self.at, step, call.attempt, kind))

    def _probe(self, call: RunProbe) -> None:
        step = call.step
        kind = self._fails(step, Call.PROBE)
        done = (step in self.has_run) is (self._befalls(Befalls.LIES, step, Call.PROBE) is None)
        if self._dies(step, Call.PROBE):
            return
        if self._befalls(Befalls.LATE, step, Call.PROBE):
            kind = FailureKind.ERROR
        if kind is None:
            self._tell(ProbeAnswered(self.at, step, call.attempt, done))
        else:
            self._tell(ProbeFailed(self.at, step, call.attempt, kind))

    def _fails(self, step: StepId, call: Call) -> FailureKind | None:
        fault = self._befalls(Befalls.FAILS, step, call)
        return None if fault is None else fault.kind

    def _usual(self, step: StepId) -> Failed | None:
        usual = self.answers.failures.get(step, ())
        number = self.calls[step] = self.calls.get(step, 0) + 1
        return usual[min(number, len(usual)) - 1] if usual else None

    def _dies(self, step: StepId, call: Call) -> bool:
        """Whether no owner hears the answer: the process is dead, or the saga is another one's."""
        _ = self._befalls(Befalls.TWICE, step, call)  # which no part of the saga notices
        if self._befalls(Befalls.CRASH_AFTER, step, call) or self._befalls(Befalls.TAKEN, step, call):
            self._crash()
            return True
        return False

    def _crash(self) -> None:
        """All that runs is lost, and another process takes the saga over, if it had an owner."""
        self.running.clear()
        if self.is_owned and not self.state.ended:
            self.at = Moment(self.at + _LEASE)
            self._tell(Resumed(self.at, takeover=True))

    def _befalls(self, how: Befalls, step: StepId, call: Call) -> FaultAt | None:
        """The fault of that kind that befalls this call; it is counted."""
        for place, fault in enumerate(self.faults):
            left = self.left[place]
            if fault.how is how and fault.call is call and left != 0 and fault.step in (step, self.plan.owner(step)):
                self.left[place] = None if left is None else left - 1
                return fault
        return None

    # The saga.

    def _tell(self, event: Event) -> None:
        self.state = self._told(self.state, event)

    def _told(self, state: SagaState | None, event: Event) -> SagaState:
        """Fold the event, as the owner of the saga does, and note what is to be called."""
        decision = transition(self.plan, state, event)
        if isinstance(decision, Failure):
            assert state is not None, "a start is accepted"
            return state
        moved = decision.unwrap()
        while moved.needs and carries_inputs(event):
            event = _replace(event, inputs=(*event.inputs, *(self._input(moved.state, step) for step in moved.needs)))
            moved = transition(self.plan, state, event).unwrap()
        self.is_owned = not moved.writes
        wanted = still_wanted(moved.state, [*self.running, *moved.actions])
        self.running = [each for each in wanted if not isinstance(each, CancelExecution)]
        state = moved.state
        if moved.defaults:
            return self._told(state, WaitDefaulted(self.at, moved.defaults[0]))
        if moved.needs or any(is_due(state, release) for release in moved.writes):
            return self._told(state, Ticked(self.at))
        return state

    def _input(self, state: SagaState, step: StepId) -> Binding:
        if step in self.plan.index and self.plan.step(step).kind is StepKind.EVENT:
            return Bound(step, _SOME)  # it is about what each event is about
        known = self.answers.inputs.get(step)
        if known is not None:
            return known
        if step in self.plan.concurrencies and not _has_spread(state, step):
            return BoundEach(step, 1, _SOME)
        if step in self.plan.index and self.plan.step(step).kind is StepKind.SLEEP:
            return Until(step, self.at)
        owner = self.plan.owner(step)
        of_all = self.answers.inputs.get(owner)
        return Bound(step, of_all.digest if isinstance(of_all, BoundEach) else _SOME)


def _has_spread(state: SagaState, step: StepId) -> bool:
    return any(each.step == step and isinstance(each, FannedOut | Joined) for each in state.steps)
