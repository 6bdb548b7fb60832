"""The phases of one saga in this process, and the next thing to do in each: without a loop, a clock or a store.

There are two kinds of transitions. `after` takes something that has happened: a result, a message, the fate of a write.
`go_on` takes nothing: it chooses the next thing to do, wherever nothing is under way. Both give the next phase and one
order. The interpreter carries the order out, then goes on until there is none.

    Unbegun ──► Resting ──► Committing ──► Deciding ──► Resting …      a saga of ours
                       └──► Waiting ─────┘                             a chore first: a renewal, the messages, the journal
    any of them ──► Losing ──► Leaving ──► Over                        not ours any more, or given up

The order of what is on the agenda: what was refused is noted, a lease is renewed for what was to begin under it, messages
are read, and then all that has come is decided on at once. So a message that was there is known to whatever is decided.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import ClassVar, Final, Literal, TypeAlias, assert_never

import msgspec

from saga_fn.core.effects import Rejection, RunCompensation, RunProbe, RunStep
from saga_fn.core.event_kinds import is_result, parks_all, plan_of
from saga_fn.core.ids import StepId
from saga_fn.engine.commit.committer import Lost, Unread, Unsettled
from saga_fn.engine.drive.execution import Incoming
from saga_fn.engine.drive.set_aside import concerns_one
from saga_fn.errors import StoreError

Execution: TypeAlias = RunStep | RunCompensation | RunProbe


# Chores: what has to be waited for before anything else is decided.


class Chore(enum.Enum):
    """A chore that needs no data."""

    RENEW = enum.auto()
    """Renew the lease, which has run out; or hear that the saga is another's."""
    MESSAGES = enum.auto()
    """Read the messages of the saga."""
    JOURNAL = enum.auto()
    """Find out from the journal what steps were given before."""


class NoteRefused(msgspec.Struct, frozen=True, gc=False):
    """Note what the core has refused. `answered`: a commit has answered the messages that brought it."""

    refused: tuple[tuple[Incoming, Rejection], ...]
    answered: bool


class NoteLate(msgspec.Struct, frozen=True, gc=False):
    """Note results that came when the saga was another's."""

    items: tuple[Incoming, ...]


class SetAside(msgspec.Struct, frozen=True, gc=False):
    """Park the saga by a statement that needs no state, because of this error."""

    error: BaseException


AnyChore: TypeAlias = Chore | NoteRefused | NoteLate | SetAside


# Phases.


class Messages(enum.Enum):
    """The messages that may be unread."""

    READ = enum.auto()
    """None, as far as is known."""
    MORE = enum.auto()
    """There are more than are read at once: the rest is read when those are answered."""
    SAID = enum.auto()
    """Somebody says that there are some: they are read before anything is decided."""


class Agenda(msgspec.Struct, frozen=True, gc=False):
    """The things still to be done with a saga of ours, the most urgent first."""

    refused: NoteRefused | None = None
    postponed: tuple[Execution, ...] = ()
    """They begin as soon as the lease, which has run out, is renewed."""
    messages: Messages = Messages.READ
    arrived: tuple[Incoming, ...] = ()
    """They have come, and are not decided on."""
    draining: bool = False
    """No step is started any more: the saga is given up once those that run are done."""


class Unbegun(msgspec.Struct, frozen=True, gc=False):
    """Ours, and not to be driven yet: it waits for its turn, and whatever comes waits with it."""

    agenda: Agenda
    lost: ClassVar[bool] = False


class Resting(msgspec.Struct, frozen=True, gc=False):
    """Ours; nothing is under way, and there is nothing to do before something happens."""

    agenda: Agenda
    lost: ClassVar[bool] = False


class Deciding(msgspec.Struct, frozen=True, gc=False):
    """Ours; nothing is under way, and what is on the agenda is to be done now."""

    agenda: Agenda
    lost: ClassVar[bool] = False


class Committing(msgspec.Struct, frozen=True, gc=False):
    """Ours; these items are decided on, and what follows is on its way into the store."""

    items: tuple[Incoming, ...]
    agenda: Agenda
    lost: ClassVar[bool] = False


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """Ours; a chore is under way."""

    chore: AnyChore
    agenda: Agenda
    lost: ClassVar[bool] = False


class Losing(msgspec.Struct, frozen=True, gc=False):
    """Not ours any more; what was under way then must end before the saga is left."""

    items: tuple[Incoming, ...]
    """The results in the write that is under way."""
    late: tuple[Incoming, ...]
    """The results that nothing can become of."""
    lost: ClassVar[bool] = True


class Leaving(msgspec.Struct, frozen=True, gc=False):
    """Given up, or lost: the last chores, one after the other. None is under way where `chore` is None."""

    chore: AnyChore | None
    refused: NoteRefused | None
    aside: SetAside | None
    late: tuple[Incoming, ...]
    lost: bool


class Over(msgspec.Struct, frozen=True, gc=False):
    """The saga is not driven here any more."""

    lost: bool


Ours: TypeAlias = Unbegun | Resting | Deciding | Committing | Waiting
Phase: TypeAlias = Ours | Losing | Leaving | Over

CLEAR: Final = Agenda()
UNBEGUN: Final = Unbegun(CLEAR)
RESTING: Final = Resting(CLEAR)
OVER: Final = Over(lost=False)
OVER_LOST: Final = Over(lost=True)


# Things that happen.


class Begun(msgspec.Struct, frozen=True, gc=False):
    """The saga is to be driven from now on, beginning with these events."""

    first: tuple[Incoming, ...] = ()


class Told(enum.Enum):
    """Others tell this of the saga."""

    UNREAD = enum.auto()
    """It may have unread messages."""
    TAKEN = enum.auto()
    """It is another's, or may be: its lease has run out."""
    DRAIN = enum.auto()
    """Start no further step."""
    ABANDON = enum.auto()
    """Leave everything as it is, now."""


class HandBack(msgspec.Struct, frozen=True, gc=False):
    """Cut short what runs, and give the saga up by this event."""

    item: Incoming


class Verdict(enum.Enum):
    """The decision on what has come, where nothing is to be written."""

    NOTHING = enum.auto()
    WANTS_JOURNAL = enum.auto()
    """It cannot be decided on without the journal."""


class DecisionFailed(msgspec.Struct, frozen=True, gc=False):
    """An order could not be carried out."""

    error: BaseException


class Durable(msgspec.Struct, frozen=True, gc=False):
    """The write is durable. `gives_up`: and with it the saga is given up. `unread`: it may have messages, or room for one."""

    gives_up: bool = False
    unread: bool = False
    refused: NoteRefused | None = None


class NotKept(msgspec.Struct, frozen=True, gc=False):
    """The database cannot keep what was to be written. `parked` is the event that parks the saga for it."""

    error: StoreError
    parked: Incoming


class Postponed(msgspec.Struct, frozen=True, gc=False):
    """An execution could not begin, for the lease has run out."""

    execution: Execution


class Withdrawn(msgspec.Struct, frozen=True, gc=False):
    """The step does not begin at all, though it may have been postponed."""

    step: StepId


class ExecutionFailed(msgspec.Struct, frozen=True, gc=False):
    """An execution failed in this library's own code: nothing is known of it."""

    error: BaseException


class Ended(enum.Enum):
    """A chore tells this."""

    READING = enum.auto()
    """The messages are read from this moment on: what is said later, they may not have."""
    RENEWED = enum.auto()
    NOT_RENEWED = enum.auto()
    DONE = enum.auto()


class MessagesRead(msgspec.Struct, frozen=True, gc=False):
    """The messages that can be read. `more`: there are more than are read at once."""

    items: tuple[Incoming, ...]
    more: bool


class ChoreFailed(msgspec.Struct, frozen=True, gc=False):
    """The chore failed."""

    error: BaseException


class ChoreCut(msgspec.Struct, frozen=True, gc=False):
    """Other code of the process has cancelled the chore's task."""

    error: BaseException


FromOutside: TypeAlias = Begun | Incoming | Told | HandBack | Postponed | Withdrawn | ExecutionFailed
OfTheWrite: TypeAlias = Verdict | NoteRefused | Durable | Unread | Lost | NotKept | Unsettled
OfTheChore: TypeAlias = Ended | MessagesRead | ChoreFailed | ChoreCut
Happened: TypeAlias = FromOutside | OfTheWrite | OfTheChore | DecisionFailed

GOES_ON: Final = Durable()
"""Nearly every write becomes this."""


# Orders.


class Do(enum.Enum):
    """An order that needs no data beside the phase."""

    NOTHING = enum.auto()
    DECIDE = enum.auto()
    """Fold the phase's items, and hand in what follows."""
    ACT = enum.auto()
    """Do what the write that has just become durable asks for, and wake in time."""
    WAKE = enum.auto()
    """Wake in time; nothing else has changed."""
    CUT_SHORT = enum.auto()
    """Cut short all that runs."""
    CHORE = enum.auto()
    """Begin the phase's chore."""
    FINISH = enum.auto()
    """Cut short all that runs, and let go of the saga."""


class Begin(msgspec.Struct, frozen=True, gc=False):
    """Begin these under the renewed lease."""

    executions: tuple[Execution, ...]


class LeaveToLease(msgspec.Struct, frozen=True, gc=False):
    """Say why, then finish: whoever takes the saga over when its lease is over finds out how it stands."""

    error: BaseException


Order: TypeAlias = Do | Begin | LeaveToLease
Step: TypeAlias = tuple[Phase, Order]

NOTHING: Final = Do.NOTHING
DECIDE: Final = Do.DECIDE
ACT: Final = Do.ACT
_ON: Final[Step] = RESTING, ACT


def after(phase: Phase, happened: Happened) -> Step:
    """The phase after this has happened, and what is ordered for it."""
    # Nearly all that ever happens, by the shortest way: a step of a saga at rest returns, and its write is durable.
    if type(phase) is Resting and type(happened) is Incoming:
        return Committing((happened,), phase.agenda), DECIDE
    if happened is GOES_ON and type(phase) is Committing and phase.agenda is CLEAR:
        return _ON
    match phase:
        case Resting():
            return _resting(phase, happened)
        case Committing():
            return _committing(phase, happened)
        case Unbegun():
            return _unbegun(phase, happened)
        case Deciding():
            return _deciding(phase, happened)
        case Waiting():
            return _waiting(phase, happened)
        case Losing():
            return _losing(phase, happened)
        case Leaving():
            return _leaving(phase, happened)
        case Over():
            return phase, NOTHING
    assert_never(phase)


def go_on(phase: Phase) -> Step:
    """The next thing to do, where nothing is under way."""
    match phase:
        case Committing() | Resting() | Waiting() | Unbegun() | Losing() | Over():
            return phase, NOTHING
        case Deciding():
            return _next(phase.agenda)
        case Leaving(chore=None):
            return _last(phase.refused, phase.aside, phase.late, lost=phase.lost)
        case Leaving():
            return phase, NOTHING
    assert_never(phase)


def is_draining(phase: Phase) -> bool:
    """Whether no step of the saga is started any more."""
    match phase:
        case Unbegun(agenda=agenda) | Resting(agenda=agenda) | Deciding(agenda=agenda):
            return agenda.draining
        case Committing(agenda=agenda) | Waiting(agenda=agenda):
            return agenda.draining
        case Losing() | Leaving() | Over():
            return True
    assert_never(phase)


# Ours.


def _unbegun(phase: Unbegun, happened: Happened) -> Step:
    agenda = phase.agenda
    match happened:
        case Begun(first=first):
            return _next(_but(agenda, arrived=(*first, *agenda.arrived)) if first else agenda)
        case Incoming() | Told.UNREAD | Told.DRAIN | Postponed() | Withdrawn():
            return Unbegun(_noted(agenda, happened)), NOTHING
        case Told.TAKEN | Told.ABANDON | HandBack() | ExecutionFailed() | DecisionFailed():
            return _turned(agenda, happened)
        case Verdict() | NoteRefused() | Durable() | Unread() | Lost() | NotKept() | Unsettled():
            return phase, NOTHING
        case Ended() | MessagesRead() | ChoreFailed() | ChoreCut():
            return phase, NOTHING
    assert_never(happened)


def _resting(phase: Resting, happened: Happened) -> Step:
    match happened:
        case Incoming():
            return Committing((happened,), phase.agenda), DECIDE
        case Begun() | Told.UNREAD | Told.DRAIN | Postponed() | Withdrawn():
            return _next(_noted(phase.agenda, happened))
        case Told.TAKEN | Told.ABANDON | HandBack() | ExecutionFailed() | DecisionFailed():
            return _turned(phase.agenda, happened)
        case Verdict() | NoteRefused() | Durable() | Unread() | Lost() | NotKept() | Unsettled():
            return phase, NOTHING
        case Ended() | MessagesRead() | ChoreFailed() | ChoreCut():
            return phase, NOTHING
    assert_never(happened)


def _deciding(phase: Deciding, happened: Happened) -> Step:
    """Something has come while an order is carried out, after which `go_on` is asked in any case."""
    match happened:
        case Begun() | Incoming() | Told.UNREAD | Told.DRAIN | Postponed() | Withdrawn():
            return Deciding(_noted(phase.agenda, happened)), NOTHING
        case Told.TAKEN | Told.ABANDON | HandBack() | ExecutionFailed() | DecisionFailed():
            return _turned(phase.agenda, happened)
        case Verdict() | NoteRefused() | Durable() | Unread() | Lost() | NotKept() | Unsettled():
            return phase, NOTHING
        case Ended() | MessagesRead() | ChoreFailed() | ChoreCut():
            return phase, NOTHING
    assert_never(happened)


def _committing(phase: Committing, happened: Happened) -> Step:
    items, agenda = phase.items, phase.agenda
    match happened:
        case Durable(gives_up=False):
            return _ready(_read_on(agenda, unread=happened.unread, refused=happened.refused)), ACT
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
            return phase, NOTHING
    assert_never(happened)


def _waiting(phase: Waiting, happened: Happened) -> Step:
    chore, agenda = phase.chore, phase.agenda
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
        case Verdict() | NoteRefused() | Durable() | Unread() | Lost() | NotKept() | Unsettled():
            return phase, NOTHING
    assert_never(happened)


def _next(agenda: Agenda) -> Step:
    """Do the most urgent thing on the agenda."""
    if agenda.refused is not None:
        return Waiting(agenda.refused, _but(agenda, refused=None)), Do.CHORE
    if agenda.postponed:
        return Waiting(Chore.RENEW, agenda), Do.CHORE
    if agenda.messages is Messages.SAID:
        return Waiting(Chore.MESSAGES, agenda), Do.CHORE
    if agenda.arrived:
        return Committing(agenda.arrived, _but(agenda, arrived=())), DECIDE
    return RESTING if agenda is CLEAR else Resting(agenda), NOTHING


def _ready(agenda: Agenda) -> Phase:
    """Nothing is under way: what is on the agenda is next."""
    if agenda is CLEAR:
        return RESTING
    is_urgent = agenda.refused or agenda.postponed or agenda.arrived or agenda.messages is Messages.SAID
    return Deciding(agenda) if is_urgent else Resting(agenda)


def _turned(
    agenda: Agenda,
    happened: Literal[Told.TAKEN, Told.ABANDON] | HandBack | ExecutionFailed | DecisionFailed,
    items: Sequence[Incoming] = (),
) -> Step:
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
            return OVER, Do.FINISH
    assert_never(happened)


def _broken_off(error: BaseException, late: tuple[Incoming, ...]) -> Step:
    """Something is wrong with this saga, which is set aside; or with the store, which may be well when the lease is over."""
    if not concerns_one(error):
        return OVER, LeaveToLease(error)
    return Leaving(None, None, SetAside(error), late, lost=True), Do.CUT_SHORT


# Not ours.


def _losing(phase: Losing, happened: Happened) -> Step:
    items, late = phase.items, phase.late
    match happened:
        case Incoming():
            return Losing(items, (*late, *_results((happened,)))), NOTHING
        case Begun() | Told.UNREAD | Told.TAKEN | Told.DRAIN | HandBack() | Postponed() | Withdrawn():
            return phase, NOTHING
        case Ended.READING:
            return phase, NOTHING
        case Durable(refused=refused):
            return _last(refused, None, late, lost=True)
        case Ended() | MessagesRead() | ChoreFailed() | ChoreCut():
            return _last(None, None, late, lost=True)
        case Verdict() | NoteRefused() | Unread() | Lost() | NotKept():
            return _last(None, None, (*items, *late), lost=True)
        case Unsettled(error=error) | ExecutionFailed(error=error) | DecisionFailed(error=error):
            return OVER_LOST, LeaveToLease(error)
        case Told.ABANDON:
            return OVER_LOST, Do.FINISH
    assert_never(happened)


def _leaving(phase: Leaving, happened: Happened) -> Step:
    lost, over = phase.lost, OVER_LOST if phase.lost else OVER
    match happened:
        case Incoming():
            late = _results((happened,)) if lost else ()
            return _but_late(phase, (*phase.late, *late), lost=lost), NOTHING
        case Told.TAKEN:
            return _but_late(phase, phase.late, lost=True), NOTHING
        case Begun() | Told.UNREAD | Told.DRAIN | HandBack() | Postponed() | Withdrawn() | Ended.READING:
            return phase, NOTHING
        case Ended() | MessagesRead():
            return _last(phase.refused, phase.aside, phase.late, lost=lost)
        case ChoreFailed(error=error) | ChoreCut(error=error):
            return over, LeaveToLease(error)
        case ExecutionFailed(error=error) | DecisionFailed(error=error):
            return over, LeaveToLease(error)
        case Told.ABANDON:
            return over, Do.FINISH
        case Verdict() | NoteRefused() | Durable() | Unread() | Lost() | NotKept() | Unsettled():
            return phase, NOTHING
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
    return OVER_LOST if lost else OVER, Do.FINISH


def _but_late(phase: Leaving, late: tuple[Incoming, ...], *, lost: bool) -> Leaving:
    return Leaving(phase.chore, phase.refused, phase.aside, late, lost=lost)


def _results(*items: Sequence[Incoming]) -> tuple[Incoming, ...]:
    return tuple(item for some in items for item in some if is_result(item.event))


# The agenda.


def _but(agenda: Agenda, **changes: object) -> Agenda:
    """The agenda with these changes; one that is clear is `CLEAR` itself."""
    changed = msgspec.structs.replace(agenda, **changes)
    return CLEAR if changed == CLEAR else changed


def _noted(agenda: Agenda, happened: Begun | Incoming | Told | Postponed | Withdrawn) -> Agenda:
    """The agenda with what has come."""
    match happened:
        case Incoming():
            return _but(agenda, arrived=(*agenda.arrived, happened))
        case Told.UNREAD:
            return _but(agenda, messages=Messages.SAID)
        case Told.DRAIN:
            return _but(agenda, draining=True)
        case Postponed(execution=execution):
            return _but(agenda, postponed=(*agenda.postponed, execution))
        case Withdrawn(step=step):
            return _but(agenda, postponed=tuple(one for one in agenda.postponed if one.step != step))
        case Begun() | Told.TAKEN | Told.ABANDON:
            return agenda
    assert_never(happened)


def _handing_back(agenda: Agenda, item: Incoming) -> Agenda:
    return _but(agenda, arrived=(*agenda.arrived, item), postponed=(), draining=True)


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
