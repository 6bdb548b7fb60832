"""The terminal: answers go to stdout, all else to stderr, so that a pipe gets answers alone."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final, TextIO

import attrs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text
from typing_extensions import override

from saga_fn.cli.answers import Answer, Lines, Part, json_of
from saga_fn.cli.failures import Failure
from saga_fn.cli.layout import laid_out
from saga_fn.printable import printable

_BOLD: Final = "bold"
_NARROWEST, _WIDE, _WIDEST = 40, 100, 400
"""Characters of a line of a picture; the second where there is no terminal."""


class NotTakenError(Exception):
    """The output is not taken: the reader of the pipe has gone, or the disk is full."""


class _Terminal(Console):
    """A console that leaves it to the caller what a closed pipe means; rich itself would end the process with 1."""

    @override
    def on_broken_pipe(self) -> None:
        """Say so."""
        raise NotTakenError

    @override
    def __exit__(self, exc_type: object, exc_value: object, traceback: object) -> None:
        """Write what has gathered: rich does it whenever a text is printed."""
        with _taken():
            super().__exit__(exc_type, exc_value, traceback)


def terminal() -> Console:
    """The console that help is written to."""
    return _Terminal()


@contextmanager
def _taken() -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise NotTakenError from error


def console_on(file: TextIO) -> Console:
    """A console that reads no markup, paints no numbers and knows no names of pictures: it shows texts as they are."""
    return _Terminal(file=file, markup=False, highlight=False, emoji=False, soft_wrap=True)


@attrs.frozen
class Bar:
    """A progress bar on stderr; it shows nothing where that is no terminal."""

    _progress: Progress
    _task: TaskID

    def at(self, done: int, total: int | None) -> None:
        """Say how far it is."""
        self._progress.update(self._task, completed=done, total=total)


@attrs.frozen
class Canvas:
    """How a picture of text has to be drawn."""

    width: int
    color: bool
    plain: bool


@attrs.frozen
class Output:
    """Where a command writes to, and how."""

    as_json: bool = False

    def answer(self, answer: Answer) -> None:
        """Write an answer."""
        if self.as_json:
            self.write(json_of(answer.data))
        else:
            self.parts(answer.parts)

    def parts(self, parts: tuple[Part, ...], *, to_stderr: bool = False) -> None:
        """Write parts for people."""
        file = sys.stderr if to_stderr else sys.stdout
        console = console_on(file)
        with _taken():
            for line in laid_out(parts, console.width if file.isatty() else None):
                if line.is_drawn:
                    file.write(f"{line.text}\n")
                else:
                    console.print(Text(line.text, style=_BOLD if line.is_heading else ""), soft_wrap=True)

    def write(self, text: str) -> None:
        """Write a text that is known to be printable, as it is."""
        with _taken():
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    def flush(self) -> None:
        """Hand over all that was written to stdout."""
        with _taken():
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """Tell a person on stderr how it goes. With --json nothing is told: stderr has the failure alone."""
        if not self.as_json:
            self.parts((Lines((text,)),), to_stderr=True)

    def failure(self, failure: Failure) -> None:
        """Write why the command has failed, in one line."""
        with suppress(OSError):  # the exit code says it, too
            sys.stderr.write(f"{json_of(failure.data) if self.as_json else failure.line}\n")
            sys.stderr.flush()

    def agrees(self, question: str) -> bool:
        """Ask a person for a yes. Nothing else is one."""
        with _interruptible():  # before the question is there to be answered by Ctrl-C
            sys.stderr.write(f"{printable(question)} [y/N] ")
            sys.stderr.flush()
            return sys.stdin.readline().strip().lower() in ("y", "yes")

    @property
    def canvas(self) -> Canvas:
        """How stdout takes pictures."""
        width = console_on(sys.stdout).width if sys.stdout.isatty() else _WIDE
        is_plain = not (sys.stdout.encoding or "").lower().startswith("utf")
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        return Canvas(min(max(width, _NARROWEST), _WIDEST), color and not self.as_json, is_plain)

    @property
    def can_ask(self) -> bool:
        """Whether a person can answer a question."""
        return sys.stdin.isatty()

    @contextmanager
    def bar(self, what: str) -> Generator[Bar]:
        """Show a progress bar while the block lasts."""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        console = console_on(sys.stderr)
        with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
            yield Bar(progress, progress.add_task(printable(what), total=None))


@contextmanager
def _interruptible() -> Generator[None]:
    """Let Ctrl-C end the wait for a person at once: the event loop would only note it, and the wait would go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def fit_for_any_text() -> None:
    """Let stdout and stderr take every character: one that their encoding has not is written as its escape."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a stream that a test puts there may have none
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def no_reader_any_more() -> None:
    """The reader of the pipe has gone: write nothing more, also not when Python flushes at its end."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
