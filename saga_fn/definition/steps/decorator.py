"""`step`: makes a step of an async function, or gives a step object its options."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, cast, overload

import msgspec
from returns.result import Result
from typing_extensions import Unpack

from saga_fn.definition.steps.base import BaseStep, ContextStep, StepBase, TransactionalStep
from saga_fn.definition.steps.context import StepContext, TransactionalContext
from saga_fn.definition.steps.parts import StepParts, parts_of_function
from saga_fn.definition.steps.step import Step, parts_of
from saga_fn.definition.steps.step_options import CommonOptions, StepOptions, check_options
from saga_fn.definition.steps.transactions import check_doubts
from saga_fn.definition.steps.unknown_outcome import Done, NotDone, resolve_on_unknown
from saga_fn.definition.waits.event import WaitFor
from saga_fn.errors import SagaDefinitionError, is_a, shown
from saga_fn.printable import name_of_type

I = TypeVar("I")  # noqa: E741 - input and output, the names the docs use throughout
O = TypeVar("O")  # noqa: E741
M = TypeVar("M")
I_co = TypeVar("I_co", covariant=True)
M_co = TypeVar("M_co", covariant=True)

Do: TypeAlias = (
    Callable[[I], Awaitable[O | Result[O, object]]] | Callable[[I, StepContext], Awaitable[O | Result[O, object]]]
)
DoWithin: TypeAlias = Callable[[I, TransactionalContext], Awaitable[O | Result[O, object]]]
Undo: TypeAlias = (
    Callable[[I, O], Awaitable[WaitFor | None]]
    | Callable[[I, O, StepContext], Awaitable[WaitFor | None]]
    | Callable[[I, O, TransactionalContext], Awaitable[WaitFor | None]]
)
UndoInDoubt: TypeAlias = (
    Callable[[I, O | None], Awaitable[WaitFor | None]]
    | Callable[[I, O | None, StepContext], Awaitable[WaitFor | None]]
    | Callable[[I, O | None, TransactionalContext], Awaitable[WaitFor | None]]
)
"""A compensation that can do without an output: the step may have run, or not."""
Probe: TypeAlias = (
    Callable[[I], Awaitable[Done[O] | NotDone]] | Callable[[I, StepContext], Awaitable[Done[O] | NotDone]]
)


class _StepDecorator(Protocol):
    @overload
    def __call__(self, fn: Callable[[I], Awaitable[Result[O, object]]], /) -> Step[I, O]: ...
    @overload
    def __call__(self, fn: Callable[[I, StepContext], Awaitable[Result[O, object]]], /) -> Step[I, O]: ...
    @overload
    def __call__(self, fn: Callable[[I], Awaitable[O]], /) -> Step[I, O]: ...
    @overload
    def __call__(self, fn: Callable[[I, StepContext], Awaitable[O]], /) -> Step[I, O]: ...


class _TransactionalDecorator(Protocol):
    @overload
    def __call__(self, fn: Callable[[I, TransactionalContext], Awaitable[Result[O, object]]], /) -> Step[I, O]: ...
    @overload
    def __call__(self, fn: Callable[[I, TransactionalContext], Awaitable[O]], /) -> Step[I, O]: ...


class _UndoneWithin(Protocol[I_co, M_co]):
    """Makes a transactional step of a function whose compensation is given an M: the output, or None beside it."""

    @overload
    def __call__(self: _UndoneWithin[I, O | None], fn: DoWithin[I, O], /) -> Step[I, O]: ...
    @overload
    def __call__(self: _UndoneWithin[I, O], fn: DoWithin[I, O], /) -> Step[I, O]: ...


class _InDoubt(Protocol[I_co, M_co]):
    """Makes a step of a function whose compensation is given an M: it has to be the output, or None."""

    def __call__(self: _InDoubt[I, O | None], fn: Do[I, O], /) -> Step[I, O]: ...


class _Undone(Protocol[I_co, M_co]):
    """Makes a step of a function whose compensation is given an M: the output, which may accept None beside it."""

    @overload
    def __call__(self: _Undone[I, O | None], fn: Do[I, O], /) -> Step[I, O]: ...
    @overload
    def __call__(self: _Undone[I, O], fn: Do[I, O], /) -> Step[I, O]: ...


@overload
def step(
    fn: DoWithin[I, O],
    /,
    *,
    transactional: Literal[True],
    compensate: Undo[I, O],
    **options: Unpack[CommonOptions],
) -> Step[I, O]: ...
@overload
def step(
    fn: Callable[[I, TransactionalContext], Awaitable[Result[O, object]]],
    /,
    *,
    transactional: Literal[True],
    **options: Unpack[CommonOptions],
) -> Step[I, O]: ...
@overload
def step(
    fn: Callable[[I, TransactionalContext], Awaitable[O]],
    /,
    *,
    transactional: Literal[True],
    **options: Unpack[CommonOptions],
) -> Step[I, O]: ...
@overload
def step(
    *, transactional: Literal[True], compensate: Undo[I, M], **options: Unpack[CommonOptions]
) -> _UndoneWithin[I, M]: ...
@overload
def step(*, transactional: Literal[True], **options: Unpack[CommonOptions]) -> _TransactionalDecorator: ...
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
def step(fn: TransactionalStep[I, O], /, **options: Unpack[CommonOptions]) -> Step[I, O]: ...
@overload
def step(fn: BaseStep[I, O] | ContextStep[I, O], /, **options: Unpack[StepOptions]) -> Step[I, O]: ...
@overload
def step(
    *,
    compensate: Undo[I, M],
    on_unknown: Literal["undo"],
    **options: Unpack[CommonOptions],
) -> _InDoubt[I, M]: ...
@overload
def step(*, compensate: Undo[I, M], **options: Unpack[StepOptions]) -> _Undone[I, M]: ...
@overload
def step(
    *, compensate: Undo[I, O], probe: Probe[I, O], **options: Unpack[StepOptions]
) -> Callable[[Do[I, O]], Step[I, O]]: ...
@overload
def step(*, probe: Probe[I, O], **options: Unpack[StepOptions]) -> Callable[[Do[I, O]], Step[I, O]]: ...
@overload
def step(**options: Unpack[StepOptions]) -> _StepDecorator: ...
def step(
    fn: Any = None,  # Any, here and below: see the overloads
    /,
    *,
    compensate: Any = None,
    probe: Any = None,
    transactional: bool = False,
    **options: Any,
) -> Any:
    """Make a step of an async function (or bound method, or step object), with or without a compensation.

    A step that was cut short (by its timeout, a crash, a lost lease) may have run. So may a step that raises `OutcomeUnknown`, an
    exception of `unknown_on`, or what the usual clients raise after a request may have left. Those are a TimeoutError, a
    ConnectionResetError, httpx.ReadTimeout, a status of 502 and others. `on_unknown` or `probe` say how its outcome is settled.

    In a rollback a step that may have run is undone, too, if the compensation's second parameter accepts None. The step itself must
    never return None then. Else the saga ends FAILED and names the step. With `park` a person is asked before.

    `RetryLater` says when to try again.

    A transactional step is given a TransactionalContext. It writes by `ctx.connection`, and its rows are committed together with its
    result. It touches nothing else, so an execution that was cut short has not happened: it is repeated, and never in doubt.
    An exception of another system's client that leaves its outcome open parks the step.

    Args:
        fn: The function. It takes its input, and a StepContext if its second parameter is annotated so. Default: None, then
            `step` is a decorator.
        compensate: The function that undoes the step. It takes the input and the output, and a StepContext if its third
            parameter is annotated so. Default: None, a rollback passes over the step.
        probe: The function that finds out whether the step has run: it returns `Done(output)` or `NOT_DONE`. It is asked again
            if it raises. It takes the input, and a StepContext with the step's own key. Default: None, `on_unknown` decides.
        transactional: Whether the step runs in the transaction that its result is committed in. A compensation does if its third
            parameter is annotated TransactionalContext. Default: False.
        options: `timeout`, `retry_policy`, `on_unknown`, `pivot` and the others; `StepOptions` has each with its default.
            `on_unknown="undo"` is allowed here too: a compensation undoes the step, and is given None for the output.

    Returns:
        The Step, or a decorator that gives one.

    Raises:
        SagaDefinitionError: An option or a function cannot be used so.
        TypeValidationError: The types do not fit, or cannot be stored.

    Example::

        @step(compensate=release)
        async def reserve(inp: ReserveInput) -> Reservation: ...

        charge = step(payments.charge, compensate=payments.refund, timeout=timedelta(seconds=10))
    """
    chosen = cast("StepOptions", options)  # judged right here
    check_options(chosen)
    if not is_a(transactional, bool):
        raise SagaDefinitionError(f"transactional must be True or False, not {shown(transactional)}")

    def make(given: Any) -> Step[Any, Any]:  # Any: see the overloads
        if isinstance(given, StepBase):
            whole = cast("Any", given)  # isinstance cannot see the type arguments
            name = name_of_type(whole)
            if isinstance(given, TransactionalStep):
                check_doubts(name, chosen, probes=probe is not None)
            if probe is not None:
                raise SagaDefinitionError("a step object brings its own probe", hint="leave probe= out, override probe")
            if compensate is not None:
                raise SagaDefinitionError("a step object brings its own compensation", hint="leave compensate= out")
            if transactional and not isinstance(given, TransactionalStep):
                raise SagaDefinitionError(
                    "a step object says by its class whether it is transactional",
                    hint="leave transactional= out, and make its class a TransactionalStep[In, Out]",
                )
            parts = parts_of(whole)
            return _checked(msgspec.structs.replace(parts, options=cast("StepOptions", {**parts.options, **chosen})))
        return _checked(parts_of_function(given, compensate, probe, chosen, transactional=transactional))

    return make if fn is None else make(fn)


def _checked(parts: StepParts) -> Step[Any, Any]:  # Any: steps of all types
    """The step; refused if it cannot do what it says about unknown outcomes."""
    if parts.transactional:
        check_doubts(parts.name, parts.options, probes=parts.probe is not None)
    resolve_on_unknown(
        parts.name, parts.options.get("on_unknown"), probes=parts.probe is not None, undo_takes=parts.undo_takes
    )
    return Step(parts)
