"""Laws of a definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_type

from saga_fn import Event
from saga_fn.testing import LawCase, World, laws
from tests.typing.shop import Order, charge, create_order

approval = Event("approval", Order)


def fakes(world: World) -> Callable[[], object]:
    return lambda: 1


def no_books(world: World) -> None:
    world.crash(charge, at="before")


cases = laws(create_order, fakes, Order("1"), events=[(approval, Order("1")), (approval, Order("2"), "about")])
assert_type(cases, tuple[LawCase, ...])
assert_type(laws(create_order, no_books, Order("1"), only_fakes=False)[0].id, str)
assert_type(cases[0](), None)


async def run(case: LawCase) -> None:
    assert_type(await case.run(), None)
