"""Every stage of an owned saga meets everything that can happen, without a loop, a clock or a store."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

import attrs
import msgspec
import pytest

from saga_fn.core.effects import Refusal, Rejection, RunStep
from saga_fn.core.events import EventReceived, HandedBack, PlanChanged, SagaParked, StepSucceeded, Ticked
from saga_fn.core.ids import Digest, Moment, PlanId, StepId
from saga_fn.core.state import ParkReason
from saga_fn.engine.commit.batching import BATCH_BYTES
from saga_fn.engine.commit.outcome import Lost, RolledBack, Unread, Unsettled
from saga_fn.engine.drive import course
from saga_fn.engine.drive.course import after, go_on, is_draining
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.stages import (
    GOES_ON,
    NOTHING,
    OVER,
    RESTING,
    UNBEGUN,
    Agenda,
    Begin,
    Begun,
    Chore,
    ChoreCut,
    ChoreFailed,
    Committing,
    Deciding,
    DecisionFailed,
    Do,
    Durable,
    Ended,
    ExecutionFailed,
    HandBack,
    Happened,
    LeaveToLease,
    Leaving,
    Losing,
    Messages,
    MessagesRead,
    NoteLate,
    NoteRefused,
    NotKept,
    Order,
    Over,
    Postponed,
    Resting,
    SetAside,
    Stage,
    Told,
    Unbegun,
    Verdict,
    Waiting,
    Withdrawn,
)
from saga_fn.engine.drive.within import Within
from saga_fn.errors import StoreUnavailableError
from saga_fn.store.errors import RowRejectedError

NOW: Final = Moment(1)
A, B = StepId("a"), StepId("b")
DONE_A, DONE_B = (Incoming(StepSucceeded(NOW, step, 1)) for step in (A, B))
TICK = Incoming(Ticked(NOW))
MESSAGE = Incoming(EventReceived(NOW, "paid", Digest(b"")), message=UUID(int=1))
PLAN = Incoming(PlanChanged(NOW, PlanId("p")))
BACK = Incoming(HandedBack(NOW))
PARKED = Incoming(SagaParked(NOW, ParkReason.ROW_REJECTED))
RUN_A = RunStep(A, 1, 0)
REFUSED = NoteRefused(((TICK, Rejection(Refusal.FINISHED, None)),), answered=True)
AWAY = StoreUnavailableError("away", hint="")
FULL = RowRejectedError("full", hint="")
OWN_FAULT = ValueError("a fault of this saga's")

OUTSIDE: Final[tuple[Happened, ...]] = (
    Begun((PLAN,)),
    DONE_A,
    DONE_B,
    TICK,
    *Told,
    HandBack(BACK),
    Postponed(RUN_A),
    Withdrawn(A),
    ExecutionFailed(OWN_FAULT),
    ExecutionFailed(AWAY),
    DecisionFailed(OWN_FAULT),
    DecisionFailed(AWAY),
)
WRITTEN: Final = (
    GOES_ON,
    Durable(unread=True),
    Durable(refused=REFUSED),
    Durable(gives_up=True),
    Durable(gives_up=True, refused=REFUSED),
)
NOT_WRITTEN: Final = (
    *Verdict,
    REFUSED,
    Unread(3),
    Lost(),
    NotKept(FULL, PARKED),
    Unsettled(OWN_FAULT),
    RolledBack(),
)
OF_CHORES: Final[tuple[Happened, ...]] = (
    *Ended,
    MessagesRead((), more=False),
    MessagesRead((), more=True),
    MessagesRead((MESSAGE,), more=False),
    MessagesRead((MESSAGE,), more=True),
    ChoreFailed(OWN_FAULT),
    ChoreFailed(AWAY),
    ChoreCut(OWN_FAULT),
)
ANYTHING: Final = (*OUTSIDE, *WRITTEN, *NOT_WRITTEN, *OF_CHORES)
MOST_ITEMS: Final = 2


@attrs.frozen
class Edge:
    """One thing that happens in one stage. A step that goes on by itself has no cause."""

    stage: Stage
    happened: Happened | None
    then: Stage
    order: Order


def items_of(stage: Stage) -> list[Incoming]:
    """All that has come and is still known of."""
    match stage:
        case Committing(items=items, agenda=agenda):
            return [*items, *agenda.arrived]
        case Unbegun(agenda=agenda) | Resting(agenda=agenda) | Deciding(agenda=agenda) | Waiting(agenda=agenda):
            return list(agenda.arrived)
        case Losing(items=items, late=late):
            return [*items, *late]
        case Leaving(chore=NoteLate(items=items), late=late):
            return [*items, *late]
        case Leaving(late=late):
            return list(late)
        case Over():
            return []


def can_happen(stage: Stage) -> Iterator[Happened]:
    """The things that an honest world may tell in this stage."""
    there = items_of(stage)
    for happened in OUTSIDE:
        if isinstance(happened, Incoming) and (happened in there or len(there) >= MOST_ITEMS):
            continue
        if isinstance(happened, Begun) and not isinstance(stage, Unbegun):
            continue
        if isinstance(happened, HandBack) and BACK in there:
            continue
        if isinstance(happened, Postponed) and (isinstance(stage, Unbegun) or _has_postponed(stage)):
            continue
        yield happened
    yield from answers(stage)


def _has_postponed(stage: Stage) -> bool:
    return isinstance(stage, Resting | Deciding | Committing | Waiting) and stage.agenda.postponed != ()


def answers(stage: Stage) -> Iterator[Happened]:
    """How what is under way may end."""
    match stage:
        case Committing(items=items):
            gives_up = BACK in items or PARKED in items
            yield from (one for one in WRITTEN if one.gives_up >= gives_up)
            yield from NOT_WRITTEN
        case Waiting(chore=Chore.MESSAGES):
            yield from (one for one in OF_CHORES if one is Ended.READING or not isinstance(one, Ended))
        case Waiting(chore=Chore.RENEW):
            yield from (Ended.RENEWED, Ended.NOT_RENEWED, ChoreFailed(OWN_FAULT), ChoreCut(OWN_FAULT))
        case Waiting() | Leaving(chore=Chore() | NoteRefused() | NoteLate() | SetAside()):
            yield from (Ended.DONE, ChoreFailed(OWN_FAULT), ChoreFailed(AWAY), ChoreCut(OWN_FAULT))
        case Losing():
            yield from (*WRITTEN, *NOT_WRITTEN, *OF_CHORES)
        case _:
            pass


def explored() -> tuple[set[Stage], list[Edge]]:
    first: list[Stage] = [UNBEGUN, Unbegun(Agenda(messages=Messages.SAID))]
    seen, left = set(first), first
    edges: list[Edge] = []
    while left:
        stage = left.pop()
        found = [Edge(stage, happened, *after(stage, happened)) for happened in can_happen(stage)]
        found.append(Edge(stage, None, *go_on(stage)))
        for edge in found:
            if edge.then not in seen:
                seen.add(edge.then)
                left.append(edge.then)
        edges += found
    return seen, edges


PHASES, EDGES = explored()
OURS = (Unbegun, Resting, Deciding, Committing, Waiting)
GONE = (Losing, Leaving, Over)


def test_every_kind_of_stage_and_order_is_reached() -> None:
    assert {type(stage) for stage in PHASES} == {*OURS, *GONE}
    orders = {edge.order if isinstance(edge.order, Do) else type(edge.order) for edge in EDGES}
    assert orders == {*Do, Begin, LeaveToLease}


def test_every_stage_has_an_answer_to_everything_even_to_what_cannot_happen_in_it() -> None:
    for stage, happened in itertools.product(PHASES, ANYTHING):
        then, order = after(stage, happened)
        for _ in range(2):
            if order is NOTHING:
                break
            then, order = go_on(then)
        assert isinstance(order, LeaveToLease | Begin) or order in (NOTHING, Do.DECIDE, Do.CHORE, Do.FINISH)


def test_after_the_end_nothing_is_asked_for() -> None:
    over = [edge for edge in EDGES if isinstance(edge.stage, Over)]
    assert over
    assert all(edge.then is edge.stage and edge.order is NOTHING for edge in over)


def test_an_order_is_one_for_the_stage_that_it_comes_with() -> None:
    for edge in EDGES:
        match edge.order:
            case Do.DECIDE:
                assert isinstance(edge.then, Committing)
                assert edge.then.items
            case Do.CHORE:
                assert isinstance(edge.then, Waiting | Leaving)
                assert edge.then.chore is not None
            case Do.ACT:
                assert isinstance(edge.happened, Durable)
                assert isinstance(edge.then, Resting | Deciding)
            case Do.FINISH | LeaveToLease():
                assert isinstance(edge.then, Over)
                assert not isinstance(edge.stage, Over), "it is let go of once"
            case Begin():
                assert edge.happened is Ended.RENEWED, "nothing begins under a lease that has run out"
            case _:
                pass
        if isinstance(edge.then, Over) and not isinstance(edge.stage, Over):
            assert edge.order is Do.FINISH or isinstance(edge.order, LeaveToLease)


def is_under_way(stage: Stage) -> bool:
    return isinstance(stage, Committing | Waiting | Losing) or (isinstance(stage, Leaving) and stage.chore is not None)


def test_nothing_is_asked_of_the_store_while_something_is_under_way() -> None:
    """So there are never two writes of a saga at once, and no chore beside a write."""
    for edge in EDGES:
        if edge.order in (Do.DECIDE, Do.CHORE) and is_under_way(edge.stage):
            assert edge.happened in list(answers(edge.stage)), "it is the end of what was under way"
            assert edge.happened is not Ended.READING
        if isinstance(edge.stage, Committing) and edge.happened in OUTSIDE and isinstance(edge.then, Committing):
            assert edge.then.items == edge.stage.items, "what is on its way stays as it is"


def test_what_has_come_is_decided_on_or_kept_for_as_long_as_the_saga_is_ours() -> None:
    for edge in EDGES:
        if not (isinstance(edge.stage, OURS) and isinstance(edge.then, OURS)):
            continue
        gone = [item for item in items_of(edge.stage) if item not in items_of(edge.then)]
        if isinstance(edge.happened, NotKept):
            assert items_of(edge.then) == [PARKED], "the saga is parked, whatever else there was"
        elif isinstance(edge.happened, MessagesRead):
            assert all(item.message is not None for item in gone), "they stand in the inbox"
        elif isinstance(edge.stage, Committing) and edge.happened in (*WRITTEN, Verdict.NOTHING, REFUSED):
            assert gone == [item for item in edge.stage.items if item in gone], "those were decided on"
        else:
            assert not gone
        if isinstance(edge.happened, Incoming):
            assert edge.happened in items_of(edge.then)


def test_a_result_that_comes_to_nothing_because_the_saga_is_lost_is_noted() -> None:
    results = (DONE_A, DONE_B)
    for edge in EDGES:
        if not edge.then.lost or isinstance(edge.then, Over) or isinstance(edge.happened, NotKept):
            continue
        expected = [item for item in items_of(edge.stage) if item in results]
        if edge.happened in results:
            expected.append(edge.happened)
        if isinstance(edge.stage, Losing) and isinstance(
            edge.happened, (Durable, Ended, MessagesRead, ChoreFailed, ChoreCut)
        ):
            expected = list(edge.stage.late)
        if isinstance(edge.stage, Leaving) and isinstance(edge.stage.chore, NoteLate):
            expected = [item for item in expected if item not in edge.stage.chore.items]
        assert set(map(repr, expected)) <= set(map(repr, items_of(edge.then)))


def test_what_is_lost_stays_lost_and_nothing_of_it_begins_or_is_written() -> None:
    for edge in EDGES:
        if edge.stage.lost:
            assert edge.then.lost
        if isinstance(edge.stage, GONE):
            assert isinstance(edge.then, GONE)
            assert edge.order not in (Do.DECIDE, Do.ACT, Do.WAKE)
            assert not isinstance(edge.order, Begin)
        if edge.happened is Told.TAKEN and not isinstance(edge.stage, Over):
            assert edge.then.lost


def test_a_saga_that_is_not_ours_any_more_is_cut_short_at_once_or_let_go_of() -> None:
    for edge in EDGES:
        if isinstance(edge.stage, OURS) and isinstance(edge.then, Losing | Leaving):
            assert edge.order is Do.CUT_SHORT
        if isinstance(edge.happened, HandBack) and isinstance(edge.stage, OURS):
            assert edge.order is Do.CUT_SHORT


def test_a_saga_at_rest_has_nothing_to_do() -> None:
    for stage in PHASES:
        if isinstance(stage, Resting):
            assert not (stage.agenda.arrived)
            assert not (stage.agenda.postponed)
            assert not (stage.agenda.refused)
            assert stage.agenda.messages is not Messages.SAID
            if stage.agenda == RESTING.agenda:
                assert stage is RESTING, "or the shortest way is not taken"


def test_messages_that_are_said_to_be_there_are_read_before_anything_is_decided() -> None:
    for edge in EDGES:
        if edge.order is Do.DECIDE and isinstance(edge.then, Committing):
            assert edge.then.agenda.messages is not Messages.SAID
            assert not edge.then.agenda.postponed, "nor does anything wait for the lease"
        if edge.happened is Told.UNREAD and isinstance(edge.stage, OURS):
            assert isinstance(edge.then, OURS)
            assert edge.then.agenda.messages is Messages.SAID


def test_nothing_goes_on_before_its_turn() -> None:
    for edge in EDGES:
        if isinstance(edge.stage, Unbegun) and not isinstance(
            edge.happened, Begun | HandBack | DecisionFailed | ExecutionFailed
        ):
            assert isinstance(edge.then, (Unbegun, *GONE))
            assert edge.order in (NOTHING, Do.CUT_SHORT, Do.FINISH)


def test_a_stop_starts_no_further_step_and_drops_what_has_not_begun() -> None:
    for edge in EDGES:
        if is_draining(edge.stage):
            assert is_draining(edge.then)
        if isinstance(edge.happened, HandBack) and isinstance(edge.then, OURS):
            assert edge.then.agenda.draining
            assert not edge.then.agenda.postponed
        if BACK in items_of(edge.stage):  # a write that has become durable since may ask for further ones
            assert edge.order is not Do.ACT
            assert not isinstance(edge.order, Begin)


def test_whatever_is_under_way_ends_in_rest_or_in_an_end_and_a_stop_in_an_end() -> None:
    """By answers alone, and by good ones: from every stage there is a way out."""
    out: set[Stage] = {stage for stage in PHASES if isinstance(stage, Resting | Unbegun | Over)}
    ended: set[Stage] = {stage for stage in PHASES if isinstance(stage, Over)}
    by_itself = [edge for edge in EDGES if edge.happened is None or edge.happened not in OUTSIDE]
    handed_back = {stage for stage in PHASES if BACK in items_of(stage)}
    assert _with_a_way_to(out, by_itself) == PHASES
    assert handed_back <= _with_a_way_to(ended, by_itself)


def _with_a_way_to(goal: set[Stage], edges: Sequence[Edge]) -> set[Stage]:
    before: dict[Stage, list[Stage]] = defaultdict(list)
    for edge in edges:
        before[edge.then].append(edge.stage)
    found, left = set(goal), list(goal)
    while left:
        for stage in before[left.pop()]:
            if stage not in found:
                found.add(stage)
                left.append(stage)
    return found


def test_what_is_handed_back_never_rests_undecided() -> None:
    for edge in EDGES:
        if BACK in items_of(edge.stage) and isinstance(edge.then, Resting):
            assert isinstance(edge.stage, Committing)
            assert edge.happened is Verdict.NOTHING, "it was decided on, and refused nothing and wrote nothing"


@pytest.mark.parametrize("chore", [Chore.RENEW, Chore.MESSAGES, Chore.JOURNAL])
def test_other_code_that_cancels_an_chore_leaves_the_saga_to_its_lease(chore: Chore) -> None:
    assert after(Waiting(chore, Agenda()), ChoreCut(OWN_FAULT)) == (OVER, LeaveToLease(OWN_FAULT))


def test_messages_stand_behind_a_change_of_the_plan_and_ahead_of_results() -> None:
    old = msgspec.structs.replace(MESSAGE, message=UUID(int=2))
    waiting = Waiting(Chore.MESSAGES, Agenda(arrived=(DONE_A, old, PLAN)))
    then, order = after(waiting, MessagesRead((MESSAGE,), more=False))
    assert (then, order) == (Committing((PLAN, MESSAGE, DONE_A), Agenda()), Do.DECIDE)


@pytest.mark.parametrize("chore", [NoteRefused((), answered=True)])
def test_more_messages_than_are_read_at_once_are_read_when_those_are_answered(chore: NoteRefused) -> None:
    read = after(Waiting(Chore.MESSAGES, Agenda()), MessagesRead((MESSAGE,), more=True))[0]
    assert isinstance(read, Committing)
    assert go_on(after(read, GOES_ON)[0]) == (Waiting(Chore.MESSAGES, Agenda(messages=Messages.SAID)), Do.CHORE)
    noted = after(Waiting(chore, Agenda(messages=Messages.MORE)), Ended.DONE)
    assert noted == (Waiting(Chore.MESSAGES, Agenda(messages=Messages.SAID)), Do.CHORE)


def test_the_shortest_ways_are_those_of_all_others() -> None:
    general = course._resting, course._committing  # pyright: ignore[reportPrivateUsage]  # they are what is compared
    for edge in EDGES:
        if isinstance(edge.stage, Resting) and isinstance(edge.happened, Incoming):
            assert general[0](edge.stage, edge.happened) == (edge.then, edge.order)
        if isinstance(edge.stage, Committing) and edge.happened is GOES_ON:
            assert general[1](edge.stage, GOES_ON) == (edge.then, edge.order)


def test_results_that_one_statement_cannot_hold_are_written_one_after_the_other_behind_all_messages() -> None:
    half = bytes(BATCH_BYTES // 2)
    a, b, told, more = (msgspec.structs.replace(item, payload=half) for item in (DONE_A, DONE_B, MESSAGE, MESSAGE))
    large = msgspec.structs.replace(a, payload=bytes(BATCH_BYTES + 1))
    for arrived, now in (
        ((a, b), 2),
        ((a, b, TICK), 3),
        ((told, a, b), 2),
        ((told, more, told, a), 3),
        ((large,), 1),
        ((large, b), 1),
    ):
        stage, order = go_on(Deciding(Agenda(arrived=arrived)))
        assert (stage, order) == (Committing(arrived[:now], Agenda(arrived=arrived[now:])), Do.DECIDE)


class TestResultsInTransactions:
    """Results that stand in open transactions: each is written in its own, and nothing is left of one that is not committed."""

    async def test_two_of_them_are_written_one_after_the_other(self) -> None:
        a, b = (msgspec.structs.replace(done, within=Within()) for done in (DONE_A, DONE_B))
        stage, order = after(Deciding(Agenda(arrived=(TICK, a))), b)
        assert (stage, order) == (Deciding(Agenda(arrived=(TICK, a, b))), NOTHING)
        stage, order = go_on(stage)
        assert (stage, order) == (Committing((TICK, a), Agenda(arrived=(b,))), Do.DECIDE)
        stage, _ = after(stage, GOES_ON)
        assert go_on(stage) == (Committing((b,), Agenda()), Do.DECIDE)

    async def test_what_came_with_one_that_is_rolled_back_is_decided_on_again(self) -> None:
        a = msgspec.structs.replace(DONE_A, within=Within())
        stage, order = after(Committing((TICK, a), Agenda(arrived=(DONE_B,))), RolledBack())
        assert (stage, order) == (Committing((TICK, DONE_B), Agenda()), Do.DECIDE)
        assert after(Committing((a,), Agenda()), RolledBack()) == (RESTING, NOTHING)

    async def test_one_whose_saga_was_lost_is_no_late_result(self) -> None:
        a = msgspec.structs.replace(DONE_A, within=Within())
        lost, _ = after(Committing((a,), Agenda()), Lost())
        assert isinstance(lost, Leaving)
        assert lost.late == ()
        losing, _ = after(Committing((a, DONE_B), Agenda()), Told.TAKEN)
        assert isinstance(losing, Losing)
        assert losing.items == (DONE_B,)
