"""The explanation of a saga, as values and as a text that an operator can read at night."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import attrs
from typing_extensions import override

from saga_fn.core.explain.course import Move, MoveKind
from saga_fn.core.leftovers import LeftOver
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import ParkReason
from saga_fn.core.verbs import Verb
from saga_fn.errors import is_a, shown
from saga_fn.explanation.preview import IN_PYTHON, Spelling, VerbPreview, course_behind, in_words
from saga_fn.explanation.reason import MEND_OF_MISFIT, StandingReason
from saga_fn.explanation.wording import (
    LONGEST_ERROR,
    MOST_NAMED,
    NO_PLAN_FITS,
    course_in_words,
    in_utc,
    left_in_words,
    listed,
    moves_in_words,
    said_by,
)
from saga_fn.printable import ascii_only, counted, kept
from saga_fn.snapshot import Pause, SagaOwner, UnreadMessage

_MOST_LINES: Final = 40
"""Reasons, or legal verbs, that the text tells of."""
_LONGEST_LINE: Final = 2000
"""Characters."""
_LEFT_TO_OTHERS: Final = "it is left to a process whose definition fits it, if one still runs"


@attrs.frozen
class WaitingMessage:
    """An outgoing message of a saga that is not published: it is tried again, or is dead."""

    id: UUID
    """Its id."""
    topic: str
    """Its topic; for the call of a hook the hook's name."""
    attempts: int
    """The number of attempts so far."""
    is_dead: bool
    """Whether it is not tried any more, and waits for `redrive` or `discard`."""
    blocks: bool
    """Whether the later messages of the saga wait for it."""
    error: str | None = attrs.field(default=None, repr=False)
    """Why the last attempt failed, or None."""


@attrs.frozen
class Happened:
    """One of the last entries of a saga's journal."""

    seq: int
    """The number of the entry."""
    at: datetime | None
    """The time when it happened; None if the entry cannot be read."""
    kind: str
    """The name of the event."""
    step_id: str | None
    """The step that it is about, or None."""
    attempt: int | None
    """The number of the attempt, or None."""
    error: str | None = attrs.field(default=None, repr=False)
    """The error's type and message, or None."""
    actor: str | None = None
    """The operator who asked for it, if that was said."""
    reason: str | None = None
    """The operator's reason, if that was said."""
    event: str | None = None
    """The name of an outside event that has one."""
    finding: str | None = None
    """The finding of a probe or of an operator about the step: "done", "not done", "undone" or "never ran"; or None."""
    process: str | None = None
    """The process that took the saga by it, as its host and its number there, or None."""


@attrs.frozen
class Explanation:
    """Why a saga stands where it stands, and what each verb would do to it. `str` of it is a text for operators.

    Example::

        print(await admin.explain(saga_id))
    """

    saga_id: UUID
    """The saga's id."""
    saga_name: str
    """The name that it is registered under."""
    version: int
    """The version of its definition."""
    revision: int
    """The revision that is explained: the `expect=` of a verb."""
    aggregation_id: str | None
    """Its business key, or None."""
    status: SagaStatus
    """Its status."""
    goes_back: bool
    """Whether it is being rolled back, in whichever live status; False where its state cannot be read."""
    pauses: tuple[Pause, ...]
    """The pauses of it, of its name and of everything, the oldest first: none of its steps begins before they end. A saga that has
    ended has them if it FAILED, for a verb may take it up again."""
    reasons: tuple[StandingReason, ...]
    """All that it does or waits for now."""
    since: datetime
    """The time of the last event that it accepted."""
    until: datetime | None
    """When it goes on by itself; None if a process works on it, if it is paused or over, or if only a person or an event helps."""
    looked_at: datetime
    """The database's time of this look."""
    owner: SagaOwner | None
    """The process that has claimed it, or None."""
    is_worked_on: bool
    """Whether a process that was seen lately works on its name and version."""
    unreadable: str | None
    """Why its state or its plan cannot be read, or None. Then `abort` alone can change it, if it has not ended."""
    left_over: tuple[LeftOver, ...]
    """The effects that a FAILED saga has left in the world."""
    course: tuple[Move, ...]
    """All moves that follow without a verb if each attempt succeeds."""
    is_whole: bool
    """Whether `course` was followed to its end; a very long one is not."""
    ends_as: SagaStatus | None
    """How that course ends; None where a person has to go on, or where it was not followed to its end."""
    may_end_as: tuple[SagaStatus, ...]
    """Every end that it may come to without a verb."""
    last: tuple[Happened, ...] = attrs.field(repr=False)
    """The last entries of its journal, in order."""
    verbs: tuple[VerbPreview, ...] = attrs.field(repr=False)
    """Every verb, of every step where it names one."""
    outgoing: tuple[WaitingMessage, ...] = ()
    """The first 100 of its outgoing messages that are not published, in their order. The verbs for dead ones are `redrive` and
    `discard`."""
    has_more_outgoing: bool = False
    """Whether more of its messages are not published."""
    stays_done: tuple[str, ...] = ()
    """The steps of a COMPENSATED or FAILED saga that stay done because they have no undo."""
    rewound: tuple[str, ...] = ()
    """The steps that had begun when `rewind` took the saga back to before them, which undoes nothing."""

    no_plan_fits: bool = False
    """Whether no definition fits what it has done, of those that processes seen lately work with. Where there is none, the
    definition that this process has registered counts. Then the saga is parked when one of them takes it up."""
    unread: tuple[UnreadMessage, ...] = ()
    """The events and verbs that are stored for it, and that no owner has read yet, in their order; the first 32. Its next owner reads
    them before all else, and `course` and the previews count with that."""
    misfit: str | None = None
    """How the definition of a process that works on its name and version does not fit what it has done, or None. Such a process hands
    it back to the others, and parks it once none of them has another definition. None, too, while its owner has its lease."""

    def of(self, verb: Verb | str, step_id: str | None = None) -> VerbPreview | None:
        """Find the preview of one verb.

        Args:
            verb: The verb, or the name of its method.
            step_id: The step that it names. Default: None, which is for a verb that names none.

        Returns:
            The preview; None if there is no such verb or step.
        """
        if not is_a(verb, str) or not is_a(step_id, (str, type(None))):  # values of any type may refuse to be compared
            return None
        return next((each for each in self.verbs if each.verb == verb and each.step_id == step_id), None)

    @override
    def __str__(self) -> str:
        return "\n".join(lines_of(self, IN_PYTHON))


def lines_of(of: Explanation, spelling: Spelling) -> list[str]:
    """The text of an explanation, line by line, in ASCII."""
    return [ascii_only(line, _LONGEST_LINE) for line in _lines(of, spelling)]


def going_on(of: Explanation, preview: VerbPreview) -> str | None:
    """The moves that come next after a verb that was accepted, and who makes them; None if nothing begins."""
    if preview.no_plan_fits:
        return f"{NO_PLAN_FITS[0].upper()}{NO_PLAN_FITS[1:]}: it is parked until one does"
    begins = [move for move in preview.at_once if move.kind is not MoveKind.CUT_SHORT]
    if not begins and preview.after_pause:
        return f"It goes on with {moves_in_words(preview.after_pause)} after the pause"
    if not begins and preview.goes_on_at is not None:
        way = course_in_words(preview.course, course_behind(preview), preview.ends_as, is_whole=preview.is_whole)
        return f"It goes on at {in_utc(preview.goes_on_at)}; {way}"
    if not begins:
        return "Nothing of it begins before the end of the pause" if preview.verb is Verb.PAUSE_SAGA else None
    if of.is_worked_on:
        return f"It goes on with {moves_in_words(begins)} when a worker takes it"
    return f"It goes on with {moves_in_words(begins)} when a process works on {of.saga_name} v{of.version}: none was seen lately"


def _lines(of: Explanation, spelling: Spelling) -> Iterator[str]:
    key = "" if of.aggregation_id is None else f", business key {of.aggregation_id}"
    yield f"saga {of.saga_id}: {of.saga_name} v{of.version}{key}"
    back = ", going back" if of.goes_back else ""
    yield f"{of.status}{back} at revision {of.revision}, since {in_utc(of.since)} ({_ago(of.looked_at - of.since)})"
    yield from _standing(of, spelling)
    if of.last:
        yield (
            "last:" if len(of.last) == of.revision else f"last, {len(of.last)} of {of.revision} entries of the journal:"
        )
        yield from (f"  {_happened(each)}" for each in of.last)
    legal = [each for each in of.verbs if each.is_legal]
    dead = any(each.is_dead for each in of.outgoing)
    yield "legal now:" if legal or dead else "legal now: no verb"
    for each in legal[:_MOST_LINES]:
        yield f"  {spelling.call(each)}"
        yield f"    {in_words(each, spelling)}"
    if len(legal) > _MOST_LINES:
        yield f"  and {len(legal) - _MOST_LINES} more"
    if dead:
        yield from _of_messages(of, spelling)
    refusals = list(_refusals(of.verbs, spelling))
    if refusals:
        yield "refused now:"
    yield from refusals


def _refusals(verbs: Iterable[VerbPreview], spelling: Spelling) -> Iterator[str]:
    """Each refusal once, with the verbs that meet it, and the steps for which they do."""
    steps: dict[Verb, list[str]] = {}
    refused: dict[str, dict[Verb, list[str]]] = {}
    for each in verbs:
        named = () if each.step_id is None else (each.step_id,)
        steps.setdefault(each.verb, []).extend(named)
        if not each.is_legal:
            refused.setdefault(in_words(each, spelling), {}).setdefault(each.verb, []).extend(named)
    for why, met in refused.items():
        by_steps: dict[str, list[str]] = {}
        for verb, named_steps in met.items():
            whose = "any step" if len(named_steps) > 1 and named_steps == steps[verb] else listed(named_steps)
            by_steps.setdefault(whose, []).append(spelling.verb(verb))
        told = (f"{', '.join(names)}{f' of {whose}' if whose else ''}" for whose, names in by_steps.items())
        yield f"  {'; '.join(told)}: {why}"


def _standing(of: Explanation, spelling: Spelling) -> Iterator[str]:
    yield "why:"
    for pause in of.pauses:
        yield f"  {_paused(pause)}"
        yield f"    mend: {spelling.resume(pause)}"
    for reason in of.reasons[:_MOST_LINES]:
        yield f"  {reason.text}"
        if reason.mend:
            yield f"    mend: {spelling.mend(reason.mend)}"
    if len(of.reasons) > _MOST_LINES:
        yield f"  and {len(of.reasons) - _MOST_LINES} more"
    if of.misfit is not None and not of.status.is_terminal:
        yield f"  {of.misfit}" + ("" if of.no_plan_fits else f": {_LEFT_TO_OTHERS}")
        if not any(reason.parked == ParkReason.PLAN_CHANGED for reason in of.reasons):
            yield f"    mend: {spelling.mend(MEND_OF_MISFIT)}"
    if of.unreadable:
        yield f"  it cannot be read: {of.unreadable}"
    yield from (f"  {each}" for each in unread_in_words(of))
    yield from _unsent(of.outgoing, or_more=of.has_more_outgoing)
    if of.left_over:
        yield f"left over: {left_in_words(of.left_over)}"
    yield from kept(of.stays_done, of.rewound)
    if of.status.is_terminal:
        return
    yield f"owner: {'none' if of.owner is None else _owner(of.owner)}"
    if not of.is_worked_on:
        yield f"no process that was seen lately works on {of.saga_name} v{of.version}"
    if of.until is not None:
        yield f"{'goes on by itself at' if of.is_worked_on else 'no process takes it up before'} {in_utc(of.until)}"
    if of.unreadable is None:
        way = course_in_words(of.course, of.course, of.ends_as, is_whole=of.is_whole)
        way = f"{NO_PLAN_FITS}: it is parked until one does" if of.no_plan_fits else way
        yield f"next{', after the pause' if of.pauses else ''}: {way}"
        yield f"may end: {' or '.join(of.may_end_as)}"


def unread_in_words(of: Explanation) -> Iterator[str]:
    """Each message that is stored and not read, and who reads it."""
    whose = f"no process that was seen lately works on {of.saga_name} v{of.version}"
    reader = "its next owner reads it" if of.is_worked_on else whose
    for each in of.unread[:MOST_NAMED]:
        yield f"{each} is stored since {in_utc(each.sent_at)}, and not read yet: {reader}"
    if len(of.unread) > MOST_NAMED:
        yield f"and {len(of.unread) - MOST_NAMED} more that are not read yet"


def _of_messages(of: Explanation, spelling: Spelling) -> Iterator[str]:
    """The verbs for dead messages, which the saga's state has no part in."""
    other = of.of(Verb.ACKNOWLEDGE)  # any process that may write may ask for both
    here = "" if other is None or other.not_here is None else f"not from here: {other.not_here}; "
    yield f"  {spelling.of_messages('redrive')}"
    yield f"    {here}the dead messages are tried again, from the first attempt on"
    yield f"  {spelling.of_messages('discard')}"
    yield f"    {here}the dead messages are given up for good; those behind them go on"


def _unsent(messages: Sequence[WaitingMessage], *, or_more: bool) -> Iterator[str]:
    """Each dead message, and how many others wait."""
    dead = [each for each in messages if each.is_dead]
    for each in dead[:MOST_NAMED]:
        why = "" if each.error is None else f": {each.error[:LONGEST_ERROR]}"
        waits = "; the later messages of the saga wait for it" if each.blocks else ""
        yield f"  message {each.id} for {each.topic} is dead after {counted(each.attempts, 'attempt')}{waits}{why}"
    if len(dead) > MOST_NAMED:
        yield f"  and {len(dead) - MOST_NAMED} more that are dead"
    if dead:
        yield "    mend: redrive tries them again, discard gives them up for good"
    waiting = dict.fromkeys(each.topic for each in messages if not each.is_dead)
    if waiting:
        number = len(messages) - len(dead)
        more = " or more" if or_more else ""
        yield f"  {counted(number, 'outgoing message')}{more} not published yet: {listed(waiting)}"


def _paused(pause: Pause) -> str:
    if pause.saga_id is not None:
        return f"it is paused by itself, and none of its steps begins: since {in_utc(pause.since)}{said_by(pause.actor, pause.reason)}"
    whose = "all sagas" if pause.saga_name is None else f"sagas named {shown(pause.saga_name)}"
    return f"{whose} are paused, and none of their steps begins: since {in_utc(pause.since)}{said_by(pause.actor, pause.reason)}"


def _owner(owner: SagaOwner) -> str:
    process = owner.process or "a process that is not known any more"
    lease = "its lease was over at" if owner.is_gone else "lease until"
    return f"{process} ({owner.id}), {lease} {in_utc(owner.lease_until)}"


def _happened(entry: Happened) -> str:
    at = "" if entry.at is None else f" {in_utc(entry.at)}"
    what = " ".join(each for each in (entry.kind, entry.event, entry.step_id) if each)
    attempt = "" if entry.attempt is None else f" (attempt {entry.attempt})"
    finding = "" if entry.finding is None else f": {entry.finding}"
    error = "" if entry.error is None else f": {ascii_only(entry.error, LONGEST_ERROR)}"
    owner = "" if entry.process is None else f", owned by {entry.process}"
    return f"#{entry.seq}{at} {what}{attempt}{finding}{error}{said_by(entry.actor, entry.reason)}{owner}"


def _ago(length: timedelta) -> str:
    seconds = max(0, int(length.total_seconds()))
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
