"""Waits for events and for moments: what they are made of, and how a builder adds them."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar, cast, overload

import msgspec

from saga_fn.arguments import micros_of
from saga_fn.codec import AnyType, PayloadType
from saga_fn.core.ids import Micros
from saga_fn.core.plan import StepKind
from saga_fn.definition.forgotten_steps import no_ref
from saga_fn.definition.values.annotations import payload_type
from saga_fn.definition.values.input_context import InputContext
from saga_fn.definition.values.refs import AnyRef, AnyRefs, StepRef
from saga_fn.definition.waits.event import NO_DEFAULT, OF_STEPS, EventPattern, check_event
from saga_fn.errors import SagaDefinitionError, shown

D = TypeVar("D")
T = TypeVar("T")
U = TypeVar("U")
A = TypeVar("A")


class WaitParts(msgspec.Struct, frozen=True):
    """The parts of a wait, in every spelling."""

    kind: StepKind
    step_id: object
    output_type: AnyType
    names: tuple[str, ...] = ()
    limit: Micros | None = None
    default: bytes | None = None
    compute: Callable[..., object] | None = None
    """The function that computes the wait's correlation, or the moment that it lasts until."""
    refs: tuple[AnyRef, ...] = ()


class WaitingBuilder(abc.ABC, Generic[D]):
    """The part of SagaBuilder that is about waiting."""

    def __init__(self) -> None:
        self._events: dict[str, EventPattern[object]] = {}

    @abc.abstractmethod
    def wire_wait(self, parts: WaitParts, after: AnyRefs) -> AnyRef:
        """Add a wait, untyped: what all its spellings share."""

    @overload
    def add_event(
        self, event: EventPattern[T], *, timeout: timedelta | None = ..., after: AnyRefs = ..., step_id: str = ...
    ) -> StepRef[T]: ...
    @overload
    def add_event(
        self, event: EventPattern[T], *, timeout: timedelta, default: U, after: AnyRefs = ..., step_id: str = ...
    ) -> StepRef[T | U]: ...
    @overload
    def add_event(
        self,
        event: EventPattern[T],
        *,
        correlate: Callable[[InputContext[D]], str],
        timeout: timedelta | None = ...,
        after: AnyRefs = ...,
        step_id: str = ...,
    ) -> StepRef[T]: ...
    @overload
    def add_event(
        self,
        event: EventPattern[T],
        *,
        correlate: Callable[[InputContext[D]], str],
        timeout: timedelta,
        default: U,
        after: AnyRefs = ...,
        step_id: str = ...,
    ) -> StepRef[T | U]: ...
    @overload
    def add_event(
        self,
        event: EventPattern[T],
        *,
        depends_on: StepRef[A],
        correlate: Callable[[A], str],
        timeout: timedelta | None = ...,
        after: AnyRefs = ...,
        step_id: str = ...,
    ) -> StepRef[T]: ...
    @overload
    def add_event(
        self,
        event: EventPattern[T],
        *,
        depends_on: StepRef[A],
        correlate: Callable[[A], str],
        timeout: timedelta,
        default: U,
        after: AnyRefs = ...,
        step_id: str = ...,
    ) -> StepRef[T | U]: ...
    def add_event(
        self,
        event: EventPattern[object],
        *,
        depends_on: AnyRef | None = None,
        correlate: Callable[..., str] | None = None,
        timeout: timedelta | None = None,
        default: object = NO_DEFAULT,
        after: AnyRefs = (),
        step_id: str | None = None,
        **others: object,
    ) -> AnyRef:
        """Wait here for an event from outside, and get the reference to the value that it brings.

        An event that came before is taken at once.

        Args:
            event: The event, or `any_of` several.
            depends_on: The step whose output `correlate` is given. Default: None, it is given the InputContext.
            correlate: A function that names the thing that the event is about. Only an event sent with the same `correlation_id`
                is taken. Default: None, every event of the name is.
            timeout: The longest to wait, as a timedelta of at most 365 days. Then the saga rolls back, or goes on with `default`.
                Default: None, without a limit.
            default: The value to go on with after `timeout`. Default: none, the saga rolls back.
            after: Steps to wait for without taking their output, for `order="graph"`. Default: none.
            step_id: The wait's name in its saga. Default: None, the event's name.
            others: Options that only steps have; they are refused, with a hint. Default: none.

        Returns:
            The reference to the value.

        Raises:
            SagaDefinitionError: The event or an option cannot be used so.
            TypeValidationError: The types do not fit.
            PayloadError: `default` is not of the event's type.
        """
        _check_options(others, "correlate", "timeout", "default")
        refs = () if depends_on is None else (depends_on,)
        parts = _wait_parts(event, refs=refs, correlate=correlate, timeout=timeout, default=default, step_id=step_id)
        self.expect(event)
        return self.wire_wait(parts, after)

    def expect(self, event: EventPattern[object]) -> None:
        """Remember an event that the saga waits for. `add_event` calls it.

        Args:
            event: The event.

        Raises:
            SagaDefinitionError: Another event of this saga has the same name and another type.
            TypeValidationError: The event does not say which type it brings.
        """
        check_event(event)
        for one in event.events:
            (name,) = one.names
            known = self._events.setdefault(name, one)
            if known.payload.tp != one.payload.tp:
                raise SagaDefinitionError(
                    f"event {shown(name)} brings {known.payload.name} here and {one.payload.name} there, in one saga",
                    hint="wait for the same Event object in both places, or give one of them another name",
                )

    @overload
    def add_sleep(self, duration: timedelta, /, *, after: AnyRefs = ..., step_id: str = ...) -> StepRef[None]: ...
    @overload
    def add_sleep(self, /, *, until: StepRef[datetime], after: AnyRefs = ..., step_id: str = ...) -> StepRef[None]: ...
    @overload
    def add_sleep(
        self, /, *, until: StepRef[A], input_map: Callable[[A], datetime], after: AnyRefs = ..., step_id: str = ...
    ) -> StepRef[None]: ...
    def add_sleep(
        self,
        duration: timedelta | None = None,
        /,
        *,
        until: AnyRef | None = None,
        input_map: Callable[..., datetime] | None = None,
        after: AnyRefs = (),
        step_id: str = "sleep",
        **others: object,
    ) -> StepRef[None]:
        """Sleep here for a while, or until a moment from an earlier output.

        The saga sleeps in the store: nothing waits in this process, and no restart cuts the sleep short.

        Args:
            duration: How long, as a timedelta of 0 to 365 days. Default: None, for `until`.
            until: The step whose output is the moment, an aware datetime, or holds it. Default: None, for `duration`.
            input_map: A function from that output to the moment. Default: None, the output is the moment.
            after: Steps to wait for without taking their output, for `order="graph"`. Default: none.
            step_id: The sleep's name in its saga. Default: "sleep".
            others: Options that only steps have; they are refused, with a hint. Default: none.

        Returns:
            The reference to the sleep, for `after=`.

        Raises:
            SagaDefinitionError: Neither or both of `duration` and `until` are given, or an option is out of its range.
            TypeValidationError: The moment is no datetime.
        """
        _check_options(others, "until")
        return self.wire_wait(_sleep_parts(duration, until, input_map, step_id), after)


def _wait_parts(
    event: EventPattern[object],
    *,
    refs: tuple[AnyRef, ...],
    correlate: Callable[..., object] | None,
    timeout: timedelta | None,
    default: object,
    step_id: object,
) -> WaitParts:
    """Judge the parts of a wait for an event. Raises SagaDefinitionError."""
    check_event(event)
    what = " or ".join(map(shown, event.names))
    if refs and correlate is None:
        raise SagaDefinitionError(
            f"the wait for {what} is given {shown(refs[0])}, but not what to do with it",
            hint="correlate=lambda payment: payment.payment_id; to wait after a step alone, name it in after=",
        )
    limit = None if timeout is None else micros_of("timeout", timeout)
    output = event.payload
    encoded = None
    if default is not NO_DEFAULT:
        if limit is None:
            raise SagaDefinitionError(
                f"the wait for {what} has a default, but no timeout after which it would be taken",
                hint="give timeout=timedelta(...), or leave default= out",
            )
        tp: Any = cast("Any", output.tp)  # a type of any form
        if default is None:
            output = payload_type(tp | None, f"what the wait for {what} gives")
        encoded = output.encode(output.accept(default))
    chosen = step_id if step_id is not None else "_or_".join(event.names)
    return WaitParts(StepKind.EVENT, chosen, output, event.names, limit, encoded, correlate, refs)


def _sleep_parts(
    duration: timedelta | None, until: AnyRef | None, using: Callable[..., object] | None, step_id: object
) -> WaitParts:
    """Judge the parts of a sleep. Raises SagaDefinitionError."""
    nothing = PayloadType[None].of(type(None))
    if (duration is None) == (until is None):
        raise SagaDefinitionError(
            "a sleep takes either a duration, or the moment it lasts until",
            hint="sleep(timedelta(hours=1)), or sleep(until=shipped, using=lambda s: s.arrives_at)",
        )
    if duration is not None:
        if using is not None:
            raise SagaDefinitionError("using is for a sleep until a moment", hint="leave it out, or give until=")
        return WaitParts(
            StepKind.SLEEP, step_id, nothing, limit=micros_of("the duration of a sleep", duration, least=0)
        )
    if not isinstance(until, StepRef):
        raise no_ref(
            f"until must be a StepRef, not {shown(until)}",
            until,
            "pass the one that the moment is in, as in until=order, using=lambda o: o.due; the initial data is one",
        )
    return WaitParts(StepKind.SLEEP, step_id, nothing, compute=using or _itself, refs=(until,))


def _check_options(others: Mapping[str, object], *takes: str) -> None:
    """Raise SagaDefinitionError for options that a wait or a sleep does not have."""
    if others:
        raise SagaDefinitionError(
            f"a wait has no option {', '.join(sorted(others))}",
            hint=f"options here are {', '.join((*takes, 'after', 'step_id'))}; {OF_STEPS}",
        )


def _itself(value: object) -> object:
    return value
