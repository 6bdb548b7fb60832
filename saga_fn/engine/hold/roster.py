"""The processes' knowledge of each other: which works on which definitions, and which definitions none works on.

Each process says it once a beat. A saga whose name and version no process has said for three beats is unowned, and named
by a warning and by `health`. A worker whose plan does not fit a saga hands it back for as long as another one may have a
plan that does; what was parked because no plan fitted is made due again by a worker whose plan fits it.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Final, final
from uuid import UUID

import msgspec

from saga_fn import steady
from saga_fn.core.fitting import misfit
from saga_fn.core.ids import Moment
from saga_fn.engine.hold.kept_definitions import KeptDefinitions
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_claims import NotOffRoster, NotOnRoster, VersionUnowned, WorksOn
from saga_fn.engine.registry import Registry
from saga_fn.errors import StoredDataError, StoreError
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store
from saga_fn.store.records import (
    FORGOTTEN_AT_ONCE,
    MOST_COUNTED,
    MOST_UNFIT,
    ClaimedSaga,
    Definition,
    Notice,
    Noticed,
    Process,
    UnfitSaga,
    decode_state,
)
from saga_fn.store.this_process import this_process

BEAT: float = 30.0
"""Seconds between two times that a process says what it works on."""
HANDED_BACK_FOR: Final = 15 * 60 * 1_000_000
"""For so long, in microseconds, a process hands a saga back that its plan does not fit, before it parks it."""
_SOON = 0.5
"""Seconds until a saga that was handed back is due."""
_LONGEST_PAUSE = 15.0
"""The most seconds that a process passes a saga over before it looks again whether it fits."""
_MOST_PASSED_OVER = 500
_TOLD_AT: Final = 3
"""A saga that is handed back for this time is told of in the log: it stands still for some seconds by then."""
_PAGES = 10
"""One beat looks through no more pages of what was parked because a plan did not fit it, and of processes that are gone."""
_FIRST = UUID(int=0)
_ASK_AGAIN = 1.0
"""Seconds; a plan that does not fit is no reason to ask for the others more often."""


def seen_within() -> timedelta:
    """For how long a process that said nothing is taken to be there."""
    return timedelta(seconds=3 * BEAT)


LEFT_BEHIND: float = 5.0
"""Seconds for which a saga may be due whose name is worked on, but not its version: a deploy has left it behind."""


async def look_around(store: Store) -> list[Noticed]:
    """The findings for a person."""
    lately = seen_within()
    return await store.processes.notices(seen_within=lately, left_behind=min(lately, timedelta(seconds=LEFT_BEHIND)))


class _Misfit(msgspec.Struct):
    since: Moment
    met: float
    """The same by this process's own clock."""
    times: int = 0
    until: float = 0.0
    """Up to then this process passes it over when it claims."""

    def left(self) -> timedelta:
        """It is left to others once more, for longer each time; soon for those whose plan may fit."""
        self.times += 1
        self.until = steady.now() + min(2.0 ** min(self.times, 10), _LONGEST_PAUSE)
        return timedelta(seconds=_SOON * random.uniform(0.3, 1.0))


@final
class Roster:
    """The news of this process about itself, and those it has of the others."""

    def __init__(
        self, store: Store, registry: Registry, definitions: KeptDefinitions, owner: UUID, observers: Observers
    ) -> None:
        self._store = store
        self._observers = observers
        self._registry = registry
        self._kept = definitions
        self._owner = owner
        self._next_beat = 0.0
        self._said: frozenset[Definition] | None = None
        self._others: frozenset[Definition] = frozenset()
        """The definitions that others work on, as of when they were last asked for."""
        self._asked = float("-inf")
        self._misfits: dict[UUID, _Misfit] = {}
        self._warned: frozenset[tuple[str, int]] = frozenset()
        self._failed = False
        self._noted = False
        """Whether the store may hold a row of this process, if the answer to the note of it was cut short, too."""

    async def beat(self) -> bool:
        """Say what this process works on, if it is time or that has changed; True if sagas became due by it.

        A store that does not answer, or refuses, costs a warning and nothing else: sagas are worked on all the same.
        """
        mine = frozenset(self._definitions())
        if not mine or (steady.now() < self._next_beat and mine == self._said):
            return False
        self._next_beat = steady.now() + BEAT * random.uniform(0.8, 1.0)
        self._noted = True
        await self._kept.keep_plans()  # who looks at a saga folds it by the plans of all that may own it next
        try:
            await self._store.processes.note(Process(self._owner, this_process(), tuple(sorted(mine))))
            if mine != self._said:
                definitions = tuple((name, version) for name, version, _ in sorted(mine))
                self._observers.tell(WorksOn(definitions, this_process(), self._owner))
            self._said = mine
            await self._forget_silent()
            await self._ask()
            self._warn(await look_around(self._store))
            woken = await self._wake_what_fits()
        except StoreError as error:
            if not self._failed:
                self._observers.tell(NotOnRoster(error))
            self._failed = True
            return False
        self._failed = False
        self._misfits = {saga: each for saga, each in self._misfits.items() if not self._is_over(each)}
        return woken

    async def _forget_silent(self) -> None:
        for _ in range(_PAGES):
            if await self._store.processes.forget_silent() < FORGOTTEN_AT_ONCE:
                break

    async def leave(self) -> None:
        """This process works on nothing more."""
        if not self._noted:
            return
        self._noted = False
        self._said = None
        self._next_beat = 0.0
        try:
            await self._store.processes.forget(self._owner)
        except StoreError as error:
            self._observers.tell(NotOffRoster(error))

    def _definitions(self) -> list[Definition]:
        return [(each.name, each.version, each.definition.plan.id) for each in self._registry.all]

    def _warn(self, notices: list[Noticed]) -> None:
        """Name what no process works on, each name and version once for as long as it is so."""
        unowned = {(each.name, each.version): each for each in notices if each.kind is Notice.UNOWNED}
        for key in sorted(unowned.keys() - self._warned):
            each = unowned[key]
            self._observers.tell(VersionUnowned(*key, counted(each), each.ids[0]))
        self._warned = frozenset(unowned)

    # Plans that do not fit.

    async def pause_for_another(self, claim: ClaimedSaga) -> timedelta | None:
        """For how long to hand a saga back that the plan here does not fit; None if no other process may have one that does.

        Who else is there is asked for after the saga was met, for a process that has just come may have brought it.
        """
        met = self._misfits.setdefault(claim.id, _Misfit(self._store.now(), steady.now()))
        if not self._has_another_plan(claim) and steady.now() > self._asked + _ASK_AGAIN:
            await self._ask()
        none_has_one = not self._has_another_plan(claim) and self._asked > met.met
        if none_has_one or self._is_over(met):
            return None
        return met.left()

    def stands_still(self, claim: ClaimedSaga) -> bool:
        """Whether that saga has been handed back so often by now that a person is to be told, which is so once."""
        met = self._misfits.get(claim.id)
        return met is not None and met.times == _TOLD_AT

    def pause_for_a_plan(self, claim: ClaimedSaga) -> timedelta:
        """For how long to leave a saga alone that is due, but was parked because no plan fitted it."""
        return self._misfits.setdefault(claim.id, _Misfit(self._store.now(), steady.now())).left()

    def passed_over(self) -> list[UUID]:
        """The sagas that this process has handed back just now, so that another one may claim them."""
        if not self._misfits:
            return []
        now = steady.now()
        return [saga for saga, each in self._misfits.items() if each.until > now][-_MOST_PASSED_OVER:]

    def _has_another_plan(self, claim: ClaimedSaga) -> bool:
        """Whether another process works on the saga's name and version by another plan than this one."""
        return any(
            name == claim.name and version == claim.version and plan != self._plan_of(name, version)
            for name, version, plan in self._others
        )

    async def _ask(self) -> None:
        self._others = await self._store.processes.others(self._owner, seen_within=seen_within())
        self._asked = steady.now()

    def _is_over(self, met: _Misfit) -> bool:
        return self._store.now() - met.since > HANDED_BACK_FOR

    def _plan_of(self, name: str, version: int) -> str | None:
        registered = self._registry.find(name, version)
        return None if registered is None else registered.definition.plan.id

    async def _wake_what_fits(self) -> bool:
        """Make due what was parked because a plan did not fit it, where the plan here does."""
        after, woken = _FIRST, False
        for _ in range(_PAGES):
            page = await self._store.processes.unfit(self._registry.pairs, after=after)
            fitting: dict[int, list[UUID]] = {}
            for saga in page:
                if self._fits(saga):
                    fitting.setdefault(shard_of(saga.id, self._store.shards), []).append(saga.id)
            for shard, ids in fitting.items():
                await self._store.processes.wake(shard, ids)
                woken = True
            if len(page) < MOST_UNFIT:
                break
            after = page[-1].id
        return woken

    def _fits(self, saga: UnfitSaga) -> bool:
        registered = self._registry.find(saga.name, saga.version)
        if registered is None:
            return False
        plan = registered.definition.plan
        try:
            state = decode_state(saga.state)
        except StoredDataError:
            return False
        return misfit(plan, state, self._store.now()) is None


def counted(noticed: Noticed) -> str:
    """How many sagas it is so of, in words."""
    if noticed.sagas >= MOST_COUNTED:
        return f"{MOST_COUNTED} sagas or more"
    return "1 saga" if noticed.sagas == 1 else f"{noticed.sagas} sagas"
