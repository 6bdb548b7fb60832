"""Ctrl-C and SIGTERM while something goes on that does not end with this process."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.failures import EndedError


@contextmanager
def told_at_the_end(hint: str) -> Generator[None]:
    """Let Ctrl-C and SIGTERM end the block, and say by `hint` what becomes of that which was begun. Raises EndedError then."""
    task = asyncio.current_task()
    code = ExitCode.INTERRUPTED

    def terminate() -> None:
        nonlocal code
        code = ExitCode.TERMINATED
        if task is not None:
            task.cancel()

    hears = threading.current_thread() is threading.main_thread()  # no other thread is told of signals
    loop = asyncio.get_running_loop()
    if hears:
        loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        yield
    except asyncio.CancelledError:
        raise EndedError("interrupted", code=code, hint=hint) from None
    finally:
        if hears:
            loop.remove_signal_handler(signal.SIGTERM)
