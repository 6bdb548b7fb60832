"""PgBouncer in transaction mode, as many people have it before their PostgreSQL.

Each transaction goes to the server connection that has rested longest, so that nothing of a session's outlives it.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import asyncpg
import pytest

from saga_fn.embedded.binaries import Account, make_place, server_account
from tests.support.tools import PGBOUNCER

PORT = 6432
START_LIMIT = 20.0
CONNECTIONS = 5


class Pooler:
    """A pooler of a test's own, which can be killed and started again."""

    def __init__(self, place: Path, dsn: str, account: Account | None) -> None:
        self._account = account
        self._command = [PGBOUNCER.require(), str(_written(place / "etc", dsn, account))]
        self._log = place / "log"
        self._running: subprocess.Popen[bytes] | None = None
        self.dsn = _through(place / "etc", dsn)
        """How to connect to the database through it."""

    async def start(self) -> None:
        """Start it, and return when it passes transactions on."""
        account = self._account
        with self._log.open("w+") as log:
            self._running = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
            )
        await _answering(self.dsn, self._running, self._log)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it by that signal."""
        if self._running is not None:
            self._running.send_signal(how)
            await asyncio.to_thread(self._running.wait, START_LIMIT)


@asynccontextmanager
async def pooler(dsn: str) -> AsyncGenerator[Pooler]:
    """A pooler before that database."""
    account = server_account()
    place = make_place(account)
    try:
        made = Pooler(place, dsn, account)
        try:
            await made.start()
            yield made
        finally:
            await made.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)


@asynccontextmanager
async def pooled(dsn: str) -> AsyncGenerator[str]:
    """How to connect to the database through a pooler of this test's own."""
    async with pooler(dsn) as made:
        yield made.dsn


def _written(folder: Path, dsn: str, account: Account | None) -> Path:
    """The pooler's settings, in a folder of the user that runs it."""
    parts = urlsplit(dsn)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    user, password = unquote(parts.username or "postgres"), unquote(parts.password or "")
    host = query.get("host", parts.hostname or "127.0.0.1")
    port = query.get("port", str(parts.port or 5432))
    folder.mkdir(mode=0o700)
    users = folder / "users"
    users.write_text(f'"{user}" "{password}"\n')
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        "[databases]\n"
        f"* = host={host} port={port}\n"
        "[pgbouncer]\n"
        "pool_mode = transaction\n"
        "server_round_robin = 1\n"
        "server_login_retry = 1\n"  # else it refuses everybody for 15 s when the server was away
        f"default_pool_size = {CONNECTIONS}\n"
        f"unix_socket_dir = {folder}\n"
        f"listen_port = {PORT}\n"
        f"auth_type = scram-sha-256\nauth_file = {users}\n"
        "syslog = 0\n"
    )
    for made in (users, settings):
        made.chmod(0o600)
        if account is not None:
            account.own(made)
    if account is not None:
        account.own(folder)
    return settings


def _through(folder: Path, dsn: str) -> str:
    parts = urlsplit(dsn)
    account = parts.netloc.rpartition("@")[0]
    query = f"host={quote(str(folder), safe='')}&port={PORT}"
    return parts._replace(netloc=f"{account}@" if account else "", query=query).geturl()


async def _answering(dsn: str, running: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until it passes transactions on, and has a session for each of several that last at the same time."""
    for _ in range(int(START_LIMIT / 0.02)):
        if running.poll() is not None:
            break
        try:
            async with AsyncExitStack() as stack:
                open_now: list[asyncpg.Connection] = []
                for _ in range(CONNECTIONS):
                    connection = await asyncpg.connect(dsn, statement_cache_size=0, timeout=START_LIMIT)
                    stack.push_async_callback(connection.close)
                    await connection.execute("BEGIN")
                    open_now.append(connection)
                for connection in open_now:  # an open transaction would take its session with it
                    await connection.execute("COMMIT")
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.02)
            continue
        return
    pytest.fail(f"the pooler did not start: {log.read_text()}")
