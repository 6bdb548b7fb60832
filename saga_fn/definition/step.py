"""Steps: an async function or a class, pinned to its input and output types before it is wired into a saga."""

from __future__ import annotations

import abc
import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypedDict, TypeVar, cast, final, overload
from uuid import UUID

import attrs
from returns.result import Result
from typing_extensions import Unpack, override

from saga_fn.codec import PayloadType
from saga_fn.core.items import ITEM_LIMIT
from saga_fn.definition.doubt import Done, NotDone, Settling, check_probe, check_way, way_of
from saga_fn.definition.event import Event, Expected, WaitFor, refuse_wait, refuse_waiting
from saga_fn.definition.failing import (
    ErrorTypes,
    Returned,
    check_errors,
    error_types,
    errors_of_method,
    returned_errors,
)
from saga_fn.definition.refs import StepContext, StepRef
from saga_fn.definition.retry import RetryPolicy, checked_policy, seconds_of
from saga_fn.definition.signature import (
    fits,
    hints_of,
    name_of,
    output_type,
    payload_type,
    read_signature,
    takes,
    type_arguments,
)
from saga_fn.errors import SagaDefinitionError, TypeValidationError

I = TypeVar("I")  # noqa: E741 - input and output, the names the docs use throughout
O = TypeVar("O")  # noqa: E741
M = TypeVar("M")
I_co = TypeVar("I_co", covariant=True)
M_co = TypeVar("M_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
E = TypeVar("E")
F = TypeVar("F")


class CommonOptions(TypedDict, total=False):
    """What can be set on a step, and again where it is wired: the wiring wins. Beside it, see `StepOptions`."""

    step_id: str
    """The step's name in its saga; by default the function's or class's name in snake_case."""
    timeout: timedelta | None
    """How long one attempt may take; None (the default) sets no limit."""
    retry_policy: RetryPolicy
    """How often to attempt it; by default once."""
    compensation_retry_policy: RetryPolicy
    """How often to attempt its compensation; by default 10 times, with growing delays of at most a minute."""
    compensation_waits_for: Expected[object]
    """The event that its compensation may wait for, by returning `WaitFor(event)`."""
    compensation_timeout: timedelta | None
    """How long one attempt of its compensation may take; by default the step's `timeout`."""
    pivot: bool
    """Whether it is the point of no return: before it a failure is undone, after it the saga only goes forward."""
    retry_on: ErrorTypes
    """The exceptions after which it is tried again; any other ends its attempts. By default, whatever it raises."""
    give_up_on: ErrorTypes
    """The exceptions that are business errors, as a returned Failure is: it has not been done, and is not tried again."""
    probe_retry_policy: RetryPolicy
    """How often to ask its probe; by default as often as its compensation is attempted."""
    probe_timeout: timedelta | None
    """How long its probe may take; by default the step's `timeout`."""


class StepOptions(CommonOptions, total=False):
    """What can be set on a step, and again where it is wired: the wiring wins."""

    on_unknown: Settling
    """What to do when it may have run: `repeat` it (the default), or `park` it for a person.

    On the step itself there is also `undo`, or a `probe` that finds out: see `step`.
    """


_OPTIONS = frozenset(StepOptions.__annotations__)


def check_options(options: StepOptions) -> None:
    """Raise SagaDefinitionError for an option that there is not, or whose value cannot be."""
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise SagaDefinitionError(
            f"unknown step option {', '.join(unknown)}", hint=f"options are {', '.join(sorted(_OPTIONS))}"
        )
    for name, value in options.items():
        if name in ("timeout", "compensation_timeout", "probe_timeout"):
            seconds_of(name, value)
        elif name == "compensation_waits_for":
            if not isinstance(value, Event):
                raise SagaDefinitionError(
                    f"compensation_waits_for must be an Event, not {value!r:.80}", hint='Event("refunded", Refund)'
                )
        elif name == "pivot":
            if not isinstance(value, bool):
                raise SagaDefinitionError(f"pivot must be True or False, not {value!r:.80}")
        elif name == "on_unknown":
            check_way(value)
        elif name in ("retry_on", "give_up_on"):
            error_types(name, value)
        elif name != "step_id":
            checked_policy(name, value)
    check_errors(options)


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

    async def compensate(self, inp: I, out: O, /) -> WaitFor | None:
        """Undo it. A step that does not override this needs no undoing: a rollback passes over it."""

    async def probe(self, inp: I, /) -> Done[O] | NotDone:
        """Find out whether it has run. Without this it is repeated when it may have."""
        raise NotImplementedError


class ContextStep(StepBase[I, O], abc.ABC):
    """A step as a class that wants the StepContext."""

    @abc.abstractmethod
    async def execute(self, inp: I, ctx: StepContext, /) -> O | Result[O, object]:
        """Do it; `ctx.idempotency_key` is the same over every repeat."""

    async def compensate(self, inp: I, out: O, ctx: StepContext, /) -> WaitFor | None:
        """Undo it. A step that does not override this needs no undoing: a rollback passes over it."""

    async def probe(self, inp: I, ctx: StepContext, /) -> Done[O] | NotDone:
        """Find out whether it has run; `ctx.idempotency_key` is that of the execution in question."""
        raise NotImplementedError


Do: TypeAlias = (
    Callable[[I], Awaitable[O | Result[O, object]]] | Callable[[I, StepContext], Awaitable[O | Result[O, object]]]
)
AnyRefs: TypeAlias = StepRef[object] | tuple[StepRef[object], ...]
Undo: TypeAlias = Callable[[I, O], Awaitable[WaitFor | None]] | Callable[[I, O, StepContext], Awaitable[WaitFor | None]]
UndoInDoubt: TypeAlias = (
    Callable[[I, O | None], Awaitable[WaitFor | None]] | Callable[[I, O | None, StepContext], Awaitable[WaitFor | None]]
)
"""A compensation that can do without an output: the step may have run, or not."""
Probe: TypeAlias = (
    Callable[[I], Awaitable[Done[O] | NotDone]] | Callable[[I, StepContext], Awaitable[Done[O] | NotDone]]
)


@attrs.frozen
class StepParts:
    """What a step is made of, whatever its spelling."""

    name: str
    input_type: PayloadType[Any]  # Any: steps of all types
    output_type: PayloadType[Any]  # Any: as above
    execute: Callable[[Any, StepContext], Awaitable[object]]  # Any: as above
    compensate: Callable[[Any, Any, StepContext], Awaitable[WaitFor | None]] | None  # Any: as above
    options: StepOptions
    when: Callable[[Any], object] | None = None  # Any: as above
    errors: Returned | None = None
    """The business errors that it returns in a Failure."""
    probe: Callable[[Any, StepContext], Awaitable[object]] | None = None  # Any: as above
    undo_takes: object = None
    """What its compensation takes for the output; None without one."""
    width: int = 0
    """For a fan-out, whose types are those of one item: how many items run at once. 0: it is none."""

    @property
    def taken_type(self) -> object:
        """What the step as a whole is given."""
        if not self.width:
            return self.input_type.tp
        sequence: Any = Sequence  # Any: subscribed with a type that is known at run time only
        return sequence[self.input_type.tp]

    @property
    def result_type(self) -> PayloadType[Any]:  # Any: as above
        """What those that follow the step are given."""
        whole: Any = list  # Any: as in `taken_type`
        whole = whole[self.output_type.tp] if self.width else self.output_type.tp
        return PayloadType.of(whole if self.when is None else whole | None)


@final
class Step(StepBase[I, O]):
    """A step made of an async function by `step`. Wire it with `SagaBuilder.add_step`, or call it in a `@saga`."""

    def __init__(self, parts: StepParts) -> None:
        self._parts = parts

    @override
    def __repr__(self) -> str:
        return f"<step {self._parts.name}>"

    async def execute(self, inp: I, /) -> O:
        """Call the step alone, outside any saga; for tests of one's own.

        A Result is unwrapped: for a Failure this raises returns' UnwrapFailedError, which holds it. None where its
        condition does not hold.
        """
        if self._parts.when is not None and not holds(self._parts.name, self._parts.when, inp):
            return cast("O", None)  # `when` has made the O one that may be None
        if self._parts.width:
            one = Step[Any, Any](attrs.evolve(self._parts, width=0, when=None))
            return cast(
                "O", [await one.execute(item) for item in cast("Sequence[Any]", inp)]
            )  # `each` has made them so
        returned = await self._parts.execute(inp, _alone(self._parts.name, "execute"))
        # `step` saw the function's annotation: it gives an O, or a Result of one.
        return cast("O", returned.unwrap() if isinstance(returned, Result) else returned)

    async def compensate(self, inp: I, out: O, /) -> None:
        """Call the compensation alone; without one, nothing happens."""
        if self._parts.compensate is None or (self._parts.when is not None and out is None):
            return
        if self._parts.width:
            pairs = zip(cast("Sequence[Any]", inp), cast("list[Any]", out), strict=True)  # `each` has made them so
            for given, made in reversed(list(pairs)):
                await self._parts.compensate(given, made, _alone(self._parts.name, "compensate"))
        else:
            await self._parts.compensate(inp, out, _alone(self._parts.name, "compensate"))

    def when(self, condition: Callable[[I], bool], /) -> Step[I, O | None]:
        """The step, taken only if its input meets the condition; else it is SKIPPED, and what follows it is given None.

        The condition must be pure, as `using` and `input_map` are: it is asked again after a crash. A step that was not
        taken is never compensated.

        Example::

            insured = insure.when(lambda order: order.value > 100)(order)        # StepRef[Policy | None]
        """
        if self._parts.when is not None:
            raise SagaDefinitionError(f"{self!r} has a condition already", hint="put both into one, with `and`")
        check_condition(self._parts.name, condition)
        return Step(attrs.evolve(self._parts, when=condition))

    def each(self, *, concurrency: int) -> Step[Sequence[I], list[O]]:
        """The step, done once for each item of a list (at most 200 a saga), at most `concurrency` of them at once.

        Each item has its own attempts, idempotency key and compensation, by this step's options; its id is the step's with
        the item's number, as in `charge[3]`. The outputs come as a list in the items' order. Where one item has failed
        for good, those that are done are undone. Only steps can be: wait once, for an event that tells of all items.

        Example::

            payments = charge.each(concurrency=3)(bills)        # StepRef[list[Bill]] gives StepRef[list[Payment]]
        """
        if self._parts.width:
            raise SagaDefinitionError(f"{self!r} is done for each item already", hint="flatten the list of lists first")
        if self._parts.when is not None:
            raise SagaDefinitionError(
                f"{self!r} has a condition, which would be asked of the whole list",
                hint=f"leave items out in `using` / `input_map`, or write {self._parts.name}.each(...).when(...)",
            )
        if not _is_count(concurrency):
            raise SagaDefinitionError(
                f"concurrency must be a whole number of 1 or more, not {concurrency!r:.100}",
                hint="it says how many items run at once: 1 does one after another",
            )
        return Step(attrs.evolve(self._parts, width=min(concurrency, ITEM_LIMIT)))

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
        *refs: StepRef[Any],  # Any: the overloads tell them apart
        using: Callable[..., I] | None = None,
        after: AnyRefs = (),
        **options: Unpack[StepOptions],
    ) -> StepRef[O]:
        """Wire the step into the saga that is being traced, with what `using` makes of the refs' values as its input.

        `after` names steps to wait for without taking their output, for `order="graph"`.
        """
        from saga_fn.definition.saga import current_builder

        for ref in refs:
            if not isinstance(ref, StepRef):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
                raise SagaDefinitionError(
                    f"{self!r} was called with {ref!r:.80}, which is not a StepRef",
                    hint=f"inside a @saga pass refs; to call the step alone: await {self._parts.name}.execute(value)",
                )
        builder = current_builder(f"{self!r} was called")
        # The overloads above have checked what the builder takes untyped.
        return cast("StepRef[O]", builder.wire(self, refs, using, after, options))


class _StepDecorator(Protocol):
    @overload
    def __call__(self, fn: Callable[[I], Awaitable[Result[O, object]]], /) -> Step[I, O]: ...
    @overload
    def __call__(self, fn: Callable[[I, StepContext], Awaitable[Result[O, object]]], /) -> Step[I, O]: ...
    @overload
    def __call__(self, fn: Callable[[I], Awaitable[O]], /) -> Step[I, O]: ...
    @overload
    def __call__(self, fn: Callable[[I, StepContext], Awaitable[O]], /) -> Step[I, O]: ...


class _InDoubt(Protocol[I_co, M_co]):
    """Makes a step of a function whose compensation is given an M: it has to be the output, or None."""

    def __call__(self: _InDoubt[I, O | None], fn: Do[I, O], /) -> Step[I, O]: ...


@overload
def step(
    fn: Do[I, O],
    /,
    *,
    compensate: UndoInDoubt[I, O],
    on_unknown: Literal["undo"],
    **options: Unpack[CommonOptions],
) -> Step[I, O]: ...
@overload
def step(
    fn: Do[I, O], /, *, compensate: Undo[I, O], probe: Probe[I, O] = ..., **options: Unpack[StepOptions]
) -> Step[I, O]: ...
@overload
def step(fn: Do[I, O], /, *, probe: Probe[I, O], **options: Unpack[StepOptions]) -> Step[I, O]: ...
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
def step(
    fn: BaseStep[I, O] | ContextStep[I, O], /, *, on_unknown: Literal["undo"], **options: Unpack[CommonOptions]
) -> Step[I, O]: ...
@overload
def step(fn: BaseStep[I, O] | ContextStep[I, O], /, **options: Unpack[StepOptions]) -> Step[I, O]: ...
@overload
def step(
    *,
    compensate: Callable[[I, M], Awaitable[None]] | Callable[[I, M, StepContext], Awaitable[None]],
    on_unknown: Literal["undo"],
    **options: Unpack[CommonOptions],
) -> _InDoubt[I, M]: ...
@overload
def step(
    *, compensate: Undo[I, O], probe: Probe[I, O] = ..., **options: Unpack[StepOptions]
) -> Callable[[Do[I, O]], Step[I, O]]: ...
@overload
def step(*, probe: Probe[I, O], **options: Unpack[StepOptions]) -> Callable[[Do[I, O]], Step[I, O]]: ...
@overload
def step(**options: Unpack[StepOptions]) -> _StepDecorator: ...
def step(
    fn: Any = None,  # Any: see the overloads
    /,
    *,
    compensate: Any = None,  # Any: as above
    probe: Any = None,  # Any: as above
    **options: Any,  # Any: as above
) -> Any:  # Any: as above
    """Make a step of an async function (or bound method, or step object), with or without a compensation.

    A step that was cut short (by its timeout, a crash, a lost lease) may have run. `on_unknown` says what then: `repeat`
    it, `undo` it by a compensation that is given None for the output, `park` it. A `probe` finds out instead: it returns
    `Done(output)` or `NOT_DONE`, is asked again if it raises, and may take a StepContext, with the step's own key in it.

    The function takes its input, and a StepContext if its second parameter is annotated so. Raises SagaDefinitionError
    or TypeValidationError, when the step is made, for whatever could not be run.

    Example::

        @step(compensate=release)
        async def reserve(inp: ReserveInput) -> Reservation: ...

        charge = step(payments.charge, compensate=payments.refund, timeout=timedelta(seconds=10))
    """
    chosen = cast("StepOptions", options)  # judged right here
    check_options(chosen)

    def make(given: Any) -> Step[Any, Any]:  # Any: see the overloads
        if isinstance(given, StepBase):
            if probe is not None:
                raise SagaDefinitionError("a step object brings its own probe", hint="leave probe= out, override probe")
            if compensate is not None:
                raise SagaDefinitionError("a step object brings its own compensation", hint="leave compensate= out")
            whole = cast("Any", given)  # isinstance cannot see the type arguments
            parts = parts_of(whole)
            return _checked(attrs.evolve(parts, options=cast("StepOptions", {**parts.options, **chosen})))
        return _from_function(given, compensate, probe, chosen)

    return make if fn is None else make(fn)


def _checked(parts: StepParts) -> Step[Any, Any]:  # Any: steps of all types
    """The step; refused if it cannot do what it says about unknown outcomes."""
    way_of(parts.name, parts.options.get("on_unknown"), probes=parts.probe is not None, undo_takes=parts.undo_takes)
    return Step(parts)


def _from_function(fn: Any, compensate: Any, probe: Any, options: StepOptions) -> Step[Any, Any]:  # Any: see `step`
    refuse_wait(fn)
    name = name_of(fn).rpartition(".")[2]
    if name == "<lambda>":
        raise SagaDefinitionError("a lambda cannot be a step", hint="write an async function")
    if probe is not None and "on_unknown" in options:
        raise SagaDefinitionError(
            f"step {name} has a probe and on_unknown={options['on_unknown']!r}",
            hint="a probe is what is to be done when it may have run: leave on_unknown out",
        )
    return _checked(_parts(name, fn, compensate, probe, options))


def _parts(name: str, fn: Any, compensate: Any, probe: Any, options: StepOptions) -> StepParts:  # Any: see `step`
    does = read_signature(fn, values=1, what="step")
    gives = output_type(does.gives)
    undo, undo_takes = None, None
    if compensate is not None:
        undoes = read_signature(compensate, values=2, what="compensation")
        if not (fits(does.takes[0], undoes.takes[0]) and fits(gives, undoes.takes[1])):
            raise TypeValidationError(
                f"compensation {name_of(compensate)} takes {_names(undoes.takes)}, "
                f"but step {name} has {_names((does.takes[0], gives))}",
                hint="a compensation takes exactly the step's input and its output",
            )
        undo = compensate if undoes.wants_context else WithoutContext(compensate, 2)
        undo_takes = undoes.takes[1]
    asks = None
    if probe is not None:
        probes = read_signature(probe, values=1, what="probe")
        check_probe(name, probe, probes, takes=does.takes[0], gives=gives)
        asks = probe if probes.wants_context else WithoutContext(probe, 1)
    return StepParts(
        name=_snake(name),
        input_type=payload_type(does.takes[0], f"the input of step {name}"),
        output_type=_output(name, gives),
        execute=fn if does.wants_context else WithoutContext(fn, 1),
        compensate=undo,
        options=options,
        errors=returned_errors(does.gives),
        probe=asks,
        undo_takes=undo_takes,
    )


def parts_of(given: StepBase[Any, Any]) -> StepParts:  # Any: steps of all types
    """What any step is made of. Raises SagaDefinitionError for what is not one."""
    if isinstance(given, Step):
        return given._parts  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the same module
    refuse_wait(given)
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
    asks: Any = given.probe if getattr(cls, "probe") is not getattr(base, "probe") else None  # noqa: B009  # Any: as above
    for name, method, values in (("execute", execute, 1), ("compensate", undo, 2), ("probe", asks, 1)):
        if method is not None:
            _check_method(f"{cls.__name__}.{name}", method, values + wants)
    return StepParts(
        name=_snake(cls.__name__),
        input_type=payload_type(types[0], f"the input of step {cls.__name__}"),
        output_type=_output(cls.__name__, output_type(types[1])),
        execute=execute if wants else WithoutContext(execute, 1),
        compensate=None if undo is None else (undo if wants else WithoutContext(undo, 2)),
        options={},
        errors=errors_of_method(execute),
        probe=None if asks is None else (asks if wants else WithoutContext(asks, 1)),
        undo_takes=None if undo is None else _undo_takes(undo),
    )


def _output(name: str, gives: object) -> PayloadType[Any]:  # Any: found at run time
    refuse_waiting(name, gives)
    return payload_type(gives, f"the output of step {name}")


def check_condition(name: str, condition: object) -> None:
    """Raise SagaDefinitionError for what cannot be asked whether a step is to be taken."""
    if inspect.iscoroutinefunction(condition):
        raise SagaDefinitionError(
            f"the condition of step {name!r} is async", hint="make it a plain function of the step's input"
        )
    if not takes(condition, 1):
        raise SagaDefinitionError(
            f"the condition of step {name!r} cannot be called with the step's input, and nothing else",
            hint=f"write {name}.when(lambda inp: ...), which says True or False",
        )


def holds(name: str, condition: Callable[[Any], object], value: object) -> bool:  # Any: steps of all types
    """Whether the condition holds for that input; raises SagaDefinitionError if it does not say True or False."""
    answer = condition(value)
    if not isinstance(answer, bool):
        raise SagaDefinitionError(
            f"the condition of step {name!r} returned a {type(answer).__name__}, which is not a bool",
            hint="make it say True or False, as in .when(lambda inp: bool(inp.items))",
        )
    return answer


def _undo_takes(compensate: Callable[..., object]) -> object:
    """What a compensation's second parameter says it takes; the step's output where that cannot be told."""
    second = list(inspect.signature(compensate).parameters)[1]
    try:
        return hints_of(compensate).get(second, Any)
    except TypeValidationError:
        return Any


@final
@attrs.frozen(eq=False)
class WithoutContext:
    """A function of so many values, to be called as one that is given a StepContext, too."""

    fn: Callable[..., Awaitable[Any]]  # Any: see `step`
    values: int

    def __call__(self, *given: object) -> Awaitable[Any]:  # Any: see `step`
        """Call it without the context."""
        return self.fn(*given[: self.values])


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _names(types: tuple[object, ...]) -> str:
    return ", ".join(getattr(tp, "__name__", str(tp)) for tp in types)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _check_method(name: str, method: Callable[..., object], values: int) -> None:
    if not inspect.iscoroutinefunction(method):
        raise SagaDefinitionError(f"{name} is not async", hint="write it with `async def`")
    try:
        inspect.signature(method).bind(*[None] * values)
    except TypeError as error:
        raise SagaDefinitionError(
            f"{name} cannot be called with {values} argument(s): {error}",
            hint="execute takes the input, compensate the input and the output; a ContextStep's also the StepContext",
        ) from error


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
