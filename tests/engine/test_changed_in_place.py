"""A step that changes its input in place changes it for itself alone: not for other steps, repeats, probes or items."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, TypeAlias, TypeVar

import attrs
import msgspec
import pydantic
import pytest

from saga_fn import (
    NOT_DONE,
    Completed,
    Done,
    Event,
    ExponentialRetry,
    NotDone,
    OutcomeUnknown,
    SagaBuilder,
    SagaDefinition,
    StepContext,
    StepRef,
    saga,
    step,
)
from tests.support.stores import Make
from tests.support.until import SOON

T = TypeVar("T")


class Basket(msgspec.Struct):
    lines: list[int]


@dataclasses.dataclass
class Parcel:
    lines: list[int]


@attrs.define
class Crate:
    lines: list[int]


class Box(pydantic.BaseModel):
    lines: list[int]


class Inner(msgspec.Struct, frozen=True):
    lines: list[int]


class Held(msgspec.Struct, Generic[T], frozen=True):
    inner: T

    @property
    def lines(self) -> list[int]:
        inner: Any = self.inner  # Any: whatever it holds has lines
        lines: list[int] = inner.lines
        return lines


Kind: TypeAlias = tuple[Any, Callable[[], Any]]  # Any: types of all kinds

KINDS: list[Kind] = [
    (Basket, lambda: Basket([1])),
    (Parcel, lambda: Parcel([1])),
    (Crate, lambda: Crate([1])),
    (Box, lambda: Box(lines=[1])),
    (Inner, lambda: Inner([1])),
    (Held[Inner], lambda: Held(Inner([1]))),
    (Held[Box], lambda: Held(Box(lines=[1]))),
]


@pytest.fixture(params=KINDS, ids=lambda kind: str(kind[0]))
def kind(request: pytest.FixtureRequest) -> Kind:
    given: Kind = request.param
    return given


@attrs.define
class Watched:
    """Steps of one type of data, each of which notes what it is given, and then changes it."""

    tp: Any
    fails: int = 0
    seen: list[tuple[str, list[int]]] = attrs.field(factory=list)

    def see(self, who: str, given: Any) -> None:
        self.seen.append((who, list(given.lines)))
        given.lines.append(99)

    def step(self, name: str, *, fails: int = 0, kind: type[Exception] = ValueError, **options: Any) -> Any:
        async def run(given: Any) -> Any:
            nonlocal fails
            self.see(name, given)
            fails -= 1
            if fails >= 0:
                raise kind("not yet")
            return dataclasses.replace(given) if isinstance(given, Parcel) else given

        run.__annotations__ = {"given": self.tp, "return": self.tp}
        run.__name__ = name
        return step(run, step_id=name, **options)

    def probe(self) -> Any:
        async def asked(given: Any, ctx: StepContext) -> Done[Any] | NotDone:
            self.see("probe", given)
            return NOT_DONE

        done: Any = Done  # Any: of a type that is known here only
        asked.__annotations__ = {"given": self.tp, "ctx": StepContext, "return": done[self.tp] | NotDone}
        return asked

    @property
    def others(self) -> list[tuple[str, list[int]]]:
        """Who was given anything but what was stored."""
        return [each for each in self.seen if each[1] != [1]]


AT_ONCE = ExponentialRetry(max_attempts=4, base_delay=timedelta(milliseconds=1))


async def ended(make: Make, definition: Any, data: object) -> None:
    async with make() as orchestrator:
        run = await orchestrator.register("changes", definition).start(data)
        assert isinstance(await run.outcome(timeout=SOON), Completed)


async def test_other_steps_are_given_what_was_stored(make: Make, kind: Kind) -> None:
    watched = Watched(kind[0])
    builder = SagaBuilder(kind[0])
    for name in ("one", "two", "three"):
        builder.add_step(step=watched.step(name), input_map=lambda ctx: ctx.initial_data)
    await ended(make, builder.build(), kind[1]())
    assert [who for who, _ in watched.seen] == ["one", "two", "three"]
    assert watched.others == []


async def test_branches_are_given_what_was_stored(make: Make, kind: Kind) -> None:
    watched = Watched(kind[0])
    builder = SagaBuilder(kind[0], order="graph")
    for name in ("one", "two", "three"):
        builder.wire(watched.step(name), (builder.initial,), None, (), {})
    await ended(make, builder.build(), kind[1]())
    assert len(watched.seen) == 3
    assert watched.others == []


async def test_a_repeat_is_given_what_was_stored(make: Make, kind: Kind) -> None:
    watched = Watched(kind[0])
    builder = SagaBuilder(kind[0])
    repeated = watched.step("repeated", fails=3, retry_policy=AT_ONCE)
    builder.add_step(step=repeated, input_map=lambda ctx: ctx.initial_data)
    await ended(make, builder.build(), kind[1]())
    assert len(watched.seen) == 4
    assert watched.others == []


async def test_a_probe_is_given_what_the_step_was_given(make: Make, kind: Kind) -> None:
    watched = Watched(kind[0])
    builder = SagaBuilder(kind[0])
    doubtful = watched.step("doubtful", fails=1, kind=OutcomeUnknown, probe=watched.probe(), retry_policy=AT_ONCE)
    builder.add_step(step=doubtful, input_map=lambda ctx: ctx.initial_data)
    await ended(make, builder.build(), kind[1]())
    assert [who for who, _ in watched.seen] == ["doubtful", "probe", "doubtful"]
    assert watched.others == []


async def test_items_are_given_what_was_stored(make: Make, kind: Kind) -> None:
    """The list has one object thrice, and each item is tried twice."""
    watched = Watched(kind[0])
    builder = SagaBuilder(kind[0])
    each = watched.step("each", fails=2, retry_policy=AT_ONCE)
    builder.add_step(step=each.each(concurrency=2), input_map=lambda ctx: [ctx.initial_data] * 3)
    await ended(make, builder.build(), kind[1]())
    assert len(watched.seen) == 5
    assert watched.others == []


async def test_what_an_event_brought_is_given_as_it_was_stored(make: Make, kind: Kind) -> None:
    watched = Watched(kind[0])
    brought: Event[Any] = Event("brought", kind[0])

    def waits(order: Any) -> Any:
        answer = brought.wait(timeout=timedelta(hours=1))
        watched.step("one")(answer)
        return watched.step("two")(answer)

    ref: Any = StepRef  # Any: of a type that is known here only
    waits.__annotations__ = {"order": ref[kind[0]], "return": ref[kind[0]]}
    definition: SagaDefinition[Any, Any] = saga("changes")(waits)  # Any: as above
    async with make() as orchestrator:
        run = await orchestrator.register(definition).start(kind[1]())
        await orchestrator.to(run.id, brought).send(kind[1]())
        assert isinstance(await run.outcome(timeout=SOON), Completed)
    assert len(watched.seen) == 2
    assert watched.others == []
