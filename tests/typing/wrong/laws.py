"""Laws of what is none."""

from __future__ import annotations

from saga_fn.testing import World, laws
from tests.typing.shop import Order, create_order


def fakes(world: World) -> None: ...


# refused: arg-type | reportArgumentType
laws("order", fakes, Order("1"))
# refused: misc | reportArgumentType
laws(create_order, fakes, "1")
# refused: list-item | reportArgumentType
laws(create_order, fakes, Order("1"), events=[5])
