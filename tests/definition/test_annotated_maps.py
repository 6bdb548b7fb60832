"""What annotations say is held against the wiring when a step is added, for those who run no checker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from typing_extensions import override

from saga_fn import BaseStep, InputContext, SagaBuilder, SagaDefinitionError, TypeValidationError, step


class A(msgspec.Struct):
    x: int = 0


class B(msgspec.Struct):
    y: int = 0


class SubB(B):
    pass


@step
async def make_b(inp: A) -> B:
    return B(inp.x)


@step
async def take_b(inp: B) -> B:
    return inp


def of_a(dep: A) -> B:
    return B(dep.x)


def to_dict(dep: B) -> dict[str, int]:
    return {"y": dep.y}


def to_any_dict(dep: B) -> dict[str, Any]:
    return {"y": dep.y}


def to_a(dep: B) -> A:
    return A(dep.y)


def to_sub(dep: B | A) -> SubB | B:
    return SubB(0)


def of_whole(ctx: InputContext[A]) -> B:
    return B(ctx.initial_data.x)


def of_other_whole(ctx: InputContext[B]) -> B:
    return ctx.initial_data


def of_bare_whole(ctx: InputContext[Any]) -> B:
    return B(ctx.initial_data.x)


def of_no_context(given: A) -> B:
    return B(given.x)


def silent(dep: Any) -> Any:
    return dep


silent.__annotations__.clear()
MAYBE: list[Callable[[Any], Any]] = [to_sub, to_any_dict, silent, lambda dep: dep]


@pytest.mark.parametrize("fn", [of_a, to_dict, to_a])
def test_a_map_that_takes_or_gives_another_type_is_refused(fn: Any) -> None:
    builder = SagaBuilder(A)
    made = builder.add_step(make_b, depends_on=builder.initial)
    with pytest.raises(TypeValidationError) as refusal:
        builder.add_step(take_b, depends_on=made, input_map=fn)
    assert refusal.value.hint


@pytest.mark.parametrize("fn", MAYBE)
def test_a_map_that_may_be_right_is_taken(fn: Any) -> None:
    builder = SagaBuilder(A)
    made = builder.add_step(make_b, depends_on=builder.initial)
    builder.add_step(take_b, depends_on=made, input_map=fn)


@pytest.mark.parametrize(
    "fn, right", [(of_whole, True), (of_bare_whole, True), (of_other_whole, False), (of_no_context, False)]
)
def test_a_root_map_takes_the_context_of_its_saga(fn: Any, right: bool) -> None:
    builder = SagaBuilder(A)
    if right:
        builder.add_step(take_b, input_map=fn)
    else:
        with pytest.raises(TypeValidationError, match="InputContext"):
            builder.add_step(take_b, input_map=fn)


class Right(BaseStep[A, B]):
    @override
    async def execute(self, inp: A) -> B:
        return B(inp.x)

    @override
    async def compensate(self, inp: A, out: B) -> None: ...


class TakesB(BaseStep[A, B]):
    @override
    async def execute(self, inp: Any) -> B:
        return B(inp.y)


class GivesA(BaseStep[A, B]):
    @override
    async def execute(self, inp: A) -> Any:
        return inp


class UndoesA(BaseStep[A, B]):
    @override
    async def execute(self, inp: A) -> B:
        return B(inp.x)

    @override
    async def compensate(self, inp: A, out: Any) -> None: ...


# The checkers would refuse them; who has none may write them.
TakesB.execute.__annotations__["inp"] = B
GivesA.execute.__annotations__["return"] = A
UndoesA.compensate.__annotations__["out"] = A


@pytest.mark.parametrize("given", [TakesB(), GivesA(), UndoesA()])
def test_a_class_that_contradicts_its_parameters_is_refused(given: Any) -> None:
    builder = SagaBuilder(A)
    with pytest.raises(TypeValidationError, match="says that it is"):
        builder.add_step(given, depends_on=builder.initial)
    builder.add_step(Right(), depends_on=builder.initial)


number_of_module = 0


def test_a_lambda_that_would_see_the_last_value_of_a_loop_is_refused() -> None:
    builder = SagaBuilder(A)
    for number in (1, 2):
        builder.add_step(take_b, input_map=lambda _: B(number), step_id=f"s{number}")  # noqa: B023 - the mistake in question
    with pytest.raises(SagaDefinitionError, match="'number'") as refusal:
        builder.build()
    assert "number=number" in (refusal.value.hint or "")


def test_so_is_one_that_sees_a_variable_of_its_module() -> None:
    global number_of_module
    builder = SagaBuilder(A)
    for number_of_module in (1, 2):
        builder.add_step(take_b, input_map=lambda _: B(number_of_module), step_id=f"s{number_of_module}")  # noqa: B023 - as above
    with pytest.raises(SagaDefinitionError, match="'number_of_module'"):
        builder.build()


def test_what_is_bound_when_it_is_made_is_taken() -> None:
    builder = SagaBuilder(A)
    for number in (1, 2):
        builder.add_step(take_b, input_map=lambda _, number=number: B(number), step_id=f"s{number}")  # type: ignore[misc]  # as users write it
        builder.add_step(take_b, input_map=_bound(number), step_id=f"t{number}")
        builder.add_step(take_b, input_map=lambda ctx: B(ctx.initial_data.x), step_id=f"u{number}")
    builder.add_step(take_b, input_map=lambda _: B(later()), step_id="later")

    def later() -> int:
        return 1

    assert len(builder.build().steps) == 7


for x in (1, 2):  # noqa: B007 - what is asked here
    SAME_NAME = SagaBuilder(A)
    SAME_NAME.add_step(take_b, input_map=lambda ctx: B(ctx.initial_data.x))
x = 3


def test_an_attribute_is_no_variable_of_that_name() -> None:
    assert SAME_NAME.build().output is None


def _bound(number: int) -> Callable[[InputContext[A]], B]:
    return lambda ctx: B(number)
