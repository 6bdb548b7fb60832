"""The files that a browser gets beside the pages. Each has its digest in its address, so that browsers may keep it."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final

import attrs

from saga_fn.diagram import STYLE

_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@attrs.frozen
class Asset:
    """A file, and its address below `static/`."""

    address: str
    content: bytes
    media_type: str


def _asset(name: str) -> Asset:
    content = files(__name__).joinpath(name).read_bytes()
    if name == "console.css":
        content += STYLE.encode()
    stem, _, ending = name.rpartition(".")
    digest = hashlib.blake2b(content, digest_size=6).hexdigest()
    return Asset(f"{stem}.{digest}.{ending}", content, _TYPES[ending])


ASSETS: Final = {name: _asset(name) for name in ("console.css", "console.js", "icon.svg")}
"""The files by name."""
BY_ADDRESS: Final = {asset.address: asset for asset in ASSETS.values()}
"""The same by address."""
