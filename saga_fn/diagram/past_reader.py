"""Reads the journal of a saga: executions with begin and end, waits, claims, and what others did.

A journal has the ends of executions. An execution began with the entry that let it begin, which the plan tells: the last end of
the steps that it follows, the claim that it ran under, or the timer of its next attempt.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, final

from saga_fn.core.ids import StepId, number_of, owner_of
from saga_fn.core.plan import Plan
from saga_fn.core.step_report import StepStatus
from saga_fn.diagram.claims import Claims
from saga_fn.diagram.kinds import Kind, Role, kind_of
from saga_fn.diagram.looks import Look, Tone
from saga_fn.diagram.past import Act, Past, Span, SpanKind, act_text, what_goes_on
from saga_fn.diagram.reached import Reached
from saga_fn.diagram.seen import EntrySeen, SagaSeen, StepSeen
from saga_fn.diagram.waits import Waits

_PHASES: Final = ("execute", "compensate", "probe")


def past_of(entries: Sequence[EntrySeen], plan: Plan | None, seen: SagaSeen | None) -> Past:
    """Read it off the journal."""
    reader = _Reader(entries, plan, seen)
    for entry in entries:
        reader.read(entry)
    return reader.past()


@final
class _Reader:
    """Reads a journal, entry by entry."""

    def __init__(self, entries: Sequence[EntrySeen], plan: Plan | None, seen: SagaSeen | None) -> None:
        self._plan = plan
        self._seen = seen
        self._spans: list[Span] = []
        self._acts: list[Act] = []
        self._reached = Reached(entries, plan)
        self._waits = Waits(self._reached, self._spans)
        self._claims = Claims()
        self._last_end: dict[tuple[str, str], datetime] = {}
        self._attempts: dict[str, int] = {}
        self._cut: dict[str, set[int]] = {}
        self._item_ends: dict[tuple[str, str], list[datetime]] = {}
        self._woken: list[datetime] = []
        self._turned: datetime | None = None
        self._begins: dict[int, datetime] = {}

    def read(self, entry: EntrySeen) -> None:
        kind = kind_of(entry.kind)
        at = entry.timestamp
        self._reached.changed()
        self._claims.note(entry, kind)
        match kind.role:
            case Role.END_OF_EXECUTION if entry.step_id is not None:
                self._execution(entry, entry.step_id, kind)
            case Role.VERB | Role.NEWS:
                self._acts.append(Act(at, entry.step_id, kind, act_text(entry, kind)))
                self._woken.append(at)
                self._change(entry)
            case Role.CLAIM | Role.TIMER:
                self._woken.append(at)
                self._waits.wake(entry)
            case _:
                pass
        self._reached.changed()
        self._waits.begin(at)
        self._reached.before = at

    def past(self) -> Past:
        for step, look in what_goes_on(self._seen):
            if self._reached.first is not None:
                self._goes_on(step, look)
                _ = self._waits.begun.pop(step.step_id, None)
        self._waits.give_up(self._turned)
        return Past(tuple(self._spans), tuple(self._acts), tuple(self._claims.all()), self._begins)

    def _execution(self, entry: EntrySeen, step: str, kind: Kind) -> None:
        at, phase = entry.timestamp, entry.phase
        before = self._last_end.get((step, phase))
        claimed = self._claims.begin_of(entry)
        begin = min(max(self._begin_of(entry, step, before), claimed), at)
        number = entry.attempt or 1
        cut = self._cut_short(entry, step, number, claimed)
        if cut is not None:
            self._spans.append(Span(step, SpanKind.CUT_SHORT, cut, claimed, Tone.AGAIN, "cut short"))
        if before is not None:
            pause = min(cut or begin, self._woken_after(before) or begin)
            if before < pause:
                self._spans.append(Span(step, SpanKind.PAUSE, before, pause, Tone.AGAIN, "waits for its next attempt"))
        if phase == "execute":
            self._attempts[step] = number
        elif phase == "probe":
            self._attempts.setdefault(step, 1)
        text = f"{act_text(entry, kind)}, attempt {number}"
        tone = Tone.UNDONE if kind.tone is None else kind.tone
        self._spans.append(
            Span(step, SpanKind(phase), begin, at, tone, f"{text}: {entry.error}" if entry.error else text)
        )
        self._begins[entry.seq] = begin
        self._last_end[step, phase] = at
        if number_of(StepId(step)) is not None:
            self._item_ends.setdefault((owner_of(StepId(step)), phase), []).append(at)
        if entry.status == "SUCCESS" and phase != "compensate":
            owner = owner_of(StepId(step))
            self._reached.ended[step] = at
            self._reached.ended[owner] = at

    def _cut_short(self, entry: EntrySeen, step: str, number: int, claimed: datetime) -> datetime | None:
        """The begin of an execution before that of the entry, of which the journal has no end; None if there was none."""
        claim = self._claims.of(entry)
        known = self._attempts.get(step, 0)
        missed = (entry.phase == "execute" and number > known + 1) or (entry.phase == "probe" and not known)
        if claim is None or claim.number in self._cut.get(step, ()) or not (missed or claim.is_takeover):
            return None
        self._cut.setdefault(step, set()).add(claim.number)
        ended = max(filter(None, (self._last_end.get((step, phase)) for phase in _PHASES)), default=None)
        begin = self._reached.all_before(step) if ended is None else self._woken_after(ended)
        return begin if begin is not None and begin < claimed else None

    def _woken_after(self, moment: datetime) -> datetime | None:
        """When something next let the saga go on."""
        place = bisect_right(self._woken, moment)
        return self._woken[place] if place < len(self._woken) else None

    def _begin_of(self, entry: EntrySeen, step: str, before: datetime | None) -> datetime:
        at = entry.timestamp
        if before is not None:
            begin = min(self._woken_after(before) or before, at)
            probed = self._last_end.get((step, "probe"))
            return max(begin, probed) if entry.phase == "execute" and probed is not None else begin
        match entry.phase:
            case "probe":
                return self._last_end.get((step, "execute")) or self._claims.begin_of(entry)
            case "compensate":
                if self._turned is None:
                    self._turned = self._reached.before
                return max(filter(None, [self._turned, self._room_back(step), *self._undone_after(step)]), default=at)
            case _:
                found = [self._reached.all_before(step), self._room_for(step), self._last_end.get((step, "probe"))]
                return max(filter(None, found), default=self._claims.begin_of(entry))

    def _room_for(self, item: str) -> datetime | None:
        """When so many items of a fan-out had come to their ends that the next could begin."""
        planned, place = self._reached.planned(item), number_of(StepId(item))
        if planned is None or place is None or not planned.concurrency:
            return None
        before = place - planned.concurrency
        ends = self._item_ends.get((planned.step, "execute"), ())
        return ends[before] if 0 <= before < len(ends) else None

    def _room_back(self, item: str) -> datetime | None:
        """The same on the way back, on which items are taken to come to their ends in the order in which they begin."""
        planned = self._reached.planned(item)
        ends = () if planned is None else self._item_ends.get((planned.step, "compensate"), ())
        return None if planned is None or not 0 < planned.concurrency <= len(ends) else ends[-planned.concurrency]

    def _undone_after(self, step: str) -> Iterator[datetime]:
        """When the steps were undone that stand upon it."""
        owner = StepId(owner_of(StepId(step)))
        below = self._plan.descendants.get(owner, frozenset()) if self._plan is not None else frozenset[StepId]()
        for (other, phase), at in self._last_end.items():
            if phase == "compensate" and owner_of(StepId(other)) in below:
                yield at

    def _change(self, entry: EntrySeen) -> None:
        """An act changes what is waited for, or what is done."""
        step = entry.step_id
        if entry.event is not None:
            self._waits.take(entry.event, entry.timestamp)
        elif entry.kind == "rewind_requested" and step is not None:
            again = {step, *(self._plan.descendants.get(StepId(step), ()) if self._plan is not None else ())}
            for each in again:
                _ = self._reached.ended.pop(each, None)
                _ = self._waits.begun.pop(each, None)
                _ = self._last_end.pop((each, "execute"), None)
        elif step is not None and entry.status == "SUCCESS":
            if step in self._waits.begun:
                self._waits.end(step, entry.timestamp, "a person has ended the wait")
            self._reached.ended[step] = entry.timestamp

    def _goes_on(self, step: StepSeen, look: Look) -> None:
        phase = "compensate" if step.status.name.startswith("COMPENSATI") else "execute"
        before = self._last_end.get((step.step_id, phase))
        begin = (
            self._waits.begun.get(step.step_id)
            or before
            or self._reached.all_before(step.step_id)
            or self._reached.first
        )
        assert begin is not None, "there are entries"
        waits = step.status in (StepStatus.WAITING, StepStatus.SLEEPING, StepStatus.COMPENSATION_WAITING)
        runs = step.status in (StepStatus.RUNNING, StepStatus.COMPENSATING, StepStatus.PROBING)
        kind = SpanKind(phase) if runs else SpanKind.WAIT if waits else SpanKind.PAUSE
        if runs and before is not None:
            begin = self._woken_after(before) or before
        until = "" if step.wakes_at is None else f" until {step.wakes_at:%Y-%m-%d %H:%M:%S}"
        why = "" if step.parked is None else f": {step.parked.replace('_', ' ')}"
        self._spans.append(Span(step.step_id, kind, begin, None, look.tone, f"{look.text}{why}{until}"))
