"""Pause sagas and let them go on: those of a name, or all."""

from __future__ import annotations

from saga_fn.admin.base import AdminBase
from saga_fn.arguments import check_key
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.outward import only_public_errors
from saga_fn.errors import PayloadError
from saga_fn.snapshot import Pause

_EVERYTHING = ""


@only_public_errors
class AdminPauses(AdminBase):
    """The pauses of `SagaAdmin`."""

    async def pause(self, saga_name: str, *, reason: str | None = None) -> bool:
        """Let the sagas of a name begin nothing more: no step, no compensation, no probe. It holds until `resume`.

        A step that runs comes to its end, and its result is kept. Every process has seen the pause before half of its lease is over,
        and begins nothing from then on. A start is accepted, and waits. Events and verbs are accepted as well: `abort` ends
        a paused saga, `cancel` turns it back, and its steps are undone after the pause.

        Args:
            saga_name: The name of the sagas, 1 to 255 characters; of all versions. No saga of that name needs to be there.
            reason: Why, for the list of pauses and the journal: one line of 1 to 1,000 characters. Default: None.

        Returns:
            True if they are paused by this call. False if they were paused by name already: that pause stays as it was.

        Raises:
            PayloadError: An argument is not what it has to be.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        return await self._pause(_named(saga_name), reason)

    async def pause_all(self, *, reason: str | None = None) -> bool:
        """Do as `pause`, for the sagas of every name. It holds until `resume_all`.

        Args:
            reason: Why, for the list of pauses and the journal: one line of 1 to 1,000 characters. Default: None.

        Returns:
            True if everything is paused by this call. False if it was already: that pause stays as it was.

        Raises:
            PayloadError: An argument is not what it has to be.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        return await self._pause(_EVERYTHING, reason)

    async def resume(self, saga_name: str) -> bool:
        """End the pause of a name. A pause of everything goes on for it.

        Workers go on with what is due. A timer or a deadline whose moment came during the pause fires now.

        Args:
            saga_name: The name of the sagas, 1 to 255 characters.

        Returns:
            True if a pause of that name was ended. False if there is none.

        Raises:
            PayloadError: The name is none.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        return await self._resume(_named(saga_name))

    async def resume_all(self) -> bool:
        """End the pause of everything. Names that are paused by themselves stay so: `pauses` lists them.

        Returns:
            True if that pause was ended. False if there is none.

        Raises:
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        return await self._resume(_EVERYTHING)

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
        return tuple(Pause(each.name or None, each.since, each.actor, each.reason) for each in found)

    async def _pause(self, name: str, reason: str | None) -> bool:
        asked = Asked.of(self._actor, reason)
        self._engine.gate.require_open()
        self._engine.gate.require_writes()
        paused = await self._engine.store.pauses.add(name, actor=asked.actor, reason=asked.reason)
        await self._engine.pauses.look()
        return paused

    async def _resume(self, name: str) -> bool:
        self._engine.gate.require_open()
        self._engine.gate.require_writes()
        resumed = await self._engine.store.pauses.remove(name)
        await self._engine.pauses.look()
        self._engine.notify_processes(None)
        return resumed


def _named(name: object) -> str:
    check_key("saga_name", name)
    if not isinstance(name, str):
        raise PayloadError("saga_name is the name of sagas, not None", hint="pause_all() and resume_all() are for all")
    return name
