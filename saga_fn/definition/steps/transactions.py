"""The options that a transactional step may have: it touches its transaction and nothing else, so there is nothing to find out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

from saga_fn.core.plan import Plan
from saga_fn.errors import SagaDefinitionError, shown

Isolation: TypeAlias = Literal["read_committed", "repeatable_read", "serializable"]
READ_COMMITTED: Final = "read_committed"
_LEVELS: Final[tuple[Isolation, ...]] = ("read_committed", "repeatable_read", "serializable")
_OF_DOUBT: Final = ("on_unknown", "unknown_on")
_CONTEXT: Final = "async def book(inp: Booking, ctx: TransactionalContext) -> Entry: ..."


def check_isolation(name: str, value: object) -> None:
    """Raise SagaDefinitionError for what is no isolation level that a step may ask for."""
    if not isinstance(value, str) or value not in _LEVELS:
        raise SagaDefinitionError(
            f"{name} must be one of {', '.join(map(shown, _LEVELS))}, not {shown(value)}",
            hint="'read_committed' is the default, and does without repeats",
        )


def check_spelling(name: str, *, transactional: bool, wants_connection: bool) -> None:
    """Raise SagaDefinitionError for a function that has a connection and no transaction, or the other way round."""
    if wants_connection and not transactional:
        raise SagaDefinitionError(
            f"step {name} takes a TransactionalContext, but is not transactional", hint="step(..., transactional=True)"
        )
    if transactional and not wants_connection:
        raise SagaDefinitionError(
            f"step {name} is transactional, but does not take the connection of its transaction",
            hint=f"annotate its second parameter TransactionalContext: {_CONTEXT}",
        )


def check_doubts(name: str, options: Mapping[str, object], *, probes: bool, has_class: bool = False) -> None:
    """Raise SagaDefinitionError for a transactional step that says how a doubt about it is to be settled: there is none."""
    named = [f"{option}=" for option in _OF_DOUBT if option in options]
    if probes:
        named.append("a method probe" if has_class else "probe=")
    if named:
        raise SagaDefinitionError(
            f"step {shown(name)} is transactional and has {named[0]}, which would never be asked for: cut short, it has not happened",
            hint=f"leave {named[0].removeprefix('a ')} out; a step that touches another system is not transactional",
        )


def isolation_of(step_id: str, options: Mapping[str, object], *, transactional: bool) -> Isolation:
    """The level that the step's transactions have. Raises SagaDefinitionError for a level without a transaction, or a time limit."""
    given = options.get("isolation")
    if given is None:
        return READ_COMMITTED
    if not transactional:
        raise SagaDefinitionError(
            f"step {shown(step_id)} has an isolation level, but neither it nor its compensation is transactional",
            hint="leave isolation= out, or write step(..., transactional=True)",
        )
    level = next(level for level in _LEVELS if level == given)
    if level != READ_COMMITTED and (options.get("timeout") is None or options.get("compensation_timeout", 0) is None):
        raise SagaDefinitionError(
            f"step {shown(step_id)} has isolation={shown(level)}, and no timeout of its own",
            hint="give it timeout=, shorter than half a lease: a renewal of the lease in the middle of it costs a whole repeat",
        )
    return level  # pyright: ignore[reportReturnType]  # it is one of them


def check_alone(plan: Plan, isolated: Iterable[tuple[str, str]]) -> None:
    """Raise SagaDefinitionError for a step above READ COMMITTED beside which another runs, whose commits would each cost a repeat."""
    for step_id, level in isolated:
        planned = next(planned for planned in plan.steps if planned.step == step_id)
        if planned.concurrency > 1:
            raise SagaDefinitionError(
                f"the items of step {shown(step_id)} run at once, and each has isolation={shown(level)}",
                hint="write .each(concurrency=1), or leave isolation= out",
            )
        for other in plan.steps:
            ordered = (
                other.step in plan.descendants[planned.step]
                or planned.step in plan.descendants[other.step]
                or other is planned
            )
            if not ordered:
                raise SagaDefinitionError(
                    f"step {shown(step_id)} has isolation={shown(level)}, and step {shown(other.step)} may run beside it",
                    hint="put one after the other with after=, or leave isolation= out",
                )
