"""The next write of a saga: the events that have come, folded through the core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final
from uuid import UUID

import msgspec
from returns.result import Failure, Success

from saga_fn.core.ahead import Ahead
from saga_fn.core.effects import (
    Action,
    Refusal,
    Rejection,
    Release,
    RunStep,
    Transition,
)
from saga_fn.core.event_kinds import (
    InputKind,
    PayloadKind,
    brings,
    has_run,
    input_of,
    output_given,
    payload_of,
    rewinds,
)
from saga_fn.core.event_matching import answer_to
from saga_fn.core.events import (
    Event,
    Ticked,
    WaitDefaulted,
    carries_inputs,
)
from saga_fn.core.foresight import foresee
from saga_fn.core.hooks import Hook, hooks_of
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.last_error import forgets_error
from saga_fn.core.owning import is_due, not_before, still_wanted
from saga_fn.core.projection import Projection, project
from saga_fn.core.state import Rest, SagaState
from saga_fn.core.transition import transition
from saga_fn.engine.drive.attributes import Unknown, set_by
from saga_fn.engine.drive.earlier import handed_back, told_of_change
from saga_fn.engine.drive.failure_so_far import FailureSoFar, failure_after
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.inputs import bind_all
from saga_fn.engine.drive.outgoing import Said, Source, rows_of
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.drive.step_error import step_error_in
from saga_fn.engine.drive.waits import timeout_error
from saga_fn.store.records import Attributes, Entry, OutgoingRow, Recorded, SagaWrite


@final
class EventBatch:
    """The saga as it would be, with the journal entries that lead there. Nothing of it has happened yet.

    A plain class: there is one for every step of every saga, and most of its fields stay as the class has them.
    """

    entries: tuple[Entry, ...] = ()
    actions: tuple[Action, ...] = ()
    release: Release | None = None
    needs: tuple[StepId, ...] = ()
    defaults: tuple[StepId, ...] = ()
    answered: tuple[tuple[UUID, str], ...] = ()
    """The messages that were accepted, with their answers."""
    refused: tuple[tuple[Incoming, Rejection], ...] = ()
    raised: tuple[tuple[int, BaseException], ...] = ()
    """The exceptions that were raised, by the place of their entries, for the log."""
    no_room: SagaState | None = None
    """As the saga was when it had no room for an event, which stays unread in the inbox."""
    turned_back: Event | None = None
    """The event that turned the saga back, if one of these did."""
    unknown: tuple[Unknown, ...] = ()
    """The search attributes that could not be computed."""
    said: tuple[Said, ...] = ()
    """The messages and hooks of the entries that have any."""
    outgoing: tuple[OutgoingRow, ...] = ()
    """The outgoing messages of the write, from `write` on."""
    is_plain: bool = True
    """Whether no more has come than results of steps that have run and returned: nearly always."""
    projection: Projection
    """The saga's row as the state would have it, from `write` on."""

    def __init__(
        self, saga: OwnedSaga, incoming: Sequence[Incoming], *, draining: bool, now: Callable[[], Moment]
    ) -> None:
        """Fold what has come, in order. `draining`: no step starts any more, and inputs are left to the next owner."""
        self.saga: OwnedSaga = saga
        self.state: SagaState = saga.state
        self.last_error: str | None = saga.last_error
        self.failure: FailureSoFar | None = saga.failure
        self.rest: Rest | None = saga.rest
        self.draining: bool = draining
        for item in incoming:
            self._fold(item)
        if draining:
            return
        if self.defaults:
            self._give_defaults(now())
        # It would be given up with something to do: what comes from outside starts nothing by itself.
        if self.needs or (self.release is not None and is_due(self.state, self.release)):
            self._fold(Incoming(Ticked(now())))

    def answers(self) -> tuple[tuple[UUID, str], ...]:
        """The answers to the messages that were folded."""
        refused = [(item.message, no.answer) for item, no in self.refused if item.message is not None]
        return (*self.answered, *refused)

    def write(self, *, due_now: Moment | None) -> SagaWrite:
        """The write that leads there. `due_now`: from that moment on, the next owner is to read messages that are left."""
        saga, release = self.saga, self.release
        due = release.due if release is not None else None
        self.projection = project(saga.plan, self.state, self.rest)
        # A step that starts knows every message that was there before it.
        knows_all = release is not None or RunStep in map(type, self.actions)
        return SagaWrite(  # by place: names cost ten times as much, for each step of every saga
            saga.id,
            saga.token,
            saga.state.rev,
            self.state,
            self.projection,
            release is not None,
            due if due_now is None else due_now,
            saga.inbox_seen if knows_all else None,
            self.last_error,
            self.entries,
            self.answers() if self.refused else self.answered,
            saga.token,
            self._attributes() if saga.registered.definition.set_by else (),
            self._outgoing() if self.said else (),
        )

    def _outgoing(self) -> tuple[OutgoingRow, ...]:
        saga = self.saga
        source = Source(
            saga.id,
            saga.registered.name,
            saga.registered.version,
            saga.aggregation_id,
            saga.trace_id,
            saga.trace_carrier,
            saga.registered,
        )
        self.outgoing = rows_of(source, self.said)
        return self.outgoing

    def _attributes(self) -> Attributes:
        saga = self.saga
        found, self.unknown = set_by(
            saga.registered.definition, saga.state, self.state, self.entries, lambda seq: saga.events.get(seq, b"null")
        )
        if self.unknown:
            self.is_plain = False  # the log hears of it
        return found

    def standing_actions(self) -> Sequence[Action]:
        """The actions that the last state still wants: an event may have undone what one before it asked for."""
        if len(self.entries) == 1:
            return self.actions
        return still_wanted(self.state, self.actions)

    def _fold(self, item: Incoming) -> None:
        event, payload, given = item.event, item.payload, item.input
        saga = self.saga
        if event.at < self.state.at:  # by another process's clock: no entry is older than the one before it
            event = not_before(event, self.state.at)
        ahead = None if self.draining else foresee(saga.plan, self.state, event, self.rest)
        if ahead is not None and ahead.needs:
            event, payload = self._with_inputs(event, payload, ahead)
        plain = has_run(event)
        if not plain and input_of(event) is InputKind.OF_ALL_THAT_RAN:
            given = handed_back(saga.inputs_of_running(self.state))
        decision = transition(saga.plan, self.state, event, ahead)
        if type(decision) is Failure:
            rejection: Rejection = decision.failure()
            if rejection.refusal is Refusal.NO_ROOM and item.message is not None:
                self.no_room = self.no_room or self.state
            else:
                self.refused = (*self.refused, (item, rejection))
            return
        moved = decision.unwrap()
        if not plain:
            if brings(event):
                self._remember(item)
            elif rewinds(event):
                saga.forget_outputs()
            if item.raised is not None:
                self.raised = (*self.raised, (len(self.entries), item.raised))
        # An input may decide that its step is not taken: then others are needed in their turn.
        while moved.needs and not self.draining and carries_inputs(event):
            bound, step_errors = bind_all(saga, moved.state, moved.needs)
            if step_errors and item.payload is not None:
                break
            event = msgspec.structs.replace(event, inputs=(*event.inputs, *bound))
            payload = step_errors[0].encode() if step_errors and payload is None else payload
            again = transition(saga.plan, self.state, event)
            assert type(again) is Success, "inputs never make an accepted event unacceptable"
            moved = again.unwrap()
        if saga.differing:
            changed = told_of_change(moved.state, saga.differing)
            payload = changed.encode() if changed is not None and payload is None else payload
            saga.differing.clear()
        if moved.timed_out is not None and payload is None:
            payload = timeout_error(saga.plan, moved.timed_out).encode()
        before = self.state
        self._take(moved, Entry(event, given, payload, item.input_of), plain=plain)
        if item.outgoing or saga.registered.definition.hooks is not None:
            self._say(before, item)
        if item.message is not None:
            self.answered = (*self.answered, (item.message, answer_to(event, self.state)))

    def _give_defaults(self, at: Moment) -> None:
        """Go on where a wait is over that has a value for this."""
        while self.defaults:
            step = self.defaults[0]
            self._fold(Incoming(WaitDefaulted(at, step), payload=self.saga.binding(step).default or b"null"))

    def _with_inputs(self, event: Event, payload: bytes | None, ahead: Ahead) -> tuple[Event, bytes | None]:
        """The event with the inputs that it is foreseen to need: folding it once will do.

        Why one cannot be computed is the payload; an event that brings one of its own is folded without inputs first.
        """
        assert carries_inputs(event), "no others are foreseen to need any"
        bound, step_errors = bind_all(self.saga, ahead.known, ahead.needs)
        if step_errors:
            if payload is not None:
                return event, payload
            payload = step_errors[0].encode()
        return msgspec.structs.replace(event, inputs=tuple(bound)), payload

    def _take(self, moved: Transition, entry: Entry, *, plain: bool) -> None:
        before = self.state
        self.state, self.rest, self.needs, self.defaults = moved.state, moved.rest, moved.needs, moved.defaults
        self.release = moved.writes[0] if moved.writes else None
        self.actions += moved.actions
        self.entries += (entry,)
        if self.last_error is not None and forgets_error(entry.event, self.state):
            self.last_error = None
        step_error = None
        if not plain:
            self.is_plain = False
            if self.state.goes_back and not before.goes_back:
                self.turned_back = entry.event
            if (
                payload_of(entry.event) is PayloadKind.ERROR
                and (step_error := step_error_in(entry.payload)) is not None
            ):
                self.last_error = step_error.type
        if step_error is not None or self.failure is not None:
            self.failure = failure_after(self.failure, before, entry.event, self.state, step_error)

    def _say(self, before: SagaState, item: Incoming) -> None:
        """Note what the entry publishes, and the hooks that it calls."""
        hooks, state = self.saga.registered.definition.hooks, self.state
        called = () if hooks is None else tuple(hook for hook in hooks_of(before, state) if hooks.of(hook) is not None)
        if not item.outgoing and not called:
            return
        parked = project(self.saga.plan, state).parked if Hook.PARKED in called else None
        said = Said(state.rev, state.at, item.outgoing, called, self.last_error, parked)
        self.said = (*self.said, said)

    def _remember(self, item: Incoming) -> None:
        """Keep the payload where the inputs of later steps are computed from."""
        step = output_given(item.event)
        if step is not None:
            self.saga.record(step, Recorded(None, item.payload))
        elif item.payload is not None:
            self.saga.events[self.state.rev + 1] = item.payload
