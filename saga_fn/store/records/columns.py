"""Moments and reasons to wait, as the columns of a row have them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from saga_fn.core.ids import Moment
from saga_fn.core.projection import Projection, WaitReason, only_a_person_goes_on

NOT_BY_MESSAGE: Final = 8
"""In the column `waits`, beside the reasons: no message makes the saga due."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_REASON: Final = WaitReason(0)
_MICROSECOND = timedelta(microseconds=1)


def waits_column(shown: Projection) -> int:
    """The column `waits`: the reasons, and the bit that keeps messages from making the saga due."""
    # An IntFlag would be taken for an array.
    return int(shown.waits) if shown.wakes_on_message else int(shown.waits) | NOT_BY_MESSAGE


def waits_columns(shown: Sequence[Projection]) -> list[int | None]:
    """The same of many rows: None for the usual one, which waits for nothing."""
    # Asked by identity, for the truth of a flag is a call of its own.
    return [
        None if each.waits is WaitReason.NOTHING and each.wakes_on_message else waits_column(each) for each in shown
    ]


def waits_alone(waits: WaitReason) -> int:
    """The column `waits` of a saga that waits for just that."""
    return int(waits) | NOT_BY_MESSAGE if only_a_person_goes_on(waits) else int(waits)


def reasons_in(column: int) -> WaitReason:
    """The reasons of the column `waits`."""
    return WaitReason(column & ~NOT_BY_MESSAGE)


def moment_of(time: datetime) -> Moment:
    """The moment of an aware time, exact to the microsecond."""
    return Moment((time - _EPOCH) // _MICROSECOND)


def time_of(moment: Moment) -> datetime:
    """The aware UTC time of a moment."""
    return _EPOCH + timedelta(0, 0, moment)  # by place: by name it takes twice as long
