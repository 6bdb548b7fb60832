"""A verb as data, with all that an operator gives with it: what is asked of one saga, and of all that a filter finds."""

from __future__ import annotations

from uuid import UUID

import msgspec

from saga_fn.core.events import MomentsMoved, OperatorVerb
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.verbs import Verb, ask, with_all
from saga_fn.engine.drive.earlier import digest_of
from saga_fn.engine.drive.incoming import Incoming
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
    extend: bool = False
    """For `resume_saga`."""

    def event(self, at: Moment, *, until: Moment, expect: int | None = None) -> OperatorVerb | None:
        """The event that asks for it; None for a verb that changes nothing of a saga's state.

        `until` is the end of the lease of the saga's owner.
        """
        event = ask(self.verb, StepId(self.step), at, until=until)
        if event is None:
            return None
        return with_all(
            event,
            expect=expect,
            given=Digest(b"") if self.payload is None else digest_of(self.payload),
            not_begun=self.not_begun,
            forget=tuple(map(StepId, self.forget)),
            to=self.to,
            step=StepId(self.step),
            extend=self.extend,
        )


class Act(msgspec.Struct, frozen=True):
    """One act of an operator on one saga."""

    deed: Deed
    expect: int | None
    """The revision that the operator has seen."""
    asked: bytes | None
    """Who asked, and why."""
    id: UUID = msgspec.field(default_factory=new_uuid)
    """The id of its message, or of its write: by it an act is found again that was done before."""

    def incoming(self, at: UnownedSaga) -> Incoming:
        """The event, for a saga as it stands. Not for a verb that changes nothing of its state."""
        event = self.deed.event(at.now, until=at.lease_end, expect=self.expect)
        assert event is not None, "an acknowledgement is no event"
        return Incoming(event, input=self.asked, payload=self.deed.payload)


class Moving(msgspec.Struct, frozen=True):
    """The moments of one saga are moved, before a pause ends that it is under."""

    since: Moment
    """When the pause began, or the saga itself, if that was later."""
    asked: bytes | None
    """Who asked, and why."""
    id: UUID
    """As for an act."""

    def incoming(self, at: UnownedSaga) -> Incoming:
        """The event, for a saga as it stands: the pause has lasted until now."""
        return Incoming(MomentsMoved(at.now, self.since, at.now), input=self.asked)
