"""Owners that come and go: what a claim finds lost, what a hand-back leaves, and what an owner cannot go on with."""

from __future__ import annotations

from saga_fn.core.events import HandedBack, Resumed, SagaParked
from saga_fn.core.facts import needs_owner, startable, to_ask, to_probe, undoable
from saga_fn.core.rules import pauses, pivot
from saga_fn.core.rules.attempts import cut_short, unbegun
from saga_fn.core.rules.fold import Fold
from saga_fn.core.rules.rollback import first_undo
from saga_fn.core.rules.waits import fire_timers
from saga_fn.core.state import (
    Attempts,
    FailedForGood,
    Goal,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    Running,
    Sleeping,
    Undoing,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unknown,
    Waiting,
)

CRASH_LIMIT = 3
"""A saga whose takeovers come to this number without progress, the last alone in its process, is parked."""


def resumed(fold: Fold, event: Resumed) -> None:
    """The new owner finds lost what the one before was running, and whatever has come due."""
    fold.failed_takeovers = fold.before.failed_takeovers
    fold.isolated = event.isolated
    pauses.claimed(fold)
    if event.takeover and needs_owner(fold.before):
        fold.failed_takeovers += 1
        if fold.failed_takeovers >= CRASH_LIMIT and fold.before.isolated:
            _park(fold, ParkReason.CRASH_LOOP)
            return
    _lose_executions(fold)
    fire_timers(fold)


def handed_back(fold: Fold, event: HandedBack) -> None:
    """The executions that were running are lost, and what had not begun is due, or given up on the way back.

    That is no crash, nor progress.
    """
    fold.failed_takeovers = fold.before.failed_takeovers
    _lose_executions(fold)
    if event.begun is None:
        return
    for step in fold.before.steps:
        if not isinstance(step, Running) or step.step in event.begun:
            continue
        if step.attempts.doubt:  # of an attempt before it, which is settled as the plan says by then
            fold.put(cut_short(fold, step) if step.transactional else Unknown(step.step, step.attempts))
        elif fold.goal is Goal.FORWARD:
            fold.put(Retrying(step.step, step.attempts, fold.at, fold.at))
        else:
            fold.put(FailedForGood(step.step, step.attempts))


def accompanied(fold: Fold) -> None:
    """A crash may be another's fault from now on; that is no progress."""
    fold.failed_takeovers = fold.before.failed_takeovers


def saga_parked(fold: Fold, event: SagaParked) -> None:
    """Everything that would go on waits for a person."""
    _park(fold, event.why)


def _park(fold: Fold, why: ParkReason) -> None:
    _lose_executions(fold)
    if fold.goal is not Goal.FORWARD:  # its probe may be what is wrong with the saga
        for step in tuple(fold.steps.values()):
            if to_probe(step, fold.plan):
                fold.put(Parked(step.step, step.attempts, why))
    pivot.enforce_pivot(fold)
    if (
        fold.goal is not Goal.FORWARD
    ):  # what is given up now is to be undone by the person's word alone, as all the rest
        for step in tuple(fold.steps.values()):
            if isinstance(step, Parked) and not to_ask(step, fold.plan):
                fold.put(FailedForGood(step.step, step.attempts))
    for step in tuple(fold.steps.values()):
        if isinstance(step, Unknown | Retrying) and fold.goal is Goal.FORWARD:
            fold.put(Parked(step.step, step.attempts, why))
        elif isinstance(step, Waiting | Sleeping):
            fold.put(Parked(step.step, Attempts(), why, step if why is ParkReason.PLAN_CHANGED else None))
        elif isinstance(step, UndoRetrying | UndoWaiting):
            fold.put(UndoParked(step.step, step.seq, step.attempts, why))
    for unstarted in startable(fold.plan, fold.draft()):
        fold.put(Parked(unstarted, unbegun(fold, unstarted), why))
    for undo in undoable(fold.plan, fold.draft()):
        fold.put(UndoParked(undo.step, *first_undo(undo), why))


def _lose_executions(fold: Fold) -> None:
    """The owner is gone: what ran forward may have run, but in a transaction; a compensation is simply due again."""
    for step in fold.before.steps:
        if type(step) is Running:
            fold.put(cut_short(fold, step))
        elif type(step) is Undoing:
            fold.put(UndoRetrying(step.step, step.seq, step.attempts, fold.at, fold.at))
        elif type(step) is Probing:
            fold.put(Unknown(step.step, step.attempts, failures=step.failures, first_attempt_at=step.first_attempt_at))
