"""The course of a saga that is not ours any more, or is given up: what was under way ends, then come the last chores."""

from __future__ import annotations

from typing import assert_never

from saga_fn.engine.commit.outcome import Lost, RolledBack, Unread, Unsettled
from saga_fn.engine.drive.agenda import results_of
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.stages import (
    FINISH,
    NOTHING,
    OVER,
    OVER_LOST,
    Begun,
    ChoreCut,
    ChoreFailed,
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
    MessagesRead,
    Move,
    NoteLate,
    NoteRefused,
    NotKept,
    Order,
    Over,
    Postponed,
    SetAside,
    Told,
    Verdict,
    Withdrawn,
)


def losing(stage: Losing, happened: Happened) -> Move:
    """The move of a saga that is not ours any more."""
    items, late = stage.items, stage.late
    match happened:
        case Incoming():
            return Losing(items, (*late, *results_of((happened,)))), NOTHING
        case Begun() | Told.UNREAD | Told.TAKEN | Told.DRAIN | HandBack() | Postponed() | Withdrawn():
            return stage, NOTHING
        case Ended.READING:
            return stage, NOTHING
        case Durable(refused=refused):
            return last_chore(refused, None, late, lost=True)
        case Ended() | MessagesRead() | ChoreFailed() | ChoreCut():
            return last_chore(None, None, late, lost=True)
        case Verdict() | NoteRefused() | Unread() | Lost() | NotKept() | RolledBack():
            return last_chore(None, None, (*items, *late), lost=True)
        case Unsettled(error=error) | ExecutionFailed(error=error) | DecisionFailed(error=error):
            return OVER_LOST, LeaveToLease(error)
        case Told.LEAVE_TO_LEASE:
            return OVER_LOST, FINISH
    assert_never(happened)


def leaving(stage: Leaving, happened: Happened) -> Move:
    """The move of a saga of which only the last chores are left."""
    lost, over = stage.lost, OVER_LOST if stage.lost else OVER
    match happened:
        case Incoming():
            late = results_of((happened,)) if lost else ()
            return _but_late(stage, (*stage.late, *late), lost=lost), NOTHING
        case Told.TAKEN:
            return _but_late(stage, stage.late, lost=True), NOTHING
        case Begun() | Told.UNREAD | Told.DRAIN | HandBack() | Postponed() | Withdrawn() | Ended.READING:
            return stage, NOTHING
        case Ended() | MessagesRead():
            return last_chore(stage.refused, stage.aside, stage.late, lost=lost)
        case ChoreFailed(error=error) | ChoreCut(error=error):
            return over, LeaveToLease(error)
        case ExecutionFailed(error=error) | DecisionFailed(error=error):
            return over, LeaveToLease(error)
        case Told.LEAVE_TO_LEASE:
            return over, FINISH
        case Verdict() | NoteRefused() | Durable() | Unread() | Lost() | NotKept() | Unsettled() | RolledBack():
            return stage, NOTHING
    assert_never(happened)


def last_chore(
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
