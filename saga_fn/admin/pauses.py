"""Pause sagas and let them go on: those of a name, or all. Each act is recorded as the other acts of operators are."""

from __future__ import annotations

from typing import Final

import msgspec

from saga_fn.admin.base import AdminBase
from saga_fn.admin.known_names import is_known
from saga_fn.arguments import check_is, check_key
from saga_fn.core.ids import LONG_AGO
from saga_fn.core.listing import Wanted
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.requests.bulk import carry_through
from saga_fn.engine.requests.records import recorded
from saga_fn.engine.requests.stored_operation import Aim, ending_of
from saga_fn.engine.views.pauses import pause_of
from saga_fn.errors import PayloadError, SagaNotRegisteredError
from saga_fn.snapshot import OperationState, Pause
from saga_fn.store.records import PauseRecord, Progress

_EVERYTHING: Final = ""
_PAUSED_BEFORE: Final = "already_paused"
_NOT_PAUSED: Final = "not_paused"


@only_public_errors
class AdminPauses(AdminBase):
    """The pauses of `SagaAdmin`."""

    async def pause(self, saga_name: str, *, may_be_new: bool = False, reason: str | None = None) -> bool:
        """Let the sagas of a name begin nothing more: no step, no compensation, no probe. It holds until `resume`.

        A step that runs comes to its end, and its result is kept. Every process has seen the pause before half of its lease is over,
        and begins nothing from then on. A start is accepted, and waits. Events and verbs are accepted as well: `abort` ends
        a paused saga, `cancel` turns it back, and its steps are undone after the pause.

        Args:
            saga_name: The name of the sagas, 1 to 255 characters; of all versions.
            may_be_new: Whether the name may be unknown: this process has not registered it, no saga of it is stored,
                and no process works on it. Default: False, such a name is refused, for it is nearly always misspelt.
            reason: Why, for `pauses`, for `list_operations`, and for the journals of the sagas that are worked on at that moment:
                one line of 1 to 1,000 characters. Default: None.

        Returns:
            True if they are paused by this call. False if they were paused by name already: that pause stays as it was.

        Raises:
            SagaNotRegisteredError: The name is unknown, and `may_be_new` is False.
            PayloadError: An argument is not what it has to be.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        name = _named(saga_name)
        check_is(may_be_new, bool, "may_be_new: a bool", error=PayloadError, hint="may_be_new=True")
        if not may_be_new:
            await self._require_known(name)
        return await self._pause("pause", name, reason)

    async def pause_all(self, *, reason: str | None = None) -> bool:
        """Do as `pause`, for the sagas of every name. It holds until `resume_all`.

        Args:
            reason: Why, for `pauses`, for `list_operations`, and for the journals of the sagas that are worked on at that moment:
                one line of 1 to 1,000 characters. Default: None.

        Returns:
            True if everything is paused by this call. False if it was already: that pause stays as it was.

        Raises:
            PayloadError: An argument is not what it has to be.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        return await self._pause("pause_all", _EVERYTHING, reason)

    async def resume(self, saga_name: str, *, extend: bool = False, reason: str | None = None) -> bool:
        """End the pause of a name. A pause of everything goes on for it.

        Workers go on with what is due. A timer or a deadline whose moment came during the pause fires now, or is moved with
        `extend`. That is an operation in batches, as `begin_operation` begins one: its sagas are moved one by one, and the
        pause ends when all are. It returns then. If this process dies, or this call is cancelled, a worker goes on; to call it
        again joins it.

        It waits for open transactions that may have started a saga, 60 seconds at most. `list_operations` counts those that are
        left then as refused (`not_committed`).

        Args:
            saga_name: The name of the sagas, 1 to 255 characters.
            extend: Whether timers and deadlines are moved by the length of the pause: delayed starts, sleeps, waits, next
                attempts, and the times in which attempts have to succeed. Time that several pauses have in common counts once. A
                moment that was set during the pause is moved by the rest of it. One that `start_now` or `reschedule` named stays.
                Default: False.
            reason: Why, for `list_operations`: one line of 1 to 1,000 characters. Default: None.

        Returns:
            True if a pause of that name was ended. False if there is none, or if `stop_operation` stops this end
                meanwhile: the pause stands then, and to call this again goes on.

        Raises:
            PayloadError: An argument is not what it has to be.
            SagaStateError: Not for a saga whose moments cannot be moved: the operation counts it.
            SagaNotFoundError: Not for a saga that is gone.
            SagaDeletedError: Not for a saga that was deleted.
            ActiveSagaAlreadyExistsError: Not for this call: no saga begins anew.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        return await self._resume("resume", _named(saga_name), reason, extend=extend)

    async def resume_all(self, *, extend: bool = False, reason: str | None = None) -> bool:
        """End the pause of everything. Names that are paused by themselves stay so: `pauses` lists them.

        Args:
            extend: Whether timers and deadlines of all sagas are moved by the length of the pause, as for `resume`. Default: False.
            reason: Why, for `list_operations`: one line of 1 to 1,000 characters. Default: None.

        Returns:
            True if that pause was ended. False if there is none, or if `stop_operation` stops this end
                meanwhile: the pause stands then, and to call this again goes on.

        Raises:
            PayloadError: An argument is not what it has to be.
            SagaStateError: Not for a saga whose moments cannot be moved: the operation counts it.
            SagaNotFoundError: Not for a saga that is gone.
            SagaDeletedError: Not for a saga that was deleted.
            ActiveSagaAlreadyExistsError: Not for this call: no saga begins anew.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        return await self._resume("resume_all", _EVERYTHING, reason, extend=extend)

    async def pauses(self) -> tuple[Pause, ...]:
        """Read what is paused, since when, by whom and why. It takes no lock.

        Returns:
            The pauses, the oldest first.

        Raises:
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        self._engine.gate.require_open()
        found = await self._engine.store.pauses.read()
        return tuple(map(pause_of, found))

    async def _require_known(self, name: str) -> None:
        self._engine.gate.require_open()
        self._engine.gate.require_writes()
        if not await is_known(self._engine, name):
            raise SagaNotRegisteredError(
                name,
                registered=self._engine.registry.names,
                hint="check the name: no saga of it is stored, and no process works on it; "
                "before its first one: pause(name, may_be_new=True)",
            )

    async def _pause(self, verb: str, name: str, reason: str | None) -> bool:
        asked = Asked.of(self._actor, reason)
        self._engine.gate.require_open()
        self._engine.gate.require_writes()
        pauses = self._engine.store.pauses
        paused = await recorded(
            self._engine,
            verb,
            asked,
            lambda: pauses.add(name, actor=asked.actor, reason=asked.reason),
            lambda done: _came_of(done, _PAUSED_BEFORE),
            request=_aim(name),
        )
        await self._engine.pauses.look()
        return paused

    async def _resume(self, verb: str, name: str, reason: str | None, *, extend: bool) -> bool:
        check_is(extend, bool, "extend: a bool", error=PayloadError, hint="extend=True")
        asked = Asked.of(self._actor, reason)
        self._engine.gate.require_open()
        self._engine.gate.require_writes()
        if extend and (pause := await self._found(name)) is not None:
            return await self._extend(verb, pause, asked)
        pauses = self._engine.store.pauses
        resumed = await recorded(
            self._engine,
            verb,
            asked,
            lambda: pauses.remove(name),
            lambda done: _came_of(done, _NOT_PAUSED),
            request=_aim(name),
        )
        await self._engine.pauses.look()
        self._engine.notify_processes(None, LONG_AGO)
        return resumed

    async def _found(self, name: str) -> PauseRecord | None:
        return next((each for each in await self._engine.store.pauses.read() if each.name == name), None)

    async def _extend(self, verb: str, pause: PauseRecord, asked: Asked) -> bool:
        """Move the moments of all sagas of a pause, then end it."""
        ending = ending_of(pause, verb, asked, self._engine.store.now())
        operations = self._engine.store.operations
        begun = await operations.read(ending.id)
        if begun is None:  # a stop that comes from now on is not known to this call, and stands
            begun = msgspec.structs.replace(await operations.insert(ending), state=OperationState.RUNNING)
        return (await carry_through(self._engine, begun)).state is OperationState.DONE


def _named(name: object) -> str:
    check_key("saga_name", name)
    if not isinstance(name, str):
        raise PayloadError("saga_name is the name of sagas, not None", hint="pause_all() and resume_all() are for all")
    return str.__str__(name)  # a store may keep it


def _aim(name: str) -> bytes:
    return Aim(Wanted(name=name or None)).encode()


def _came_of(done: bool, refused: str) -> Progress:
    return Progress(done=1) if done else Progress(refusals={refused: 1})
