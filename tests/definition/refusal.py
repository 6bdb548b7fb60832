# type: ignore  # noqa: PGH003 - every case is a mistake that the checkers refuse; here it is made at run time
"""Mistakes, and what the refusal of each has to say: the fact and the mend."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from saga_fn import SagaBuilder, SagaDefinitionError, StepRef
from tests.definition.shop import Order, Reserved, ReserveInput, price, reserve

Cases: TypeAlias = list[tuple[str, Callable[[], object], str, str]]
"""A name, the mistake, and words of the fact and of the mend."""


def each_of(cases: Cases) -> pytest.MarkDecorator:
    """The test is of each of these cases."""
    return pytest.mark.parametrize("make, fact, mend", [case[1:] for case in cases], ids=[case[0] for case in cases])


def refused(make: Callable[[], object], fact: str, mend: str) -> None:
    """Make the mistake, and read the refusal."""
    with pytest.raises(SagaDefinitionError) as refusal:
        make()
    assert fact in refusal.value.fact
    assert mend in (refusal.value.hint or "")


def use(act: Callable[[SagaBuilder, StepRef[Reserved]], object], tp=Order, **options) -> Callable[[], object]:
    """A builder with one step, and what is done to it."""

    def run() -> object:
        builder = SagaBuilder(tp, **options)
        return act(builder, builder.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data.order_id)))

    return run


def other_ref() -> StepRef[int]:
    builder = SagaBuilder(Order)
    return builder.add_step(price, depends_on=builder.initial)
