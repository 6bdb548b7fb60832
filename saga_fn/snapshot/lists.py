"""Sagas in lists, pages of them, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec
from typing_extensions import override

from saga_fn.codec.searchable import Searchable
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.snapshot.pauses import Pause
from saga_fn.snapshot.unreadable import Unreadable


class SagaRow(msgspec.Struct, frozen=True):
    """A saga in a list: what its row says, without data and history.

    Attributes:
        id: The saga's id.
        saga_name: The name that it is registered under.
        version: The version of its definition.
        revision: The number of entries in its journal, for the `expect=` of a verb.
        aggregation_id: Its business key, or None.
        trace_id: The id for logs that it was started with.
        status: Its status.
        waits: The reasons why a SUSPENDED saga waits.
        parked: The reason why it waits for a person, or None.
        problem_step: The step that is parked, or that a FAILED saga failed at; None if there is none, or if it is not known.
        acknowledged: Whether an operator has acknowledged that it FAILED.
        last_error: The type name of the last error.
        retry_counter: The number of failed attempts of the step that is tried now.
        deadline_at: The end of the lease while a process works on it; the time to wake while it sleeps.
        is_owned: Whether a process has claimed it.
        created_at: The time of its start.
        updated_at: The time of its last change.
        ended_at: The time of its end; None before.
        attributes: Its search attributes by their names, as in `get_saga`.
    """

    id: UUID
    saga_name: str
    version: int
    revision: int
    aggregation_id: str | None
    trace_id: str
    status: SagaStatus
    waits: WaitReason
    parked: str | None
    problem_step: str | None
    acknowledged: bool
    last_error: str | None
    retry_counter: int
    deadline_at: datetime | None
    is_owned: bool
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    attributes: Mapping[str, Searchable | Unreadable] = MappingProxyType({})


class SagaPage(msgspec.Struct, frozen=True):
    """One page of a list of sagas."""

    rows: tuple[SagaRow, ...]
    """The sagas, in the order of the list."""
    next: str | None
    """The `after=` of the next page of the same filter; None if this page is the last."""
    pauses: tuple[Pause, ...] = ()
    """The pauses of everything and of the names that the filter asks for, the oldest first. Nothing of their sagas begins.

    A pause of a saga by itself is not among them: its row has it in `waits`.
    """

    def holding(self, row: SagaRow) -> tuple[Pause, ...]:
        """Tell which of `pauses` hold a saga of this page.

        Args:
            row: The saga.

        Returns:
            Those of its name and of everything. One that has ended is held by none.

        Example::

            page = await admin.list(SagaFilter(active=True))
            held = [row.id for row in page.rows if page.holding(row)]
        """
        if row.ended_at is not None:
            return ()
        return tuple(pause for pause in self.pauses if pause.saga_name in (None, row.saga_name))


class SagasOfKey(msgspec.Struct, frozen=True):
    """The sagas of one business key."""

    active: SagaRow | None
    """The one that has not ended; None if there is none."""
    ended: tuple[SagaRow, ...]
    """Those that have ended, the newest start first."""


class SagaCount(msgspec.Struct, frozen=True):
    """How many sagas a filter finds, counted up to 1,000.

    Attributes:
        sagas: Their number, 1,000 at most.
        is_more: Whether there are more.
    """

    sagas: int
    is_more: bool

    @override
    def __str__(self) -> str:
        return f"{self.sagas:,}{'+' if self.is_more else ''}"


class Pruned(msgspec.Struct, frozen=True):
    """The answer of `SagaAdmin.prune`.

    Attributes:
        sagas: The number of sagas that were deleted, or that a dry run has counted.
        is_more: Whether there are more than `limit`.
        saga_ids: The ids of ten of them at most.
    """

    sagas: int
    is_more: bool
    saga_ids: tuple[UUID, ...]
