"""Ports for programs that cannot say which one they have taken: each is kept for the process that asked, until it ends."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO, Final

_PORTS: Final = range(15_000, 30_000)
"""Below those that the kernel gives away by itself: to every connection that any program makes."""
_held: Final[list[IO[bytes]]] = []


def free_port() -> int:
    """A port at which nothing listens, and that no other test run of this user is given meanwhile."""
    folder = Path(tempfile.gettempdir()) / f"saga_fn_ports_{os.getuid()}"  # none may open another user's files
    folder.mkdir(exist_ok=True)
    for port in random.sample(_PORTS, len(_PORTS)):
        lock = (folder / str(port)).open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(("127.0.0.1", port))
        except OSError:  # it is locked, or in use
            lock.close()
            continue
        _held.append(lock)
        return port
    raise AssertionError("no port is free")
