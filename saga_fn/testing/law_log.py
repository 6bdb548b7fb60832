"""The log while a law is tried: in its virtual days a case may repeat one failure a thousand times."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Generator
from typing import Final

from typing_extensions import override

from saga_fn.engine.observe.fact import LOG, PROCESS

MOST: Final = 20
"""Lines of one kind that one case leaves in the log: as many as a process says within ten seconds."""


class _Few(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._said: Counter[tuple[str, int, str]] = Counter()

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        kind = (record.name, record.levelno, str(record.msg))
        self._said[kind] += 1
        return self._said[kind] <= MOST


@contextlib.contextmanager
def few_lines() -> Generator[None]:
    """Let no more than the first `MOST` lines of a kind into the log; a kind is a text, whatever stands in its places."""
    few, loggers = _Few(), [logging.getLogger(name) for name in (LOG, PROCESS)]
    for logger in loggers:
        logger.addFilter(few)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(few)
