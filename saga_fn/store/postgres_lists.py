"""Lists of sagas in PostgreSQL: a statement for each way, with ranges of one index."""

from __future__ import annotations

from typing import assert_never, final

from saga_fn.core.ids import Moment
from saga_fn.core.listing import Way, live_kinds, statuses_of
from saga_fn.core.projection import SagaStatus
from saga_fn.snapshot import SagaRow
from saga_fn.store._queries import ListedRow
from saga_fn.store.connection import Connection
from saga_fn.store.database import Database
from saga_fn.store.ids import shard_of_key
from saga_fn.store.listing import MOST_FOUND, Listing, too_many_definitions
from saga_fn.store.records import reasons_in, time_of, waits_alone


@final
class PostgresLists:
    """Pages of sagas."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, asked: Listing) -> list[SagaRow]:
        """The rows of one page, in order; takes no lock."""
        async with self._database.work() as connection:
            found = await self._definitions(connection, asked)
        if not found:
            return []
        if len(found) > MOST_FOUND:
            raise too_many_definitions()
        async with self._database.work() as connection:
            rows = await self._rows(connection, asked, found, self._database.now())
        return [_row_of(row) for row in rows]

    async def _definitions(self, connection: Connection, asked: Listing) -> list[tuple[int, str, int]]:
        """The shards, names and versions to look at."""
        wanted, queries = asked.wanted, self._database.queries
        if wanted.aggregation_id is None:
            shards = list(range(self._database.shards))
        else:
            shards = [shard_of_key(wanted.aggregation_id, self._database.shards)]
        if wanted.name is None:
            every = await queries.find_definitions(connection, shards=shards, most=MOST_FOUND + 1)
            now = [row.now for row in every[:1]]
            found = [(row.shard, row.name, row.version) for row in every]
        else:
            versions = await queries.find_versions(connection, shards=shards, name=wanted.name, most=MOST_FOUND + 1)
            now = [row.now for row in versions[:1]]
            found = [(row.shard, wanted.name, row.version) for row in versions]
        for each in now:
            self._database.sync_clock(each)
        return [each for each in found if wanted.version in (None, each[2])]

    async def _rows(
        self, connection: Connection, asked: Listing, found: list[tuple[int, str, int]], now: Moment
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
            case _:
                assert_never(asked.way)


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
