"""A step, pinned to its input and output types before it is wired into a saga."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast, final, overload
from uuid import UUID

import msgspec
from returns.result import Result
from typing_extensions import Unpack, override

from saga_fn.arguments import is_whole
from saga_fn.core.fan_out import ITEM_LIMIT
from saga_fn.definition.forgotten_steps import no_ref
from saga_fn.definition.steps.base import AnyStep, StepBase
from saga_fn.definition.steps.condition import check_condition, holds
from saga_fn.definition.steps.context import StepContext
from saga_fn.definition.steps.parts import StepParts, parts_of_object
from saga_fn.definition.steps.step_options import StepOptions
from saga_fn.definition.tracing import current_builder
from saga_fn.definition.values.refs import AnyRef, AnyRefs, StepRef
from saga_fn.errors import SagaDefinitionError, shown
from saga_fn.printable import a_type_of

I = TypeVar("I")  # noqa: E741 - input and output, the names the docs use throughout
O = TypeVar("O")  # noqa: E741
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
E = TypeVar("E")
F = TypeVar("F")


@final
class Step(StepBase[I, O]):
    """A step of input I and output O, made by `step`. Wire it with `SagaBuilder.add_step`, or call it in a `@saga`.

    Args:
        parts: The parts of the step.
    """

    def __init__(self, parts: StepParts) -> None:
        self._parts = parts

    @override
    def __repr__(self) -> str:
        return f"<step {self._parts.name}>"

    async def execute(self, inp: I, /) -> O:
        """Call the step alone, outside any saga. For your own tests.

        Args:
            inp: The input.

        Returns:
            The output; a Result is unwrapped. None where its condition does not hold.

        Raises:
            UnwrapFailedError: It returned a Failure; the exception, of the package returns, holds it.
            SagaDefinitionError: Its condition does not answer with a bool.
        """
        if self._parts.when is not None and not holds(self._parts.name, self._parts.when, inp):
            return cast("O", None)  # `when` has made the O one that may be None
        if self._parts.concurrency:
            one = Step[Any, Any](msgspec.structs.replace(self._parts, concurrency=0, when=None))
            return cast(
                "O", [await one.execute(item) for item in cast("Sequence[Any]", inp)]
            )  # `each` has made them so
        returned = await self._parts.execute(inp, _alone(self._parts.name, "execute"))
        # `step` saw the function's annotation: it gives an O, or a Result of one.
        return cast("O", returned.unwrap() if isinstance(returned, Result) else returned)

    async def compensate(self, inp: I, out: O, /) -> None:
        """Call the compensation alone, outside any saga. For your own tests. Without a compensation nothing happens.

        Args:
            inp: The input that the step was given.
            out: The output that it gave.
        """
        if self._parts.compensate is None or (self._parts.when is not None and out is None):
            return
        if self._parts.concurrency:
            pairs = zip(cast("Sequence[Any]", inp), cast("list[Any]", out), strict=True)  # `each` has made them so
            for given, made in reversed(list(pairs)):
                await self._parts.compensate(given, made, _alone(self._parts.name, "compensate"))
        else:
            await self._parts.compensate(inp, out, _alone(self._parts.name, "compensate"))

    def when(self, condition: Callable[[I], bool], /) -> Step[I, O | None]:
        """Make the step conditional: if its input does not meet the condition, it is SKIPPED and gives None.

        A step that was not taken is never compensated.

        Args:
            condition: A function of the step's input. It must be pure, for it is asked again after a crash.

        Returns:
            Another step, whose output may be None.

        Raises:
            SagaDefinitionError: The step has a condition already, or the function cannot be one.
            TypeValidationError: The function does not take the step's input.

        Example::

            insured = insure.when(lambda order: order.value > 100)(order)        # StepRef[Policy | None]
        """
        if self._parts.when is not None:
            raise SagaDefinitionError(f"{self!r} has a condition already", hint="put both into one, with `and`")
        check_condition(self._parts.name, condition, self._parts.given_type)
        return Step(msgspec.structs.replace(self._parts, when=condition))

    def each(self, *, concurrency: int) -> Step[Sequence[I], list[O]]:
        """Do the step once for each item of a list, at most 200 items per saga.

        Each item has its own attempts, idempotency key and compensation, by this step's options. Its id is the step's with the
        item's number, as in `charge[3]`. If one item has failed for good, those that are done are undone.

        Args:
            concurrency: How many items run at once, 1 or more.

        Returns:
            Another step, whose output is the list of outputs in the items' order.

        Raises:
            SagaDefinitionError: The step is done for each item already, has a condition, or `concurrency` is out of its range.

        Example::

            payments = charge.each(concurrency=3)(bills)        # StepRef[list[Bill]] gives StepRef[list[Payment]]
        """
        if self._parts.concurrency:
            raise SagaDefinitionError(f"{self!r} is done for each item already", hint="flatten the list of lists first")
        if self._parts.when is not None:
            raise SagaDefinitionError(
                f"{self!r} has a condition, which would be asked of the whole list",
                hint=f"leave items out in `using` / `input_map`, or write {self._parts.name}.each(...).when(...)",
            )
        if not _is_count(concurrency):
            raise SagaDefinitionError(
                f"concurrency must be a whole number of 1 or more, not {shown(concurrency)}",
                hint="it says how many items run at once: 1 does one after another",
            )
        return Step(msgspec.structs.replace(self._parts, concurrency=min(concurrency, ITEM_LIMIT)))

    @overload
    def __call__(self, ref: StepRef[I], /, *, after: AnyRefs = ..., **options: Unpack[StepOptions]) -> StepRef[O]: ...
    @overload
    def __call__(
        self, a: StepRef[A], /, *, using: Callable[[A], I], after: AnyRefs = ..., **options: Unpack[StepOptions]
    ) -> StepRef[O]: ...
    @overload
    def __call__(
        self,
        a: StepRef[A],
        b: StepRef[B],
        /,
        *,
        using: Callable[[A, B], I],
        after: AnyRefs = ...,
        **options: Unpack[StepOptions],
    ) -> StepRef[O]: ...
    @overload
    def __call__(
        self,
        a: StepRef[A],
        b: StepRef[B],
        c: StepRef[C],
        /,
        *,
        using: Callable[[A, B, C], I],
        after: AnyRefs = ...,
        **options: Unpack[StepOptions],
    ) -> StepRef[O]: ...
    @overload
    def __call__(
        self,
        a: StepRef[A],
        b: StepRef[B],
        c: StepRef[C],
        d: StepRef[E],
        /,
        *,
        using: Callable[[A, B, C, E], I],
        after: AnyRefs = ...,
        **options: Unpack[StepOptions],
    ) -> StepRef[O]: ...
    @overload
    def __call__(
        self,
        a: StepRef[A],
        b: StepRef[B],
        c: StepRef[C],
        d: StepRef[E],
        e: StepRef[F],
        /,
        *,
        using: Callable[[A, B, C, E, F], I],
        after: AnyRefs = ...,
        **options: Unpack[StepOptions],
    ) -> StepRef[O]: ...
    def __call__(
        self,
        *refs: AnyRef,
        using: Callable[..., I] | None = None,
        after: AnyRefs = (),
        **options: Unpack[StepOptions],
    ) -> StepRef[O]:
        """Wire the step into the saga that is being traced.

        Args:
            refs: The references whose values make the input. The type checkers follow up to five; put more together in a step.
            using: A function that makes the input of the values of `refs`. Default: None, one value is the input.
            after: Steps to wait for without taking their output, for `order="graph"`. Default: none.
            options: The options of `StepOptions`, which win over those of the step. Default: those of the step.

        Returns:
            The reference to the step's output.

        Raises:
            SagaDefinitionError: It is called outside of a `@saga`, or with another value than a reference.
            TypeValidationError: The types do not fit.
        """
        for ref in refs:
            if not isinstance(ref, StepRef):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
                raise no_ref(
                    f"{self!r} was called with {a_type_of(ref)}, which is not a StepRef",
                    ref,
                    f"inside a @saga pass refs, one by one; to call the step alone: await {self._parts.name}.execute(value)",
                )
        builder = current_builder(f"{self!r} was called")
        # The overloads above have checked what the builder takes untyped.
        return cast("StepRef[O]", builder.wire(self, refs, using, after, options))


def parts_of(given: AnyStep) -> StepParts:
    """Give the parts of any step. Raises SagaDefinitionError for what is not one."""
    if isinstance(given, Step):
        return given._parts  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the same module
    return parts_of_object(given)


def _is_count(value: object) -> bool:
    return is_whole(value) and value >= 1


def _alone(name: str, direction: str) -> StepContext:
    """The context of a step that is called outside any saga."""
    return StepContext(
        saga_id=UUID(int=0),
        saga_name="",
        step_id=name,
        attempt=1,
        idempotency_key=f"alone:{name}:{direction}",
        trace_id="",
        deadline=None,
    )
