"""A pause, of one saga, of a name or of everything."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec


class Pause(msgspec.Struct, frozen=True):
    """A pause: nothing of the sagas that it is for begins before it is ended."""

    saga_name: str | None
    """The name of the sagas, or None for the sagas of every name."""
    since: datetime
    """The time when it began."""
    actor: str | None
    """The operator who began it, or None."""
    reason: str | None
    """The operator's reason, or None."""
    saga_id: UUID | None = None
    """The saga, if that one alone is paused; else None."""
