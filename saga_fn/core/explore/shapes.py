"""Stand-ins while exploring: plans cut small, a few moments, a few items."""

from __future__ import annotations

import msgspec

from saga_fn.core.ids import Digest, Micros, Moment, StepId, item_of
from saga_fn.core.plan import Plan
from saga_fn.core.retry import MOST_AT_ONCE, RetrySchedule

NOW = Moment(0)
"""Where a view has every moment that has come."""
BEFORE = Moment(-1)
"""Where a view has the beginning of a budget in time: a delay from `NOW` on stays within it, one from `TOO_LATE` does not."""
LATER = Moment(2)
"""Where a view has every moment that is still to come."""
TOO_LATE = Moment(3)
"""When every budget in time is over."""
MOST_ITEMS = 2
"""A fan-out is explored with none, one and two items: more of them follow no other rule, and are further names."""
SAME = Digest(b"same")
"""The stand-in for the input that a step was bound to."""
_replace = msgspec.structs.replace


def cut_plan(plan: Plan) -> Plan:
    """The plan with its policies cut to a first, a middle and a last attempt, and its times to some or none."""
    cut = (
        _replace(
            step,
            retry=cut_schedule(step.retry),
            undo_retry=cut_schedule(step.undo_retry),
            probe_retry=cut_schedule(step.probe_retry),
            unknown_retry=cut_schedule(step.unknown_retry),
            timeout=_sooner(step.timeout),
            concurrency=min(step.concurrency, MOST_ITEMS),
        )
        for step in plan.steps
    )
    return Plan.from_data(_replace(plan.data, steps=tuple(cut), deadline=_sooner(plan.data.deadline)))


def _sooner(limit: Micros | None) -> Micros | None:
    return Micros(LATER) if limit else limit


def cut_schedule(retry: RetrySchedule) -> RetrySchedule:
    """The schedule that stands for `retry` while exploring.

    It has at most three attempts; its delays are none at all, some, or either where the real ones may shrink to none, or
    are none at first.
    """
    always = bool(retry.base and retry.cap)
    waits = always or retry.attempts > MOST_AT_ONCE + 1
    shrinks = waits and (
        not always or retry.multiplier < 1.0 or min(retry.base, retry.cap) * (1.0 - retry.jitter) < 1.0
    )
    return RetrySchedule(
        attempts=min(retry.attempts, 3),
        base=Micros(LATER if waits else 0),
        jitter=1.0 if shrinks else 0.0,
        within=Micros(LATER - BEFORE if retry.within else 0),
    )


def steps_of(plan: Plan) -> list[StepId]:
    """The steps of the plan, and the items that its fan-outs may have."""
    steps: list[StepId] = []
    for planned in plan.steps:
        steps.append(planned.step)
        if planned.concurrency:
            steps += [item_of(planned.step, number) for number in range(MOST_ITEMS)]
    return steps
