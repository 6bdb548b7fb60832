"""Forged edges that the laws of `invariants/pauses.py` must refuse."""

from __future__ import annotations

import msgspec

from saga_fn.core.events import Paused, Resumed, StepSucceeded
from saga_fn.core.ids import Moment
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.edge import EdgeLaw
from saga_fn.core.invariants.pauses import (
    i18_a_claim_alone_ends_a_pause,
    i18_a_paused_saga_begins_nothing,
    i18_what_runs_comes_to_its_end,
)
from saga_fn.core.state import Running, SagaState, Succeeded, Undoing
from tests.core.forged.given import BACK, ONCE, RAN, edge, moved, state
from tests.core.given import A, B

NOW = Moment(0)


def paused(before: SagaState) -> SagaState:
    return msgspec.structs.replace(before, paused=True)


EDGES: dict[EdgeLaw, list[Edge]] = {
    i18_a_paused_saga_begins_nothing: [
        edge(
            paused(state(Running(A, ONCE))),
            StepSucceeded(NOW, A, 1),
            paused(state(Succeeded(A, 4), Running(B, ONCE), rev=4)),
        ),
        edge(RAN, Paused(NOW), paused(state(Undoing(A, 1, ONCE), goal=BACK, rev=4))),
        edge(RAN, Paused(NOW), moved(paused(state(Succeeded(A, 1), rev=4)), needs=(B,))),
    ],
    i18_a_claim_alone_ends_a_pause: [
        edge(paused(state(Running(A, ONCE))), StepSucceeded(NOW, A, 1), state(Succeeded(A, 4), rev=4)),
        edge(paused(RAN), Resumed(NOW), paused(msgspec.structs.replace(RAN, rev=4))),
        edge(RAN, Paused(NOW), msgspec.structs.replace(RAN, rev=4)),
    ],
    i18_what_runs_comes_to_its_end: [
        edge(state(Running(A, ONCE)), Paused(NOW), paused(state(Succeeded(A, 4), rev=4))),
    ],
}
