"""Forged states and edges that the laws of `invariants/effects.py` must refuse."""

from __future__ import annotations

from saga_fn.core.effects import CancelExecution, Release, RunStep
from saga_fn.core.events import HandedBack
from saga_fn.core.ids import Moment
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.edge import EdgeLaw
from saga_fn.core.invariants.effects import effects_agree_with_the_state, needs_are_what_could_start
from saga_fn.core.state import FannedOut, Retrying, Running, Succeeded, Unknown
from tests.core.forged.given import (
    A0,
    A1,
    BACK,
    FANNED,
    FANNING,
    HELD,
    LATER,
    ONCE,
    RAN,
    SEEN,
    SUCCESS,
    TICK,
    edge,
    moved,
    state,
)
from tests.core.given import A, B

EDGES: dict[EdgeLaw, list[Edge]] = {
    effects_agree_with_the_state: [
        edge(state(), TICK, state(Running(A, ONCE), rev=4)),
        edge(RAN, TICK, moved(state(Running(A, ONCE), rev=4), RunStep(A, 1, 0))),
        edge(RAN, TICK, moved(state(Unknown(A, ONCE), rev=4), writes=(Release(Moment(0)),))),
        edge(RAN, TICK, moved(state(Unknown(A, ONCE), rev=4), CancelExecution(A))),
        edge(RAN, SUCCESS, moved(state(Succeeded(A, 4), rev=4), CancelExecution(A), writes=(Release(Moment(0)),))),
        edge(RAN, TICK, moved(state(Running(A, ONCE), rev=4), writes=(Release(None),))),
        edge(state(), TICK, moved(state(Running(A, ONCE), rev=4), RunStep(A, 1, 0), RunStep(A, 1, 0))),
    ],
    needs_are_what_could_start: [
        edge(state(), TICK, moved(state(rev=4))),
        edge(state(), TICK, moved(state(rev=4), needs=(A, A))),
        edge(state(), TICK, moved(state(rev=4), needs=(A, B))),
        edge(state(), HandedBack(Moment(0)), moved(state(rev=4), needs=(A,))),
        edge(RAN, TICK, moved(state(Unknown(A, ONCE), rev=4))),
        edge(RAN, TICK, moved(state(Retrying(A, ONCE, Moment(0)), rev=4))),
        edge(RAN, TICK, moved(state(Retrying(A, ONCE, LATER), rev=4), needs=(A,))),
        edge(RAN, TICK, moved(state(Unknown(A, HELD), rev=4), needs=(A,))),
        edge(RAN, TICK, moved(state(Unknown(A, ONCE), goal=BACK, rev=4), needs=(A,))),
        edge(FANNING, TICK, moved(state(*FANNING.steps, rev=4), needs=(A1,)), FANNED),
        edge(state(FannedOut(A, 3, SEEN)), TICK, moved(state(FannedOut(A, 3, SEEN), rev=4)), FANNED),
        edge(state(FannedOut(A, 3, SEEN)), TICK, moved(state(FannedOut(A, 3, SEEN), rev=4), needs=(A0, A1)), FANNED),
        edge(state(FannedOut(A, 3, SEEN)), TICK, moved(state(FannedOut(A, 3, SEEN), rev=4), needs=(A0, B)), FANNED),
    ],
}
