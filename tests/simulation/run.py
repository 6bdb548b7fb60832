"""One seed, one run: sagas, people and faults on a machine of their own, from the first start to the last event."""

# pyright: reportPrivateUsage=false
# Rows are looked at as they are, and guards as they stand.

from __future__ import annotations

import asyncio
import random
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from functools import cached_property, partial
from typing import Any, Final, Literal, final
from uuid import UUID

import attrs

from saga_fn import (
    LeftOverKind,
    SagaAdmin,
    SagaAdminSnapshot,
    SagaDefinition,
    SagaDefinitionError,
    SagaError,
    SagaOrchestrator,
    SagaStatus,
    StepStatus,
)
from saga_fn.outgoing import OutgoingOptions
from saga_fn.store.memory import MemoryStore
from tests.faults.chaos.sagas import Job
from tests.simulation.definitions import TOPIC, Code, Drawn, define, draw, retention_of
from tests.simulation.judge import Judge
from tests.simulation.machine import Machine, Node, StuckError, governed
from tests.simulation.network import CALM, Link, Network, Weather
from tests.simulation.outside import Effect, Outside
from tests.simulation.people import Asked, Office, People

FaultKind = Literal["crash", "stop", "cut", "slow", "leave"]
KINDS: Final[tuple[FaultKind, ...]] = ("crash", "crash", "stop", "cut", "slow", "leave")
STORED: Final = frozenset({"accepted", "buffered", "kept", "duplicate"})
_QUIET: Final = 1500.0
"""Seconds within which all that can go on by itself has done so, once nothing is in its way."""
_LONGER_THAN_KEPT: Final = 9 * 86_400.0
"""Seconds after which the retention of every definition is over."""
_DYING: Final = 90.0
"""Seconds within which each process dies once more while sagas are deleted."""
_RESUMING: Final = frozenset(
    {"retry", "retry_with_input", "cancel", "settle_undone", "settle_done", "settle_never_ran", "rewind"}
)
Act = Callable[[Office], Coroutine[Any, Any, None]]  # Any: as asyncio has it
MakeStore = Callable[[Callable[[], float]], MemoryStore]


@attrs.frozen
class Case:
    """One run. Each saga, deed and fault follows from the seed and its number alone, so that any may be left out."""

    seed: int
    sagas: tuple[int, ...] = tuple(range(100))
    """The numbers of the starts."""
    deeds: tuple[int, ...] = tuple(range(150))
    """The numbers of what people do beside."""
    faults: tuple[int, ...] = tuple(range(14))
    """The numbers of what befalls processes."""
    kinds: tuple[FaultKind, ...] = KINDS
    """The kinds of faults, each as likely as it is often here."""
    definitions: int = 4
    processes: int = 3
    seconds: float = 60.0
    """For how long people and faults go on; after that all comes to its end."""
    bad_weather: bool = True
    """Whether requests to the store are refused, lost or late."""
    storm: float = 1.0
    """How many times as often."""
    tame: bool = False
    """Whether all steps do what they are asked for at once."""
    tamed: tuple[str, ...] = ()
    """Those of `definitions.FEATURES` that no definition has."""
    without: tuple[str, ...] = ()
    """Steps that are left out, as in `saga-0/step-1`."""
    builds: int = 1
    """How many builds of each definition there are; each life of a process has one of them."""
    deletes: bool = False
    """Whether definitions have a retention, and all go on long after the ends of their sagas."""


@attrs.frozen
class Report:
    """The outcome of a run."""

    case: Case
    wrong: tuple[str, ...]
    """The findings; there must be none."""
    digest: str
    """A fingerprint of all that has happened."""
    sagas: int
    ends: Counter[str]
    counts: Counter[str]
    requests: int
    seconds: float
    """How long it took, in its own time."""


def run(case: Case, make_store: MakeStore | None = None, *, lying: bool = False) -> Report:
    """Run it. `make_store` gives another store than MemoryStore, and `lying` another world: for tests of this judge."""
    machine = Machine(f"{case.seed}")
    with governed(machine, f"{case.seed}"):
        return _Run(case, machine, make_store, lying=lying).run()


@final
class _Run:
    def __init__(self, case: Case, machine: Machine, make_store: MakeStore | None, *, lying: bool) -> None:
        seed = f"{case.seed}"
        self._case, self._machine, self._seed = case, machine, seed
        self._dice = random.Random(f"{seed} run")
        clock = machine.time.time
        self._store = MemoryStore(clock=clock) if make_store is None else make_store(clock)
        self._judge = Judge(machine, self._store)
        self._network = Network(machine, self._store, seed, self._judge.served)
        self._outside = Outside(machine, self._judge, seed)
        self._outside.lying = lying
        self._code = Code(machine, self._outside, seed, tame=case.tame)
        self._defined = [self._sound(number) for number in range(case.definitions)]
        self._drawn = [drawn for drawn, _ in self._defined]
        self._judge.retentions = {drawn.name: builds[0].retention for drawn, builds in self._defined}
        self._people = People(seed, self._drawn, self._judge)
        self._offices: dict[str, Office] = {}
        self._lives: Counter[str] = Counter()
        self._lease = timedelta(seconds=self._dice.choice((3, 6, 15)))
        self._slots = self._dice.choice((2, 6, 16))

    def _sound(self, number: int) -> tuple[Drawn, list[SagaDefinition[Job, Any]]]:  # Any: results of all types
        """The builds of the definition that was drawn: an unsound wish is given up."""
        case = self._case
        retention = retention_of(self._seed, number, self._code) if case.deletes else None
        drawn = draw(self._seed, number, case.tamed, case.without)
        for given_up in ((), ("deadline",), ("deadline", "pivot")):
            try:
                found = drawn if not given_up else draw(self._seed, number, (*case.tamed, *given_up), case.without)
                builds = range(case.builds)
                return found, [define(found, self._code, build=each, retention=retention) for each in builds]
            except SagaDefinitionError:
                continue
        raise AssertionError(f"no definition can be made of {drawn}")

    def run(self) -> Report:
        case, machine = self._case, self._machine
        for number in range(case.processes):
            self._begin(f"worker-{number}")
        if case.bad_weather:
            dice = self._dice
            self._network.weather = Weather(
                0.03 * dice.random() ** 2, 0.03 * dice.random() ** 2, 0.02 * dice.random() ** 2
            )
        for number in case.sagas:
            at = case.seconds * 0.6 * random.Random(f"{self._seed} when {number}").random()
            machine.after(at, partial(self._spawn, f"start {number}", partial(self._people.start, number)))
        for number in case.deeds:
            at = case.seconds * random.Random(f"{self._seed} deed at {number}").random()
            machine.after(at, partial(self._spawn, f"deed {number}", partial(self._people.act, number)))
        for number in case.faults:
            self._befall(number)
        try:
            machine.run(case.seconds)
            if not machine.halted:
                self._heal()
                machine.run(case.seconds + 40)  # the longest fault, and calls that are on their way
            if not machine.halted:
                self._do(self._resume_names)
                machine.run(machine.now + _QUIET, self._is_quiet)
            if not machine.halted:
                self._finish()
            if case.deletes and not machine.halted:
                self._outlive()
        except StuckError as stuck:
            self._judge.say(f"{stuck} does one thing after another, and time does not move")
        except Exception:  # noqa: BLE001 - the other seeds run all the same, and this one is made smaller
            self._judge.say(f"the simulation itself failed: {traceback.format_exc()}")
        return self._report()

    # Processes.

    def _begin(self, name: str) -> None:
        """Begin a process of that name, one life more of it."""
        self._lives[name] += 1
        build = random.Random(f"{self._seed} build {name} {self._lives[name]}").randrange(self._case.builds)
        node = self._machine.begin(f"{name}.{self._lives[name]}")
        orchestrator = SagaOrchestrator(
            Link(self._network, node),  # type: ignore[arg-type]  # it has all methods of the store, by __getattr__
            lease=self._lease,
            concurrency=self._slots,
            poll_interval=timedelta(seconds=2),
            stop_timeout=timedelta(seconds=4),
            publishers={TOPIC: self._outside.publisher(node)},
            outgoing=OutgoingOptions(first_delay=timedelta(seconds=0.5), longest_delay=timedelta(seconds=4)),
        )
        handles = [
            orchestrator.register(drawn.name, builds[build], concurrency=None if place else 4)
            for place, (drawn, builds) in enumerate(self._defined)
        ]
        self._offices[name] = Office(node, orchestrator, handles)
        _ = node.loop.create_task(self._enter(node, orchestrator))

    async def _enter(self, node: Node, orchestrator: SagaOrchestrator) -> None:
        engine = orchestrator.engine
        begin_life = engine.begin_life

        def begin() -> None:
            begin_life()
            self._judge.owners[engine.owner] = node

        engine.begin_life = begin  # type: ignore[method-assign]  # each life is an owner of its own
        self._judge.owners[engine.owner] = node
        while True:
            try:
                _ = await orchestrator.__aenter__()
            except SagaError:
                await asyncio.sleep(1)
            else:
                self._judge.owners[engine.owner] = node
                return

    def _spawn(self, what: str, act: Act) -> None:
        """Have something done in a process that runs, whichever the dice say."""
        dice = random.Random(f"{self._seed} {what} where")
        for name in dice.sample(sorted(self._offices), len(self._offices)):
            office = self._offices[name]
            if office.node.runs and office.orchestrator.entered:
                _ = office.node.loop.create_task(act(office))
                return

    # Faults.

    def _befall(self, number: int) -> None:
        case, machine = self._case, self._machine
        dice = random.Random(f"{self._seed} fault {number}")
        at, kind = case.seconds * dice.random(), dice.choice(case.kinds)
        name, length = f"worker-{dice.randrange(case.processes)}", 25 * dice.random() ** 2
        turns = dice.randrange(1, 12)
        machine.after(at, lambda: self._fault_soon(turns, kind, name, length))

    def _fault_soon(self, turns: int, kind: FaultKind, name: str, length: float) -> None:
        """Have it befall a process after some turns of its loop, for it is at rest whenever time moves."""
        office = self._offices.get(name)
        if office is not None and office.node.runs:
            office.node.soon.append((turns, lambda: self._fault(kind, name, office.node, length)))

    def _fault(self, kind: FaultKind, name: str, node: Node, length: float) -> None:
        machine, office = self._machine, self._offices.get(name)
        if office is None or office.node is not node or not node.runs:
            return
        self._judge.counts[f"fault {kind}"] += 1
        match kind:
            case "crash":
                self._die(name)
                machine.after(length, lambda: self._revive(name))
            case "stop":
                node.stopped = True
                machine.after(length, lambda: self._wake(node))
            case "cut":
                node.unreachable = True
                machine.after(length, lambda: setattr(node, "unreachable", False))
            case "slow":
                node.slow = 300.0
                machine.after(length, lambda: setattr(node, "slow", 1.0))
            case "leave":
                _ = node.loop.create_task(self._leave(name, office, length))

    def _die(self, name: str) -> None:
        office = self._offices.pop(name)
        self._machine.kill(office.node)
        self._network.listeners.pop(office.node, None)

    def _revive(self, name: str) -> None:
        if name not in self._offices:
            self._begin(name)

    def _wake(self, node: Node) -> None:
        node.stopped = False

    async def _leave(self, name: str, office: Office, length: float) -> None:
        """Stop it as a deploy does, and begin it again."""
        await office.orchestrator.__aexit__(None, None, None)
        self._machine.after(0.0, lambda: self._left(name, office.node, length))

    def _left(self, name: str, node: Node, length: float) -> None:
        office = self._offices.get(name)
        if office is not None and office.node is node and node.alive:
            self._die(name)
            self._machine.after(length, lambda: self._revive(name))

    def _heal(self) -> None:
        """Nothing is in the way of anything from here on."""
        self._network.weather = CALM
        for office in list(self._offices.values()):
            office.node.stopped, office.node.unreachable, office.node.slow = False, False, 1.0
            office.node.soon.clear()
        for number in range(self._case.processes):
            self._revive(f"worker-{number}")

    def _is_quiet(self) -> bool:
        """Whether nothing goes on by itself any more."""
        return all(
            saga.record.ended_at is not None or (saga.record.owner is None and saga.record.due_at is None)
            for saga in self._store._sagas.values()
        ) and all(not kept or kept[0].record.dead_at is not None for kept in self._store.outgoing._messages.values())

    # The end.

    def _open(self) -> list[Office]:
        """Those that work: a process that has come back is not there before its orchestrator is entered."""
        return [office for _, office in sorted(self._offices.items()) if office.orchestrator.entered]

    def _do(self, work: Act) -> None:
        """Have something done by the first that works, and wait for it."""
        self._machine.run(self._machine.now + 600, lambda: bool(self._open()))
        if not (offices := self._open()):
            self._judge.say("no process has come back for 600 s")
            return
        office = offices[0]
        task = office.node.loop.create_task(work(office))
        self._machine.run(self._machine.now + 600, task.done)
        if self._machine.halted:
            return
        if not task.done():
            self._judge.say(f"{work} has not returned for 600 s")
        elif task.exception() is not None:
            self._judge.say(f"{work} raised {task.exception()!r}")

    async def _resume_names(self, office: Office) -> None:
        """End the pauses whose beginners have died."""
        admin = SagaAdmin(office.orchestrator, actor="sim")
        for pause in await admin.pauses():
            assert pause.saga_name is not None
            _ = await admin.resume(pause.saga_name, extend=True, reason="the end")

    def _finish(self) -> None:
        """Have a person end all that waits for one, and look at what has become of everything."""
        for left in (2, 1, 0):
            waiting = [saga_id for saga_id, saga in self._store._sagas.items() if saga.record.ended_at is None]
            for saga_id in waiting:
                self._settled(saga_id)
            if waiting:
                self._do(partial(self._operate, waiting, left == 0))
                self._machine.run(self._machine.now + _QUIET, self._is_quiet)
            if self._machine.halted:
                return
        for saga_id, saga in self._store._sagas.items():
            if saga.record.ended_at is None:
                self._judge.say(
                    f"saga {saga_id} has not ended, though an operator has aborted it: {saga.record.status}"
                )
        self._do(self._look)
        self._told()
        for name, office in sorted(self._offices.items()):
            for each in office.node.loop.unhandled:
                self._judge.say(f"{name}: {each.get('message')} {each.get('exception')!r}")

    def _settled(self, saga_id: UUID) -> None:
        row = self._store._sagas[saga_id].record
        if row.owner is not None or row.due_at is not None:
            self._judge.say(f"saga {saga_id} is {row.status} and due at {row.due_at}, and nobody has gone on with it")

    async def _operate(self, waiting: Sequence[UUID], last: bool, office: Office) -> None:
        admin = SagaAdmin(office.orchestrator, actor="sim")
        for saga_id in waiting:
            seen = await admin.get_saga(saga_id)
            if seen.status.is_terminal:
                continue
            dice = random.Random(f"{self._seed} {saga_id} {seen.revision}")
            place = next(place for place, each in enumerate(self._drawn) if each.name == seen.saga_name)
            verb = (
                "abort"
                if last
                else dice.choice(
                    (
                        "cancel",
                        "retry",
                        "skip",
                        "settle_undone",
                        "settle_done",
                        "rewind",
                        "resume_saga",
                        "settle_never_ran",
                    )
                )
            )
            reason = f"end of {saga_id} at {seen.revision} by {verb}"
            await self._people.ask(office, admin, seen, place, verb, dice, reason)

    async def _look(self, office: Office) -> None:
        admin = SagaAdmin(office.orchestrator)
        for saga_id in list(self._store._sagas):
            if (
                saga_id.int % 8 == 0
            ):  # the judge has folded every journal, event by event: this is about `verify` itself
                for line in await admin.verify(saga_id):
                    self._judge.say(f"saga {saga_id}: {line}")
            seen = await admin.get_saga(saga_id)
            self._truth(seen)
            self._verbs(seen)
            events = Counter(str(each.output) for each in seen.step_history if each.kind == "event_received")
            for number, times in events.items():
                if times > 1:
                    self._judge.say(f"event {number} was taken {times} times by saga {saga_id}")

    def _truth(self, seen: SagaAdminSnapshot) -> None:
        """The books of the world agree with what the saga says."""
        drawn = next(each for each in self._drawn if each.name == seen.saga_name)
        by_hand = {
            each.step_id
            for each in seen.step_history
            if each.step_id
            and (
                each.skipped
                or each.kind == "step_settled"
                or (each.kind == "retry_requested" and each.input is not None)
            )
        }
        rewound = any(each.kind == "rewind_requested" for each in seen.step_history)
        left_over: dict[str, LeftOverKind] = {left.step_id: left.kind for left in seen.left_over}
        back = seen.status in {SagaStatus.COMPENSATED, SagaStatus.FAILED}
        books = self._books[seen.id]
        for step in seen.steps:
            owner = step.step_id.partition("[")[0]
            if step.step_id in by_hand or owner in by_hand or rewound:
                continue
            where = f"step {step.step_id} of saga {seen.id} ({seen.saga_name}, {seen.status}, {step.status})"
            effects = books.get(step.step_id, ())
            stands, left = any(each.stands for each in effects), left_over.get(step.step_id)
            keys = {key for each in effects for key in each.keys}
            acts = owner in drawn.acting or step.step_id != owner
            if left in {LeftOverKind.NOT_UNDONE, LeftOverKind.OUTPUT_LOST} and not stands:
                self._judge.say(f"{where} is said to be left over ({left}), and does not stand in the books")
            elif step.status is StepStatus.SUCCEEDED and acts and not stands:
                self._judge.say(f"{where} does not stand in the books")
            elif step.status is StepStatus.SKIPPED and keys:
                self._judge.say(f"{where} was executed")
            elif step.status is StepStatus.COMPENSATED and stands:
                self._judge.say(f"{where} still stands in the books")
            elif (
                stands
                and back
                and left is None
                and (owner not in drawn.not_undoable or step.status is not StepStatus.SUCCEEDED)
            ):
                self._judge.say(f"{where} stands in the books, and is not named among what is left over")
            if len(keys) > 1:
                self._judge.say(f"{where} was done under {len(keys)} keys")

    @cached_property
    def _books(self) -> defaultdict[UUID, dict[str, list[Effect]]]:
        """The books of the world, by saga and step."""
        found: defaultdict[UUID, dict[str, list[Effect]]] = defaultdict(dict)
        for (saga_id, step, _), effect in self._outside.effects.items():
            found[saga_id].setdefault(step, []).append(effect)
        return found

    def _verbs(self, seen: SagaAdminSnapshot) -> None:
        reasons = Counter(each.reason for each in seen.step_history if each.reason is not None)
        for asked in self._people.told.asked:
            if asked.saga == seen.id:
                self._verb(asked, reasons[asked.reason])

    def _verb(self, asked: Asked, times: int) -> None:
        where = f"{asked.verb} of saga {asked.saga} ({asked.reason})"
        if times > 1:
            self._judge.say(f"{where} was applied {times} times")
        if asked.answer is True and not times:
            self._judge.say(f"{where} was said to be applied, and was not")
        if asked.answer is False and times:
            self._judge.say(f"{where} was said to be refused, and was applied")

    def _told(self) -> None:
        """Everything that people were told has stayed true."""
        told, rows, say = self._people.told, self._store._sagas, self._judge.say
        for saga_id in told.started:
            if saga_id not in rows:
                say(f"saga {saga_id} was accepted and is not there")
        resumed = {asked.saga for asked in told.asked if asked.verb in _RESUMING and asked.answer is not False}
        for saga_id, end in told.ends:
            now = rows[saga_id].record.status
            if now != end and not (end is SagaStatus.FAILED and saga_id in resumed):
                say(f"saga {saga_id} was said to have ended {end}, and is {now}")
        for key, under in self._outside.begun.items():
            if len(under) > 1:
                say(f"{key[2]} of {key[1]} of saga {key[0]} was begun under {len(under)} keys")
        for sent in told.sent:
            if sent.answer in STORED and isinstance(sent.target, UUID) and not self._has(sent.target, sent.number):
                say(f"event {sent.number} for saga {sent.target} was answered {sent.answer}, and is lost")
        for saga_id, got in self._outside.published.items():
            written = self._judge.messages[saga_id]
            if unknown := [each for each in got if each not in written]:
                say(f"{len(unknown)} messages of saga {saga_id} were published, and no commit has written them")
            elif [each for each in written if each in got] != got:
                say(f"the messages of saga {saga_id} were published in another order than they were written")
        for saga_id, written in self._judge.messages.items():
            left = self._store.outgoing._messages.get(saga_id, [])
            missing = set(written) - set(self._outside.published[saga_id])
            if missing and saga_id not in told.discarded and len(left) < len(missing) - self._calls(saga_id):
                say(f"{len(missing)} messages of saga {saga_id} are lost")

    def _calls(self, saga_id: UUID) -> int:
        """How many of the messages of a saga may be calls of hooks: no broker gets these."""
        drawn = next(each for each in self._drawn if each.name == self._store._sagas[saga_id].record.name)
        return 1 if drawn.hooks else 0

    def _has(self, saga_id: UUID, number: int) -> bool:
        saga = self._store._sagas.get(saga_id)
        return saga is not None and (
            saga.record.ended_at is not None
            or any(f'"number":{number}'.encode() in (e.payload or b"") for e in saga.journal)
        )

    # The deletion.

    def _outlive(self) -> None:
        """All processes are away until each retention is over; then sagas are deleted, though processes die meanwhile."""
        machine, dice = self._machine, random.Random(f"{self._seed} deletion")
        for name in sorted(self._offices):
            self._die(name)
        machine.time.advance_to(machine.now + _LONGER_THAN_KEPT)
        for number in range(self._case.processes):
            name = f"worker-{number}"
            self._revive(name)
            machine.after(_DYING * dice.random(), partial(self._die_and_come_back, name))
        calm = machine.now + _DYING
        machine.run(machine.now + _QUIET, lambda: machine.now > calm and self._is_deleted())
        for saga in self._store._sagas.values():
            if not self._judge.is_kept(saga.record):
                self._judge.say(f"saga {saga.record.id} is not deleted, though its retention is over")
        if not machine.halted:
            self._do(self._start_again)

    def _die_and_come_back(self, name: str) -> None:
        self._die(name)
        self._machine.after(5.0, partial(self._revive, name))

    def _is_deleted(self) -> bool:
        rows = self._store._sagas.values()
        return len(self._offices) == self._case.processes and all(self._judge.is_kept(saga.record) for saga in rows)

    async def _start_again(self, office: Office) -> None:
        """Repeat the starts that had a key: the tombstone of a saga that was deleted still knows it."""
        for (name, request), first in sorted(self._people.told.keyed.items()):
            place = next(place for place, each in enumerate(self._drawn) if each.name == name)
            again = await office.handles[place].start(Job(int(request.partition("-")[2]) * 2), idempotency_key=request)
            if again.id != first or again.created:
                self._judge.say(f"{request} has started saga {again.id}, after {first} was deleted")

    def _report(self) -> Report:
        rows = [*(saga.record for saga in self._store._sagas.values()), *self._judge.deleted.values()]
        return Report(
            case=self._case,
            wrong=tuple(self._judge.wrong),
            digest=self._judge.digest,
            sagas=len(rows),
            ends=Counter(str(row.status) for row in rows),
            counts=self._judge.counts,
            requests=self._network.requests,
            seconds=self._machine.now,
        )
