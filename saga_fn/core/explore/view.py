"""The states that an exploration tells apart.

States are compared by a view that leaves out what cannot change a decision:

- Moments: any armed timer may fire at any point, each alone or all at once. This adds orders that real delays exclude
  and leaves none out, so what holds here holds (safety).
- Numbers of revisions, journal entries, attempts and generations; of what failed, or waits for a person, whether there was one.
- When the budget of a retry policy began: it may be over at any failure.
- Attempts beyond three: a retry policy is cut to a first, a middle and a last attempt. Takeovers before the last that
  a saga is granted; while nothing of it runs, all of them (`offers.py` tries the last).
- Whether an unnamed outside event has come: one may come at any moment. Left out are named ones that no wait has taken, if they are
void, or alike beyond as many as there are waits for the name; so the buffer is never full.
- Whether a step that is done was settled by a person, and so begins its undo with a fingerprint (`offers.py` tries both).
- Whether a step that has not begun had begun before the saga was taken back (`offers.py` tries both).
- Which steps were taken back by which entry: that only names what is executed.
- Whether a person has given a step its input, which lets it take no other (`offers.py` tries both).
- Whether the saga is paused (`offers.py` tries a pause at every state), unless that holds up a wait; for which pauses its moments
were moved; and when these were set.
- All steps that were passed over in doubt but the first: one is enough for an end that is not COMPENSATED.
- Which of several interchangeable steps is which: same policies, same neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import assert_never

import msgspec

from saga_fn.core.event_matching import is_void
from saga_fn.core.explore.shapes import BEFORE, LATER, MOST_ITEMS, NOW, SAME
from saga_fn.core.facts import needs_owner, startable
from saga_fn.core.fan_out import plan_order
from saga_fn.core.ids import Digest, Moment, StepId, item_of
from saga_fn.core.plan import Plan, StepKind
from saga_fn.core.rules.ownership import CRASH_LIMIT
from saga_fn.core.state import (
    Attempts,
    Buffered,
    Doubt,
    FailedForGood,
    FannedOut,
    Joined,
    NotTaken,
    Parked,
    ParkReason,
    PauseState,
    Probing,
    Retrying,
    Rewound,
    Running,
    SagaState,
    Settled,
    Skipped,
    Sleeping,
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
)

_replace = msgspec.structs.replace
_PAUSED = PauseState(of_name=True)


def view_of(plan: Plan, state: SagaState, twins: Sequence[tuple[StepId, ...]]) -> SagaState:
    """The state without what cannot change a decision; equal views are one state to the exploration."""
    steps = _one_in_doubt([_step(plan, step, state.at) for step in state.steps if type(step) is not Rewound])
    if twins:
        steps = tuple(_with_twins_sorted(plan, twins, steps))
    # A takeover parks at once if it is the last that the saga is granted, else it changes nothing but the count.
    last = state.isolated and state.failed_takeovers > 0 and needs_owner(state)
    return SagaState(
        0,
        NOW,
        state.goal,
        steps,
        plan=state.plan,
        failed_takeovers=CRASH_LIMIT - 1 if last else 0,
        isolated=last,
        begins_at=_moment(state.begins_at, state.at),
        deadline=_perhaps(state.deadline, state.at),
        buffered=_untaken(plan, state),
        pause=_PAUSED if state.paused and _holds_up_a_wait(plan, state) else None,
    )


def _holds_up_a_wait(plan: Plan, state: SagaState) -> bool:
    """Whether a wait or a sleep could begin: without a pause it would have."""
    return plan.waits and any(plan.step(step).kind is not StepKind.STEP for step in startable(plan, state))


def _untaken(plan: Plan, state: SagaState) -> tuple[Buffered, ...]:
    """The events that may still be taken, no more that are alike than there are waits for them."""
    if not state.buffered:
        return ()
    left: dict[Buffered, int] = {}
    kept: list[Buffered] = []
    for event in state.buffered:
        seen = _replace(event, seq=0, expires=_perhaps(event.expires, state.at))
        waits = sum(
            event.name in (*planned.waits_for, *planned.undo_waits_for)
            for planned in plan.steps
            for _ in range(MOST_ITEMS if planned.concurrency else 1)
        )
        if not is_void(event, state.at) and left.setdefault(seen, waits):
            left[seen] -= 1
            kept.append(seen)
    return tuple(kept)


def _one_in_doubt(steps: Iterable[StepState]) -> tuple[StepState, ...]:
    """The steps, of which only the first that was passed over in doubt is in doubt."""
    seen = False
    found: list[StepState] = []
    for step in steps:
        doubtful = type(step) is Skipped and step.doubt is not Doubt.NONE
        found.append(Skipped(step.step, 0) if doubtful and seen else step)
        seen = seen or doubtful
    return tuple(found)


@lru_cache(maxsize=1 << 12)
def _step(plan: Plan, step: StepState, at: Moment) -> StepState:
    """The view of one step. The states of a walk differ from each other in few of them."""
    if isinstance(step, NotTaken | Joined | Rewound):
        return step
    if isinstance(step, FannedOut):
        return FannedOut(step.step, step.items, SAME)
    if isinstance(step, Skipped):
        return Skipped(step.step, 0, min(step.doubt, Doubt.MAY_HAVE_RUN))
    if isinstance(step, Succeeded | Undone):
        return _replace(step, seq=0)
    if isinstance(step, Settled):
        return Succeeded(step.step, 0)
    if isinstance(step, Waiting):
        return _replace(step, times_out_at=_perhaps(step.times_out_at, at), set_at=NOW)
    if isinstance(step, Sleeping):
        return _replace(step, wake=_moment(step.wake, at), set_at=NOW)
    # Failures only count while there is a policy left to ask: a person's verb begins a fresh count.
    counted = not isinstance(step, FailedForGood | Parked | UndoParked | UndoFailed)
    attempts = Attempts(
        attempt=1 if counted or step.attempts.attempt else 0,
        failures=step.attempts.failures if counted else 0,
        doubt=step.attempts.doubt,
        digest=SAME if step.attempts.digest and isinstance(step, Unfinished) else Digest(b""),
        may_run_until=_moment(step.attempts.may_run_until, at),
        first_attempt_at=BEFORE if _has_budget(plan, step) else NOW,
        doubts=step.attempts.doubts if counted else 0,
        doubted=BEFORE if isinstance(step, Unfinished) and plan.step(step.step).unknown_retry.within else NOW,
    )
    match step:
        case Running() | FailedForGood():
            return _replace(step, attempts=attempts)
        case Unknown():
            wake, since = _moment(step.wake, at), _probing_since(plan, step)
            return _replace(step, attempts=attempts, wake=wake, first_attempt_at=since, set_at=NOW)
        case Probing():
            return _replace(step, attempts=_replace(attempts, probes=1), first_attempt_at=_probing_since(plan, step))
        case Retrying():
            return _replace(step, attempts=attempts, wake=_moment(step.wake, at), set_at=NOW)
        case Parked():
            before = None if step.before is None else _step(plan, step.before, at)
            return _replace(step, attempts=attempts, why=_reason(step.why), before=before)
        case Undoing() | UndoFailed():
            return _replace(step, attempts=attempts, seq=0)
        case UndoRetrying():
            return _replace(step, attempts=attempts, seq=0, wake=_moment(step.wake, at), set_at=NOW)
        case UndoWaiting():
            return _replace(step, attempts=attempts, seq=0, times_out_at=_perhaps(step.times_out_at, at), set_at=NOW)
        case UndoParked():
            return _replace(step, attempts=attempts, seq=0, why=_reason(step.why))
        case _:
            assert_never(step)


def _has_budget(plan: Plan, step: StepState) -> bool:
    planned = plan.step(step.step)
    return bool(planned.retry.within if isinstance(step, Unfinished) else planned.undo_retry.within)


def _probing_since(plan: Plan, step: Unknown | Probing) -> Moment:
    return BEFORE if plan.step(step.step).probe_retry.within else NOW


def _moment(moment: Moment, at: Moment) -> Moment:
    return NOW if moment <= at else LATER


def _perhaps(moment: Moment | None, at: Moment) -> Moment | None:
    return None if moment is None else _moment(moment, at)


def _reason(why: ParkReason) -> ParkReason:
    return why if why in (ParkReason.INPUT_CHANGED, ParkReason.PLAN_CHANGED) else ParkReason.ROW_REJECTED


def interchangeable(plan: Plan) -> tuple[tuple[StepId, ...], ...]:
    """The groups of steps that differ in nothing but their names."""
    groups: dict[tuple[object, ...], list[StepId]] = {}
    for planned in plan.steps:
        if planned.concurrency:  # its items go with it: it cannot be taken for another
            continue
        built_upon = tuple(other.step for other in plan.steps if planned.step in other.after)
        likeness = (_replace(planned, step=StepId("")), built_upon)
        groups.setdefault(likeness, []).append(planned.step)
    items = [[item_of(step, number) for number in range(MOST_ITEMS)] for step in plan.concurrencies]
    return tuple(tuple(group) for group in (*groups.values(), *items) if len(group) > 1)


def _with_twins_sorted(
    plan: Plan, twins: Sequence[tuple[StepId, ...]], steps: Sequence[StepState]
) -> Iterator[StepState]:
    """The steps with the states of each group of twins in a fixed order, whichever twin they belong to."""
    by_name = {step.step: step for step in steps}
    for group in twins:
        states = sorted((by_name.pop(name) for name in group if name in by_name), key=_but_for_its_name)
        for place, state in enumerate(states):
            by_name[group[place]] = _replace(state, step=group[place])
    return (by_name[name] for name in plan_order(plan, by_name) if name in by_name)


def repeated_in(state: SagaState, twins: Sequence[tuple[StepId, ...]]) -> frozenset[StepId]:
    """The steps that are in the same state as a twin before them: what is told of one would be told of the other again."""
    found: set[StepId] = set()
    by_name = {step.step: step for step in state.steps}
    for group in twins:
        seen: set[bytes | None] = set()
        for name in group:
            step = by_name.get(name)
            likeness = None if step is None else _but_for_its_name(step)
            if likeness in seen:
                found.add(name)
            seen.add(likeness)
    return frozenset(found)


@lru_cache(maxsize=1 << 12)
def _but_for_its_name(step: StepState) -> bytes:
    return msgspec.msgpack.encode((type(step).__name__, *msgspec.structs.astuple(step)[1:]))
