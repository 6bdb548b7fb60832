"""What the library has said."""

from __future__ import annotations

import pytest


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """The lines of that level about sagas, without their ids."""
    return [
        " ".join(word for word in record.getMessage().split() if word.count("-") != 4).replace("saga : ", "")
        for record in caplog.records
        if record.levelno == level and record.name == "saga_fn"
    ]
