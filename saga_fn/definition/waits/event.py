"""Events from outside: each has a name and a typed payload; a wait is for one of them or for several."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, final, get_args, overload

import msgspec
from typing_extensions import override

from saga_fn.arguments import check_is, micros_of
from saga_fn.codec import PayloadType
from saga_fn.core.ids import Micros
from saga_fn.definition.tracing import current_builder
from saga_fn.definition.values.annotations import payload_type
from saga_fn.definition.values.refs import AnyRef, AnyRefs, StepRef
from saga_fn.errors import SagaDefinitionError, TypeValidationError, shown
from saga_fn.printable import a_type_of

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
E = TypeVar("E")
U = TypeVar("U")

_NAME: Final = re.compile(r"[ -~]{1,64}")

ALL_AT_ONCE: Final = "wait once, for an event that tells of all items, or start a saga for each"
OF_STEPS: Final = (
    "conditions, fan-outs, pivots, retries, probes and compensations belong to the steps before and after it"
)
_MENDS: Final = {
    "each": ALL_AT_ONCE,
    "when": "where nothing will come, let a step before the wait send the event, or give it a default and a short timeout",
}


@final
class NoDefault:
    """Says that a wait which is over has failed."""


NO_DEFAULT: Final = NoDefault()


class EventPattern(Generic[T_co]):
    """One event, or any of several, that a saga may wait for."""

    names: tuple[str, ...]

    @property
    def events(self) -> tuple[EventPattern[object], ...]:
        """Each event that it may be."""
        raise NotImplementedError

    @property
    def payload(self) -> PayloadType[T_co]:
        """The type of the value, as it is stored.

        Raises:
            TypeValidationError: The type cannot be stored.
        """
        raise NotImplementedError

    def payload_of(self, name: str) -> PayloadType[object]:
        """Give the type of the value of one of these events.

        Args:
            name: The event's name, one of `names`.

        Returns:
            The type, as it is stored.

        Raises:
            SagaDefinitionError: No event has this name.
            TypeValidationError: The type cannot be stored.
        """
        hint = f"one of {', '.join(self.names)}"
        check_is(name, str, "the name of an event", error=SagaDefinitionError, hint=hint)
        for event in self.events:
            if name in event.names:
                return event.payload
        raise SagaDefinitionError(f"{self!r} is not named {shown(name)}", hint=hint)

    if not TYPE_CHECKING:  # the checkers refuse them by themselves

        def __getattr__(self, name: str) -> NoReturn:
            if name in _MENDS:
                raise SagaDefinitionError(f"{self!r} has no {shown(name)}: it is not a step", hint=_MENDS[name])
            raise AttributeError(f"{shown(type(self).__name__)} object has no attribute {shown(name)}")

    @overload
    def wait(
        self, /, *, timeout: timedelta | None = ..., after: AnyRefs = ..., step_id: str = ...
    ) -> StepRef[T_co]: ...
    @overload
    def wait(
        self, /, *, timeout: timedelta, default: U, after: AnyRefs = ..., step_id: str = ...
    ) -> StepRef[T_co | U]: ...
    @overload
    def wait(
        self,
        ref: StepRef[A],
        /,
        *,
        correlate: Callable[[A], str],
        timeout: timedelta | None = ...,
        after: AnyRefs = ...,
        step_id: str = ...,
    ) -> StepRef[T_co]: ...
    @overload
    def wait(
        self,
        ref: StepRef[A],
        /,
        *,
        correlate: Callable[[A], str],
        timeout: timedelta,
        default: U,
        after: AnyRefs = ...,
        step_id: str = ...,
    ) -> StepRef[T_co | U]: ...
    def wait(
        self,
        ref: AnyRef | None = None,
        /,
        *,
        correlate: Callable[..., str] | None = None,
        timeout: timedelta | None = None,
        default: object = NO_DEFAULT,
        after: AnyRefs = (),
        step_id: str | None = None,
        **others: object,
    ) -> AnyRef:
        """Wait for it, in the saga that is being traced.

        An event that came before is taken at once.

        Args:
            ref: The step whose output `correlate` is given. Default: None, there is none.
            correlate: A function that names the thing that the event is about. Only an event sent with the same `correlation_id`
                is taken. Default: None, every event of the name is.
            timeout: The longest to wait, as a timedelta of at most 365 days. Then the saga rolls back, or goes on with `default`.
                Default: None, without a limit.
            default: The value to go on with after `timeout`. Default: none, the saga rolls back.
            after: Steps to wait for without taking their output, for `order="graph"`. Default: none.
            step_id: The wait's name in its saga. Default: None, the event's name.
            others: Options that only steps have; they are refused, with a hint. Default: none.

        Returns:
            The reference to the value that the event brings.

        Raises:
            SagaDefinitionError: It is called outside of a `@saga`, or an option cannot be used so.
            TypeValidationError: The types do not fit.
            PayloadError: `default` is not of the event's type.

        Example::

            approved = approval.wait(timeout=timedelta(days=3), default=Approval(by="timeout"))
        """
        builder = current_builder(f"{self!r}.wait was called")
        given = {"correlate": correlate, "timeout": timeout, "default": default, "after": after, "step_id": step_id}
        return builder.add_event(self, depends_on=ref, **given, **others)


class Event(EventPattern[T]):
    """Something that may come from outside: a name, and the type of the value that it brings.

    The saga that waits for it and its senders use the same object, so that both are checked.

    Args:
        name: 1 to 64 printable ASCII characters.
        payload: The type of the value. Default: None, for a type between brackets, as a union has to be.
        for_next: Whether an event for a business key may wait for the next saga of that key after one has ended. Default:
            False; such an event is answered `ended`, so that a late approval of one order does not approve the next.

    Raises:
        SagaDefinitionError: The name or `for_next` cannot be one.
        TypeValidationError: The type cannot be stored.

    Example::

        approval = Event("approval", Approval)
        decision = Event[Approved | Rejected]("decision")     # a union is named between brackets
    """

    @overload
    def __init__(self, name: str, payload: type[T], /, *, for_next: bool = ...) -> None: ...
    @overload
    def __init__(self, name: str, /, *, for_next: bool = ...) -> None: ...
    def __init__(self, name: str, payload: type[T] | None = None, /, *, for_next: bool = False) -> None:
        if not _is_name(name):
            raise SagaDefinitionError(
                f"an event's name must be a string of 1 to 64 printable ASCII characters, not {shown(name)}",
                hint='Event("approval", Approval)',
            )
        if not isinstance(for_next, bool):  # pyright: ignore[reportUnnecessaryIsInstance]  # no checker may have seen it
            raise SagaDefinitionError(
                f"for_next of event {shown(name)} must be True or False, not {a_type_of(for_next)}",
                hint='Event("topped_up", Amount, for_next=True)',
            )
        self.name: str = name
        self.for_next: bool = for_next
        self.names: tuple[str, ...] = (name,)
        self._given: object = payload
        self._payload: PayloadType[T] | None = None
        if payload is not None:
            self._payload = payload_type(payload, f"the payload of event {shown(name)}")

    @property
    @override
    def events(self) -> tuple[EventPattern[object], ...]:
        """A tuple of itself alone."""
        return (self,)

    @property
    @override
    def payload(self) -> PayloadType[T]:
        """The type of the value, as it is stored.

        Raises:
            TypeValidationError: The event does not say which type it brings, or the type cannot be stored.
        """
        if self._payload is None:
            arguments = get_args(getattr(self, "__orig_class__", None))
            if not arguments:
                raise TypeValidationError(
                    f"event {shown(self.name)} does not say what it brings",
                    hint=f'Event("{self.name}", Approval), or Event[Approved | Rejected]("{self.name}")',
                )
            self._payload = payload_type(arguments[0], f"the payload of event {shown(self.name)}")
        return self._payload

    @override
    def __repr__(self) -> str:
        return f"<event {self.name}>"


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


class _ForEvent(msgspec.Struct, frozen=True):
    event: EventPattern[object]
    """The event, or `any_of` several."""


@final
class WaitFor(_ForEvent, frozen=True, kw_only=True):
    """Returned by a compensation that is called again when an event has come: see `StepContext.received`.

    The step names the event in `compensation_waits_for=`.

    Raises:
        SagaDefinitionError: The event is none.
    """

    timeout: timedelta | None = None
    """The longest to wait, as a timedelta of at most 365 days; then the attempt has failed. Default: None, without a limit."""
    correlation_id: str | None = None
    """The thing that the event is about: only an event that was sent with the same is taken. Default: None."""

    def __post_init__(self) -> None:
        """Refuse with SagaDefinitionError what is no event."""
        check_event(self.event)

    def limit(self) -> Micros | None:
        """Give the timeout in microseconds.

        Returns:
            The microseconds, or None without a timeout.

        Raises:
            SagaDefinitionError: The timeout is no timedelta, or out of its range.
        """
        return None if self.timeout is None else micros_of("timeout", self.timeout)


@final
class _AnyOf(EventPattern[T_co]):
    def __init__(self, events: tuple[EventPattern[object], ...]) -> None:
        self.names: tuple[str, ...] = tuple(name for event in events for name in event.names)
        self._events = events
        self._payload: PayloadType[T_co] | None = None

    @property
    @override
    def events(self) -> tuple[EventPattern[object], ...]:
        return self._events

    @property
    @override
    def payload(self) -> PayloadType[T_co]:
        """The union of what they bring, which a wait gives; a compensation is told which event came, and needs none."""
        if self._payload is None:
            union: Any = self._events[0].payload.tp  # Any: a type of any form
            for event in self._events[1:]:
                union = union | event.payload.tp
            self._payload = payload_type(union, f"what the events {', '.join(self.names)} bring")
        return self._payload

    @override
    def __repr__(self) -> str:
        return f"<any of the events {', '.join(self.names)}>"


@overload
def any_of(a: EventPattern[A], b: EventPattern[B], /) -> EventPattern[A | B]: ...
@overload
def any_of(a: EventPattern[A], b: EventPattern[B], c: EventPattern[C], /) -> EventPattern[A | B | C]: ...
@overload
def any_of(
    a: EventPattern[A], b: EventPattern[B], c: EventPattern[C], d: EventPattern[E], /
) -> EventPattern[A | B | C | E]: ...
def any_of(*events: EventPattern[Any]) -> EventPattern[Any]:  # Any: see the overloads
    """Combine events, so that the first of them that comes ends a wait.

    Where a saga waits for them, the checkers and the codec must be able to tell their values apart, as structs with tag=True. A
    compensation asks for each by `StepContext.received`, so that it may wait for events whose values look alike.

    Args:
        events: Two or more different events.

    Returns:
        The combination, with `wait` as an Event has it.

    Raises:
        SagaDefinitionError: There are fewer than two different events.
        TypeValidationError: An event does not say which type it brings.

    Example::

        answer = any_of(approved, rejected).wait(timeout=timedelta(days=3))       # StepRef[Approved | Rejected]
    """
    for event in events:
        check_event(event)
    names = [name for event in events for name in event.names]
    if len(set(names)) < max(2, len(names)):
        raise SagaDefinitionError("any_of takes two or more different events", hint="any_of(approved, rejected)")
    each = tuple(one for event in events for one in event.events)
    for event in each:
        _ = event.payload  # refuses one that does not say what it brings
    return _AnyOf(each)


def check_event(event: object) -> None:
    """Raise SagaDefinitionError for what cannot be waited for."""
    if not isinstance(event, EventPattern):
        raise SagaDefinitionError(f"{shown(event)} is not an event", hint='make one: Event("approval", Approval)')
