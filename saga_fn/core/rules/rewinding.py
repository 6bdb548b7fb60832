"""A saga that an operator takes back to a step: that one and all that follow it have not begun any more."""

from __future__ import annotations

from saga_fn.core.effects import Refusal, Rejection
from saga_fn.core.events import RewindRequested
from saga_fn.core.plan import OnUnknown
from saga_fn.core.rewinding import rewinding
from saga_fn.core.rules.attempts import fresh, soonest
from saga_fn.core.rules.fold import Fold
from saga_fn.core.rules.plan_change import out_of_order
from saga_fn.core.state import FailedForGood, Goal, Retrying, Rewound, StepState, Unknown


def rewind_requested(fold: Fold, event: RewindRequested) -> Rejection | None:
    """The step and all that follow it are to run again. Nothing is undone: what is in the world has to be named.

    A saga that was turning back, or has FAILED, goes forward again, with what it has given up beside these steps.
    """
    for named in event.forget:
        if named not in fold.plan.index:
            return Rejection(Refusal.UNKNOWN_STEP, named)
    found = rewinding(fold.plan, fold.before, event.step, fold.at)
    if isinstance(found, Rejection):
        return found
    unnamed = tuple(step for step in found.forgotten if step not in event.forget)
    if unnamed:
        return Rejection(Refusal.UNNAMED, event.step, unnamed=unnamed)
    again = frozenset(found.again)
    for step in fold.before.steps:
        if step.step in again:
            fold.put(Rewound(step.step, fold.rev))
        elif fold.plan.owner(step.step) in again:  # an item: its list is another one then
            del fold.steps[step.step]
    others = tuple(each for each in fold.rewound if each.step not in again)
    fold.rewound = (*others, *(Rewound(step, fold.rev) for step in found.again))
    fold.latest_event_seq = 0
    if fold.goal is Goal.FORWARD:
        return None
    fold.goal = Goal.FORWARD
    if fold.deadline is not None and fold.deadline <= fold.at:
        fold.deadline = None  # a person goes on with it, knowing that it is late
    for step in tuple(fold.steps.values()):
        fold.put(_taken_up(fold, step))
    return out_of_order(fold, fold.steps.values())  # its plan changed while it was rolling back


def _taken_up(fold: Fold, step: StepState) -> StepState:
    """A step beside those that go back, as it goes on: what was given up is attempted again, and a doubt settled as declared."""
    if not isinstance(step, FailedForGood):
        return step
    if step.attempts.doubt and fold.plan.step(step.step).on_unknown is not OnUnknown.REPEAT:
        return Unknown(step.step, fresh(step.attempts))
    return Retrying(step.step, fresh(step.attempts), soonest(fold, step.attempts), fold.at)
