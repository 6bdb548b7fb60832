"""How long a saga is kept after its end, and what of it longer: per end, and never longer than the definition says."""

from __future__ import annotations

import msgspec

from saga_fn.core.ids import Micros, Moment
from saga_fn.core.projection import SagaStatus


class Kept(msgspec.Struct, frozen=True):
    """For how long sagas are kept after their ends, in microseconds; None stands for ever."""

    completed: Micros | None = None
    compensated: Micros | None = None
    failed: Micros | None = None


class Deletable(msgspec.Struct, frozen=True):
    """The sagas of one end that may be deleted."""

    status: SagaStatus
    before: Moment
    """They ended before this moment."""
    acknowledged_only: bool
    """Whether a person has to have acknowledged each."""


def deletable(kept: Kept, now: Moment, *, at_least: Micros) -> tuple[Deletable, ...]:
    """The sagas that may be deleted now; each is kept `at_least` so long.

    >>> deletable(Kept(completed=Micros(5)), Moment(20), at_least=Micros(7))[0].before
    13
    """
    of_each = (
        (SagaStatus.COMPLETED, kept.completed),
        (SagaStatus.COMPENSATED, kept.compensated),
        (SagaStatus.FAILED, kept.failed),
    )
    return tuple(
        Deletable(status, Moment(now - max(length, at_least)), acknowledged_only=status is SagaStatus.FAILED)
        for status, length in of_each
        if length is not None
    )
