"""The people who use the console, and what each of them may do there."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias, cast

import attrs
from starlette.requests import Request

from saga_fn import PayloadError, SagaError
from saga_fn.arguments import check_is
from saga_fn.engine.drive.asked import Asked
from saga_fn.errors import shown


class Permission(enum.StrEnum):
    """A thing that an operator may do in the console. Each verb of one saga has the value of its `Verb`."""

    PAYLOADS = "payloads"
    """See inputs, outputs, errors' messages, search attributes, kept events and outgoing messages."""
    RETRY_STEP = "retry_step"
    """Ask for `retry_step`."""
    SKIP_STEP = "skip_step"
    """Ask for `skip_step`."""
    CANCEL = "cancel"
    """Ask for `cancel`."""
    SETTLE_DONE = "settle_done"
    """Ask for `settle_done`."""
    SETTLE_UNDONE = "settle_undone"
    """Ask for `settle_undone`."""
    SETTLE_NEVER_RAN = "settle_never_ran"
    """Ask for `settle_never_ran`."""
    REWIND = "rewind"
    """Ask for `rewind`."""
    ABORT = "abort"
    """Ask for `abort`."""
    START_NOW = "start_now"
    """Ask for `start_now` and `reschedule`."""
    PAUSE_SAGA = "pause_saga"
    """Ask for `pause_saga`."""
    RESUME_SAGA = "resume_saga"
    """Ask for `resume_saga`."""
    ACKNOWLEDGE = "acknowledge"
    """Ask for `acknowledge`."""
    OPERATIONS = "operations"
    """Ask a verb of all sagas that a filter finds, if that verb is permitted too; stop such an operation, and let it go on."""
    PAUSES = "pauses"
    """Pause the sagas of a name, or all, and end such a pause."""
    KEPT_EVENTS = "kept_events"
    """Discard events that are kept for sagas that are not there yet."""
    MESSAGES = "messages"
    """Redrive outgoing messages that are dead, and discard those that are not published."""


def _permissions(given: object) -> frozenset[Permission]:
    hint = "may=[Permission.RETRY_STEP, Permission.PAYLOADS], or may=Permission for all"
    if isinstance(given, str):
        raise SagaError(f"permissions are a list, not {shown(given)}", hint=hint)
    check_is(given, Iterable, "a list of permissions", error=SagaError, hint=hint)
    found: set[Permission] = set()
    for each in cast("Iterable[object]", given):
        if not isinstance(each, str) or each not in tuple(Permission):
            raise SagaError(f"{shown(each)} is no permission", hint=f"the permissions are {', '.join(Permission)}")
        found.add(Permission(each))
    return frozenset(found)


@attrs.frozen
class Operator:
    """A person who has been recognised, and what this person may do in the console. Lists and states everybody may see.

    Args:
        name: The name, for journals and operations: one line of 1 to 255 characters.
        may: The permissions, such as `[Permission.RETRY_STEP]`; `Permission` itself is all of them. Default: none.

    Raises:
        PayloadError: `name` is not one line of 1 to 255 characters.
        SagaError: `may` has something that is no permission.

    Example::

        Operator("ann@shop", may=[Permission.PAYLOADS, Permission.RETRY_STEP, Permission.ACKNOWLEDGE])
    """

    name: str
    """The name."""
    may: Iterable[Permission | str] = attrs.field(default=(), converter=_permissions)
    """The permissions, as a frozenset."""

    def __attrs_post_init__(self) -> None:
        """Judge what was given."""
        check_is(self.name, str, "an operator's name", error=PayloadError, hint='Operator("ann@shop")')
        Asked.of(self.name, None)

    def has(self, permission: Permission | str) -> bool:
        """Say whether the operator has a permission.

        Args:
            permission: The permission, or its value.

        Returns:
            True if it was given.
        """
        return permission in cast("frozenset[str]", self.may)


Authorize: TypeAlias = Callable[[Request], Operator | Awaitable[Operator | None] | None]
"""A function that recognises who sends a request; None shows nothing."""
