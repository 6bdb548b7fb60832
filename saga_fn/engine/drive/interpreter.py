"""The interpreter: folds what happens to one owned saga, commits, and only then acts.

    what happened ──► transition ──► commit ──► start the actions ──► what happened …

One interpreter drives one saga, from its claim or start to its release. At most one commit of it is in flight; what
happens meanwhile is folded into the next. The interpreter never looks at a saga's status: whether to go on, to give the
saga up or to turn back is the core's answer. Nor does it choose what to do next: `course.py` does, and it carries out.

It has no task of its own: results, messages, timers and settled commits call it, each call ends in a commit handed in or
in waiting for the next, and only user code and chores run in tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextvars import Context
from functools import partial
from typing import assert_never

from saga_fn import steady
from saga_fn.core.effects import Action, CancelExecution, RunCompensation, RunProbe, RunStep
from saga_fn.core.event_kinds import is_claim
from saga_fn.core.event_matching import has_more_to_read, takes_more
from saga_fn.core.events import Accompanied, HandedBack, Paused, SagaParked, Ticked
from saga_fn.core.owning import wakes_owner
from saga_fn.core.state import ParkReason, SagaState
from saga_fn.engine.commit.committer import Committer
from saga_fn.engine.commit.outcome import Applied, Lost, Outcome, Refused, RolledBack, Unread, Unsettled
from saga_fn.engine.drive.chores import note, read_journal, read_messages
from saga_fn.engine.drive.course import after, go_on, is_draining
from saga_fn.engine.drive.event_batch import EventBatch
from saga_fn.engine.drive.execution import execute, execute_watched
from saga_fn.engine.drive.execution_inputs import needs_journal
from saga_fn.engine.drive.executions import Executions
from saga_fn.engine.drive.failed import cut_by_others
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.drive.progress import tell_progress
from saga_fn.engine.drive.set_aside import set_aside
from saga_fn.engine.drive.stages import (
    ACT,
    BEGUN,
    DECIDE,
    FINISH,
    GIVES_UP,
    GOES_ON,
    NOTHING,
    RESTING,
    UNBEGUN,
    Agenda,
    AnyChore,
    Begin,
    Begun,
    Chore,
    ChoreCut,
    ChoreFailed,
    Committing,
    DecisionFailed,
    Do,
    Durable,
    Ended,
    Execution,
    ExecutionFailed,
    HandBack,
    Happened,
    LeaveToLease,
    Leaving,
    Messages,
    NoteLate,
    NoteRefused,
    NotKept,
    Over,
    Postponed,
    Seldom,
    SetAside,
    Stage,
    Told,
    Unbegun,
    Verdict,
    Waiting,
    Withdrawn,
)
from saga_fn.engine.drive.step_error import StepError
from saga_fn.engine.drive.surroundings import Surroundings
from saga_fn.engine.drive.transactional import Transactional
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_troubles import LeftByProgram, LeftToLease, RowRefused
from saga_fn.errors import StoredDataError
from saga_fn.store.protocol import Store

_ASK_AGAIN = 0.05
"""Seconds between two tries to renew a lease under which something is to begin: another session may keep its row locked."""


class Interpreter:
    """Drives one saga, until it is `over`: then it is no longer this process's."""

    __slots__ = (
        "_batch",
        "_committer",
        "_early",
        "_executions",
        "_loop",
        "_no_room",
        "_observers",
        "_on_over",
        "_renew",
        "_stage",
        "_store",
        "_surroundings",
        "_task",
        "_timer",
        "_told_over",
        "_told_progress",
        "saga",
    )

    def __init__(
        self,
        saga: OwnedSaga,
        store: Store,
        committer: Committer,
        surroundings: Surroundings,
        observers: Observers,
        *,
        on_over: Callable[[Interpreter], None],
        renew: Callable[[Interpreter], Awaitable[bool]],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.saga: OwnedSaga = saga
        has_messages = saga.inbox_seen != saga.inbox_sent
        self._stage: Stage = Unbegun(Agenda(messages=Messages.SAID)) if has_messages else UNBEGUN
        self._store = store
        self._committer = committer
        self._surroundings = surroundings
        self._on_over = on_over
        self._renew = renew
        self._observers = observers
        self._executions = Executions(self._loop)
        self._early: list[Happened] | None = None
        """News from code that has not come to its first wait: it is taken when the begin of that code is carried out."""
        self._batch: EventBatch | None = None
        """The batch that is on its way into the store, in the stage Committing."""
        self._task: asyncio.Task[Happened] | None = None
        """The chore that is under way."""
        self._timer: asyncio.TimerHandle | None = None
        self._no_room: SagaState | None = None
        """As the saga was when it had no room for an event, which stays unread in the inbox."""
        self._told_over: asyncio.Future[None] | None = None
        self._told_progress: asyncio.Future[None] | None = None

    # Questions that others may ask.

    @property
    def begun(self) -> bool:
        """Whether it was told to drive the saga, or is over without that."""
        return not isinstance(self._stage, Unbegun)

    @property
    def over(self) -> bool:
        """Whether the saga is no longer driven."""
        return isinstance(self._stage, Over)

    @property
    def lost(self) -> bool:
        """Whether the saga is known to be no longer ours."""
        return self._stage.lost

    @property
    def stopping(self) -> AbstractSet[asyncio.Task[None]]:
        """The tasks that it has cut short and that have not ended yet; each leaves when it has."""
        return self._executions.stopping

    @property
    def running(self) -> list[str]:
        """The executions that run of it now, as a log may tell them."""
        steps = ", ".join(self._executions.steps)
        return [f"{steps} of saga {self.saga.id}"] if steps else []

    def until_over(self) -> asyncio.Future[None]:
        """Done when it is over."""
        if self._told_over is None:
            self._told_over = self._loop.create_future()
            if self.over:
                self._told_over.set_result(None)
        return self._told_over

    def until_progress(self) -> asyncio.Future[None]:
        """Done after the next commit beyond `Resumed`, or when it is over without one."""
        if self._told_progress is None:
            self._told_progress = self._loop.create_future()
            if self.over:
                self._told_progress.set_result(None)
        return self._told_progress

    # News that others may tell it.

    def begin(self, first: Sequence[Incoming]) -> None:
        """Drive the saga after a claim: these events come first."""
        self._take(Begun(tuple(first)))

    def start(self, actions: Sequence[Action]) -> None:
        """Drive the saga after it was inserted, which asked for these actions."""
        self._take(BEGUN)
        self._act(actions, at_once=False)  # not at once: the caller of the start goes on first
        self._set_timer()
        if self._early is not None:
            self._take_early()

    def recheck_inbox(self, inbox_sent: int | None = None) -> None:
        """Read the inbox again: there may be messages.

        `inbox_sent` is the store's count of messages, or None if a NOTIFY alone said that there are some. Only the store's
        count may be used in a commit.
        """
        self.saga.inbox_sent = max(self.saga.inbox_sent, inbox_sent or 0)
        self._take(Told.UNREAD)

    def lose(self) -> None:
        """The saga is no longer ours: cut short what runs of it, and write nothing more."""
        self._take(Told.TAKEN)

    def drain(self) -> None:
        """Start no further step: the saga is given up once those that run are done."""
        self._take(Told.DRAIN)

    def pause(self, asked: bytes | None) -> None:
        """Begin nothing any more: what runs comes to its end, then the saga is given up. `asked` says who paused it, and why."""
        if self.begun and not self.saga.state.paused:
            self._take(Told.DRAIN)
            self._take(Incoming(Paused(self._surroundings.now()), input=asked))

    def accompany(self) -> None:
        """Others run beside the saga from now on, which had the process to itself."""
        self._take(Incoming(Accompanied(self._surroundings.now())))

    def hand_back(self) -> None:
        """Cut short what runs and give the saga up now. A step whose commit is under way is not begun any more."""
        self._take(HandBack(Incoming(HandedBack(self._surroundings.now(), self._executions.begun))))

    def leave_to_lease(self) -> None:
        """Leave everything as it is: the lease runs out, and the next owner goes on from what is committed."""
        self._take(Told.LEAVE_TO_LEASE)

    def look_after_tasks(self) -> None:
        """Begin the tasks again that other code has cancelled before their first turn."""
        for execution in self._executions.unheard():
            self._postpone(execution)

    # Carrying out.

    def _take(self, happened: Happened) -> None:
        """Do what this asks for, and what follows from that, until something has to be awaited."""
        self._stage, order = after(self._stage, happened)
        while order is not NOTHING:
            then: Happened | None = None
            try:
                if order is DECIDE:
                    then = self._decide()
                    if then is None:  # as nearly always: it is on its way
                        return
                elif order is ACT:
                    self._go_on_from_batch()
                elif order is FINISH:
                    self._finish()
                    return
                else:
                    self._carry_out(order)
            except (KeyboardInterrupt, SystemExit):  # of an input map
                self._end_with_program()
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this saga alone
                then = DecisionFailed(error)
            if then is not None:
                self._stage, order = after(self._stage, then)
            elif self._stage is RESTING:  # as nearly always: there is nothing to go on with
                return
            else:
                self._stage, order = go_on(self._stage)

    def _carry_out(self, order: Seldom) -> None:
        """Carry out an order that few steps bring."""
        stage = self._stage
        match order:
            case Do.WAKE:
                self._set_timer()
            case Do.CUT_SHORT:
                self._executions.cut_all()
            case Do.CHORE:
                assert isinstance(stage, Waiting | Leaving), "there is a chore"
                assert stage.chore is not None, "it is the next one"
                self._task = self._loop.create_task(self._run(stage.chore), context=Context())
                self._task.add_done_callback(self._chore_ended)
            case Begin(executions=executions):
                self._act(executions)
            case LeaveToLease(error=error):
                self._observers.tell(LeftToLease(self.saga.identity, error))
                self._finish()
            case Do.NOTHING:
                pass
            case _:
                assert_never(order)

    def _decide(self) -> Happened | None:
        """Fold what has come, and hand in what follows from it."""
        stage = self._stage
        assert isinstance(stage, Committing), "there is something to decide on"
        agenda, items = stage.agenda, stage.items
        within = items[0].within if len(items) == 1 else next((each.within for each in items if each.within), None)
        if within is not None and not within.is_open:  # its task was cut short: nothing of it has happened
            items, within = tuple(each for each in items if each.within is None), None
        batch = EventBatch(self.saga, items, draining=agenda.draining, now=self._surroundings.now)
        if self.saga.wants_journal:
            self.saga.forget(batch.entries)
            return Verdict.WANTS_JOURNAL
        if batch.no_room is not None and self._no_room is None:
            self._no_room = batch.no_room
        if within is not None and any(item.within is within for item, _ in batch.refused):
            batch.refused = tuple((item, no) for item, no in batch.refused if item.within is None)
            within.refuse()
            within = None
        if batch.entries:
            self._batch = batch
            left_unread = batch.release is not None and has_more_to_read(
                self._no_room, batch.state, more=agenda.messages is Messages.MORE
            )
            write = batch.write(due_now=self._surroundings.now() if left_unread else None)
            if within is None:
                self._committer.hand_in(write, self._settled)
            else:
                within.hand_in(write, self._settled)
            return None
        if any(is_claim(item.event) for item, _ in batch.refused):
            return DecisionFailed(StoredDataError("state", "the saga cannot be taken up from it"))
        return NoteRefused(batch.refused, answered=False) if batch.refused else Verdict.NOTHING

    def _settled(self, outcome: Outcome) -> None:
        """Take the fate of the write."""
        batch = self._batch
        assert batch is not None, "a commit is settled once"
        if type(self._stage) is Over:
            return  # left to its lease meanwhile
        happened: Happened
        try:
            happened = (
                self._adopt(batch, outcome) if isinstance(outcome, Applied) else self._not_written(batch, outcome)
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this saga alone
            happened = DecisionFailed(error)
        self._take(happened)
        if self._batch is batch:
            self._batch = None
        if self._early is not None:
            self._take_early()

    def _adopt(self, batch: EventBatch, applied: Applied) -> Durable:
        """The batch is durable: it is the saga now."""
        saga = self.saga
        saga.adopt(batch.state, batch.projection, batch.last_error, batch.failure, applied.at)
        saga.rest = batch.rest
        saga.inbox_sent = max(saga.inbox_sent, applied.inbox_sent)
        if batch.outgoing:
            registered = saga.registered
            registered.topics.written(saga.id, registered.name, registered.version, batch.outgoing, applied.earlier)
        unread = saga.inbox_sent != saga.inbox_seen
        if self._no_room is not None and takes_more(self._no_room, saga.state):
            self._no_room, unread = None, True
        if self._told_progress is not None and not all(is_claim(entry.event) for entry in batch.entries):
            _tell(self._told_progress)
        if not batch.is_plain or batch.release is not None or self._observers.listens:  # seldom
            tell_progress(self._observers, batch)
        if batch.release is None and not unread and not batch.refused:
            return GOES_ON
        if batch.release is not None and not batch.refused:
            return GIVES_UP
        refused = NoteRefused(batch.refused, answered=True) if batch.refused else None
        return Durable(batch.release is not None, unread, refused)

    def _not_written(self, batch: EventBatch, outcome: Unread | Lost | Refused | Unsettled | RolledBack) -> Happened:
        """Nothing has changed: how the store says that things stand."""
        self.saga.forget(batch.entries)
        match outcome:
            case Unread(inbox_sent=inbox_sent):
                self.saga.inbox_sent = inbox_sent
                return outcome
            case Lost() | Unsettled() | RolledBack():
                return outcome
            case Refused(error=error):
                self._observers.tell(RowRefused(self.saga.identity, error))
                parked = SagaParked(self._surroundings.now(), ParkReason.ROW_REJECTED)
                return NotKept(error, Incoming(parked, payload=StepError.of(error).encode()))
        assert_never(outcome)

    def _go_on_from_batch(self) -> None:
        """Do what the batch, which is durable now, asks for."""
        batch, self._batch = self._batch, None
        assert batch is not None, "it has just become durable"
        self._act(batch.standing_actions())
        self._set_timer()

    def _act(self, actions: Sequence[Action], *, at_once: bool = True) -> None:
        begin = self._executions.begin_at_once if at_once else self._executions.begin
        for action in actions:
            match action:
                case RunStep() | RunCompensation() | RunProbe():
                    begin(action, self._execute(action))
                case CancelExecution(step=step):
                    self._executions.cut(step)
                    self._take(Withdrawn(step))

    async def _execute(self, action: Execution) -> None:
        begun = False
        try:
            if not isinstance(action, RunStep):
                if self._executions.stopping:
                    await asyncio.wait(self._executions.stopping)
                if needs_journal(self.saga, action):
                    await read_journal(self._store, self._observers, self.saga, self._is_wanted)
            # Asked here, where it begins: since it was decided, this process may have stood still for longer than the lease.
            if self._stage.lost or steady.now() >= self.saga.deadline:
                self._postpone(action)
                return
            begun = True
            if self.saga.is_transactional(action):
                failed = await self._transactional(action).run()
                if failed is not None:
                    self._take_or_defer(failed)
                return
            run = execute_watched if self._observers.listens else execute
            done = await run(self.saga, action, self._surroundings, self._observers)
        except asyncio.CancelledError:
            if not self._executions.is_current(action.step):
                raise  # it was cut short here
            if not begun:
                self._postpone(action)
                return
            done = cut_by_others(action, self._surroundings, transactional=self.saga.is_transactional(action))
        except (KeyboardInterrupt, SystemExit) as error:
            self._executions.forget(action.step)
            if (
                self._executions.beginning
            ):  # it is the loop that has to hear it, not those who have committed with this saga
                self._take_or_defer(Told.LEAVE_TO_LEASE)
                self._observers.tell(LeftByProgram(self.saga.identity))
                self._loop.call_soon(_raise, error)
                return
            self._end_with_program()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this saga alone
            self._take_or_defer(ExecutionFailed(error))
            return
        if self._executions.beginning:  # it has waited for nothing
            self._take_or_defer(done)
            return
        self._executions.ended(action)
        self._take(done)

    def _take_or_defer(self, happened: Happened) -> None:
        """Take what user code has done, or keep it until the order that begins the code is carried out."""
        if not self._executions.beginning:
            self._take(happened)
        elif self._early is None:
            self._early = [happened]
        else:
            self._early.append(happened)

    def _take_early(self) -> None:
        """Take the news from code that has come to its end, or to anything else, before its first wait."""
        while self._early is not None:
            early, self._early = self._early, None
            for happened in early:
                self._take(happened)

    def _transactional(self, action: RunStep | RunCompensation) -> Transactional:
        return Transactional(
            self.saga,
            action,
            self._store,
            self._surroundings,
            self._observers,
            take=self._take_or_defer,
            is_wanted=self._is_wanted,
            is_cut=lambda: self._executions.is_cut,
            may_begin=lambda: not self._stage.lost and steady.now() < self.saga.deadline,
            postpone=partial(self._postpone, action),
            forget=partial(self._executions.forget, action.step),
        )

    def _postpone(self, action: Execution) -> None:
        """Begin it when the lease is renewed."""
        self._executions.forget(action.step)
        self._take_or_defer(Postponed(action))

    def _set_timer(self) -> None:
        """Wake for what waits for a moment while siblings run: else the saga would have been given up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stage is not RESTING and is_draining(self._stage):
            return
        wake = wakes_owner(self.saga.plan, self.saga.state, self.saga.rest)
        if wake is not None:
            wait = max(0.0, (wake - self._surroundings.now()) / 1_000_000) + 0.001
            self._timer = self._loop.call_later(wait, self._tick, context=Context())

    def _tick(self) -> None:
        self._take(Incoming(Ticked(self._surroundings.now())))

    # Chores.

    async def _run(self, chore: AnyChore) -> Happened:
        """Run one chore, and tell how it went."""
        match chore:
            case Chore.RENEW:
                if await self._renew(self):
                    return Ended.RENEWED
                if self._is_wanted():
                    await asyncio.sleep(_ASK_AGAIN)
                return Ended.NOT_RENEWED
            case Chore.MESSAGES:
                self.saga.inbox_seen = self.saga.inbox_sent
                self._take(Ended.READING)
                return await read_messages(
                    self._store, self._observers, self.saga, self._surroundings.now, self._is_wanted
                )
            case Chore.JOURNAL:
                return await read_journal(self._store, self._observers, self.saga, self._is_wanted)
            case NoteRefused() | NoteLate():
                noted = await note(self._store, self._observers, self.saga, chore)
                if isinstance(chore, NoteRefused):
                    answers = [(item.message, no.answer) for item, no in chore.refused if item.message is not None]
                    self._committer.answers.tell(self.saga.id, answers)
                return noted
            case SetAside(error=error):
                await set_aside(self._store, self._observers, self.saga.id, self.saga.token, error)
                return Ended.DONE
        assert_never(chore)

    def _chore_ended(self, task: asyncio.Task[Happened]) -> None:
        if task.cancelled():  # by other code, or the saga is over
            self._take(ChoreCut(asyncio.CancelledError()))
            return
        error = task.exception()
        self._take(task.result() if error is None else ChoreFailed(error))
        if self._early is not None:
            self._take_early()

    def _is_wanted(self) -> bool:
        """Whether there is any use in asking the store about the saga."""
        return not (self._stage.lost or self.over)

    # Its end.

    def _end_with_program(self) -> None:
        """Write nothing, for what ends the program says nothing of the step: the saga is left as by a crash."""
        self._observers.tell(LeftByProgram(self.saga.identity))
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(_retrieve)
        self.leave_to_lease()

    def _finish(self) -> None:
        self._executions.cut_all()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        _tell(self._told_progress)
        _tell(self._told_over)
        self._on_over(self)


def _tell(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _raise(error: BaseException) -> None:
    raise error


def _retrieve(task: asyncio.Task[None]) -> None:
    """The loop has raised it already: it needs not be spoken of again."""
    if not task.cancelled():
        task.exception()
