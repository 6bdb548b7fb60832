"""One event being folded: the draft of the next state, and the effects that lead from the last state to it."""

from __future__ import annotations

from typing import TypeAlias, TypeVar, assert_never, final

from saga_fn.core.effects import (
    Action,
    CancelExecution,
    Refusal,
    Rejection,
    Release,
    RunCompensation,
    RunProbe,
    RunStep,
    Transition,
    Write,
)
from saga_fn.core.event_kinds import is_result
from saga_fn.core.event_matching import defaulting
from saga_fn.core.events import Binding, Event, carries_inputs, is_from_outside
from saga_fn.core.facts import due, needs_owner
from saga_fn.core.fan_out import plan_order
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    Buffered,
    Goal,
    PauseState,
    Probing,
    Rewound,
    Running,
    SagaState,
    StepState,
    Undoing,
    executing_of,
    execution_of,
)

_Execution: TypeAlias = Running | Undoing | Probing
_Executing = TypeVar("_Executing", Running, Undoing, Probing)


@final
class Fold:
    """A draft that the rules change, local to one call of `transition`. Its fields are those of `SagaState`, and these."""

    def __init__(self, plan: Plan, before: SagaState, event: Event) -> None:
        self.plan: Plan = plan
        self.before: SagaState = before
        self._event: Event = event
        self.pause: PauseState | None = before.pause
        self.paused: bool = before.pause is not None and before.pause.holds
        self.idle: bool = self.paused or (is_from_outside(event) and not needs_owner(before))
        """Whether no owner may be there to run anything, or to begin it: the steps that may start are left to the next owner."""
        self.timed_out: StepId | None = None
        """Whose time ran out for good with this event."""

        self.rev: int = before.rev + 1
        self.at: Moment = Moment(max(before.at, event.at))
        self.goal: Goal = before.goal
        self.steps: dict[StepId, StepState] = {step.step: step for step in before.steps}
        self.events: tuple[int, ...] = before.events
        self.latest_event_seq: int = before.latest_event_seq
        self.failed_takeovers = 0
        self.isolated = False
        self.begins_at: Moment = before.begins_at
        self.deadline: Moment | None = before.deadline
        self.buffered: tuple[Buffered, ...] = before.buffered
        self.rewound: tuple[Rewound, ...] = before.rewound

    @property
    def inputs(self) -> tuple[Binding, ...]:
        """The inputs that came with the event."""
        return self._event.inputs if carries_inputs(self._event) else ()

    def put(self, step: StepState) -> None:
        """From now on this is the step's state."""
        self.steps[step.step] = step

    def end(self, kind: type[_Executing], step: StepId, attempt: int) -> _Executing | Rejection:
        """The execution that ends with this event, if it is the one that runs."""
        found = self.steps.get(step)
        if isinstance(found, kind) and execution_of(found) == attempt:
            return found
        return Rejection(Refusal.LATE if step in self.plan else Refusal.UNKNOWN_STEP, step)

    def draft(self) -> SagaState:
        """The next state as it is so far."""
        return SagaState(  # by place: names cost ten times as much
            self.rev,
            self.at,
            self.goal,
            tuple(filter(None, map(self.steps.get, plan_order(self.plan, self.steps)))),
            self.events,
            self.latest_event_seq,
            self.failed_takeovers,
            self.isolated,
            self.begins_at,
            self.deadline,
            self.buffered,
            self.rewound,
            self.pause,
            plan=self.plan.id,
        )

    def decided(self, needs: tuple[StepId, ...]) -> Transition:
        """The answer to the event: the draft as the next state, and the effects by comparing it with the last one."""
        state = self.draft()
        was = _executions(self.before)
        now = _executions(state)
        # Nothing is left to cancel of a step whose execution ends with this event.
        over = self._event.step if is_result(self._event) else None
        cancelled = [
            CancelExecution(name) for name, step in was.items() if name != over and not _is_same(step, now.get(name))
        ]
        started = [_run(step) for name, step in now.items() if not _is_same(step, was.get(name))]
        writes: tuple[Write, ...] = () if now else (Release(due(self.plan, state)),)
        defaults = defaulting(self.plan, state) if self.plan.waits and not self.paused else ()
        return Transition(state, needs, writes, (*cancelled, *started), defaults, self.timed_out)


def _executions(state: SagaState) -> dict[StepId, _Execution]:
    """All that its owner may be executing of the saga."""
    if not needs_owner(state):
        return {}
    return {step.step: step for step in executing_of(state.steps)}


def _is_same(step: _Execution, other: _Execution | None) -> bool:
    """Whether the other state of this step is of the same execution of it."""
    return other is not None and type(other) is type(step) and execution_of(other) == execution_of(step)


def _run(step: _Execution) -> Action:
    match step:
        case Running():
            return RunStep(step.step, step.attempts.attempt, step.attempts.generation)
        case Undoing():
            return RunCompensation(step.step, step.attempts.attempt, step.seq, step.attempts.generation)
        case Probing():
            return RunProbe(step.step, step.attempts.probes, step.attempts.generation)
        case _:
            assert_never(step)
