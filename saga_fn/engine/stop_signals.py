"""SIGTERM and SIGINT, for all who wait for them in one event loop: a loop keeps one handler a signal."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final
from weakref import WeakKeyDictionary

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, set[asyncio.Event]] = WeakKeyDictionary()


@contextmanager
def stop_signals() -> Generator[asyncio.Event]:
    """An event that either signal sets, while this lasts. Only the main thread hears of signals."""
    stop = asyncio.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    loop = asyncio.get_running_loop()
    waiting = _waiting.setdefault(loop, set())
    if not waiting:
        for sign in _SIGNALS:
            loop.add_signal_handler(sign, _tell, waiting)
    waiting.add(stop)
    try:
        yield stop
    finally:
        waiting.discard(stop)
        if not waiting:
            for sign in _SIGNALS:
                loop.remove_signal_handler(sign)


def _tell(waiting: set[asyncio.Event]) -> None:
    for stop in waiting:
        stop.set()
