"""Events that are refused before they are stored: a saga never waits for them, cannot read them, or has as many as it may."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from saga_fn.core.plan import Plan
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.outside_event import OutsideEvent
from saga_fn.engine.views.plans import require_plan
from saga_fn.errors import PayloadError, SagaNotRegisteredError, SagaStateError, shown
from saga_fn.store.connection import CallerConnection
from saga_fn.store.records import SagaRecord

INBOX_FULL: Final = "inbox_full"
KEPT_FULL: Final = "kept_full"
FULL: Final = frozenset({INBOX_FULL, KEPT_FULL})
"""Why an event is refused only because as many wait already as may, for the saga or for its business key: it is taken later."""


def unknown_event(saga: UUID | str, name: str, known: tuple[str, ...]) -> SagaStateError:
    """Nothing in the saga waits for an event of that name."""
    names = ", ".join(map(shown, known)) or "no event at all"
    return SagaStateError(
        f"saga {saga} never waits for an event {shown(name)}",
        saga_id=saga if isinstance(saga, UUID) else None,
        hint=f"it waits for {names}; add the wait to its definition, or send the event to another saga",
    )


def unreadable_event(saga: UUID | str, name: str, flaw: PayloadError | None = None) -> PayloadError:
    """A wait for the event in the saga expects another payload; `flaw` says more, where this process knows it."""
    return PayloadError(
        f"saga {saga} cannot read what event {shown(name)} brings{f': {flaw.fact}' if flaw is not None else ''}",
        hint="use the same Event, with the same type, where it is sent and where it is waited for",
    )


def too_many_unread(saga_id: UUID) -> SagaStateError:
    """The saga takes no further event."""
    return SagaStateError(
        f"saga {saga_id} has as many unread events as it may",
        saga_id=saga_id,
        refusal=INBOX_FULL,
        hint="send an event when it is wanted, or give it an expiry; is a worker running that knows the saga?",
    )


def too_many_kept(key: tuple[str, str]) -> SagaStateError:
    """No further event is kept for the business key."""
    return SagaStateError(
        f"as many events wait for saga {shown(key[0])} of {shown(key[1])} as one may take",
        refusal=KEPT_FULL,
        hint="start the saga, or give events an expiry; see SagaAdmin.kept_events",
    )


async def require_known(
    engine: SagaEngine, name: str, *, may_be_new: bool, connection: CallerConnection | None = None
) -> None:
    """Raise SagaNotRegisteredError for a name that no process knows: no saga of it with a business key is, or was, in the store."""
    if may_be_new or engine.registry.versions(name) or engine.elsewhere.has_name(name):
        return
    store = engine.store
    for shard in range(store.shards):
        if await store.kept_events.knows(shard, name, connection=connection):
            if connection is None:  # else it may be a saga that is not committed
                engine.elsewhere.learn_name(name)
            return
    raise SagaNotRegisteredError(
        name,
        registered=engine.registry.names,
        hint="check the name: no saga of it is stored, either; "
        "if the first one is still to come: to(target, event, may_be_new=True)",
    )


def check_versions(engine: SagaEngine, name: str, event: OutsideEvent) -> None:
    """Judge an event that is sent to a key, for a saga of any version: one of them has to wait for it, and be able to read it."""
    known = engine.registry.versions(name)
    waiting = [each.definition for each in known if event.name in each.definition.plan.events]
    if known and not waiting:
        names = {each for registered in known for each in registered.definition.plan.events}
        raise unknown_event(f"{shown(name)}", event.name, tuple(sorted(names)))
    flaws = [each.unreadable(event.name, event.payload, just_sent=True) for each in waiting]
    if flaws and None not in flaws:
        raise unreadable_event(f"{shown(name)}", event.name, flaws[-1])


async def check_event(
    engine: SagaEngine, row: SagaRecord, event: OutsideEvent, connection: CallerConnection | None = None
) -> Plan:
    """Judge an event that is sent to a saga: it has to wait for such a one, and be able to read it. Gives the saga's plan."""
    registered = engine.registry.find(row.name, row.version)
    plan = await require_plan(engine, row, connection=connection)
    names = plan.events
    if registered is not None:  # the process that reads it may go by a newer plan than the saga has now
        names |= registered.definition.plan.events
    if event.name not in names:
        raise unknown_event(row.id, event.name, tuple(sorted(names)))
    flaw = None
    if registered is not None:
        flaw = registered.definition.unreadable(event.name, event.payload, just_sent=True)
    if flaw is not None:
        raise unreadable_event(row.id, event.name, flaw)
    return plan
