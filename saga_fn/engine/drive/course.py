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

from saga_fn.core.event_kinds import parks_all
from saga_fn.engine.commit.outcome import Lost, RolledBack, Unread, Unsettled
from saga_fn.engine.drive.agenda import changed, handing_back, noted, read_on, results_of, together, with_messages
from saga_fn.engine.drive.giving_up import last_chore, leaving, losing
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
    NoteRefused,
    NotKept,
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
            return losing(stage, happened)
        case Leaving():
            return leaving(stage, happened)
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
            return last_chore(stage.refused, stage.aside, stage.late, lost=stage.lost)
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


def _unbegun(stage: Unbegun, happened: Happened) -> Move:
    agenda = stage.agenda
    match happened:
        case Begun(first=first):
            return _next(changed(agenda, arrived=(*first, *agenda.arrived)) if first else agenda)
        case Incoming() | Told.UNREAD | Told.DRAIN | Postponed() | Withdrawn():
            return Unbegun(noted(agenda, happened)), NOTHING
        case Told.TAKEN | Told.LEAVE_TO_LEASE | HandBack() | ExecutionFailed() | DecisionFailed():
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
            return _next(noted(stage.agenda, happened))
        case Told.TAKEN | Told.LEAVE_TO_LEASE | HandBack() | ExecutionFailed() | DecisionFailed():
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
            return Deciding(noted(stage.agenda, happened)), NOTHING
        case Told.TAKEN | Told.LEAVE_TO_LEASE | HandBack() | ExecutionFailed() | DecisionFailed():
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
            return _ready(read_on(agenda, unread=happened.unread, refused=happened.refused)), order
        case Durable(refused=None):
            return OVER, FINISH
        case Durable():
            return Leaving(None, happened.refused, None, (), lost=False), Do.CUT_SHORT
        case Begun() | Incoming() | Told.UNREAD | Told.DRAIN | Postponed() | Withdrawn():
            return Committing(items, noted(agenda, happened)), NOTHING
        case Verdict.NOTHING:
            return _ready(agenda), Do.WAKE
        case Verdict.WANTS_JOURNAL:
            return Waiting(Chore.JOURNAL, changed(agenda, arrived=(*items, *agenda.arrived))), Do.CHORE
        case NoteRefused():
            return Waiting(happened, agenda), Do.CHORE
        case Unread():
            return _next(changed(agenda, arrived=(*items, *agenda.arrived), messages=Messages.SAID))
        case RolledBack():  # the others are decided on again
            others = tuple(item for item in items if item.within is None)
            return _next(changed(agenda, arrived=(*others, *agenda.arrived)))
        case Lost():
            return Leaving(None, None, None, results_of(items, agenda.arrived), lost=True), Do.CUT_SHORT
        case NotKept(error=error, parked=parked):
            if any(parks_all(item.event) for item in items):  # not even that can be written
                return _broken_off(error, results_of(items, agenda.arrived))
            return Deciding(changed(agenda, arrived=(parked,), postponed=())), Do.CUT_SHORT
        case Unsettled(error=error) | ExecutionFailed(error=error):
            return OVER, LeaveToLease(error)
        case Told.TAKEN:
            return Losing(results_of(items), results_of(agenda.arrived)), Do.CUT_SHORT
        case HandBack(item=item):
            return Committing(items, handing_back(agenda, item)), Do.CUT_SHORT
        case Told.LEAVE_TO_LEASE | DecisionFailed():
            return _turned(agenda, happened, items)
        case Ended() | MessagesRead() | ChoreFailed() | ChoreCut():
            return stage, NOTHING
    assert_never(happened)


def _waiting(stage: Waiting, happened: Happened) -> Move:
    chore, agenda = stage.chore, stage.agenda
    match happened:
        case Begun() | Incoming() | Told.UNREAD | Told.DRAIN | Postponed() | Withdrawn():
            return Waiting(chore, noted(agenda, happened)), NOTHING
        case Ended.READING:
            return Waiting(chore, changed(agenda, messages=Messages.READ)), NOTHING
        case Ended.RENEWED if agenda.postponed:
            return _ready(changed(agenda, postponed=())), Begin(agenda.postponed)
        case Ended.RENEWED | Ended.NOT_RENEWED:
            return _next(agenda)
        case Ended.DONE:
            return _next(read_on(agenda) if isinstance(chore, NoteRefused) else agenda)
        case MessagesRead(items=told, more=more):
            return _next(with_messages(agenda, told, more=more))
        case ChoreFailed(error=error):
            return _broken_off(error, results_of(agenda.arrived))
        case ChoreCut(error=error) | ExecutionFailed(error=error):
            return OVER, LeaveToLease(error)
        case Told.TAKEN:
            return Losing((), results_of(agenda.arrived)), Do.CUT_SHORT
        case HandBack(item=item):
            return Waiting(chore, handing_back(agenda, item)), Do.CUT_SHORT
        case Told.LEAVE_TO_LEASE | DecisionFailed():
            return _turned(agenda, happened)
        case Verdict() | NoteRefused() | Durable() | Unread() | Lost() | NotKept() | Unsettled() | RolledBack():
            return stage, NOTHING
    assert_never(happened)


def _next(agenda: Agenda) -> Move:
    """Do the most urgent thing on the agenda."""
    if agenda is CLEAR:
        return RESTING, NOTHING
    if agenda.refused is not None:
        return Waiting(agenda.refused, changed(agenda, refused=None)), Do.CHORE
    if agenda.postponed:
        return Waiting(Chore.RENEW, agenda), Do.CHORE
    if agenda.messages is Messages.SAID:
        return Waiting(Chore.MESSAGES, agenda), Do.CHORE
    if agenda.arrived:
        now, later = together(agenda.arrived)
        return Committing(now, changed(agenda, arrived=later)), DECIDE
    return Resting(agenda), NOTHING


def _ready(agenda: Agenda) -> Stage:
    """Nothing is under way: what is on the agenda is next."""
    if agenda is CLEAR:
        return RESTING
    is_urgent = agenda.refused or agenda.postponed or agenda.arrived or agenda.messages is Messages.SAID
    return Deciding(agenda) if is_urgent else Resting(agenda)


def _turned(
    agenda: Agenda,
    happened: Literal[Told.TAKEN, Told.LEAVE_TO_LEASE] | HandBack | ExecutionFailed | DecisionFailed,
    items: Sequence[Incoming] = (),
) -> Move:
    """The saga is to be given up, and no write and no chore is under way whose end would have to be awaited."""
    late = results_of(items, agenda.arrived)
    match happened:
        case HandBack(item=item):
            return Deciding(handing_back(agenda, item)), Do.CUT_SHORT
        case Told.TAKEN:
            return Leaving(None, agenda.refused, None, late, lost=True), Do.CUT_SHORT
        case ExecutionFailed(error=error) | DecisionFailed(error=error):
            return _broken_off(error, late)
        case Told.LEAVE_TO_LEASE:
            return OVER, FINISH
    assert_never(happened)


def _broken_off(error: BaseException, late: tuple[Incoming, ...]) -> Move:
    """Something is wrong with this saga, which is set aside; or with the store, which may be well when the lease is over."""
    if not concerns_one(error):
        return OVER, LeaveToLease(error)
    return Leaving(None, None, SetAside(error), late, lost=True), Do.CUT_SHORT
