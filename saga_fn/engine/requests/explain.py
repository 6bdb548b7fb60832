"""The explanation of a saga: its row, as one statement gave it, asked of the state machine on a copy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Final, assert_never
from uuid import UUID

import attrs
import msgspec

from saga_fn.core import acknowledgement
from saga_fn.core.effects import Refusal, Rejection
from saga_fn.core.event_kinds import InputKind, Phase, attempt_of, input_of, outside_name, phase_of, step_of
from saga_fn.core.events import OperatorVerb, name_of, takes_up
from saga_fn.core.explain.course import MoveKind, course
from saga_fn.core.explain.preview import Consequences, preview, questions
from saga_fn.core.explain.prospects import Prospects, prospects
from saga_fn.core.explain.reasons import Cause, Reason, ended, reasons
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.leftovers import LeftOver, all_that_may_be_left, left_over, stays_done
from saga_fn.core.plan import Plan
from saga_fn.core.projection import ENDED_UNREAD, SagaStatus
from saga_fn.core.rewinding import begun_before
from saga_fn.core.state import ParkReason, SagaState
from saga_fn.core.verbs import Verb
from saga_fn.engine.drive.asked import Asked, asked_in
from saga_fn.engine.drive.set_aside import usable_state
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.hold.roster import seen_within
from saga_fn.engine.requests.deeds import Deed
from saga_fn.engine.requests.operate import steps_of, told_of_refusal
from saga_fn.engine.views.failure import step_error_of, turn_of
from saga_fn.engine.views.pauses import pauses_by_name, pauses_of
from saga_fn.engine.views.plans import find_plan
from saga_fn.engine.views.unsent import MOST, unsent_messages
from saga_fn.errors import SagaError, StoredDataError
from saga_fn.explanation import Explanation, Happened, SagaOwner, StandingReason, VerbPreview, WaitingMessage
from saga_fn.snapshot import Pause, UnsentMessage
from saga_fn.store.ids import shard_of
from saga_fn.store.records import JournalRecord, SagaRecord, decode_event, moment_of, time_of

_LAST: Final = 8
"""Entries of the journal that are shown."""
_WORK: Final = 100_000
"""One explanation follows courses no further than this, in steps that are looked at: a saga of 200 items would take too long."""
_WORK_OF_ONE: Final = 60_000
"""Nor one course further than this: the other tasks of the process have their turn after each."""
_LONGEST: Final = 400
"""Events of one course."""
_ITS_ERROR_SAYS_WHY: Final = frozenset(
    {ParkReason.INPUT_FAILED, ParkReason.OUTPUT_LOST, ParkReason.OUTCOME_UNKNOWN, ParkReason.PAST_PIVOT}
)
_ANYBODY: Final = UUID(int=0)
UNREADABLE_STATE: Final = "state_unreadable"
NO_PLAN: Final = "plan_missing"
KEY_TAKEN: Final = "key_taken"
"""The codes for a verb that is refused for what the state machine knows nothing of."""


async def explanation_of(engine: SagaEngine, row: SagaRecord, deed: Deed | None = None) -> Explanation:
    """Why the saga stands where its row says, and what each verb would do to it there, or that one alone. It takes no lock."""
    known = await _known(engine, row)
    state, plan = known.state, known.plan
    own_way = own = None
    if plan is not None and state is not None:
        own_way = course(plan, state, most=_room(state, _WORK))
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
            end or _public(each, entries, is_paused=bool(known.pauses) and _is_held_back(each, row.now))
            for each in _reasons(known)
        ),
        since=row.updated_at if state is None else time_of(state.at),
        until=row.due_at if is_free and row.due_at is not None and row.due_at > time_of(row.now) else None,
        looked_at=time_of(row.now),
        owner=await _owner(engine, row, entries),
        is_worked_on=await _is_worked_on(engine, row),
        unreadable=known.flaw,
        left_over=_left_over(known),
        stays_done=() if plan is None or state is None else stays_done(plan, state),
        rewound=() if plan is None or state is None else begun_before(plan, state),
        course=() if own_way is None else own_way.moves,
        is_whole=own_way is None or own_way.is_whole,
        ends_as=None if own_way is None else own_way.end,
        may_end_as=() if own is None else _ends(own),
        last=tuple(map(_happened, entries)),
        verbs=tuple([each async for each in _verbs(engine, known, deed)]),
        outgoing=tuple(map(_waiting, unsent[:MOST])),
        has_more_outgoing=len(unsent) > MOST,
    )


@attrs.frozen
class _Known:
    """A row, as much of it as can be read, and what holds it back."""

    row: SagaRecord
    pauses: tuple[Pause, ...]
    is_paused_by_name: bool
    plan: Plan | None
    state: SagaState | None
    flaw: str | None


async def _known(engine: SagaEngine, row: SagaRecord) -> _Known:
    plan: Plan | None = None
    by_name = () if row.ended_at is not None and not row.has_failed else await pauses_by_name(engine, row)
    is_paused = bool(by_name)
    try:
        plan = await find_plan(engine, row)
        if plan is None:
            return _Known(row, by_name, is_paused, None, None, "its plan is not in the store")
        state = usable_state(plan, row.state, row.rev, ended=row.status if row.ended_at else None)
    except StoredDataError as error:
        return _Known(row, by_name, is_paused, plan, None, error.fact)
    pauses = by_name if state.ended or not state.paused_itself else await pauses_of(engine, row, state)
    return _Known(row, pauses, is_paused, plan, state, None)


def _reasons(known: _Known) -> Iterator[Reason]:
    row, state, plan = known.row, known.state, known.plan
    is_gone = row.owner is not None and not row.leased
    over = moment_of(row.due_at) if is_gone and row.due_at is not None else None
    found: tuple[Reason, ...] = () if plan is None or state is None else reasons(plan, state, lease_over=over)
    if state is None and row.ended_at is not None:
        yield Reason(Cause.ENDED)
    elif row.is_parked and not any(each.parked for each in found):  # the row was set aside as it stood
        why = ParkReason.STATE_UNREADABLE if state is None else ParkReason.ROW_REJECTED
        yield Reason(Cause.SET_ASIDE, parked=why)
    yield from found


def _public(reason: Reason, entries: Sequence[JournalRecord], *, is_paused: bool) -> StandingReason:
    return StandingReason(
        cause=reason.cause,
        step_id=reason.step,
        until=None if reason.until is None else time_of(reason.until),
        events=reason.events,
        parked=None if reason.parked is None else reason.parked.value,
        attempt=reason.attempt,
        failures=reason.failures,
        may_have_run=reason.may_have_run,
        transactional=reason.transactional,
        most_attempts=reason.most_attempts,
        lease_over=None if reason.lease_over is None else time_of(reason.lease_over),
        is_paused=is_paused,
        error=_error(reason, entries),
    )


async def _end(engine: SagaEngine, known: _Known, entries: Sequence[JournalRecord]) -> StandingReason | None:
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
        _public(reason, entries, is_paused=False),
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


async def _owner(engine: SagaEngine, row: SagaRecord, entries: Sequence[JournalRecord]) -> SagaOwner | None:
    if row.owner is None or row.due_at is None:
        return None
    seen = await engine.store.processes.find(row.owner)
    told = next((each.process for each in reversed(entries) if each.process is not None), None)
    return SagaOwner(
        row.owner,
        told if seen is None else seen.process,
        None if seen is None else seen.seen_at,
        row.due_at,
        is_gone=not row.leased,
    )


async def _is_worked_on(engine: SagaEngine, row: SagaRecord) -> bool:
    if row.leased:
        return True
    worked_on = await engine.store.processes.others(_ANYBODY, seen_within=seen_within())
    return any((name, version) == (row.name, row.version) for name, version, _ in worked_on)


def _left_over(known: _Known) -> tuple[LeftOver, ...]:
    if known.plan is None or not known.row.has_failed:
        return ()
    return all_that_may_be_left(known.plan) if known.state is None else left_over(known.plan, known.state)


def _error(reason: Reason, entries: Sequence[JournalRecord]) -> str | None:
    """The error of the last attempt, where a person needs it to decide what to do.

    An attempt that was cut short with its process has left no error: that of an attempt before it says nothing of its outcome.
    """
    if reason.parked not in _ITS_ERROR_SAYS_WHY:
        return None
    for record in reversed(entries):
        try:
            event = decode_event(record.event)
        except StoredDataError:
            continue
        if step_of(event) != reason.step:
            continue
        if phase_of(event) is Phase.EXECUTE and attempt_of(event) not in (None, reason.attempt):
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
        record.process,
    )


# Verbs.


def _asked(plan: Plan, known: _Known, state: SagaState, deed: Deed | None) -> Iterator[tuple[Verb, OperatorVerb]]:
    """The events of every verb, with nothing more said; or that of the one verb, with all that is given with it."""
    row = known.row
    until = moment_of(row.due_at) if row.owner is not None and row.due_at is not None else row.now
    if deed is None:
        yield from questions(plan, state, row.now, until=until)
    elif (event := deed.event(row.now, until=until)) is not None:
        yield deed.verb, event


async def _verbs(engine: SagaEngine, known: _Known, deed: Deed | None) -> AsyncGenerator[VerbPreview]:
    row, plan, state = known.row, known.plan, known.state
    here = _Here.of(engine, row)
    if plan is None or state is None:
        for each in _of_what_cannot_be_read(known, deed):
            yield attrs.evolve(each, not_here=here.why_not(each.verb))
    else:
        left = _WORK
        stopped = await engine.taken.stopped(row.id, row.rev) if row.ended_at is not None else ()
        holder = await _holder(engine, row)
        for verb, asked in _asked(plan, known, state, deed):
            event = _knowing(asked, stopped)
            orphaned = row.owner is not None and not row.leased
            said = preview(plan, state, event, orphaned=orphaned, most=_room(state, left))
            if isinstance(said, Consequences):
                left -= 2 * (1 + len(said.course.moves)) * _steps(state)
            await asyncio.sleep(0)
            if holder is not None and isinstance(said, Consequences) and not said.state.ended:
                fact = f"another saga, {holder}, is active for its business key"
                previewed = _refused(
                    verb, step_of(event), KEY_TAKEN, fact, "wait until that one has ended, or cancel it"
                )
            else:
                previewed = _previewed(verb, step_of(event), said, here.why_not(verb), row)
                if previewed.refusal == Refusal.UNKNOWN_STEP:
                    previewed = attrs.evolve(previewed, mend=steps_of(plan))
            yield _during_a_pause(previewed) if known.is_paused_by_name else previewed
    if deed is None or deed.verb is Verb.ACKNOWLEDGE:
        yield attrs.evolve(_of_acknowledging(known), not_here=here.why_not(Verb.ACKNOWLEDGE))


async def _holder(engine: SagaEngine, row: SagaRecord) -> UUID | None:
    """Who keeps a saga that has ended from being active again: another one that is, for the same business key."""
    if row.ended_at is None or row.aggregation_id is None:
        return None
    return await engine.store.active(shard_of(row.id, engine.store.shards), row.name, row.aggregation_id)


def _of_acknowledging(known: _Known) -> VerbPreview:
    row = known.row
    refusal = acknowledgement.refused(row.status, acknowledged=row.acknowledged)
    if refusal is not None:
        return _refused(Verb.ACKNOWLEDGE, None, refusal.value)
    return VerbPreview(
        Verb.ACKNOWLEDGE, None, True, ends_as=row.status, may_end_as=(row.status,), left_over=_left_over(known)
    )


def _room(state: SagaState, work: int) -> int:
    """How many events of a course may be followed, with so much work left."""
    return max(0, min(_LONGEST, min(work, _WORK_OF_ONE) // _steps(state)))


def _steps(state: SagaState) -> int:
    return len(state.steps) + 1


def _knowing(event: OperatorVerb, stopped: tuple[StepId, ...]) -> OperatorVerb:
    """The same, with what this process knows to have ended of what was cut short, as the verb itself would know it."""
    return msgspec.structs.replace(event, stopped=stopped) if stopped and takes_up(event) else event


@attrs.frozen
class _Here:
    """Whether this process can ask for verbs."""

    is_read_only: str | None
    is_registered: bool

    @classmethod
    def of(cls, engine: SagaEngine, row: SagaRecord) -> _Here:
        """The abilities of this process, for that saga."""
        is_registered = engine.registry.find(row.name, row.version) is not None
        try:
            engine.gate.require_writes()
        except SagaError as error:
            return cls(error.fact, is_registered)
        return cls(None, is_registered)

    def why_not(self, verb: Verb) -> str | None:
        """Why this process cannot ask for the verb."""
        if self.is_read_only is None and verb.needs_output and not self.is_registered:
            return "this process has not registered the saga, and could not check the output"
        return self.is_read_only


def _of_what_cannot_be_read(known: _Known, deed: Deed | None) -> Iterator[VerbPreview]:
    """The verbs upon a saga that the state machine cannot be asked about: `abort` alone needs neither state nor plan."""
    steps = [] if known.plan is None else [planned.step for planned in known.plan.steps]
    if deed is not None:
        steps = [StepId(deed.step)]
    lost = known.flaw is not None and known.plan is None and known.flaw.endswith("not in the store")
    for verb in Verb if deed is None else [deed.verb]:
        if verb is Verb.ACKNOWLEDGE:
            continue
        for step in steps if verb.names_a_step else [None]:
            if lost:
                yield _refused(verb, step, NO_PLAN, "its plan is not in the store", "was the table saga_plan emptied?")
            elif verb is not Verb.ABORT:
                mend = "restore the row, or end it with abort"
                yield _refused(verb, step, UNREADABLE_STATE, f"it cannot be read: {known.flaw}", mend)
            elif known.row.ended_at is not None:
                yield _refused(verb, None, Refusal.FINISHED.value, status=known.row.status)
            else:
                left = () if known.plan is None else all_that_may_be_left(known.plan)
                ends = ENDED_UNREAD.status
                yield VerbPreview(verb, None, True, ends_as=ends, left_over=left, may_end_as=(ends,))


def _refused(
    verb: Verb,
    step: str | None,
    refusal: str,
    fact: str | None = None,
    mend: str | None = None,
    *,
    status: SagaStatus | None = None,
) -> VerbPreview:
    if fact is None:
        said, mend = told_of_refusal(refusal, status)
        fact = f"the saga {said}"
    return VerbPreview(verb, step, False, refusal.partition(":")[0], fact, mend)


def _previewed(
    verb: Verb, step: StepId | None, said: Rejection | Consequences, not_here: str | None, row: SagaRecord
) -> VerbPreview:
    if isinstance(said, Rejection):
        return attrs.evolve(_refused(verb, step, said.answer, status=row.status), unnamed=said.unnamed)
    return VerbPreview(
        verb,
        step,
        True,
        not_here=not_here,
        at_once=said.at_once,
        after_pause=said.after_pause,
        course=said.course.moves,
        is_whole=said.course.is_whole,
        ends_as=said.course.end,
        left_over=said.left_over,
        stays_done=said.stays_done,
        goes_on_at=time_of(said.due) if said.due is not None and said.due > row.now else None,
        may_end_as=_ends(said.prospects),
        may_be_undone=said.prospects.may_be_undone,
        may_be_left=said.prospects.may_be_left,
        another_key=said.another_key,
        runs_on=said.runs_on,
        forgotten=said.forgotten,
        rows_may_stand=said.rows_may_stand,
    )


def _during_a_pause(said: VerbPreview) -> VerbPreview:
    """The same for a paused saga: what runs can be cut short, and nothing else begins before the pause ends."""
    stops = tuple(move for move in said.at_once if move.kind is MoveKind.CUT_SHORT)
    begins = tuple(move for move in said.at_once if move.kind is not MoveKind.CUT_SHORT)
    return attrs.evolve(said, at_once=stops, after_pause=(*begins, *said.after_pause), goes_on_at=None)


def _ends(said: Prospects) -> tuple[SagaStatus, ...]:
    return tuple(status for status in SagaStatus if status in said.ends)
