"""The agenda of an owned saga: how it changes by what comes, and what of it is decided on at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from saga_fn.core.event_kinds import is_result, plan_of
from saga_fn.engine.commit.batching import BATCH_BYTES
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.stages import CLEAR, Agenda, Begun, Messages, NoteRefused, Postponed, Told, Withdrawn


def changed(agenda: Agenda, **changes: object) -> Agenda:
    """The agenda with these changes; one that is clear is `CLEAR` itself."""
    after = msgspec.structs.replace(agenda, **changes)
    return CLEAR if after == CLEAR else after


def noted(agenda: Agenda, happened: Begun | Incoming | Told | Postponed | Withdrawn) -> Agenda:
    """The agenda with what has come."""
    match happened:
        case Incoming():
            return msgspec.structs.replace(agenda, arrived=(*agenda.arrived, happened))
        case Told.UNREAD:
            return changed(agenda, messages=Messages.SAID)
        case Told.DRAIN:
            return changed(agenda, draining=True)
        case Postponed(execution=execution):
            return agenda if agenda.handing_back else changed(agenda, postponed=(*agenda.postponed, execution))
        case Withdrawn(step=step):
            return changed(agenda, postponed=tuple(one for one in agenda.postponed if one.step != step))
        case Begun() | Told.TAKEN | Told.LEAVE_TO_LEASE:
            return agenda
    assert_never(happened)


def handing_back(agenda: Agenda, item: Incoming) -> Agenda:
    """The agenda of a saga that is given up by this event."""
    return changed(agenda, arrived=(*agenda.arrived, item), postponed=(), draining=True, handing_back=True)


def read_on(agenda: Agenda, *, unread: bool = False, refused: NoteRefused | None = None) -> Agenda:
    """All that was read is answered: if there is more, it is read next."""
    messages = Messages.SAID if unread or agenda.messages is Messages.MORE else agenda.messages
    if messages is agenda.messages and refused is None:
        return agenda
    return changed(agenda, messages=messages, refused=refused)


def with_messages(agenda: Agenda, told: tuple[Incoming, ...], *, more: bool) -> Agenda:
    """All messages anew, ahead of the results that have come: what a step was told, the next is to know.

    Behind a change of the plan: they are for the saga as it is by the plan that it has now.
    """
    replanned = tuple(item for item in agenda.arrived if plan_of(item.event) is not None)
    rest = tuple(item for item in agenda.arrived if item.message is None and plan_of(item.event) is None)
    messages = agenda.messages
    if more and messages is Messages.READ:
        messages = Messages.MORE if told else Messages.SAID
    return changed(agenda, arrived=(*replanned, *told, *rest), messages=messages)


def together(arrived: tuple[Incoming, ...]) -> tuple[tuple[Incoming, ...], tuple[Incoming, ...]]:
    """The items that are decided on at once, and the later ones.

    A write is in one transaction, no result passes another, and what the write holds is sent within a statement's time. So
    results may wait for the next write; messages do not, for whatever is decided is to know them.
    """
    size, is_within = 0, False
    for place, item in enumerate(arrived):
        size += item.size
        is_too_large = place > 0 and size > BATCH_BYTES and item.message is None and is_result(item.event)
        if is_too_large or (is_within and item.within is not None):
            return arrived[:place], arrived[place:]
        is_within = is_within or item.within is not None
    return arrived, ()


def results_of(*items: Sequence[Incoming]) -> tuple[Incoming, ...]:
    """The results that have come of what has happened; nothing has in a transaction that is not committed."""
    return tuple(item for some in items for item in some if is_result(item.event) and item.within is None)
