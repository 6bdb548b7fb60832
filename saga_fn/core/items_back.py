"""The way back through the items of a fan-out, in short: one is undone, and the undo of the next takes its place.

As in `items.py` the answers are those of the general rules, or None. With one list in the saga nothing goes from item to item.
"""

from __future__ import annotations

from typing import Final

from saga_fn.core.effects import RunCompensation, Transition
from saga_fn.core.events import CompensationSucceeded
from saga_fn.core.facts import owes_undo
from saga_fn.core.fan_out import stretch_of
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    Attempts,
    FailedForGood,
    FannedOut,
    Goal,
    Joined,
    NotTaken,
    SagaState,
    Skipped,
    StepState,
    Succeeded,
    Undoing,
    Undone,
    those_of,
)

_GOING_BACK: Final = frozenset({Succeeded, Skipped, NotTaken, FannedOut, Joined, FailedForGood, Undoing, Undone})
"""All that the steps of a saga are while it goes back, and nothing of that goes wrong, waits or is in doubt."""
_FAILED: Final[frozenset[type[object]]] = frozenset({FailedForGood})


def undo_next_item(plan: Plan, state: SagaState, event: CompensationSucceeded) -> Transition | None:
    """The success of an item's compensation: the next item that is done is undone, or the others' undoing goes on."""
    if state.goal is not Goal.ROLLBACK or state.plan != plan.id or plan.pivot is not None:
        return None
    found = stretch_of(plan, state.steps, event.step)
    if found is None:
        return None
    steps, at = state.steps, Moment(max(state.at, event.at))
    first, place, end = found
    whole, item = steps[first - 1], steps[place]
    planned = plan.step(whole.step)
    if type(item) is not Undoing or item.attempts.attempt != event.attempt or not planned.compensable:
        return None
    kinds = tuple(map(type, steps))
    if not _GOING_BACK.issuperset(kinds) or kinds.count(FannedOut) + kinds.count(Joined) > 1:
        return None
    if any(_may_have_run(step, at) for step in those_of(steps, _FAILED)):
        return None
    if not _undoes_nothing_else(plan, whole.step, (*steps[: first - 1], *steps[end:])):
        return None
    undoing = kinds[first:end].count(Undoing)
    undone = [*steps]
    undone[place] = Undone(item.step, item.seq)
    if Succeeded not in kinds[first:end]:  # the last of them lets others begin
        return Transition(_moved(state, at, undone), (), (), ()) if undoing > 1 else None
    if undoing != plan.concurrencies[whole.step]:
        return None
    following = kinds.index(Succeeded, first, end)
    done = steps[following]
    assert type(done) is Succeeded, "it is where the kinds say"
    since = at if planned.undo_retry.within else Moment(0)
    undone[following] = Undoing(done.step, done.seq, Attempts(1, first_attempt_at=since))
    return Transition(_moved(state, at, undone), (), (), (RunCompensation(done.step, 1, done.seq, 0),))


def _may_have_run(step: StepState, at: Moment) -> bool:
    return type(step) is FailedForGood and (bool(step.attempts.doubt) or step.attempts.may_run_until > at)


def _undoes_nothing_else(plan: Plan, whole: StepId, others: tuple[StepState, ...]) -> bool:
    """Whether no other step's undo could begin now, while that of the list goes on, and none has to come before it."""
    owed = {step.step for step in others if owes_undo(plan, step)}
    if not owed.isdisjoint(plan.descendants[whole]):
        return False
    owed.add(whole)
    return not any(
        type(step) is Succeeded and step.step in owed and owed.isdisjoint(plan.descendants[step.step])
        for step in others
    )


def _moved(state: SagaState, at: Moment, steps: list[StepState]) -> SagaState:
    return SagaState(
        state.rev + 1,
        at,
        Goal.ROLLBACK,
        tuple(steps),
        state.events,
        state.latest_event_seq,
        deadline=state.deadline,
        buffered=state.buffered,
        plan=state.plan,
    )
