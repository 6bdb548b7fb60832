"""Sagas that are due and stand still, because a definition that processes work with does not fit what they have done."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final
from uuid import UUID

from saga_fn.core.listing import Wanted, Way
from saga_fn.engine.drive.misfit import THEIRS, told_of_misfit
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.views.next_owners import PlansAtWork, owners_of
from saga_fn.errors import StoredDataError
from saga_fn.printable import counted
from saga_fn.snapshot import Attention, AttentionKind, SagaRow
from saga_fn.store.listing import Listing
from saga_fn.store.records import decode_state, time_of

_MOST_LISTED: Final = 200
_MOST_READ: Final = 8
"""No more of the oldest sagas of a name and version are listed, and of those that are due none but these are read."""
_SOON: Final = timedelta(seconds=1)
"""A saga that was handed back is due by then."""


async def misfits(engine: SagaEngine) -> list[Attention]:
    """A finding for each name and version that processes work on by several definitions, if one of them does not fit what is due."""
    at_work = PlansAtWork(engine)
    by_name = Counter((name, version) for name, version, _ in await at_work.definitions())
    found: list[Attention] = []
    for name, version in sorted(pair for pair, definitions in by_name.items() if definitions > 1):
        told = {saga_id: why async for saga_id, why in _misfits(at_work, name, version)}
        if told:
            why = next(iter(told.values()))
            text = f"{counted(len(told), 'saga')} of {name} v{version}: due, and left to a process whose definition fits: {why}"
            found.append(Attention(AttentionKind.MISFIT, text, len(told), name, version, tuple(told)[:3]))
    return found


async def _misfits(at_work: PlansAtWork, name: str, version: int) -> AsyncIterator[tuple[UUID, str]]:
    wanted = Wanted(name=name, version=version, active=True, oldest_first=True)
    engine = at_work.engine
    page = await engine.store.lists.page(Listing(wanted, Way.LIVE, None, _MOST_LISTED))
    soon = time_of(engine.store.now()) + _SOON
    due = [row.id for row in page if _is_free(row) and row.deadline_at is not None and row.deadline_at <= soon]
    for saga_id in due[:_MOST_READ]:
        row = await engine.store.read(saga_id)
        if row is None or row.owner is not None or row.ended_at is not None:
            continue
        with contextlib.suppress(StoredDataError):  # its next owner parks it
            misfit = (await owners_of(at_work, row, decode_state(row.state, row.rev))).misfit
            if misfit is not None:
                yield saga_id, told_of_misfit(misfit, THEIRS)


def _is_free(row: SagaRow) -> bool:
    return not row.is_owned and row.ended_at is None
