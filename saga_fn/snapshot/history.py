"""The entries of a saga's journal, readable."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from saga_fn.printable import HidingStruct


class HistoryStatus(enum.StrEnum):
    """The meaning of one history entry."""

    SUCCESS = "SUCCESS"
    """An execution succeeded."""
    ERROR = "ERROR"
    """An execution failed."""
    INFO = "INFO"
    """It is neither: a start, a claim, an operator's verb, an outside event, a probe that says that the step has not run."""


class HistoryEntry(HidingStruct, frozen=True):
    """One entry of a saga's journal, readable. Payloads are plain JSON values.

    Attributes:
        seq: The number of the journal entry, from 1.
        kind: The name of the event.
        phase: `execute`, `compensate`, `probe` or `saga`.
        status: Whether it tells of a success, of an error, or of neither.
        step_id: The step that it is about, or None.
        attempt: The number of the attempt, from 1, or None.
        timestamp: The time when it was written.
        token: The token of the claim under which it was written, or an id of its own.
        skipped: Whether a person or a condition passed the step over.
        input: The step's input, or None.
        output: The step's output, or None.
        error: The error's type and message, or None.
        business_error: The business error's value, or None.
        event: The name of an outside event that has one.
        actor: The operator who asked for a verb, if that was said (`SagaAdmin(orchestrator, actor=...)`).
        reason: The operator's reason for a verb, if that was said (`reason=`).
        takeover: Whether a process has taken the saga over by it from one whose lease was over.
        finding: The finding of a probe or of an operator about the step: "done", "not done", "undone" or "never ran"; or None. After
            "done" there is no entry of the step's success.
        process: The process that took the saga by it, as its host and its number there (`shop-7f4c:41`). None for an entry that is
            neither a claim nor the start of a saga that its process ran at once.
    """

    _hidden: ClassVar[frozenset[str]] = frozenset({"input", "output", "business_error"})

    seq: int
    kind: str
    phase: str
    status: HistoryStatus
    step_id: str | None
    attempt: int | None
    timestamp: datetime
    token: UUID
    skipped: bool
    input: Any = None  # Any: JSON of any type the step has
    output: Any = None  # Any: as above
    error: str | None = None
    business_error: Any = None  # Any: JSON of whatever business error the step declares
    event: str | None = None
    actor: str | None = None
    reason: str | None = None
    takeover: bool = False
    process: str | None = None
    finding: str | None = None
