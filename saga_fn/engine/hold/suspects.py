"""Sagas that may be what kills their processes: they run apart, and what runs beside them is bounded in time.

A saga that was taken over twice without progress is a suspect. Those that were taken over twice run together, and nothing
beside them: most of them were killed by something else, such as a deploy. One that is the only such suspect, or was taken
over more often, runs alone. If its process dies then, the saga is parked, and only it.

A crasher shows itself within seconds. So the process is kept from other work for seconds only, longer with each time that
the suspect was taken over. Then the suspect runs on beside the others, and is no longer blamed for what happens. Between
two turns the process takes on other work for as long as the turn took, unless there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, final
from uuid import UUID

import msgspec

from saga_fn import steady
from saga_fn.engine.drive.interpreter import Interpreter
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_claims import SuspectsWait

TWICE: Final = 2
"""Takeovers without progress that make a suspect."""
_APART_FOR: Final = 2.0
"""Seconds that suspects have the process to themselves, after the second takeover; twice as long after each further one."""
_LONGEST_APART: Final = 60.0
LONG_WAIT: Final = 10.0
"""Seconds that suspects wait for their turns before that is told."""
_PATIENCE: Final = 5.0
"""Seconds that a turn waits for what runs already; meanwhile nothing is taken on."""


class _Suspect(msgspec.Struct, eq=False):
    interpreter: Interpreter
    takeovers: int
    begin: Callable[[bool], None]
    """Begin to run it, alone or not."""
    begun: bool = False


@final
class Suspects:
    """The suspects of one process, and whether it takes on anything else meanwhile."""

    def __init__(
        self,
        held: Mapping[UUID, Interpreter],
        observers: Observers,
        *,
        patience: float,
        on_change: Callable[[], None],
    ) -> None:
        """`patience` is the longest, in seconds, that a turn waits for what runs already.

        `on_change` is told when other work may be taken on again.
        """
        self._held = held
        self._observers = observers
        self._patience = min(patience, _PATIENCE)
        self._on_change = on_change
        self._turn = asyncio.Lock()
        self._waiting: list[_Suspect] = []
        self._idle = asyncio.Event()
        self._next_turn = 0.0
        self._waits_since: float | None = None
        self._told = False
        self.apart: bool = False
        """Whether suspects have the process to themselves, or are about to: nothing else is taken on."""

    @property
    def waiting(self) -> int:
        """How many are held and wait for their turn: they take no slot from others."""
        return len(self._waiting)

    @property
    def waited(self) -> float:
        """For how many seconds some have waited for their turn, if that is long enough to be told; else 0."""
        waited = 0.0 if self._waits_since is None else steady.now() - self._waits_since
        return waited if waited > LONG_WAIT else 0.0

    @property
    def next_ones(self) -> list[UUID]:
        """The sagas that wait for their turn."""
        return [each.interpreter.saga.id for each in self._waiting]

    def nothing_else(self) -> None:
        """There is no other work at the moment: the next turn need not wait for it."""
        self._idle.set()

    async def run(self, interpreter: Interpreter, takeovers: int, begin: Callable[[bool], None]) -> None:
        """Begin to run a suspect when it is its turn, and return when it no longer is."""
        suspect = _Suspect(interpreter, takeovers, begin)
        if not self._waiting:
            self._waits_since, self._told = steady.now(), False
        self._waiting.append(suspect)
        try:
            async with self._turn:
                self._tell()
                if not suspect.begun:  # else it has had its turn with others
                    await self._let_others_in()
                    await self._take_turn(suspect)
        finally:
            if suspect in self._waiting:
                self._waiting.remove(suspect)
            if not self._waiting:
                self._waits_since = None

    def _tell(self) -> None:
        """Say once that some wait long: their slots are free, but nothing of them goes on."""
        if self.waited and not self._told:
            self._told = True
            self._observers.tell(SuspectsWait(len(self._waiting), self.waited))

    async def _let_others_in(self) -> None:
        left = self._next_turn - steady.now()
        self._idle.clear()
        if left > 0:
            try:
                async with asyncio.timeout(left):
                    await self._idle.wait()
            except TimeoutError:
                pass

    async def _take_turn(self, first: _Suspect) -> None:
        began = steady.now()
        self.apart = True
        try:
            quiet = await self._wait_until_apart()
            likes = [each for each in self._waiting if each.takeovers <= TWICE]
            together = likes if quiet and first in likes else [first]
            isolated = quiet and len(together) == 1
            for suspect in together:
                self._waiting.remove(suspect)
                suspect.begun = True
                suspect.begin(isolated)
            if quiet:
                await self._watch(together, isolated=isolated)
        finally:
            self.apart = False
            self._next_turn = steady.now() + (steady.now() - began)
            self._on_change()

    async def _wait_until_apart(self) -> bool:
        """Whether everything else in this process came to an end soon."""
        give_up = steady.now() + self._patience
        while len(self._held) > len(self._waiting):
            if steady.now() > give_up:
                return False
            await asyncio.sleep(0.02)
        return True

    async def _watch(self, together: list[_Suspect], *, isolated: bool) -> None:
        """Keep others away until the suspects have made progress, or have shown for long enough that they do not kill."""
        progress = [suspect.interpreter.until_progress() for suspect in together]
        longest = _APART_FOR * 2 ** max(0, min(suspect.takeovers for suspect in together) - TWICE)
        _, pending = await asyncio.wait(progress, timeout=min(longest, _LONGEST_APART))
        if pending and isolated:
            together[0].interpreter.accompany()
            await asyncio.wait(
                pending, timeout=self._patience
            )  # a row that a stranger keeps locked takes no word of it
