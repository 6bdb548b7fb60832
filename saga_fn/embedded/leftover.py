"""A server that outlived both its supervisor and its keeper: recognise it beyond doubt, then stop it."""

from __future__ import annotations

import signal
from pathlib import Path

from saga_fn.embedded.binaries import EmbeddedServerError

CLOCK_SLACK = 10.0
"""Seconds by which two accounts of when a process started may differ."""


def stop_leftover(data: Path) -> None:
    """Stop the server that `data`'s postmaster.pid names, if it is one; leave any other process alone.

    A process id alone proves nothing, it may have been given to a stranger since. A PostgreSQL server works in its
    data folder, and has written down when it started.
    """
    pid_file = data / "postmaster.pid"
    try:
        lines = pid_file.read_text().splitlines()
        pid, started = int(lines[0]), int(lines[2])
    except (FileNotFoundError, IndexError, ValueError):
        return
    import psutil

    try:
        process = psutil.Process(pid)
        if Path(process.cwd()) != data:
            pid_file.unlink()  # else PostgreSQL would take the stranger for a running server, and refuse to start
            return
        if abs(process.create_time() - started) > CLOCK_SLACK:
            raise EmbeddedServerError(
                f"process {pid} works in {data}, but is not the server that was started there",
                hint=f"look at it (ps -fp {pid}), end it, and start again",
            )
        for how in (signal.SIGINT, signal.SIGQUIT):
            process.send_signal(how)
            try:
                process.wait(30)
            except psutil.TimeoutExpired:
                continue
            return
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return  # gone, or not ours: PostgreSQL copes with either
    raise EmbeddedServerError(
        f"the server that was left running in {data} (process {pid}) does not stop",
        hint=f"look at it (ps -fp {pid}), end it, and start again",
    )
