"""Export a saga with its journal, live or ended, for `saga_fn.testing.replay`."""

from __future__ import annotations

from uuid import UUID

from saga_fn.admin.base import AdminBase
from saga_fn.definition.archive import line_of
from saga_fn.engine.hold.exporting import Exporter
from saga_fn.engine.outward import only_public_errors


@only_public_errors
class AdminExporting(AdminBase):
    """The export of a saga by `SagaAdmin`."""

    async def export(self, saga_id: UUID) -> str:
        r"""Give a saga with its journal as one line of JSON, in the format of an archive. It has payloads of the saga's.

        Args:
            saga_id: The saga's id.

        Returns:
            The line, without its end. `ended_at` is null while the saga has not ended.

        Raises:
            SagaNotFoundError: There is no such saga.
            SagaDeletedError: The saga has ended and was deleted.
            PayloadError: The id is none.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            with open("live.jsonl", "w", encoding="utf-8") as file:
                async for row in admin.list_all(SagaFilter(active=True)):
                    file.write(await admin.export(row.id) + "\n")
        """
        row = await self._read(saga_id)
        data = await Exporter(self._engine.store).data_of(row)
        return line_of(
            data,
            id=row.id,
            saga_name=row.name,
            version=row.version,
            status=row.status,
            aggregation_id=row.aggregation_id,
            trace_id=row.trace_id,
            created_at=row.created_at,
            ended_at=row.ended_at,
        )
