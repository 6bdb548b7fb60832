"""The claims that a saga was written under, as its journal is read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import zip_longest
from typing import final
from uuid import UUID

import attrs

from saga_fn.diagram.kinds import Kind, Role
from saga_fn.diagram.past import Claim
from saga_fn.diagram.seen import EntrySeen


@final
class Claims:
    """The claims of a saga, in order."""

    def __init__(self) -> None:
        self._claims: dict[UUID, Claim] = {}
        self._processes: dict[UUID, str] = {}
        """The processes that the claims are of."""

    def note(self, entry: EntrySeen, kind: Kind) -> None:
        """The entry was written under a claim."""
        if entry.process is not None:
            self._processes[entry.token] = entry.process
        known = self._claims.get(entry.token)
        if known is not None:
            self._claims[entry.token] = attrs.evolve(known, end=entry.timestamp)
        elif kind.role in (Role.CLAIM, Role.END_OF_EXECUTION):
            number = len(self._claims) + 1
            process = self._processes.get(entry.token)
            self._claims[entry.token] = Claim(number, entry.timestamp, entry.timestamp, entry.takeover, process)

    def of(self, entry: EntrySeen) -> Claim | None:
        """The claim under which the entry was written, if the journal tells."""
        return self._claims.get(entry.token)

    def begin_of(self, entry: EntrySeen) -> datetime:
        """When the claim began under which it was written."""
        claim = self._claims.get(entry.token)
        return entry.timestamp if claim is None else claim.begin

    def all(self) -> Iterator[Claim]:
        """The claims. One that was taken over lasted until then: so long was its lease."""
        claims = list(self._claims.values())
        for claim, following in zip_longest(claims, claims[1:]):
            yield attrs.evolve(claim, end=following.begin) if following is not None and following.is_takeover else claim
