"""Sending a typed event to a saga, from any process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Final, Generic, TypeAlias, TypeVar, final
from uuid import UUID

from returns.result import Failure, Result, Success

from saga_fn.arguments import aware, check_id, check_is, check_key, check_size, check_target
from saga_fn.codec.containers import is_tuple
from saga_fn.core.ids import Moment
from saga_fn.definition import Event
from saga_fn.definition.correlation import fingerprint
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.outward import INTERNAL, only_public_errors, public_error
from saga_fn.engine.requests.events import send_to_key, send_to_saga
from saga_fn.engine.requests.outside_event import Delivery, OutsideEvent, id_of
from saga_fn.engine.requests.send_within import send_within
from saga_fn.errors import PayloadError, SagaDefinitionError, SagaError, shown
from saga_fn.printable import a_type_of
from saga_fn.store.connection import CallerConnection, check_notify
from saga_fn.store.records import moment_of

T = TypeVar("T")
Target: TypeAlias = UUID | tuple[str, str]

_TARGET = (
    "a run has it as run.id, UUID(text) makes one of its text; "
    'by its business key it is to(("create_order", "order-123"), approval)'
)
_AT_ONCE: Final = 1000
"""No more events of one call are on their way at a time."""
_YEAR = timedelta(days=365)
_MICROSECOND = timedelta(microseconds=1)


@final
@only_public_errors
class EventSender(Generic[T]):
    """Sends one kind of event to one saga. `SagaOrchestrator.to` makes it.

    Args:
        engine: The engine of the orchestrator.
        target: The saga's id, or its name and `aggregation_id`.
        event: The event.
        may_be_new: Whether the name may be unknown. Default: False.

    Raises:
        PayloadError: The target is neither an id nor a name and a key.
        SagaDefinitionError: The event is no Event.
        SagaError: `engine` is no engine.
    """

    def __init__(
        self, engine: SagaEngine, target: UUID | tuple[str, str], event: Event[T], *, may_be_new: bool = False
    ) -> None:
        _check_target(target)
        check_is(event, Event, "an Event", error=SagaDefinitionError, hint='Event("approval", Approval)')
        check_is(engine, SagaEngine, "an engine", error=SagaError, hint="orchestrator.to(target, event) makes a sender")
        self._engine = engine
        self._target = target
        self._event = event
        self._may_be_new = may_be_new

    async def send(
        self,
        payload: T,
        /,
        *,
        event_id: str | None = None,
        correlation_id: str | None = None,
        expires: timedelta | datetime | None = None,
        keep: bool = True,
        connection: CallerConnection | None = None,
        notify: bool = False,
    ) -> Delivery:
        """Send one event. It is durable when this returns, unless it is part of a transaction of yours.

        It returns at once where the saga sleeps or waits. Where no process works on
        the saga's version, it returns `buffered` after some 0.3 seconds. Where the saga's owner is busy, that takes 5 seconds at
        most. A process that died without leaving counts
        for 90 seconds as one that is there.

        An event that was answered `kept` or `buffered` is never dropped before it expires, unless its saga ends. When the
        saga has no room for it, it stays stored and is taken later.

        Args:
            payload: An instance of the event's type.
            event_id: An id that names this event, as the message that brought it has one, 1 to 255 characters. A saga gets one of
                several events with the same name and id. Default: None, each call is an event of its own.
            correlation_id: The thing that the event is about, where a wait names one by `correlate=`. Default: None.
            expires: The time after which the event is void if no wait has taken it: a timedelta of at most 365 days, or an aware
                datetime at most that far away. An event for a business key is void after 7 days at the latest. Default: None, which
                is 7 days for a business key, and no limit for a saga's id.
            keep: Whether an event for a business key waits for the first saga of that key where none is active. With False it is
                dropped then, and the answer is `no_saga`: a misspelt key is seen, and approves no order that is yet to come. False is
                refused for an event that is `for_next`, or part of a transaction. Default: True.
            connection: A connection with an open transaction, of asyncpg or as `saga_fn.store.CallerConnection` says. The event
                becomes part of that transaction, and the answer is `uncommitted`. Only a row is inserted there: no saga and no other
                sender waits for it. When it is committed the event is sent, by `SagaOrchestrator.committed` or by a worker's
                next look. It counts as sent then: a wait whose timeout is over by then does not get it. Default: None.
            notify: Whether the transaction tells other processes of it when it is committed, by NOTIFY. PostgreSQL lets all commits
                that notify pass one after another, in the whole server. Default: False.

        Returns:
            The outcome; see `Delivery`.

        Raises:
            PayloadError: The payload is not of the event's type or too large, or `expires`, `event_id` or `correlation_id` is out of
                its range.
            TypeValidationError: The event does not say which type it brings.
            SagaNotFoundError: There is no saga of this id.
            SagaNotRegisteredError: The saga's name is unknown.
            SagaStateError: The saga waits for no such event, or has 1,000 unread ones.
            SagaError: The orchestrator is not entered, `connection` has no transaction, `notify` stands without one, or
                `keep=False` beside one or for an event that is `for_next`.
            StoreError: The database does not answer, or refuses.
        """
        engine = self._engine
        engine.gate.require_open()
        self._check_keep(keep, connection)
        event = _outside_event(engine, self._event, payload, event_id, correlation_id, expires)
        check_notify(notify, connection)
        if connection is not None:
            return await send_within(
                engine,
                self._target,
                event,
                connection,
                for_next=self._event.for_next,
                may_be_new=self._may_be_new,
                notify=notify,
            )
        return await _delivered(engine, self._target, event, self._event, may_be_new=self._may_be_new, keep=keep)

    def _check_keep(self, keep: object, connection: object) -> None:
        if not isinstance(keep, bool):
            raise SagaError(f"keep must be True or False, not {a_type_of(keep)}", hint="send(payload, keep=False)")
        if not keep and (connection is not None or self._event.for_next):
            why = (
                f"event {shown(self._event.name)} is for_next" if connection is None else "it is sent in a transaction"
            )
            raise SagaError(
                f"an event cannot be sent with keep=False where {why}: who gets it is not known yet",
                hint="leave keep= out, or say with expires= how long it is valid",
            )


async def send_many(
    engine: SagaEngine,
    event: Event[T],
    events: Iterable[tuple[Target, T]],
    *,
    event_id: Callable[[T], str] | None,
    correlation_id: Callable[[T], str] | None,
    expires: timedelta | datetime | None,
    may_be_new: bool,
) -> list[Result[Delivery, SagaError]]:
    """Send all of them, each judged by itself; raises as `SagaOrchestrator.send_many` says, before anything is sent."""
    engine.gate.require_open()
    check_is(event, Event, "an Event", error=SagaDefinitionError, hint='Event("approval", Approval)')
    check_is(events, Iterable, "the events", error=SagaError, hint="send_many(approval, [(run.id, Approval(...))])")
    for name, key in (("event_id", event_id), ("correlation_id", correlation_id)):
        if key is not None and not callable(key):
            raise SagaError(
                f"{name} of many events must be a function, not {a_type_of(key)}",
                hint=f"it is called with each payload: {name}=lambda approval: approval.order_id",
            )
    by_target: dict[Target, list[tuple[int, OutsideEvent]]] = {}
    number = 0
    for number, pair in enumerate(events, 1):
        _check_pair(pair)
        target, payload = pair
        named = None if event_id is None else event_id(payload)
        about = None if correlation_id is None else correlation_id(payload)
        outside = _outside_event(engine, event, payload, named, about, expires)
        by_target.setdefault(target, []).append((number - 1, outside))
    ends: dict[int, Result[Delivery, SagaError]] = {}
    targets = iter(by_target.items())

    async def send_some() -> None:
        for target, of_target in targets:
            for place, outside in of_target:  # in their order
                ends[place] = await _end(_delivered(engine, target, outside, event, may_be_new=may_be_new))

    await asyncio.gather(*[send_some() for _ in range(min(_AT_ONCE, len(by_target)))])
    return [ends[place] for place in range(number)]


def _check_pair(given: object) -> None:
    """Raise PayloadError for what is no target with a payload; the event's type judges the latter."""
    if not is_tuple(given) or len(given) != 2:  # noqa: PLR2004 - a pair
        raise PayloadError(
            f"an event of many is a pair of a target and a payload, not {a_type_of(given)}",
            hint="send_many(approval, [(run.id, Approval(...))])",
        )
    _check_target(given[0])


def _check_target(target: object) -> None:
    if is_tuple(target):
        check_target(target)
    else:
        check_id(target, hint=_TARGET)


async def _end(sending: Awaitable[Delivery]) -> Result[Delivery, SagaError]:
    try:
        return Success(await sending)
    except INTERNAL as error:
        return Failure(public_error(error))
    except SagaError as error:
        return Failure(error)


async def _delivered(
    engine: SagaEngine, target: Target, outside: OutsideEvent, event: Event[T], *, may_be_new: bool, keep: bool = True
) -> Delivery:
    if isinstance(target, UUID):
        return await send_to_saga(engine, target, outside)
    return await send_to_key(engine, target, outside, for_next=event.for_next, may_be_new=may_be_new, keep=keep)


def _outside_event(
    engine: SagaEngine,
    event: Event[T],
    payload: T,
    event_id: str | None,
    correlation_id: str | None,
    expires: timedelta | datetime | None,
) -> OutsideEvent:
    """The event, judged; raises PayloadError and TypeValidationError."""
    tp = event.payload
    data = tp.encode(tp.accept(payload))
    check_size(f"event {shown(event.name)}", data, engine.options.max_payload_bytes)
    check_key("event_id", event_id)
    if correlation_id is not None:
        fingerprint(correlation_id)
    void_from = _void_from(engine.store.now(), expires)
    return OutsideEvent(id_of(event.name, event_id), event.name, data, correlation_id, void_from)


def _void_from(now: Moment, expires: object) -> Moment | None:
    match expires:
        case None:
            return None
        case datetime():
            moment = moment_of(aware("the moment when an event expires", expires))
            if moment <= now + _YEAR // _MICROSECOND:
                return moment
        case timedelta() if timedelta(0) < expires <= _YEAR:
            return Moment(now + expires // _MICROSECOND)
        case _:
            pass
    raise PayloadError(
        f"expires must be a positive timedelta of at most 365 days, or a moment within them, not {shown(expires)}",
        hint="for example timedelta(hours=1), or datetime.now(UTC) + timedelta(hours=1)",
    )
