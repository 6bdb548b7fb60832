"""Forged states and edges by the law that must refuse them, and honest ones that look forged: a file for each family."""

from __future__ import annotations

from tests.core.forged import (
    branches,
    effects,
    ends,
    history,
    items,
    pauses,
    pivot,
    retries,
    rollback,
    unknown_outcome,
    verbs,
    waits,
)

BROKEN_STATES = branches.STATES | ends.STATES | items.STATES | pivot.STATES | rollback.STATES
BROKEN_EDGES = (
    branches.EDGES
    | unknown_outcome.EDGES
    | effects.EDGES
    | ends.EDGES
    | history.EDGES
    | items.EDGES
    | pauses.EDGES
    | pivot.EDGES
    | retries.EDGES
    | rollback.EDGES
    | verbs.EDGES
    | waits.EDGES
)
HONEST_STATES = branches.HONEST_STATES + ends.HONEST_STATES
HONEST_EDGES = (
    branches.HONEST_EDGES
    + unknown_outcome.HONEST_EDGES
    + pivot.HONEST_EDGES
    + retries.HONEST_EDGES
    + rollback.HONEST_EDGES
    + verbs.HONEST_EDGES
    + waits.HONEST_EDGES
)
