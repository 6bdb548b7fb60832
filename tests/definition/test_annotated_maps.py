"""What annotations say is held against the wiring when a step is added, for those who run no checker."""

from __future__ import annotations

import functools
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Annotated, Any, cast

import msgspec
import pytest
from typing_extensions import override

from saga_fn import (
    BaseStep,
    Done,
    InputContext,
    NotDone,
    SagaBuilder,
    SagaDefinitionError,
    Step,
    StepContext,
    TypeValidationError,
    step,
)


class A(msgspec.Struct):
    x: int = 0


class B(msgspec.Struct):
    y: int = 0


class SubB(B):
    pass


class SubA(A):
    pass


@step
async def make_b(inp: A) -> B:
    return B(inp.x)


@step
async def take_b(inp: B) -> B:
    return inp


@step
async def take_word(inp: str) -> A:
    return A(len(inp))


@step
async def take_list(inp: list[A]) -> A:
    return inp[0]


@step
async def take_dict(inp: dict[str, A]) -> A:
    return inp["a"]


@step
async def give_many(inp: A) -> list[B]:
    return [B(inp.x)]


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


class OfA:
    """A map that is an object."""

    def __call__(self, dep: A) -> B:
        return of_a(dep)


class OfB:
    """One that takes what it is given."""

    def __call__(self, dep: B) -> B:
        return dep


def of_two(extra: int, dep: A) -> B:
    return B(extra)


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


def in_a_loop(how: str) -> Callable[[], object]:
    """A saga whose steps are wired in a loop, where a function of the first step sees the loop's last value."""

    def build() -> object:
        builder = SagaBuilder(A)
        for number in (1, 2):
            if how == "condition":
                wired: Step[A, B | None] = make_b.when(lambda inp: inp.x == number)  # noqa: B023 - the mistake in question
                builder.add_step(wired, depends_on=builder.initial, step_id=f"s{number}")
            elif how == "partial":

                def one_of_two(other: int, inp: A) -> A:
                    return A(number)  # noqa: B023 - the mistake in question

                using = functools.partial(one_of_two, 1)
                builder.add_step(make_b, depends_on=builder.initial, input_map=using, step_id=f"s{number}")
            else:

                async def fixed(inp: A) -> B:
                    return B(0)

                async def work(inp: A) -> B:
                    return B(number)  # noqa: B023 - the mistake in question

                async def unwork(inp: A, out: B) -> None:
                    assert number  # noqa: B023 - the mistake in question

                async def ask(inp: A, ctx: StepContext) -> Done[B] | NotDone:
                    return Done(B(number))  # noqa: B023 - the mistake in question

                made = {
                    "step": lambda: step(work),
                    "compensation": lambda: step(fixed, compensate=unwork),
                    "probe": lambda: step(fixed, probe=ask),
                }[how]()
                builder.add_step(made, depends_on=builder.initial, step_id=f"s{number}")
        return builder.build()

    return build


@pytest.mark.parametrize("how", ["condition", "partial", "step", "compensation", "probe"])
def test_a_function_that_would_see_the_loops_last_value_is_refused(how: str) -> None:
    with pytest.raises(SagaDefinitionError, match="uses the variable 'number', which has another value now"):
        in_a_loop(how)()


@pytest.mark.parametrize(
    "using", [OfA(), functools.partial(of_a), functools.partial(of_two, 1), functools.partial(OfA())]
)
def test_what_an_object_or_a_partial_is_annotated_with_is_held_against_the_wiring(using: Callable[..., B]) -> None:
    builder = SagaBuilder(A)
    first = builder.add_step(make_b, depends_on=builder.initial)
    with pytest.raises(TypeValidationError, match="takes an A, but is given a B"):
        builder.add_step(take_b, depends_on=first, input_map=using)
    builder.add_step(take_b, depends_on=first, input_map=functools.partial(OfB()))


# Lists, and what they hold.


def wired(gives: object, step_taking: Step[Any, Any], *, each: bool = True) -> None:
    """A map that says that it gives this, before a step, or before one for each item."""

    def using(dep: Any) -> Any:
        return dep

    using.__annotations__["return"] = gives
    builder = SagaBuilder(A)
    builder.add_step(
        step_taking.each(concurrency=1) if each else step_taking, depends_on=builder.initial, input_map=using
    )


HELD_WRONGLY = [
    list[B],
    tuple[B, ...],
    tuple[A, B],
    Sequence[B],
    list[A | B],
    list[A | None],
    list[list[A]],
    list[int],
    str,
]
HELD_RIGHTLY = [
    *(list[A], tuple[A, ...], tuple[A, A], tuple[A], Sequence[A], list[SubA], list[A | SubA], list[Any], list[object]),
    *(list, tuple, list[dict[str, Any]], Any, object, list[A] | tuple[A, ...], Annotated[list[A], "noted"]),
]  # fmt: skip


@pytest.mark.parametrize("gives", HELD_WRONGLY, ids=str)
def test_what_the_items_of_a_list_are_is_held_against_the_step(gives: object) -> None:
    with pytest.raises(TypeValidationError, match=r"gives a .* is wanted\nHINT: return a Sequence\[A\]"):
        wired(gives, make_b)


@pytest.mark.parametrize("gives", HELD_RIGHTLY, ids=str)
def test_a_list_whose_items_may_be_right_is_taken(gives: object) -> None:
    wired(gives, make_b)


def test_so_it_is_for_a_string_of_strings() -> None:
    for gives in (str, bytes):
        with pytest.raises(TypeValidationError):
            wired(gives, take_word)
    wired(list[str], take_word)


@pytest.mark.parametrize("gives, right", [
    (list[A], True), (list[SubA], True), (tuple[A, ...], False), (list[B], False), (list[A | B], False), (list[Any], True),
])  # fmt: skip
def test_so_it_is_for_a_step_of_the_whole_list(gives: object, right: bool) -> None:
    if right:
        wired(gives, take_list, each=False)
    else:
        with pytest.raises(TypeValidationError, match="is wanted"):
            wired(gives, take_list, each=False)


@pytest.mark.parametrize("gives, right", [
    (dict[str, A], True), (dict[str, SubA], True), (dict[str, B], False), (dict[int, A], False), (dict[str, Any], True),
])  # fmt: skip
def test_so_it_is_for_a_dict(gives: object, right: bool) -> None:
    if right:
        wired(gives, take_dict, each=False)
    else:
        with pytest.raises(TypeValidationError, match="is wanted"):
            wired(gives, take_dict, each=False)


def test_a_list_that_a_step_gives_is_held_against_the_next() -> None:
    builder = SagaBuilder(A)
    many = builder.add_step(give_many, depends_on=builder.initial)
    with pytest.raises(TypeValidationError, match=r"takes list\[A\], but is given list\[B\]"):
        builder.add_step(cast("Step[list[B], A]", take_list), depends_on=many)
    with pytest.raises(TypeValidationError, match=r"takes Sequence\[A\], but is given list\[B\]"):
        builder.add_step(cast("Step[Any, Any]", make_b.each(concurrency=1)), depends_on=many)
    builder.add_step(take_b.each(concurrency=1), depends_on=many)


def test_containers_of_other_parameters_are_left_to_the_checkers() -> None:
    class Own(dict[str, A]):
        pass

    for gives in (Own, Counter[str], OrderedDict[str, A]):
        wired(gives, take_dict, each=False)


def test_a_compensation_takes_the_list_that_its_step_gives() -> None:
    async def many(inp: A) -> list[B]:
        return []

    async def undo_others(inp: A, out: list[A]) -> None: ...

    with pytest.raises(TypeValidationError, match="takes exactly the step's input and its output"):
        step(cast("Any", many), compensate=undo_others)
