"""The preview of one verb, in words, and how these name what else an operator can ask for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import attrs

from saga_fn.core.explain.course import Move
from saga_fn.core.leftovers import LeftOver
from saga_fn.core.projection import SagaStatus
from saga_fn.core.verbs import Verb
from saga_fn.errors import shown
from saga_fn.explanation.wording import NO_PLAN_FITS, course_in_words, in_utc, left_in_words, listed, moves_in_words
from saga_fn.printable import kept
from saga_fn.snapshot import Pause, UnreadMessage


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
    no_plan_fits: bool = False
    """Whether no definition that processes work with fits what the saga has done, so that it is parked again when one takes it up."""
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
    """The steps that were attempted before, and whose next attempt has another idempotency key: their participants do them again.
    A saga that goes back then has none: nothing of it is attempted again."""
    runs_on: tuple[str, ...] = ()
    """The steps that are being executed, and come to their ends before the saga turns back."""
    forgotten: tuple[str, ...] = ()
    """The steps whose effects stay in the world, and of which the saga knows nothing any more: those of a `rewind`."""
    rows_may_stand: tuple[str, ...] = ()
    """The transactional steps that run again, though an attempt before may have committed its rows: they may be written twice."""
    unnamed: tuple[str, ...] = ()
    """The steps that `forget` of a refused `rewind` has to name."""

    unread: tuple[UnreadMessage, ...] = ()
    """The events and verbs that are stored for the saga and not read yet: its next owner reads them right after this verb, if that
    has not ended it."""

    @property
    def text(self) -> str:
        """The preview in words."""
        return in_words(self, IN_PYTHON)


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


def _consequences(preview: VerbPreview) -> Iterator[str]:
    if preview.not_here:
        yield f"not from here: {preview.not_here}"
    if preview.unread and preview.verb is not Verb.ACKNOWLEDGE:
        yield f"look first: {listed(map(str, preview.unread))} {'is' if len(preview.unread) == 1 else 'are'} stored, and not read yet"
    if preview.runs_on:
        yield f"first comes to its end, and is not cut short: {listed(preview.runs_on)}"
    if preview.at_once:
        yield f"at once: {moves_in_words(preview.at_once)}"
    if preview.after_pause:
        yield f"after the pause: {moves_in_words(preview.after_pause)}"
    if preview.goes_on_at is not None:
        yield f"goes on at {in_utc(preview.goes_on_at)}"
    if preview.verb is Verb.ACKNOWLEDGE:
        yield "health names it no more"
        return
    if preview.no_plan_fits:
        yield f"{NO_PLAN_FITS}: it is parked again until one does"
    else:
        yield course_in_words(preview.course, course_behind(preview), preview.ends_as, is_whole=preview.is_whole)
    if preview.verb in (Verb.SETTLE_DONE, Verb.SKIP_STEP):
        yield "no message of the step is published"
    if preview.rows_may_stand:
        yield f"look first: the rows of {listed(preview.rows_may_stand)} may be there, and would be written a second time"
    if preview.another_key:
        yield f"under another idempotency key: {listed(preview.another_key)}"
    if preview.forgotten:
        yield f"the saga forgets, and never undoes, what is done of {listed(preview.forgotten)}"
    if preview.left_over:
        yield f"left over then: {left_in_words(preview.left_over)}"
    yield from kept(preview.stays_done)
    others = [end for end in preview.may_end_as if end is not preview.ends_as]
    if others:
        yield f"may end {' or '.join(others)} instead"
    if preview.may_be_undone:
        yield f"may undo {listed(preview.may_be_undone)}"
    if preview.may_be_left:
        yield f"may be left over: {listed(preview.may_be_left)}"


def course_behind(preview: VerbPreview) -> tuple[Move, ...]:
    """The moves of the course behind those that come at once, or at the end of the pause: these are told before it."""
    rest = list(preview.course)
    for each in (*preview.at_once, *preview.after_pause):
        if each in rest:
            rest.remove(each)
    return tuple(rest)
