"""Forged edges that the laws of `invariants/pauses.py` must refuse."""

from __future__ import annotations

import msgspec

from saga_fn.core.effects import Transition
from saga_fn.core.events import (
    MomentsMoved,
    Paused,
    PauseRequested,
    Rescheduled,
    Resumed,
    ResumeRequested,
    StepSucceeded,
    Ticked,
)
from saga_fn.core.ids import Moment
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.edge import EdgeLaw
from saga_fn.core.invariants.pauses import (
    i18_a_claim_alone_ends_a_pause,
    i18_a_moment_knows_when_it_was_set,
    i18_a_paused_saga_begins_nothing,
    i18_moments_are_moved_once_for_a_time,
    i18_what_runs_comes_to_its_end,
)
from saga_fn.core.standstill import Stretch
from saga_fn.core.state import PauseState, Running, SagaState, Sleeping, Succeeded, Undoing
from tests.core.forged.given import BACK, ONCE, RAN, edge, moved, state
from tests.core.given import A, B

NOW, THEN = Moment(0), Moment(7)


def paused(before: SagaState) -> SagaState:
    return msgspec.structs.replace(before, pause=PauseState(of_name=True))


def timed_out(after: SagaState) -> Transition:
    return msgspec.structs.replace(moved(after), timed_out=A)


def by_person(before: SagaState, *, since: Moment = NOW, seq: int = 1, moved: tuple[Stretch, ...] = ()) -> SagaState:
    return msgspec.structs.replace(before, pause=PauseState(since=since, seq=seq, moved=moved))


def sleeping(wake: int, *, rev: int = 3, moved_to: int = 0, at: int = 0) -> SagaState:
    found = state(Sleeping(A, Moment(wake)), rev=rev)
    known = ((NOW, Moment(moved_to)),) if moved_to else ()
    return msgspec.structs.replace(found, pause=PauseState(moved=known), at=Moment(at))


def set_at(found: SagaState, moment: int) -> SagaState:
    (step,) = found.steps
    assert isinstance(step, Sleeping)
    return msgspec.structs.replace(found, steps=(msgspec.structs.replace(step, set_at=Moment(moment)),))


def named(moment: int) -> SagaState:
    pause = PauseState(begin_named=Moment(moment))
    return msgspec.structs.replace(state(), begins_at=Moment(moment), pause=pause)


EDGES: dict[EdgeLaw, list[Edge]] = {
    i18_a_paused_saga_begins_nothing: [
        edge(
            paused(state(Running(A, ONCE))),
            StepSucceeded(NOW, A, 1),
            paused(state(Succeeded(A, 4), Running(B, ONCE), rev=4)),
        ),
        edge(RAN, Paused(NOW), paused(state(Undoing(A, 1, ONCE), goal=BACK, rev=4))),
        edge(RAN, Paused(NOW), moved(paused(state(Succeeded(A, 1), rev=4)), needs=(B,))),
        edge(RAN, PauseRequested(NOW), by_person(state(Undoing(A, 1, ONCE), goal=BACK, rev=4))),
        edge(by_person(RAN), Ticked(NOW), timed_out(by_person(msgspec.structs.replace(RAN, rev=4)))),
    ],
    i18_a_claim_alone_ends_a_pause: [
        edge(paused(state(Running(A, ONCE))), StepSucceeded(NOW, A, 1), state(Succeeded(A, 4), rev=4)),
        edge(paused(RAN), Resumed(NOW), paused(msgspec.structs.replace(RAN, rev=4))),
        edge(RAN, Paused(NOW), msgspec.structs.replace(RAN, rev=4)),
        edge(RAN, PauseRequested(NOW), msgspec.structs.replace(RAN, rev=4)),
        edge(by_person(RAN), PauseRequested(NOW), by_person(msgspec.structs.replace(RAN, rev=4), seq=4)),
        edge(by_person(RAN), Resumed(NOW), msgspec.structs.replace(RAN, rev=4)),
        edge(RAN, ResumeRequested(NOW), msgspec.structs.replace(RAN, rev=4)),
        edge(by_person(RAN), ResumeRequested(NOW), by_person(msgspec.structs.replace(RAN, rev=4))),
    ],
    i18_what_runs_comes_to_its_end: [
        edge(state(Running(A, ONCE)), Paused(NOW), paused(state(Succeeded(A, 4), rev=4))),
        edge(state(Running(A, ONCE)), ResumeRequested(NOW), state(Succeeded(A, 4), rev=4)),
    ],
    i18_moments_are_moved_once_for_a_time: [
        edge(sleeping(9), Ticked(THEN), sleeping(9, rev=4, moved_to=7, at=7)),
        edge(sleeping(9), MomentsMoved(THEN, Moment(2), THEN), sleeping(9, rev=4, moved_to=7, at=7)),
        edge(sleeping(9, moved_to=7), MomentsMoved(THEN, NOW, THEN), sleeping(14, rev=4, moved_to=7, at=7)),
        edge(sleeping(9), MomentsMoved(THEN, Moment(2), THEN), sleeping(14, rev=4, moved_to=9, at=7)),
        edge(
            by_person(state(Sleeping(A, Moment(9))), since=Moment(2)),
            ResumeRequested(THEN, extend=True),
            sleeping(10, rev=4, moved_to=7, at=7),
        ),
        edge(set_at(sleeping(9), 5), MomentsMoved(THEN, NOW, THEN), set_at(sleeping(16, rev=4, moved_to=7, at=7), 5)),
    ],
    i18_a_moment_knows_when_it_was_set: [
        edge(sleeping(9), Ticked(THEN), sleeping(12, rev=4, at=7)),
        edge(set_at(sleeping(9), 5), Ticked(THEN), set_at(sleeping(9, rev=4, at=7), 6)),
        edge(sleeping(9), MomentsMoved(THEN, NOW, THEN), set_at(sleeping(16, rev=4, moved_to=7, at=7), 7)),
        edge(sleeping(9), Rescheduled(THEN, Moment(12)), set_at(sleeping(12, rev=4, at=7), 7)),
        edge(RAN, MomentsMoved(THEN, NOW, THEN), state(Sleeping(A, Moment(9)), rev=4)),
        edge(named(0), Ticked(THEN), msgspec.structs.replace(named(9), rev=4)),
        edge(named(9), Ticked(NOW), msgspec.structs.replace(named(0), rev=4, begins_at=Moment(9))),
    ],
}
