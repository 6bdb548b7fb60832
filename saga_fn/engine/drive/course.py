"""The course of one saga in this process: what it comes to by whatever happens, without a loop, a clock or a store.

There are two kinds of transitions. `after` takes something that has happened: a result, a message, the fate of a write.
`go_on` takes nothing: it chooses the next thing to do, wherever nothing is under way. Both give the next stage and one
order. The interpreter carries the order out, then goes on until there is none.

The order of what is on the agenda: what was refused is noted, a lease is renewed for what was to begin under it, messages
are read, and then all that has come is decided on at once. So a message that was there is known to whatever is decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, assert_never

import msgspec

from saga_fn.core.event_kinds import is_result, parks_all, plan_of
from saga_fn.engine.commit.batching import BATCH_BYTES
from saga_fn.engine.commit.committer import Lost, RolledBack, Unread, Unsettled
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.set_aside import concerns_one
from saga_fn.engine.drive.stages import (
    ACT,
    BEGUN,
    CLEAR,
    DECIDE,
    FINISH,
    GIVES_UP,
    GOES_ON,
    NOTHING,
    OVER,
    OVER_LOST,
    RESTING,
    UNBEGUN,
    Agenda,
    Begin,
    Begun,
    Chore,
    ChoreCut,
    ChoreFailed,
    Committing,
    Deciding,
    DecisionFailed,
    Do,
    Durable,
    Ended,
    ExecutionFailed,
    HandBack,
    Happened,
    LeaveToLease,
    Leaving,
    Losing,
    Messages,
    MessagesRead,
    Move,
    NoteLate,
    NoteRefused,
    NotKept,
    Order,
    Over,
    Postponed,
    Resting,
    SetAside,
    Stage,
    Told,
    Unbegun,
    Verdict,
    Waiting,
    Withdrawn,
)

_ON: Final[Move] = RESTING, ACT
_BEGUN: Final[Move] = RESTING, NOTHING
_ENDED: Final[Move] = OVER, FINISH


def after(stage: Stage, happened: Happened) -> Move:
    """The stage after this has happened, and what is ordered for it."""
    # Nearly all that ever happens, by the shortest way: a step of a saga at rest returns, and its write is durable.
    if type(stage) is Committing:
        if happened is GOES_ON and stage.agenda is CLEAR:
            return _ON
        if happened is GIVES_UP:
            return _ENDED
        if type(happened) is Incoming and stage.agenda is CLEAR:  # of another branch
            return Committing(stage.items, Agenda(arrived=(happened,))), NOTHING
    elif type(stage) is Resting and type(happened) is Incoming:
        return Committing((happened,), stage.agenda), DECIDE
    elif stage is UNBEGUN and happened is BEGUN:
        return _BEGUN
    match stage:
        case Committing():
            return _committing(stage, happened)
        case Resting():
            return _resting(stage, happened)
        case Unbegun():
            return _unbegun(stage, happened)
        case Deciding():
            return _deciding(stage, happened)
        case Waiting():
            return _waiting(stage, happened)
        case Losing():
            return _losing(stage, happened)
        case Leaving():
            return _leaving(stage, happened)
        case Over():
            return stage, NOTHING
    assert_never(stage)


def go_on(stage: Stage) -> Move:
    """The next thing to do, where nothing is under way."""
    match stage:
        case Deciding():
            return _next(stage.agenda)
        case Committing() | Resting() | Waiting() | Unbegun() | Losing() | Over():
            return stage, NOTHING
        case Leaving(chore=None):
            return _last(stage.refused, stage.aside, stage.late, lost=stage.lost)
        case Leaving():
            return stage, NOTHING
    assert_never(stage)


def is_draining(stage: Stage) -> bool:
    """Whether no step of the saga is started any more."""
    match stage:
        case Unbegun(agenda=agenda) | Resting(agenda=agenda) | Deciding(agenda=agenda):
            return agenda.draining
        case Committing(agenda=agenda) | Waiting(agenda=agenda):
            return agenda.draining
        case Losing() | Leaving() | Over():
            return True
    assert_never(stage)


# Ours.


def _unbegun(stage: Unbegun, happened: Happened) -> Move:
    agenda = stage.agenda
    match happened:
        case Begun(first=first):
            return _next(_but(agenda, arrived=(*first, *agenda.arrived)) if first else agenda)
        case Incoming() | Told.UNREAD | Told.DRAIN | Postponed() | Withdrawn():
            return Unbegun(_noted(agenda, happened)), NOTHING
        case Told.TAKEN | Told.ABANDON | HandBack() | ExecutionFailed() | DecisionFailed():
            return _turned(agenda, happened)
        case Verdict() | NoteRefused() | Durable() | Unread() | Lost() | NotKept() | Unsettled() | RolledBack():
            return stage, NOTHING
        case Ended() | MessagesRead() | ChoreFailed() | ChoreCut():
            return stage, NOTHING
    assert_never(happened)


def _resting(stage: Resting, happened: Happened) -> Move:
    match happened:
        case Incoming():
            return Committing((happened,), stage.agenda), DECIDE
        case Begun() | Told.UNREAD | Told.DRAIN | Postponed() | Withdrawn():
            return _next(_noted(stage.agenda, happened))
        case Told.TAKEN | Told.ABANDON | HandBack() | ExecutionFailed() | DecisionFailed():
            return _turned(stage.agenda, happened)
        case Verdict() | NoteRefused() | Durable() | Unread() | Lost() | NotKept() | Unsettled() | RolledBack():
            return stage, NOTHING
        case Ended() | MessagesRead() | ChoreFailed() | ChoreCut():
            return stage, NOTHING
    assert_never(happened)


def _deciding(stage: Deciding, happened: Happened) -> Move:
    """Something has come while an order is carried out, after which `go_on` is asked in any case."""
    match happened:
        case Begun() | Incoming() | Told.UNREAD | Told.DRAIN | Postponed() | Withdrawn():
            return Deciding(_noted(stage.agenda, happened)), NOTHING
        case Told.TAKEN | Told.ABANDON | HandBack() | ExecutionFailed() | DecisionFailed():
            return _turned(stage.agenda, happened)
        case Verdict() | NoteRefused() | Durable() | Unread() | Lost() | NotKept() | Unsettled() | RolledBack():
            return stage, NOTHING
        case Ended() | MessagesRead() | ChoreFailed() | ChoreCut():
            return stage, NOTHING
    assert_never(happened)


def _committing(stage: Committing, happened: Happened) -> Move:
    items, agenda = stage.items, stage.agenda
    match happened:
        case Durable(gives_up=False):
            order = Do.WAKE if agenda.handing_back else ACT
            return _ready(_read_on(agenda, unread=happened.unread, refused=happened.refused)), order
        case Durable(refused=None):
            return OVER, FINISH
        case Durable():
            return Leaving(None, happened.refused, None, (), lost=False), Do.CUT_SHORT
        case Begun() | Incoming() | Told.UNREAD | Told.DRAIN | Postponed() | Withdrawn():
            return Committing(items, _noted(agenda, happened)), NOTHING
        case Verdict.NOTHING:
            return _ready(agenda), Do.WAKE
        case Verdict.WANTS_JOURNAL:
            return Waiting(Chore.JOURNAL, _but(agenda, arrived=(*items, *agenda.arrived))), Do.CHORE
        case NoteRefused():
            return Waiting(happened, agenda), Do.CHORE
        case Unread():
            return _next(_but(agenda, arrived=(*items, *agenda.arrived), messages=Messages.SAID))
        case RolledBack():  # the others are decided on again
            others = tuple(item for item in items if item.within is None)
            return _next(_but(agenda, arrived=(*others, *agenda.arrived)))
        case Lost():
            return Leaving(None, None, None, _results(items, agenda.arrived), lost=True), Do.CUT_SHORT
        case NotKept(error=error, parked=parked):
            if any(parks_all(item.event) for item in items):  # not even that can be written
                return _broken_off(error, _results(items, agenda.arrived))
            return Deciding(_but(agenda, arrived=(parked,), postponed=())), Do.CUT_SHORT
        case Unsettled(error=error) | ExecutionFailed(error=error):
            return OVER, LeaveToLease(error)
        case Told.TAKEN:
            return Losing(_results(items), _results(agenda.arrived)), Do.CUT_SHORT
        case HandBack(item=item):
            return Committing(items, _handing_back(agenda, item)), Do.CUT_SHORT
        case Told.ABANDON | DecisionFailed():
            return _turned(agenda, happened, items)
        case Ended() | MessagesRead() | ChoreFailed() | ChoreCut():
            return stage, NOTHING
    assert_never(happened)


def _waiting(stage: Waiting, happened: Happened) -> Move:
    chore, agenda = stage.chore, stage.agenda
    match happened:
        case Begun() | Incoming() | Told.UNREAD | Told.DRAIN | Postponed() | Withdrawn():
            return Waiting(chore, _noted(agenda, happened)), NOTHING
        case Ended.READING:
            return Waiting(chore, _but(agenda, messages=Messages.READ)), NOTHING
        case Ended.RENEWED if agenda.postponed:
            return _ready(_but(agenda, postponed=())), Begin(agenda.postponed)
        case Ended.RENEWED | Ended.NOT_RENEWED:
            return _next(agenda)
        case Ended.DONE:
            return _next(_read_on(agenda) if isinstance(chore, NoteRefused) else agenda)
        case MessagesRead(items=told, more=more):
            return _next(_with_messages(agenda, told, more=more))
        case ChoreFailed(error=error):
            return _broken_off(error, _results(agenda.arrived))
        case ChoreCut(error=error) | ExecutionFailed(error=error):
            return OVER, LeaveToLease(error)
        case Told.TAKEN:
            return Losing((), _results(agenda.arrived)), Do.CUT_SHORT
        case HandBack(item=item):
            return Waiting(chore, _handing_back(agenda, item)), Do.CUT_SHORT
        case Told.ABANDON | DecisionFailed():
            return _turned(agenda, happened)
        case Verdict() | NoteRefused() | Durable() | Unread() | Lost() | NotKept() | Unsettled() | RolledBack():
            return stage, NOTHING
    assert_never(happened)


def _next(agenda: Agenda) -> Move:
    """Do the most urgent thing on the agenda."""
    if agenda is CLEAR:
        return RESTING, NOTHING
    if agenda.refused is not None:
        return Waiting(agenda.refused, _but(agenda, refused=None)), Do.CHORE
    if agenda.postponed:
        return Waiting(Chore.RENEW, agenda), Do.CHORE
    if agenda.messages is Messages.SAID:
        return Waiting(Chore.MESSAGES, agenda), Do.CHORE
    if agenda.arrived:
        now, later = _together(agenda.arrived)
        return Committing(now, _but(agenda, arrived=later)), DECIDE
    return Resting(agenda), NOTHING


def _together(arrived: tuple[Incoming, ...]) -> tuple[tuple[Incoming, ...], tuple[Incoming, ...]]:
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


def _ready(agenda: Agenda) -> Stage:
    """Nothing is under way: what is on the agenda is next."""
    if agenda is CLEAR:
        return RESTING
    is_urgent = agenda.refused or agenda.postponed or agenda.arrived or agenda.messages is Messages.SAID
    return Deciding(agenda) if is_urgent else Resting(agenda)


def _turned(
    agenda: Agenda,
    happened: Literal[Told.TAKEN, Told.ABANDON] | HandBack | ExecutionFailed | DecisionFailed,
    items: Sequence[Incoming] = (),
) -> Move:
    """The saga is to be given up, and no write and no chore is under way whose end would have to be awaited."""
    late = _results(items, agenda.arrived)
    match happened:
        case HandBack(item=item):
            return Deciding(_handing_back(agenda, item)), Do.CUT_SHORT
        case Told.TAKEN:
            return Leaving(None, agenda.refused, None, late, lost=True), Do.CUT_SHORT
        case ExecutionFailed(error=error) | DecisionFailed(error=error):
            return _broken_off(error, late)
        case Told.ABANDON:
            return OVER, FINISH
    assert_never(happened)


def _broken_off(error: BaseException, late: tuple[Incoming, ...]) -> Move:
    """Something is wrong with this saga, which is set aside; or with the store, which may be well when the lease is over."""
    if not concerns_one(error):
        return OVER, LeaveToLease(error)
    return Leaving(None, None, SetAside(error), late, lost=True), Do.CUT_SHORT


# Not ours.


def _losing(stage: Losing, happened: Happened) -> Move:
    items, late = stage.items, stage.late
    match happened:
        case Incoming():
            return Losing(items, (*late, *_results((happened,)))), NOTHING
        case Begun() | Told.UNREAD | Told.TAKEN | Told.DRAIN | HandBack() | Postponed() | Withdrawn():
            return stage, NOTHING
        case Ended.READING:
            return stage, NOTHING
        case Durable(refused=refused):
            return _last(refused, None, late, lost=True)
        case Ended() | MessagesRead() | ChoreFailed() | ChoreCut():
            return _last(None, None, late, lost=True)
        case Verdict() | NoteRefused() | Unread() | Lost() | NotKept() | RolledBack():
            return _last(None, None, (*items, *late), lost=True)
        case Unsettled(error=error) | ExecutionFailed(error=error) | DecisionFailed(error=error):
            return OVER_LOST, LeaveToLease(error)
        case Told.ABANDON:
            return OVER_LOST, FINISH
    assert_never(happened)


def _leaving(stage: Leaving, happened: Happened) -> Move:
    lost, over = stage.lost, OVER_LOST if stage.lost else OVER
    match happened:
        case Incoming():
            late = _results((happened,)) if lost else ()
            return _but_late(stage, (*stage.late, *late), lost=lost), NOTHING
        case Told.TAKEN:
            return _but_late(stage, stage.late, lost=True), NOTHING
        case Begun() | Told.UNREAD | Told.DRAIN | HandBack() | Postponed() | Withdrawn() | Ended.READING:
            return stage, NOTHING
        case Ended() | MessagesRead():
            return _last(stage.refused, stage.aside, stage.late, lost=lost)
        case ChoreFailed(error=error) | ChoreCut(error=error):
            return over, LeaveToLease(error)
        case ExecutionFailed(error=error) | DecisionFailed(error=error):
            return over, LeaveToLease(error)
        case Told.ABANDON:
            return over, FINISH
        case Verdict() | NoteRefused() | Durable() | Unread() | Lost() | NotKept() | Unsettled() | RolledBack():
            return stage, NOTHING
    assert_never(happened)


def _last(
    refused: NoteRefused | None, aside: SetAside | None, late: tuple[Incoming, ...], *, lost: bool
) -> tuple[Leaving | Over, Order]:
    """The next of the last chores, or the end."""
    if refused is not None:
        return Leaving(refused, None, aside, late, lost=lost), Do.CHORE
    if aside is not None:
        return Leaving(aside, None, None, late, lost=lost), Do.CHORE
    if late:
        return Leaving(NoteLate(late), None, None, (), lost=lost), Do.CHORE
    return OVER_LOST if lost else OVER, FINISH


def _but_late(stage: Leaving, late: tuple[Incoming, ...], *, lost: bool) -> Leaving:
    return Leaving(stage.chore, stage.refused, stage.aside, late, lost=lost)


def _results(*items: Sequence[Incoming]) -> tuple[Incoming, ...]:
    """The results that have come of what has happened; nothing has in a transaction that is not committed."""
    return tuple(item for some in items for item in some if is_result(item.event) and item.within is None)


# The agenda.


def _but(agenda: Agenda, **changes: object) -> Agenda:
    """The agenda with these changes; one that is clear is `CLEAR` itself."""
    changed = msgspec.structs.replace(agenda, **changes)
    return CLEAR if changed == CLEAR else changed


def _noted(agenda: Agenda, happened: Begun | Incoming | Told | Postponed | Withdrawn) -> Agenda:
    """The agenda with what has come."""
    match happened:
        case Incoming():
            return msgspec.structs.replace(agenda, arrived=(*agenda.arrived, happened))
        case Told.UNREAD:
            return _but(agenda, messages=Messages.SAID)
        case Told.DRAIN:
            return _but(agenda, draining=True)
        case Postponed(execution=execution):
            return agenda if agenda.handing_back else _but(agenda, postponed=(*agenda.postponed, execution))
        case Withdrawn(step=step):
            return _but(agenda, postponed=tuple(one for one in agenda.postponed if one.step != step))
        case Begun() | Told.TAKEN | Told.ABANDON:
            return agenda
    assert_never(happened)


def _handing_back(agenda: Agenda, item: Incoming) -> Agenda:
    return _but(agenda, arrived=(*agenda.arrived, item), postponed=(), draining=True, handing_back=True)


def _read_on(agenda: Agenda, *, unread: bool = False, refused: NoteRefused | None = None) -> Agenda:
    """All that was read is answered: if there is more, it is read next."""
    messages = Messages.SAID if unread or agenda.messages is Messages.MORE else agenda.messages
    if messages is agenda.messages and refused is None:
        return agenda
    return _but(agenda, messages=messages, refused=refused)


def _with_messages(agenda: Agenda, told: tuple[Incoming, ...], *, more: bool) -> Agenda:
    """All messages anew, ahead of the results that have come: what a step was told, the next is to know.

    Behind a change of the plan: they are for the saga as it is by the plan that it has now.
    """
    changed = tuple(item for item in agenda.arrived if plan_of(item.event) is not None)
    rest = tuple(item for item in agenda.arrived if item.message is None and plan_of(item.event) is None)
    messages = agenda.messages
    if more and messages is Messages.READ:
        messages = Messages.MORE if told else Messages.SAID
    return _but(agenda, arrived=(*changed, *told, *rest), messages=messages)
