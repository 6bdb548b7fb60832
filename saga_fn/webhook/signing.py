"""Signatures by the Standard Webhooks: HMAC-SHA256 over the message's id, the time and the body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final, final

from typing_extensions import override

from saga_fn.errors import SagaError

_PREFIX: Final = "whsec_"
_SHORTEST: Final = 24
_LONGEST: Final = 64


@final
class Signer:
    """Signs with one secret, or with several while receivers change to a new one. It shows none of them.

    Args:
        secrets: Each is "whsec_" and 24 to 64 random bytes in base64.

    Raises:
        SagaError: A secret is none; the message does not show it.
    """

    def __init__(self, *secrets: object) -> None:
        self._keys = tuple(_key(secret) for secret in secrets)
        if not self._keys:
            raise SagaError("a webhook is signed with a secret, and none is given", hint=_HINT)

    @override
    def __repr__(self) -> str:
        return f"Signer({len(self._keys)})"

    def headers(self, message_id: str, seconds: int, body: bytes) -> dict[str, str]:
        """The three headers of a message that is sent at this time (seconds since 1970)."""
        signed = f"{message_id}.{seconds}.".encode() + body
        signatures = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in self._keys]
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
        }


_HINT: Final = (
    'make one by "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(), and keep it where you keep passwords'
)


def _key(secret: object) -> bytes:
    if isinstance(secret, str) and secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if _SHORTEST <= len(key) <= _LONGEST:
            return key
    raise SagaError(f"the secret of a webhook is {_PREFIX} and {_SHORTEST} to {_LONGEST} bytes in base64", hint=_HINT)
