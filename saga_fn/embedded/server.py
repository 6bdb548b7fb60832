"""One PostgreSQL server for the life of one process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import attrs

from saga_fn.embedded import keeper
from saga_fn.embedded.binaries import (
    Account,
    EmbeddedServerError,
    environment,
    make_place,
    runnable,
    server_account,
    wheel_bin_dir,
)
from saga_fn.embedded.home import SUPERUSER, entered, initialised, locked, no_link, socket_folder
from saga_fn.embedded.leftover import stop_leftover
from saga_fn.embedded.own_files import check_folder, open_file
from saga_fn.errors import shown
from saga_fn.printable import a_type_of

START_TIMEOUT = 60.0
"""Seconds from the start of the server, recovery after a crash included, until it takes connections."""

STOP_TIMEOUT = 2 * keeper.PATIENCE + 5
_SAFE_TEMPORARY = "set TMPDIR to a folder that only you may write to, or one with the sticky bit, as /tmp has it"


@attrs.frozen
class _Running:
    keeper: subprocess.Popen[bytes]
    place: Path
    socket: Path
    data: Path
    lock: IO[str]
    password: str
    port: str


class EmbeddedPostgres:
    """A PostgreSQL server that belongs to this process, with nothing to install but the extra `embedded`.

    The server listens on a unix socket in a private folder only, and asks for a password that is in the `dsn`. It
    stops when it is told to or when this process ends, also by a crash. Its programs are given none of this process's
    variables but a few, such as PATH. As root it runs as the user `nobody`: every program of that user can reach its data,
    so that root should use it for tests only. No permission of any folder but its own is ever changed.

    Use it with `with` or `async with`, or call `start` and `stop`.

    Args:
        state_dir: The folder that keeps the data from one run to the next; it is made if it does not exist. The `dsn` is the
            same in every run. Only this user may be able to write to it. Default: a temporary folder, which goes with the
            server.
        bin_dir: The folder of the programs of another PostgreSQL, 15 or newer. Default: those of the extra.
        settings: PostgreSQL's own settings, by name. Default: as durable as any server.

    Raises:
        EmbeddedServerError: An argument is not what it has to be, or the extra is not installed.

    >>> with EmbeddedPostgres(settings={"fsync": "off"}) as server:
    ...     server.dsn.startswith("postgresql://postgres:")
    True
    """

    bin_dir: Path
    """The folder of the client programs: `psql`, `pgbench`, `pg_test_fsync` and the rest."""

    def __init__(
        self,
        state_dir: str | Path | None = None,
        *,
        bin_dir: str | Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.bin_dir = wheel_bin_dir() if bin_dir is None else _path("bin_dir", bin_dir)
        self._state_dir = None if state_dir is None else _path("state_dir", state_dir)
        self._settings: dict[str, str] = _checked({} if settings is None else settings)
        self._running: _Running | None = None

    @property
    def dsn(self) -> str:
        """The way to connect to the database `postgres` as superuser. It holds the password: do not log it.

        Raises:
            EmbeddedServerError: The server is not started.
        """
        return self.dsn_of("postgres")

    def dsn_of(self, database: str) -> str:
        """Give the way to connect to a database of this server as superuser. It holds the password: do not log it.

        Args:
            database: The name of the database.

        Returns:
            The DSN.

        Raises:
            EmbeddedServerError: The server is not started, or the name is none.
        """
        given: object = database  # the caller's type checker may not have seen it
        if not isinstance(given, str) or not given or "\0" in given:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise EmbeddedServerError(
                f"a database's name is a text, not {shown(given)}", hint='server.dsn_of("postgres")'
            )
        run = self._started()
        host = quote(str(run.socket), safe="")
        return f"postgresql://{SUPERUSER}:{run.password}@/{quote(database, safe='')}?host={host}&port={run.port}"

    @property
    def pid(self) -> int:
        """The process id of the server itself.

        Raises:
            EmbeddedServerError: The server is not started.
        """
        return int((self._started().data / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        """Start the server and return when it takes connections; about a second when the data is new.

        A server that a crash left behind in the same `state_dir` is stopped first.

        Raises:
            EmbeddedServerError: It is started already, another process uses the folder, or PostgreSQL does not start.
        """
        if self._running is not None:
            raise EmbeddedServerError("this server is started already", hint="make another EmbeddedPostgres")
        account = server_account()
        place = make_place(account)
        try:
            check_folder(place, mend=_SAFE_TEMPORARY)
            self._running = self._start(place, account)
        except OSError as error:
            shutil.rmtree(place, ignore_errors=True)
            raise EmbeddedServerError(
                f"the embedded server cannot be set up: {error}",
                hint="state_dir= has to be a folder that this user may write to",
            ) from error
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise

    def stop(self) -> None:
        """Stop the server; without a `state_dir` its data goes too. It does nothing if the server is not started.

        Raises:
            EmbeddedServerError: The server does not stop.
        """
        run = self._running
        if run is None:
            return
        self._running = None
        _dismiss(run.keeper)
        stop_leftover(run.data)  # the keeper may have been killed
        shutil.rmtree(run.place, ignore_errors=True)
        run.lock.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def _started(self) -> _Running:
        if self._running is None:
            raise EmbeddedServerError("the embedded server is not started", hint="call start(), or use it in `with`")
        return self._running

    def _start(self, place: Path, account: Account | None) -> _Running:
        programs = runnable(self.bin_dir, place, account)
        home = place if self._state_dir is None else entered(self._state_dir, account)
        lock = locked(home)
        try:
            data = no_link(home / "data")
            stop_leftover(data)
            password = initialised(data, programs, account, durable=home != place)
            socket = socket_folder(home, place, account)
            port = self._settings.get("port", "5432")
            settings = {
                "listen_addresses": "",
                "unix_socket_directories": '"{}"'.format(str(socket).replace('"', '""')),
                "max_connections": "200",
                **self._settings,
            }
            server = [str(programs / "postgres"), "-D", str(data)]
            for name, value in settings.items():
                server += ["-c", f"{name}={value}"]
            with open_file(home / "log", "w+") as log:  # for this user alone: statements that fail are quoted in it
                kept = subprocess.Popen(
                    [*_keeper_command(place, account, discard=home == place), *server],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for the supervisor, who then stops the server in order
                    env=environment(),
                )
                try:
                    _wait_until_ready(kept, data, log)
                except BaseException:
                    _dismiss(kept)
                    raise
        except BaseException:
            lock.close()
            raise
        return _Running(kept, place, socket, data, lock, password, port)


def _keeper_command(place: Path, account: Account | None, *, discard: bool) -> list[str]:
    user = [] if account is None else ["--user", str(account.uid), "--group", str(account.gid)]
    return [
        # Isolated and without site-packages: the keeper needs neither, and starts faster.
        *(sys.executable, "-I", "-S", keeper.__file__),
        *("--supervisor", str(os.getpid()), "--place", str(place)),
        *user,
        *(("--discard",) if discard else ()),
        "--",
    ]


def _path(name: str, value: object) -> Path:
    text = str(value) if isinstance(value, Path) else value
    if not isinstance(text, str) or not text or "\0" in text:
        given = "an empty text" if isinstance(text, str) and not text else a_type_of(value)
        raise EmbeddedServerError(
            f"{name} must be the path of a folder, not {given}", hint=f'{name}="/var/lib/saga_fn"'
        )
    return Path(text).absolute()


def _checked(settings: Mapping[str, str]) -> dict[str, str]:
    try:
        pairs = dict(settings)
    except (TypeError, ValueError):
        pairs = {"": ""}
    for each in (*pairs.keys(), *pairs.values()):
        given: object = each  # the caller's type checker may not have seen it
        if not isinstance(given, str) or not given or "\0" in given:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise EmbeddedServerError(
                "settings must be a dict of PostgreSQL's settings and their values, both strings",
                hint='settings={"max_connections": "50"}',
            )
    return pairs


def _wait_until_ready(kept: subprocess.Popen[bytes], data: Path, log: IO[str]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        try:
            status = (data / "postmaster.pid").read_text().splitlines()[7].strip()
        except (FileNotFoundError, IndexError):
            status = ""
        if kept.poll() is not None:
            raise EmbeddedServerError(f"PostgreSQL did not start:\n{_tail(log)}")
        if status == "ready":
            return
        time.sleep(0.01)
    raise EmbeddedServerError(f"PostgreSQL was not ready after {START_TIMEOUT:.0f} s:\n{_tail(log)}")


def _tail(log: IO[str]) -> str:
    log.seek(0)  # through the open file: the keeper has removed its name by now
    return "\n".join(log.read().splitlines()[-12:])


def _dismiss(kept: subprocess.Popen[bytes]) -> None:
    """Ask the keeper to stop its server, and wait until it has."""
    if kept.stdin is None:
        raise AssertionError  # it was started with a pipe
    with contextlib.suppress(BrokenPipeError):
        os.write(kept.stdin.fileno(), b"\n")  # not the end of file alone: a fork of ours may hold the pipe open
    kept.stdin.close()
    kept.wait(STOP_TIMEOUT)
