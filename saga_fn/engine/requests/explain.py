"""The explanation of a saga: its row, as one statement gave it, asked of the state machine on a copy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, assert_never

import attrs

from saga_fn.core.event_kinds import InputKind, Phase, attempt_of, input_of, outside_name, phase_of, step_of
from saga_fn.core.events import name_of
from saga_fn.core.explain.course import course
from saga_fn.core.explain.prospects import prospects
from saga_fn.core.explain.reasons import Cause, Reason, ended, reasons
from saga_fn.core.findings import finding_in
from saga_fn.core.ids import Moment
from saga_fn.core.leftovers import stays_done
from saga_fn.core.rewinding import begun_before
from saga_fn.core.state import ParkReason
from saga_fn.engine.drive.asked import Asked, asked_in
from saga_fn.engine.drive.misfit import THEIRS, told_of_misfit
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.deeds import Deed
from saga_fn.engine.requests.previews import WORK, ends_of, previews_of, room
from saga_fn.engine.views.failure import step_error_of, turn_of
from saga_fn.engine.views.known_saga import KnownSaga, known_saga
from saga_fn.engine.views.owner import owner_of
from saga_fn.engine.views.unsent import MOST, unsent_messages
from saga_fn.errors import StoredDataError
from saga_fn.explanation import Explanation, Happened, StandingReason, WaitingMessage
from saga_fn.snapshot import UnsentMessage
from saga_fn.store.records import JournalRecord, SagaRecord, decode_event, moment_of, time_of

_TRIED_AGAIN: Final = (Cause.RETRY, Cause.UNDO_RETRY, Cause.DOUBT)
_LAST: Final = 8
"""Entries of the journal that are shown."""
_ITS_ERROR_SAYS_WHY: Final = frozenset(
    {ParkReason.INPUT_FAILED, ParkReason.OUTPUT_LOST, ParkReason.OUTCOME_UNKNOWN, ParkReason.PAST_PIVOT}
)


async def explanation_of(engine: SagaEngine, row: SagaRecord, deed: Deed | None = None) -> Explanation:
    """Why the saga stands where its row says, and what each verb would do to it there, or that one alone. It takes no lock."""
    known = await known_saga(engine, row)
    state, plan = known.state, known.plan
    own_way = own = None
    if plan is not None and state is not None:
        news = known.news if row.due_at is not None else ()  # else no owner comes to read them
        own_way = course(plan, state, now=row.now, unread=news, owners=known.owners, most=room(state, WORK))
        await asyncio.sleep(0)
        own = prospects(plan, state)
        await asyncio.sleep(0)
    is_free = row.owner is None and not known.pauses
    entries = await engine.store.journal(row.id, after=max(0, row.rev - _LAST), last=row.rev, most=_LAST)
    end = await _end(engine, known, entries)
    unsent = await unsent_messages(engine, row, most=MOST + 1)
    return Explanation(
        saga_id=row.id,
        saga_name=row.name,
        version=row.version,
        revision=row.rev,
        aggregation_id=row.aggregation_id,
        status=row.status,
        goes_back=state is not None and state.goes_back,
        pauses=known.pauses,
        reasons=tuple(
            end or _public(each, entries, row, is_paused=bool(known.pauses) and _is_held_back(each, row.now))
            for each in _reasons(known)
        ),
        since=row.updated_at if state is None else time_of(state.at),
        until=row.due_at if is_free and row.due_at is not None and row.due_at > time_of(row.now) else None,
        looked_at=time_of(row.now),
        owner=await owner_of(engine, row, entries),
        is_worked_on=known.is_worked_on,
        unreadable=known.flaw,
        left_over=known.left_over,
        stays_done=() if plan is None or state is None else stays_done(plan, state),
        rewound=() if plan is None or state is None else begun_before(plan, state),
        course=() if own_way is None else own_way.moves,
        is_whole=own_way is None or own_way.is_whole,
        no_plan_fits=own_way is not None and own_way.misfit,
        ends_as=None if own_way is None else own_way.end,
        may_end_as=() if own is None else ends_of(own),
        last=tuple(map(_happened, entries)),
        verbs=tuple([each async for each in previews_of(engine, known, deed)]),
        outgoing=tuple(map(_waiting, unsent[:MOST])),
        has_more_outgoing=len(unsent) > MOST,
        unread=tuple(each.message for each in known.unread),
        misfit=None if known.misfit is None else told_of_misfit(known.misfit, THEIRS),
    )


def _reasons(known: KnownSaga) -> Iterator[Reason]:
    row, state, plan = known.row, known.state, known.plan
    is_gone = row.owner is not None and not row.leased
    over = moment_of(row.due_at) if is_gone and row.due_at is not None else None
    found: tuple[Reason, ...] = ()
    if plan is not None and state is not None:
        found = reasons(plan, state, leased=row.leased, lease_over=over)
    if state is None and row.ended_at is not None:
        yield Reason(Cause.ENDED)
    elif row.is_parked and not any(each.parked for each in found):  # the row was set aside as it stood
        why = ParkReason.STATE_UNREADABLE if state is None else ParkReason.ROW_REJECTED
        yield Reason(Cause.SET_ASIDE, parked=why)
    yield from found


def _public(
    reason: Reason, entries: Sequence[JournalRecord], row: SagaRecord, *, is_paused: bool = False
) -> StandingReason:
    return StandingReason(
        cause=reason.cause,
        step_id=reason.step,
        until=None if reason.until is None else time_of(reason.until),
        events=reason.events,
        parked=None if reason.parked is None else reason.parked.value,
        attempt=reason.attempt,
        failures=reason.failures,
        is_over=reason.until is not None and reason.until <= row.now,
        may_have_run=reason.may_have_run,
        transactional=reason.transactional,
        most_attempts=reason.most_attempts,
        probes_failed=reason.probes_failed,
        is_interrupted=reason.interrupted,
        lease_over=None if reason.lease_over is None else time_of(reason.lease_over),
        is_paused=is_paused,
        is_owned=row.leased and reason.cause is Cause.WORKER,
        error=_error(reason, entries),
    )


async def _end(engine: SagaEngine, known: KnownSaga, entries: Sequence[JournalRecord]) -> StandingReason | None:
    """Why a saga has ended otherwise than COMPLETED, with the failure that counts, if there was one; else None."""
    row, state, plan = known.row, known.state, known.plan
    if row.ended_at is None or row.status.is_success or state is None or plan is None:
        return None
    try:
        turn = await turn_of(engine, row, entries if len(entries) == row.rev else ())
    except StoredDataError:
        return None  # `SagaAdmin.verify` says which entry cannot be read
    failure = turn.failure
    reason = ended(plan, state, None if failure is None else failure.cause.failed)
    return attrs.evolve(
        _public(reason, entries, row),
        ended_as=row.status,
        error=None if failure is None else str(failure.step_error),
        verb=turn.verb,
        actor=turn.asked.actor,
        reason=turn.asked.reason,
    )


def _is_held_back(reason: Reason, now: Moment) -> bool:
    """Whether a pause makes it last longer."""
    match reason.cause:
        case Cause.RETRY | Cause.DOUBT | Cause.UNDO_RETRY | Cause.SLEEP | Cause.BEGIN | Cause.STOPPING | Cause.WORKER:
            return True
        case Cause.EVENT | Cause.UNDO_EVENT:  # it takes an event during a pause as well, but its deadline does not fire
            return reason.until is not None and reason.until <= now
        case Cause.RUNNING | Cause.PROBING | Cause.UNDOING:  # that comes to its end
            return False
        case Cause.PERSON | Cause.UNDO_PERSON | Cause.SET_ASIDE | Cause.ENDED:
            return False
        case _:
            assert_never(reason.cause)


def _error(reason: Reason, entries: Sequence[JournalRecord]) -> str | None:
    """The error of the last attempt, where it is made again, or where a person needs it to decide what to do.

    An attempt that was cut short with its process has left no error: that of an attempt before it says nothing of its outcome.
    """
    if reason.parked not in _ITS_ERROR_SAYS_WHY and reason.cause not in _TRIED_AGAIN:
        return None
    wanted = Phase.COMPENSATE if reason.cause is Cause.UNDO_RETRY else Phase.PROBE if reason.probes_failed else None
    for record in reversed(entries):
        try:
            event = decode_event(record.event)
        except StoredDataError:
            continue
        if step_of(event) != reason.step:
            continue
        if phase_of(event) is Phase.EXECUTE and attempt_of(event) not in (None, reason.attempt):
            return None
        if wanted is not None and phase_of(event) is not wanted:
            return None
        step_error = step_error_of(event, record)
        if step_error is not None:
            return step_error.fact
    return None


def _waiting(message: UnsentMessage) -> WaitingMessage:
    is_dead = message.dead_at is not None
    return WaitingMessage(
        message.id,
        message.topic,
        message.attempts,
        is_dead=is_dead,
        blocks=is_dead and message.blocks,
        error=message.error,
    )


def _happened(record: JournalRecord) -> Happened:
    try:
        event = decode_event(record.event)
    except StoredDataError as error:
        return Happened(record.seq, None, "unreadable", None, None, error.fact)
    step_error = step_error_of(event, record)
    asked = asked_in(record.input) if input_of(event) is InputKind.ASKED else Asked()
    told = None if step_error is None else str(step_error)
    return Happened(
        record.seq,
        time_of(event.at),
        name_of(event),
        step_of(event),
        attempt_of(event),
        told,
        asked.actor,
        asked.reason,
        outside_name(event) or None,
        finding_in(event),
        record.process,
    )
