"""Changing a saga that no process works on: one way, for verbs, outside events and messages alike.

The saga is decided on as one statement gave it: state, plan, revision, token and count of messages are of one moment
(`UnownedSaga`). The write is a compare-and-set against that moment: it matches nothing if anything has changed since, and
the caller looks again. A saga whose owner is gone is claimed first, and then decided on as the claim gave it: until the
claim its owner may still commit, however long its lease is over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec
from returns.result import Failure

from saga_fn.core.effects import Refusal, Rejection
from saga_fn.core.event_kinds import step_of
from saga_fn.core.event_matching import answer_to, has_more_to_read
from saga_fn.core.events import Event, name_of
from saga_fn.core.facts import due
from saga_fn.core.hooks import hooks_of
from saga_fn.core.ids import Moment
from saga_fn.core.leftovers import left_over
from saga_fn.core.owning import is_interrupted, not_before, taken_back, upon_taken_back
from saga_fn.core.plan import Plan
from saga_fn.core.projection import ended_as, project
from saga_fn.core.state import SagaState
from saga_fn.core.transition import transition
from saga_fn.engine.commit.outcome import Applied, Refused
from saga_fn.engine.drive.attributes import Unknown, set_by, sources_before
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.outgoing import Said, Source, rows_of
from saga_fn.engine.drive.set_aside import usable_state
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.observe.fact import SagaIdentity
from saga_fn.engine.observe.of_sagas import SagaEnded, SagaTurnedBack, TakenUpAgain
from saga_fn.engine.observe.of_troubles import AttributeUnknown
from saga_fn.engine.views.plans import require_plan
from saga_fn.errors import StoreError
from saga_fn.store.ids import new_uuid, shard_of
from saga_fn.store.records import (
    MOST_READ,
    Attributes,
    Entry,
    InboxMessage,
    OutgoingRow,
    SagaRecord,
    SagaWrite,
    SeenSaga,
    moment_of,
)


class UnownedSaga(msgspec.Struct, frozen=True):
    """A saga that no process works on, at one moment."""

    identity: SagaIdentity
    plan: Plan
    state: SagaState
    token: UUID | None
    inbox_sent: int
    last_error: str | None
    now: Moment
    lease_end: Moment
    """Until when an owner that it is taken from may still be running its steps."""
    interrupted: bool
    """Whether what is executed by its state is lost, and that is to be recorded first."""
    aggregation_id: str | None = None


class Decided(msgspec.Struct, frozen=True):
    """The consequences of some events for a saga as it stands. None of them has happened yet."""

    at: UnownedSaga
    state: SagaState
    entries: tuple[Entry, ...]
    answers: tuple[tuple[UUID, str], ...]
    """To the messages that brought the events, the refused ones too."""
    refused: tuple[tuple[Incoming, Rejection], ...]
    left: frozenset[UUID]
    """Messages that stay unread, because the saga has no room for their events."""
    no_room: SagaState | None
    """As the saga was when it had no room for the first of them."""
    said: tuple[Said, ...] = ()
    """The hooks that the entries call, if its definition has them."""
    turned_back: Event | None = None
    """The event that turned the saga back, if one of these did."""


async def change(
    engine: SagaEngine,
    row: SagaRecord,
    make: Callable[[UnownedSaga], Incoming],
    *,
    by_force: bool = False,
    writer: UUID | None = None,
) -> Rejection | bool:
    """Apply the event that `make` gives for the saga as it stands; the saga was read as `row` just now.

    Returns True once that is durable, the core's rejection if it refuses the event, and False if the saga has become
    another since it was read: then look again. `by_force` takes the saga from an owner whose lease is running, too.
    `writer` is the id of the write. Default: None, a new one.
    Raises RowRefusedError if the database cannot keep the row.
    """
    at = await _as_read(engine, row, by_force=by_force)
    decided = decide(at, [make(at)])
    if row.owner is None or decided.refused:  # nothing is taken from an owner for what would be refused
        return (
            decided.refused[0][1]
            if decided.refused
            else await write(engine, decided, await _messages(engine, at), writer)
        )
    taken = await (_taken(engine, at, row) if by_force else _claimed(engine, row))
    if taken is None:
        return False
    done: Rejection | bool = False
    try:
        decided = decide(taken, [make(taken)])
        if decided.refused:
            done = decided.refused[0][1]
        else:
            done = await write(engine, decided, await _messages(engine, taken), writer)
    finally:
        if done is not True and taken.token is not None and not by_force:
            # Else its lease runs out, as it does after force: what it was taken from may run on until then.
            with contextlib.suppress(StoreError):
                await engine.store.release(shard_of(row.id, engine.store.shards), {row.id: taken.token})
    return done


def identity_of(row: SagaRecord) -> SagaIdentity:
    """The saga, as facts name it."""
    return SagaIdentity(row.id, row.name, row.version, row.trace_id, row.created_at)


def seen_free(free: SeenSaga, plan: Plan) -> UnownedSaga:
    """A saga that has no owner, as a statement has seen it; `plan` is its own. Raises StoredDataError."""
    state = usable_state(plan, free.state, free.rev, ended=None)
    return UnownedSaga(
        identity=SagaIdentity(free.id, free.name, free.version, free.trace_id, free.created_at),
        plan=plan,
        state=state,
        token=None,
        inbox_sent=free.inbox_sent,
        last_error=free.last_error,
        now=free.now,
        lease_end=free.now,
        interrupted=is_interrupted(state, leased=False),
        aggregation_id=free.aggregation_id,
    )


async def read_unowned(engine: SagaEngine, row: SagaRecord, plan: Plan | None = None) -> UnownedSaga:
    """A saga that has no owner, as it was read. `plan` is its own, if that is at hand. Raises StoredDataError."""
    return await _as_read(engine, row, by_force=False, plan=plan)


def decide(at: UnownedSaga, items: Sequence[Incoming]) -> Decided:
    """Fold what has come, in order, on the saga as it stands."""
    state = at.state
    entries: list[Entry] = []
    answers: list[tuple[UUID, str]] = []
    refused: list[tuple[Incoming, Rejection]] = []
    left: set[UUID] = set()
    no_room: SagaState | None = None
    said: list[Said] = []
    turned_back: Event | None = None
    if at.interrupted:
        items = [Incoming(taken_back(at.now)), *(_upon(item, at.state) for item in items)]
    for told in items:
        item = msgspec.structs.replace(told, event=not_before(told.event, state.at))
        decision = transition(at.plan, state, item.event)
        if isinstance(decision, Failure):
            rejection: Rejection = decision.failure()
            if rejection.refusal is Refusal.NO_ROOM and item.message is not None:
                left.add(item.message)
                no_room = no_room or state
                continue
            refused.append((item, rejection))
            answer = rejection.answer
        else:
            before, state = state, decision.unwrap().state
            if hooks := hooks_of(before, state):
                parked = project(at.plan, state).parked
                said.append(Said(state.rev, state.at, hooks=hooks, error=at.last_error, parked=parked))
            if state.goes_back and not before.goes_back:
                turned_back = item.event
            entries.append(Entry(item.event, item.input, item.payload))
            answer = answer_to(item.event, state)
        if item.message is not None:
            answers.append((item.message, answer))
    return Decided(
        at, state, tuple(entries), tuple(answers), tuple(refused), frozenset(left), no_room, tuple(said), turned_back
    )


def _upon(item: Incoming, left: SagaState) -> Incoming:
    return msgspec.structs.replace(item, event=upon_taken_back(item.event, left))


async def write(
    engine: SagaEngine, decided: Decided, messages: Sequence[InboxMessage], writer: UUID | None = None
) -> bool:
    """Make it durable; False if the saga is another by now. `messages` are those that no owner has answered yet.

    An end answers them. Else those that were not decided on make the saga due, so that the next owner reads them, and so
    do those that it may have room for now, and those that stand behind so many.
    """
    at, state = decided.at, decided.state
    answered = {message for message, _ in decided.answers}
    unread = [message.id for message in messages if message.id not in answered]
    to_read = not decided.left.issuperset(unread) or has_more_to_read(
        decided.no_room, state, more=len(messages) >= MOST_READ
    )
    finished = [(message, Refusal.FINISHED.value) for message in unread] if state.ended else []
    attributes, unknown = await _attributes(engine, decided)
    outgoing = _outgoing(engine, decided)
    outcome = await engine.committer.commit(
        SagaWrite(
            id=at.identity.id,
            token=at.token,
            rev=at.state.rev,
            state=state,
            projection=project(at.plan, state),
            release=True,
            due=due(at.plan, state, unread=to_read),
            inbox_seen=at.inbox_sent,
            last_error=at.last_error,
            entries=decided.entries,
            answers=(*decided.answers, *finished),
            writer=writer or new_uuid(),
            attributes=attributes,
            outgoing=outgoing,
        )
    )
    if isinstance(outcome, Refused):
        raise outcome.error
    if not isinstance(outcome, Applied):
        return False
    for attribute, step, error in unknown:
        engine.observers.tell(AttributeUnknown(at.identity, attribute, step, type(error).__name__))
    if outgoing:
        engine.topics.written(at.identity.id, at.identity.name, at.identity.version, outgoing, outcome.earlier)
    engine.notify_processes(None, at.now)
    if decided.turned_back is not None:
        event = decided.turned_back
        engine.observers.tell(SagaTurnedBack(at.identity, name_of(event), step_of(event)))
    if at.state.ended and not state.ended:  # a caller that was told that it has failed is wrong from now on
        engine.observers.tell(TakenUpAgain(at.identity, name_of(decided.entries[-1].event)))
    end = ended_as(state)
    if end is not None:
        engine.observers.tell(SagaEnded(at.identity, end, at.last_error, left_over(at.plan, state), state.at))
    return True


def _outgoing(engine: SagaEngine, decided: Decided) -> tuple[OutgoingRow, ...]:
    """The calls of hooks. For a definition that this process does not know, all of them: who knows it sees which it has."""
    if not decided.said:
        return ()
    identity = decided.at.identity
    registered = engine.registry.find(identity.name, identity.version)
    source = Source(
        identity.id,
        identity.name,
        identity.version,
        decided.at.aggregation_id,
        identity.trace_id,
        identity.kept_carrier,
        registered,
    )
    return rows_of(source, decided.said)


async def _attributes(engine: SagaEngine, decided: Decided) -> tuple[Attributes, tuple[Unknown, ...]]:
    """The search attributes that the outputs set which a person has given, or an event has brought.

    A process that gives an output knows the definition, for it judges the output. So does a process that reads messages.
    """
    at = decided.at
    registered = engine.registry.find(at.identity.name, at.identity.version)
    if registered is None or not registered.definition.set_by:
        return (), ()
    definition = registered.definition
    wanted = [(at.identity.id, seq) for seq in sources_before(definition, at.state, decided.state, decided.entries)]
    read = await engine.store.results(shard_of(at.identity.id, engine.store.shards), wanted) if wanted else {}
    payloads = {seq: recorded.payload for (_, seq), recorded in read.items()}
    return set_by(definition, at.state, decided.state, decided.entries, lambda seq: payloads.get(seq) or b"null")


async def _as_read(engine: SagaEngine, row: SagaRecord, *, by_force: bool, plan: Plan | None = None) -> UnownedSaga:
    plan = plan or await require_plan(engine, row)
    state = usable_state(plan, row.state, row.rev, ended=row.status if row.ended_at else None)
    return UnownedSaga(
        identity=identity_of(row),
        plan=plan,
        state=state,
        token=row.token,
        inbox_sent=row.inbox_sent,
        last_error=row.last_error,
        now=row.now,
        lease_end=moment_of(row.due_at) if row.owner is not None and row.due_at is not None else row.now,
        interrupted=not by_force and is_interrupted(state, leased=row.leased),
        aggregation_id=row.aggregation_id,
    )


async def _claimed(engine: SagaEngine, row: SagaRecord) -> UnownedSaga | None:
    """The saga, taken over from an owner that is gone, by the store's own judgement; None if that is not so."""
    claim = await engine.store.claim(row.id, owner=engine.owner, lease=engine.options.lease)
    if claim is None:
        return None
    plan = await require_plan(engine, row, claim.plan)
    state = usable_state(plan, claim.state, claim.rev, ended=None)
    return UnownedSaga(
        identity=identity_of(row),
        plan=plan,
        state=state,
        token=claim.token,
        inbox_sent=claim.inbox_sent,
        last_error=claim.last_error,
        now=claim.now,
        lease_end=claim.now,
        interrupted=is_interrupted(state, leased=False),
        aggregation_id=row.aggregation_id,
    )


async def _taken(engine: SagaEngine, at: UnownedSaga, row: SagaRecord) -> UnownedSaga | None:
    """The saga as it was read, taken from its owner; None if that one has written meanwhile."""
    assert row.token is not None, "an owner has a token"
    taken = await engine.store.take(
        row.id, token=row.token, rev=row.rev, owner=engine.owner, lease=engine.options.lease
    )
    if taken is None:
        return None
    return msgspec.structs.replace(
        at, token=taken.token, inbox_sent=taken.inbox_sent, lease_end=taken.lease_end, now=taken.now
    )


async def _messages(engine: SagaEngine, at: UnownedSaga) -> Sequence[InboxMessage]:
    return await engine.store.messages(at.identity.id) if at.inbox_sent else ()
