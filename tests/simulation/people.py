"""People and other services start sagas, send events, call operators' verbs, and look."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, final
from uuid import UUID

import attrs

from saga_fn import (
    SagaAdmin,
    SagaAdminSnapshot,
    SagaError,
    SagaHandle,
    SagaOrchestrator,
    SagaParkedError,
    SagaResultTimeoutError,
    SagaStateError,
    SagaStatus,
)
from tests.faults.chaos.sagas import Job, Note, called
from tests.simulation.definitions import Drawn, is_odd
from tests.simulation.judge import Judge
from tests.simulation.machine import Node

T = TypeVar("T")

LONGEST_CALL: Final = 90.0
"""Seconds after which a call is taken for one that never returns; a verb waits a minute for an owner's answer."""
KEYS: Final = 6
VERBS: Final = (
    "abort",
    "cancel",
    "retry",
    "retry_with_input",
    "skip",
    "settle_done",
    "settle_undone",
    "settle_never_ran",
    "rewind",
    "reschedule",
    "pause_saga",
    "resume_saga",
    "acknowledge",
    "resume",
)


@attrs.define
class Asked:
    """A verb that was called. `answer`: True for applied, False for refused, None where that is not known."""

    saga: UUID
    verb: str
    reason: str
    answer: bool | None = None


@attrs.frozen
class Sent:
    """An event that was sent; `answer` is the library's."""

    target: UUID | tuple[str, str]
    number: int
    answer: str


@attrs.define
class Told:
    """Promises that the library has made to people."""

    started: dict[UUID, str] = attrs.field(factory=dict[UUID, str])
    """Sagas whose start was acknowledged, and the names of their definitions."""
    sent: list[Sent] = attrs.field(factory=list[Sent])
    asked: list[Asked] = attrs.field(factory=list[Asked])
    ends: list[tuple[UUID, SagaStatus]] = attrs.field(factory=list[tuple[UUID, SagaStatus]])
    discarded: set[UUID] = attrs.field(factory=set[UUID])
    """Sagas whose outgoing messages an operator has discarded."""
    keyed: dict[tuple[str, str], UUID] = attrs.field(factory=dict[tuple[str, str], UUID])
    """The saga of each idempotency key."""
    refusals: Counter[str] = attrs.field(factory=Counter[str])


@attrs.frozen
class Office:
    """One process, as those who live in it reach the library."""

    node: Node
    orchestrator: SagaOrchestrator
    handles: Sequence[SagaHandle[Job, Any]]  # Any: results of all types


@final
class People:
    """All of them, with one memory of what they were told."""

    def __init__(self, seed: str, drawn: Sequence[Drawn], judge: Judge) -> None:
        self._seed = seed
        self._drawn = drawn
        self._judge = judge
        self.told = Told()
        self.known: list[tuple[UUID, int]] = []
        """The sagas that people have started, each with the place of its definition."""

    # Starts.

    async def start(self, number: int, office: Office) -> None:
        """Start the saga of that number."""
        dice = random.Random(f"{self._seed} start {number}")
        place = dice.randrange(len(self._drawn))
        handle, job = office.handles[place], Job(number)
        delay = timedelta(seconds=6 * dice.random()) if dice.random() < 0.15 else None
        way = dice.random()
        aggregation = f"key-{dice.randrange(KEYS)}" if way < 0.2 else None
        request = f"request-{number // 2}" if way > 0.85 else None
        if request is not None:
            job = Job(number // 2 * 2)
            place = number // 2 % len(self._drawn)
            handle = office.handles[place]
        if 0.75 < way < 0.8:
            runs = await self._call("start_many", handle.start_many([job, Job(number + 10_000)]))
            for each in runs or ():
                self._accept(each.id, place)
            return
        run = await self._call(
            "start", handle.start(job, aggregation_id=aggregation, idempotency_key=request, delay=delay)
        )
        if run is None:
            return
        self._accept(run.id, place)
        if request is not None:
            first = self.told.keyed.setdefault((self._drawn[place].name, request), run.id)
            if first != run.id:
                self._judge.say(f"{request} has started two sagas, {first} and {run.id}")
        if dice.random() < 0.3:
            await self._await(handle, run.id)

    def _accept(self, saga_id: UUID, place: int) -> None:
        if saga_id not in self.told.started:
            self.told.started[saga_id] = self._drawn[place].name
            self.known.append((saga_id, place))

    async def _await(self, handle: SagaHandle[Job, Any], saga_id: UUID) -> None:  # Any: as above
        ended = await self._call("outcome", handle.attach(saga_id).outcome(timeout=20))
        if ended is not None:
            status = SagaStatus[type(ended).__name__.upper()]
            self.told.ends.append((saga_id, status))

    # Deeds.

    async def act(self, number: int, office: Office) -> None:
        """The deed of that number."""
        dice = random.Random(f"{self._seed} deed {number}")
        deeds: list[tuple[int, Callable[[Office, random.Random, int], Awaitable[None]]]] = [
            (10, self._send),
            (4, self._send_by_key),
            (10, self._verb),
            (2, self._look),
            (2, self._name),
            (1, self._messages),
        ]
        deed = dice.choices([each for _, each in deeds], [weight for weight, _ in deeds])[0]
        await deed(office, dice, number)

    def _somebody(self, dice: random.Random) -> tuple[UUID, int] | None:
        fitting = self.known[-30:] if dice.random() < 0.8 else self.known
        return dice.choice(fitting) if fitting else None

    async def _send(self, office: Office, dice: random.Random, number: int) -> None:
        """Send an event to a saga, perhaps one that nothing waits for yet, and perhaps twice."""
        for _ in range(5):
            found = self._somebody(dice)
            if found is None:
                return
            events = self._drawn[found[1]].waits_for
            if events:
                break
        else:
            return
        saga_id, _ = found
        event = dice.choice(events)
        about = None
        if event is called:
            seen = await self._call("get_saga", SagaAdmin(office.orchestrator).get_saga(saga_id))
            about = None if seen is None else f"job {seen.context['initial_data']['number']}"
        expires = timedelta(seconds=5) if dice.random() < 0.1 else None
        for _ in range(dice.choice((1, 1, 2))):
            answer = await self._call(
                "send",
                office.orchestrator.to(saga_id, event).send(
                    Note(number), event_id=f"event-{number}", correlation_id=about, expires=expires
                ),
            )
            if answer is not None and expires is None:
                self.told.sent.append(Sent(saga_id, number, answer.value))

    async def _send_by_key(self, office: Office, dice: random.Random, number: int) -> None:
        """Send an event to the saga that is active under a business key, or will be."""
        drawn = dice.choice(self._drawn)
        if not drawn.waits_for:
            return
        event, target = dice.choice(drawn.waits_for), (drawn.name, f"key-{dice.randrange(KEYS)}")
        for _ in range(dice.choice((1, 1, 2))):
            answer = await self._call(
                "send", office.orchestrator.to(target, event).send(Note(number), event_id=f"event-{number}")
            )
            if answer is not None:
                self.told.sent.append(Sent(target, number, answer.value))

    async def _name(self, office: Office, dice: random.Random, number: int) -> None:
        """Pause a name, and resume it."""
        admin, name = SagaAdmin(office.orchestrator, actor="sim"), dice.choice(self._drawn).name
        reason = f"deed {number}"
        if await self._call("pause", admin.pause(name, may_be_new=True, reason=reason)) is None:
            return
        await asyncio.sleep(4 * dice.random())
        await self._call("resume name", admin.resume(name, extend=dice.random() < 0.5, reason=reason))

    async def _messages(self, office: Office, dice: random.Random, number: int) -> None:
        """Have dead messages tried again, or discarded."""
        found = self._somebody(dice)
        if found is None:
            return
        admin = SagaAdmin(office.orchestrator, actor="sim")
        if dice.random() < 0.3:
            self.told.discarded.add(found[0])
            await self._call("discard", admin.discard(found[0], reason=f"deed {number}"))
        else:
            await self._call("redrive", admin.redrive(found[0], reason=f"deed {number}"))

    async def _look(self, office: Office, dice: random.Random, number: int) -> None:
        """Look at things; nothing that is seen is judged but by what `verify` says."""
        found = self._somebody(dice)
        admin = SagaAdmin(office.orchestrator)
        await self._call("list", admin.list())
        if found is not None:
            await self._call("explain", admin.explain(found[0]))
            for line in await self._call("verify", admin.verify(found[0])) or ():
                self._judge.say(f"saga {found[0]}: verify says {line}")

    async def _verb(self, office: Office, dice: random.Random, number: int) -> None:
        """Call a verb on a saga, as it is seen or as it was."""
        admin = SagaAdmin(office.orchestrator, actor="sim")
        seen, place = None, 0
        verb = dice.choice(VERBS)
        if verb == "abort" and dice.random() < 0.7:
            return  # seldom: else little is left to look at
        for _ in range(4):
            found = self._somebody(dice)
            if found is None:
                return
            seen, place = await self._call("get_saga", admin.get_saga(found[0])), found[1]
            if seen is not None and (seen.parked is not None or seen.status is SagaStatus.FAILED):
                break
        if seen is not None:
            await self.ask(office, admin, seen, place, verb, dice, f"deed {number}")

    async def ask(
        self,
        office: Office,
        admin: SagaAdmin,
        seen: SagaAdminSnapshot,
        place: int,
        verb: str,
        dice: random.Random,
        reason: str,
    ) -> None:
        """Call this verb on this saga."""
        saga_id = seen.id
        if verb == "resume":
            await self._call("resume", office.orchestrator.resume(saga_id))
            return
        expect = seen.revision if dice.random() < 0.5 else None
        every = [one.step_id for one in seen.steps if "[" not in one.step_id]
        step = seen.current_step_id
        if step is None or dice.random() < 0.2:
            step = dice.choice([one.step_id for one in seen.steps] or ["none"])
        whole = step.partition("[")[0]
        given: object = None
        if whole.startswith("step") or "[" in step:
            given = Job(3)
        elif whole.startswith("items"):
            given = [Job(3)]
        elif whole.startswith("event"):
            given = Note(-2)
        soon = datetime.fromtimestamp(self._judge.time_of_day, UTC) + timedelta(seconds=4 * dice.random() - 1)
        said: dict[str, Any] = {"expect": expect, "reason": reason}  # Any: options of all verbs
        calls: dict[str, Callable[[], Awaitable[None]]] = {
            "abort": lambda: admin.abort(saga_id, **said),
            "cancel": lambda: admin.cancel(saga_id, **said),
            "retry": lambda: admin.retry_step(saga_id, step, **said),
            "retry_with_input": lambda: admin.retry_step(saga_id, step, input=seen.context["initial_data"], **said),
            "skip": lambda: admin.skip_step(saga_id, step, given, **said),
            "settle_done": lambda: admin.settle_done(saga_id, step, given, **said),
            "settle_undone": lambda: admin.settle_undone(saga_id, step, **said),
            "settle_never_ran": lambda: admin.settle_never_ran(saga_id, step, **said),
            "rewind": lambda: admin.rewind(saga_id, whole, forget=every, **said),
            "reschedule": lambda: admin.reschedule(saga_id, soon, step=None if dice.random() < 0.5 else step, **said),
            "pause_saga": lambda: admin.pause_saga(saga_id, **said),
            "resume_saga": lambda: admin.resume_saga(saga_id, **said),
            "acknowledge": lambda: admin.acknowledge(saga_id, **said),
        }
        errors: list[SagaError] = []
        asked = Asked(saga_id, verb, reason)
        if verb != "acknowledge":
            # Before it is called: its caller may die, and the verb be applied all the same.
            self.told.asked.append(asked)
        if await self._call(verb, _true(calls[verb]()), errors):
            asked.answer = True
        elif any(isinstance(each, SagaStateError) and "did not answer" not in each.fact for each in errors):
            asked.answer = False

    async def _call(self, what: str, call: Awaitable[T], errors: list[SagaError] | None = None) -> T | None:
        """Gives the result of the call; None if it ends in an error of the library. Another error, or no end, is a finding."""
        try:
            async with asyncio.timeout(LONGEST_CALL):
                return await call
        except (SagaResultTimeoutError, SagaParkedError) as error:
            self.told.refusals[type(error).__name__] += 1
        except SagaError as error:
            self.told.refusals[f"{what}: {error.fact}"[:60]] += 1
            if errors is not None:
                errors.append(error)
        except TimeoutError:
            self._judge.say(f"{what} has not returned for {LONGEST_CALL:g} s")
        except Exception as error:  # noqa: BLE001 - whatever it is, it should not have come out
            self._judge.say(f"{what} raised {type(error).__name__}: {error}")
        return None


async def _true(call: Awaitable[None]) -> bool:
    await call
    return True


__all__ = ["VERBS", "Asked", "Office", "People", "Sent", "Told", "is_odd"]
