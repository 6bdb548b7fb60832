"""Pictures of definitions, sagas and numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type
from uuid import UUID

from saga_fn import HistoryEntry, SagaAdmin
from saga_fn.diagram import STYLE, Age, Column, EntrySeen, GraphFormat, SagaSeen, StepSeen, ages, bars, graph, timeline
from tests.typing.shop import create_order

assert_type(create_order.diagram(), str)
assert_type(create_order.diagram("text", width=80, color=True, plain=True), str)
assert_type(create_order.diagram("svg", name="order", embedded=True), str)
assert_type(STYLE, str)


def drawn(format: GraphFormat) -> str:
    return create_order.diagram(format)


async def look(admin: SagaAdmin, saga_id: UUID) -> None:
    seen = await admin.get_saga(saga_id)
    a_saga: SagaSeen = seen
    steps: tuple[StepSeen, ...] = seen.steps
    entries: list[HistoryEntry] = [*seen.step_history]
    an_entry: EntrySeen = entries[0]
    print(a_saga, steps, an_entry)
    assert_type(seen.diagram("mermaid"), str)
    assert_type(seen.timeline("text"), str)
    assert_type(graph(seen.plan, "svg", name=seen.saga_name, seen=seen), str)
    assert_type(timeline(entries, plan=seen.plan, seen=seen), str)


assert_type(bars([Column("09:41", {"COMPLETED": 3})], title="Ends a minute", height=120), str)
assert_type(ages([Age("order", timedelta(minutes=4)), Age("trial", None)], title="Oldest due"), str)
