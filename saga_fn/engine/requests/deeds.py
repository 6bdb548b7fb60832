"""A verb as data, with all that an operator gives with it: what is asked of one saga, and of all that a filter finds."""

from __future__ import annotations

from uuid import UUID

import attrs
import msgspec

from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.verbs import Verb, ask, with_all
from saga_fn.engine.drive.earlier import digest_of
from saga_fn.engine.drive.execution import Incoming
from saga_fn.engine.requests.unowned import UnownedSaga
from saga_fn.store.ids import new_uuid


class Deed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A verb with what was given with it."""

    verb: Verb
    step: str = ""
    payload: bytes | None = None
    """An output, or for `retry_step` an input."""
    to: Moment | None = None
    """For `start_now`, the moment, if that is another one than now."""
    not_begun: bool = False
    forget: tuple[str, ...] = ()
    """For `rewind`."""


@attrs.frozen
class Act:
    """One act of an operator on one saga."""

    deed: Deed
    expect: int | None
    """The revision that the operator has seen."""
    asked: bytes | None
    """Who asked, and why."""
    id: UUID = attrs.field(factory=new_uuid)
    """The id of its message, or of its write: by it an act is found again that was done before."""

    def incoming(self, at: UnownedSaga) -> Incoming:
        """The event, for a saga as it stands. Not for a verb that changes nothing of its state."""
        deed = self.deed
        event = ask(deed.verb, StepId(deed.step), at.now, until=at.lease_end)
        assert event is not None, "an acknowledgement is no event"
        digest = Digest(b"") if deed.payload is None else digest_of(deed.payload)
        event = with_all(
            event,
            expect=self.expect,
            given=digest,
            not_begun=deed.not_begun,
            forget=tuple(map(StepId, deed.forget)),
            to=deed.to,
            step=StepId(deed.step),
        )
        return Incoming(event, input=self.asked, payload=deed.payload)
