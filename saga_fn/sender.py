"""Sending a typed event to a saga, from any process."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Generic, TypeVar, final
from uuid import UUID

from saga_fn.core.ids import Moment
from saga_fn.definition import Event
from saga_fn.engine.arguments import check_key
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.sending import Delivery, OutsideEvent, id_of, send_to_key, send_to_saga
from saga_fn.engine.waits import about, aware
from saga_fn.errors import PayloadError, PayloadTooLargeError
from saga_fn.store.records import moment_of

T = TypeVar("T")

_YEAR = timedelta(days=365)
_MICROSECOND = timedelta(microseconds=1)


@final
class EventSender(Generic[T]):
    """Sends one kind of event to one saga. `SagaOrchestrator.to` makes it."""

    def __init__(self, engine: SagaEngine, target: UUID | tuple[str, str], event: Event[T]) -> None:
        self._engine = engine
        self._target = target
        self._event = event

    async def send(
        self,
        payload: T,
        /,
        *,
        event_id: str | None = None,
        correlation_id: str | None = None,
        expires: timedelta | datetime | None = None,
    ) -> Delivery:
        """Send it; it is durable when this returns, and the answer says what became of it.

        Of two with the same `event_id` (that of the message it came with, say) the saga gets one. `correlation_id` says
        what it is about, where a wait wants to know. What `expires` is void after that long, or from that moment on, if
        nothing has taken it; what is kept for a business key, after a week at most. Raises PayloadError for what the event
        does not bring, SagaNotFoundError, and SagaStateError if the saga waits for no such event.
        """
        engine = self._engine
        engine.require_open()
        tp = self._event.payload
        data = tp.encode(tp.accept(payload))
        limit = engine.options.max_payload_bytes
        if len(data) > limit:
            raise PayloadTooLargeError(f"event {self._event.name!r}", size=len(data), limit=limit)
        check_key("event_id", event_id)
        if correlation_id is not None:
            about(correlation_id)
        event = OutsideEvent(id_of(event_id), self._event.name, data, correlation_id, self._void_from(expires))
        if isinstance(self._target, UUID):
            return await send_to_saga(engine, self._target, event)
        return await send_to_key(engine, self._target, event)

    def _void_from(self, expires: object) -> Moment | None:
        match expires:
            case None:
                return None
            case datetime():
                return moment_of(aware("the moment when an event expires", expires))
            case timedelta() if timedelta(0) < expires <= _YEAR:
                return Moment(self._engine.store.now() + expires // _MICROSECOND)
            case _:
                raise PayloadError(
                    f"expires must be a positive timedelta of at most 365 days, or a moment, not {expires!r:.80}",
                    hint="for example timedelta(hours=1), or datetime.now(UTC) + timedelta(hours=1)",
                )
