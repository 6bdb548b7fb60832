"""The refusals of the state machine in words, each with its mend."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from saga_fn.core.effects import Refusal
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus, calls_a_person
from saga_fn.engine.drive.message import UNREADABLE
from saga_fn.errors import SagaStateError

_MOST_NAMED: Final = 20
"""Steps."""
_ANSWERS: dict[str, tuple[str, str]] = {
    Refusal.FINISHED: (
        "has ended",
        "only a FAILED saga can be taken up again: retry_step, cancel, settle_undone and the like.",
    ),
    Refusal.MOVED_ON: (
        "has moved on since you looked at it",
        "look again with SagaAdmin.get_saga; if the verb is still right, give the new revision as expect=.",
    ),
    Refusal.UNKNOWN_STEP: ("has no such step", "see steps of SagaAdmin.get_saga for the step ids."),
    Refusal.NOTHING_TO_RETRY: (
        "has nothing that waits to be retried there",
        "see steps of SagaAdmin.get_saga for what waits, and name that step.",
    ),
    Refusal.NOTHING_TO_COMPENSATE: (
        "has nothing left to undo, or is undoing it already",
        "look at it with SagaAdmin.get_saga.",
    ),
    Refusal.NOT_WAITING: (
        "does not wait at that step, or is not going forward",
        "see steps of SagaAdmin.get_saga for what waits or comes next. In a rollback settle_done and the like end a doubt.",
    ),
    Refusal.NOT_BEGUN: (
        "has not begun that step",
        "if it is the one you mean, say so: skip_step(..., not_begun=True).",
    ),
    Refusal.NOTHING_TO_SETTLE: (
        "has nothing open at that step that this would answer",
        "it may not have run, is undone, or is yet to be undone by the saga itself: see steps and left_over of SagaAdmin.get_saga.",
    ),
    Refusal.IN_DOUBT: (
        "may have run that step",
        "find out, and say so with settle_done, settle_undone or settle_never_ran first.",
    ),
    Refusal.NO_INPUT: (
        "has no input at that step that could be given",
        "a wait and a sleep take none: use skip_step. For a fan-out, name one item, as in 'charge[3]'.",
    ),
    Refusal.NOTHING_TO_REWIND: (
        "has not come to that step",
        "see steps of SagaAdmin.get_saga for those that have begun.",
    ),
    Refusal.ITEM_ALONE: ("cannot go back to one item", "name its fan-out: all of its items run again."),
    Refusal.BEING_RUN: (
        "is running a step that would go back, or its compensation",
        "wait until it has come to its end; abort cuts it short.",
    ),
    Refusal.MAY_STILL_RUN: (
        "may still be running that step, or its compensation",
        "left_over of SagaAdmin.get_saga says until when: wait for that moment.",
    ),
    Refusal.COMPENSATION_BEGUN: ("has begun to roll back", "continue the rollback with cancel."),
    Refusal.PAST_PIVOT: (
        "is past its pivot",
        "from there it only goes forward: use retry_step or skip_step; abort ends it as it is.",
    ),
    Refusal.NOTHING_SLEEPS: (
        "has nothing there that waits for a moment alone",
        "only a delayed start, a next attempt and a sleep have such a moment: see steps of SagaAdmin.get_saga.",
    ),
    Refusal.TOO_LATE: (
        "cannot be moved so far: that moment, or its deadline counted from it, is after the year 9999",
        "name an earlier moment.",
    ),
    Refusal.TOO_MANY_EVENTS: ("has had too many events", "start another saga for further ones."),
    Refusal.UNKNOWN_EVENT: ("never waits for an event of that name", "add the wait to its definition."),
    Refusal.EXPIRED: ("was sent an event that is void by now", "send it without an expiry, or with a later one."),
    Refusal.NOT_FAILED: (
        "has not ended FAILED",
        "only a FAILED saga is acknowledged: SagaFilter(status=SagaStatus.FAILED, acknowledged=False) finds those.",
    ),
    Refusal.ACKNOWLEDGED: (
        "has been acknowledged before",
        "rejections of SagaAdmin.get_saga tells by whom and why.",
    ),
    Refusal.ALREADY_PAUSED: (
        "was paused before",
        "SagaAdmin.explain says by whom and why; resume_saga lets it go on.",
    ),
    Refusal.NOT_PAUSED: (
        "is not paused by itself",
        "SagaAdmin.pauses says whether its name, or everything, is: then resume or resume_all.",
    ),
    Refusal.NOTHING_TO_MOVE: (
        "waits for no moment that is to come, or it was moved for that time before",
        "look at it with SagaAdmin.get_saga.",
    ),
    Refusal.PLAN_MISMATCH: ("was run by another definition", "register a definition that fits what it has done."),
    UNREADABLE: (
        "is owned by a process that cannot read the request",
        "that process has another version of the definition or of this library, or a smaller max_payload_bytes.",
    ),
}
_OF_FAILED: dict[str, tuple[str, str]] = {
    Refusal.FINISHED: (
        "has ended FAILED, where there is nothing for this verb to do",
        "retry_step, rewind, cancel, settle_undone and the like may take it up: SagaAdmin.explain says which are legal now.",
    ),
    Refusal.PAST_PIVOT: (
        "is past its pivot",
        "retry_step or rewind takes it up again; once something of it is undone, settle_undone or acknowledge is for what is left.",
    ),
    Refusal.COMPENSATION_BEGUN: (
        "has been undone in part",
        "cancel undoes the rest; past a pivot undo it by hand, and say so with settle_undone.",
    ),
}
"""The answers that are others where the saga has ended FAILED."""


def steps_of(plan: Plan | None) -> str:
    """The mend for a step that a saga does not have: those that it has, the first 20 of them."""
    if plan is None:
        return told_of_refusal(Refusal.UNKNOWN_STEP)[1]
    names = [f"'{planned.step}'" for planned in plan.steps]
    more = len(names) - _MOST_NAMED
    return f"its steps are {', '.join(names[:_MOST_NAMED])}{f', and {more} more' if more > 0 else ''}"


def told_of_refusal(refusal: str, status: SagaStatus | None = None) -> tuple[str, str]:
    """A refusal, as `Rejection.answer` has it, in words that go on from "the saga", and the mend."""
    kind, _, unnamed = refusal.partition(": ")
    if status is not None and calls_a_person(status) and kind in _OF_FAILED:
        return _OF_FAILED[kind]
    if kind == Refusal.UNNAMED:
        names = msgspec.json.decode(unnamed, type=list[str])
        named = ", ".join(f"'{name}'" for name in names)
        listed = ", ".join(msgspec.json.encode(name).decode() for name in names)
        return (
            f"would know nothing more of what {named} has done, or may have",
            f"undo it by hand, or let it be: forget=[{listed}]. Then it runs again under another idempotency key.",
        )
    return _ANSWERS.get(refusal, (f"refused: {refusal}", "look at it with SagaAdmin.get_saga."))


def refusal_error(saga_id: UUID, refusal: str, status: SagaStatus | None = None) -> SagaStateError:
    """The error of a saga that has refused a verb."""
    fact, hint = told_of_refusal(refusal, status)
    return SagaStateError(f"saga {saga_id} {fact}", saga_id=saga_id, refusal=refusal.partition(": ")[0], hint=hint)
