"""Forged states and edges that the laws of `invariants/branches.py` must refuse."""

from __future__ import annotations

from saga_fn.core.effects import CancelExecution, Release
from saga_fn.core.events import Declined, Finding, StepFailed, StepSettled, Ticked
from saga_fn.core.ids import Moment
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.branches import (
    i7_no_successor_starts_early,
    i7_nothing_runs_before_what_it_follows,
    i7_only_a_condition_passes_over,
    i8_siblings_are_awaited_unless_declared_otherwise,
    i8_siblings_are_cut_short_where_that_is_declared,
)
from saga_fn.core.invariants.edge import EdgeLaw, StateLaw
from saga_fn.core.plan import Plan
from saga_fn.core.state import FailedForGood, Goal, NotTaken, Retrying, Running, SagaState, Succeeded, Unknown
from tests.core.forged.given import BACK, DOUBTFUL, ONCE, RAN, TICK, TWICE, TWO, edge, moved, parked, state
from tests.core.given import A, B, step

CONDITIONAL = Plan.of(step("a", when=True), step("b", "a"))
CANCELLING = Plan.of(step("a"), step("b", "a"), cancel_siblings=True)
DECLINED = Ticked(Moment(0), (Declined(A),))

STATES: dict[StateLaw, list[tuple[Plan, SagaState]]] = {
    i7_nothing_runs_before_what_it_follows: [
        (TWO, state(Running(B, ONCE))),
        (TWO, state(Running(A, ONCE), Succeeded(B, 2))),
        (TWO, state(Succeeded(B, 2), goal=Goal.COMPLETED)),
    ],
    i8_siblings_are_cut_short_where_that_is_declared: [
        (CANCELLING, state(Succeeded(A, 1), Running(B, ONCE), goal=goal)) for goal in (Goal.ROLLBACK, Goal.HALT)
    ],
}

EDGES: dict[EdgeLaw, list[Edge]] = {
    i7_no_successor_starts_early: [
        edge(RAN, TICK, state(Running(A, ONCE), Running(B, ONCE), rev=4)),
        edge(RAN, TICK, state(Running(A, ONCE), parked(B), rev=4)),
        edge(state(Unknown(B, ONCE)), TICK, state(Running(B, TWICE), rev=4)),
    ],
    i7_only_a_condition_passes_over: [
        edge(state(), DECLINED, state(NotTaken(A), rev=4)),
        edge(state(), TICK, state(NotTaken(A), rev=4), CONDITIONAL),
        edge(state(), Ticked(Moment(0), (Declined(B),)), state(NotTaken(A), rev=4), CONDITIONAL),
        *(
            edge(state(begun), DECLINED, state(NotTaken(A), rev=4), CONDITIONAL)
            for begun in (Running(A, ONCE), Unknown(A, DOUBTFUL), Retrying(A, DOUBTFUL, Moment(0)), Succeeded(A, 2))
        ),
        *(
            edge(
                state(Unknown(A, DOUBTFUL)),
                StepSettled(Moment(0), named, finding=finding, inputs=(Declined(A),)),
                state(NotTaken(A), rev=4),
                CONDITIONAL,
            )
            for named, finding in ((A, Finding.DONE), (B, Finding.NEVER_RAN))
        ),
    ],
    i8_siblings_are_awaited_unless_declared_otherwise: [
        edge(
            state(Running(A, ONCE), Running(B, ONCE)),
            StepFailed(Moment(0), A, 1),
            moved(state(FailedForGood(A, ONCE), Unknown(B, ONCE), goal=BACK, rev=4), CancelExecution(B)),
        )
    ],
}

# What looks like a lie and is none: no law forbids it.
HONEST_STATES: list[tuple[Plan, SagaState]] = [
    (TWO, state(Succeeded(B, 2), goal=BACK)),
    (TWO, state(Running(B, ONCE), goal=BACK)),
]
HONEST_EDGES: list[Edge] = [
    edge(
        state(Retrying(A, ONCE, Moment(0))),
        DECLINED,
        moved(state(NotTaken(A), rev=4), needs=(B,), writes=(Release(Moment(0)),)),
        CONDITIONAL,
    ),
    # Under a plan that changed while the saga rolled back, what runs may follow what is not done.
    edge(state(Running(B, ONCE), goal=BACK), TICK, state(Running(B, ONCE), goal=BACK, rev=4)),
]
