"""The stages of one saga in this process, all that can happen to it in them, and the orders that come of it.

All of it is frozen data. `course.py` says which stage and which order follow, and the interpreter carries the order out.

    Unbegun ──► Resting ──► Committing ──► Deciding ──► Resting …      a saga of ours
                       └──► Waiting ─────┘                             a chore first: a renewal, the messages, the journal
    any of them ──► Losing ──► Leaving ──► Over                        not ours any more, or given up
"""

from __future__ import annotations

import enum
from typing import ClassVar, Final, Literal, TypeAlias

import msgspec

from saga_fn.core.effects import Rejection, RunCompensation, RunProbe, RunStep
from saga_fn.core.ids import StepId
from saga_fn.engine.commit.outcome import Lost, RolledBack, Unread, Unsettled
from saga_fn.engine.drive.incoming import Incoming
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
    """A hint says that there are some: they are read before anything is decided."""


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
    handing_back: bool = False
    """It is given up by what has arrived: a write that becomes durable before begins nothing."""


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
Stage: TypeAlias = Ours | Losing | Leaving | Over

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
    """News of the saga that does not come from its own steps: from the leases, the inbox, the engine."""

    UNREAD = enum.auto()
    """It may have unread messages."""
    TAKEN = enum.auto()
    """Another process owns it, or may own it: its lease has run out."""
    DRAIN = enum.auto()
    """Start no further step."""
    LEAVE_TO_LEASE = enum.auto()
    """Write nothing more and give nothing back: the lease runs out."""


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
OfTheWrite: TypeAlias = Verdict | NoteRefused | Durable | Unread | Lost | NotKept | Unsettled | RolledBack
OfTheChore: TypeAlias = Ended | MessagesRead | ChoreFailed | ChoreCut
Happened: TypeAlias = FromOutside | OfTheWrite | OfTheChore | DecisionFailed

BEGUN: Final = Begun()
"""A saga that this process has just inserted."""
GOES_ON: Final = Durable()
"""Nearly every write becomes this."""
GIVES_UP: Final = Durable(gives_up=True)
"""The last one of nearly every saga."""


# Orders.


class Do(enum.Enum):
    """An order that needs no data beside the stage."""

    NOTHING = enum.auto()
    DECIDE = enum.auto()
    """Fold the stage's items, and hand in what follows."""
    ACT = enum.auto()
    """Do what the write that has just become durable asks for, and wake in time."""
    WAKE = enum.auto()
    """Wake in time; nothing else has changed."""
    CUT_SHORT = enum.auto()
    """Cut short all that runs."""
    CHORE = enum.auto()
    """Begin the stage's chore."""
    FINISH = enum.auto()
    """Cut short all that runs, and let go of the saga."""


class Begin(msgspec.Struct, frozen=True, gc=False):
    """Begin these under the renewed lease."""

    executions: tuple[Execution, ...]


class LeaveToLease(msgspec.Struct, frozen=True, gc=False):
    """Say why, then finish: the next owner finds out how it stands."""

    error: BaseException


Seldom: TypeAlias = Literal[Do.NOTHING, Do.WAKE, Do.CUT_SHORT, Do.CHORE] | Begin | LeaveToLease
"""Orders that few steps bring."""
Order: TypeAlias = Seldom | Literal[Do.DECIDE, Do.ACT, Do.FINISH]
Move: TypeAlias = tuple[Stage, Order]

NOTHING: Final = Do.NOTHING
DECIDE: Final = Do.DECIDE
ACT: Final = Do.ACT
FINISH: Final = Do.FINISH
