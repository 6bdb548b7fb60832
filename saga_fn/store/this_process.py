"""The name of this process, for people who read a journal after it is gone."""

from __future__ import annotations

import functools
import os
import socket

from saga_fn.printable import printable

_LONGEST: int = 80
"""Characters; a host's name has 64 at most on Linux."""


def this_process() -> str:
    """The host and the number of the process there, as in `shop-7f4c:41`."""
    return _named(os.getpid())  # asked each time: a process that was forked is another one


@functools.cache
def _named(number: int) -> str:
    return f"{printable(socket.gethostname(), _LONGEST)}:{number}"
