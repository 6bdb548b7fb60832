"""A saga as a function of its data flow, traced once. Sugar over `SagaBuilder`, and nothing beside it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar, cast, get_args, get_origin, overload

from saga_fn.definition.attributes import AttributeBase
from saga_fn.definition.builder import SagaBuilder
from saga_fn.definition.forgotten_steps import each_call_is_a_step, no_ref
from saga_fn.definition.outgoing import GivenHook
from saga_fn.definition.retention import Retention
from saga_fn.definition.saga_definition import SagaDefinition
from saga_fn.definition.saga_options import OnSiblings, Order
from saga_fn.definition.tracing import current_builder, tracing
from saga_fn.definition.values.annotations import fits, hints_of, name_in_messages
from saga_fn.definition.values.refs import AnyRef, AnyRefs, StepRef
from saga_fn.errors import SagaDefinitionError, TypeValidationError, shown

D = TypeVar("D")
R = TypeVar("R")
A = TypeVar("A")

_LONGEST_NAME: Final = 255
"""Characters of a saga's name."""


class _SagaDecorator(Protocol):
    @overload
    def __call__(self, fn: Callable[[StepRef[D]], StepRef[R]], /) -> SagaDefinition[D, R]: ...
    @overload
    def __call__(self, fn: Callable[[StepRef[D]], None], /) -> SagaDefinition[D, None]: ...


def saga(
    name: str,
    /,
    *,
    compensate_on_failure: bool = True,
    order: Order = "sequential",
    siblings_on_failure: OnSiblings = "await",
    deadline: timedelta | None = None,
    retention: Retention | None = None,
    attributes: Sequence[AttributeBase] = (),
    on_started: GivenHook | None = None,
    on_completed: GivenHook | None = None,
    on_compensated: GivenHook | None = None,
    on_failed: GivenHook | None = None,
    on_parked: GivenHook | None = None,
) -> _SagaDecorator:
    """Make a saga of a function of its data flow.

    The function is called once, when it is decorated, with references in place of values. Its lines are executed in their order.
    With `order="graph"` a step waits only for the steps whose outputs it is given, and branches run at the same time.

    Args:
        name: The saga's name, 1 to 255 printable characters.
        compensate_on_failure: As for `SagaBuilder`. Default: True.
        order: As for `SagaBuilder`. Default: "sequential".
        siblings_on_failure: As for `SagaBuilder`. Default: "await".
        deadline: As for `SagaBuilder`, a timedelta of at most 365 days. Default: None, no limit.
        retention: As for `SagaBuilder`. Default: None, its sagas are kept for ever.
        attributes: As for `SagaBuilder`. Default: none.
        on_started: As for `SagaBuilder`. Default: None.
        on_completed: As for `SagaBuilder`. Default: None.
        on_compensated: As for `SagaBuilder`. Default: None.
        on_failed: As for `SagaBuilder`. Default: None.
        on_parked: As for `SagaBuilder`. Default: None.

    Returns:
        A decorator that gives a SagaDefinition.

    Raises:
        SagaDefinitionError: The name, an option or the function cannot be a saga's.
        TypeValidationError: The types do not fit.

    Example::

        @saga("create_order")
        def create_order(order: StepRef[Order]) -> StepRef[Payment]:
            reserved = reserve(order, using=lambda o: ReserveInput(o.order_id))
            return charge(reserved, using=lambda r: ChargeInput(r.reservation_id))
    """
    if not _is_name(name):
        raise SagaDefinitionError(
            f"a saga's name must be a string of 1 to 255 printable characters, not {shown(name)}",
            hint='decorate with the name in parentheses: @saga("create_order")',
        )

    def trace(fn: Callable[[AnyRef], Any]) -> Any:  # Any: see the decorator's overloads
        builder = SagaBuilder[Any](
            _initial_type(fn),
            compensate_on_failure=compensate_on_failure,
            order=order,
            siblings_on_failure=siblings_on_failure,
            deadline=deadline,
            retention=retention,
            attributes=attributes,
            on_started=on_started,
            on_completed=on_completed,
            on_compensated=on_compensated,
            on_failed=on_failed,
            on_parked=on_parked,
        )
        with tracing(builder), each_call_is_a_step(fn, name_in_messages(fn), builder):
            result = fn(builder.initial)
        if result is not None and not isinstance(result, StepRef):
            fact = f"@saga function {name_in_messages(fn)} returned {shown(result)}"
            raise no_ref(fact, result, "return a StepRef, or nothing")
        if result is None and not fits(type(None), hints_of(fn).get("return", Any)):
            raise SagaDefinitionError(
                f"@saga function {name_in_messages(fn)} returned nothing, but its annotation says that it does",
                hint="return the StepRef of the saga's result, or annotate it -> None",
            )
        return builder.finish(name, cast("Any", result))  # of any type; its builder knows

    return trace


@overload
def sleep(duration: timedelta, /, *, after: AnyRefs = ..., step_id: str = ...) -> StepRef[None]: ...
@overload
def sleep(*, until: StepRef[datetime], after: AnyRefs = ..., step_id: str = ...) -> StepRef[None]: ...
@overload
def sleep(
    *, until: StepRef[A], using: Callable[[A], datetime], after: AnyRefs = ..., step_id: str = ...
) -> StepRef[None]: ...
def sleep(
    duration: timedelta | None = None,
    /,
    *,
    until: AnyRef | None = None,
    using: Callable[..., datetime] | None = None,
    after: AnyRefs = (),
    step_id: str = "sleep",
    **others: object,
) -> StepRef[None]:
    """Let the saga that is being traced sleep here, for a while or until a moment from an earlier output.

    The saga sleeps in the store: nothing waits in this process, and no restart cuts the sleep short.

    Args:
        duration: How long, as a timedelta of 0 to 365 days. Default: None, for `until`.
        until: The step whose output is the moment, an aware datetime, or holds it. Default: None, for `duration`.
        using: A function from that output to the moment. Default: None, the output is the moment.
        after: Steps to wait for without taking their output, for `order="graph"`. Default: none.
        step_id: The sleep's name in its saga. Default: "sleep".
        others: Options that only steps have; they are refused, with a hint. Default: none.

    Returns:
        The reference to the sleep, for `after=`.

    Raises:
        SagaDefinitionError: It is called outside of a `@saga`, or neither or both of `duration` and `until` are given.

    Example::

        sleep(timedelta(days=14))
        sleep(until=shipped, using=lambda s: s.arrives_at, step_id="arrival")
    """
    given = {"until": until, "input_map": using, "after": after, "step_id": step_id}
    return current_builder("sleep was called").add_sleep(duration, **given, **others)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and name.isprintable()


def _initial_type(fn: Callable[..., Any]) -> Any:  # Any: a type of any form
    if not inspect.isfunction(fn) and not inspect.ismethod(fn):
        raise SagaDefinitionError(f"{name_in_messages(fn)} is no function", hint="decorate a function with @saga")
    if inspect.iscoroutinefunction(fn):
        raise SagaDefinitionError(
            f"@saga function {name_in_messages(fn)} is async", hint="write it with plain `def`: it only wires"
        )
    parameters = list(inspect.signature(fn).parameters)
    if len(parameters) != 1:
        raise SagaDefinitionError(
            f"@saga function {name_in_messages(fn)} must take exactly one StepRef",
            hint="put everything a saga begins with into one type",
        )
    annotation = hints_of(fn).get(parameters[0])
    if get_origin(annotation) is not StepRef:
        raise TypeValidationError(
            f"the parameter of @saga function {name_in_messages(fn)} must be annotated StepRef[...]",
            hint=f"def {getattr(fn, '__name__', 'saga')}({parameters[0]}: StepRef[Order]) -> ...",
        )
    return get_args(annotation)[0]
