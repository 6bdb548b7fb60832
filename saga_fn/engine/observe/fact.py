"""The common part of facts: the line that the log says of it, if it says any."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from saga_fn.codec.carrier import carrier_in
from saga_fn.core.ids import StepId
from saga_fn.printable import printable

LOG: Final = "saga_fn"
"""The logger for what is said of a saga."""
PROCESS: Final = "saga_fn.process"
"""The logger for what is said of this process."""


class SagaIdentity(msgspec.Struct, frozen=True):
    """The saga that a fact is about.

    Attributes:
        id: Its id.
        name: The name that it is registered under.
        version: The number of its version, from 1 on.
        trace_id: The trace id, as its caller chose it: it may hold any character.
        started_at: When it was started, as an aware datetime; None where that is not known.
        kept_carrier: The headers of its caller's trace, as they are stored: see `trace_carrier`. None where there are none, or
            where they are not known.
    """

    id: UUID
    name: str
    version: int
    trace_id: str
    started_at: datetime | None = None
    kept_carrier: bytes | None = None

    @property
    def trace_carrier(self) -> Mapping[str, str]:
        """The headers of its caller's trace; none where they are not known."""
        return carrier_in(self.kept_carrier)


class Line(msgspec.Struct, frozen=True):
    """A line of the log: no payload is part of it, and no message of an exception, which may hold what a payload holds.

    Attributes:
        level: The level, as a number of `logging`.
        text: The text, with a place for each of `args`.
        args: The values for these places. Default: none.
        extra: `saga_id`, `saga_name`, `trace_id`, `step` and `attempt`, as far as the line has them. Default: None.
        error: The exception that follows the line as a traceback. Default: None.
        logger: The name of the logger. Default: "saga_fn".
        like: Lines with another text here do not count as one that is repeated. Default: None.
    """

    level: int
    text: str
    args: tuple[object, ...] = ()
    extra: dict[str, object] | None = None
    error: BaseException | None = None
    logger: str = LOG
    like: str | None = None

    @property
    def message(self) -> str:
        """The text with its arguments in their places."""
        return self.text % self.args if self.args else self.text


class FactBase(msgspec.Struct, frozen=True):
    """Something that has happened."""

    def line(self) -> Line | None:
        """Give the line that the log says of it.

        Returns:
            The line; None for what happens all the time.
        """
        return self._line()

    def _line(self) -> Line | None:
        return None


def about(saga: SagaIdentity, step: StepId | None = None, attempt: int | None = None) -> dict[str, object]:
    """The `extra` of a record about the saga. The caller chooses a saga's trace id: it is cleaned."""
    return {
        "saga_id": str(saga.id),
        "saga_name": saga.name,
        "trace_id": printable(saga.trace_id),
        "step": step,
        "attempt": attempt,
    }


def only_id(saga_id: UUID) -> dict[str, object]:
    """The `extra` of a record about a saga of which no more is known."""
    return {"saga_id": str(saga_id)}


class SagaFactBase(FactBase, frozen=True):
    """The base of facts about one saga."""

    saga: SagaIdentity
