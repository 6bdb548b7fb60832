"""How a World calls the user's code: which code that is, what befalls the call, and what is noted of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, final
from uuid import UUID

import attrs

from saga_fn.codec import AnyType
from saga_fn.definition import CompiledStep
from saga_fn.errors import shown
from saga_fn.store.memory import MemoryStore
from saga_fn.store.records import time_of
from saga_fn.testing.calls import Call, Phase, Place, Record, WorldError
from saga_fn.testing.clockwork import Clockwork
from saga_fn.testing.fakes import At, Fakes, Faults, Named
from saga_fn.testing.processes import Process
from saga_fn.testing.stand_ins import Code, Through

_AFTER: Final[dict[Phase, tuple[At, ...]]] = {
    "execute": ("after",),
    "compensate": ("in_undo",),
    "probe": ("in_probe",),
}


@attrs.define
class Stop:
    """Where a saga is to stand still: before a call of some steps."""

    saga_id: UUID
    named: Named
    phase: Phase
    reached: bool = False

    def is_at(self, place: Place) -> bool:
        """Whether that call is the one."""
        context = place.context
        return (context.saga_id, place.phase) == (self.saga_id, self.phase) and self.named.means(
            context.saga_name, context.step_id
        )


@final
class Given:
    """The values that the code of a place is given. Code may change it in place: each call, and each note of one, has it as it was."""

    def __init__(self, step: CompiledStep, place: Place) -> None:
        self._place = place
        kinds = (step.input_type, step.output_type)
        self._kept: list[tuple[AnyType, bytes] | None] = [
            None if value is None or kind.unchangeable else (kind, kind.encode(value))
            for value, kind in zip(place.given, kinds, strict=False)  # an undo alone is given an output
        ]

    def anew(self) -> Place:
        """The place with what it was given at first."""
        given = (
            value if kept is None else kept[0].decode_own(kept[1])
            for value, kept in zip(self._place.given, self._kept, strict=True)
        )
        return Place(self._place.phase, tuple(given), self._place.context)


@final
class Calling:
    """The calls of a World."""

    def __init__(
        self,
        clock: Clockwork,
        store: MemoryStore,
        *,
        process: Callable[[], Process],
        kill: Callable[[Process], None],
        fail: Callable[[BaseException], None],
        only_fakes: bool,
    ) -> None:
        """`process` gives the process that calls, `kill` kills one, `fail` fails the test."""
        self._clock = clock
        self._store = store
        self._process = process
        self._kill = kill
        self._fail = fail
        self.only_fakes = only_fakes
        """Whether a call that has no fake fails the test."""
        self.fakes: Fakes = Fakes()
        self.faults: Faults = Faults()
        self.stop: Stop | None = None
        """Where a saga is to stand still; None if none is."""
        self._held: list[asyncio.Future[None]] = []
        self._records: list[Record] = []

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls, in order."""
        return tuple(record.call for record in self._records)

    def of_step(self, step: CompiledStep) -> Through:
        """The calls of a step's code."""

        async def call(place: Place, real: Code) -> object:
            return await self._call(step, place, real)

        return call

    async def of_hook(self, real: Callable[[], Awaitable[object]]) -> object:
        """Call a hook."""
        return await self._clock.call(await self._caller(), "a hook", real)

    async def _caller(self) -> Process:
        """The process that calls. It goes on no further if it is dead: it may have died since it set about this call."""
        process = self._process()
        if process.is_dead:
            await process.never()
        return process

    async def _call(self, step: CompiledStep, place: Place, real: Code) -> object:
        """Call the code of this place, with all that is to befall the call."""
        process, phase = await self._caller(), place.phase
        which = phase, place.context.saga_name, place.context.step_id
        given = Given(step, place)
        if self.stop is not None and not self.stop.reached and self.stop.is_at(place):
            await self._stand_still(process, self.stop)
        if self.faults.take("before", *which):
            await self._die(process)
        if self.faults.take("twice", *which):
            with contextlib.suppress(Exception):  # the answer of the first is lost, whatever it was
                _ = await self._made(process, step, given, real)
        raised: Exception | None = None
        returned: object = None
        try:
            returned = await self._made(process, step, given, real)
        except Exception as error:  # noqa: BLE001 - it is raised again, if its process lives to hear it
            raised = error
        if any(self.faults.take(at, *which) for at in _AFTER[phase]):
            await self._die(process)
        if self.faults.take("late", *which):
            await self._be_late(process, step, place)
        if raised is not None:
            raise raised
        return returned

    async def _stand_still(self, process: Process, stop: Stop) -> None:
        stop.reached = True
        held: asyncio.Future[None] = process.loop.create_future()
        self._held.append(held)
        self._clock.tell()
        await held

    async def _die(self, process: Process) -> None:
        self._kill(process)
        await process.never()

    async def _be_late(self, process: Process, step: CompiledStep, place: Place) -> None:
        """The answer is on its way for longer than any caller waits for it."""
        timeouts = {"execute": step.timeout, "compensate": step.compensation_timeout, "probe": step.probe_timeout}
        if timeouts[place.phase] is not None:
            await process.never()
        process.stands_still_for = place.context.saga_id
        await asyncio.sleep(0)

    async def _made(self, process: Process, step: CompiledStep, given: Given, real: Code) -> object:
        """Make the call, and note it."""
        place, noted = given.anew(), given.anew().given
        context = place.context
        record = Record(
            Call(
                context.saga_id,
                context.saga_name,
                context.step_id,
                place.phase,
                noted[0],
                noted[1] if place.phase == "compensate" else None,
                context.attempt,
                context.idempotency_key,
                time_of(self._store.now()),
                process.number,
            )
        )
        self._records.append(record)
        fake = self.fakes.stands_in(place, step)
        try:
            work = fake or (_refused(place) if self.only_fakes else lambda: real(*place.given, context))
            returned = await self._clock.call(process, place.what, work)
        except BaseException as error:
            record.end(raised=error)
            if _fails_the_test(error, faked=fake is not None):
                self._fail(error)
                await process.never()
            raise
        record.end(returned)
        return returned

    def release(self) -> None:
        """Let go on what stands still before a call."""
        held, self._held = self._held, []
        self.stop = None
        for each in held:
            if not each.done():
                each.set_result(None)


def _refused(place: Place) -> Callable[[], Awaitable[object]]:
    async def refuse() -> object:
        raise WorldError(
            f"{place.what} was called, and has no fake",
            hint=f"world.fake({shown(str(place.owner))}, ...), or only_fakes=False if its own code is to run",
        )

    return refuse


def _fails_the_test(error: BaseException, *, faked: bool) -> bool:
    """Whether an exception in the user's code says that the test is wrong, not that a step has failed."""
    if isinstance(error, WorldError):
        return True
    if isinstance(error, Exception):
        return faked and isinstance(error, AssertionError)
    return not isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit | GeneratorExit)
