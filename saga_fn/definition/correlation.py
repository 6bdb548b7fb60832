"""The thing that an event and a wait are about: a correlation id, kept as its fingerprint."""

from __future__ import annotations

import hashlib
from typing import Final

from saga_fn.arguments import size_of
from saga_fn.core.ids import Digest
from saga_fn.errors import PayloadError

_LONGEST: Final = 255
"""Characters."""


def fingerprint(correlation_id: object) -> Digest:
    """The fingerprint of a correlation id; raises PayloadError for what is none."""
    if not isinstance(correlation_id, str) or not 0 < len(correlation_id) <= _LONGEST:
        raise PayloadError(
            f"a correlation id must be a string of 1 to {_LONGEST} characters, not {size_of(correlation_id)}",
            hint="hash longer ones first",
        )
    return Digest(hashlib.blake2b(correlation_id.encode("utf-8", "surrogatepass"), digest_size=8).digest())
