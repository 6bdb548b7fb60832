"""Lists of sagas in PostgreSQL: a statement for each way, with ranges of one index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, assert_never, final
from uuid import UUID

from saga_fn.core.ids import Moment
from saga_fn.core.listing import Way, live_kinds, statuses_of
from saga_fn.core.projection import SagaStatus
from saga_fn.snapshot import SagaRow
from saga_fn.store._queries import AttributeRow, ListedRow
from saga_fn.store.connection import CallerConnection
from saga_fn.store.database import Database
from saga_fn.store.ids import shard_of, shard_of_key
from saga_fn.store.listing import MOST_FOUND, MOST_WALKED, Listing, Place, too_many_definitions, too_many_values
from saga_fn.store.postgres_processes import PROCESS_SHARD
from saga_fn.store.records import (
    MOST_DEFINITIONS,
    MOST_ENDS,
    MOST_GROUPS,
    MOST_IN_STATS,
    MOST_PROCESSES,
    Counted,
    CountKind,
    reasons_in,
    time_of,
    waits_alone,
)

_MORE: Final = 2000
"""So many sagas with a value are looked at in one statement, if the first page of them was not enough."""


@final
class PostgresLists:
    """Pages of sagas."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, asked: Listing) -> list[SagaRow]:
        """The rows of one page, in order; takes no lock."""
        if asked.way in (Way.ATTRIBUTE, Way.RANGE):
            return await self._of_attribute(asked)
        async with self._database.work() as connection:
            every = await self._definitions(connection, asked.wanted.name, asked.wanted.aggregation_id)
        found = [each for each in every if asked.wanted.version in (None, each[2])]
        if not found:
            return []
        if len(found) > MOST_FOUND:
            raise too_many_definitions()
        async with self._database.work() as connection:
            rows = await self._rows(connection, asked, found, self._database.now())
        return [_row_of(row) for row in rows]

    async def attributes(self, saga_ids: Sequence[UUID]) -> dict[UUID, dict[str, str]]:
        """The search attributes of these sagas."""
        found: dict[UUID, dict[str, str]] = {saga_id: {} for saga_id in saga_ids}
        shards = [shard_of(saga_id, self._database.shards) for saga_id in saga_ids]
        async with self._database.work() as connection:
            rows = await self._database.queries.read_attributes(connection, shards=shards, ids=saga_ids)
        for row in rows:
            found[row.saga_id][row.key] = row.value
        return found

    async def knows_values(self, name: str | None, key: str, span: tuple[str, str]) -> bool:
        """Whether a saga has a value of that attribute from the first of these texts on and before the second."""
        async with self._database.work() as connection:
            found = await self._definitions(connection, name, None)
        shards, names = _pairs(found)
        async with self._database.work() as connection:
            return await self._database.queries.read_attribute_is_known(
                connection, shards=shards, names=names, key=key, low=span[0], high=span[1]
            )

    async def stats(self, *, overdue: timedelta, seen_within: timedelta, ends_since: Moment | None) -> list[Counted]:
        """Numbers about all sagas."""
        async with self._database.work() as connection:
            rows = await self._database.queries.read_stats(
                connection,
                shards=list(range(self._database.shards)),
                process_shard=PROCESS_SHARD,
                overdue=overdue,
                lately=seen_within,
                ends_since=time_of(self._database.now() if ends_since is None else ends_since),
                most=MOST_IN_STATS,
                most_ends=0 if ends_since is None else MOST_ENDS,
                most_groups=MOST_GROUPS,
                most_processes=MOST_PROCESSES,
                most_definitions=MOST_DEFINITIONS,
            )
        return [
            Counted(
                kind=CountKind(row.kind),
                name=row.name,
                version=row.version,
                sagas=row.sagas,
                status=None if row.status is None else SagaStatus(row.status),
                waits=reasons_in(row.waits or 0),
                minute=row.minute,
                moment=row.moment,
                is_cut=row.is_cut,
            )
            for row in rows
        ]

    async def _of_attribute(self, asked: Listing) -> list[SagaRow]:
        """The rows of a page of sagas with a value: found in the index of values, and then narrowed by the rest of the filter."""
        async with self._database.work() as connection:
            found = await self._definitions(connection, asked.wanted.name, None)
        if not found:
            return []
        if len(found) > MOST_FOUND:
            raise too_many_definitions()
        where = _pairs(found)
        begin, bound = asked.span(self._database.now())
        if asked.way is Way.RANGE:
            return await self._in_range(asked, where, begin, bound)
        rows: list[ListedRow] = []
        walked, most = 0, asked.most
        while walked < MOST_WALKED:
            async with self._database.work() as connection:
                entries = await self._database.queries.find_sagas_of_attribute(
                    connection,
                    shards=where[0],
                    names=where[1],
                    key=asked.wanted.attribute or "",
                    value=asked.wanted.value,
                    at=begin.at,
                    at_id=begin.id,
                    bound=bound,
                    most=most,
                )
            rows += await self._narrowed(asked, entries)
            if len(rows) >= asked.most or len(entries) < most:
                return [_row_of(row) for row in rows[: asked.most]]
            begin = Place(entries[-1].created_at, entries[-1].saga_id)
            walked, most = walked + most, _MORE
        raise too_many_values(in_range=False)

    async def _in_range(
        self, asked: Listing, where: tuple[list[int], list[str]], begin: Place, bound: datetime
    ) -> list[SagaRow]:
        wanted = asked.wanted
        async with self._database.work() as connection:
            found = await self._database.queries.find_sagas_in_range(
                connection,
                shards=where[0],
                names=where[1],
                key=wanted.attribute or "",
                low=wanted.value,
                high=wanted.value_before or "",
                most=MOST_WALKED + 1,
            )
        if len(found) > MOST_WALKED:
            raise too_many_values(in_range=True)
        places = {Place(each.created_at, each.saga_id): each for each in found}
        entries = [places[place] for place in sorted(places, reverse=True) if place < begin and place.at >= bound]
        rows: list[ListedRow] = []
        while entries and len(rows) < asked.most:
            rows += await self._narrowed(asked, entries[:_MORE])
            entries = entries[_MORE:]
        return [_row_of(row) for row in rows[: asked.most]]

    async def _narrowed(self, asked: Listing, entries: Sequence[AttributeRow]) -> list[ListedRow]:
        """Those of these sagas that the rest of the filter finds."""
        wanted = asked.wanted
        async with self._database.work() as connection:
            return await self._database.queries.list_of_ids(
                connection,
                shards=[each.shard for each in entries],
                ids=[each.saga_id for each in entries],
                of_version=wanted.version,
                statuses=[status.value for status in statuses_of(wanted)],
                waits=int(wanted.waits),
                of_reason=wanted.parked,
                of_step=wanted.step,
                of_error=wanted.error,
                of_acknowledged=wanted.acknowledged,
                ended_from=None if wanted.ended_from is None else time_of(wanted.ended_from),
                ended_before=None if wanted.ended_before is None else time_of(wanted.ended_before),
            )

    async def _definitions(
        self, connection: CallerConnection, name: str | None, aggregation_id: str | None
    ) -> list[tuple[int, str, int]]:
        """The shards, names and versions to look at."""
        queries = self._database.queries
        if aggregation_id is None:
            shards = list(range(self._database.shards))
        else:
            shards = [shard_of_key(aggregation_id, self._database.shards)]
        if name is None:
            every = await queries.find_definitions(connection, shards=shards, most=MOST_FOUND + 1)
            now = [row.now for row in every[:1]]
            found = [(row.shard, row.name, row.version) for row in every]
        else:
            versions = await queries.find_versions(connection, shards=shards, name=name, most=MOST_FOUND + 1)
            now = [row.now for row in versions[:1]]
            found = [(row.shard, name, row.version) for row in versions]
        for each in now:
            self._database.sync_clock(each)
        return found

    async def _rows(
        self, connection: CallerConnection, asked: Listing, found: list[tuple[int, str, int]], now: Moment
    ) -> list[ListedRow]:
        wanted, most, queries = asked.wanted, asked.most, self._database.queries
        (at, at_id), bound = asked.span(now)
        shards = [shard for shard, _, _ in found]
        names = [name for _, name, _ in found]
        versions = [version for _, _, version in found]
        match asked.way:
            case Way.CREATED:
                return await queries.list_created(
                    connection,
                    shards=shards,
                    names=names,
                    versions=versions,
                    oldest_first=wanted.oldest_first,
                    at=at,
                    at_id=at_id,
                    bound=bound,
                    most=most,
                )
            case Way.LIVE:
                kinds = live_kinds(wanted)
                return await queries.list_live(
                    connection,
                    shards=shards,
                    names=names,
                    versions=versions,
                    statuses=[status.value for status, _ in kinds],
                    waits=[waits_alone(waits) for _, waits in kinds],
                    oldest_first=wanted.oldest_first,
                    at=at,
                    at_id=at_id,
                    bound=bound,
                    most=most,
                )
            case Way.PARKED:
                return await queries.list_parked(
                    connection,
                    shards=shards,
                    names=names,
                    versions=versions,
                    waits=int(wanted.waits),
                    of_reason=wanted.parked,
                    of_step=wanted.step,
                    of_error=wanted.error,
                    oldest_first=wanted.oldest_first,
                    at=at,
                    at_id=at_id,
                    bound=bound,
                    most=most,
                )
            case Way.ENDED:
                return await queries.list_ended(
                    connection,
                    shards=shards,
                    names=names,
                    versions=versions,
                    statuses=[status.value for status in statuses_of(wanted)],
                    of_reason=wanted.parked,
                    of_step=wanted.step,
                    of_error=wanted.error,
                    at=at,
                    at_id=at_id,
                    bound=bound,
                    most=most,
                )
            case Way.FAILED:
                assert wanted.acknowledged is not None, "that is this way"
                return await queries.list_failed(
                    connection,
                    shards=shards,
                    names=names,
                    versions=versions,
                    acknowledged=wanted.acknowledged,
                    of_reason=wanted.parked,
                    of_step=wanted.step,
                    of_error=wanted.error,
                    at=at,
                    at_id=at_id,
                    bound=bound,
                    most=most,
                )
            case Way.KEY:
                assert wanted.aggregation_id is not None, "that is this way"
                return await queries.list_of_key(
                    connection,
                    names=sorted(set(names)),
                    shard=shards[0],
                    aggregation_id=wanted.aggregation_id,
                    of_version=wanted.version,
                    statuses=[status.value for status in statuses_of(wanted)],
                    waits=int(wanted.waits),
                    of_reason=wanted.parked,
                    of_step=wanted.step,
                    of_error=wanted.error,
                    of_acknowledged=wanted.acknowledged,
                    ended_from=None if wanted.ended_from is None else time_of(wanted.ended_from),
                    ended_before=None if wanted.ended_before is None else time_of(wanted.ended_before),
                    at=at,
                    at_id=at_id,
                    bound=bound,
                    most=most,
                )
            case Way.ATTRIBUTE | Way.RANGE:
                raise AssertionError("those are found by their values first")
            case _:
                assert_never(asked.way)


def _pairs(found: Iterable[tuple[int, str, int]]) -> tuple[list[int], list[str]]:
    """The shards and names of these definitions, each pair once."""
    pairs = sorted({(shard, name) for shard, name, _ in found})
    return [shard for shard, _ in pairs], [name for _, name in pairs]


def _row_of(row: ListedRow) -> SagaRow:
    return SagaRow(
        id=row.id,
        saga_name=row.name,
        version=row.version,
        revision=row.rev,
        aggregation_id=row.aggregation_id,
        trace_id=row.trace_id,
        status=SagaStatus(row.status),
        waits=reasons_in(row.waits),
        parked=row.parked,
        problem_step=row.problem_step,
        acknowledged=row.acknowledged,
        last_error=row.last_error,
        retry_counter=row.retry_counter,
        deadline_at=row.due_at,
        is_owned=row.owner is not None,
        created_at=row.created_at,
        updated_at=row.updated_at,
        ended_at=row.ended_at,
    )
