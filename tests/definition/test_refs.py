# type: ignore  # noqa: PGH003 - every case is a mistake that the checkers refuse; here it is made at run time
"""A StepRef stands for a value that is not there yet: whatever Python would make of the value is refused, with the mend."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable

import pytest

from saga_fn import SagaDefinitionError, StepRef
from tests.definition.refusal import other_ref

BINARY = (
    *(operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne, operator.contains),
    *(operator.add, operator.sub, operator.mul, operator.matmul, operator.truediv, operator.floordiv, operator.mod),
    *(divmod, pow, operator.lshift, operator.rshift, operator.and_, operator.or_, operator.xor, operator.getitem),
    *(operator.iadd, operator.imul, operator.iand, operator.delitem),
)
UNARY: tuple[Callable[..., object], ...] = (
    *(len, iter, next, bool, str, int, float, complex, bytes, abs, round, math.trunc, math.floor, math.ceil, reversed),
    *(operator.neg, operator.pos, operator.invert, operator.index, operator.not_, list, sum, max, sorted, range, open),
    *("{}".format, "{:>4}".format, "%s".__mod__, "%d".__mod__, enumerate, set, dict),
)


def told(act: Callable[[], object]) -> None:
    with pytest.raises(SagaDefinitionError, match="has no value while the saga is being built") as refusal:
        act()
    assert "HINT: " in str(refusal.value)
    assert "`using`" in str(refusal.value)


@pytest.mark.parametrize("other", [1, "%s", [1], "another ref"])
@pytest.mark.parametrize("act", BINARY, ids=lambda act: act.__name__)
def test_an_operator_is_refused_on_either_side(act: Callable[..., object], other: object) -> None:
    ref = other_ref()
    right: object = other_ref() if other == "another ref" else other
    if act in (operator.eq, operator.ne) and isinstance(right, StepRef):
        return  # two references can be compared: they are the same or they are not
    told(lambda: act(ref, right))
    if act not in (operator.getitem, operator.contains, operator.iadd, operator.imul, operator.iand, operator.delitem):
        told(lambda: act(right, ref))


@pytest.mark.parametrize("act", UNARY, ids=lambda act: act.__name__)
def test_a_function_of_the_value_is_refused(act: Callable[..., object]) -> None:
    told(lambda: act(other_ref()))


def test_a_value_is_put_nowhere() -> None:
    ref = other_ref()
    told(lambda: operator.setitem(ref, 0, 1))
    told(lambda: [1][ref])
    told(lambda: 1 in ref)
    told(lambda: f"{ref}")


async def test_it_cannot_be_awaited() -> None:
    ref = other_ref()
    with pytest.raises(SagaDefinitionError, match="cannot be awaited"):
        await ref
    with pytest.raises(SagaDefinitionError, match="cannot be iterated"):
        async for _ in ref:
            pass


def test_what_asks_for_no_value_works() -> None:
    ref = other_ref()
    assert repr(ref).startswith("StepRef(")
    assert {ref: 1}[ref] == 1
    assert ref in [ref, other_ref()]
    assert ref != other_ref()
    assert not callable(ref)
    assert copy.copy(ref).step_id == ref.step_id
