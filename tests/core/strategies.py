"""Random plans, and random walks that are told to sagas of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hypothesis import strategies as st
from msgspec.structs import replace

from saga_fn.core.events import (
    AbortRequested,
    Accompanied,
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
    Finding,
    HandedBack,
    MomentsMoved,
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
    Unbindable,
    Until,
    WaitDefaulted,
)
from saga_fn.core.ids import Digest, Micros, Moment, PlanId, StepId
from saga_fn.core.plan import OnTimeout, OnUnknown, Plan, PlannedStep, StepKind
from saga_fn.core.retry import LONGEST_DELAY, RetrySchedule
from saga_fn.core.state import ParkReason

schedules = st.builds(
    RetrySchedule,
    attempts=st.integers(1, 5) | st.integers(1, (1 << 63) - 1),
    base=st.integers(0, 20) | st.integers(0, LONGEST_DELAY),
    multiplier=st.floats(0.01, 1000.0) | st.sampled_from([5e-324, 1.0, 2.0, 1e308]),
    cap=st.integers(0, LONGEST_DELAY),
    jitter=st.floats(0.0, 1.0),
    within=st.just(0) | st.integers(0, 60) | st.integers(0, LONGEST_DELAY),
)


limits = st.none() | (st.integers(0, 20) | st.integers(0, LONGEST_DELAY)).map(Micros)
event_names = st.sampled_from(["paid", "sent"])
abouts = st.sampled_from([Digest(b""), Digest(b"1"), Digest(b"2")])


@st.composite
def kinds_of_steps(draw: st.DrawFn) -> dict[str, object]:
    """What makes a planned step a wait, more often than not nothing."""
    match draw(st.sampled_from([StepKind.STEP, StepKind.STEP, StepKind.EVENT, StepKind.SLEEP])):
        case StepKind.STEP:
            return draw(
                st.sampled_from([{}, {}, {"concurrency": 1}, {"concurrency": 2}, {"undo_waits_for": ("paid",)}])
            )
        case StepKind.SLEEP:
            return {"kind": StepKind.SLEEP, "timeout": draw(limits), "compensable": False, "conditional": False}
        case StepKind.EVENT:
            limit = draw(limits)
            return {
                "kind": StepKind.EVENT,
                "timeout": limit,
                "on_timeout": OnTimeout.FAIL if limit is None else draw(st.sampled_from(OnTimeout)),
                "waits_for": tuple(draw(st.lists(event_names, min_size=1, unique=True))),
                "correlated": draw(st.booleans()),
                "compensable": False,
                "conditional": False,
            }


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    names = [StepId(name) for name in "abcde"[: draw(st.integers(1, 5))]]
    chain = draw(st.booleans())
    steps = [
        replace(
            PlannedStep(
                name,
                tuple(names[max(0, place - 1) : place] if chain else [n for n in names[:place] if draw(st.booleans())]),
                draw(schedules),
                draw(st.booleans()),
                draw(schedules),
                conditional=draw(st.booleans()),
            ),
            **draw(kinds_of_steps()),
        )
        for place, name in enumerate(names)
    ]
    plan = Plan.of(
        *steps,
        compensate_on_failure=draw(st.booleans()),
        cancel_siblings=draw(st.booleans()),
        deadline=draw(limits),
    )
    plan = draw(st.sampled_from([plan, *_with_a_pivot(plan)]))
    return draw(_with_unknown_outcomes(plan)) if draw(st.booleans()) else plan


@st.composite
def _with_unknown_outcomes(draw: st.DrawFn, plan: Plan) -> Plan:
    """The plan with whatever can be done about each step that may have run."""
    steps = [
        replace(
            step,
            on_unknown=draw(st.sampled_from([way for way in OnUnknown if undoes or way is not OnUnknown.UNDO])),
            probe_retry=draw(schedules),
            unknown_retry=draw(schedules),
            undoes_in_doubt=undoes,
            refusal_settles=draw(st.booleans()),
            own_retry=draw(st.booleans()),
        )
        if step.kind is StepKind.STEP
        else step
        for step in plan.steps
        for undoes in (step.compensable and draw(st.booleans()),)
    ]
    return Plan.from_data(replace(plan.data, steps=tuple(steps)))


def _with_a_pivot(plan: Plan) -> Iterator[Plan]:
    """The plan with each step for its pivot that can be it."""
    for place, planned in enumerate(plan.steps):
        after = plan.descendants[planned.step] | {planned.step}
        steps = [
            replace(step, pivot=at == place, compensable=step.compensable and step.step not in after)
            for at, step in enumerate(plan.steps)
        ]
        with contextlib.suppress(ValueError):
            yield Plan.from_data(replace(plan.data, steps=tuple(steps)))


names = (
    st.sampled_from([StepId(name) for name in "abcde"])
    | st.sampled_from([StepId(f"{name}[{item}]") for name in "abcde" for item in (0, 1)])
    | st.text(max_size=3).map(StepId)
)
attempts = st.integers(1, 4) | st.integers()
moments = (st.integers(0, 60) | st.integers()).map(Moment)
draws = st.floats(0.0, 1.0) | st.floats()
expiries = st.none() | moments
bindings = (
    st.builds(Until, names, moments)
    | st.builds(Bound, names, st.sampled_from([Digest(b"1"), Digest(b"2"), Digest(b"")]))
    | st.builds(Unbindable, names, st.booleans())
    | st.builds(Declined, names)
    | st.builds(BoundEach, names, st.integers(-1, 3) | st.integers(), st.sampled_from([Digest(b"1"), Digest(b"2")]))
)
inputs = st.lists(bindings, max_size=5).map(tuple)
kinds = st.sampled_from(FailureKind)
reasons = st.sampled_from(ParkReason)
expected = st.none() | st.none() | st.integers(1, 9)


def events(plan_ids: st.SearchStrategy[PlanId]) -> st.SearchStrategy[Event]:
    """Any event at all, sensible or not."""
    return st.one_of(
        st.builds(Started, moments, plan_ids, inputs, st.just(0) | st.integers()),
        st.builds(Resumed, moments, st.booleans(), st.booleans(), inputs),
        st.builds(Ticked, moments, inputs),
        st.builds(StepSucceeded, moments, names, attempts, inputs),
        st.builds(StepFailed, moments, names, attempts, kinds, draws, st.none() | limits | st.integers()),
        st.builds(CompensationSucceeded, moments, names, attempts),
        st.builds(CompensationFailed, moments, names, attempts, kinds, draws),
        st.builds(CompensationWaits, moments, names, attempts, st.tuples(event_names), limits, abouts),
        st.builds(StepSkipped, moments, names, inputs, st.booleans(), expected),
        st.builds(RetryRequested, moments, st.just(StepId("")) | names, expected, st.just(()), abouts),
        st.builds(CompensationRequested, moments, expected),
        st.builds(AbortRequested, moments, moments, expected),
        st.builds(StepSettled, moments, names, expected, st.just(()), st.sampled_from(Finding)),
        st.builds(Rescheduled, moments, moments, st.just(StepId("")) | names, expected),
        st.builds(RewindRequested, moments, names, st.lists(names, max_size=3).map(tuple), expected),
        st.builds(EventReceived, moments),
        st.builds(EventReceived, moments, event_names | st.text(max_size=3), abouts, expiries),
        st.builds(WaitDefaulted, moments, names, inputs),
        st.builds(PlanChanged, moments, plan_ids),
        st.builds(SagaParked, moments, reasons),
        st.builds(HandedBack, moments),
        st.builds(Accompanied, moments),
        st.builds(Paused, moments),
        st.builds(PauseRequested, moments, expected),
        st.builds(ResumeRequested, moments, expected, st.booleans()),
        st.builds(MomentsMoved, moments, moments, moments),
        st.builds(ProbeAnswered, moments, names, attempts, st.booleans(), inputs),
        st.builds(ProbeFailed, moments, names, attempts, kinds, draws),
    )
