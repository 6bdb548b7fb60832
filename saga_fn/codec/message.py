"""The payloads of outgoing messages: JSON for its reader. Unlike what is stored for a saga, it never has to come back."""

from __future__ import annotations

from typing import Final

import msgspec

from saga_fn.codec import models
from saga_fn.codec.containers import is_mapping
from saga_fn.codec.flaws import first_flaw
from saga_fn.codec.words import SUPPORTED
from saga_fn.errors import PayloadError
from saga_fn.printable import a_type_of

LONGEST_HEADERS: Final = 8192
"""Bytes, as JSON."""
_decode_headers = msgspec.json.Decoder(dict[str, str]).decode


def encode_message(value: object) -> bytes:
    """The JSON of a value; bytes of any kind stay as they are. Raises PayloadError for what has no form in JSON.

    >>> encode_message({"order": 7}), encode_message(bytearray(b"7"))
    (b'{"order":7}', b'7')
    """
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, memoryview):
        return value.tobytes()
    name = type(value).__name__
    try:
        data = models.encode(value)
        flaw = first_flaw(value)
    except (KeyboardInterrupt, SystemExit):
        raise
    # A user's class may raise anything while it is encoded.
    except BaseException as error:  # noqa: BLE001 - as just said
        raise PayloadError(
            f"a message of this {name} cannot be written as JSON ({type(error).__name__})", hint=f"use {SUPPORTED}"
        ) from None  # its text may hold what was given
    if flaw is not None:
        raise flaw.as_error(name)
    return data


def kept_headers(given: object) -> bytes | None:
    """The bytes that keep a message's headers; None for none. Raises PayloadError for what is no mapping of strings."""
    if given is None:
        return None
    hint = 'headers={"content-type": "application/json"}'
    if not is_mapping(given):
        raise PayloadError(f"headers are a mapping of strings, not {a_type_of(given)}", hint=hint)
    headers: dict[object, object] = {}
    try:
        headers = dict(given)
        kept = msgspec.json.encode(headers)
        are_texts = all(isinstance(each, str) for pair in headers.items() for each in pair)
    except (KeyboardInterrupt, SystemExit):
        raise
    # A mapping of the caller's may raise anything while it is read.
    except BaseException:  # noqa: BLE001 - as just said
        are_texts, kept = False, b""
    if not are_texts:
        raise PayloadError("headers are a mapping of strings, and some of it is none", hint=hint)
    if len(kept) > LONGEST_HEADERS:
        raise PayloadError(f"headers take {len(kept):,} bytes, and {LONGEST_HEADERS:,} is the most", hint=hint)
    return kept if headers else None


def headers_in(kept: bytes | None) -> dict[str, str]:
    """The headers again; none where they are damaged."""
    if kept is None:
        return {}
    try:
        return _decode_headers(kept)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
