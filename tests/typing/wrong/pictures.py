"""What cannot be drawn."""

from __future__ import annotations

from saga_fn import SagaAdminSnapshot
from saga_fn.diagram import Column, bars, timeline
from tests.typing.shop import create_order

# refused: arg-type | reportArgumentType
create_order.diagram("png")
# refused: call-arg | reportCallIssue
create_order.diagram(format="svg")


def show(seen: SagaAdminSnapshot) -> None:
    # refused: arg-type | reportArgumentType
    seen.timeline("mermaid")
    # refused: arg-type | reportArgumentType
    timeline(seen.steps)


# refused: dict-item | reportArgumentType
bars([Column("09:41", {"COMPLETED": "3"})], title="Ends a minute")
# refused: call-arg | reportCallIssue
bars([])
