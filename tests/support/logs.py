"""What the library has said."""

from __future__ import annotations

import logging

import pytest

BY_THE_MACHINE = ("the event loop stood still", "ran out before they could be renewed")
"""The lines that are logged on a machine too busy to go on, whatever a test does."""


def records(caplog: pytest.LogCaptureFixture, logger: str = "saga_fn") -> list[logging.LogRecord]:
    """What one logger has said, but for what a busy machine adds to it."""
    return [
        record
        for record in caplog.records
        if record.name == logger and not any(text in record.getMessage() for text in BY_THE_MACHINE)
    ]


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """The lines of that level about sagas, without their ids."""
    return [
        " ".join(word for word in record.getMessage().split() if word.count("-") != 4).replace("saga : ", "")
        for record in records(caplog)
        if record.levelno == level
    ]
