"""The interpreter: folds what happens to one owned saga, commits, and only then acts.

    what happened ──► transition ──► commit ──► start the actions ──► what happened …

One interpreter drives one saga, from its claim or start to its release. At most one commit of it is in flight; what
happens meanwhile is folded into the next. The interpreter never looks at a saga's status: whether to go on, to give the
saga up or to turn back is the core's answer, which it carries out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias
from uuid import uuid4

import attrs
import msgspec
from returns.result import Failure, Success

from saga_fn.core.effects import Action, CancelExecution, Rejection, Release, RunCompensation, RunStep, Transition
from saga_fn.core.events import (
    Binding,
    CompensationFailed,
    CompensationSucceeded,
    Event,
    EventReceived,
    HandedBack,
    Resumed,
    SagaParked,
    Started,
    StepFailed,
    StepSkipped,
    StepSucceeded,
    Ticked,
    Unbindable,
)
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.reading import find, project
from saga_fn.core.state import ParkReason, Retrying, Running, SagaState, Undoing, UndoRetrying
from saga_fn.core.transition import transition
from saga_fn.engine.committer import Applied, Committer, Lost, Refused, Unread
from saga_fn.engine.execution import Clock, Incoming, execute
from saga_fn.engine.fault import Fault, fault_in
from saga_fn.engine.live import LiveSaga
from saga_fn.engine.mail import read_mail
from saga_fn.errors import StoreError
from saga_fn.store.protocol import Store
from saga_fn.store.records import Entry, Recorded, SagaWrite

_log = logging.getLogger("saga_fn")
_CARRIES_INPUTS = (Started, Resumed, StepSucceeded, StepSkipped, Ticked)
_Result: TypeAlias = StepSucceeded | StepFailed | CompensationSucceeded | CompensationFailed


@attrs.define(eq=False)
class _Draft:
    """What the next commit would write, while events are folded into it."""

    state: SagaState
    last_error: str | None
    entries: list[Entry] = attrs.field(factory=list)
    actions: list[Action] = attrs.field(factory=list)
    release: Release | None = None
    needs: tuple[StepId, ...] = ()
    accepted: list[Incoming] = attrs.field(factory=list)
    refused: list[tuple[Incoming, Rejection]] = attrs.field(factory=list)

    def take(self, moved: Transition, entry: Entry) -> None:
        """Adopt an accepted event."""
        self.state, self.needs = moved.state, moved.needs
        self.release = next(iter(moved.writes), None)
        self.actions.extend(moved.actions)
        self.entries.append(entry)
        if isinstance(entry.event, StepSucceeded):
            self.last_error = None
        else:
            fault = (
                fault_in(entry.payload) if not isinstance(entry.event, EventReceived | StepSkipped | Started) else None
            )
            self.last_error = fault.type if fault is not None else self.last_error

    def standing_actions(self) -> list[Action]:
        """The actions that the last state still wants: an event may have undone what one before it asked for."""
        return [action for action in self.actions if self._stands(action)]

    def _stands(self, action: Action) -> bool:
        now = find(self.state, action.step)
        match action:
            case RunStep():
                return isinstance(now, Running) and now.tries.attempt == action.attempt
            case RunCompensation():
                return isinstance(now, Undoing) and now.tries.attempt == action.attempt
            case CancelExecution():
                return True


class Interpreter:
    """Drives one saga. `run` returns when the saga is no longer this process's."""

    def __init__(
        self, saga: LiveSaga, store: Store, committer: Committer, clock: Clock, *, on_ended: Callable[[LiveSaga], None]
    ) -> None:
        self.saga = saga
        self.progressed = asyncio.Event()
        """Set by the first commit beyond `Resumed`."""
        self._store = store
        self._committer = committer
        self._clock = clock
        self._on_ended = on_ended
        self._arrived: asyncio.Queue[Incoming | None] = asyncio.Queue()
        self._running: dict[StepId, asyncio.Task[None]] = {}
        self._lost = False
        self._draining = False

    # What others may tell it.

    def nudge(self, signals: int | None = None) -> None:
        """There may be mail: `signals` letters, or at least one more than known."""
        self.saga.signals = max(self.saga.signals, self.saga.seen + 1 if signals is None else signals)
        self._arrived.put_nowait(None)

    def lose(self) -> None:
        """The saga is no longer ours: cut short what runs of it, and write nothing more."""
        self._lost = True
        for task in self._running.values():
            task.cancel()
        self._arrived.put_nowait(None)

    def drain(self) -> None:
        """Start no further step: the saga is given up once those that run are done."""
        self._draining = True

    def hand_back(self) -> None:
        """Cut short what runs and give the saga up now."""
        self._draining = True
        for task in self._running.values():
            task.cancel()
        self._arrived.put_nowait(Incoming(HandedBack(self._clock.now())))

    # The loop.

    async def run(self, first: Sequence[Incoming], actions: Sequence[Action] = ()) -> None:
        """Drive the saga: with the first events after a claim, or the first actions after a start."""
        try:
            self._act(actions)
            incoming = list(first) or await self._wait()
            while not self._lost:
                if await self._decide(incoming):
                    return
                incoming = await self._wait()
            await self._note_late(incoming)
        finally:
            for task in self._running.values():
                task.cancel()

    async def _decide(self, incoming: Sequence[Incoming]) -> bool:
        """Fold what happened and make it durable, deciding again as often as the store says that it stands otherwise.

        Whether the saga is no longer ours after that.
        """
        while True:
            letters = await self._letters()
            draft = self._fold([*incoming, *letters])
            if not draft.entries:
                await self._report_refusals(draft)
                return False
            write = self._write(draft)
            outcome = await self._committer.commit(write)
            match outcome:
                case Applied(signals=signals):
                    self._adopt(draft, signals)
                    await self._report_refusals(draft)
                    return self._lost or draft.release is not None
                case Unread(signals=signals):
                    self.saga.signals = signals
                case Lost():
                    self._lost = True
                    await self._note_late(incoming)
                    return True
                case Refused(error=error):
                    _log.error("the database refused saga %s: %s", self.saga.id, error.fact, extra=self._extra())
                    if any(isinstance(item.event, SagaParked) for item in incoming):
                        self._lost = True  # not even that can be written: the lease runs out, and this is tried again
                        return True
                    for task in self._running.values():
                        task.cancel()
                    parked = SagaParked(self._clock.now(), ParkReason.ROW_REFUSED)
                    incoming = [Incoming(parked, payload=Fault.of(error).encode())]

    def _adopt(self, draft: _Draft, signals: int) -> None:
        """The draft is durable: it is the saga now, and what it asks for may be done."""
        self.saga.state, self.saga.last_error = draft.state, draft.last_error
        self.saga.signals = max(self.saga.signals, signals)
        if any(not isinstance(entry.event, Resumed) for entry in draft.entries):
            self.progressed.set()
        self._log_progress(draft)
        self._act(draft.standing_actions())
        if draft.state.ended:
            self._on_ended(self.saga)

    def _act(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case CancelExecution(step=step):
                    task = self._running.pop(step, None)
                    if task is not None:
                        task.cancel()
                case RunStep() | RunCompensation():
                    if time.monotonic() >= self.saga.deadline:
                        self.lose()  # nothing is started after the lease, however late this process woke
                        return
                    self._running[action.step] = asyncio.create_task(self._execute(action))

    async def _execute(self, action: RunStep | RunCompensation) -> None:
        self._arrived.put_nowait(await execute(self.saga, action, self._clock))

    async def _wait(self) -> list[Incoming]:
        """What happens next: results, mail, timers. More than one if they came together."""
        try:
            async with asyncio.timeout(self._until_timer()):
                arrived = [await self._arrived.get()]
        except TimeoutError:
            return [Incoming(Ticked(self._clock.now()))]
        while not self._arrived.empty():
            arrived.append(self._arrived.get_nowait())
        return [item for item in arrived if item is not None]

    def _until_timer(self) -> float | None:
        wakes = [step.wake for step in self.saga.state.steps if isinstance(step, Retrying | UndoRetrying)]
        return max(0.0, (min(wakes) - self._clock.now()) / 1_000_000) + 0.001 if wakes else None

    # Folding.

    def _fold(self, incoming: Sequence[Incoming]) -> _Draft:
        draft = _Draft(self.saga.state, self.saga.last_error)
        for item in incoming:
            self._fold_one(draft, item)
        if draft.needs and not self._draining:
            self._fold_one(draft, Incoming(Ticked(self._clock.now())))
        return draft

    def _fold_one(self, draft: _Draft, item: Incoming) -> None:
        self._remember(draft, item)
        decision = transition(self.saga.plan, draft.state, item.event)
        if isinstance(decision, Failure):
            draft.refused.append((item, decision.failure()))
            return
        moved = decision.unwrap()
        event, payload = item.event, item.payload
        if moved.needs and not self._draining and isinstance(event, _CARRIES_INPUTS):
            bound, faults = self._bind(moved.state, moved.needs)
            if not faults or payload is None:
                event = msgspec.structs.replace(event, inputs=bound)
                payload = faults[0].encode() if faults else payload
                again = transition(self.saga.plan, draft.state, event)
                assert isinstance(again, Success), "inputs never make an accepted event unacceptable"
                moved = again.unwrap()
        draft.take(moved, Entry(event, item.input, payload))
        draft.accepted.append(item)

    def _bind(self, state: SagaState, needs: tuple[StepId, ...]) -> tuple[tuple[Binding, ...], list[Fault]]:
        bindings: list[Binding] = []
        faults: list[Fault] = []
        for step in needs:
            binding, fault = self.saga.bind(state, step)
            bindings.append(binding)
            if fault is not None:
                assert isinstance(binding, Unbindable)
                faults.append(fault)
        return tuple(bindings), faults

    def _remember(self, draft: _Draft, item: Incoming) -> None:
        """Keep the payload where the inputs of later steps are computed from."""
        match item.event:
            case EventReceived() if item.payload is not None:
                self.saga.events[draft.state.rev + 1] = item.payload
            case StepSkipped(step=step):
                self.saga.record(step, Recorded(None, item.payload))
            case _:
                pass

    async def _letters(self) -> list[Incoming]:
        if self.saga.seen == self.saga.signals:
            return []
        self.saga.seen = self.saga.signals
        while True:
            try:
                letters = await self._store.letters(self.saga.id)
            except StoreError:
                await asyncio.sleep(0.1)
            else:
                return [read_mail(letter, self._clock.now()) for letter in letters]

    def _write(self, draft: _Draft) -> SagaWrite:
        saga, release = self.saga, draft.release
        answers = [(item.letter, "applied") for item in draft.accepted if item.letter is not None]
        answers += [(item.letter, no.refusal.value) for item, no in draft.refused if item.letter is not None]
        return SagaWrite(
            id=saga.id,
            token=saga.token,
            rev=saga.state.rev,
            next_token=None if release is not None else saga.token,
            next_owner=None if release is not None else saga.owner,
            state=draft.state,
            projection=project(saga.plan, draft.state),
            release=release is not None,
            due=release.due if release is not None else None,
            seen=saga.seen,
            last_error=draft.last_error,
            entries=tuple(draft.entries),
            answers=tuple(answers),
            write_id=uuid4(),
        )

    # What is told to others.

    async def _report_refusals(self, draft: _Draft) -> None:
        for item, rejection in draft.refused:
            try:
                if item.letter is not None and not draft.entries:
                    await self._store.answer(self.saga.id, item.letter, rejection.refusal.value)
                await self._store.note(self.saga.id, rejection.refusal.value, _name(item.event))
            except StoreError as error:
                _log.warning("a refusal could not be noted: %s", error.fact, extra=self._extra())

    async def _note_late(self, incoming: Sequence[Incoming]) -> None:
        """Results that came when the saga was another's: dropped, counted, and remembered beside the journal."""
        for item in incoming:
            if isinstance(item.event, _Result):
                _log.warning("a late result of step %s was dropped", item.event.step, extra=self._extra())
                try:
                    await self._store.note(self.saga.id, "late", f"{_name(item.event)} {item.event.step}")
                except StoreError as error:
                    _log.warning("a late result could not be noted: %s", error.fact, extra=self._extra())

    def _log_progress(self, draft: _Draft) -> None:
        for entry in draft.entries:
            if isinstance(entry.event, StepFailed | CompensationFailed):
                fault = fault_in(entry.payload)
                _log.warning(
                    "%s: %s (%s)",
                    _name(entry.event),
                    entry.event.step,
                    fault.type if fault is not None else entry.event.kind.name,
                    extra=self._extra(entry.event.step, entry.event.attempt),
                )
        shown = project(self.saga.plan, draft.state)
        if shown.parked is not None and draft.release is not None:
            _log.warning("saga %s is parked: %s", self.saga.id, shown.parked, extra=self._extra(shown.current_step))
        if draft.state.ended:
            _log.info("saga %s ended: %s", self.saga.id, shown.status.value, extra=self._extra())

    def _extra(self, step: StepId | None = None, attempt: int | None = None) -> dict[str, object]:
        return {
            "saga_id": str(self.saga.id),
            "saga_name": self.saga.registered.name,
            "trace_id": self.saga.trace_id,
            "step": step,
            "attempt": attempt,
        }


def _name(event: Event) -> str:
    return type(event).__name__


def first_events(at: Moment, *, takeover: bool, alone: bool) -> list[Incoming]:
    """What a claim feeds to the core."""
    return [Incoming(Resumed(at, takeover, alone))]
