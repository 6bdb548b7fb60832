"""The shape of what is drawn: a saga, its steps and its journal, as any look gives them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from saga_fn.core.leftovers import LeftOver
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.step_report import StepStatus


class StepSeen(Protocol):
    """One step at one moment. A StepSnapshot is one."""

    @property
    def step_id(self) -> str:
        """The id of the step, or of an item of a fan-out."""
        ...

    @property
    def status(self) -> StepStatus:
        """Its status."""
        ...

    @property
    def attempt(self) -> int:
        """The number of executions in its present direction."""
        ...

    @property
    def failures(self) -> int:
        """The number of failed attempts that its retry policy counts."""
        ...

    @property
    def wakes_at(self) -> datetime | None:
        """The time when it is tried again, or its wait is over."""
        ...

    @property
    def parked(self) -> str | None:
        """The reason why it waits for a person, or None."""
        ...


class EntrySeen(Protocol):
    """One entry of a journal. A HistoryEntry is one."""

    @property
    def seq(self) -> int:
        """The number of the entry, from 1."""
        ...

    @property
    def kind(self) -> str:
        """The name of the event."""
        ...

    @property
    def phase(self) -> str:
        """`execute`, `compensate`, `probe` or `saga`."""
        ...

    @property
    def status(self) -> str:
        """`SUCCESS`, `ERROR` or `INFO`."""
        ...

    @property
    def step_id(self) -> str | None:
        """The step that it is about, or None."""
        ...

    @property
    def attempt(self) -> int | None:
        """The number of the attempt, or None."""
        ...

    @property
    def timestamp(self) -> datetime:
        """The time when it was written."""
        ...

    @property
    def token(self) -> UUID:
        """The token of the claim under which it was written, or an id of its own."""
        ...

    @property
    def error(self) -> str | None:
        """The error's type and message, or None."""
        ...

    @property
    def event(self) -> str | None:
        """The name of an outside event that has one."""
        ...

    @property
    def actor(self) -> str | None:
        """The operator who asked for a verb, or None."""
        ...

    @property
    def takeover(self) -> bool:
        """Whether a process has taken the saga over by it from one whose lease was over."""
        ...

    @property
    def reason(self) -> str | None:
        """The operator's reason for a verb, or None."""
        ...

    @property
    def process(self) -> str | None:
        """The process that took the saga by it, or None."""
        ...


class SagaSeen(Protocol):
    """A saga at one moment. A SagaAdminSnapshot is one."""

    @property
    def id(self) -> UUID:
        """Its id."""
        ...

    @property
    def saga_name(self) -> str:
        """The name that it is registered under."""
        ...

    @property
    def version(self) -> int:
        """The version of its definition."""
        ...

    @property
    def status(self) -> SagaStatus:
        """Its status."""
        ...

    @property
    def plan(self) -> Plan | None:
        """Its plan; None if it cannot be read."""
        ...

    @property
    def steps(self) -> Sequence[StepSeen]:
        """Every step of the plan, and the items of a step that fanned out behind it."""
        ...

    @property
    def left_over(self) -> Sequence[LeftOver]:
        """The effects that it leaves in the world."""
        ...

    @property
    def stays_done(self) -> Sequence[str]:
        """The steps that stay done because they have no undo."""
        ...

    @property
    def rewound(self) -> Sequence[str]:
        """The steps that had begun when an operator took the saga back to before them."""
        ...

    @property
    def parked(self) -> str | None:
        """The reason why it waits for a person, or None."""
        ...

    @property
    def paused_since(self) -> datetime | None:
        """The time when an operator paused it, or None."""
        ...

    @property
    def is_interrupted(self) -> bool:
        """Whether what is executed by the statuses of its steps was cut off: no process has its lease any more."""
        ...

    @property
    def unreadable(self) -> str | None:
        """The reason why its state cannot be read, or None."""
        ...

    @property
    def last_error(self) -> str | None:
        """The type name of the last error."""
        ...
