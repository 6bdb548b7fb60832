"""Each preview is what then happens: for generated sagas, in generated states, each verb is asked, and followed to its end.

A saga of a few calls and waits stops at a failure of some kind, or at a wait; or its process is killed in a call, and another one,
which could not go on with it, has handed it back. An event may be stored that no owner has read, and the definition may have changed
since. Then every verb that is legal is asked of it, of one saga each: all that runs from then on succeeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

import attrs
import pytest

from saga_fn import (
    Event,
    Explanation,
    FixedRetry,
    MemoryStore,
    OutcomeUnknown,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    SagaRun,
    SagaStatus,
    Verb,
    VerbPreview,
    WaitReason,
    step,
)
from saga_fn.snapshot import SagaAdminSnapshot
from saga_fn.store.ids import shard_of
from tests.support.crash import born, dies
from tests.support.until import SOON

RARELY: Final = FixedRetry(max_attempts=3, delay=timedelta(hours=1))
VALUE: Final = 7
"""The value of everything."""


@attrs.frozen
class Part:
    """One step of a saga: how it is undone, what is to be done about a doubt, and how it fails at first."""

    name: str
    waits: bool
    undo: str
    on_unknown: str
    fails: str


@attrs.define
class Scene:
    """A saga to be told of. Once it is `mended`, nothing fails any more."""

    parts: tuple[Part, ...]
    sends: bool
    """Whether an event for the first wait is stored, and not read."""
    renames: bool
    """Whether the definition has another name for the first step by then."""
    killed: bool = False
    """Whether its process is killed in the first call of it."""
    mended: bool = False
    hung: asyncio.Event = attrs.field(factory=asyncio.Event, eq=False, repr=False)

    @classmethod
    def of(cls, seed: int, *, killed: bool = False) -> Scene:
        """The scene of that number."""
        random = Random(seed)
        parts = tuple(
            Part(
                name=f"s{number}",
                waits=random.random() < 0.3,
                undo=random.choice(["none", "by output", "in doubt"]),
                on_unknown=random.choice(["repeat", "park"]),
                fails=random.choice(["never", "never", "for now", "for good", "in doubt", "by its output"]),
            )
            for number in range(random.randint(1, 4))
        )
        return cls(parts, random.random() < 0.5, random.random() < 0.2, killed)

    def definition(self, *, renamed: bool) -> SagaDefinition[int, None]:
        """The saga of these parts."""
        builder = SagaBuilder(int)
        for number, part in enumerate(self.parts):
            name = "renamed" if renamed and not number else part.name
            if part.waits:
                builder.add_event(Event(f"e-{part.name}", int), step_id=name)
                continue
            options: dict[str, Any] = {"retry_policy": RARELY, "step_id": name}  # Any: options of all types
            if part.on_unknown == "park":
                options["on_unknown"] = "park"
            builder.add_step(step(self._call(part), **self._undo(part)), depends_on=builder.initial, **options)
        return builder.build()

    def _call(self, part: Part) -> Callable[[int], Awaitable[int]]:
        async def call(inp: int) -> int:
            if self.killed and not self.mended:
                self.hung.set()
                await asyncio.Event().wait()
            if self.mended or part.fails == "never":
                return VALUE
            match part.fails:
                case "in doubt":
                    raise OutcomeUnknown("no answer")
                case "by its output":
                    return "seven"  # type: ignore[return-value]  # that is what is tried
                case "for good":
                    raise ValueError("no")
                case _:
                    raise ConnectionError("not now")

        return call

    def _undo(self, part: Part) -> dict[str, Any]:  # Any: options of all types
        async def by_output(inp: int, out: int) -> None: ...

        async def in_doubt(inp: int, out: int | None) -> None: ...

        found: dict[str, Any] = {}  # Any: as above
        if part.undo != "none":
            found["compensate"] = by_output if part.undo == "by output" else in_doubt
        if part.fails == "for good":
            found["give_up_on"] = (ValueError,)
        return found


async def arrived(scene: Scene) -> tuple[MemoryStore, UUID]:
    """The scene's saga where it stops, in a store that no process works with."""
    store = MemoryStore()
    if scene.killed:
        run = await handed_back(scene, store)
    else:
        async with SagaOrchestrator(store, concurrency=0) as first:
            run = await first.register("told", scene.definition(renamed=False)).start(VALUE)
            while await first.run_due():
                pass
    waiting = next((part for part in scene.parts if part.waits), None)
    if scene.sends and waiting is not None and (await _row_of(store, run.id)) is None:
        async with SagaOrchestrator(store, concurrency=0) as stranger:
            await stranger.to(run.id, Event(f"e-{waiting.name}", int)).send(VALUE)
    scene.mended = True
    return store, run.id


async def handed_back(scene: Scene, store: MemoryStore) -> SagaRun[None]:
    """The saga, whose process was killed in a call, if it came to one before a wait, as who could not go on with it left it."""
    first = await born(SagaOrchestrator(store, concurrency=0))
    run = await first.register("told", scene.definition(renamed=False)).start(VALUE)
    working = asyncio.create_task(first.run_due())
    hanging = asyncio.create_task(scene.hung.wait())
    await asyncio.wait((working, hanging), return_when=asyncio.FIRST_COMPLETED)
    await dies(first)
    row = await store.read(run.id)
    if row is not None and row.token is not None:
        await store.release(shard_of(run.id, store.shards), {run.id: row.token})
    return run


async def _row_of(store: MemoryStore, saga_id: UUID) -> SagaStatus | None:
    """The end of the saga, or None."""
    row = await store.read(saga_id)
    return row.status if row is not None and row.ended_at is not None else None


async def ask(admin: SagaAdmin, saga_id: UUID, said: VerbPreview) -> None:
    """Ask for the verb that was previewed, with nothing more said than it was."""
    named = said.step_id or ""
    match said.verb:
        case Verb.SKIP_STEP:
            await admin.skip_step(saga_id, named, VALUE)
        case Verb.SETTLE_DONE:
            await admin.settle_done(saga_id, named, VALUE)
        case Verb.START_NOW:
            await admin.start_now(saga_id)
        case _:
            given = () if said.step_id is None else (named,)
            await getattr(admin, said.verb.value)(saga_id, *given)


async def followed(desk: SagaOrchestrator, scene: Scene, saga_id: UUID, said: VerbPreview) -> SagaAdminSnapshot:
    """The saga once nothing of it goes on: each event that it waits for comes, and each moment."""
    admin = SagaAdmin(desk)
    async with asyncio.timeout(SOON):
        while True:
            while await desk.run_due():
                pass
            seen = await admin.get_saga(saga_id)
            if seen.ended_at is not None or seen.parked is not None:
                return seen
            if seen.paused_since is not None:
                await admin.resume_saga(saga_id)
            elif wait := next((each for each in seen.waiting_for if each.events), None):
                await desk.to(saga_id, Event(wait.events[0], int)).send(VALUE)
            elif WaitReason.RETRY in seen.waits:
                await admin.start_now(saga_id)
            else:
                await asyncio.sleep(0.01)  # it was handed back, for another process may have a plan that fits


async def told(scene: Scene, verb: Verb | None = None, step_id: str | None = None) -> tuple[Explanation, list[str]]:
    """The explanation of the scene's saga; with a verb also what is not so of its preview."""
    store, saga_id = await arrived(scene)
    async with SagaOrchestrator(store, concurrency=0) as desk:
        desk.register("told", scene.definition(renamed=scene.renames))
        admin = SagaAdmin(desk)
        explained = await admin.explain(saga_id)
        if verb is None:
            return explained, []
        said = explained.of(verb, step_id)
        assert said is not None
        await ask(admin, saga_id, said)
        if verb is Verb.ACKNOWLEDGE:
            return explained, []
        seen = await followed(desk, scene, saga_id, said)
    return explained, list(_differences(said, seen))


def _differences(said: VerbPreview, seen: SagaAdminSnapshot) -> list[str]:
    end = seen.status if seen.ended_at is not None else None
    found = [f"{end} has come, and {said.ends_as} was told"] if end is not said.ends_as else []
    if end is not None:
        found += [] if end in said.may_end_as else [f"{end} is none of {said.may_end_as}"]
        found += [] if seen.left_over == said.left_over else [f"left over: {seen.left_over}, told: {said.left_over}"]
        found += [] if seen.stays_done == said.stays_done else [f"stays: {seen.stays_done}, told: {said.stays_done}"]
    if said.no_plan_fits is not (seen.parked == "plan_changed"):
        found.append(f"it is parked as {seen.parked}, and {said.no_plan_fits=}")
    undone = {each.step_id for each in seen.steps if each.status == "COMPENSATED"}
    moved = {each.step for each in said.course if each.kind == "undo"}
    return [*found, *([] if undone >= moved else [f"{moved - undone} were to be undone"])]


@pytest.mark.parametrize("seed", [*range(40), 121])  # 121: the last step is a wait, and has another name by then
async def test_every_preview_is_what_then_happens(seed: int) -> None:
    await does_as_told(seed, killed=False)


@pytest.mark.parametrize("seed", range(8))
async def test_every_preview_of_a_saga_that_was_handed_back_is_what_then_happens(seed: int) -> None:
    explained = await does_as_told(seed, killed=True)
    (*_, reason) = explained.reasons
    assert reason.is_interrupted is not Scene.of(seed).parts[0].waits
    assert "is being executed" not in reason.text


async def does_as_told(seed: int, *, killed: bool) -> Explanation:
    """Ask each legal verb of a saga of its own, and compare; gives what was told."""
    explained, _ = await told(Scene.of(seed, killed=killed))
    for each in explained.verbs:
        if each.is_legal and each.not_here is None:
            _, differences = await told(Scene.of(seed, killed=killed), each.verb, each.step_id)
            assert differences == [], (Scene.of(seed, killed=killed), each.verb, each.step_id, each.text)
    return explained
