"""A saga as it is shown to an operator without the permission to see payloads: all but what it works with.

The one place that decides it: the pages draw what they are given.
"""

from __future__ import annotations

import msgspec

from saga_fn import HistoryEntry, SagaAdminSnapshot


def veiled(seen: SagaAdminSnapshot) -> SagaAdminSnapshot:
    """The saga without data, attributes, messages of errors, and the words of notes."""
    return msgspec.structs.replace(
        seen,
        context={},
        attributes={},
        step_history=tuple(map(_entry, seen.step_history)),
        rejections=tuple(each.partition(":")[0] for each in seen.rejections),
        failure=None if seen.failure is None else msgspec.structs.replace(seen.failure, message="", error=None),
    )


def _entry(entry: HistoryEntry) -> HistoryEntry:
    return msgspec.structs.replace(
        entry,
        input=None,
        output=None,
        business_error=None,
        error=None if entry.error is None else entry.error.partition(":")[0],  # its type; the message may hold anything
    )
