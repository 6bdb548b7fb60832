"""A PostgreSQL server with a streaming replica of it, both of the test's own."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import asyncpg
import attrs

from saga_fn.embedded import EmbeddedPostgres
from saga_fn.embedded.binaries import environment, server_account
from saga_fn.embedded.home import LOCK_NAME
from tests.support.servers import SETTINGS, embedded
from tests.support.until import SOON


@attrs.frozen
class Replicated:
    """A server, and its replica."""

    primary: EmbeddedPostgres
    replica: EmbeddedPostgres

    def on_replica(self, dsn: str) -> str:
        """The same database and role as a DSN of the primary names, on the replica."""
        there = parse_qs(urlsplit(self.replica.dsn).query)["host"][0]
        return dsn.replace(quote(_host(self.primary.dsn), safe=""), quote(there, safe=""))

    async def caught_up(self) -> None:
        """Return as soon as the replica has all that the primary has written until now."""
        written = await _asked(self.primary.dsn, "SELECT pg_current_wal_insert_lsn()::text")
        async with asyncio.timeout(SOON):
            while not await _asked(self.replica.dsn, f"SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn"):
                await asyncio.sleep(0.02)


@contextmanager
def replicated(bin_dir: Path | None = None) -> Generator[Replicated]:
    """Start a server and a replica of it; stop both afterwards."""
    home = Path(tempfile.mkdtemp(prefix="saga-fn-replica-"))
    try:
        home.chmod(0o711)  # its server may run as another user, who passes through
        with embedded(bin_dir) as primary:
            copy_to(primary, home)
            with EmbeddedPostgres(home, bin_dir=bin_dir, settings={**SETTINGS, "hot_standby": "on"}) as replica:
                yield Replicated(primary, replica)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def copy_to(primary: EmbeddedPostgres, home: Path) -> None:
    """Make the folder of an embedded server whose data follow those of the primary."""
    data = home / "data"
    wanted = [str(primary.bin_dir / "pg_basebackup"), "-D", str(data), "-R", "-X", "stream", "-c", "fast", "--no-sync"]
    done = subprocess.run(
        [*wanted, "-d", primary.dsn], check=False, capture_output=True, text=True, env=environment(), timeout=2 * SOON
    )
    assert done.returncode == 0, done.stderr
    data.chmod(0o700)
    account = server_account()
    if account is not None:
        for folder, folders, files in os.walk(data):
            for name in (*folders, *files, "."):
                os.chown(Path(folder, name), account.uid, account.gid)
    for name, text in ((LOCK_NAME, ""), ("password", unquote(urlsplit(primary.dsn).password or ""))):
        (home / name).write_text(text)
        (home / name).chmod(0o600)


def _host(dsn: str) -> str:
    return parse_qs(urlsplit(dsn).query)["host"][0]


async def _asked(dsn: str, question: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        found: object = await connection.fetchval(question)
    finally:
        await connection.close()
    return found
