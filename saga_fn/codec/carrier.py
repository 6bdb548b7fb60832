"""The headers of a caller's trace, kept with a saga: a mapping of strings, as OpenTelemetry's propagators write and read it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, cast

import msgspec

from saga_fn.errors import PayloadError
from saga_fn.printable import a_type_of

NO_CARRIER: Final[Mapping[str, str]] = MappingProxyType({})
LONGEST_CARRIER: Final = 2048
"""Bytes, as JSON."""
_decode = msgspec.json.Decoder(dict[str, str]).decode


def kept_carrier(given: object) -> bytes | None:
    """The bytes that keep it; None for none, or an empty one.

    Raises PayloadError for what is no mapping of strings, or too long.
    """
    if given is None:
        return None
    hint = 'trace_carrier={"traceparent": "00-...-01"}, as a propagator of your tracing library fills it'
    if not isinstance(given, Mapping):
        raise PayloadError(f"trace_carrier is a mapping of strings, not {a_type_of(given)}", hint=hint)
    refused = PayloadError("trace_carrier is a mapping of strings, and some of it is none", hint=hint)
    try:
        headers = dict(cast("Mapping[object, object]", given))  # just checked
        kept = msgspec.json.encode(headers)
        _ = _decode(kept)
    except (KeyboardInterrupt, SystemExit):
        raise
    # A mapping of the caller's may raise anything while it is read.
    except BaseException:  # noqa: BLE001 - as just said
        raise refused from None
    if not all(isinstance(each, str) for pair in headers.items() for each in pair):  # JSON would make texts of them
        raise refused
    if len(kept) > LONGEST_CARRIER:
        raise PayloadError(f"trace_carrier takes {len(kept):,} bytes, and {LONGEST_CARRIER:,} is the most", hint=hint)
    return kept if headers else None


def carrier_in(kept: bytes | None) -> Mapping[str, str]:
    """The mapping again. One that is damaged is none: no saga stands still for its trace."""
    if kept is None:
        return NO_CARRIER
    try:
        return MappingProxyType(_decode(kept))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return NO_CARRIER
