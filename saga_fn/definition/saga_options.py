"""The options of a whole saga, judged."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypeAlias

import msgspec

from saga_fn.arguments import check_is, micros_of
from saga_fn.core.ids import Micros
from saga_fn.definition.outgoing import Hooks
from saga_fn.definition.retention import Retention
from saga_fn.errors import SagaDefinitionError, shown

Order: TypeAlias = Literal["sequential", "graph"]
OnSiblings: TypeAlias = Literal["await", "cancel"]


class SagaOptions(msgspec.Struct, frozen=True):
    """The options of a saga beside its steps and attributes."""

    compensates: bool
    """Whether it is rolled back when it fails."""
    is_sequential: bool
    """Whether each step follows the one that was added before it."""
    cancels_siblings: bool
    """Whether the other branches are cut short when one has failed for good."""
    deadline: Micros | None
    retention: Retention | None
    hooks: Hooks | None
    """None if it has none."""


def judged(
    *,
    compensate_on_failure: object,
    order: object,
    siblings_on_failure: object,
    deadline: timedelta | None,
    retention: Retention | None,
    hooks: Hooks,
) -> SagaOptions:
    """The options as a user has written them. Raises SagaDefinitionError for one that is not one of its values."""
    if not _is_one_of(order, "sequential", "graph"):
        raise SagaDefinitionError(f"order must be 'sequential' or 'graph', not {shown(order)}")
    if not _is_one_of(siblings_on_failure, "await", "cancel"):
        raise SagaDefinitionError(
            f"siblings_on_failure must be 'await' or 'cancel', not {shown(siblings_on_failure)}",
            hint="'await' lets the branches that run come to their ends before anything is undone",
        )
    if siblings_on_failure == "cancel" and order != "graph":
        raise SagaDefinitionError(
            "siblings_on_failure='cancel' says nothing where one step runs after another",
            hint="with order='graph' branches run at the same time",
        )
    hint = "retention=Retention(completed=timedelta(days=30))"
    check_is(retention, (Retention, type(None)), "a Retention", error=SagaDefinitionError, hint=hint)
    return SagaOptions(
        compensates=bool(compensate_on_failure),
        is_sequential=order == "sequential",
        cancels_siblings=siblings_on_failure == "cancel",
        deadline=None if deadline is None else micros_of("deadline", deadline, least=1),
        retention=retention,
        hooks=hooks if hooks.all else None,
    )


def _is_one_of(value: object, *words: str) -> bool:
    """Whether it is one of these words; a value that is no string is not even compared."""
    return isinstance(value, str) and value in words
