"""The interpreter: folds what happens to one owned saga, commits, and only then acts.

    what happened ──► transition ──► commit ──► start the actions ──► what happened …

One interpreter drives one saga, from its claim or start to its release. At most one commit of it is in flight; what
happens meanwhile is folded into the next. The interpreter never looks at a saga's status: whether to go on, to give the
saga up or to turn back is the core's answer, which it carries out.

It has no task of its own: results, messages, timers and settled commits call it, each call ends in a commit handed in or
in waiting for the next, and only user code runs in tasks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from contextvars import Context
from typing import TypeAlias, TypeVar

from saga_fn.backoff import Backoff
from saga_fn.core.effects import Action, CancelExecution, RunCompensation, RunProbe, RunStep
from saga_fn.core.event_kinds import is_claim, is_result, parks_all, plan_of
from saga_fn.core.event_matching import has_more_to_read, takes_more
from saga_fn.core.events import (
    Accompanied,
    HandedBack,
    Resumed,
    SagaParked,
    Ticked,
)
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.owning import wakes_owner
from saga_fn.core.state import ParkReason, SagaState
from saga_fn.engine.commit.committer import Applied, Committer, Lost, Outcome, Refused, Unread, Unsettled
from saga_fn.engine.drive.earlier import Earlier
from saga_fn.engine.drive.event_batch import EventBatch
from saga_fn.engine.drive.execution import Clock, Incoming, cut_by_others, execute, execute_watched
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.drive.progress import tell_progress
from saga_fn.engine.drive.rejections import readable, record_late, record_refused
from saga_fn.engine.drive.set_aside import concerns_one, set_aside
from saga_fn.engine.drive.step_error import StepError
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_sagas import LeftByProgram, LeftToLease, RowRefused, WaitsForStore
from saga_fn.errors import StoredDataError, StoreError
from saga_fn.store.protocol import Store
from saga_fn.store.records import MOST_READ, SagaWrite

T = TypeVar("T")
_TELL_AT = 5
"""The try that the log tells of: about a second after the first."""
_LONGEST_PAUSE = 2.0
"""Seconds."""
_Execution: TypeAlias = RunStep | RunCompensation | RunProbe


class Interpreter:
    """Drives one saga, until it is `over`: then it is no longer this process's."""

    __slots__ = (
        "_arrived",
        "_busy",
        "_chore",
        "_clock",
        "_committer",
        "_deciding",
        "_draft",
        "_draining",
        "_given_up",
        "_is_more",
        "_loop",
        "_lost",
        "_no_room",
        "_observers",
        "_on_over",
        "_progressed",
        "_recheck_inbox",
        "_renew",
        "_running",
        "_stopping",
        "_store",
        "_timer",
        "_told_over",
        "_told_progress",
        "_unstarted",
        "begun",
        "over",
        "saga",
    )

    def __init__(
        self,
        saga: OwnedSaga,
        store: Store,
        committer: Committer,
        clock: Clock,
        observers: Observers,
        *,
        on_over: Callable[[Interpreter], None],
        renew: Callable[[Interpreter], Awaitable[bool]],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.saga: OwnedSaga = saga
        self.over: bool = False
        """Whether the saga is no longer driven."""
        self.begun: bool = False
        """Whether it was told to drive the saga."""
        self._progressed = False
        self._told_over: asyncio.Future[None] | None = None
        self._told_progress: asyncio.Future[None] | None = None
        self._store = store
        self._committer = committer
        self._clock = clock
        self._on_over = on_over
        self._renew = renew
        self._observers = observers
        self._arrived: list[Incoming] = []
        self._deciding: list[Incoming] = []
        self._draft: EventBatch | None = None
        self._running: dict[StepId, tuple[asyncio.Task[None], _Execution]] = {}
        """What was begun, until this interpreter cuts it short: any other end of its task is somebody else's doing."""
        self._stopping: set[asyncio.Task[None]] | None = None
        """What was cut short and may still be cleaning up: nothing is undone beside it."""
        self._unstarted: tuple[_Execution, ...] = ()
        """What may be done as soon as the lease, which has run out, is renewed."""
        self._timer: asyncio.TimerHandle | None = None
        self._chore: asyncio.Task[None] | None = None
        """What has to be waited for before anything else is decided; meanwhile `_busy`, as with a commit in flight."""
        self._busy = False
        self._recheck_inbox = False
        """Somebody says that there is mail."""
        self._is_more = False
        """There is more mail than was read at once: the rest is read when this is answered."""
        self._no_room: SagaState | None = None
        """As the saga was when it had no room for an event, which stays unread in the inbox."""
        self._lost = False
        self._given_up = False
        self._draining = False

    # What others may tell it.

    def begin(self, first: Sequence[Incoming], actions: Sequence[Action] = ()) -> None:
        """Drive the saga: with the first events after a claim, or the first actions after a start."""
        self.begun = True
        self._arrived.extend(first)
        self._act(actions)
        if actions:
            self._set_timer()
        self._proceed()

    def recheck_inbox(self, inbox_sent: int | None = None) -> None:
        """There may be mail: so many messages by the store's count, or by hearsay, which is no count to commit by."""
        self._recheck_inbox = inbox_sent is None or self._recheck_inbox
        self.saga.inbox_sent = max(self.saga.inbox_sent, inbox_sent or 0)
        self._proceed()

    @property
    def lost(self) -> bool:
        """Whether the saga is known to be no longer ours."""
        return self._lost

    @property
    def stopping(self) -> AbstractSet[asyncio.Task[None]]:
        """What it has cut short and has not ended yet; each leaves when it has."""
        return self._stopping or frozenset()

    @property
    def running(self) -> list[str]:
        """What runs of it now, as a log may tell it."""
        steps = ", ".join(step for step, (task, _) in self._running.items() if not task.done())
        return [f"{steps} of saga {self.saga.id}"] if steps else []

    def until_over(self) -> asyncio.Future[None]:
        """Done when it is over."""
        if self._told_over is None:
            self._told_over = self._loop.create_future()
            if self.over:
                self._told_over.set_result(None)
        return self._told_over

    def until_progress(self) -> asyncio.Future[None]:
        """Done after the first commit beyond `Resumed`, or when it is over without one."""
        if self._told_progress is None:
            self._told_progress = self._loop.create_future()
            if self._progressed or self.over:
                self._told_progress.set_result(None)
        return self._told_progress

    def lose(self) -> None:
        """The saga is no longer ours: cut short what runs of it, and write nothing more."""
        self._lost = True
        self._cut_short()
        self._proceed()

    def drain(self) -> None:
        """Start no further step: the saga is given up once those that run are done."""
        self._draining = True

    def accompany(self) -> None:
        """Others run beside the saga from now on, which had the process to itself."""
        self._arrive(Incoming(Accompanied(self._clock.now())))

    def hand_back(self) -> None:
        """Cut short what runs and give the saga up now."""
        self._draining = True
        self._unstarted = ()
        self._cut_short()
        self._arrive(Incoming(HandedBack(self._clock.now())))

    def leave_to_lease(self) -> None:
        """Leave everything as it is: the lease runs out, and whoever takes the saga over finds out."""
        self._finish()

    def _arrive(self, item: Incoming) -> None:
        self._arrived.append(item)
        self._proceed()

    # Deciding.

    def _proceed(self) -> None:
        """Decide what there is to decide. Called whenever something has come, or something waited for is there."""
        if self._busy or self.over:
            return
        try:
            if self._lost or self._given_up:
                self._leave()
            elif self._unstarted:
                self._wait_for(self._renew_and_act())
            elif self._recheck_inbox or self.saga.inbox_seen != self.saga.inbox_sent:
                self._wait_for(self._read_messages())
            elif self._arrived:
                self._decide()
        except (KeyboardInterrupt, SystemExit):  # of an input map
            self._end_with_program()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this saga alone
            self._break_off(error)

    def _end_with_program(self) -> None:
        """Write nothing, for what ends the program says nothing of the step: the saga is left as by a crash."""
        self._observers.tell(LeftByProgram(self.saga.identity))
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(_hear)
        self.leave_to_lease()

    def _decide(self) -> None:
        """Fold what has come, and hand in what follows from it."""
        self._deciding, self._arrived = self._arrived, []
        draft = EventBatch.of(self.saga, self._deciding, draining=self._draining, now=self._clock.now)
        if self.saga.wants_journal:
            self.saga.forget(draft.entries)
            self._arrived = [*self._deciding, *self._arrived]
            self._wait_for(self._read_journal())
            return
        self._no_room = self._no_room or draft.no_room
        if draft.entries:
            self._busy = True
            self._draft = draft
            self._committer.hand_in(self._write(draft), self._settled)
        elif any(is_claim(item.event) for item, _ in draft.refused):
            self._break_off(StoredDataError("state", "the saga cannot be taken up from it"))
        elif draft.refused:
            self._wait_for(self._record_refused(draft))
        else:
            self._set_timer()

    def _settled(self, outcome: Outcome) -> None:
        """What became of the commit: act upon it, or decide again by how the store says that things stand."""
        draft, self._draft = self._draft, None
        assert draft is not None, "a commit is settled once"
        self._busy = False
        if self.over:
            return  # abandoned meanwhile
        if not isinstance(outcome, Applied):
            self.saga.forget(draft.entries)
        try:
            match outcome:
                case Applied():
                    self._adopt(draft, outcome)
                    if draft.refused:
                        self._wait_for(self._record_refused(draft))
                        return
                case Unread(inbox_sent=inbox_sent):
                    self.saga.inbox_sent = inbox_sent
                    self._arrived = [*self._deciding, *self._arrived]
                case Lost():
                    self._lost = True
                    self._arrived = [*self._deciding, *self._arrived]
                case Refused(error=error):
                    self._observers.tell(RowRefused(self.saga.identity, error))
                    self._cut_short()
                    if any(parks_all(item.event) for item in self._deciding):
                        self._break_off(error)  # not even that can be written
                    else:
                        parked = SagaParked(self._clock.now(), ParkReason.ROW_REJECTED)
                        self._arrived = [Incoming(parked, payload=StepError.of(error).encode())]
                case Unsettled(error=error):
                    self._leave_to_lease(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this saga alone
            self._break_off(error)
        self._proceed()

    def _adopt(self, draft: EventBatch, applied: Applied) -> None:
        """The draft is durable: it is the saga now, and what it asks for may be done."""
        saga = self.saga
        saga.adopt(draft.state, draft.projection, draft.last_error, draft.failure, applied.at)
        saga.inbox_sent = max(saga.inbox_sent, applied.inbox_sent)
        self._given_up = draft.release is not None
        if self._no_room is not None and takes_more(self._no_room, saga.state):
            self._no_room, self._recheck_inbox = None, True
        if self._is_more:
            self._read_on()
        if not self._progressed and not all(is_claim(entry.event) for entry in draft.entries):
            self._progressed = True
            _tell(self._told_progress)
        tell_progress(self._observers, draft)
        self._act(draft.standing_actions())
        if not self._given_up:
            self._set_timer()

    def _act(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case RunStep() | RunCompensation() | RunProbe():
                    task = self._loop.create_task(self._execute(action), context=Context())
                    self._running[action.step] = (task, action)
                case CancelExecution(step=step):
                    self._unstarted = tuple(one for one in self._unstarted if one.step != step)
                    running = self._running.pop(step, None)
                    if running is not None and not running[0].done():
                        self._cut(running[0])

    async def _execute(self, action: _Execution) -> None:
        begun = False
        try:
            if self._stopping and type(action) is not RunStep:
                await asyncio.wait(self._stopping)
            if not isinstance(action, RunStep) and self.saga.needs_journal(action):
                await self._read_journal()
            # Asked here, where it begins: since it was decided, this process may have stood still for longer than the lease.
            if self._lost or time.monotonic() >= self.saga.deadline:
                self._postpone(action)
                return
            begun = True
            run = execute_watched if self._observers.listens else execute
            done = await run(self.saga, action, self._clock, self._observers)
        except asyncio.CancelledError:
            mine = self._running.get(action.step)
            if mine is None or mine[0] is not asyncio.current_task():
                raise  # this interpreter has cut it short
            if not begun:
                self._postpone(action)
                return
            done = cut_by_others(action, self._clock)
        except (KeyboardInterrupt, SystemExit):
            self._running.pop(action.step, None)
            self._end_with_program()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this saga alone
            if self._busy:
                self._leave_to_lease(error)
            else:
                self._break_off(error)
            return
        self._arrive(done)

    def _postpone(self, action: _Execution) -> None:
        """Begin it when the lease is renewed."""
        self._running.pop(action.step, None)
        self._unstarted = (*self._unstarted, action)
        self._proceed()

    def look_after_tasks(self) -> None:
        """Begin again what somebody else has cancelled before its first turn; such a task could not tell."""
        for task, action in [*self._running.values()]:
            if task.cancelled():
                self._postpone(action)

    def _set_timer(self) -> None:
        """Wake for what waits for a moment while siblings run: else the saga would have been given up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._draining:
            return
        wake = wakes_owner(self.saga.plan, self.saga.state)
        if wake is not None:
            wait = max(0.0, (wake - self._clock.now()) / 1_000_000) + 0.001
            self._timer = self._loop.call_later(wait, self._tick, context=Context())

    def _tick(self) -> None:
        self._arrive(Incoming(Ticked(self._clock.now())))

    def _write(self, draft: EventBatch) -> SagaWrite:
        saga, release = self.saga, draft.release
        due = release.due if release is not None else None
        if release is not None and has_more_to_read(self._no_room, draft.state, more=self._is_more):
            due = self._clock.now()
        return SagaWrite(
            id=saga.id,
            token=saga.token,
            rev=saga.state.rev,
            state=draft.state,
            projection=draft.projection,
            release=release is not None,
            due=due,
            # A step that starts knows every message that was there before it.
            inbox_seen=saga.inbox_seen if release is not None or draft.starts_steps else None,
            last_error=draft.last_error,
            entries=tuple(draft.entries),
            answers=draft.answers(),
            writer=saga.token,
        )

    # Its end.

    def _leave(self) -> None:
        late = [item for item in self._arrived if self._lost and is_result(item.event)]
        self._arrived = []
        if late:
            self._wait_for(record_late(self._store, self._observers, self.saga, late))
        else:
            self._finish()

    def _break_off(self, error: BaseException) -> None:
        """Something is wrong with this saga: stop what runs of it, and park it by a statement that needs no state."""
        if not concerns_one(error):
            self._leave_to_lease(error)
            return
        self._cut_short()
        self._lost = True
        self._wait_for(set_aside(self._store, self._observers, self.saga.id, self.saga.token, error))

    def _leave_to_lease(self, error: BaseException) -> None:
        self._observers.tell(LeftToLease(self.saga.identity, error))
        self._finish()

    def _finish(self) -> None:
        self._unstarted = ()
        self._cut_short()
        if self._timer is not None:
            self._timer.cancel()
        if self._chore is not None:
            self._chore.cancel()
        self.over = True
        _tell(self._told_progress)
        _tell(self._told_over)
        self._on_over(self)

    def _cut_short(self) -> None:
        running, self._running = self._running, {}
        for task, _ in running.values():
            if not task.done():
                self._cut(task)

    def _cut(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        if self._stopping is None:
            self._stopping = set()
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    # What has to be waited for.

    def _wait_for(self, chore: Coroutine[object, object, None]) -> None:
        self._busy = True
        self._chore = self._loop.create_task(chore, context=Context())
        self._chore.add_done_callback(self._seen_to)

    def _seen_to(self, chore: asyncio.Task[None]) -> None:
        self._busy = False
        if chore.cancelled():
            if not self.over:  # by other code
                self._leave_to_lease(asyncio.CancelledError())
            return
        error = chore.exception()
        if error is not None and not self.over:
            self._break_off(error)
        self._proceed()

    async def _renew_and_act(self) -> None:
        """Renew the lease, or be told that the saga is lost; a row that somebody has locked may take a while."""
        while self._unstarted and not await self._renew(self):
            if self._lost or self.over:
                return
            await asyncio.sleep(0.05)
        actions, self._unstarted = self._unstarted, ()
        if not (self._lost or self.over):
            self._act(actions)

    def _read_on(self) -> None:
        self._recheck_inbox, self._is_more = self._recheck_inbox or self._is_more, False

    async def _read_messages(self) -> None:
        self._recheck_inbox = False
        self.saga.inbox_seen = self.saga.inbox_sent
        messages = await self._asked("its messages", lambda: self._store.messages(self.saga.id))
        if messages is None:
            return
        self._is_more = len(messages) >= MOST_READ
        told = await readable(self._store, self._observers, self.saga, messages, self._clock.now())
        # All of them anew, ahead of the results that have come: what a step was told, the next is to know. By the plan that
        # the saga has now.
        changed = [item for item in self._arrived if plan_of(item.event) is not None]
        rest = [item for item in self._arrived if item.message is None and item not in changed]
        self._arrived = [*changed, *told, *rest]
        if not told:
            self._read_on()

    async def _read_journal(self) -> None:
        """Find out what steps were given before."""
        journal = await self._asked("its journal", lambda: self._store.journal(self.saga.id))
        if journal is not None:
            self.saga.earlier, self.saga.wants_journal = Earlier.of(journal), False

    async def _asked(self, what: str, ask: Callable[[], Awaitable[T]]) -> T | None:
        """The store's answer, however long that takes; None if the saga is given up meanwhile.

        Raises the store's error if it concerns this saga: to ask again would not help.
        """
        backoff = Backoff(0.1, _LONGEST_PAUSE)
        attempts = 0
        while not (self._lost or self.over):
            try:
                return await ask()
            except StoreError as error:
                if concerns_one(error):
                    raise
                attempts += 1
                if attempts == _TELL_AT:
                    self._observers.tell(WaitsForStore(self.saga.identity, what, error))
                await backoff.pause()
        return None

    async def _record_refused(self, draft: EventBatch) -> None:
        for item, rejection in draft.refused:
            await record_refused(self._store, self._observers, self.saga, item, rejection, answered=bool(draft.entries))
        self._read_on()


def _tell(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _hear(task: asyncio.Task[None]) -> None:
    """The loop has raised it already: it needs not be spoken of again."""
    if not task.cancelled():
        task.exception()


def first_events(at: Moment, *, takeover: bool, isolated: bool) -> list[Incoming]:
    """What a claim feeds to the core."""
    return [Incoming(Resumed(at, takeover, isolated))]
