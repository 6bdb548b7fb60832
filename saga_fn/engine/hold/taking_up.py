"""Sagas that were just claimed are taken up: read, fitted to the plan that this process has, and driven, suspects apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, final
from uuid import UUID

from saga_fn.core.event_kinds import is_claim
from saga_fn.core.events import PlanChanged, Resumed, SagaParked
from saga_fn.core.facts import parked_by_plan, takeovers
from saga_fn.core.fitting import misfit
from saga_fn.core.flaws import misfit_in
from saga_fn.core.owning import entries_needed, recorded_events, recorded_steps
from saga_fn.core.state import ParkReason, SagaState
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.interpreter import Interpreter
from saga_fn.engine.drive.message import judge
from saga_fn.engine.drive.misfit import misfit_of, told_of_misfit
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.drive.set_aside import concerns_one, entry_may_be_there, missing_entry, plan_may_be_there, set_aside
from saga_fn.engine.hold.kept_definitions import KeptDefinitions
from saga_fn.engine.hold.pauses import Pauses
from saga_fn.engine.hold.roster import Roster
from saga_fn.engine.hold.suspects import TWICE, Suspects
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_sagas import SagaClaimed
from saga_fn.engine.observe.of_troubles import DefinitionDoesNotFit, ReadElsewhere
from saga_fn.engine.options import EngineOptions
from saga_fn.engine.registry import Registry
from saga_fn.errors import StoredDataError, StoreError
from saga_fn.store.errors import is_an_answer
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store
from saga_fn.store.records import ClaimedSaga, InboxMessage, Recorded, decode_state
from saga_fn.tasks import Errands

_NAMED_AT_ONCE: Final = 4
_NAMED_WITHIN: float = 0.25
"""Seconds that a takeover waits at most for the name of the process before; then the log has that one's id."""
_MOST_NAMED: Final = 64
"""Processes whose names are kept."""
_NO_MESSAGES: Final[Mapping[UUID, InboxMessage]] = {}


@final
class TakingUp:
    """The way of claimed sagas into the hands of this process, in one of its lives."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        definitions: KeptDefinitions,
        observers: Observers,
        options: EngineOptions,
        *,
        owner: UUID,
        pauses: Pauses,
        roster: Roster,
        suspects: Suspects,
        hold: Callable[[OwnedSaga], Interpreter],
        slot_freed: Callable[[], None],
    ) -> None:
        """`hold` makes a saga one that is held here; `slot_freed` is told when a suspect has had its turn."""
        self._store = store
        self._registry = registry
        self._definitions = definitions
        self._observers = observers
        self._options = options
        self._owner = owner
        self._pauses = pauses
        self._roster = roster
        self._suspects = suspects
        self._hold = hold
        self._slot_freed = slot_freed
        self._named: dict[UUID, str | None] = {}
        """The hosts and numbers of processes from which sagas were taken over."""
        self._apart = Errands()
        self._naming = Errands()
        """The one look-up of names that goes on, if any."""

    async def drive(
        self, claims: Sequence[ClaimedSaga], sent: float, messages: Mapping[UUID, InboxMessage] = _NO_MESSAGES
    ) -> list[asyncio.Future[None]]:
        """Go on with sagas just claimed (by a request sent at monotonic time `sent`); gives what is done when they are over.

        `messages`: of these sagas the only one that was not read, so that none has to be read again.
        A saga that cannot be driven, for whatever is stored of it, is parked; it costs the others nothing.
        """
        if any(self._pauses.of(claim.name) is not None for claim in claims):
            await self._pauses.look()  # a claim of what was due has found no pause: that is newer
        await self._look_up({each.previous_owner for each in claims if each.previous_owner})
        driven: list[asyncio.Future[None]] = []
        by_shard: dict[int, list[tuple[ClaimedSaga, SagaState]]] = {}
        for claim in claims:
            try:
                state = decode_state(claim.state, claim.rev)
            except StoredDataError as error:
                await set_aside(self._store, self._observers, claim.id, claim.token, error)
                continue
            by_shard.setdefault(shard_of(claim.id, self._store.shards), []).append((claim, state))
        for shard, group in by_shard.items():
            try:
                recorded, unread = await self._recorded(shard, group)
                if len(unread) == len(group) and not any(map(concerns_one, unread.values())):
                    raise next(iter(unread.values()))  # the store refuses all
            except StoreError:
                with contextlib.suppress(StoreError):  # then their leases run out
                    await self._store.release(shard, {claim.id: claim.token for claim, _ in group})
                raise
            for claim, state in group:
                if claim.id in unread:
                    await set_aside(self._store, self._observers, claim.id, claim.token, unread[claim.id])
                    continue
                try:
                    interpreter = await self._drive_claim(claim, state, recorded, sent, messages.get(claim.id))
                except Exception as error:
                    if not concerns_one(error):
                        raise
                    await self._not_driven(claim, state, recorded, error)
                    continue
                if interpreter is not None:
                    driven.append(interpreter.until_over())
        return driven

    async def _not_driven(
        self, claim: ClaimedSaga, state: SagaState, recorded: dict[tuple[UUID, int], Recorded], error: Exception
    ) -> None:
        """Park the saga; or leave it for a lease, if its journal may have been read from another server than its row."""
        missing = next((seq for seq in entries_needed(state) if (claim.id, seq) not in recorded), None)
        if missing is not None and await entry_may_be_there(self._store, claim.id, claim.token, missing):
            await self._leave_for_a_lease(claim)
            return
        fault = missing_entry(error) if isinstance(error, KeyError) else error
        await set_aside(self._store, self._observers, claim.id, claim.token, fault)

    async def _leave_for_a_lease(self, claim: ClaimedSaga) -> None:
        self._observers.tell(ReadElsewhere(claim.id))
        with contextlib.suppress(StoreError):  # then its lease runs out
            held = {claim.id: claim.token}
            await self._store.release(shard_of(claim.id, self._store.shards), held, pause=self._options.lease)

    async def _recorded(
        self, shard: int, group: Sequence[tuple[ClaimedSaga, SagaState]]
    ) -> tuple[dict[tuple[UUID, int], Recorded], dict[UUID, StoreError]]:
        """The payloads that these sagas need; and those of them whose payloads the store cannot give, while it gives others'."""
        wanted = [(claim.id, seq) for claim, state in group for seq in entries_needed(state)]
        try:
            return await self._store.results(shard, wanted), {}
        except StoreError as error:
            if not is_an_answer(error):
                raise
            if len(group) == 1:
                return {}, {group[0][0].id: error}
        half = len(group) // 2
        recorded, unread = await self._recorded(shard, group[:half])
        others, also_unread = await self._recorded(shard, group[half:])
        return {**recorded, **others}, {**unread, **also_unread}

    async def _drive_claim(
        self,
        claim: ClaimedSaga,
        state: SagaState,
        recorded: dict[tuple[UUID, int], Recorded],
        sent: float,
        message: InboxMessage | None,
    ) -> Interpreter | None:
        registered = self._registry.find(claim.name, claim.version)
        if registered is None or self._pauses.of(claim.name) is not None:
            await self._store.release(shard_of(claim.id, self._store.shards), {claim.id: claim.token})
            return None
        plan = registered.definition.plan
        flaw = misfit_in(plan, state) if claim.plan == plan.id else None
        if state.ended or flaw is not None:
            raise StoredDataError("state", flaw or "it has ended, and its row has not")
        saga = OwnedSaga(
            id=claim.id,
            registered=registered,
            plan=plan,
            state=state,
            token=claim.token,
            owner=self._owner,
            trace_id=claim.trace_id,
            aggregation_id=claim.aggregation_id,
            inbox_sent=claim.inbox_sent,
            inbox_seen=-1,  # unknown: whatever messages there are get read before anything is decided
            last_error=claim.last_error,
            deadline=sent + self._options.lease.total_seconds(),
            max_payload_bytes=self._options.max_payload_bytes,
            initial=recorded[claim.id, 1].payload or b"",
            trace_carrier=recorded[claim.id, 1].input,
            created_at=claim.created_at,
            results={step: recorded[claim.id, seq] for step, seq in recorded_steps(state) if plan.gives(step)},
            events={seq: recorded[claim.id, seq].payload or b"null" for seq in recorded_events(state)},
            all_folded=state.rev == 1,
        )
        if not claim.inbox_sent:
            saga.inbox_seen = 0
        first = await self._first_events(claim, saga, state)
        if first is None:
            return None
        if message is not None and len(first) == 1 and is_claim(first[0].event):
            told = judge(registered.definition, message, claim.now, most=self._options.max_payload_bytes)
            if isinstance(told, Incoming):  # else it is read with the others, and answered
                saga.inbox_seen = claim.inbox_sent
                first = [told, *first]
        interpreter = self._hold(saga)
        if claim.takeover or self._observers.listens:
            before = claim.previous_owner
            named = None if before is None else self._named.get(before)
            self._observers.tell(SagaClaimed(saga.identity, claim.takeover, before, named, before == self._owner))
        times = takeovers(state, takeover=claim.takeover)
        if times >= TWICE and is_claim(first[-1].event):
            apart = self._apart.begin(self._run_apart(interpreter, claim, first[:-1], times))
            apart.add_done_callback(lambda _: self._ran_apart(interpreter))
        else:
            interpreter.begin(first)
            self._pauses.tell(interpreter)
        return interpreter

    async def _look_up(self, owners: set[UUID]) -> None:
        """Have the names of these processes at hand, for the log: each is looked up once. A slow store holds up no takeover."""
        unknown = owners - self._named.keys() - {self._owner}
        if unknown and not self._naming.running:
            self._naming.add(self._find_names(sorted(unknown)[:_NAMED_AT_ONCE]))
        if unknown:
            await self._naming.wait(_NAMED_WITHIN)

    async def _find_names(self, owners: Sequence[UUID]) -> None:
        for owner in owners:
            with contextlib.suppress(StoreError):  # it is told by its id then
                seen = await self._store.processes.find(owner)
                if len(self._named) >= _MOST_NAMED:
                    self._named.clear()
                self._named[owner] = None if seen is None else seen.process

    async def _first_events(self, claim: ClaimedSaga, saga: OwnedSaga, state: SagaState) -> list[Incoming] | None:
        """The events of a claim: that the saga was resumed, and if its plan is another one now, that too.

        None if the saga was handed back instead: its state fits the plan of another process, or may do so; or that plan
        may have been asked of another server.
        """
        resumed = [Incoming(Resumed(claim.now, claim.takeover, isolated=False))]
        if claim.plan == saga.plan.id and not parked_by_plan(state):
            return resumed
        rejection = misfit(saga.plan, state, claim.now)
        if rejection is None:
            await self._definitions.keep_plan(saga.plan)
            return [Incoming(PlanChanged(claim.now, saga.plan.id)), *resumed]
        parked = parked_by_plan(state)
        pause = self._roster.pause_for_a_plan(claim) if parked else await self._roster.pause_for_another(claim)
        if pause is not None:
            await self._store.release(shard_of(claim.id, self._store.shards), {claim.id: claim.token}, pause=pause)
            if not parked and self._roster.stands_still(claim):
                self._observers.tell(DefinitionDoesNotFit(saga.identity, told_of_misfit(rejection)))
            return None
        old = await self._store.plan(claim.plan)
        if old is None:
            if await plan_may_be_there(self._store, claim.id, claim.token, claim.plan):
                await self._leave_for_a_lease(claim)
                return None
            raise StoredDataError("plan", "it is not there; was the table saga_plan emptied?")
        saga.plan = old
        fault = misfit_of(rejection, saga.registered)
        return [Incoming(SagaParked(claim.now, ParkReason.PLAN_CHANGED), payload=fault.encode())]

    async def _run_apart(
        self, interpreter: Interpreter, claim: ClaimedSaga, first: Sequence[Incoming], takeovers: int
    ) -> None:
        """Run a suspect when it is its turn."""

        def begin(isolated: bool) -> None:
            interpreter.begin([*first, Incoming(Resumed(claim.now, claim.takeover, isolated))])

        await self._suspects.run(interpreter, takeovers, begin)

    def _ran_apart(self, interpreter: Interpreter) -> None:
        if not interpreter.begun:  # other code has cancelled the task that was to begin it
            interpreter.leave_to_lease()
        self._slot_freed()

    async def stop(self, seconds: float) -> None:
        """Take up no suspect any more; those whose turn goes on have so long to end."""
        await self._naming.stop(seconds)
        await self._apart.stop(seconds)
