"""The process that owns an embedded server, and outlives its supervisor just long enough to stop it.

Run as a script by `EmbeddedPostgres`, with the standard library alone, so that it starts in milliseconds. PostgreSQL
is its child, so it always knows which process to stop: no process id is ever guessed. The server ends when

- a line or the end of file arrives on standard input (the supervisor asks, or is gone),
- the parent process changes (the supervisor died while a fork of it still holds the pipe open), or
- SIGTERM arrives.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import signal
import subprocess
import sys
from types import FrameType
from typing import NoReturn

TICK = 0.5
"""Seconds between two looks at the parent process and at the server."""

PATIENCE = 30.0
"""Seconds for a shutdown that lets PostgreSQL write a checkpoint, before it is told to drop everything."""


def keep(server: subprocess.Popen[bytes], supervisor: int) -> None:
    """Return when the server has ended, or when it is time to end it."""
    while server.poll() is None and os.getppid() == supervisor:
        asked, _, _ = select.select([sys.stdin.fileno()], [], [], TICK)
        if asked:
            return


def stop(server: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Stop the server as `how` says, and at once if that takes too long."""
    for step in (how, signal.SIGQUIT, signal.SIGKILL):
        if server.poll() is not None:
            return
        server.send_signal(step)
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            continue


def told_to_end(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Turn SIGTERM into an orderly end."""
    sys.exit(0)


def main() -> None:
    """Run one server until it ends or has to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--supervisor", type=int, required=True, help="id of the process the server belongs to")
    parser.add_argument("--user", type=int, help="user id to run the server as (root only)")
    parser.add_argument("--group", type=int, help="group id to run the server as (root only)")
    parser.add_argument("--place", required=True, help="temporary folder that goes with the server")
    parser.add_argument("--discard", action="store_true", help="the data goes too: stop without a checkpoint")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, told_to_end)
    server: subprocess.Popen[bytes] | None = None
    try:
        server = subprocess.Popen(
            options.command,
            stdin=subprocess.DEVNULL,
            cwd="/",
            user=options.user,
            group=options.group,
            extra_groups=None if options.user is None else [],
            umask=0o077,
        )
        keep(server, options.supervisor)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if server is not None:
            stop(server, signal.SIGQUIT if options.discard else signal.SIGINT)
        shutil.rmtree(options.place, ignore_errors=True)


if __name__ == "__main__":
    main()
