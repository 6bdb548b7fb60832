"""The explanation of a saga, as values and as a text that an operator can read at night."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, assert_never
from uuid import UUID

import attrs
from typing_extensions import override

from saga_fn.core.explain.course import Move, MoveKind
from saga_fn.core.explain.reasons import Cause
from saga_fn.core.leftovers import LeftOver
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import ParkReason
from saga_fn.core.verbs import Verb
from saga_fn.errors import is_a, shown
from saga_fn.printable import ascii_only, counted, kept
from saga_fn.snapshot import Pause

_MOST_NAMED: Final = 12
"""The text names no more steps, or moves, in one place."""
_MOST_LINES: Final = 40
"""Reasons, or legal verbs, that the text tells of."""
_LONGEST_ERROR: Final = 300
"""Characters."""
_LONGEST_LINE: Final = 2000
"""Characters."""


@attrs.frozen
class StandingReason:
    """One reason why a saga stands where it stands."""

    cause: Cause
    """Its kind."""
    step_id: str | None
    """The step that it is about, or None."""
    until: datetime | None
    """When it is over by itself; None if it is not, or if the moment is not known."""
    events: tuple[str, ...]
    """The names of the events that it waits for."""
    parked: str | None
    """The reason why it waits for a person, or None."""
    attempt: int
    """The number of the attempt, the present or the last one; 0 if there was none."""
    failures: int
    """The number of failed attempts that its retry policy counts."""
    may_have_run: bool
    """Whether the step may have run, and it is not known yet."""
    is_paused: bool = False
    """Whether it is not over before the end of a pause, even if `until` has come."""
    transactional: bool = False
    """Whether the step runs in a transaction of the database, and touches nothing else."""
    error: str | None = attrs.field(default=None, repr=False)
    """The error's type and message where a person decides by it (`input_failed`, `output_lost`, `outcome_unknown`,
    `past_pivot`), and for a saga that has ended COMPENSATED or FAILED; or None."""
    ended_as: SagaStatus | None = None
    """The end of a saga that is COMPENSATED or FAILED, or None. Then `step_id` is the step that failed, if one did."""
    most_attempts: int | None = None
    """The number of attempts that the retry policy of that step allows; None if that is not told."""
    verb: Verb | None = None
    """The verb by which an operator has turned back, or ended, a saga that is COMPENSATED or FAILED; None if none has."""
    actor: str | None = None
    """The operator who asked for that verb, if that was said."""
    reason: str | None = None
    """The operator's reason, if that was said."""
    lease_over: datetime | None = None
    """For what a process executes: the end of its lease, if that is over, so that another process may go on; else None."""

    @property
    def text(self) -> str:
        """The reason in words."""
        said = [_told(self)]
        if self.error is not None and self.cause is not Cause.ENDED:
            said.append(self.error[:_LONGEST_ERROR])
        if (
            self.may_have_run
            and self.cause is not Cause.DOUBT
            and not (self.lease_over and self.cause is Cause.RUNNING)
        ):
            said.append("it may have run")
        if self.failures:
            said.append(f"failures counted: {self.failures}")
        if self.until is not None:
            said.append(f"until {_time(self.until)}")
        waits_for_the_pause = self.is_paused and self.cause is not Cause.WORKER
        return "; ".join(said) + (", and for the end of the pause" if waits_for_the_pause else "")

    @property
    def mend(self) -> str | None:
        """The thing that helps, where a person has to do something; else None."""
        if self.parked is None:
            return None
        why = ParkReason(self.parked)
        return _said_of(why, transactional=self.transactional)[1]


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
class SagaOwner:
    """The process that has claimed a saga."""

    id: UUID
    """The id under which it claims."""
    process: str | None
    """Its host and its number there (`shop-7f4c:41`); None if the process is not known any more."""
    seen_at: datetime | None
    """When it last said what it works on, or None."""
    lease_until: datetime
    """The end of its lease."""
    is_gone: bool
    """Whether its lease is over, so that another process may take the saga over."""


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
    process: str | None = None
    """The process that took the saga by it, as its host and its number there, or None."""


@attrs.frozen
class VerbPreview:
    """One verb, of one step where it names one: whether it is legal now, and all that would come of it."""

    verb: Verb
    """The verb; its value is the name of the method of `SagaAdmin`."""
    step_id: str | None
    """The step that it names, or None."""
    is_legal: bool
    """Whether the state machine accepts it at this revision."""
    refusal: str | None = None
    """The code of the refusal, or None."""
    why_not: str | None = None
    """The refusal in words, or None."""
    mend: str | None = None
    """The thing to do instead, or None."""
    not_here: str | None = None
    """Why this process cannot ask for it, even where it is legal; None if it can."""
    at_once: tuple[Move, ...] = ()
    """The moves that the owner, or the next one, makes at once. During a pause that is only to cut short what runs."""
    after_pause: tuple[Move, ...] = ()
    """The moves that it would make at once, if the saga were not paused: it makes them when the pause ends."""
    course: tuple[Move, ...] = ()
    """All moves that follow if each attempt succeeds."""
    is_whole: bool = True
    """Whether `course` was followed to its end; a very long one is not."""
    ends_as: SagaStatus | None = None
    """How that course ends; None where a person has to go on, or where it was not followed to its end."""
    left_over: tuple[LeftOver, ...] = ()
    """The effects that this course leaves in the world."""
    stays_done: tuple[str, ...] = ()
    """The steps that stay done at its end because they have no undo."""
    goes_on_at: datetime | None = None
    """When the saga goes on after the verb; None if it does at once, not by itself, or not before a pause ends."""
    may_end_as: tuple[SagaStatus, ...] = ()
    """Every end that it may come to after the verb by itself."""
    may_be_undone: tuple[str, ...] = ()
    """Every step whose compensation may run after the verb."""
    may_be_left: tuple[str, ...] = ()
    """Every step of which something may be left over after the verb."""
    another_key: tuple[str, ...] = ()
    """The steps that were attempted before, and whose next attempt has another idempotency key: their participants do them again."""
    runs_on: tuple[str, ...] = ()
    """The steps that are being executed, and come to their ends before the saga turns back."""
    forgotten: tuple[str, ...] = ()
    """The steps whose effects stay in the world, and of which the saga knows nothing any more: those of a `rewind`."""
    rows_may_stand: tuple[str, ...] = ()
    """The transactional steps that run again, though an attempt before may have committed its rows: they may be written twice."""
    unnamed: tuple[str, ...] = ()
    """The steps that `forget` of a refused `rewind` has to name."""

    @property
    def text(self) -> str:
        """The preview in words."""
        return in_words(self, IN_PYTHON)


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


class Spelling:
    """How the text of an explanation names what an operator can ask for: here as calls of `SagaAdmin`."""

    def verb(self, verb: Verb) -> str:
        """The name of the verb."""
        return verb.value

    def call(self, preview: VerbPreview) -> str:
        """The verb, with what is given with it."""
        named = [] if preview.step_id is None else [preview.step_id]
        return f"{preview.verb}({', '.join([*named, *(['its output'] if preview.verb.needs_output else [])])})"

    def resume(self, pause: Pause) -> str:
        """The end of a pause."""
        if pause.saga_id is not None:
            return f"resume_saga({pause.saga_id})"
        return "resume_all()" if pause.saga_name is None else f"resume({shown(pause.saga_name)})"

    def of_messages(self, verb: str) -> str:
        """A verb for dead messages, `redrive` or `discard`."""
        return f"{verb}()"

    def mend(self, said: str) -> str:
        """A mend of the library."""
        return said


IN_PYTHON: Final = Spelling()
"""The calls of `SagaAdmin`."""


def in_words(of: VerbPreview, spelling: Spelling) -> str:
    """The preview of a verb in words, with that spelling of what else can be asked for."""
    if of.is_legal:
        return "; ".join(_consequences(of))
    mend = None if of.mend is None else spelling.mend(of.mend)
    return "; ".join(each for each in (of.why_not or of.refusal, mend) if each)


def lines_of(of: Explanation, spelling: Spelling) -> list[str]:
    """The text of an explanation, line by line, in ASCII."""
    return [ascii_only(line, _LONGEST_LINE) for line in _lines(of, spelling)]


_MENDS: Final[dict[ParkReason, tuple[str, str]]] = {
    ParkReason.INPUT_FAILED: (
        "its input could not be computed",
        "mend and deploy the definition, then retry_step; or give its output by skip_step",
    ),
    ParkReason.INPUT_CHANGED: (
        "a repeat computed another input than the attempt before it",
        "deploy a definition that computes the old input again; retry_step accepts the new one",
    ),
    ParkReason.OUTPUT_LOST: (
        "it ran, and its output, or a message that it publishes, cannot be kept",
        "mend that, or deploy the topic's publisher, then retry_step; or settle_done, which loses messages; or settle_undone",
    ),
    ParkReason.PAYLOAD_UNREADABLE: (
        "the definition cannot decode a stored payload",
        "deploy a definition that can, then retry_step",
    ),
    ParkReason.PLAN_CHANGED: (
        "the definition of its workers does not fit what it has done",
        "deploy one that fits, as by @step(step_id=...) for a step that was renamed: the saga then goes on by itself",
    ),
    ParkReason.CRASH_LOOP: (
        "its process died again and again while it ran alone there",
        "find out what kills the process, then retry_step",
    ),
    ParkReason.ROW_REJECTED: (
        "the database refused its row, or it was set aside",
        "see rejections of get_saga for the cause, mend it, then retry_step; abort ends it",
    ),
    ParkReason.STATE_UNREADABLE: ("its stored state cannot be read", "restore the row, or end it with abort"),
    ParkReason.PAST_PIVOT: (
        "it failed for good after the pivot, and the only way is forward",
        "mend the cause, then retry_step; or give its output by skip_step",
    ),
    ParkReason.OUTCOME_UNKNOWN: (
        "only a person can find out whether it has run",
        "ask the other system, then settle_done, settle_undone or settle_never_ran; if it does not know, cancel",
    ),
    ParkReason.UNDO_FAILED: (
        "its compensation has failed for as long as it is tried",
        "mend the cause, then retry_step; or undo it by hand, then settle_undone",
    ),
    ParkReason.TOO_LONG: (
        "it was tried so often that the journal has come to its limit",
        "give its output by skip_step, or cancel",
    ),
    ParkReason.CONFLICTS: (
        "each of its transactions met a conflict with another one; nothing of it is in the database",
        "lower its isolation, or keep others from the rows that it reads, then retry_step",
    ),
    ParkReason.SETTLED: (
        "nothing of it is in the world, and it is not decided how the saga goes on",
        "retry_step, or cancel",
    ),
}
_MENDS_WITHIN: Final[dict[ParkReason, tuple[str, str]]] = {
    ParkReason.OUTPUT_LOST: (
        "its output, or a message that it publishes, cannot be kept: its transaction was rolled back, nothing of the attempt is there",
        "mend that, or deploy the topic's publisher, then retry_step; or, before a pivot, cancel",
    ),
    ParkReason.OUTCOME_UNKNOWN: (  # only these two ways lead there
        _MENDS[ParkReason.OUTCOME_UNKNOWN][0],
        (
            "if it has ended its own transaction, look whether its rows are there; if another system did not answer, its rows are "
            "rolled back: ask that system; then settle_done, settle_undone or settle_never_ran; if neither can be known, cancel"
        ),
    ),
}
"""The same for a transactional step, where it is another."""


def _said_of(why: ParkReason, *, transactional: bool) -> tuple[str, str]:
    """A reason to wait for a person in words, and the thing that helps."""
    return _MENDS_WITHIN.get(why, _MENDS[why]) if transactional else _MENDS[why]


def _told(reason: StandingReason) -> str:
    step, attempt = reason.step_id, reason.attempt
    match reason.cause:
        case Cause.RUNNING | Cause.PROBING | Cause.UNDOING if reason.lease_over is not None:
            return f"{_interrupted(reason)}: the lease of its process is over since {_time(reason.lease_over)}, {_THE_NEXT}"
        case Cause.RUNNING:
            within = " in a transaction, and touches the database alone" if reason.transactional else ""
            return f"step {step} is being executed{within}, attempt {attempt}"
        case Cause.PROBING:
            return f"a probe is finding out whether step {step} has run"
        case Cause.UNDOING:
            return f"the compensation of step {step} is being executed, attempt {attempt}"
        case Cause.RETRY:
            return f"step {step} waits for its next attempt after attempt {attempt}"
        case Cause.DOUBT:
            return f"step {step} may have run (attempt {attempt}), and that is to be settled as its plan says"
        case Cause.UNDO_RETRY:
            return f"the compensation of step {step} waits for its next attempt after attempt {attempt}"
        case Cause.EVENT:
            return f"step {step} waits for the event {' or '.join(reason.events)}"
        case Cause.UNDO_EVENT:
            return f"the compensation of step {step} waits for the event {' or '.join(reason.events)}"
        case Cause.SLEEP:
            return f"step {step} sleeps"
        case Cause.BEGIN:
            return "the start is delayed"
        case Cause.STOPPING:
            return "an execution that was cut short may not have stopped yet, and nothing is undone before"
        case Cause.PERSON:
            return f"step {step} waits for a person ({reason.parked}): {_fact(reason)}"
        case Cause.UNDO_PERSON:
            return f"the compensation of step {step} waits for a person ({reason.parked}): {_fact(reason)}"
        case Cause.WORKER:
            awaited = "the end of the pause" if reason.is_paused else "a worker"
            return f"it is due, and waits for {awaited}" + (f" to go on with step {step}" if step else "")
        case Cause.SET_ASIDE:
            return f"the saga as a whole waits for a person ({reason.parked}): {_fact(reason)}"
        case Cause.ENDED:
            return _ended(reason)
        case _:
            assert_never(reason.cause)


_THE_NEXT: Final = "and the next worker goes on with it as its plan says"


def _interrupted(reason: StandingReason) -> str:
    """What a process was executing whose lease is over."""
    step, attempt = reason.step_id, reason.attempt
    if reason.cause is Cause.PROBING:
        return f"a probe was finding out whether step {step} has run"
    if reason.cause is Cause.UNDOING:
        return f"the compensation of step {step} may have run (attempt {attempt})"
    if not reason.may_have_run:
        return f"step {step} was being executed in a transaction that is not committed (attempt {attempt})"
    return f"step {step} may have run (attempt {attempt})"


def _ended(reason: StandingReason) -> str:
    """The end, and the failure that counts for it."""
    if reason.ended_as is None:
        return "it has ended"
    told = f"it has ended {reason.ended_as}"
    if reason.verb is not None:
        told += f": an operator asked for {reason.verb}{_said_by(reason)}"
    if reason.error is None:
        return told if reason.verb is not None else f"{told}, and its journal tells of no failure"
    told += ": " if reason.verb is None else "; its failure: "
    if reason.step_id is not None:
        told += f"step {reason.step_id} failed"
        if reason.attempt:
            most = reason.most_attempts
            told += " for good" if reason.verb is None else ""
            told += f", attempt {reason.attempt}"
            told += "" if most is None or most < reason.attempt else f" of {most}"
        told += ": "
    return f"{told}{reason.error[:_LONGEST_ERROR]}"


def _fact(of: StandingReason) -> str:
    return "" if of.parked is None else _said_of(ParkReason(of.parked), transactional=of.transactional)[0]


_MOVED: Final = {
    MoveKind.RUN: "run",
    MoveKind.UNDO: "undo",
    MoveKind.PROBE: "probe",
    MoveKind.AWAIT: "wait at",
    MoveKind.CUT_SHORT: "cut short",
}


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - _MOST_NAMED
    return ", ".join([*every[:_MOST_NAMED], f"and {more} more"] if more > 0 else every)


def _moves(moves: Iterable[Move]) -> str:
    return _listed(f"{_MOVED[move.kind]} {move.step}" for move in moves)


def _left(left: Iterable[LeftOver]) -> str:
    return _listed(f"{each.step_id} ({each.kind})" for each in left)


def _consequences(preview: VerbPreview) -> Iterator[str]:
    if preview.not_here:
        yield f"not from here: {preview.not_here}"
    if preview.runs_on:
        yield f"first comes to its end, and is not cut short: {_listed(preview.runs_on)}"
    if preview.at_once:
        yield f"at once: {_moves(preview.at_once)}"
    if preview.after_pause:
        yield f"after the pause: {_moves(preview.after_pause)}"
    if preview.goes_on_at is not None:
        yield f"goes on at {_time(preview.goes_on_at)}"
    if preview.verb is Verb.ACKNOWLEDGE:
        yield "health names it no more"
        return
    yield _way(preview.course, course_behind(preview), preview.ends_as, is_whole=preview.is_whole)
    if preview.verb in (Verb.SETTLE_DONE, Verb.SKIP_STEP):
        yield "no message of the step is published"
    if preview.rows_may_stand:
        yield f"look first: the rows of {_listed(preview.rows_may_stand)} may be there, and would be written a second time"
    if preview.another_key:
        yield f"under another idempotency key: {_listed(preview.another_key)}"
    if preview.forgotten:
        yield f"the saga forgets, and never undoes, what is done of {_listed(preview.forgotten)}"
    if preview.left_over:
        yield f"left over then: {_left(preview.left_over)}"
    yield from kept(preview.stays_done)
    others = [end for end in preview.may_end_as if end is not preview.ends_as]
    if others:
        yield f"may end {' or '.join(others)} instead"
    if preview.may_be_undone:
        yield f"may undo {_listed(preview.may_be_undone)}"
    if preview.may_be_left:
        yield f"may be left over: {_listed(preview.may_be_left)}"


def course_behind(preview: VerbPreview) -> tuple[Move, ...]:
    """The moves of the course behind those that come at once, or at the end of the pause: these are told before it."""
    rest = list(preview.course)
    for each in (*preview.at_once, *preview.after_pause):
        if each in rest:
            rest.remove(each)
    return tuple(rest)


def going_on(of: Explanation, preview: VerbPreview) -> str | None:
    """The moves that come next after a verb that was accepted, and who makes them; None if nothing begins."""
    begins = [move for move in preview.at_once if move.kind is not MoveKind.CUT_SHORT]
    if not begins:
        return f"It goes on with {_moves(preview.after_pause)} after the pause" if preview.after_pause else None
    if of.is_worked_on:
        return f"It goes on with {_moves(begins)} when a worker takes it"
    return (
        f"It goes on with {_moves(begins)} when a process works on {of.saga_name} v{of.version}: none was seen lately"
    )


def _way(course: tuple[Move, ...], rest: tuple[Move, ...], end: SagaStatus | None, *, is_whole: bool) -> str:
    """The course in words; `rest` are those of its moves that are not told before it."""
    ending = "then a person has to go on" if end is None else f"then it ends {end}"
    if not is_whole:
        ending = "and so on"
    told = f"{_moves(rest)}, {ending}" if rest else ending.removeprefix("then ")
    return f"if all goes well: {told}" if course else told


def _lines(of: Explanation, spelling: Spelling) -> Iterator[str]:
    key = "" if of.aggregation_id is None else f", business key {of.aggregation_id}"
    yield f"saga {of.saga_id}: {of.saga_name} v{of.version}{key}"
    back = ", going back" if of.goes_back else ""
    yield f"{of.status}{back} at revision {of.revision}, since {_time(of.since)} ({_ago(of.looked_at - of.since)})"
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
            whose = "any step" if len(named_steps) > 1 and named_steps == steps[verb] else _listed(named_steps)
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
    if of.unreadable:
        yield f"  it cannot be read: {of.unreadable}"
    yield from _unsent(of.outgoing, or_more=of.has_more_outgoing)
    if of.left_over:
        yield f"left over: {_left(of.left_over)}"
    yield from kept(of.stays_done, of.rewound)
    if of.status.is_terminal:
        return
    yield f"owner: {'none' if of.owner is None else _owner(of.owner)}"
    if not of.is_worked_on:
        yield f"no process that was seen lately works on {of.saga_name} v{of.version}"
    if of.until is not None:
        yield f"goes on by itself at {_time(of.until)}"
    if of.unreadable is None:
        yield f"next{', after the pause' if of.pauses else ''}: {_way(of.course, of.course, of.ends_as, is_whole=of.is_whole)}"
        yield f"may end: {' or '.join(of.may_end_as)}"


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
    for each in dead[:_MOST_NAMED]:
        why = "" if each.error is None else f": {each.error[:_LONGEST_ERROR]}"
        waits = "; the later messages of the saga wait for it" if each.blocks else ""
        yield f"  message {each.id} for {each.topic} is dead after {counted(each.attempts, 'attempt')}{waits}{why}"
    if len(dead) > _MOST_NAMED:
        yield f"  and {len(dead) - _MOST_NAMED} more that are dead"
    if dead:
        yield "    mend: redrive tries them again, discard gives them up for good"
    waiting = dict.fromkeys(each.topic for each in messages if not each.is_dead)
    if waiting:
        number = len(messages) - len(dead)
        more = " or more" if or_more else ""
        yield f"  {counted(number, 'outgoing message')}{more} not published yet: {_listed(waiting)}"


def _paused(pause: Pause) -> str:
    if pause.saga_id is not None:
        return f"it is paused by itself, and none of its steps begins: since {_time(pause.since)}{_said_by(pause)}"
    whose = "all sagas" if pause.saga_name is None else f"sagas named {shown(pause.saga_name)}"
    return f"{whose} are paused, and none of their steps begins: since {_time(pause.since)}{_said_by(pause)}"


def _said_by(asked: Pause | Happened | StandingReason) -> str:
    by = "" if asked.actor is None else f", by {asked.actor}"
    return by + ("" if asked.reason is None else f", because: {asked.reason}")


def _owner(owner: SagaOwner) -> str:
    process = owner.process or "a process that is not known any more"
    lease = "its lease was over at" if owner.is_gone else "lease until"
    return f"{process} ({owner.id}), {lease} {_time(owner.lease_until)}"


def _happened(entry: Happened) -> str:
    at = "" if entry.at is None else f" {_time(entry.at)}"
    what = " ".join(each for each in (entry.kind, entry.event, entry.step_id) if each)
    attempt = "" if entry.attempt is None else f" (attempt {entry.attempt})"
    error = "" if entry.error is None else f": {ascii_only(entry.error, _LONGEST_ERROR)}"
    owner = "" if entry.process is None else f", owned by {entry.process}"
    return f"#{entry.seq}{at} {what}{attempt}{error}{_said_by(entry)}{owner}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _ago(length: timedelta) -> str:
    seconds = max(0, int(length.total_seconds()))
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
