"""Who asked for an operator's verb, and why: kept in the journal beside the event, as its input, and never folded."""

from __future__ import annotations

from typing import Final

import msgspec

from saga_fn.errors import PayloadError, shown
from saga_fn.printable import a_type_of

LONGEST_ACTOR: Final = 255
"""Characters."""
LONGEST_REASON: Final = 1000
"""Characters."""


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who asked, and why, as far as it was said."""

    actor: str | None = None
    reason: str | None = None

    @classmethod
    def of(cls, actor: object, reason: object) -> Asked:
        """Both, judged; raises PayloadError for what is no text of one line, or too long."""
        return cls(_line("actor", actor, LONGEST_ACTOR), _line("reason", reason, LONGEST_REASON))

    def encode(self) -> bytes | None:
        """As a journal entry keeps it; None if nothing was said."""
        return msgspec.json.encode(self) if self.actor or self.reason else None


def asked_in(kept: bytes | None) -> Asked:
    """Who asked, and why, by a journal entry; nothing if that cannot be read."""
    if kept is None:
        return Asked()
    try:
        return msgspec.json.decode(kept, type=Asked)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Asked()


def _line(name: str, value: object, longest: int) -> str | None:
    if value is None:
        return None
    wanted = f"{name} must be one line of 1 to {longest} printable characters"
    if not isinstance(value, str):
        raise PayloadError(f"{wanted}, not {a_type_of(value)}", hint=f'{name}="...", or leave it out')
    if not value:
        raise PayloadError(f"{wanted}, and the one given is empty", hint=f"say something, or leave {name} out")
    if len(value) > longest:
        raise PayloadError(
            f"{wanted}, and the one given has {len(value)}",
            hint="shorten it; a ticket's address says more than a long text",
        )
    if not value.isprintable():
        odd = next(char for char in value if not char.isprintable())
        raise PayloadError(
            f"{wanted}, and the one given holds {shown(odd)}", hint="leave out line breaks and what does not print"
        )
    return str.__str__(value)  # of a subclass, too, which the encoder does not know
