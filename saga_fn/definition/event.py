"""What a saga may wait for: events from outside with a name and a typed payload, and moments."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, cast, final, get_args, overload

import attrs
from typing_extensions import override

from saga_fn.codec import PayloadType
from saga_fn.core.plan import StepKind
from saga_fn.core.retry import LONGEST_DELAY
from saga_fn.definition.refs import StepRef
from saga_fn.definition.signature import payload_type
from saga_fn.errors import SagaDefinitionError, TypeValidationError

if TYPE_CHECKING:
    from saga_fn.definition.step import AnyRefs

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
E = TypeVar("E")
U = TypeVar("U")

_MICROSECOND: Final = timedelta(microseconds=1)
_LONGEST: Final = timedelta(microseconds=LONGEST_DELAY)
_NAME: Final = re.compile(r"[ -~]{1,64}")


_OF_STEPS: Final = {
    "each": "wait once, for an event that tells of all items, or start a saga for each",
    "when": "where nothing will come, let a step before the wait send the event, or give it a default and a short timeout",
}
_ALL_STEPS: Final = (
    "conditions, fan-outs, pivots, retries, probes and compensations belong to the steps before and after it"
)


@final
class NoDefault:
    """Says that a wait which is over has failed."""


NO_DEFAULT: Final = NoDefault()


@attrs.frozen
class WaitParts:
    """What a wait is made of, whatever its spelling."""

    kind: StepKind
    step_id: object
    output_type: PayloadType[Any]  # Any: waits for events of all types
    names: tuple[str, ...] = ()
    limit: int | None = None
    default: bytes | None = None
    compute: Callable[..., object] | None = None
    """What the wait is about, or the moment that it lasts until."""
    refs: tuple[StepRef[Any], ...] = ()  # Any: as above


class Expected(Generic[T_co]):
    """One event, or any of several, that a saga may wait for."""

    names: tuple[str, ...]

    @property
    def payload(self) -> PayloadType[T_co]:
        """How what it brings is stored."""
        raise NotImplementedError

    if not TYPE_CHECKING:  # the checkers refuse them by themselves

        def __getattr__(self, name: str) -> NoReturn:
            if name in _OF_STEPS:
                raise SagaDefinitionError(f"{self!r} has no {name!r}: it is not a step", hint=_OF_STEPS[name])
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

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
        ref: StepRef[Any] | None = None,  # Any: the overloads have checked it
        /,
        *,
        correlate: Callable[[Any], str] | None = None,  # Any: as above
        timeout: timedelta | None = None,
        default: object = NO_DEFAULT,
        after: AnyRefs = (),
        step_id: str | None = None,
        **others: object,
    ) -> StepRef[Any]:  # Any: as above
        """Wait for it, in the saga that is being traced; the reference stands for what it brings.

        An event that came before is taken at once. When `timeout` is over, the saga rolls back, or goes on with
        `default` if there is one. With `correlate` only an event sent with the same `correlation_id` is taken.

        Example::

            approved = approval.wait(timeout=timedelta(days=3), default=Approval(by="nobody"))
        """
        from saga_fn.definition.saga import current_builder

        check_wait_options(others, "correlate", "timeout", "default")
        refs = () if ref is None else (ref,)
        parts = wait_parts(self, refs=refs, correlate=correlate, timeout=timeout, default=default, step_id=step_id)
        return current_builder(f"{self!r}.wait was called").wire_wait(parts, after)


class Event(Expected[T]):
    """Something that may come from outside: a name, and the type of what it brings.

    The same object is used by the saga that waits for it and by whoever sends it, so that both are checked.

    Example::

        approval = Event("approval", Approval)
        decision = Event[Approved | Rejected]("decision")     # a union is named between brackets
    """

    @overload
    def __init__(self, name: str, payload: type[T], /) -> None: ...
    @overload
    def __init__(self, name: str, /) -> None: ...
    def __init__(self, name: str, payload: type[T] | None = None, /) -> None:
        if not _is_name(name):
            raise SagaDefinitionError(
                f"an event's name must be a string of 1 to 64 printable ASCII characters, not {name!r:.100}",
                hint='Event("approval", Approval)',
            )
        self.name: str = name
        self.names: tuple[str, ...] = (name,)
        self._given: object = payload
        self._payload: PayloadType[T] | None = None
        if payload is not None:
            self._payload = payload_type(payload, f"the payload of event {name!r}")

    @property
    @override
    def payload(self) -> PayloadType[T]:
        """How what it brings is stored. Raises TypeValidationError if it does not say what that is."""
        if self._payload is None:
            arguments = get_args(getattr(self, "__orig_class__", None))
            if not arguments:
                raise TypeValidationError(
                    f"event {self.name!r} does not say what it brings",
                    hint=f'Event("{self.name}", Approval), or Event[Approved | Rejected]("{self.name}")',
                )
            self._payload = payload_type(arguments[0], f"the payload of event {self.name!r}")
        return self._payload

    @override
    def __repr__(self) -> str:
        return f"<event {self.name}>"


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


@final
@attrs.frozen
class WaitFor:
    """What a compensation returns that is to be called again when an event has come: see `StepContext.received`.

    The step says `compensation_waits_for=` that event. When `timeout` is over, the attempt has failed; with a
    `correlation_id` only an event that was sent with the same is taken.
    """

    event: Expected[object]
    timeout: timedelta | None = attrs.field(default=None, kw_only=True)
    correlation_id: str | None = attrs.field(default=None, kw_only=True)

    def limit(self) -> int | None:
        """The timeout in microseconds; raises SagaDefinitionError for what is none."""
        return None if self.timeout is None else micros_of("timeout", self.timeout, least=1)


@final
class _AnyOf(Expected[T_co]):
    def __init__(self, names: tuple[str, ...], payload: PayloadType[T_co]) -> None:
        self.names: tuple[str, ...] = names
        self._payload = payload

    @property
    @override
    def payload(self) -> PayloadType[T_co]:
        return self._payload

    @override
    def __repr__(self) -> str:
        return f"<any of the events {', '.join(self.names)}>"


@overload
def any_of(a: Expected[A], b: Expected[B], /) -> Expected[A | B]: ...
@overload
def any_of(a: Expected[A], b: Expected[B], c: Expected[C], /) -> Expected[A | B | C]: ...
@overload
def any_of(a: Expected[A], b: Expected[B], c: Expected[C], d: Expected[E], /) -> Expected[A | B | C | E]: ...
def any_of(*events: Expected[Any]) -> Expected[Any]:  # Any: see the overloads
    """Whichever of these events comes first. What they bring has to be told apart: structs with tag=True, say.

    Example::

        answer = any_of(approved, rejected).wait(timeout=timedelta(days=3))       # StepRef[Approved | Rejected]
    """
    for event in events:
        _check_event(event)
    names = [name for event in events for name in event.names]
    if len(set(names)) < max(2, len(names)):
        raise SagaDefinitionError("any_of takes two or more different events", hint="any_of(approved, rejected)")
    union: Any = cast("Any", events[0].payload.tp)  # a type of whatever form
    for event in events[1:]:
        union = union | event.payload.tp
    return _AnyOf(tuple(names), payload_type(union, f"what the events {', '.join(names)} bring"))


def _check_event(event: object) -> None:
    if not isinstance(event, Expected):
        raise SagaDefinitionError(f"{event!r:.80} is not an event", hint='make one: Event("approval", Approval)')


def wait_parts(
    event: Expected[Any],  # Any: events of all types
    *,
    refs: tuple[StepRef[Any], ...],  # Any: as above
    correlate: Callable[..., object] | None,
    timeout: timedelta | None,
    default: object,
    step_id: object,
) -> WaitParts:
    """What every spelling of a wait for an event comes to. Raises SagaDefinitionError."""
    _check_event(event)
    what = " or ".join(repr(name) for name in event.names)
    if refs and correlate is None:
        raise SagaDefinitionError(
            f"the wait for {what} is given {refs[0]!r}, but not what to do with it",
            hint="correlate=lambda payment: payment.payment_id; to wait after a step alone, name it in after=",
        )
    limit = None if timeout is None else micros_of("timeout", timeout, least=1)
    output = event.payload
    encoded = None
    if default is not NO_DEFAULT:
        if limit is None:
            raise SagaDefinitionError(
                f"the wait for {what} has a default, but no timeout after which it would be taken",
                hint="give timeout=timedelta(...), or leave default= out",
            )
        tp: Any = cast("Any", output.tp)  # a type of whatever form
        if default is None:
            output = payload_type(tp | None, f"what the wait for {what} gives")
        encoded = output.encode(output.accept(default))
    chosen = step_id if step_id is not None else "_or_".join(event.names)
    return WaitParts(StepKind.EVENT, chosen, output, event.names, limit, encoded, correlate, refs)


def sleep_parts(
    duration: timedelta | None, until: StepRef[Any] | None, using: Callable[..., object] | None, step_id: object
) -> WaitParts:  # Any: whatever the moment is taken from
    """What every spelling of a sleep comes to. Raises SagaDefinitionError."""
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
        raise SagaDefinitionError(
            f"until must be a StepRef, not {until!r:.80}",
            hint="pass the one that the moment is in, as in until=order, using=lambda o: o.due; the initial data is one",
        )
    return WaitParts(StepKind.SLEEP, step_id, nothing, compute=using or _itself, refs=(until,))


def check_wait_options(others: Mapping[str, object], *takes: str) -> None:
    """Raise SagaDefinitionError for options that a wait or a sleep does not have."""
    if others:
        raise SagaDefinitionError(
            f"a wait has no option {', '.join(sorted(others))}",
            hint=f"options here are {', '.join((*takes, 'after', 'step_id'))}; {_ALL_STEPS}",
        )


def refuse_wait(given: object) -> None:
    """Raise SagaDefinitionError for a wait that is passed as a step."""
    if given is sleep or isinstance(getattr(given, "__self__", given), Expected):
        raise SagaDefinitionError(
            f"{given!r:.80} is not a step",
            hint="wait between steps: approval.wait(...) or sleep(...) in a @saga, add_event or add_sleep in a builder; "
            + _ALL_STEPS,
        )


def refuse_waiting(name: str, gives: object) -> None:
    """Raise SagaDefinitionError for a step whose output would be a WaitFor."""
    if WaitFor in (gives, *get_args(gives)):
        raise SagaDefinitionError(
            f"step {name} returns a WaitFor, which only a compensation can",
            hint="going forward wait between steps: approval.wait(...) in a @saga, add_event in a builder; instead of "
            f"waiting for each item of a list, {_OF_STEPS['each']}",
        )


def _itself(value: object) -> object:
    return value


def micros_of(name: str, value: object, *, least: int) -> int:
    """A length of time in microseconds; raises SagaDefinitionError for what is none, is negative, or over a year."""
    if not isinstance(value, timedelta) or not least * _MICROSECOND <= value <= _LONGEST:
        size = "positive timedelta of" if least else "timedelta of 0 to"
        raise SagaDefinitionError(
            f"{name} must be a {size} at most 365 days, not {value!r}".replace("to at most", "to"),
            hint="for example timedelta(hours=1)",
        )
    return value // _MICROSECOND


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
    until: StepRef[Any] | None = None,  # Any: see the overloads
    using: Callable[[Any], datetime] | None = None,  # Any: see the overloads
    after: AnyRefs = (),
    step_id: str = "sleep",
    **others: object,
) -> StepRef[None]:
    """Let the saga that is being traced sleep here: for a while, or until a moment (aware) from an earlier output.

    It sleeps in the store, however long: nothing waits in this process, and no restart cuts it short.

    Example::

        sleep(timedelta(days=14))
        sleep(until=shipped, using=lambda s: s.arrives_at, step_id="arrival")
    """
    from saga_fn.definition.saga import current_builder

    check_wait_options(others, "until", "using")
    parts = sleep_parts(duration, until, using, step_id)
    return cast("StepRef[None]", current_builder("sleep was called").wire_wait(parts, after))  # a sleep gives nothing
