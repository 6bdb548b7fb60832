"""A person has looked at a saga that FAILED: recorded beside the journal, because it changes nothing that is folded.

So a saga whose state cannot be read can be acknowledged too. An acknowledgement is of one end: every later change ends it.
"""

from __future__ import annotations

from saga_fn.core.effects import Refusal
from saga_fn.core.projection import SagaStatus


def refused(status: SagaStatus, *, acknowledged: bool) -> Refusal | None:
    """Why a saga of that status cannot be acknowledged; None if it can.

    >>> refused(SagaStatus.FAILED, acknowledged=True), refused(SagaStatus.FAILED, acknowledged=False)
    (<Refusal.ACKNOWLEDGED: 'acknowledged'>, None)
    """
    if status is not SagaStatus.FAILED:
        return Refusal.NOT_FAILED
    return Refusal.ACKNOWLEDGED if acknowledged else None
