"""The last act, if a person looks on: the console over the sagas of the demo, until a key is pressed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Generator

from saga_fn import SagaOrchestrator
from saga_fn.console import serve
from saga_fn.demo.cards import REPAIRED
from saga_fn.demo.display import Display


async def show_console(orchestrator: SagaOrchestrator, display: Display) -> None:
    """Serve the console until a key is pressed, or SIGINT or SIGTERM. Where there is no terminal, until a line is read."""
    stop = asyncio.Event()

    def announce(address: str) -> None:
        display.say(f"The console, where three sagas need you: {address}")
        display.say(f"Each lacks an address. Press its retry_step, with an input such as {REPAIRED}")
        display.say("Press any key to end it." if sys.stdin.isatty() else "A line, or SIGINT, ends it.")

    with _told_by_a_key(stop):
        await serve(orchestrator, port=0, announce=announce, stop=stop)


@contextlib.contextmanager
def _told_by_a_key(stop: asyncio.Event) -> Generator[None]:
    """Set the event when something comes from the standard input. Its end sets nothing: then a signal is waited for."""
    loop, source = asyncio.get_running_loop(), sys.stdin.fileno()

    def read() -> None:
        if os.read(source, 1):
            stop.set()
        else:
            loop.remove_reader(source)

    with _keys_at_once(source):
        try:
            loop.add_reader(source, read)
        except PermissionError:  # a file, or /dev/null: there is no key to press
            yield
            return
        try:
            yield
        finally:
            loop.remove_reader(source)


@contextlib.contextmanager
def _keys_at_once(source: int) -> Generator[None]:
    """Let a terminal give each key as it is pressed."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(source)
    tty.setcbreak(source)
    try:
        yield
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)
