"""Numbers about all sagas, made of what the store has counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, assert_never

import msgspec

from saga_fn.core.ids import Moment
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.engine.hold.roster import seen_within
from saga_fn.snapshot import SagaCount
from saga_fn.stats import DefinitionStats, SagaStats
from saga_fn.store.protocol import Store
from saga_fn.store.records import MOST_IN_STATS, Counted, CountKind, time_of

OVERDUE: Final = timedelta(minutes=1)
"""A saga that no process has begun to work on so long after it was due is overdue."""
MINUTES: Final = 60
"""For so many of them ends are told."""
_MINUTE: Final = 60 * 1_000_000
_ENDS: Final = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED)


async def read_stats(store: Store, *, ends: bool) -> SagaStats:
    """Ask the store, with one statement. `ends`: for the minutes of the last hour as well."""
    since = Moment(store.now() // _MINUTE * _MINUTE - (MINUTES - 1) * _MINUTE)
    counted = await store.lists.stats(overdue=OVERDUE, seen_within=seen_within(), ends_since=since if ends else None)
    return stats_of(counted, ends=ends, now=time_of(store.now()))


class _Draft(msgspec.Struct, eq=False):
    live: Counter[SagaStatus] = msgspec.field(default_factory=Counter[SagaStatus])
    waits: Counter[WaitReason] = msgspec.field(default_factory=Counter[WaitReason])
    failed: int = 0
    overdue: int = 0
    due: list[datetime] = msgspec.field(default_factory=list[datetime])
    processes: int = 0
    ends: Counter[tuple[SagaStatus, int]] = msgspec.field(default_factory=Counter[tuple[SagaStatus, int]])
    cut: dict[SagaStatus, int] = msgspec.field(default_factory=dict[SagaStatus, int])
    """Up to which minute the ends of a status were not counted to their end."""

    def add(self, each: Counted) -> None:
        match each.kind:
            case CountKind.LIVE:
                if each.status is not None:
                    self.live[each.status] += each.sagas
                for reason in WaitReason:
                    if reason in each.waits:
                        self.waits[reason] += each.sagas
            case CountKind.OVERDUE:
                self.overdue += each.sagas
                if each.moment is not None:
                    self.due.append(each.moment)
            case CountKind.FAILED:
                self.failed += each.sagas
            case CountKind.ENDED:
                if each.status is not None and each.minute is not None:
                    minute = min(each.minute, MINUTES - 1)  # the database's clock may be in the next one
                    self.ends[each.status, minute] += each.sagas
                    if each.is_cut:
                        self.cut[each.status] = max(minute, self.cut.get(each.status, 0))
            case CountKind.WORKS:
                self.processes += each.sagas
            case CountKind.NOW | CountKind.PAUSED:
                pass  # of no name and version
            case _:
                assert_never(each.kind)

    def done(self, name: str, version: int, *, paused: bool, ends: bool) -> DefinitionStats:
        return DefinitionStats(
            saga_name=name,
            version=version,
            running=_count(self.live[SagaStatus.RUNNING]),
            compensating=_count(self.live[SagaStatus.COMPENSATING]),
            suspended=_count(self.live[SagaStatus.SUSPENDED]),
            retrying=_count(self.waits[WaitReason.RETRY]),
            sleeping=_count(self.waits[WaitReason.TIMER]),
            waiting=_count(self.waits[WaitReason.EVENT]),
            parked=_count(self.waits[WaitReason.PARKED]),
            paused_alone=_count(self.waits[WaitReason.PAUSED]),
            failed=_count(self.failed),
            overdue=_count(0 if paused else self.overdue),
            oldest_due=None if paused else min(self.due, default=None),
            processes=self.processes,
            paused=paused,
            ends={status: self._minutes(status) for status in _ENDS} if ends else {},
        )

    def _minutes(self, status: SagaStatus) -> tuple[int | None, ...]:
        cut = self.cut.get(status, -1)
        return tuple(None if minute <= cut else self.ends[status, minute] for minute in range(MINUTES))


def _count(sagas: int) -> SagaCount:
    return SagaCount(min(sagas, MOST_IN_STATS), sagas >= MOST_IN_STATS)


def stats_of(counted: Iterable[Counted], *, ends: bool, now: datetime) -> SagaStats:
    """The numbers by name and version, those of all shards added up. `now` counts if the store does not tell its own."""
    drafts: defaultdict[tuple[str, int], _Draft] = defaultdict(_Draft)
    paused: set[str] = set()
    for each in counted:
        if each.kind is CountKind.PAUSED:
            paused.add(each.name)
        elif each.kind is CountKind.NOW:
            now = now if each.moment is None else each.moment
        else:
            drafts[each.name, each.version].add(each)
    return SagaStats(
        now,
        tuple(
            draft.done(name, version, paused=not paused.isdisjoint(("", name)), ends=ends)
            for (name, version), draft in sorted(drafts.items())
        ),
    )
