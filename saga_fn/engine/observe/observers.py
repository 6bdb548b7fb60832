"""Who is told what happens: the log, always, and whoever was added."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Final, TypeAlias, final

import attrs

from saga_fn.engine.observe.fact import LOG, PROCESS, Line
from saga_fn.engine.observe.of_process import ProcessFact
from saga_fn.engine.observe.of_sagas import AttemptFailed, SagaFact
from saga_fn.engine.observe.traces import in_lines, without_messages
from saga_fn.printable import name_of_type

_LOGGERS: Final = {name: logging.getLogger(name) for name in (LOG, PROCESS)}
Fact: TypeAlias = SagaFact | ProcessFact
Observer: TypeAlias = Callable[[Fact], object]
"""It is called in the event loop, in the middle of the engine's work: it takes what it wants, and returns at once."""


@attrs.define(eq=False)
class _Told:
    """One who is told."""

    observer: Observer
    is_blamed: bool = False
    """Whether the log says already that it fails."""


@final
class Observers:
    """The observers of one engine.

    None of them is in the way of a commit. One that raises is told of what follows all the same; the log says so once.
    """

    __slots__ = ("_blamed", "_others", "_tracebacks", "listens")

    def __init__(self, *, tracebacks: bool = False) -> None:
        """`tracebacks`: the log tells of a step's exception by its traceback, messages and all, else by its type."""
        self._tracebacks = tracebacks
        self._others: tuple[_Told, ...] = ()
        self.listens: bool = False
        """Whether anybody wants the facts, too, that the log says nothing of."""

    def add(self, observer: Observer) -> None:
        """Tell this one from now on."""
        self._others = (*self._others, _Told(observer))
        self.listens = True

    def remove(self, observer: Observer) -> None:
        """Tell this one no more."""
        self._others = tuple(each for each in self._others if each.observer != observer)
        self.listens = bool(self._others)

    def wants(self, level: int) -> bool:
        """Whether anybody wants a fact of which the log says something at that level."""
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
                each.observer(fact)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 - it is its own trouble; a saga would stand still for it
                self._blame(each, fact, error)

    def _log(self, fact: Fact) -> None:
        line = fact.line()
        if line is None:
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

    def _blame(self, told: _Told, fact: Fact, error: BaseException) -> None:
        if told.is_blamed:
            return
        told.is_blamed = True
        text = "an observer failed when it was told %s (%s); it is told of what follows, and this is said once"
        args = (type(fact).__name__, name_of_type(error))
        with contextlib.suppress(Exception):
            _write(Line(logging.ERROR, text, args, error=without_messages(error)))


def _write(line: Line, error: BaseException | None = None) -> None:
    raised = error if line.error is None else line.error
    _LOGGERS[line.logger].log(line.level, line.text, *line.args, exc_info=raised, extra=line.extra)
