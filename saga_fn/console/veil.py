"""A saga as it is shown to an operator without the permission to see payloads: all but what it works with.

The one place that decides it: the pages draw what they are given.
"""

from __future__ import annotations

import attrs
import msgspec

from saga_fn import Explanation, HistoryEntry, SagaAdminSnapshot


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


def veiled_explanation(explained: Explanation) -> Explanation:
    """The explanation with no more of each error than its type."""
    return attrs.evolve(
        explained,
        reasons=tuple(attrs.evolve(each, error=_type_of(each.error)) for each in explained.reasons),
        last=tuple(attrs.evolve(each, error=_type_of(each.error)) for each in explained.last),
        outgoing=tuple(attrs.evolve(each, error=None) for each in explained.outgoing),
    )


def _type_of(error: str | None) -> str | None:
    """The type of an error; its message may hold anything."""
    return None if error is None else error.partition(":")[0]


def _entry(entry: HistoryEntry) -> HistoryEntry:
    return msgspec.structs.replace(
        entry,
        input=None,
        output=None,
        business_error=None,
        error=_type_of(entry.error),
    )
