"""Whether a process can do its work, and what a person should look at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.hold.roster import counted, look_around
from saga_fn.engine.hold.suspects import Suspects
from saga_fn.engine.views.misfits import misfits
from saga_fn.engine.views.stats import OVERDUE
from saga_fn.engine.worker import Worker
from saga_fn.errors import (
    SagaError,
    SchemaDiffersError,
    SchemaMissingError,
    SchemaTooNewError,
    ServerTooOldError,
    shown,
)
from saga_fn.snapshot import Attention, AttentionKind, Health
from saga_fn.store.eras import MONTHS_LEFT, era_of, month_of
from saga_fn.store.records import (
    MOST_COUNTED,
    PAUSED_LONG,
    DueWork,
    Notice,
    Noticed,
    OutgoingCounts,
    PauseRecord,
    time_of,
)
from saga_fn.store.rights import Right, RoleKind, named, needs

HEALTH_LIMIT: float = 3.0
"""Seconds after which a database that has not answered is taken not to answer."""
CLOCKS_AGREE: Final = timedelta(seconds=5)
"""The clocks of the process and of the database may differ by no more, the time that the question took apart."""


_WAITED_LONG: Final = timedelta(minutes=10)
_NO_MESSAGES: Final = OutgoingCounts(0, None, 0)


async def health_of(engine: SagaEngine, worker: Worker, *, entered: bool, read_only: bool) -> Health:
    """The answer of `SagaOrchestrator.health` for a process that can reach its store, or should be able to."""
    problems: list[str] = []
    work: DueWork | None = None
    attention: list[Attention] = []
    pauses: list[PauseRecord] = []
    lacking: frozenset[Right] = frozenset()
    messages = _NO_MESSAGES
    database = schema = True
    apart: timedelta | None = None
    try:
        async with asyncio.timeout(HEALTH_LIMIT):
            await engine.definitions.judge_names()
            asked = datetime.now(UTC)
            work = await engine.store.due_work(engine.registry.pairs)
            apart = _apart(asked, time_of(work.now), datetime.now(UTC))
            attention = _of_all(await look_around(engine.store))
            pauses = await engine.store.pauses.read()
            lacking = await engine.store.lacking()
            attention += await misfits(engine) if lacking.isdisjoint(needs(RoleKind.VIEWER)) else ()
            messages = await _messages(engine, lacking)
    except TimeoutError:
        database = False
        problems.append(f"the database does not answer: nothing came for {HEALTH_LIMIT:g} s")
    except (SchemaMissingError, SchemaTooNewError, SchemaDiffersError, ServerTooOldError) as error:
        schema = False
        problems.append(error.fact)
    except SagaError as error:
        database = False
        problems.append(error.fact)
    problems += [
        f"the database's encoding cannot hold the saga name {shown(name)}" for name in sorted(engine.registry.left_out)
    ]
    wanted = entered and engine.options.concurrency > 0
    works = not wanted or (worker.running and not worker.failures)
    if not works:
        problems.append(f"the worker cannot look for due sagas: {worker.last_error or 'it does not run'}")
    if engine.committer.problem is not None:
        problems.append(engine.committer.problem)
    if wanted and (missing := [right for right in _needs_to_work() if right in lacking]):
        problems.append(_lacks(RoleKind.WORKER, missing))
    if work is not None:
        attention += [*_of_work(work), *_of_pauses(pauses, time_of(work.now) - PAUSED_LONG)]
        attention += _of_messages(messages, time_of(work.now))
    if apart is not None and engine.store.attendants is None:  # a store of this process alone has a clock of its own
        attention.append(_clocks(apart))
    if engine.store.deaf is not None:
        attention.append(Attention(AttentionKind.DEAF, f"this process hears of nothing: {engine.store.deaf}"))
    of_rights = (
        _of_a_worker(lacking, deletes=engine.deleting.wanted) if wanted else _of_others(lacking, read_only=read_only)
    )
    if of_rights is not None:
        attention.append(Attention(AttentionKind.RIGHTS, of_rights))
    attention += _of_this_process(engine, worker)
    return Health(
        ok=not problems,
        database=database,
        schema=schema,
        worker=works,
        in_flight=len(engine.held),
        oldest_due=None if work is None else work.oldest_due,
        problems=tuple(problems),
        attention=tuple(attention),
    )


def _of_this_process(engine: SagaEngine, worker: Worker) -> list[Attention]:
    found = [_kept(*definition, why) for definition, why in engine.deleting.failed.items()]
    if worker.slots_held:
        found.append(_slots_held(engine, worker.slots_held))
    if engine.suspects.waited:
        found.append(_suspects(engine.suspects))
    found += [_hangs(lane.name) for lane in engine.relay.lanes if lane.hangs]
    found += [Attention(AttentionKind.CONSUMER, text) for ask in engine.troubles if (text := ask()) is not None]
    return found


def _hangs(topics: str) -> Attention:
    text = f"the publisher of {topics} goes on with a call that was cut short: the messages that it publishes wait"
    return Attention(AttentionKind.PUBLISHER, text)


def _kept(name: str, version: int, why: str) -> Attention:
    text = f"{shown(name)} v{version}: its sagas are kept, though their retention is over: {why}"
    return Attention(AttentionKind.RETENTION, text, saga_name=name, version=version)


def _needs_to_work() -> list[Right]:
    return [right for right in needs(RoleKind.WORKER) if right not in _TO_SAY_SO]


_TO_SAY_SO: Final = frozenset(Right("saga_process", privilege) for privilege in ("INSERT", "UPDATE", "DELETE"))
"""The right that a worker needs to say what it works on, and for nothing else."""


def _lacks(kind: RoleKind, missing: Iterable[Right]) -> str:
    article = "an" if kind is RoleKind.OPERATOR else "a"
    return (
        f"the role of this process has not {article} {kind}'s rights: it lacks {named(missing)} "
        f"(python -m saga_fn.store.migrate --dsn ... --grant {kind}=ROLE gives them)"
    )


def _of_a_worker(lacking: frozenset[Right], *, deletes: bool) -> str | None:
    missing = [right for right in needs(RoleKind.PRUNER) if right in lacking] if deletes else []
    if missing:
        return f"{_lacks(RoleKind.PRUNER, missing)}, so it deletes no saga whose retention is over"
    missing = [right for right in needs(RoleKind.WORKER) if right in lacking & _TO_SAY_SO]
    if not missing:
        return None
    return (
        f"{_lacks(RoleKind.WORKER, missing)}, so it cannot say what it works on: others may take its sagas for unowned"
    )


def _of_others(lacking: frozenset[Right], *, read_only: bool) -> str | None:
    """The problems of a process that works on nothing; only its calls will tell its kind."""
    kinds = (RoleKind.VIEWER,) if read_only else (RoleKind.STARTER, RoleKind.SENDER, RoleKind.OPERATOR)
    missing = {kind: [right for right in needs(kind) if right in lacking] for kind in kinds}
    if not lacking or not all(missing.values()):
        return None
    writes = {right for kind in kinds for right in needs(kind) if right.privilege != "SELECT"}
    if not read_only and writes <= lacking and not lacking.intersection(needs(RoleKind.VIEWER)):
        wanted = " or ".join(f"--grant {kind}=ROLE" for kind in kinds)
        return (
            "the role of this process may only look at sagas: every start, event and verb is refused. Pass read_only=True if "
            f"that is meant, or python -m saga_fn.store.migrate --dsn ... {wanted}"
        )
    nearest = min(missing, key=lambda kind: len(missing[kind]))
    return _lacks(nearest, missing[nearest])


def not_entered(fact: str, *, in_flight: int) -> Health:
    """The health of a process that has no connection, because it was not entered or was left."""
    return Health(
        ok=False,
        database=False,
        schema=False,
        worker=False,
        in_flight=in_flight,
        oldest_due=None,
        problems=(fact,),
    )


def _of_all(notices: Iterable[Noticed]) -> list[Attention]:
    """One line for each kind, name and version: a store gives one for each shard."""
    merged: dict[tuple[Notice, str, int], Noticed] = {}
    for each in notices:
        key = each.kind, each.name, each.version
        before = merged.get(key)
        if before is not None:
            sagas = min(before.sagas + each.sagas, MOST_COUNTED)
            each = Noticed(*key, sagas, (*before.ids, *each.ids)[:3])  # noqa: PLW2901 - the two in one
        merged[key] = each
    return [_attention(each) for _, each in sorted(merged.items())]


def _attention(each: Noticed) -> Attention:
    what = f"{counted(each)} of {each.name} v{each.version}"
    match each.kind:
        case Notice.PARKED:
            kind, text = AttentionKind.PARKED, f"{what}: waiting for a person"
        case Notice.UNOWNED:
            kind, text = AttentionKind.UNOWNED, f"{what}: due, but no process works on this version"
        case Notice.FAILED:
            kind, text = AttentionKind.FAILED, f"{what}: ended FAILED, and no operator has acknowledged it"
        case Notice.PAUSED:
            kind, text = AttentionKind.PAUSED, f"{what}: paused one by one, and unchanged for an hour or longer"
        case Notice.STILL:
            kind, text = AttentionKind.STILL, f"{what}: worked on for an hour or longer without any progress"
        case _:
            assert_never(each.kind)
    return Attention(kind, text, each.sagas, each.name, each.version, each.ids)


def _of_work(work: DueWork) -> Iterator[Attention]:
    if work.oldest_due is not None and time_of(work.now) - work.oldest_due > OVERDUE:
        yield _overdue(work.oldest_due)
    if work.newest_era is not None and work.newest_era <= era_of(work.now) + MONTHS_LEFT:
        yield _journal_months(work.newest_era)


async def _messages(engine: SagaEngine, lacking: frozenset[Right]) -> OutgoingCounts:
    """The counts of outgoing messages; none for a role that may not read them."""
    if Right("saga_outgoing", "SELECT") in lacking:
        return _NO_MESSAGES
    return await engine.store.outgoing.counts()


def _of_messages(counts: OutgoingCounts, now: datetime) -> Iterator[Attention]:
    if counts.dead:
        number = f"{counts.dead} or more" if counts.dead >= MOST_COUNTED else str(counts.dead)
        said = "1 outgoing message is dead" if counts.dead == 1 else f"{number} outgoing messages are dead"
        text = f"{said}: SagaAdmin.outgoing lists what is dead, redrive and discard decide"
        yield Attention(AttentionKind.DEAD_MESSAGES, text)
    if counts.oldest is not None and now - counts.oldest > _WAITED_LONG:
        text = (
            f"outgoing messages have waited since {counts.oldest:%Y-%m-%d %H:%M:%S} UTC: their broker is down, or no process has "
            "a publisher for their topic"
        )
        yield Attention(AttentionKind.MESSAGES_WAIT, text)


def _slots_held(engine: SagaEngine, seconds: float) -> Attention:
    text = f"the same sagas have held all {engine.options.concurrency} slots of this process for {seconds:.0f} s"
    return Attention(AttentionKind.SLOTS_HELD, text, len(engine.held), saga_ids=tuple(engine.held)[:3])


def _of_pauses(pauses: Iterable[PauseRecord], before: datetime) -> list[Attention]:
    return [_paused(pause) for pause in pauses if pause.since < before]


def _paused(pause: PauseRecord) -> Attention:
    told = [f"by {pause.actor}" if pause.actor else "", f"({pause.reason})" if pause.reason else ""]
    what = "everything" if not pause.name else f"the sagas named {shown(pause.name)}"
    text = " ".join((what, "paused since", f"{pause.since:%Y-%m-%d %H:%M:%S} UTC", *filter(None, told)))
    return Attention(AttentionKind.PAUSED, text, saga_name=pause.name or None)


def _suspects(suspects: Suspects) -> Attention:
    text = (
        f"{suspects.waiting} sagas may be what kills their processes; they have waited {suspects.waited:.0f} s for their turns, "
        "each apart from others"
    )
    return Attention(AttentionKind.SUSPECTS, text, suspects.waiting, saga_ids=tuple(suspects.next_ones[:3]))


def _apart(asked: datetime, database: datetime, answered: datetime) -> timedelta | None:
    """By how much the database is ahead of this process (below zero: behind); None if the two agree.

    The database has told its time at some moment between the question and the answer.
    """
    if database > answered + CLOCKS_AGREE:
        return database - answered
    return database - asked if database < asked - CLOCKS_AGREE else None


def _clocks(apart: timedelta) -> Attention:
    seconds = apart.total_seconds()
    which = "behind" if seconds > 0 else "ahead of"
    text = (
        f"the clock of this process is {abs(seconds):.0f} s {which} the database's; sagas go by the database's, and what steps "
        "and callers compute by their own clock is wrong by as much"
    )
    return Attention(AttentionKind.CLOCK, text)


def _journal_months(newest: int) -> Attention:
    text = (
        f"the journal has no partition after {month_of(newest)}: later starts write into that one "
        "(python -m saga_fn.store.migrate --dsn ... --journal-partitions adds the months to come)"
    )
    return Attention(AttentionKind.JOURNAL_MONTHS, text)


def _overdue(since: datetime) -> Attention:
    return Attention(
        AttentionKind.OVERDUE, f"sagas are due since {since:%Y-%m-%d %H:%M:%S} UTC and no worker begins them"
    )
