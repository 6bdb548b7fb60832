"""One request to the console: who sends it, and how its page links to others."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine, Mapping
from typing import Final
from urllib.parse import quote, urlencode

import attrs
from htpy import Node

from saga_fn import SagaAdmin, SagaOrchestrator
from saga_fn.console.operators import Operator, Permission

SEAL: Final = "previewed"
"""The name of the hidden field that ties an act to what was shown before it."""


@attrs.frozen
class Page:
    """A page: its title, and its parts from top to bottom. Only `live` is drawn again while it is open."""

    title: str
    live: Node = None
    before: Node = None
    after: Node = None
    status: int = 200


@attrs.frozen
class Context:
    """All that a page needs to know of the request."""

    orchestrator: SagaOrchestrator
    admin: SagaAdmin
    operator: Operator
    root: str
    """The way from the page to the console's first page: links are relative, so that any base path will do."""
    query: Mapping[str, str]
    """The fields of the address."""
    path: Mapping[str, str]
    """The parts of the path that have a name."""
    form_token: str
    """The hidden field of each form."""
    seal: Callable[[Mapping[str, str]], str]
    """The hidden field of a form that shows what would come of these fields: it counts for them alone."""
    begin: Callable[[Coroutine[object, object, object]], None]
    """Let something go on after the answer."""

    def may(self, permission: Permission | str) -> bool:
        """Whether the operator has the permission."""
        return self.operator.has(permission)

    def has_shown(self, form: Mapping[str, str], fields: Mapping[str, str]) -> bool:
        """Whether the form comes from a page that has shown what would come of these very fields."""
        return hmac.compare_digest(self.seal(fields).encode(), form.get(SEAL, "").encode())

    @property
    def sees_payloads(self) -> bool:
        """Whether the operator may see what sagas work with."""
        return self.may(Permission.PAYLOADS)

    def to(self, *parts: object, **fields: object) -> str:
        """The address of another page of the console."""
        path = "/".join(quote(str(part), safe="") for part in parts)
        asked = urlencode({name: str(value) for name, value in fields.items() if value not in (None, "")})
        return f"{self.root}{path}" + (f"?{asked}" if asked else "")
