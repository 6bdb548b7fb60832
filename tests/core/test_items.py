"""The straight way through a list in short: the same answers as the general rules give, and none where it does not know."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from returns.result import Success

from saga_fn.core import transition as deciding
from saga_fn.core.ahead import go_ahead
from saga_fn.core.effects import Release, RunStep, Transition
from saga_fn.core.events import (
    Binding,
    Bound,
    BoundEach,
    CompensationFailed,
    CompensationSucceeded,
    Event,
    FailureKind,
    HandedBack,
    Resumed,
    Started,
    StepFailed,
    StepSkipped,
    StepSucceeded,
    Ticked,
    carries_inputs,
)
from saga_fn.core.facts import find
from saga_fn.core.foresight import foresee
from saga_fn.core.ids import Digest, Micros, Moment, StepId, item_of
from saga_fn.core.items import after_item
from saga_fn.core.items_back import undo_next_item
from saga_fn.core.owning import wakes_owner
from saga_fn.core.plan import Plan
from saga_fn.core.projection import at_length, project
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import (
    Attempts,
    Buffered,
    FannedOut,
    Goal,
    Rest,
    Retrying,
    Running,
    SagaState,
    Skipped,
    StepState,
    Succeeded,
    Undoing,
    is_done,
    rest_of,
)
from saga_fn.core.transition import by_general_rules, transition
from tests.core.given import SECOND, A, B, C, Saga, started, step, wait

LATER = Moment(5)
LIST = Digest(b"list")
ITEMS = [item_of(A, number) for number in range(4)]
ALONE = Plan.of(step("a", concurrency=2))
BETWEEN = Plan.of(step("b"), step("a", "b", concurrency=2), step("c", "a"))
PLANS = {
    "one at a time": Plan.of(step("a", concurrency=1)),
    "two at once": ALONE,
    "all at once": Plan.of(step("a", concurrency=9)),
    "between two steps": BETWEEN,
    "beside a step before it": Plan.of(step("b"), step("a", concurrency=2)),
    "beside a step after it": Plan.of(step("a", concurrency=2), step("b"), step("c", "b")),
    "before a step that needs two": Plan.of(step("a", concurrency=2), step("b"), step("c", "a", "b")),
    "after another list": Plan.of(step("b", concurrency=2), step("a", "b", concurrency=2)),
    "between another list and as many steps": Plan.of(
        step("b", concurrency=2), step("a", "b", concurrency=2), step("c", "a"), step("d", "c")
    ),
    "beside another list": Plan.of(step("a", concurrency=2), step("b", concurrency=1)),
    "in a time": Plan.of(
        step("a", concurrency=2, retry=RetrySchedule(3, base=Micros(1), within=Micros(SECOND))), deadline=Micros(SECOND)
    ),
    "past the pivot": Plan.of(step("b", pivot=True, undo=False), step("a", "b", concurrency=2, undo=False)),
    "before the pivot": Plan.of(step("a", concurrency=2), step("b", "a", pivot=True, undo=False), deadline=Micros(9)),
    "beside a wait": Plan.of(step("a", concurrency=2), wait("b")),
    "in transactions": Plan.of(step("a", concurrency=2, transactional=True)),
}
"""Each with a list of three items, of which the exploration has two."""
LITTLE_TO_UNDO = {
    "between another list and as many steps",
    "one at a time",
    "after another list",
    "in a time",
    "past the pivot",
    "before the pivot",
}
"""Answers of a list of three, the second of which fails."""


def advance_item(plan: Plan, state: SagaState, event: StepSucceeded) -> Transition | None:
    """The answer in short, if there is one."""
    ahead = after_item(plan, state, event)
    return None if ahead is None else go_ahead(plan, event, ahead)


def inputs_for(plan: Plan, items: int, needs: tuple[StepId, ...]) -> Iterator[tuple[Binding, ...]]:
    """The inputs that an owner may have computed: of all that is needed, of the first, or another one for that."""

    def bound(name: StepId) -> Binding:
        return BoundEach(name, items if name == A else 2, LIST) if name in plan.concurrencies else Bound(name, LIST)

    yield tuple(bound(name) for name in needs)
    for name in needs[:1]:
        yield (bound(name),)
        yield (Bound(name, Digest(b"other")),)


def events_of(state: SagaState) -> Iterator[Event]:
    """The ends of what runs and, at first, what else may happen; the clock moves once."""
    for each in state.steps:
        if type(each) is Running:
            yield StepSucceeded(state.at, each.step, each.attempts.attempt)
            if each.step in {B, ITEMS[1]}:
                yield StepFailed(state.at, each.step, each.attempts.attempt, FailureKind.ERROR)
        elif type(each) is Undoing:
            yield CompensationSucceeded(state.at, each.step, each.attempts.attempt)
            if each.step == ITEMS[0]:
                yield CompensationFailed(state.at, each.step, each.attempts.attempt, FailureKind.ERROR)
    yield Ticked(LATER)
    if state.rev < 3:
        yield HandedBack(state.at)
        yield Resumed(state.at)
        yield StepSkipped(state.at, ITEMS[2], not_begun=True)


def moves(plan: Plan, items: int) -> Iterator[tuple[SagaState, Event]]:
    """Every state that these events lead to, with each of them, and with the inputs that it may carry."""
    start = by_general_rules(plan, None, Started(Moment(0), plan.id)).unwrap()
    known = {_without_numbers(start.state)}
    waiting = deque([start.state])
    while waiting:
        state = waiting.popleft()
        for event in events_of(state):
            told: list[Event] = [event]
            while told:
                each = told.pop()
                yield state, each
                decided = by_general_rules(plan, state, each)
                if not isinstance(decided, Success):
                    continue
                moved = decided.unwrap()
                if (met := _without_numbers(moved.state)) not in known:
                    known.add(met)
                    waiting.append(moved.state)
                if carries_inputs(each) and len(each.inputs) < 3:
                    more = inputs_for(plan, items, moved.needs) if moved.needs else ()
                    told += [replace(each, inputs=(*each.inputs, *bound)) for bound in more]


def _without_numbers(state: SagaState) -> SagaState:
    steps = tuple(replace(each, seq=1) if isinstance(each, Succeeded | Skipped) else each for each in state.steps)
    return replace(state, rev=0, steps=steps)


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PLANS)
def test_every_answer_is_what_the_general_rules_answer(name: str) -> None:
    plan = PLANS[name]
    in_short, undone_in_short = 0, 0
    for state, event in moves(plan, 3):
        decided = by_general_rules(plan, state, event)
        if isinstance(event, StepSucceeded):
            told = advance_item(plan, state, event)
            in_short += told is not None
            assert told is None or (Success(told) == decided and knows_the_rest(told)), (state, event)
        if isinstance(event, CompensationSucceeded):
            told = undo_next_item(plan, state, event)
            undone_in_short += told is not None
            assert told is None or Success(told) == decided, (state, event)
        if isinstance(decided, Success):
            moved = decided.unwrap()
            rest = Rest(moved.state.steps, rest_of(moved.state.steps))
            shown = at_length(plan, moved.state)
            assert project(plan, moved.state) == project(plan, moved.state, rest) == shown
            assert wakes_owner(plan, moved.state) == wakes_owner(plan, moved.state, rest)
            if carries_inputs(event) and not event.inputs:
                ahead = foresee(plan, state, event)
                if ahead is not None and ahead.needs:
                    assert (ahead.needs, _done(ahead.known)) == (moved.needs, _done(moved.state)), (state, event)
        for each in (*state.steps, None):
            sought = ITEMS[0] if each is None else each.step
            assert find(state, sought) == next((other for other in state.steps if other.step == sought), None)
    assert bool(in_short) is (name not in {"before the pivot", "beside a wait"})
    assert bool(undone_in_short) is (name not in LITTLE_TO_UNDO)


def knows_the_rest(moved: Transition) -> bool:
    """Whether nothing but the truth is known of the steps, if anything is."""
    return moved.rest is None or (moved.rest.of is moved.state.steps and moved.rest.steps == rest_of(moved.state.steps))


def _done(state: SagaState) -> set[StepState]:
    return {each for each in state.steps if is_done(each)}


def fanned(plan: Plan, items: int, *bound: int) -> Saga:
    saga = Saga(plan)
    saga.tell(
        Started(saga.moment, plan.id, (BoundEach(A, items, LIST), *(Bound(ITEMS[number], LIST) for number in bound)))
    )
    return saga


def succeeded(number: int, *then: int, attempt: int = 1) -> StepSucceeded:
    return StepSucceeded(Moment(7), ITEMS[number], attempt, tuple(Bound(ITEMS[other], LIST) for other in then))


def in_short(plan: Plan, state: SagaState, event: StepSucceeded) -> bool:
    """Whether the event is answered in short, which must be the answer of the general rules."""
    told = advance_item(plan, state, event)
    if told is not None:
        assert told == by_general_rules(plan, state, event).unwrap()
    assert transition(plan, state, event) == by_general_rules(plan, state, event)
    return told is not None


def test_a_list_goes_to_its_end_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    saga, rest = fanned(ALONE, 4, 0, 1), None
    monkeypatch.setattr(deciding, "by_general_rules", None)
    for event, then in ((succeeded(1, 2), 2), (succeeded(0, 3), 3)):
        ahead = after_item(ALONE, saga.state, event, rest)
        assert ahead is not None
        assert ahead == after_item(ALONE, saga.state, event)
        assert ahead.needs == (ITEMS[then],)
        moved = saga.tell(event)
        assert moved.actions == (RunStep(ITEMS[then], 1, 0),)
        assert knows_the_rest(moved)
        rest = moved.rest
        assert rest is not None
    assert saga.tell(succeeded(3)).actions == ()
    assert saga.tell(succeeded(2)).writes == (Release(None),)
    assert saga.state.goal is Goal.COMPLETED


@pytest.mark.parametrize(
    "event",
    [
        succeeded(2),
        succeeded(3),
        succeeded(0, 2, attempt=2),
        succeeded(0),
        succeeded(0, 3),
        succeeded(0, 2, 3),
        replace(succeeded(0), inputs=(Bound(ITEMS[2], Digest(b"other")),)),
        replace(succeeded(0), inputs=(BoundEach(ITEMS[2], 1, LIST),)),
        StepSucceeded(Moment(7), A, 1),
        StepSucceeded(Moment(7), StepId("b[0]"), 1),
    ],
    ids=lambda event: f"{event.step} {event.attempt} {[each.step for each in event.inputs]}",
)
def test_it_knows_nothing_but_the_success_of_an_item_and_the_input_of_the_next(event: StepSucceeded) -> None:
    saga = fanned(ALONE, 4, 0, 1)
    assert in_short(ALONE, saga.state, succeeded(0, 2))
    assert not in_short(ALONE, saga.state, event)


def test_it_knows_only_a_saga_of_which_nothing_waits_or_has_gone_wrong() -> None:
    state = fanned(ALONE, 4, 0, 1).state
    whole, first, second = state.steps
    tried = Attempts(1)
    for other in (
        replace(state, goal=Goal.ROLLBACK),
        replace(state, begins_at=Moment(9)),
        replace(state, plan=BETWEEN.id),
        replace(state, steps=(whole, first, Retrying(ITEMS[1], tried, Moment(9)))),
        replace(state, steps=(replace(whole, rewound=2), first, second)),
        replace(state, steps=(whole, first, Running(ITEMS[2], tried))),
        replace(state, steps=(first,)),
        replace(state, steps=(replace(whole, items=1), first, second)),
        replace(state, steps=(whole, first)),
        replace(state, steps=()),
    ):
        assert after_item(ALONE, other, succeeded(0, 2)) is None


def test_it_knows_an_item_that_was_passed_over_from_one_that_is_done() -> None:
    saga = fanned(ALONE, 4, 0, 1)
    saga.tell(StepSkipped(saga.moment, ITEMS[3], not_begun=True))
    assert not in_short(ALONE, saga.state, succeeded(0, 2))
    saga.tell(succeeded(0, 2))
    assert in_short(ALONE, saga.state, succeeded(1))


def test_other_steps_may_run_beside_a_list_but_not_wait_for_their_start() -> None:
    plan = Plan.of(step("a", concurrency=2), step("b"), step("c", "b"), step("d", "a"))
    saga = fanned(plan, 4, 0, 1)
    assert not in_short(plan, saga.state, succeeded(0, 2))
    saga.tell(Ticked(saga.moment, (Bound(B, LIST),)))
    assert in_short(plan, saga.state, succeeded(0, 2))
    saga.succeed(B, C)
    assert in_short(plan, saga.state, succeeded(0, 2))


def test_the_last_of_a_list_is_left_to_the_general_rules_where_something_follows_it_or_runs_beside_it() -> None:
    for plan in (Plan.of(step("a", concurrency=2), step("b", "a")), Plan.of(step("b"), step("a", concurrency=2))):
        saga = started(plan)
        saga.tell(Ticked(saga.moment, (BoundEach(A, 2, LIST), *(Bound(each, LIST) for each in (B, *ITEMS[:2])))))
        assert in_short(plan, saga.state, succeeded(1))
        saga.tell(succeeded(1))
        assert not in_short(plan, saga.state, succeeded(0))


def test_what_is_known_of_the_steps_of_another_state_is_not_believed() -> None:
    saga = fanned(ALONE, 4, 0, 1)
    other = Rest((), ())
    assert rest_of(saga.state.steps, other) == saga.state.steps
    assert after_item(ALONE, saga.state, succeeded(0, 2), other) == after_item(ALONE, saga.state, succeeded(0, 2))
    assert project(ALONE, saga.state, other) == at_length(ALONE, saga.state)
    waits = replace(saga.state, steps=(*saga.state.steps[:-1], Retrying(ITEMS[1], Attempts(1), LATER)))
    assert wakes_owner(ALONE, waits, other) == LATER


def test_answers_that_differ_in_what_is_known_alone_are_equal() -> None:
    steps = fanned(ALONE, 4, 0, 1).state.steps
    assert Rest(steps, rest_of(steps)) == Rest((), ())
    assert len({Rest(steps, rest_of(steps)), Rest((), ())}) == 1
    assert Rest((), ()) != (), "it is equal to its like, and to none"
    answer = Transition(fanned(ALONE, 4, 0, 1).state, (), (), ())
    answers = [replace(answer, rest=rest) for rest in (None, Rest((), ()), Rest(steps, rest_of(steps)))]
    assert all(one == other for one in answers for other in answers)
    assert len(set(answers)) == 1, "equal answers have equal hashes"


def test_a_deadline_and_what_is_kept_for_later_go_with_the_saga() -> None:
    state = replace(fanned(ALONE, 4, 0, 1).state, deadline=Moment(9), buffered=(Buffered(1, "paid"),), events=(1,))
    assert in_short(ALONE, state, succeeded(0, 2))


def test_a_step_is_found_whatever_its_name_is_like() -> None:
    named = StepId("z[3]")
    state = replace(fanned(ALONE, 4, 0, 1).state, steps=(Succeeded(B, 2), FannedOut(A, 4, LIST), Succeeded(named, 3)))
    assert find(state, named) == Succeeded(named, 3)
    assert find(state, ITEMS[1]) is None
    assert find(replace(state, steps=()), ITEMS[1]) is None
    assert find(replace(state, steps=(FannedOut(A, 4, LIST), Succeeded(B, 2))), ITEMS[1]) is None
