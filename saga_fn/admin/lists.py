"""Look for sagas: lists, counts, one saga with its history."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

import msgspec

from saga_fn.admin.base import AdminBase
from saga_fn.arguments import check_target, check_whole
from saga_fn.codec.searchable import all_of
from saga_fn.definition import HasValue
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.views.pauses import pause_of
from saga_fn.engine.views.snapshots import admin_snapshot_of, values_in
from saga_fn.errors import PayloadError, shown
from saga_fn.listing import MOST_ROWS, SagaFilter, cursor_of, listing_of
from saga_fn.snapshot import SagaAdminSnapshot, SagaCount, SagaPage, SagaRow, SagasOfKey


@only_public_errors
class AdminLists(AdminBase):
    """The looks of `SagaAdmin`."""

    async def get_saga(
        self, saga_id: UUID, *, journal_after: int | None = None, journal_limit: int = 1000
    ) -> SagaAdminSnapshot:
        """Read the saga with its data and history, without a lock.

        Args:
            saga_id: The saga's id.
            journal_after: The number of the entry after which its history begins; 0 begins with the first. Default: None, the
                history ends with the last entry.
            journal_limit: The greatest number of entries of its history, 1 to 1,000. Default: 1000.

        Returns:
            The snapshot; its `revision` is the `expect=` of a verb, and the number of its last journal entry.

        Raises:
            SagaNotFoundError: There is no such saga.
            SagaDeletedError: The saga has ended and was deleted.
            PayloadError: The id is none.
            SagaError: A number is out of its range, or the orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        if journal_after is not None:
            check_whole("journal_after", journal_after, least=0, most=2**62)
        check_whole("journal_limit", journal_limit, least=1, most=MOST_ROWS)
        row = await self._read(saga_id)
        snapshot = await admin_snapshot_of(self._engine, row, after=journal_after, most=journal_limit)
        if row.ended_at is not None:
            await self._read(saga_id)  # raises if it was deleted meanwhile: the rest of what was read is no saga
        return snapshot

    async def list(
        self,
        wanted: SagaFilter | None = None,
        *,
        after: str | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> SagaPage:
        """List sagas, page by page: the newest first by their start; by their end, if the filter asks for sagas that have ended.

        A saga that changes between two pages is on one of them, or on none if the filter does not find it any more. It takes no
        lock, and works with a reader's rights and on a replica (`read_only=True`).

        Args:
            wanted: The filter. Default: None, all sagas.
            after: The `next` of the page before, of the same filter. Default: None, the first page.
            limit: The greatest number of rows of the page, 1 to 1,000. Default: 100.
            oldest_first: Whether the oldest start comes first, so that what has waited longest does. It is refused for
                sagas that have ended, and for a business key. Default: False.

        Returns:
            The page, with the pauses that hold its sagas.

        Raises:
            PayloadError: An argument is not what it has to be, no index serves the filter, or `after` is of another filter.
            SagaError: `limit` is out of its range, or the orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            page = await admin.list(SagaFilter(saga_name="create_order", waits=WaitReason.PARKED), limit=50)
        """
        check_whole("limit", limit, least=1, most=MOST_ROWS)
        page = await self._page(wanted, after=after, limit=limit, oldest_first=oldest_first)
        texts = await self._engine.store.lists.attributes([row.id for row in page.rows]) if page.rows else {}
        name = None if wanted is None else wanted.saga_name
        pauses = [pause_of(each) for each in await self._engine.store.pauses.read() if name is None or each.holds(name)]
        return msgspec.structs.replace(
            page,
            rows=tuple(msgspec.structs.replace(row, attributes=values_in(texts[row.id])) for row in page.rows),
            pauses=tuple(pauses),
        )

    async def list_all(
        self, wanted: SagaFilter | None = None, *, oldest_first: bool = False
    ) -> AsyncGenerator[SagaRow]:
        """List all sagas that a filter finds, row by row; pages are read as they are needed.

        Args:
            wanted: The filter. Default: None, all sagas.
            oldest_first: As in `list`. Default: False.

        Returns:
            An iterator that gives each saga once.

        Raises:
            PayloadError: No index serves the filter.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            async for row in admin.list_all(SagaFilter(waits=WaitReason.PARKED)):
                print(row.id, row.parked, row.problem_step, row.last_error)
        """
        after: str | None = None
        while True:
            page = await self.list(wanted, after=after, oldest_first=oldest_first)
            for row in page.rows:
                yield row
            after = page.next
            if after is None:
                return

    async def count(self, wanted: SagaFilter | None = None) -> SagaCount:
        """Count the sagas that a filter finds, up to 1,000: `str` of the result is "200", or "1,000+".

        Args:
            wanted: The filter. Default: None, all sagas.

        Returns:
            Their number, and whether there are more.

        Raises:
            PayloadError: An argument is not what it has to be, or no index serves the filter.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        page = await self._page(wanted, after=None, limit=MOST_ROWS, oldest_first=False)
        return SagaCount(len(page.rows), page.next is not None)

    async def find(self, saga_name: str, aggregation_id: str, *, limit: int = 100) -> SagasOfKey:
        """Find the sagas of a business key: the active one, and those that have ended.

        Args:
            saga_name: The name of the sagas.
            aggregation_id: Their business key.
            limit: The greatest number of those that have ended, 1 to 1,000. Default: 100. `list` with the key pages through all.

        Returns:
            The sagas; none if nothing was ever started under the key.

        Raises:
            PayloadError: The name or the key is none.
            SagaError: `limit` is out of its range, or the orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            found = await admin.find("create_order", "order-123")
        """
        check_target((saga_name, aggregation_id))
        key = SagaFilter(saga_name=saga_name, aggregation_id=aggregation_id)
        active = await self.list(msgspec.structs.replace(key, active=True), limit=1)
        ended = await self.list(msgspec.structs.replace(key, active=False), limit=limit)
        ids = {row.id for row in ended.rows}  # it may have ended between the two looks
        return SagasOfKey(next((row for row in active.rows if row.id not in ids), None), ended.rows)

    async def _page(self, wanted: SagaFilter | None, *, after: str | None, limit: int, oldest_first: bool) -> SagaPage:
        asked = listing_of(wanted, oldest_first=oldest_first, after=after, most=limit + 1)
        self._engine.gate.require_open()
        rows = await self._engine.store.lists.page(asked)
        if not rows and after is None and wanted is not None and wanted.attribute is not None:
            await self._require_attribute(wanted.saga_name, wanted.attribute)
        last = rows[limit - 1] if len(rows) > limit else None
        return SagaPage(tuple(rows[:limit]), None if last is None else cursor_of(asked, asked.place_of(last)))

    async def _require_attribute(self, saga_name: str | None, asked: HasValue) -> None:
        """Raise PayloadError for an attribute that no saga has, and no definition that this process knows."""
        known = [each for each in self._engine.registry.all if saga_name in (None, each.name)]
        named = {(each.name, each.kind) for registered in known for each in registered.definition.attributes}
        if (asked.attribute, asked.kind) in named:
            return
        if not await self._engine.store.lists.knows_values(saga_name, asked.attribute, all_of(asked.kind)):
            others = sorted({name for name, _ in named})
            raise PayloadError(
                f"no saga has an attribute {shown(asked.attribute)} with values of that type",
                hint=f"attributes that are known here: {', '.join(others) or 'none'}; look at get_saga(saga_id).attributes",
            )
