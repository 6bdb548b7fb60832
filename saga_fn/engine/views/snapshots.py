"""Snapshots: what a saga's row and journal say, for people. Reading takes no lock and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from saga_fn.codec.searchable import Searchable, value_in
from saga_fn.core.event_kinds import (
    InputKind,
    PayloadKind,
    Phase,
    attempt_of,
    input_of,
    is_success,
    outside_name,
    payload_of,
    phase_of,
    step_of,
)
from saga_fn.core.event_matching import is_void
from saga_fn.core.events import (
    Resumed,
    StepSkipped,
    name_of,
)
from saga_fn.core.fan_out import items_of
from saga_fn.core.findings import finding_in
from saga_fn.core.ids import Moment
from saga_fn.core.leftovers import LeftOver, all_that_may_be_left, left_over, stays_done
from saga_fn.core.owning import is_interrupted
from saga_fn.core.plan import Plan
from saga_fn.core.projection import Projection, SagaStatus, WaitReason, project
from saga_fn.core.rewinding import begun_before
from saga_fn.core.state import (
    DONE,
    TIMED,
    FannedOut,
    Goal,
    Joined,
    NotTaken,
    ParkReason,
    SagaState,
    Skipped,
    Sleeping,
    StepState,
    Succeeded,
    Undone,
    UndoWaiting,
    Waiting,
)
from saga_fn.core.step_report import report_of
from saga_fn.engine.drive.asked import Asked, asked_in
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.drive.set_aside import usable_state
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.views.failure import failure_of, step_error_of
from saga_fn.engine.views.owner import owner_of
from saga_fn.engine.views.pauses import pauses_of
from saga_fn.engine.views.plans import readable_plan
from saga_fn.engine.views.unread import unread_of
from saga_fn.engine.views.unsent import unsent_messages
from saga_fn.errors import StoredDataError
from saga_fn.snapshot import (
    HistoryEntry,
    HistoryStatus,
    SagaAdminSnapshot,
    SagaSnapshot,
    StepFailure,
    StepSnapshot,
    Unreadable,
    Wait,
    wait_token,
)
from saga_fn.store.ids import shard_of
from saga_fn.store.records import JournalRecord, SagaRecord, decode_event, time_of

R = TypeVar("R")

_SPREAD: Final[frozenset[type[object]]] = frozenset({FannedOut, Joined})


async def snapshot_of(engine: SagaEngine, row: SagaRecord) -> SagaSnapshot:
    """The saga as its row has it."""
    plan = await readable_plan(engine, row)
    return SagaSnapshot(**_fields(row, plan, *state_of(row, plan)))


def snapshot_of_ended(live: OwnedSaga) -> SagaSnapshot:
    """A saga that has ended in this process, whose state is at hand: what would be read of its row, without one."""
    state, shown, ended_at = live.state, live.ended_as, time_of(live.changed)
    assert shown is not None, "it has not ended here"
    return SagaSnapshot(
        id=live.id,
        saga_name=live.registered.name,
        version=live.registered.version,
        revision=state.rev,
        aggregation_id=live.aggregation_id,
        trace_id=live.trace_id,
        status=shown.status,
        waits=shown.waits,
        goes_back=False,
        current_step_id=shown.current_step,
        current_step_index=_done(state),
        retry_counter=shown.retry_counter,
        deadline_at=None,
        step_execution_token=None,
        last_error=live.last_error,
        parked=shown.parked,
        unreadable=None,
        left_over=left_over(live.plan, state),
        stays_done=stays_done(live.plan, state),
        rewound=begun_before(live.plan, state),
        acknowledged=False,
        waiting_for=waits_of(live.plan, state),
        buffered_events=tuple([event.name for event in state.buffered if not is_void(event, live.changed)]),
        begins_at=time_of(state.begins_at) if state.begins_at > state.at else None,
        paused_since=None,
        rolls_back_at=None,
        created_at=live.created_at,
        updated_at=ended_at,
        ended_at=ended_at,
    )


async def admin_snapshot_of(engine: SagaEngine, row: SagaRecord, *, after: int | None, most: int) -> SagaAdminSnapshot:
    """The saga with its data and a part of its history: `most` entries after that one, or the last."""
    begin = max(0, row.rev - most) if after is None else after
    journal = await engine.store.journal(row.id, after=begin, last=row.rev, most=most)
    rejections = await engine.store.rejections(row.id)
    history = tuple(_entry(record, row.created_at) for record in journal)
    plan = await readable_plan(engine, row)
    state, unreadable = state_of(row, plan)
    payloads = await _payloads_in(engine, row, state, journal)
    outputs = {
        step.step: _recorded(payloads, step.seq) if _gives(plan, step) else None
        for step in state.steps
        if isinstance(step, Succeeded | Skipped | Undone) and step.seq
    }
    outputs |= {step.step: None for step in state.steps if isinstance(step, NotTaken)}
    for step in state.steps:
        if isinstance(step, Joined) and outputs.keys() >= set(items_of(step)):
            outputs[step.step] = [outputs[item] for item in items_of(step)]
    context: dict[str, Any] = {  # Any: JSON of any types the saga has
        "saga_name": row.name,
        "initial_data": _recorded(payloads, 1),
        "step_outputs": outputs,
        "events": [_recorded(payloads, seq) for seq in state.events],
    }
    if state.latest_event_seq:
        context["latest_event"] = _recorded(payloads, state.latest_event_seq)
    return SagaAdminSnapshot(
        **_fields(row, plan, state, unreadable),
        failure=await _failure_in(engine, row, () if begin else journal),
        context=context,
        step_history=history,
        attributes=values_in((await engine.store.lists.attributes([row.id]))[row.id]),
        rejections=tuple(f"{rejection.kind}: {rejection.detail}" for rejection in rejections),
        steps=() if plan is None or unreadable else steps_of(plan, state),
        plan=plan,
        pauses=await pauses_of(engine, row, None if unreadable else state),
        outgoing=await unsent_messages(engine, row),
        owner=await owner_of(engine, row, journal),
        unread=tuple(each.message for each in await unread_of(engine, row)),
        is_interrupted=is_interrupted(state, leased=row.leased),
    )


async def _payloads_in(
    engine: SagaEngine, row: SagaRecord, state: SagaState, journal: Sequence[JournalRecord]
) -> Mapping[int, bytes | None]:
    """The payloads that the saga's data is made of, by their entries; those that are not in this part of it are read."""
    found = {record.seq: record.payload for record in journal}
    named = [step.seq for step in state.steps if isinstance(step, Succeeded | Skipped | Undone)]
    needed = {1, *named, *state.events, state.latest_event_seq} - found.keys() - {0}
    if needed and len(journal) < row.rev:
        shard = shard_of(row.id, engine.store.shards)
        read = await engine.store.results(shard, [(row.id, seq) for seq in sorted(needed)])
        found |= {seq: recorded.payload for (_, seq), recorded in read.items()}
    return found


async def _failure_in(engine: SagaEngine, row: SagaRecord, known: Sequence[JournalRecord]) -> StepFailure | None:
    try:
        if len(known) == row.rev and not any(step_error_of(decode_event(entry.event), entry) for entry in known):
            return None  # as of most sagas: nothing is folded where no entry tells of a failure
        return (await failure_of(engine, row, known))[1]
    except StoredDataError:
        return None  # the history shows which entry cannot be read


def steps_of(plan: Plan, state: SagaState) -> tuple[StepSnapshot, ...]:
    """The status of each step."""
    return tuple(
        StepSnapshot(
            step_id=step.step_id,
            status=step.status,
            attempt=step.attempt,
            failures=step.failures,
            wakes_at=None if step.wake is None else time_of(step.wake),
            parked=step.parked,
            awaits=step.awaits,
        )
        for step in report_of(plan, state)
    )


def record_of(live: OwnedSaga) -> SagaRecord:
    """The row of a saga that has ended in this process, as its last commit wrote it."""
    shown = live.ended_as
    assert shown is not None, "it has not ended here"
    return SagaRecord(
        id=live.id,
        name=live.registered.name,
        version=live.registered.version,
        aggregation_id=live.aggregation_id,
        trace_id=live.trace_id,
        request=b"",
        plan=live.plan.id,
        status=shown.status,
        waits=shown.waits,
        state=b"",  # it is not read here: `live` has it
        rev=live.state.rev,
        token=None,
        owner=None,
        due_at=None,
        inbox_sent=live.inbox_sent,
        retry_counter=shown.retry_counter,
        last_error=live.last_error,
        parked=shown.parked,
        problem_step=shown.problem_step,
        acknowledged=False,
        created_at=live.created_at,
        updated_at=time_of(live.changed),
        ended_at=time_of(live.changed),
        leased=False,
        now=live.changed,
    )


def state_of(row: SagaRecord, plan: Plan | None) -> tuple[SagaState, str | None]:
    """The saga's state; where it cannot be read, one that says nothing, and the reason."""
    blank = SagaState(plan=row.plan, rev=row.rev, at=row.now)
    try:
        return usable_state(plan, row.state, row.rev, ended=row.status if row.ended_at else None), None
    except StoredDataError as error:
        return blank, error.fact


def _parked(row: SagaRecord, shown: Projection | None, unreadable: str | None) -> str | None:
    """Why the saga waits for a person. A row that was set aside says so, whatever its state says."""
    if shown is not None and shown.parked is not None:
        return shown.parked
    if row.waits is WaitReason.NOTHING or not row.waits & WaitReason.PARKED:
        return None
    return (ParkReason.ROW_REJECTED if unreadable is None else ParkReason.STATE_UNREADABLE).value


def _left_over(row: SagaRecord, plan: Plan | None, state: SagaState, unreadable: str | None) -> tuple[LeftOver, ...]:
    if plan is None:
        return ()
    if row.status is SagaStatus.FAILED and unreadable:
        return all_that_may_be_left(plan)
    return left_over(plan, state)


def _fields(
    row: SagaRecord, plan: Plan | None, state: SagaState, unreadable: str | None
) -> dict[str, Any]:  # Any: constructor arguments of a snapshot
    shown = None if plan is None or unreadable else project(plan, state)
    return {
        "id": row.id,
        "saga_name": row.name,
        "version": row.version,
        "revision": row.rev,
        "aggregation_id": row.aggregation_id,
        "trace_id": row.trace_id,
        "status": row.status,
        "waits": row.waits,
        "goes_back": state.goes_back,
        "current_step_id": None if shown is None else shown.current_step,
        "current_step_index": _done(state),
        "retry_counter": row.retry_counter,
        "deadline_at": row.due_at,
        "step_execution_token": None if row.ended_at else row.token or wait_token(row.id, row.rev),
        "last_error": row.last_error,
        "parked": _parked(row, shown, unreadable),
        "unreadable": unreadable,
        "acknowledged": row.acknowledged,
        "left_over": _left_over(row, plan, state, unreadable),
        "stays_done": () if plan is None else stays_done(plan, state),
        "rewound": () if plan is None else begun_before(plan, state),
        "waiting_for": waits_of(plan, state),
        "buffered_events": tuple(event.name for event in state.buffered if not is_void(event, row.now)),
        "begins_at": time_of(state.begins_at) if state.begins_at > state.at else None,
        "paused_since": None if state.pause is None or state.ended else _time_of(state.pause.since),
        "rolls_back_at": _time_of(state.deadline) if state.goal is Goal.FORWARD else None,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "ended_at": row.ended_at,
    }


def _gives(plan: Plan | None, step: StepState) -> bool:
    return plan is None or plan.gives(step.step)


def waits_of(plan: Plan | None, state: SagaState) -> tuple[Wait, ...]:
    """The waits of its steps; without the plan the names of events are missing."""
    if TIMED.isdisjoint(map(type, state.steps)):
        return ()
    found: list[Wait] = []
    for step in state.steps:
        match step:
            case Waiting(step=name, times_out_at=until):
                names = () if plan is None else plan.step(name).waits_for
                found.append(Wait(name, names, _time_of(until)))
            case UndoWaiting(step=name, names=names, times_out_at=until):
                found.append(Wait(name, names, _time_of(until)))
            case Sleeping(step=name, wake=wake):
                found.append(Wait(name, (), time_of(wake)))
            case _:
                pass
    return tuple(found)


def _time_of(moment: Moment | None) -> datetime | None:
    return None if moment is None else time_of(moment)


def _done(state: SagaState) -> int:
    if _SPREAD.isdisjoint(map(type, state.steps)):
        return sum(map(DONE.__contains__, map(type, state.steps)))
    done = [step.step for step in state.steps if type(step) in DONE]
    spread = [step for step in state.steps if type(step) is FannedOut or type(step) is Joined]
    return len(set(done).difference(*map(items_of, spread)))


def _entry(record: JournalRecord, started: datetime) -> HistoryEntry:
    try:
        event = decode_event(record.event)
    except StoredDataError as error:
        return HistoryEntry(
            seq=record.seq,
            kind="unreadable",
            phase=Phase.SAGA.value,
            status=HistoryStatus.ERROR,
            step_id=None,
            attempt=None,
            timestamp=started,  # when it was recorded, the event alone would say
            token=record.writer,
            skipped=False,
            input=_plain(record.input),
            output=_plain(record.payload),
            error=error.fact,
            process=record.process,
        )
    step_error = step_error_of(event, record)
    status = HistoryStatus.INFO
    if step_error is not None:
        status = HistoryStatus.ERROR
    elif is_success(event):
        status = HistoryStatus.SUCCESS
    given, asked = record.input, Asked()
    if input_of(event) is InputKind.ASKED:
        given = record.payload if payload_of(event) is PayloadKind.INPUT else None
        asked = asked_in(record.input)
    return HistoryEntry(
        seq=record.seq,
        kind=name_of(event),
        phase=phase_of(event).value,
        status=status,
        step_id=step_of(event),
        attempt=attempt_of(event),
        timestamp=time_of(event.at),
        token=record.writer,
        skipped=isinstance(event, StepSkipped),
        input=_plain(given),
        output=_plain(record.payload) if payload_of(event) is PayloadKind.VALUE else None,
        error=None if step_error is None else str(step_error),
        business_error=None if step_error is None else _plain(step_error.data),
        event=outside_name(event) or None,
        actor=asked.actor,
        reason=asked.reason,
        takeover=isinstance(event, Resumed) and event.takeover,
        process=record.process,
        finding=finding_in(event),
    )


def values_in(texts: Mapping[str, str]) -> dict[str, Searchable | Unreadable]:
    """The values of search attributes, by their names."""
    return {key: _value(text) for key, text in texts.items()}


def _value(text: str) -> Searchable | Unreadable:
    try:
        value = value_in(text)
    except StoredDataError:
        value = None
    return Unreadable(len(text)) if value is None else value


def _recorded(payloads: Mapping[int, bytes | None], seq: int) -> Any:  # Any: JSON
    return _plain(payloads[seq]) if seq in payloads else Unreadable(None)


def _plain(payload: bytes | None) -> Any:  # Any: JSON
    if payload is None:
        return None
    try:
        return msgspec.json.decode(payload)
    except (ValueError, RecursionError):  # msgspec's errors, and UnicodeDecodeError
        return Unreadable(len(payload))
