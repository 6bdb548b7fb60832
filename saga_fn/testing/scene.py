"""The machinery of a World: which definitions and processes there are, and how time goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from datetime import datetime, timedelta
from typing import Final, TypeVar, final
from uuid import UUID

from saga_fn.core.event_kinds import Phase as CorePhase
from saga_fn.definition import AnySaga, SagaDefinition
from saga_fn.engine.answer_wait import AnswerWait
from saga_fn.engine.topics import Topics
from saga_fn.errors import shown
from saga_fn.observe import AttemptSucceeded, Fact, SagaClaimed, SagaEnded, SagaParked
from saga_fn.orchestrator import SagaOrchestrator
from saga_fn.outgoing import OutgoingMessage, Published, PublishOutcome
from saga_fn.snapshot import SagaSnapshot
from saga_fn.store.memory import MemoryStore
from saga_fn.store.records import Hint, SagaRecord, time_of
from saga_fn.testing.calling import Calling
from saga_fn.testing.calls import WorldError
from saga_fn.testing.clockwork import CALLED, Clockwork, Outside, at_once
from saga_fn.testing.processes import Process, follow_virtual_time, leave_virtual_time
from saga_fn.testing.stand_ins import through
from saga_fn.testing.transactions import NoDatabase
from saga_fn.testing.wait_limits import VirtualLimits

D = TypeVar("D")
R = TypeVar("R")
T = TypeVar("T")
_MOST_AT_ONCE: Final = 1000


@final
class Scene:
    """All of a World but its face."""

    def __init__(
        self, start: datetime, *, lease: timedelta, patience: timedelta, only_fakes: bool, topics: Iterable[str]
    ) -> None:
        """Raise SagaError for what are no topics."""
        self.topics: Topics = Topics(dict.fromkeys(topics, self._publish), works=True)
        """The topics that have a publisher in each of its processes."""
        follow_virtual_time(self)
        self.clock: Clockwork = Clockwork(start, patience=patience.total_seconds())
        self.store: MemoryStore = MemoryStore(clock=self.clock.time.time)
        self.store.transactions = NoDatabase(self.store)
        self.store.processes.clock = lambda: 0.0
        self.store.attendants.add(self)
        at_once(self.store.open(migrate=False, listen=self._heard))
        self.front: SagaOrchestrator = SagaOrchestrator(self.store, concurrency=0)
        """The orchestrator that the test sees. It runs nothing, so it outlives every crash."""
        self.calling: Calling = Calling(
            self.clock, self.store, process=self._process, kill=self.kill, fail=self._fail, only_fakes=only_fakes
        )
        """The calls of the user's code."""
        self.messages: list[OutgoingMessage] = []
        self._lease = lease
        self._definitions: list[tuple[str, int, AnySaga, AnySaga]] = []
        """Name, version, the definition as it is, and the same with its code called through here."""
        self._by_loop: dict[asyncio.AbstractEventLoop, Process] = {}
        self._failure: BaseException | None = None
        self.is_told: bool = False
        """Whether the test has heard of what has failed."""
        self._tried: tuple[datetime, object] | None = None
        """The moment at which what is due was last claimed, and how it stood."""
        self._published: tuple[datetime, datetime] | None = None
        """The same of messages."""
        self._closed: WorldError | None = None
        self._driving = False
        self._driver: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        """The event loop that the front orchestrator was entered in."""
        self._leaving: asyncio.Task[None] | None = None
        self.clock.on_rest = self._rests
        self.clock.on_impatience = self._out_too_long
        self.clock.waits = self._waits
        self.waits: VirtualLimits = VirtualLimits(self.clock.time)
        """The waits for ends that have a timeout."""
        self.front.engine.wait_limits = self.waits
        self.front.engine.on_awaited = self._awaited
        self.front.engine.on_asked = self._asked

    # Opening and closing.

    def open(self) -> None:
        """Begin in the event loop that runs, if it has not begun."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise WorldError(
                "a World lives in an event loop, and none runs here", hint="use it inside of an `async def` test"
            ) from None
        if self._closed is not None:
            raise self._closed
        if not self.clock.is_wound_up:
            self.clock.wind_up(loop)
            self._loop = loop
            at_once(self.front.__aenter__())
        elif loop is not self.clock.loop:
            raise WorldError(
                "this World was first used in another event loop", hint="make a World for each test, in the test itself"
            )

    def open_where_possible(self) -> None:
        """Begin here, if an event loop runs; else later, as of a fixture that is not async."""
        with contextlib.suppress(RuntimeError):
            _ = asyncio.get_running_loop()
            self.open()

    def close(self) -> None:
        """Let nothing go on."""
        self._closed = WorldError(
            "this World is closed: nothing goes on in it", hint="await what is to happen inside of `async with`"
        )
        self.clock.on_rest = _nothing
        for called in list(self.clock.out):
            called.leave()
        for process in self.clock.processes:
            process.end()
        if self._driver is not None:
            self._driver.cancel()
        self.clock.unwind()
        leave_virtual_time(self)

    def leave(self) -> None:
        """Leave the front orchestrator, for code that cannot await that: its tasks would go on in the test's event loop."""
        loop, running = self._loop, asyncio._get_running_loop()  # noqa: SLF001 - the public one raises where none runs
        if loop is None or loop.is_closed() or not self.front.entered or self._leaving is not None:
            return
        if running is loop or (running is None and not loop.is_running()):
            self._leaving = loop.create_task(self.front.__aexit__(None, None, None), context=Context())
        if self._leaving is not None and running is None:
            loop.run_until_complete(self._leaving)

    def raise_failure(self) -> None:
        """Raise what has failed of the test's own, or of this library."""
        if self._failure is None:
            for process in self.clock.processes:
                for told in process.loop.unhandled:
                    self._failure = self._failure or told.get("exception")
        if self._failure is not None:
            self.is_told = True
            raise self._failure

    # Definitions and processes.

    @property
    def sagas(self) -> list[tuple[str, AnySaga]]:
        """The names, each with a definition as the test has given it."""
        return [(name, definition) for name, _, definition, _ in self._definitions]

    def through(self, definition: SagaDefinition[D, R]) -> SagaDefinition[D, R]:
        """The same definition, whose code is called through here; the same one each time."""
        for _, _, known, stand_in in self._definitions:
            if known is definition:
                return stand_in
        return through(definition, self.calling.of_step, self.calling.of_hook)

    def add(self, name: str, version: int, definition: AnySaga, stand_in: AnySaga) -> None:
        """Have each process run this. A second time it changes nothing."""
        if any((name, version) == known[:2] for known in self._definitions):
            return
        self._definitions.append((name, version, definition, stand_in))
        for process in self.clock.processes:
            _ = process.orchestrator.register(name, stand_in, version=version)

    def _worker(self) -> Process:
        """The process that takes on what is due: the first that runs; where none does, a new one."""
        return next((process for process in self.clock.processes if process.runs), None) or self._new_process()

    def _new_process(self) -> Process:
        number = len(self.clock.processes) + 1
        process = Process(
            number,
            self.store,
            self.clock.time,
            lease=self._lease,
            on_ready=self.clock.wake,
            on_fact=self._hear,
            publishers=self.topics.by_pattern,
        )
        self._by_loop[process.loop] = process
        self.clock.processes.append(process)
        for name, version, _, stand_in in self._definitions:
            _ = process.orchestrator.register(name, stand_in, version=version)
        return process

    def _heard(self, hint: Hint) -> None:
        """Some saga is due, or has messages, as NOTIFY tells it."""
        if isinstance(hint, UUID):
            for process in self.clock.processes:
                process.hear_of(hint)
        self._tried = None
        self.clock.wake()

    def _hear(self, process: Process, fact: Fact) -> None:
        match fact:
            case AttemptSucceeded(saga=saga, step=step, phase=CorePhase.EXECUTE):
                if self.calling.faults.take("after_commit", "execute", saga.name, step):
                    self.kill(process)
            case SagaClaimed(saga=saga):
                for other in self.clock.processes:
                    if other is not process and other.stands_still_for == saga.id:
                        other.stands_still_for = None
                        self.clock.wake()
            case SagaEnded(saga=saga) | SagaParked(saga=saga):
                self.front.engine.ends.heard(saga.id)
            case _:
                pass

    def kill(self, process: Process) -> None:
        """The process is gone: nothing of it runs any more."""
        process.is_dead = True
        for called in [each for each in self.clock.out if each.process is process]:
            called.leave()
        self._tried = None
        self.clock.wake()

    def lose_lease(self, saga_id: UUID) -> None:
        """Have the process that works on this saga stand still until another has taken it."""
        holder = next(
            (each for each in self.clock.processes if each.runs and saga_id in each.orchestrator.engine.held), None
        )
        if holder is None:
            raise WorldError(
                f"no process works on saga {saga_id} at this moment, so there is no lease to lose",
                hint='stop it in the middle first: await world.until(run, step="charge"); or call this in a fake',
            )
        holder.stands_still_for = saga_id
        self.clock.wake()

    def _process(self) -> Process:
        process = self._by_loop.get(asyncio.get_running_loop())
        if process is None:
            raise WorldError(
                "a saga of a World is driven from outside of it",
                hint="use the World inside of `async with`, or await world.until(run) before run() of a handle",
            )
        return process

    def _fail(self, error: BaseException) -> None:
        """The test has failed: the task that drives the World hears of it."""
        self._failure = self._failure or error
        self.clock.tell()

    def _waits(self, called: Outside) -> bool:
        """Whether a call of the user's code waits for the end of a saga in this World, so that the World has to go on."""
        return bool(called.awaits) and not called.awaits.isdisjoint(self.front.engine.ends.awaited)

    def _out_too_long(self, called: Outside) -> None:
        """A call has not returned, and may never: the clock stands still for it, so that no timeout of its step can tell."""
        seconds = f"{self.clock.patience:g} seconds"
        awaited = [each for each in self.front.engine.ends.awaited if each in called.awaits]
        if awaited:
            why, hint = self._why_not(awaited[0])
            fact = f"{called.what} has awaited the end of saga {awaited[0]} for {seconds}: {why}"
        else:
            fact = f"{called.what} was called {seconds} ago, and has not returned"
            hint = "world.late(step) has an answer come too late; World(patience=timedelta(minutes=10)) waits longer for a call"
        self._fail(WorldError(fact, hint=hint))

    async def _publish(self, messages: Sequence[OutgoingMessage]) -> list[PublishOutcome]:
        self.messages += messages
        return [Published()] * len(messages)

    # Time.

    async def drive(
        self, goal: Callable[[], T | None], *, limit: float | None = None, past_waits: bool = True
    ) -> T | None:
        """Go on until the goal gives something, moving time where nothing else can happen; None if nothing more can.

        `limit` is the latest time to move to.
        """
        self.open()
        if self._driving:
            raise WorldError(
                "this World is being driven already",
                hint="await one of its methods after the other; world.late(step) makes an answer late, without a slow fake",
            )
        self._driving = True
        try:
            return await self._drive(goal, limit, past_waits=past_waits)
        finally:
            self._driving = False
            self.clock.wake()

    async def _drive(self, goal: Callable[[], T | None], limit: float | None, *, past_waits: bool) -> T | None:
        while True:
            self.raise_failure()
            found = goal()
            if self.clock.turns or (found is None and not self.clock.at_rest) or self._publishes():
                await self.clock.news()
            elif found is not None:
                return found
            else:
                await self.clock.pause()
                if self.clock.at_rest and not self._go_on(limit, past_waits=past_waits):
                    return None

    def _go_on(self, limit: float | None, *, past_waits: bool) -> bool:
        """Begin what is due, or else move the time to where something is. False if there is no such moment, or it is too late."""
        at = time_of(self.store.now())
        pairs = self.front.engine.registry.pairs
        due = at_once(self.store.due_work(pairs, past_waits=past_waits)).next_due
        if due is not None and due <= at:
            stands = self._due_now(pairs)
            if self._tried != (at, stands):
                self._tried = at, stands
                worker = self._worker()
                worker.begin(worker.orchestrator.run_due(_MOST_AT_ONCE))
                return True
            due = None  # it is in other hands, which have a timer
        if self.waits.give_up():  # only now: an end that comes at that very moment is in time
            return True
        unsent = self.store.outgoing.next_due()
        moments = [self.clock.seconds_at(each) for each in (due, unsent) if each is not None and each > at]
        working, idle = self.clock.next_timers()
        if working is not None:
            moments.append(working)
        waits_until = self.waits.next
        if waits_until is not None and not self._driving:  # it goes on for those who wait
            moments.append(waits_until)
        if moments or limit is not None:  # on the way to something: these are no reason to go there
            moments += [each for each in (idle, waits_until) if each is not None]
        if not moments or (limit is not None and min(moments) > limit):
            return False
        self.clock.move_to(min(moments))
        return True

    def _due_now(self, pairs: Sequence[tuple[str, int]]) -> object:
        """How the sagas stand that are due: what was not claimed as it stands is in other hands."""
        due = at_once(self.store.due_ids(0, pairs, limit=_MOST_AT_ONCE))
        return tuple((row.id, row.rev, row.due_at) for row in map(self.row, due) if row is not None)

    def _publishes(self) -> bool:
        """Begin to publish messages that are due, if there are any."""
        at, unsent = time_of(self.store.now()), self.store.outgoing.next_due()
        if unsent is None or unsent > at or self._published == (at, unsent):
            return False
        self._published = at, unsent
        worker = self._worker()
        worker.begin(worker.orchestrator.engine.relay.work_off())
        return True

    def _awaited(self, saga_id: UUID) -> None:
        """The test, or a step, awaits the end of a saga."""
        called = CALLED.get()
        if called is not None:
            called.awaits.add(saga_id)
        if self._closed is not None:
            for each in self.front.engine.ends.awaited:
                self.front.engine.ends.heard(each, self._closed)
            return
        if not self.clock.is_wound_up:  # too late to enter the orchestrator: that would forget who waits
            self.clock.wind_up(asyncio.get_running_loop())
        self.clock.wake()

    def _rests(self) -> None:
        """Drive the World while a caller awaits the end of a saga, by `result` or `outcome`, or the answer to a verb."""
        if self._driving or (self._driver is not None and not self._driver.done()):
            return
        if self.front.engine.ends.awaited:
            self._driver = self.clock.loop.create_task(self._drive_for_others())
        elif self._unanswered():
            self._driver = self.clock.loop.create_task(self._drive_for_an_answer())

    def _asked(self) -> None:
        """A caller waits for the answer to a verb, which the owner of a saga gives: where that is dead, the next one."""
        self.open()
        self.clock.wake()

    def _unanswered(self) -> list[tuple[AnswerWait, SagaRecord]]:
        """The waits for answers that are not there yet, and how their sagas stand."""
        return [
            (wait, row)
            for wait, verb in self.front.engine.asked.items()
            if not wait.is_over
            and (told := at_once(self.store.verb_answer(wait.saga_id, verb))) is not None
            and told.answer is None
            and not told.has_ended
            and (row := self.row(wait.saga_id)) is not None
        ]

    async def _drive_for_an_answer(self) -> None:
        """Go on until it is there, and no further: what stands still where the test has stopped it goes on standing."""
        ends = self.front.engine.ends

        def goal() -> bool | None:
            return True if self._driving or ends.awaited or not self._unanswered() else None

        try:
            if await self._drive(goal, None, past_waits=False) is None:
                await self._drive_to_the_end_of_patience(goal)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the caller that awaits an answer is to hear it, as of an end
            self._fail_others(error)
            return
        if ends.awaited:
            self.clock.wake()

    async def _drive_to_the_end_of_patience(self, goal: Callable[[], bool | None]) -> None:
        """Let the time pass for which a verb waits, where the saga's owner is dead and no process may claim it: its name is paused.

        A verb takes care itself of a saga without an owner.
        """
        owned = [wait for wait, row in self._unanswered() if row.owner is not None]
        if not owned:
            return
        first = min(owned, key=lambda wait: wait.patience)
        limit = self.clock.time.monotonic() + first.patience
        if await self._drive(goal, limit, past_waits=False) is None:
            self.clock.move_to(limit)
            first.give_up()

    def _fail_others(self, error: BaseException) -> None:
        """Tell the callers that await an end, or an answer: the World is not driven for them any more."""
        self._failure = self._failure or error
        for saga_id in self.front.engine.ends.awaited:
            self.front.engine.ends.heard(saga_id, error)
        for wait in self.front.engine.asked:
            wait.failure = error

    async def _drive_for_others(self) -> None:
        ends = self.front.engine.ends
        self.calling.release()
        try:
            over = await self._drive(lambda: True if self._driving or not ends.awaited else None, None, past_waits=True)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - who awaits an end is to hear it: pytest.fail() raises no Exception
            self._fail_others(error)
            return
        if over is None:
            for saga_id in ends.awaited:
                row = self.row(saga_id)
                if row is not None and row.ended_at is None:
                    ends.heard(saga_id, self.never(saga_id, "its end is awaited"))

    # Looking.

    def row(self, saga_id: UUID) -> SagaRecord | None:
        """The row of a saga."""
        return at_once(self.store.read(saga_id))

    def snapshot(self, saga_id: UUID) -> SagaSnapshot:
        """The saga as it is now."""
        return at_once(self.front.get_snapshot(saga_id))

    def never(self, saga_id: UUID, wanted: str) -> WorldError:
        """The reason why a saga comes to something never."""
        called = ", ".join(call.what for call in self.calling.calls if call.saga_id == saga_id) or "nothing"
        why, hint = self._why_not(saga_id)
        return WorldError(f"{wanted}, and that never comes: {why}; called so far: {called}", hint=hint)

    def _why_not(self, saga_id: UUID) -> tuple[str, str]:
        """Why a saga goes no further, and the mend."""
        seen = self.snapshot(saga_id)
        hint = "world.calls has each call, and world.admin.get_saga(run.id) the whole history"
        events = [event for wait in seen.waiting_for for event in wait.events]
        if seen.ended_at is not None:
            why = f"it has ended {seen.status.value}" + (f" ({seen.last_error})" if seen.last_error else "")
        elif seen.parked is not None:
            why = f"it waits for a person at {seen.current_step_id}: {seen.parked}" + (
                f" ({seen.last_error})" if seen.last_error else ""
            )
            hint = "let a person decide, by world.admin"
        elif events:
            why = f"it waits for {' or '.join(map(shown, events))}, which is not sent"
            hint = f"await world.send(run, {events[0]}, ...)"
        elif seen.paused_since is not None or self.store.pauses.holds(seen.saga_name):
            why = "it is paused, or its name is"
            hint = f"world.admin.resume_saga(run.id), or world.admin.resume({shown(seen.saga_name)})"
        else:
            why = f"it is {seen.status.value}, and nothing is due any more"
        return why, hint


def _nothing() -> None:
    return None
