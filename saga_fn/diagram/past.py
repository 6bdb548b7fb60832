"""The past of a saga, read off its journal: executions and waits with begin and end, claims, and what others did.

A journal has the ends of executions. An execution began with the entry that let it begin, which the plan tells: the last end of
the steps that it follows, the claim that it ran under, or the timer of its next attempt.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Final
from uuid import UUID

import attrs

from saga_fn.core.ids import StepId, number_of, owner_of
from saga_fn.core.plan import Plan, PlannedStep, StepKind
from saga_fn.core.step_report import StepStatus
from saga_fn.diagram.kinds import Kind, Role, kind_of
from saga_fn.diagram.looks import Look, Tone, look_of_step
from saga_fn.diagram.seen import EntrySeen, SagaSeen, StepSeen


class SpanKind(enum.Enum):
    """The kind of a length of time."""

    EXECUTE = "execute"
    COMPENSATE = "compensate"
    PROBE = "probe"
    CUT_SHORT = "cut short"
    """An execution of which the journal has no end: its process died, or gave it up."""
    PAUSE = "pause"
    """Between two attempts."""
    WAIT = "wait"
    """For an event or a moment."""


@attrs.frozen
class Span:
    """A length of time of a step."""

    step: str
    kind: SpanKind
    begin: datetime
    end: datetime | None
    """None if it goes on."""
    tone: Tone
    text: str


@attrs.frozen
class Act:
    """Something that a person or a sender did."""

    at: datetime
    step: str | None
    kind: Kind
    text: str


@attrs.frozen
class Claim:
    """The time that a process had the saga, as far as the journal tells."""

    number: int
    begin: datetime
    end: datetime
    """When the last entry under it was written; of one that was taken over, when that was."""
    is_takeover: bool
    process: str | None = None
    """Its host and its number there."""


@attrs.frozen
class Past:
    """All of it."""

    spans: tuple[Span, ...]
    acts: tuple[Act, ...]
    claims: tuple[Claim, ...]
    begins: dict[int, datetime]
    """The begin of the execution that an entry is the end of, by the number of the entry."""


_PHASES: Final = ("execute", "compensate", "probe")
_DONE: Final = (
    StepStatus.PENDING,
    StepStatus.SUCCEEDED,
    StepStatus.SKIPPED,
    StepStatus.COMPENSATED,
    StepStatus.FAILED,
    StepStatus.COMPENSATION_FAILED,
)
"""A step with such a status does nothing, and waits for nothing."""


def past_of(entries: Sequence[EntrySeen], plan: Plan | None, seen: SagaSeen | None) -> Past:
    """Read it off the journal."""
    reader = _Reader(entries, plan, seen)
    for entry in entries:
        reader.read(entry)
    return reader.past()


def what_goes_on(seen: SagaSeen | None) -> Iterator[tuple[StepSeen, Look]]:
    """The steps that do something now, or wait, with the looks of their statuses."""
    if seen is None or seen.status.is_terminal:
        return
    fanned_out = {
        owner_of(StepId(step.step_id)) for step in seen.steps if owner_of(StepId(step.step_id)) != step.step_id
    }
    for step in seen.steps:
        if step.status not in _DONE and step.step_id not in fanned_out:
            yield step, look_of_step(step.status)


def act_text(entry: EntrySeen, kind: Kind) -> str:
    """The entry in words, without its error."""
    said = kind.text
    if kind.role is Role.VERB:
        who = entry.actor or "an operator"
        said = f"{who} asks: {said}" + (f" ({entry.reason})" if entry.reason else "")
    elif entry.event:
        said = f"the event {entry.event} comes"
    elif entry.takeover:
        said = f"{entry.process or 'another process'} takes it over: the lease was over"
    elif entry.kind == "resumed" and entry.process:
        said = f"{entry.process} claims it"
    elif entry.process:
        said = f"{said}, and {entry.process} owns it"
    elif entry.kind == "probe_answered":
        said = "the probe says: done" if entry.status == "SUCCESS" else "the probe says: not done"
    return said


class _Reader:
    """Reads a journal, entry by entry."""

    def __init__(self, entries: Sequence[EntrySeen], plan: Plan | None, seen: SagaSeen | None) -> None:
        self._plan = plan
        self._seen = seen
        self._first = entries[0].timestamp if entries else None
        self._last = max((entry.timestamp for entry in entries), default=None)
        told = {owner_of(StepId(entry.step_id)) for entry in entries if entry.step_id}
        self._silent = {
            step.step
            for step in (plan.steps if plan else ())
            if step.step not in told and (step.conditional or step.concurrency)
        }
        """Steps that were passed over without a word, so that those after them did not wait for them."""
        self._ended: dict[str, datetime] = {}
        self._passed: dict[str, datetime | None] = {}
        """When the silent ones were passed over, as far as that was asked since the last entry."""
        self._last_end: dict[tuple[str, str], datetime] = {}
        self._attempts: dict[str, int] = {}
        self._cut: dict[str, set[int]] = {}
        self._item_ends: dict[tuple[str, str], list[datetime]] = {}
        self._woken: list[datetime] = []
        self._claims: dict[UUID, Claim] = {}
        self._processes: dict[UUID, str] = {}
        """The processes that the claims are of."""
        self._waiting: dict[str, datetime] = {}
        self._early: list[str] = []
        self._turned: datetime | None = None
        self._before: datetime | None = None
        self._spans: list[Span] = []
        self._acts: list[Act] = []
        self._begins: dict[int, datetime] = {}

    def read(self, entry: EntrySeen) -> None:
        kind = kind_of(entry.kind)
        at = entry.timestamp
        self._passed.clear()
        self._note_claim(entry, kind)
        match kind.role:
            case Role.END_OF_EXECUTION if entry.step_id is not None:
                self._execution(entry, entry.step_id, kind)
            case Role.VERB | Role.NEWS:
                self._acts.append(Act(at, entry.step_id, kind, act_text(entry, kind)))
                self._woken.append(at)
                self._change(entry)
            case Role.CLAIM | Role.TIMER:
                self._woken.append(at)
                self._wake(entry)
            case _:
                pass
        self._passed.clear()
        self._begin_waits(at)
        self._before = at

    def past(self) -> Past:
        for step, look in what_goes_on(self._seen):
            if self._first is not None:
                self._goes_on(step, look)
                _ = self._waiting.pop(step.step_id, None)
        for name in list(self._waiting):
            self._give_up(name)
        return Past(tuple(self._spans), tuple(self._acts), tuple(self._owners()), self._begins)

    def _owners(self) -> Iterator[Claim]:
        """The claims. One that was taken over lasted until then: so long was its lease."""
        claims = list(self._claims.values())
        for claim, following in zip_longest(claims, claims[1:]):
            yield attrs.evolve(claim, end=following.begin) if following is not None and following.is_takeover else claim

    def _note_claim(self, entry: EntrySeen, kind: Kind) -> None:
        if entry.process is not None:
            self._processes[entry.token] = entry.process
        known = self._claims.get(entry.token)
        if known is not None:
            self._claims[entry.token] = attrs.evolve(known, end=entry.timestamp)
        elif kind.role in (Role.CLAIM, Role.END_OF_EXECUTION):
            number = len(self._claims) + 1
            process = self._processes.get(entry.token)
            self._claims[entry.token] = Claim(number, entry.timestamp, entry.timestamp, entry.takeover, process)

    def _claimed(self, entry: EntrySeen) -> datetime:
        """When the claim began under which it was written."""
        claim = self._claims.get(entry.token)
        return entry.timestamp if claim is None else claim.begin

    def _planned(self, step: str) -> PlannedStep | None:
        if self._plan is None or StepId(step) not in self._plan:
            return None
        return self._plan.step(StepId(step))

    def _reached(self, step: str) -> datetime | None:
        """When all that the step follows was done; without the plan, the entry before."""
        planned = self._planned(step)
        if planned is None:
            return self._before
        found = [self._end_of(before) for before in planned.after]
        return max((each for each in found if each is not None), default=self._first)

    def _end_of(self, step: str) -> datetime | None:
        if step in self._ended or step not in self._silent:
            return self._ended.get(step)
        if step not in self._passed:
            self._passed[step] = self._reached(step)
        return self._passed[step]

    def _execution(self, entry: EntrySeen, step: str, kind: Kind) -> None:
        at, phase = entry.timestamp, entry.phase
        before = self._last_end.get((step, phase))
        claimed = self._claimed(entry)
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
            self._ended[step] = at
            self._ended[owner] = at

    def _cut_short(self, entry: EntrySeen, step: str, number: int, claimed: datetime) -> datetime | None:
        """The begin of an execution before that of the entry, of which the journal has no end; None if there was none."""
        claim = self._claims.get(entry.token)
        known = self._attempts.get(step, 0)
        missed = (entry.phase == "execute" and number > known + 1) or (entry.phase == "probe" and not known)
        if claim is None or claim.number in self._cut.get(step, ()) or not (missed or claim.is_takeover):
            return None
        self._cut.setdefault(step, set()).add(claim.number)
        ended = max(filter(None, (self._last_end.get((step, phase)) for phase in _PHASES)), default=None)
        begin = self._reached(step) if ended is None else self._woken_after(ended)
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
                return self._last_end.get((step, "execute")) or self._claimed(entry)
            case "compensate":
                if self._turned is None:
                    self._turned = self._before
                return max(filter(None, [self._turned, self._room_back(step), *self._undone_after(step)]), default=at)
            case _:
                found = [self._reached(step), self._room_for(step), self._last_end.get((step, "probe"))]
                return max(filter(None, found), default=self._claimed(entry))

    def _room_for(self, item: str) -> datetime | None:
        """When so many items of a fan-out had come to their ends that the next could begin."""
        planned, place = self._planned(item), number_of(StepId(item))
        if planned is None or place is None or not planned.concurrency:
            return None
        before = place - planned.concurrency
        ends = self._item_ends.get((planned.step, "execute"), ())
        return ends[before] if 0 <= before < len(ends) else None

    def _room_back(self, item: str) -> datetime | None:
        """The same on the way back, on which items are taken to come to their ends in the order in which they begin."""
        planned = self._planned(item)
        ends = () if planned is None else self._item_ends.get((planned.step, "compensate"), ())
        return None if planned is None or not 0 < planned.concurrency <= len(ends) else ends[-planned.concurrency]

    def _undone_after(self, step: str) -> Iterator[datetime]:
        """When the steps were undone that stand upon it."""
        owner = StepId(owner_of(StepId(step)))
        below = self._plan.descendants.get(owner, frozenset()) if self._plan is not None else frozenset[StepId]()
        for (other, phase), at in self._last_end.items():
            if phase == "compensate" and owner_of(StepId(other)) in below:
                yield at

    def _begin_waits(self, at: datetime) -> None:
        for planned in self._plan.steps if self._plan is not None else ():
            name = planned.step
            if planned.kind is StepKind.STEP or name in self._waiting or name in self._ended:
                continue
            if all(self._end_of(before) is not None for before in planned.after):
                self._waiting[name] = at
                early = next((event for event in self._early if event in planned.waits_for), None)
                if early is not None:
                    self._early.remove(early)
                    self._end_wait(name, at, f"the event {early} had come before")

    def _end_wait(self, step: str, at: datetime, text: str) -> None:
        begin = self._waiting.pop(step, at)
        self._ended[step] = at
        self._spans.append(Span(step, SpanKind.WAIT, begin, at, Tone.WAIT, text))

    def _give_up(self, step: str) -> None:
        """A wait without an end of its own: its time was over, or the saga turned back, or the history goes on elsewhere."""
        begin, planned = self._waiting[step], self._planned(step)
        last = self._turned or self._last or begin
        limit = None if planned is None or planned.timeout is None else begin + timedelta(microseconds=planned.timeout)
        if limit is not None and self._last is not None and limit <= self._last:
            self._waiting.pop(step)
            self._spans.append(Span(step, SpanKind.WAIT, begin, limit, Tone.BAD, "over without the event"))
        else:
            self._end_wait(step, max(begin, last), "waited until here")

    def _wake(self, entry: EntrySeen) -> None:
        """A timer, or a claim: a sleep is over if it was long enough."""
        if entry.kind == "wait_defaulted" and entry.step_id is not None:
            self._end_wait(entry.step_id, entry.timestamp, "over without the event: its default is taken")
            return
        for step, begin in list(self._waiting.items()):
            planned = self._planned(step)
            if planned is not None and planned.kind is StepKind.SLEEP:
                length = timedelta(microseconds=planned.timeout or 1)
                if entry.timestamp - begin >= length:
                    self._end_wait(step, entry.timestamp, "slept")

    def _change(self, entry: EntrySeen) -> None:
        """An act changes what is waited for, or what is done."""
        step = entry.step_id
        if entry.event is not None:
            waiting = (name for name in self._waiting if entry.event in _events(self._planned(name)))
            taker = next(waiting, None)
            if taker is None:
                self._early.append(entry.event)
            else:
                self._end_wait(taker, entry.timestamp, f"the event {entry.event} came")
        elif entry.kind == "rewind_requested" and step is not None:
            again = {step, *(self._plan.descendants.get(StepId(step), ()) if self._plan is not None else ())}
            for each in again:
                _ = self._ended.pop(each, None)
                _ = self._waiting.pop(each, None)
                _ = self._last_end.pop((each, "execute"), None)
        elif step is not None and entry.status == "SUCCESS":
            if step in self._waiting:
                self._end_wait(step, entry.timestamp, "a person has ended the wait")
            self._ended[step] = entry.timestamp

    def _goes_on(self, step: StepSeen, look: Look) -> None:
        phase = "compensate" if step.status.name.startswith("COMPENSATI") else "execute"
        before = self._last_end.get((step.step_id, phase))
        begin = self._waiting.get(step.step_id) or before or self._reached(step.step_id) or self._first
        assert begin is not None, "there are entries"
        waits = step.status in (StepStatus.WAITING, StepStatus.SLEEPING, StepStatus.COMPENSATION_WAITING)
        runs = step.status in (StepStatus.RUNNING, StepStatus.COMPENSATING, StepStatus.PROBING)
        kind = SpanKind(phase) if runs else SpanKind.WAIT if waits else SpanKind.PAUSE
        if runs and before is not None:
            begin = self._woken_after(before) or before
        until = "" if step.wakes_at is None else f" until {step.wakes_at:%Y-%m-%d %H:%M:%S}"
        why = "" if step.parked is None else f": {step.parked.replace('_', ' ')}"
        self._spans.append(Span(step.step_id, kind, begin, None, look.tone, f"{look.text}{why}{until}"))


def _events(planned: PlannedStep | None) -> Iterable[str]:
    return () if planned is None else planned.waits_for
