"""Forged states and edges that the laws of `invariants/items.py` must refuse."""

from __future__ import annotations

from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.edge import EdgeLaw, StateLaw
from saga_fn.core.invariants.items import i7_items_belong_to_a_list, i15_no_more_items_at_once_than_declared
from saga_fn.core.plan import Plan
from saga_fn.core.state import FannedOut, Goal, Joined, Running, SagaState, Succeeded, Undoing
from tests.core.forged.given import A0, A1, BACK, FANNED, FANNING, ONCE, SEEN, TICK, edge, state
from tests.core.given import A

STATES: dict[StateLaw, list[tuple[Plan, SagaState]]] = {
    i7_items_belong_to_a_list: [
        (FANNED, state(Running(A0, ONCE))),
        (FANNED, state(FannedOut(A, 1, SEEN), Running(A1, ONCE))),
        (FANNED, state(Joined(A, 1))),
        (FANNED, state(Joined(A, 1), Running(A0, ONCE))),
        (FANNED, state(Joined(A, 2), Succeeded(A0, 2), goal=Goal.COMPLETED)),
    ]
}

EDGES: dict[EdgeLaw, list[Edge]] = {
    i15_no_more_items_at_once_than_declared: [
        edge(FANNING, TICK, state(FannedOut(A, 3, SEEN), Running(A0, ONCE), Running(A1, ONCE), rev=4), FANNED),
        edge(
            state(Joined(A, 2), Succeeded(A0, 1), Succeeded(A1, 2), goal=BACK),
            TICK,
            state(Joined(A, 2), Undoing(A0, 1, ONCE), Undoing(A1, 2, ONCE), goal=BACK, rev=4),
            FANNED,
        ),
    ]
}
