"""Facts of each kind of event: its step, its phase, its payload, and whether something is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from saga_fn.core.event_kinds import (
    InputKind,
    PayloadKind,
    Phase,
    attempt_of,
    brings,
    gives_output,
    has_run,
    input_given,
    input_of,
    is_by_force,
    is_claim,
    is_failure,
    is_result,
    is_success,
    output_given,
    outside_name,
    parks_all,
    payload_of,
    phase_of,
    plan_of,
    rewinds,
    step_of,
)
from saga_fn.core.events import (
    AbortRequested,
    Accompanied,
    CompensationFailed,
    CompensationRequested,
    CompensationSucceeded,
    CompensationWaits,
    Event,
    EventReceived,
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
    WaitDefaulted,
    is_verb,
    name_of,
)
from saga_fn.core.findings import finding_in
from saga_fn.core.ids import Digest, Moment, PlanId, StepId
from saga_fn.core.state import ParkReason

AT = Moment(1)
A = StepId("a")
PLAN = PlanId("plan")
VALUE, ERROR, INPUT = PayloadKind

# Of each kind: its step, its attempt, its phase, its payload, and whether it fails or does something.
KINDS: list[tuple[Event, StepId | None, int | None, Phase, PayloadKind, str]] = [
    (Started(AT, PLAN), None, None, Phase.SAGA, VALUE, ""),
    (Resumed(AT, takeover=False), None, None, Phase.SAGA, ERROR, ""),
    (Ticked(AT), None, None, Phase.SAGA, ERROR, ""),
    (StepSucceeded(AT, A, 2), A, 2, Phase.EXECUTE, VALUE, "succeeds"),
    (StepFailed(AT, A, 2), A, 2, Phase.EXECUTE, ERROR, "fails"),
    (CompensationSucceeded(AT, A, 3), A, 3, Phase.COMPENSATE, ERROR, "succeeds"),
    (CompensationFailed(AT, A, 3), A, 3, Phase.COMPENSATE, ERROR, "fails"),
    (CompensationWaits(AT, A, 3, ("paid",)), A, 3, Phase.COMPENSATE, ERROR, ""),
    (ProbeAnswered(AT, A, 4, done=True), A, 4, Phase.PROBE, VALUE, "succeeds"),
    (ProbeAnswered(AT, A, 4, done=False), A, 4, Phase.PROBE, VALUE, ""),
    (ProbeFailed(AT, A, 4), A, 4, Phase.PROBE, ERROR, "fails"),
    (StepSkipped(AT, A), A, None, Phase.EXECUTE, VALUE, "succeeds"),
    (WaitDefaulted(AT, A), A, None, Phase.EXECUTE, VALUE, "succeeds"),
    (StepSettled(AT, A), A, None, Phase.COMPENSATE, VALUE, "succeeds"),
    (StepSettled(AT, A, finding=Finding.DONE), A, None, Phase.EXECUTE, VALUE, "succeeds"),
    (StepSettled(AT, A, finding=Finding.NEVER_RAN), A, None, Phase.EXECUTE, VALUE, ""),
    (RetryRequested(AT, A), A, None, Phase.SAGA, INPUT, ""),
    (RetryRequested(AT), None, None, Phase.SAGA, INPUT, ""),
    (CompensationRequested(AT), None, None, Phase.SAGA, ERROR, ""),
    (AbortRequested(AT, AT), None, None, Phase.SAGA, ERROR, ""),
    (EventReceived(AT, "paid"), None, None, Phase.SAGA, VALUE, ""),
    (PlanChanged(AT, PLAN), None, None, Phase.SAGA, ERROR, ""),
    (SagaParked(AT, ParkReason.ROW_REJECTED), None, None, Phase.SAGA, ERROR, ""),
    (HandedBack(AT), None, None, Phase.SAGA, ERROR, ""),
    (Paused(AT), None, None, Phase.SAGA, ERROR, ""),
    (Accompanied(AT), None, None, Phase.SAGA, ERROR, ""),
    (Rescheduled(AT, AT, A), A, None, Phase.SAGA, ERROR, ""),
    (Rescheduled(AT, AT), None, None, Phase.SAGA, ERROR, ""),
    (RewindRequested(AT, A), A, None, Phase.SAGA, ERROR, ""),
    (PauseRequested(AT), None, None, Phase.SAGA, ERROR, ""),
    (ResumeRequested(AT), None, None, Phase.SAGA, ERROR, ""),
    (MomentsMoved(AT, AT, AT), None, None, Phase.SAGA, ERROR, ""),
]


def test_every_kind_of_event_is_in_the_table() -> None:
    assert {type(row[0]) for row in KINDS} == set(get_args(Event))


@pytest.mark.parametrize("event, step, attempt, phase, payload, what", KINDS, ids=[name_of(row[0]) for row in KINDS])
def test_the_facts_of_an_event(
    event: Event, step: StepId | None, attempt: int | None, phase: Phase, payload: PayloadKind, what: str
) -> None:
    assert step_of(event) == step
    assert attempt_of(event) == attempt
    assert phase_of(event) is phase
    assert payload_of(event) is payload
    assert is_failure(event) == (what == "fails")
    assert is_success(event) == (what == "succeeds")
    assert is_result(event) == (attempt is not None)


OF_STEP, OF_ALL_THAT_RAN, ASKED = InputKind


@pytest.mark.parametrize("event", [row[0] for row in KINDS], ids=[name_of(row[0]) for row in KINDS])
def test_the_input_of_a_verb_or_a_pause_says_who_asked_and_any_other_what_a_step_was_given(event: Event) -> None:
    asked = is_verb(event) or isinstance(event, Paused | MomentsMoved)
    assert input_of(event) is (ASKED if asked else OF_ALL_THAT_RAN if type(event) is HandedBack else OF_STEP)


ALONE: list[tuple[Callable[[Event], object], dict[type[Event], object]]] = [
    (has_run, {StepSucceeded: True}),
    (output_given, {StepSkipped: A, WaitDefaulted: A}),
    (brings, {StepSkipped: True, StepSettled: True, WaitDefaulted: True, EventReceived: True, RetryRequested: True}),
    (outside_name, {EventReceived: "paid"}),
    (plan_of, {Started: PLAN, PlanChanged: PLAN}),
    (is_claim, {Resumed: True}),
    (parks_all, {SagaParked: True}),
    (rewinds, {RewindRequested: True}),
    (is_by_force, {AbortRequested: True}),
]


@pytest.mark.parametrize("fact, kinds", ALONE, ids=[fact.__name__ for fact, _ in ALONE])
def test_a_fact_of_few_kinds_is_one_of_no_other(
    fact: Callable[[Event], object], kinds: dict[type[Event], object]
) -> None:
    for event, *_ in KINDS:
        if isinstance(event, StepSettled) and fact is output_given:
            assert fact(event) == (A if event.finding is Finding.DONE else None)
            continue
        found = fact(event)
        assert found == kinds[type(event)] if type(event) in kinds else not found


def test_only_a_retry_with_an_input_gives_one() -> None:
    assert input_given(RetryRequested(AT, A, digest=Digest(b"other"))) == A
    assert {input_given(event) for event, *_ in KINDS} == {None}


def test_an_event_from_outside_without_a_name_is_one_all_the_same() -> None:
    assert outside_name(EventReceived(AT)) == ""


def test_an_output_is_there_once_a_step_has_run_was_found_to_have_run_or_somebody_gave_it() -> None:
    at, step = Moment(1), StepId("a")
    given: list[Event] = [
        StepSucceeded(at, step, 1),
        ProbeAnswered(at, step, 1, done=True),
        StepSkipped(at, step),
        WaitDefaulted(at, step),
        StepSettled(at, step, finding=Finding.DONE),
    ]
    none: list[Event] = [
        ProbeAnswered(at, step, 1, done=False),
        StepSettled(at, step),
        StepFailed(at, step, 1),
        CompensationSucceeded(at, step, 1),
        EventReceived(at, "a"),
    ]
    assert [gives_output(event) for event in given + none] == [step] * 5 + [None] * 5


def test_the_finding_about_a_step_is_told_in_words() -> None:
    at, step = Moment(1), StepId("a")
    settled = [finding_in(StepSettled(at, step, finding=finding)) for finding in Finding]
    assert settled == ["undone", "done", "never ran"]
    assert [finding_in(ProbeAnswered(at, step, 1, done)) for done in (True, False)] == ["done", "not done"]
    assert finding_in(Ticked(at)) is None
