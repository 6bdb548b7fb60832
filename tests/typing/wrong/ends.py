"""Laws about ends that cannot be."""

from __future__ import annotations

from saga_fn.testing import explore
from tests.typing.shop import create_order

# refused: arg-type | reportArgumentType
explore("order")
# refused: arg-type | reportArgumentType
explore(create_order, forbid=lambda end: end.path)
# refused: arg-type | reportArgumentType
explore(create_order).ends[0].is_done(1)
# refused: arg-type | reportArgumentType
explore(create_order).diagram("text")
