"""Where the demo finds PostgreSQL: at `SAGA_FN_DSN`, or it starts one of its own."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

from saga_fn.embedded import EmbeddedPostgres


@contextmanager
def postgres() -> Generator[str]:
    """The DSN of a server; if it is one of our own it stops, and its data goes, when the context ends."""
    dsn = os.environ.get("SAGA_FN_DSN")
    if dsn:
        # The library takes the other spelling too; the services' books are kept with plain asyncpg.
        yield dsn.replace("postgresql+asyncpg://", "postgresql://", 1)
        return
    with EmbeddedPostgres() as server:
        yield server.dsn
