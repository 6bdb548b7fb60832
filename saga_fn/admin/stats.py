"""Numbers about all sagas, and the processes that work on them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from saga_fn.admin.base import AdminBase
from saga_fn.admin.known_names import MOST_SHOWN
from saga_fn.arguments import check_is, micros_of
from saga_fn.engine.hold.roster import seen_within
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.views.stats import read_stats
from saga_fn.errors import PayloadError
from saga_fn.stats import SagaStats, WorkingProcess

_AT_ONCE: Final = timedelta(0)


@only_public_errors
class AdminStats(AdminBase):
    """The numbers of `SagaAdmin`."""

    async def stats(self, *, ends: bool = True, max_age: timedelta = _AT_ONCE) -> SagaStats:
        """Count all sagas, by name and version. One statement does it, and walks ranges of indexes up to a bound.

        It takes no lock, and works with a reader's rights and on a replica (`read_only=True`). Counting 10,000 sagas takes a few
        milliseconds; counting 100,000 ends takes some 50.

        Args:
            ends: Whether to count the ends of the last hour, minute by minute. Default: True.
            max_age: How old the answer may be, as a timedelta of 0 or more: all who ask in this process share the last one, as long
                as it is no older. Default: 0, a new one.

        Returns:
            The numbers.

        Raises:
            PayloadError: An argument is not what it has to be.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            for each in (await admin.stats()).definitions:
                print(each.saga_name, each.version, "parked:", each.parked, "completed:", each.ends[SagaStatus.COMPLETED][-1])
        """
        check_is(ends, bool, "ends: a bool", error=PayloadError, hint="ends=False")
        seconds = micros_of("max_age", max_age, least=0, error=PayloadError) / 1_000_000
        self._engine.gate.require_open()
        return await self._engine.stats.get(ends, lambda: read_stats(self._engine.store, ends=ends), max_age=seconds)

    async def processes(self) -> tuple[WorkingProcess, ...]:
        """List the processes that work on sagas, and that have said so within the last one and a half minutes.

        Returns:
            The processes, 2,000 at most, the last seen first.

        Raises:
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        self._engine.gate.require_open()
        return tuple(await self._engine.store.processes.seen(seen_within=seen_within(), most=MOST_SHOWN))
