"""How long the sagas of a definition are kept after their ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeAlias, final

import msgspec

from saga_fn.arguments import is_async
from saga_fn.core.ids import Micros
from saga_fn.core.retention import Kept
from saga_fn.definition.archive import ArchivedSaga
from saga_fn.errors import SagaDefinitionError, shown

Archive: TypeAlias = Callable[[Sequence[ArchivedSaga]], Awaitable[object]]
"""An async function that keeps sagas which are about to be deleted. It returns when they are safe."""

SHORTEST: Final = timedelta(hours=1)
LONGEST: Final = timedelta(days=36_500)


@final
class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long the sagas of a definition are kept after their ends. Nothing is deleted that it does not name.

    A worker that has registered the definition deletes those of its name and version. The length counts from the end of the saga.
    A definition that waits for events keeps its sagas for 7 days at least: until then a repeated event is known as such. Sagas
    whose plan is not that of the registered definition are kept as long.

    Args:
        completed: How long a COMPLETED saga is kept, a timedelta of an hour to 100 years. Default: None, for ever.
        compensated: The same for a COMPENSATED one. Default: None, for ever.
        failed: The same for a FAILED one. It is deleted only after an operator has acknowledged it (`SagaAdmin.acknowledge`).
            Default: None, for ever.
        tombstone: How long the idempotency key of a deleted saga is known after the deletion, a timedelta of an hour to 100 years.
            For so long a repeat of the same start starts nothing: its run says `created=False` and `retained=False`. Default:
            None, for ever; a tombstone takes some 200 bytes.
        archive: An async function that is given up to 100 sagas at a time as `ArchivedSaga`. They are deleted after it has
            returned, and kept if it raises, or has not returned within a minute. It may be given a saga twice. Default: None,
            nothing is archived.

    Raises:
        SagaDefinitionError: A length is out of its range, no end is named, or `archive` is no async function.

    Example::

        @saga("create_order", retention=Retention(completed=timedelta(days=30), tombstone=timedelta(days=365)))
        def create_order(order: StepRef[Order]) -> StepRef[Payment]: ...
    """

    completed: timedelta | None = None
    """How long a COMPLETED saga is kept, or None."""
    compensated: timedelta | None = None
    """How long a COMPENSATED saga is kept, or None."""
    failed: timedelta | None = None
    """How long an acknowledged FAILED saga is kept, or None."""
    tombstone: timedelta | None = None
    """How long the idempotency key of a deleted saga is known, or None."""
    archive: Archive | None = None
    """The function that is given sagas before they are deleted, or None."""

    def __post_init__(self) -> None:
        """Judge what was given."""
        for name in ("completed", "compensated", "failed", "tombstone"):
            _check(name, getattr(self, name))
        if (self.completed, self.compensated, self.failed) == (None, None, None):
            raise SagaDefinitionError(
                "a Retention that names no end deletes nothing",
                hint="say completed=, compensated= or failed=, or leave retention out",
            )
        if self.archive is not None and not is_async(self.archive):
            raise SagaDefinitionError(
                f"archive must be an async function of one argument, not {shown(self.archive)}",
                hint='archive=JsonlArchive("orders.jsonl"), or an `async def keep(sagas: Sequence[ArchivedSaga]) -> None`',
            )

    @property
    def kept(self) -> Kept:
        """The lengths, as the core knows them."""
        return Kept(_micros(self.completed), _micros(self.compensated), _micros(self.failed))


def _micros(length: timedelta | None) -> Micros | None:
    return None if length is None else Micros(length // timedelta(microseconds=1))


def _check(name: str, value: object) -> None:
    if value is not None and (not isinstance(value, timedelta) or not SHORTEST <= value <= LONGEST):
        raise SagaDefinitionError(
            f"{name} must be a timedelta of an hour to 36,500 days, not {shown(value)}",
            hint=f"{name}=timedelta(days=30), or None: nothing of that kind is deleted then"
            if name != "tombstone"
            else "tombstone=timedelta(days=365), or None: it is known for ever",
        )
