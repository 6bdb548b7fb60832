"""A stored payload that cannot be read, as it is shown."""

from __future__ import annotations

import msgspec
from typing_extensions import override


class Unreadable(msgspec.Struct, frozen=True):
    """Stands where a stored payload is shown that cannot be read: it was damaged, or written by hand."""

    size: int | None
    """Bytes that are stored; None if there is no such journal entry."""

    @override
    def __repr__(self) -> str:
        return "<missing>" if self.size is None else f"<unreadable: {self.size} bytes>"
