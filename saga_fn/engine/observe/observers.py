"""Who is told what happens: the log, always, and the observers that were added."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable
from typing import Final, TypeAlias, final

import msgspec

from saga_fn import steady
from saga_fn.engine.observe.fact import LOG, PROCESS, Line
from saga_fn.engine.observe.of_attempts import AttemptFact, AttemptFailed
from saga_fn.engine.observe.of_claims import ClaimFact
from saga_fn.engine.observe.of_commits import CommitFact
from saga_fn.engine.observe.of_incoming import IncomingFact
from saga_fn.engine.observe.of_outgoing import OutgoingFact
from saga_fn.engine.observe.of_process import ProcessFact
from saga_fn.engine.observe.of_sagas import SagaFact
from saga_fn.engine.observe.of_troubles import TroubleFact
from saga_fn.engine.observe.of_upkeep import UpkeepFact
from saga_fn.engine.observe.repeats import SECONDS, Repeats
from saga_fn.engine.observe.traces import in_lines, without_messages
from saga_fn.errors import SagaError, shown
from saga_fn.printable import name_of_type
from saga_fn.tasks import call_later

_LOGGERS: Final = {name: logging.getLogger(name) for name in (LOG, PROCESS)}
Fact: TypeAlias = (
    SagaFact
    | AttemptFact
    | TroubleFact
    | CommitFact
    | ClaimFact
    | OutgoingFact
    | IncomingFact
    | UpkeepFact
    | ProcessFact
)
Observer: TypeAlias = Callable[[Fact], object]
"""It is called in the event loop, in the middle of the engine's work: it takes what it wants, and returns at once."""


class _Told(msgspec.Struct, eq=False):
    """One who is told."""

    observer: Observer
    is_blamed: bool = False
    """Whether the log says already that it fails."""


@final
class Observers:
    """The observers of one engine.

    None of them is in the way of a commit. One that raises is told of what follows all the same; the log says so once.
    """

    __slots__ = ("_others", "_repeats", "_timer", "_tracebacks", "listens")

    def __init__(self, *, tracebacks: bool = False, log_repeats: int | None = None) -> None:
        """`tracebacks`: the log tells of a step's exception by its traceback, messages and all, else by its type.

        `log_repeats`: the most warnings that say the same within `SECONDS`; None says all.
        """
        self._tracebacks = tracebacks
        self._repeats = Repeats(log_repeats, lambda: steady.now())  # noqa: PLW0108 - the name is read at each call
        self._timer: asyncio.TimerHandle | None = None
        self._others: tuple[_Told, ...] = ()
        self.listens: bool = False
        """Whether an observer wants the facts, too, that the log says nothing of."""

    def add(self, observer: Observer) -> None:
        """Tell this one from now on. Raises SagaError for what can be told nothing."""
        check_observer(observer)
        self._others = (*self._others, _Told(observer))
        self.listens = True

    def remove(self, observer: Observer) -> None:
        """Tell this one no more."""
        self._others = tuple(each for each in self._others if each.observer != observer)
        self.listens = bool(self._others)

    def wants(self, level: int) -> bool:
        """Whether an observer wants a fact of which the log says something at that level."""
        return self.listens or _LOGGERS[LOG].isEnabledFor(level)

    def tell(self, fact: Fact) -> None:
        """Tell all of them. Raises nothing but what ends the program."""
        try:
            self._log(fact)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001, S110 - of a handler or a filter of the service's own: where could that be told?
            pass
        for each in self._others:
            try:
                _not_awaited(each.observer(fact))
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 - it is its own trouble; a saga would stand still for it
                self._blame(each, fact, error)

    def _log(self, fact: Fact) -> None:
        line = fact.line()
        if line is None or not self._is_said(line):
            return
        raised = fact.raised if isinstance(fact, AttemptFailed) else None
        if raised is None:
            _write(line)
        elif self._tracebacks:
            _write(line, in_lines(raised))
        else:
            _write(line)
            if _LOGGERS[LOG].isEnabledFor(logging.DEBUG):
                text = "saga %s: what %s raised"
                _write(Line(logging.DEBUG, text, line.args[:2], line.extra, without_messages(raised)))

    def _is_said(self, line: Line) -> bool:
        """Whether the line is said, or only counted; what is counted is told when its time is over."""
        if line.level < logging.WARNING or self._repeats.take(line):
            return True
        if self._timer is None:
            self._timer = call_later(SECONDS, self._tell_left_out)
        return False

    def _tell_left_out(self, *, all_of_them: bool = False) -> None:
        self._timer = None
        ended, seconds = self._repeats.over(all_of_them=all_of_them)
        for last, count in ended:
            text = "left out %d lines of the log within %g s that say the same, the last of them: " + last.text
            args = (count, SECONDS, *last.args)
            with contextlib.suppress(Exception):  # of a handler of the service's own
                _write(Line(last.level, text, args, last.extra, logger=last.logger))
        if seconds is not None:
            self._timer = call_later(max(seconds, 0.1), self._tell_left_out)

    def end_life(self) -> None:
        """Say at once how many lines were left out so far. The timer belongs to an event loop that may be closed next."""
        if self._timer is not None:
            self._timer.cancel()
        self._tell_left_out(all_of_them=True)

    def _blame(self, told: _Told, fact: Fact, error: BaseException) -> None:
        if told.is_blamed:
            return
        told.is_blamed = True
        text = "an observer failed when it was told %s (%s); it is told of what follows, and this is said once"
        args = (type(fact).__name__, name_of_type(error))
        with contextlib.suppress(Exception):
            _write(Line(logging.ERROR, text, args, error=without_messages(error)))


def _not_awaited(answer: object) -> None:
    """Raise SagaError for the coroutine of an observer that has to be awaited; no task does."""
    if inspect.iscoroutine(answer):
        answer.close()  # else Python would say at some other moment that it was never awaited
        raise SagaError("an observer that has to be awaited", hint="an observer is a plain function")


_OTHER_KINDS: Final = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
"""Calling one of these does nothing yet."""


def check_observer(observer: object) -> None:
    """Raise SagaError for what can be told nothing."""
    call: object = getattr(observer, "__call__", None)  # noqa: B004 - an object's own, that may be a coroutine function
    if not callable(observer) or any(is_other(each) for is_other in _OTHER_KINDS for each in (observer, call)):
        raise SagaError(
            f"an observer is a function that is told a fact, and is not awaited; got {shown(observer)}",
            hint="def observe(fact: Fact) -> None: ... puts what it wants into a queue or a counter, and returns at once",
        )


def _write(line: Line, error: BaseException | None = None) -> None:
    raised = error if line.error is None else line.error
    _LOGGERS[line.logger].log(line.level, line.text, *line.args, exc_info=raised, extra=line.extra)
