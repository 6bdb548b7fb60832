"""The engine of one process: the sagas it owns, and how they come into its hands and leave them.

`SagaOrchestrator` and `SagaAdmin` are its faces; use those. It is importable on its own for porting only.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Container, Sequence
from datetime import timedelta
from typing import Final, final
from uuid import UUID

import msgspec

from saga_fn import steady
from saga_fn.core.effects import Action
from saga_fn.core.ids import Moment
from saga_fn.engine.answer_wait import AnswerWait
from saga_fn.engine.commit.committer import Committer
from saga_fn.engine.commit.looks import Looks
from saga_fn.engine.commit.sends import Sends
from saga_fn.engine.drive.interpreter import Interpreter
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.drive.surroundings import Surroundings
from saga_fn.engine.hold.deleting import Deleting
from saga_fn.engine.hold.elsewhere import Elsewhere
from saga_fn.engine.hold.end_watch import Ends, WaitLimits
from saga_fn.engine.hold.handing_over import HandingOver
from saga_fn.engine.hold.kept_definitions import KeptDefinitions
from saga_fn.engine.hold.leases import LeaseKeeper
from saga_fn.engine.hold.pauses import Pauses
from saga_fn.engine.hold.relay import Relay
from saga_fn.engine.hold.roster import Roster
from saga_fn.engine.hold.suspects import Suspects
from saga_fn.engine.hold.sweeping import Sweep
from saga_fn.engine.hold.taken import TakenAway
from saga_fn.engine.hold.taking_up import TakingUp
from saga_fn.engine.hold.wakeups import WakeupNotifier
from saga_fn.engine.look_from import is_old
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_process import StopCutsShort, StopLeaves, StopOverdue
from saga_fn.engine.observe.of_sagas import SagaLost, SagaReleased
from saga_fn.engine.options import EngineOptions
from saga_fn.engine.recent import Seldom, Shared
from saga_fn.engine.registry import Registry
from saga_fn.engine.topics import Topics
from saga_fn.engine.uncommitted import Uncommitted
from saga_fn.errors import SagaError, StoreError, is_a
from saga_fn.stats import SagaStats
from saga_fn.store.ids import new_uuid
from saga_fn.store.protocol import Store
from saga_fn.store.records import (
    EventToSend,
    Fate,
    Recipient,
    Sought,
)
from saga_fn.tasks import cut_short, spawn

_COMMITS_IN_FLIGHT = 2
_ROUSED_AGAIN: Final = 1.0
"""Seconds."""
_HANDING_BACK = 2.0
"""Seconds that sagas which were cut short may take to be handed back."""
_CLEAN_UP = 0.25
"""Seconds that each part of the engine may take to end."""
_LEAVING = 0.7
"""Seconds that the word may take that this process works on nothing more. Until it is written, others leave sagas to it."""
STOP_MARGIN: Final = timedelta(seconds=5)
"""How much longer than `stop_timeout` a stop may take, when the store does not answer."""


def _no_slots(_: str) -> int:
    return 0


def _nothing() -> None:
    return None


def _yes() -> bool:
    return True


class Gate(msgspec.Struct, frozen=True):
    """Whether requests may pass, as the maker of an engine knows it."""

    require_open: Callable[[], None] = _nothing
    """Raises if there is no connection to be had."""
    require_attendance: Callable[[], None] = _nothing
    """Raises if nothing would ever run a saga that is started now."""
    is_attended: Callable[[], bool] = _yes
    """Whether anything works on the sagas of this store, as far as can be known."""
    require_writes: Callable[[], None] = _nothing
    """Raises if this process was made to look only."""


@final
class SagaEngine:
    """The work of one process for the sagas it owns. For porting only: SagaOrchestrator makes it.

    Every process start is an owner of its own.

    Args:
        store: The store that the sagas are in.
        options: The options of the engine. Default: None, those of EngineOptions.
        gate: The word of the maker on connections and workers. Default: None, an open gate.

    Raises:
        SagaError: An argument is not what it has to be.
    """

    def __init__(self, store: Store, options: EngineOptions | None = None, gate: Gate | None = None) -> None:
        if not callable(getattr(store, "claim_due", None)) or not is_a(options, (EngineOptions, type(None))):
            raise SagaError(
                "an engine is made of a store and its EngineOptions", hint="SagaOrchestrator(...) makes one"
            )
        self.store = store
        self.options: EngineOptions = EngineOptions() if options is None else options
        self.observers: Observers = Observers(
            tracebacks=self.options.log_errors == "traceback", log_repeats=self.options.log_repeats
        )
        """Who is told what happens here."""
        for observer in self.options.observers:
            self.observers.add(observer)
        self.troubles: list[Callable[[], str | None]] = []
        """Asked for what goes wrong beside the sagas, such as with a consumer's broker: it is told by `health`."""
        self.registry: Registry = Registry()
        self.surroundings: Surroundings = Surroundings(
            store.now, random.random, around=self.options.around, lease=self.options.lease
        )
        self._on_over = self._let_go
        self.definitions: KeptDefinitions = KeptDefinitions(store, self.registry, self.observers)
        """The plans and names that the store has."""
        self._roused: Seldom = Seldom(_ROUSED_AGAIN)
        """Sagas with a full inbox, which it is no use to have read at each event that is refused."""
        self.deleting: Deleting = Deleting(store, self.registry, self.observers)
        self.sweep: Sweep = Sweep(
            store, self.registry, self.observers, self.notify_processes, self.have_read, self.options.keep_operations
        )
        self.handing_over: HandingOver = HandingOver(
            store, self.observers, self.notify_processes, self.have_read, self.options.lease
        )
        """The way of events that were sent in callers' transactions."""
        self.elsewhere: Elsewhere = Elsewhere(lambda name, version: self.registry.find(name, version) is not None)
        self.reads_for_owners: bool = True
        """Whether this process may read the messages of a saga without an owner; False once the store has refused that."""
        options = self.options
        self.topics: Topics = Topics(
            options.publishers,
            lease=options.lease + options.outgoing.timeout,
            works=options.concurrency > 0,
        )
        """The topics that this process publishes to."""
        self.relay: Relay = Relay(store, self.topics, options.outgoing, self.observers)
        self.uncommitted: Uncommitted = Uncommitted()
        """Sagas that were started in callers' transactions, whose ends this process does not hear of."""
        self.on_awaited: Callable[[UUID], None] | None = None
        """Told of the saga when a caller begins to wait for its end, from the next life on."""
        self.wait_limits: WaitLimits | None = None
        """The clock that such waits go by, from the next life on; None: this process's own."""
        self.asked: dict[AnswerWait, UUID] = {}
        """The calls that wait for the answer to a verb, and the ids of their messages."""
        self.on_asked: Callable[[], None] = _nothing
        """Told when a caller begins to wait for such an answer."""
        self.begin_life()
        self.on_slot_freed: Callable[[], None] = _nothing
        self.slots: Callable[[str], int] = _no_slots
        """How many sagas more of a name this process may take on beside what is due."""
        self.on_due: Callable[[Moment], None] = _due_some_time
        """Told when a saga will be due, or since when it has been."""
        self.gate: Gate = Gate() if gate is None else gate
        """Every face asks it first."""

    def begin_life(self) -> None:
        """Begin with nothing held, in the event loop that comes next: what an earlier one left behind is left to its leases.

        All that is made here belongs to one event loop. Each life is an owner of its own.
        """
        self.observers.end_life()
        self.relay.begin_life()
        self.owner: UUID = new_uuid()
        self.held: dict[UUID, Interpreter] = {}
        self.committer: Committer = Committer(self.store, self.observers, max_in_flight=_COMMITS_IN_FLIGHT)
        kept = self.store.kept_events
        # Asked of the store at each call: tests put other methods in the place of these.
        self.recipients: Looks[Sought, Recipient] = Looks(lambda shard, asked: kept.recipients(shard, asked))  # noqa: PLW0108
        """The looks for the sagas of business keys."""
        self.fates: Looks[tuple[UUID, UUID], Fate | None] = Looks(
            lambda shard, asked: self.store.fates(shard, asked)  # noqa: PLW0108 - as above
        )
        """The looks for the answers to events, by their sagas and ids, where others give them."""
        self.pauses: Pauses = Pauses(
            self.store, self.registry, self.held, self.observers, lease=self.options.lease.total_seconds()
        )
        """The names that are paused."""
        self._leases = LeaseKeeper(
            self.store,
            self.held,
            self.observers,
            owner=self.owner,
            lease=self.options.lease,
            look=self.pauses.look_if_due,
        )
        self._renew = self._leases.renew  # each lookup would make a method of its own, and each saga would keep one
        self.ends: Ends = Ends(self.store, self.held, self.observers, self.on_awaited, self.wait_limits)
        self.wakeups: WakeupNotifier = WakeupNotifier(self.store)
        self.roster: Roster = Roster(self.store, self.registry, self.definitions, self.owner, self.observers)
        self.stats: Shared[bool, SagaStats] = Shared()
        """The numbers about all sagas, by whether ends are counted."""
        self.suspects: Suspects = Suspects(
            self.held,
            self.observers,
            patience=self.options.lease.total_seconds(),
            on_change=self._slot_freed,
        )
        """Sagas that may be what kills their processes."""
        self.taking_up: TakingUp = TakingUp(
            self.store,
            self.registry,
            self.definitions,
            self.observers,
            self.options,
            owner=self.owner,
            pauses=self.pauses,
            roster=self.roster,
            suspects=self.suspects,
            hold=self._hold,
            slot_freed=self._slot_freed,
        )
        """The way of claimed sagas into the hands of this process."""
        self.sends: Sends = Sends(
            self.store,
            owner=self.owner,
            lease=self.options.lease,
            drive=self.taking_up.drive,
            take_slots=self._take_slots,
        )
        self.taken: TakenAway = TakenAway(self.options.lease.total_seconds())
        """The sagas that were taken from this process, and their executions that still run here."""
        self._hurry = asyncio.Event()
        self.starting: int = 0
        """Sagas on their way into the store as this process's own: each takes a slot."""
        self.starting_of: Counter[str] = Counter()
        """The same by name, of names that have a limit."""
        self.last_taken: float = 0.0
        """When (monotonic time) this process last took a saga on."""
        self.stopping: bool = False

    # Sagas come in.

    def drive_started(self, saga: OwnedSaga, actions: Sequence[Action]) -> None:
        """Go on with a saga that was inserted as this process's own."""
        interpreter = self._hold(saga)
        interpreter.start(actions)
        self.pauses.tell(interpreter)  # a pause that was seen while the row was being written found nothing in hand

    def _take_slots(self, event: EventToSend, number: int) -> None:
        """Count an event that may claim a saga, as a start is counted."""
        self.starting += number
        for name in {name for name, _, _ in event.fits} & self.registry.limits.keys() if self.registry.limits else ():
            self.starting_of[name] = max(0, self.starting_of[name] + number)

    def _slot_freed(self) -> None:
        self.on_slot_freed()

    @property
    def running(self) -> int:
        """How many slots are taken: suspects take none before they begin."""
        return len(self.held) - self.suspects.waiting + self.starting

    def running_of(self, names: Container[str]) -> Counter[str]:
        """How many sagas of each of these names this process runs, with those on their way into the store."""
        held = (each.saga.registered.name for each in self.held.values())
        return Counter(name for name in held if name in names) + self.starting_of

    def _hold(self, saga: OwnedSaga) -> Interpreter:
        interpreter = Interpreter(
            saga,
            self.store,
            self.committer,
            self.surroundings,
            self.observers,
            on_over=self._on_over,
            renew=self._renew,
        )
        if self.stopping:
            interpreter.drain()
        before = self.held.get(saga.id)
        if before is not None:  # its row was locked for longer than its lease, and free before it could be renewed
            before.lose()
        self.held[saga.id] = interpreter
        self.last_taken = steady.now()
        self._leases.ensure_running()
        return interpreter

    def _let_go(self, interpreter: Interpreter) -> None:
        saga = interpreter.saga
        if self.held.get(saga.id) is interpreter:
            del self.held[saga.id]
        if interpreter.lost:
            self.taken.add(saga.id, saga.state, interpreter.stopping)
        if self.observers.listens and saga.ended_as is None:
            lost = interpreter.lost
            self.observers.tell(SagaLost(saga.identity) if lost else SagaReleased(saga.identity, saga.due))
        if saga.ended_as is not None:
            self.ends.announce(saga)
        elif saga.due is not None:
            self.on_due(saga.due)
            if self.stopping:  # another process shall go on with it
                self.wakeups.send(saga.due)
        else:
            self.ends.left(saga.id)
        self.on_slot_freed()

    def notify_processes(self, saga_id: UUID | None, since: Moment) -> None:
        """Tell the owner and the workers, here and elsewhere, that this saga has messages (None: that some saga is due).

        `since`: since when it may be due: before the statement that made it so. A hint that may be lost.
        """
        if saga_id is not None:
            self.recheck_inbox(saga_id)
            self.wakeups.send(saga_id)
            if not is_old(since, self.store.now()):
                return  # each process that hears of the messages looks for what is new
        self.on_due(since)
        self.wakeups.send(since)

    async def committed(self) -> None:
        """A caller says that it has committed: what this process has started or sent in its transactions begins now.

        A hint: whatever goes wrong here, the next look of a worker finds it.
        """
        since = self.uncommitted.committed(self.store.now())
        if since is not None or self.handing_over.awaited:
            self.notify_processes(None, self.store.now() if since is None else since)
            self.relay.look_soon()  # for what hooks of those starts have to say
        if self.handing_over.awaited:
            with contextlib.suppress(StoreError):  # as of a role that only sends: then a worker does it
                await self.handing_over.run()

    async def have_read(self, saga_id: UUID) -> None:
        """Have an inbox read that is full: its messages may be uncounted, for which no saga becomes due."""
        if self._roused.lets(saga_id):
            since = self.store.now()
            await self.store.rouse(saga_id)
            self.notify_processes(saga_id, since)
            self.notify_processes(None, since)

    def recheck_inbox(self, saga_id: UUID) -> None:
        """A saga has messages. If it is held here, its interpreter looks now."""
        interpreter = self.held.get(saga_id)
        if interpreter is not None:
            interpreter.recheck_inbox()

    def lose(self, saga_id: UUID) -> None:
        """A saga was taken from this process."""
        interpreter = self.held.get(saga_id)
        if interpreter is not None:
            interpreter.lose()

    # The process stops.

    async def stop(self) -> None:
        """Finish the steps that run, or hand them back when `stop_timeout` is over; then hold nothing.

        It takes `stop_timeout` and `STOP_MARGIN` at most, whatever the store does: what could not be handed back by then is
        left to its lease.
        """
        self.stopping = True
        try:
            async with asyncio.timeout((self.options.stop_timeout + STOP_MARGIN).total_seconds()):
                await self._stop()
        except TimeoutError as error:
            self.observers.tell(StopOverdue(error))
        finally:
            self.stopping = False  # a process that is not entered may work all the same
            self.observers.end_life()

    async def _stop(self) -> None:
        await self.recipients.stop(_CLEAN_UP)
        await self.fates.stop(_CLEAN_UP)
        await self.sends.stop(_CLEAN_UP)  # the sagas that they claim are handed back with the others
        for interpreter in list(self.held.values()):
            interpreter.drain()
        await self._wait_until_over(self.options.stop_timeout.total_seconds(), self._hurry)
        running = tuple(each for interpreter in self.held.values() for each in interpreter.running)
        if running:
            self.observers.tell(StopCutsShort(running, self.options.stop_timeout.total_seconds()))
        for interpreter in list(self.held.values()):
            interpreter.hand_back()
        await self._wait_until_over(_HANDING_BACK)
        await self.taking_up.stop(_CLEAN_UP)
        if self.held:
            self.observers.tell(StopLeaves(tuple(self.held)))
        for interpreter in list(self.held.values()):
            interpreter.leave_to_lease()
        await self.committer.stop(_CLEAN_UP)
        self.surroundings.timeouts.stop()
        await cut_short((spawn(self.roster.leave()),), _CLEAN_UP, first=_LEAVING)
        await self._leases.stop(_CLEAN_UP)
        await self.ends.stop(_CLEAN_UP)
        await self.wakeups.stop(_CLEAN_UP)

    def hurry(self) -> None:
        """Let a stop wait for no step any more."""
        self._hurry.set()

    async def _wait_until_over(self, seconds: float, hurry: asyncio.Event | None = None) -> None:
        over = [held.until_over() for held in self.held.values()]
        if not over:
            return
        first = {spawn(_all_of(over))}
        if hurry is not None:
            first.add(spawn(_told(hurry)))
        await asyncio.wait(first, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in first:
            task.cancel()


async def _all_of(over: Sequence[asyncio.Future[None]]) -> None:
    await asyncio.wait(over)


async def _told(event: asyncio.Event) -> None:
    await event.wait()


def _due_some_time(_: Moment) -> None:
    return None
