"""Lies of every kind, made of what the forged edges are made of: any state after any other, by any event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import msgspec

from saga_fn.core.invariants import Edge
from saga_fn.core.state import SagaState


def lies(edges: Sequence[Edge], number: int, draw: Random) -> Iterator[Edge]:
    """So many edges, each of the parts of a few of these that have one plan."""
    of_plan: dict[str, list[Edge]] = {}
    for edge in edges:
        of_plan.setdefault(edge.plan.id, []).append(edge)
    for _ in range(number):
        alike = of_plan[draw.choice(edges).plan.id]
        one, other, third = (draw.choice(alike) for _ in range(3))
        before = draw.choice((one.before, _of_both(one.before, other.before, draw)))
        after = draw.choice((one.after, other.after, before, _of_both(one.after, other.after, draw)))
        steps = [draw.choice(pair) for pair in zip(before.steps, after.steps, strict=False)]
        if draw.random() < 0.5:
            after = msgspec.structs.replace(after, steps=(*steps, *after.steps[len(steps) :]))
        moved = msgspec.structs.replace(draw.choice((one, other)).moved, state=after)
        yield Edge.of(one.plan, before, draw.choice((one, third)).event, moved)


def _of_both(one: SagaState, other: SagaState, draw: Random) -> SagaState:
    """A state of which each field is that of the one or of the other."""
    fields = {name: getattr(draw.choice((one, other)), name) for name in SagaState.__struct_fields__}
    return msgspec.structs.replace(one, **fields)
