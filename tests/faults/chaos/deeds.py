"""What people and other services do meanwhile: they start sagas, send events, call operators' verbs, and await ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

import asyncpg
import attrs

from saga_fn import (
    Compensated,
    Completed,
    Failed,
    SagaAdmin,
    SagaAdminSnapshot,
    SagaError,
    SagaHandle,
    SagaOrchestrator,
    SagaParkedError,
    SagaResultTimeoutError,
    SagaRun,
    SagaStateError,
    SagaStatus,
)
from saga_fn.store.driver_errors import DRIVER_ERRORS
from tests.faults.chaos.sagas import WAITS_FOR, Job, Note
from tests.faults.chaos.told import Asked, Sent, Told

T = TypeVar("T")

LONGEST_CALL: Final = 75.0
"""Seconds after which a call is taken for one that never returns; a verb waits a minute for an owner's answer."""
KEYED: Final = ("pay", "patient")
_KEYS: Final = 40
_VERBS: Final = ("abort", "cancel", "retry_step", "retry_with_input", "skip_step", "settle_undone", "rewind", "resume")


@attrs.frozen
class Office:
    """One way to the library: an orchestrator that works on nothing by itself, and its handles."""

    orchestrator: SagaOrchestrator
    handles: Mapping[str, SagaHandle[Job, Any]]  # Any: results of all types


@attrs.define
class Person:
    """A person who does one thing after another; what comes next follows from the dice."""

    dice: random.Random
    offices: Sequence[Office]
    told: Told
    dsn: str
    """For transactions of their own."""
    known: list[tuple[UUID, str]]
    """The sagas that people have started, by id and name; all people share it."""
    first: int
    """The first number of their own for sagas and events."""
    _numbers: int = 0

    async def live(self, until: Callable[[], bool]) -> None:
        """Do things until it is time to stop."""
        while not until():
            await self.do_something()
            await asyncio.sleep(0.12 * self.dice.random())

    async def do_something(self) -> None:
        """One deed."""
        office = self.dice.choice(self.offices)
        deeds: list[tuple[int, Callable[[Office], Awaitable[None]]]] = [
            (6, self._start),
            (4, self._start_keyed),
            (2, self._start_many),
            (3, self._start_within),
            (10, self._send),
            (5, self._send_by_key),
            (6, self._verb),
            (2, self._await),
            (3, self._look),
        ]
        deed = self.dice.choices([each for _, each in deeds], [weight for weight, _ in deeds])[0]
        self.told.deeds[deed.__name__.strip("_")] += 1
        await deed(office)

    async def _start(self, office: Office) -> None:
        name = self.dice.choice(list(office.handles))
        delay = self.dice.choice((None, None, None, timedelta(seconds=2 * self.dice.random())))
        run = await self.call("start", office.handles[name].start(Job(self._number()), delay=delay))
        if run is not None:
            self._accept(run, name, "start")

    async def _start_keyed(self, office: Office) -> None:
        name, number = self.dice.choice(list(office.handles)), self.dice.randrange(_KEYS)
        aggregation = f"key-{number}" if name in KEYED else None
        if aggregation is not None and self.dice.random() < 0.5:
            run = await self.call("start", office.handles[name].start(Job(number), aggregation_id=aggregation))
            if run is not None:
                self._accept(run, name, "business key")
            return
        other = 1000 if self.dice.random() < 0.05 else 0  # the same request with other data is a conflict
        key = f"request-{number}"
        run = await self.call("start", office.handles[name].start(Job(number + other), idempotency_key=key))
        if run is not None:
            self._accept(run, name, "idempotency key")
            self.told.keyed[name, key].append((run.id, run.created))

    async def _start_many(self, office: Office) -> None:
        name = self.dice.choice(list(office.handles))
        jobs = [Job(self._number()) for _ in range(self.dice.randint(1, 12))]
        for run in await self.call("start_many", office.handles[name].start_many(jobs)) or ():
            self._accept(run, name, "start_many")

    async def _start_within(self, office: Office) -> None:
        """Start sagas in a transaction of one's own, which may come to nothing."""
        name, commits = self.dice.choice(list(office.handles)), self.dice.random() < 0.5
        many, keyed = self.dice.randint(1, 3), self.dice.random() < 0.3
        pause = 0.2 * self.dice.random()
        made: list[SagaRun[Any]] = []  # Any: results of all types
        over = False
        try:
            async with asyncio.timeout(LONGEST_CALL):
                connection = await asyncpg.connect(self.dsn, timeout=10)
                try:
                    transaction = connection.transaction()
                    await transaction.start()
                    handle = office.handles[name]
                    key = f"within-{self.first}-{self._number()}" if keyed else None
                    run = await self.call(
                        "start within", handle.start(Job(self._number()), connection=connection, idempotency_key=key)
                    )
                    jobs = [Job(self._number()) for _ in range(many)]
                    more = await self.call("start_many within", handle.start_many(jobs, connection=connection))
                    made = [*([] if run is None else [run]), *(more or [])]
                    await asyncio.sleep(pause)
                    if commits:
                        await transaction.commit()
                    else:
                        await transaction.rollback()
                    over = True
                finally:
                    connection.terminate()
        except DRIVER_ERRORS:
            self.told.refusals["the caller's own connection"] += 1
        if not commits:  # no commit was ever asked for, whatever came instead of the rollback
            self.told.rolled_back |= {run.id for run in made}
        elif over:
            for run in made:
                self._accept(run, name, "transaction")

    async def _send(self, office: Office) -> None:
        """Send an event to a saga, perhaps one that nothing waits for yet, and perhaps twice."""
        found = self._somebody(*WAITS_FOR)
        if found is None:
            return
        saga_id, name = found
        event, number = self.dice.choice(WAITS_FOR[name]), self._number()
        sender = office.orchestrator.to(saga_id, event)
        about = await self._subject(office, saga_id) if name == "patient" else None
        for _ in range(self.dice.choice((1, 1, 1, 2))):
            sent = sender.send(Note(number), event_id=f"event-{number}", correlation_id=about)
            answer = await self.call("send", sent)
            if answer is not None:
                self.told.sent.append(Sent(saga_id, number, answer.value))

    async def _send_by_key(self, office: Office) -> None:
        """Send an event to the saga that is active under a business key, or will be."""
        name, subject = self.dice.choice(KEYED), self.dice.randrange(_KEYS)
        target = (name, f"key-{subject}")
        event, number = self.dice.choice(WAITS_FOR[name]), self._number()
        about = f"job {subject}" if name == "patient" else None
        if self.dice.random() < 0.03:
            admin = SagaAdmin(office.orchestrator)
            self.told.discarded.add(target)
            await self.call("discard_kept", admin.discard_kept(*target))
        for _ in range(self.dice.choice((1, 1, 1, 2))):
            sender = office.orchestrator.to(target, event)
            answer = await self.call(
                "send", sender.send(Note(number), event_id=f"event-{number}", correlation_id=about)
            )
            if answer is not None:
                self.told.sent.append(Sent(target, number, answer.value))

    async def _verb(self, office: Office) -> None:
        """Call a verb on a saga, as it is seen or as it was."""
        found = self._somebody()
        if found is None:
            return
        saga_id, name = found
        verb, dice = self.dice.choice(_VERBS), self.dice.random()
        admin = SagaAdmin(office.orchestrator, actor="chaos")
        if verb == "resume":
            await self.call("resume", office.orchestrator.resume(saga_id))
            return
        seen = await self._seen_fit(admin, saga_id, verb)
        if seen is None:
            return
        saga_id, name = seen.id, seen.saga_name
        step = self._step_of(seen)
        expect = seen.revision if dice < 0.5 else None
        reason = f"deed {self._number()}"
        given: object = None
        if verb == "skip_step" and not step.startswith(("sleep", "nap")):
            waits = step in {"wait", "approval", "call"}
            given = Note(-2) if waits else Job(0)
            if name == "spread" and step == "many":
                given = [Job(0)]
        every = [one.step_id for one in seen.steps if "[" not in one.step_id]
        whole = step.partition("[")[0]
        calls: dict[str, Callable[[], Awaitable[None]]] = {
            "abort": lambda: admin.abort(saga_id, expect=expect, reason=reason),
            "cancel": lambda: admin.cancel(saga_id, expect=expect, reason=reason),
            "retry_step": lambda: admin.retry_step(saga_id, step, expect=expect, reason=reason),
            "retry_with_input": lambda: admin.retry_step(
                saga_id, step, input=seen.context["initial_data"], expect=expect, reason=reason
            ),
            "rewind": lambda: admin.rewind(saga_id, whole, forget=every, expect=expect, reason=reason),
            "skip_step": lambda: admin.skip_step(saga_id, step, given, expect=expect, reason=reason),
            "settle_undone": lambda: admin.settle_undone(saga_id, step, expect=expect, reason=reason),
        }
        if verb == "abort" and dice < 0.5:
            return  # seldom: else little is left to look at
        answer = await self._asked(verb, calls[verb]())
        self.told.asked.append(Asked(saga_id, verb, reason, answer))

    async def _seen_fit(self, admin: SagaAdmin, saga_id: UUID, verb: str) -> SagaAdminSnapshot | None:
        """A saga for the verb: for most of them, if one is found soon, one that waits for a person or has failed."""
        seen = None
        for _ in range(6):
            seen = await self.call("get_saga", admin.get_saga(saga_id))
            stuck = seen is not None and (seen.parked is not None or seen.status is SagaStatus.FAILED)
            found = self._somebody()
            if stuck or verb == "abort" or found is None:
                break
            saga_id, _ = found
        return seen

    async def _asked(self, verb: str, call: Awaitable[None]) -> bool | None:
        refused: list[SagaError] = []
        done = await self.call(verb, _true(call), refused)
        if done:
            return True
        if any(isinstance(error, SagaStateError) and "did not answer" not in error.fact for error in refused):
            return False
        return None

    async def _await(self, office: Office) -> None:
        found = self._somebody()
        if found is None:
            return
        saga_id, name = found
        ended = await self.call("outcome", office.handles[name].attach(saga_id).outcome(timeout=1))
        match ended:
            case Completed():
                self.told.ends.append((saga_id, SagaStatus.COMPLETED))
            case Compensated():
                self.told.ends.append((saga_id, SagaStatus.COMPENSATED))
            case Failed():
                self.told.ends.append((saga_id, SagaStatus.FAILED))
            case _:
                pass

    async def _look(self, office: Office) -> None:
        """Look at things; nothing that is seen is judged, but it has to be seen."""
        admin = SagaAdmin(office.orchestrator)
        found = self._somebody()
        await self.call("health", office.orchestrator.health())
        await self.call("kept_events", admin.kept_events())
        if found is not None:
            await self.call("get_saga", admin.get_saga(found[0]))
            wrong = await self.call("verify", admin.verify(found[0]))
            self.told.strange += [f"saga {found[0]}, seen on its way: {line}" for line in wrong or ()]

    async def call(self, what: str, call: Awaitable[T], errors: list[SagaError] | None = None) -> T | None:
        """What it returns; None if it ends in an error of the library. Another error, or no end, is a finding."""
        try:
            async with asyncio.timeout(LONGEST_CALL):
                return await call
        except (SagaResultTimeoutError, SagaParkedError) as error:
            self.told.refusals[type(error).__name__] += 1
        except SagaError as error:
            is_root = type(error) is SagaError  # its fact alone says which
            self.told.refusals[f"{what}: {error.fact}"[:43] if is_root else type(error).__name__] += 1
            if errors is not None:
                errors.append(error)
        except TimeoutError:
            self.told.strange.append(f"{what} has not returned for {LONGEST_CALL:g} s")
        except Exception as error:  # noqa: BLE001 - whatever it is, it should not have come out
            self.told.strange.append(f"{what} raised {type(error).__name__}: {error}")
        return None

    async def _subject(self, office: Office, saga_id: UUID) -> str | None:
        seen = await self.call("get_saga", SagaAdmin(office.orchestrator).get_saga(saga_id))
        return None if seen is None else f"job {seen.context['initial_data']['number']}"

    def _step_of(self, seen: SagaAdminSnapshot) -> str:
        """The step that it is about, most of the time."""
        if seen.current_step_id is not None and self.dice.random() < 0.8:
            return seen.current_step_id
        return self.dice.choice([step.step_id for step in seen.steps] or ["none"])

    def _somebody(self, *names: str) -> tuple[UUID, str] | None:
        """A saga, of one of these names; a young one most of the time."""
        fitting = [each for each in self.known[-80:] if not names or each[1] in names]
        if self.dice.random() < 0.2:
            fitting = [each for each in self.known if not names or each[1] in names]
        return self.dice.choice(fitting) if fitting else None

    def _accept(self, run: SagaRun[Any], name: str, how: str) -> None:  # Any: results of all types
        self.told.started[run.id] = how
        self.known.append((run.id, name))

    def _number(self) -> int:
        self._numbers += 1
        return self.first + self._numbers


async def _true(call: Awaitable[None]) -> bool:
    await call
    return True
