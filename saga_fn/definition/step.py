"""Steps: an async function or a class, pinned to its input and output types before it is wired into a saga."""

from __future__ import annotations

import abc
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeAlias, TypedDict, TypeVar, cast, final, overload
from uuid import UUID

import attrs
from returns.result import Result
from typing_extensions import Unpack, override

from saga_fn.codec import PayloadType
from saga_fn.definition.refs import StepContext, StepRef
from saga_fn.definition.retry import RetryPolicy
from saga_fn.definition.signature import name_of, output_type, payload_type, read_signature, type_arguments
from saga_fn.errors import SagaDefinitionError, TypeValidationError

I = TypeVar("I")  # noqa: E741 - input and output, the names the docs use throughout
O = TypeVar("O")  # noqa: E741
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
E = TypeVar("E")
F = TypeVar("F")


class StepOptions(TypedDict, total=False):
    """What can be set on a step, and again where it is wired: the wiring wins."""

    step_id: str
    """The step's name in its saga; by default the function's or class's name in snake_case."""
    timeout: timedelta | None
    """How long one attempt may take; None (the default) sets no limit."""
    retry_policy: RetryPolicy
    """How often to attempt it; by default once."""
    compensation_retry_policy: RetryPolicy
    """How often to attempt its compensation; by default 10 times, with growing delays of at most a minute."""
    compensation_timeout: timedelta | None
    """How long one attempt of its compensation may take; by default the step's `timeout`."""


_OPTIONS = frozenset(StepOptions.__annotations__)


class StepBase(Generic[I, O]):
    """Whatever can be wired as a step of input I and output O."""

    _pin: Callable[[I, O], tuple[I, O]]  # declared, never set: invariance


class BaseStep(StepBase[I, O], abc.ABC):
    """A step as a class, for steps with state of their own. Override `compensate` if it can be undone.

    Example::

        class Reserve(BaseStep[ReserveInput, Reservation]):
            async def execute(self, inp: ReserveInput) -> Reservation: ...
            async def compensate(self, inp: ReserveInput, out: Reservation) -> None: ...
    """

    @abc.abstractmethod
    async def execute(self, inp: I, /) -> O | Result[O, object]:
        """Do it. May be called again after a crash or a failure: make it idempotent.

        Raise if it failed, for another attempt; return `returns.result.Failure` if it was refused and has not been done.
        """

    async def compensate(self, inp: I, out: O, /) -> None:
        """Undo it. A step that does not override this needs no undoing: a rollback passes over it."""


class ContextStep(StepBase[I, O], abc.ABC):
    """A step as a class that wants the StepContext."""

    @abc.abstractmethod
    async def execute(self, inp: I, ctx: StepContext, /) -> O | Result[O, object]:
        """Do it; `ctx.idempotency_key` is the same over every repeat."""

    async def compensate(self, inp: I, out: O, ctx: StepContext, /) -> None:
        """Undo it. A step that does not override this needs no undoing: a rollback passes over it."""


Do: TypeAlias = (
    Callable[[I], Awaitable[O | Result[O, object]]] | Callable[[I, StepContext], Awaitable[O | Result[O, object]]]
)
Undo: TypeAlias = Callable[[I, O], Awaitable[None]] | Callable[[I, O, StepContext], Awaitable[None]]


@attrs.frozen
class StepParts:
    """What a step is made of, whatever its spelling."""

    name: str
    input_type: PayloadType[Any]  # Any: steps of all types
    output_type: PayloadType[Any]  # Any: as above
    execute: Callable[[Any, StepContext], Awaitable[object]]  # Any: as above
    compensate: Callable[[Any, Any, StepContext], Awaitable[None]] | None  # Any: as above
    options: StepOptions


@final
class Step(StepBase[I, O]):
    """A step made of an async function by `step`. Wire it with `SagaBuilder.add_step`, or call it in a `@saga`."""

    def __init__(self, parts: StepParts, call: Callable[[I], Awaitable[O | Result[O, object]]]) -> None:
        self._parts = parts
        self._call = call

    @override
    def __repr__(self) -> str:
        return f"<step {self._parts.name}>"

    async def execute(self, inp: I, /) -> O | Result[O, object]:
        """Call the step alone, outside any saga; for tests of one's own."""
        return await self._call(inp)

    @overload
    def __call__(self, ref: StepRef[I], /, **options: Unpack[StepOptions]) -> StepRef[O]: ...
    @overload
    def __call__(self, a: StepRef[A], /, *, using: Callable[[A], I], **options: Unpack[StepOptions]) -> StepRef[O]: ...
    @overload
    def __call__(
        self, a: StepRef[A], b: StepRef[B], /, *, using: Callable[[A, B], I], **options: Unpack[StepOptions]
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
        **options: Unpack[StepOptions],
    ) -> StepRef[O]: ...
    def __call__(
        self,
        *refs: StepRef[Any],  # Any: the overloads tell them apart
        using: Callable[..., I] | None = None,
        **options: Unpack[StepOptions],
    ) -> StepRef[O]:
        """Wire the step into the saga that is being traced."""
        from saga_fn.definition.saga import current_builder

        for ref in refs:
            if not isinstance(ref, StepRef):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
                raise SagaDefinitionError(
                    f"{self!r} was called with {ref!r:.80}, which is not a StepRef",
                    hint=f"inside a @saga pass refs; to call the step alone: await {self._parts.name}.execute(value)",
                )
        builder = current_builder(f"{self!r} was called")
        # The overloads above have checked what the builder takes untyped.
        return cast("StepRef[O]", builder.wire(self, refs, using, options))


class _StepDecorator(Protocol):
    @overload
    def __call__(self, fn: Callable[[I], Awaitable[Result[O, object]]], /) -> Step[I, O]: ...
    @overload
    def __call__(self, fn: Callable[[I, StepContext], Awaitable[Result[O, object]]], /) -> Step[I, O]: ...
    @overload
    def __call__(self, fn: Callable[[I], Awaitable[O]], /) -> Step[I, O]: ...
    @overload
    def __call__(self, fn: Callable[[I, StepContext], Awaitable[O]], /) -> Step[I, O]: ...


@overload
def step(fn: Do[I, O], /, *, compensate: Undo[I, O], **options: Unpack[StepOptions]) -> Step[I, O]: ...
@overload
def step(fn: Callable[[I], Awaitable[Result[O, object]]], /, **options: Unpack[StepOptions]) -> Step[I, O]: ...
@overload
def step(
    fn: Callable[[I, StepContext], Awaitable[Result[O, object]]], /, **options: Unpack[StepOptions]
) -> Step[I, O]: ...
@overload
def step(fn: Callable[[I], Awaitable[O]], /, **options: Unpack[StepOptions]) -> Step[I, O]: ...
@overload
def step(fn: Callable[[I, StepContext], Awaitable[O]], /, **options: Unpack[StepOptions]) -> Step[I, O]: ...
@overload
def step(fn: BaseStep[I, O] | ContextStep[I, O], /, **options: Unpack[StepOptions]) -> Step[I, O]: ...
@overload
def step(*, compensate: Undo[I, O], **options: Unpack[StepOptions]) -> Callable[[Do[I, O]], Step[I, O]]: ...
@overload
def step(**options: Unpack[StepOptions]) -> _StepDecorator: ...
def step(fn: Any = None, /, *, compensate: Any = None, **options: Unpack[StepOptions]) -> Any:  # Any: see the overloads
    """Make a step of an async function (or bound method, or step object), with or without a compensation.

    The function takes its input, and a StepContext if its second parameter is annotated so. Raises SagaDefinitionError
    or TypeValidationError, when the step is made, for whatever could not be run.

    Example::

        @step(compensate=release)
        async def reserve(inp: ReserveInput) -> Reservation: ...

        charge = step(payments.charge, compensate=payments.refund, timeout=timedelta(seconds=10))
    """
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise SagaDefinitionError(
            f"unknown step option {', '.join(unknown)}", hint=f"options are compensate, {', '.join(sorted(_OPTIONS))}"
        )

    def make(given: Any) -> Step[Any, Any]:  # Any: see the overloads
        if isinstance(given, StepBase):
            if compensate is not None:
                raise SagaDefinitionError("a step object brings its own compensation", hint="leave compensate= out")
            runs = cast("Any", given)  # parts_of makes sure that it is one of the classes with `execute`
            parts = parts_of(runs)
            return Step(attrs.evolve(parts, options=cast("StepOptions", {**parts.options, **options})), runs.execute)
        return _from_function(given, compensate, options)

    return make if fn is None else make(fn)


def _from_function(fn: Any, compensate: Any, options: StepOptions) -> Step[Any, Any]:  # Any: see `step`
    name = name_of(fn).rpartition(".")[2]
    if name == "<lambda>":
        raise SagaDefinitionError("a lambda cannot be a step", hint="write an async function")
    parts = _parts(name, fn, compensate, options)

    async def call(inp: object) -> object:
        return await parts.execute(inp, _alone(parts.name))

    return Step(parts, call)


def _parts(name: str, fn: Any, compensate: Any, options: StepOptions) -> StepParts:  # Any: see `step`
    does = read_signature(fn, values=1, what="step")
    gives = output_type(does.gives)
    undo = None
    if compensate is not None:
        undoes = read_signature(compensate, values=2, what="compensation")
        if undoes.takes != (does.takes[0], gives) and not _wider(undoes.takes, (does.takes[0], gives)):
            raise TypeValidationError(
                f"compensation {name_of(compensate)} takes {_names(undoes.takes)}, "
                f"but step {name} has {_names((does.takes[0], gives))}",
                hint="a compensation takes exactly the step's input and its output",
            )
        undo = compensate if undoes.wants_context else _without_context(compensate, 2)
    return StepParts(
        name=_snake(name),
        input_type=payload_type(does.takes[0], f"the input of step {name}"),
        output_type=payload_type(gives, f"the output of step {name}"),
        execute=fn if does.wants_context else _without_context(fn, 1),
        compensate=undo,
        options=options,
    )


def parts_of(given: StepBase[Any, Any]) -> StepParts:  # Any: steps of all types
    """What any step is made of. Raises SagaDefinitionError for what is not one."""
    if isinstance(given, Step):
        return given._parts  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the same module
    if not isinstance(given, BaseStep | ContextStep):
        raise SagaDefinitionError(
            f"{given!r:.80} is not a step",
            hint="wrap a function with step(...), and give a step object, not its class",
        )
    cls = type(given)
    base = BaseStep if isinstance(given, BaseStep) else ContextStep
    types = type_arguments(cls, base)
    if len(types) != 2:  # noqa: PLR2004 - input and output
        raise TypeValidationError(
            f"{cls.__name__} does not say its input and output types", hint=f"class {cls.__name__}(BaseStep[In, Out])"
        )
    overrides = getattr(cls, "compensate") is not getattr(base, "compensate")  # noqa: B009 - either shape
    undo: Any = given.compensate if overrides else None  # Any: either shape
    execute: Any = given.execute  # Any: either shape
    wants = isinstance(given, ContextStep)
    return StepParts(
        name=_snake(cls.__name__),
        input_type=payload_type(types[0], f"the input of step {cls.__name__}"),
        output_type=payload_type(output_type(types[1]), f"the output of step {cls.__name__}"),
        execute=execute if wants else _without_context(execute, 1),
        compensate=None if undo is None else (undo if wants else _without_context(undo, 2)),
        options={},
    )


def _without_context(fn: Callable[..., Any], values: int) -> Callable[..., Awaitable[Any]]:  # Any: see `step`
    def call(*given: object) -> Awaitable[Any]:  # Any: see `step`
        return cast("Awaitable[Any]", fn(*given[:values]))  # read_signature has made sure that it is async

    return call


def _wider(takes: tuple[object, ...], given: tuple[object, ...]) -> bool:
    """Whether each parameter is a base class of what it is given, or says nothing."""
    return all(
        take is Any
        or take is object
        or take == gave
        or (isinstance(take, type) and isinstance(gave, type) and issubclass(gave, take))
        for take, gave in zip(takes, given, strict=True)
    )


def _names(types: tuple[object, ...]) -> str:
    return ", ".join(getattr(tp, "__name__", str(tp)) for tp in types)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _alone(name: str) -> StepContext:
    """The context of a step that is called outside any saga."""
    return StepContext(
        saga_id=UUID(int=0),
        saga_name="",
        step_id=name,
        attempt=1,
        idempotency_key=f"alone:{name}",
        trace_id="",
        deadline=None,
    )
