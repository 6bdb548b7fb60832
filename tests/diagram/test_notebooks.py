"""A notebook shows definitions and snapshots by itself."""

# pyright: reportPrivateUsage=false
# A notebook calls the methods that this is about, by their underscores.

from __future__ import annotations

import re
from datetime import timedelta

import msgspec
import pytest

from saga_fn import Event, MemoryStore, SagaAdmin, SagaOrchestrator, StepRef, saga, step
from tests.diagram.test_graphs import parsed, steps_drawn

approval = Event("approval", int)


@step
async def charge(cents: int) -> int:
    return cents


@saga("order")
def order(cents: StepRef[int]) -> StepRef[int]:
    approval.wait(timeout=timedelta(days=3))
    return charge(cents)


def test_a_definition_is_a_picture_and_a_text() -> None:
    assert order._repr_mimebundle_() == {"image/svg+xml": order._repr_svg_(), "text/plain": order.diagram("text")}
    assert steps_drawn(parsed(order._repr_svg_(), embedded=False)) == ["approval", "charge"]


def test_a_definition_of_a_builder_is_drawn_with_the_name_it_is_given() -> None:
    assert "order_2" in msgspec.structs.replace(order, name=None).diagram("text", name="order_2")
    assert msgspec.structs.replace(order, name=None).diagram("text").startswith("saga\n")


async def test_a_snapshot_is_a_graph_and_a_timeline() -> None:
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        run = await orchestrator.register(order).start(900)
        await orchestrator.run_until_idle()
        small, whole = await run.snapshot(), await SagaAdmin(orchestrator).get_saga(run.id)
    shown = whole._repr_mimebundle_()
    assert shown["text/html"] == whole._repr_html_()
    graph, timeline = re.findall(r"<div>(<svg.*?</svg>)</div>", whole._repr_html_())
    assert graph == whole.diagram() == shown["image/svg+xml"] == whole._repr_svg_()
    assert timeline == whole.timeline()
    assert "waits for an event" in shown["text/plain"]
    assert "approval waits for approval until" in small._repr_svg_()
    _ = parsed(small._repr_svg_(), embedded=False)
    assert "plan" not in repr(whole)


@pytest.mark.parametrize("format", ["svg", "mermaid", "text"])
def test_a_definition_draws_itself_in_each_format(format: str) -> None:
    drawn = order.diagram(format)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # one of them
    assert "approval" in drawn
