"""The waits of a saga, from their begins to their ends, as its journal is read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import final

from saga_fn.core.plan import PlannedStep, StepKind
from saga_fn.diagram.looks import Tone
from saga_fn.diagram.past import Span, SpanKind
from saga_fn.diagram.reached import Reached
from saga_fn.diagram.seen import EntrySeen


@final
class Waits:
    """The waits that have begun and not ended; those that end become spans."""

    def __init__(self, reached: Reached, spans: list[Span]) -> None:
        self._reached = reached
        self._spans = spans
        self.begun: dict[str, datetime] = {}
        """When the waits began that go on."""
        self._early: list[str] = []
        """Events that came before a wait for them."""

    def begin(self, at: datetime) -> None:
        """Begin those that nothing is before any more."""
        for planned in self._reached.plan.steps if self._reached.plan is not None else ():
            name = planned.step
            if planned.kind is StepKind.STEP or name in self.begun or name in self._reached.ended:
                continue
            if all(self._reached.end_of(before) is not None for before in planned.after):
                self.begun[name] = at
                early = next((event for event in self._early if event in planned.waits_for), None)
                if early is not None:
                    self._early.remove(early)
                    self.end(name, at, f"the event {early} had come before")

    def take(self, event: str, at: datetime) -> None:
        """An event has come: a wait for it is over, or the next one will be."""
        waiting = (name for name in self.begun if event in _events(self._reached.planned(name)))
        taker = next(waiting, None)
        if taker is None:
            self._early.append(event)
        else:
            self.end(taker, at, f"the event {event} came")

    def wake(self, entry: EntrySeen) -> None:
        """A timer, or a claim: a sleep is over if it was long enough."""
        if entry.kind == "wait_defaulted" and entry.step_id is not None:
            self.end(entry.step_id, entry.timestamp, "over without the event: its default is taken")
            return
        for step, begin in list(self.begun.items()):
            planned = self._reached.planned(step)
            if planned is not None and planned.kind is StepKind.SLEEP:
                length = timedelta(microseconds=planned.timeout or 1)
                if entry.timestamp - begin >= length:
                    self.end(step, entry.timestamp, "slept")

    def give_up(self, turned: datetime | None) -> None:
        """Those without ends of their own: their time was over, or the saga turned back, or the history goes on elsewhere."""
        for step in list(self.begun):
            self._give_up(step, turned)

    def _give_up(self, step: str, turned: datetime | None) -> None:
        begin, planned = self.begun[step], self._reached.planned(step)
        last = turned or self._reached.last or begin
        limit = None if planned is None or planned.timeout is None else begin + timedelta(microseconds=planned.timeout)
        if limit is not None and self._reached.last is not None and limit <= self._reached.last:
            self.begun.pop(step)
            self._spans.append(Span(step, SpanKind.WAIT, begin, limit, Tone.BAD, "over without the event"))
        else:
            self.end(step, max(begin, last), "waited until here")

    def end(self, step: str, at: datetime, text: str) -> None:
        """The wait is over."""
        begin = self.begun.pop(step, at)
        self._reached.ended[step] = at
        self._spans.append(Span(step, SpanKind.WAIT, begin, at, Tone.WAIT, text))


def _events(planned: PlannedStep | None) -> Iterable[str]:
    return () if planned is None else planned.waits_for
