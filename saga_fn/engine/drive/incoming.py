"""An event on its way to a saga that this process owns, and all that is to be recorded with it."""

from __future__ import annotations

from uuid import UUID

import msgspec

from saga_fn.core.events import Event
from saga_fn.definition.outgoing import Draft
from saga_fn.engine.drive.within import Within


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """An event on its way into the core, with the payloads to be recorded with it and the message that brought it."""

    event: Event
    input: bytes | None = None
    payload: bytes | None = None
    message: UUID | None = None
    input_of: int | None = None
    """The journal entry whose payload the input is; `input` is None then."""
    raised: BaseException | None = None
    """The exception that was raised, for the log alone."""
    outgoing: tuple[Draft, ...] = ()
    """The messages that it publishes."""
    within: Within | None = None
    """The open transaction that a result stands in, and is to be written in."""

    @property
    def size(self) -> int:
        """About how many bytes the statement takes for it that writes it."""
        return len(self.input or b"") + len(self.payload or b"") + sum(draft.size for draft in self.outgoing)
