"""Whatever the store says, a public call raises an error of the public tree: never one that the library's parts tell each other."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import asyncpg
import attrs
import pytest
from returns.result import Failure

import saga_fn
from saga_fn import (
    Cancel,
    Delivery,
    Event,
    MemoryStore,
    PayloadError,
    Retention,
    SagaAdmin,
    SagaBuilder,
    SagaError,
    SagaFilter,
    SagaHandle,
    SagaOrchestrator,
    SagaRun,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from saga_fn.admin import StepAdmin
from saga_fn.sender import EventSender
from saga_fn.store.errors import RowLockedError, RowRejectedError, StoreBusyError
from saga_fn.store.protocol import (
    Deletion,
    KeptEvents,
    Lists,
    Operations,
    OutgoingMessages,
    Pauses,
    Processes,
    SentEvents,
    Store,
)
from tests.support.approval import Approval, approval, approved
from tests.support.servers import Server
from tests.support.shop import Done, Order, Shop
from tests.support.until import suspended

FACES: Final = (SagaOrchestrator, SagaHandle, SagaRun, SagaAdmin, StepAdmin, EventSender)
PUBLIC: Final = {kind for kind in vars(saga_fn).values() if isinstance(kind, type) and issubclass(kind, SagaError)}
SHORT: Final = timedelta(milliseconds=50)


@attrs.define
class Stage:
    orchestrator: SagaOrchestrator
    handle: SagaHandle[Order, Approval]
    run: SagaRun[Approval]

    def call(self, name: str) -> Awaitable[object]:
        """A call of that public coroutine that reaches the store."""
        orchestrator, handle, run = self.orchestrator, self.handle, self.run
        admin = SagaAdmin(orchestrator)
        of_step = admin.step(run.id, SagaBuilder(Order).add_event(approval))
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "SagaOrchestrator.start": lambda: orchestrator.start(saga_name="approved", initial_data=Order("2")),
            "SagaOrchestrator.start_many": lambda: orchestrator.start_many(
                saga_name="approved", initial_data=[Order("2")]
            ),
            "SagaOrchestrator.send_many": lambda: _sent(orchestrator),
            "SagaOrchestrator.notify": lambda: orchestrator.notify(run.id, uuid4(), {}),
            "SagaOrchestrator.run_due": orchestrator.run_due,
            "SagaOrchestrator.run_until_idle": orchestrator.run_until_idle,
            "SagaOrchestrator.resume": lambda: orchestrator.resume(run.id),
            "SagaOrchestrator.get_snapshot": lambda: orchestrator.get_snapshot(run.id),
            "SagaOrchestrator.__aenter__": orchestrator.__aenter__,
            "SagaOrchestrator.run_forever": orchestrator.run_forever,
            "SagaHandle.start": lambda: handle.start(Order("2")),
            "SagaHandle.start_many": lambda: handle.start_many([Order("2")]),
            "SagaHandle.run": lambda: handle.run(Order("2"), timeout=SHORT),
            "SagaRun.result": lambda: run.result(SHORT),
            "SagaRun.outcome": lambda: run.outcome(SHORT),
            "SagaRun.snapshot": run.snapshot,
            "SagaAdmin.get_saga": lambda: admin.get_saga(run.id),
            "SagaAdmin.explain": lambda: admin.explain(run.id),
            "SagaAdmin.export": lambda: admin.export(run.id),
            "SagaAdmin.list": admin.list,
            "SagaAdmin.count": admin.count,
            "SagaAdmin.find": lambda: admin.find("approved", "order-1"),
            "SagaAdmin.retry_step": lambda: admin.retry_step(run.id, "reserve"),
            "SagaAdmin.cancel": lambda: admin.cancel(run.id),
            "SagaAdmin.rewind": lambda: admin.rewind(run.id, "reserve", forget=["reserve"]),
            "SagaAdmin.compensate_step": lambda: admin.compensate_step(run.id),
            "SagaAdmin.skip_step": lambda: admin.skip_step(run.id, "approval", Approval("ann")),
            "SagaAdmin.settle_done": lambda: admin.settle_done(run.id, "approval", Approval("ann")),
            "SagaAdmin.settle_undone": lambda: admin.settle_undone(run.id, "reserve"),
            "SagaAdmin.pause": lambda: admin.pause("approved"),
            "SagaAdmin.pause_all": admin.pause_all,
            "SagaAdmin.resume": lambda: admin.resume("approved"),
            "SagaAdmin.resume_all": admin.resume_all,
            "SagaAdmin.pause_saga": lambda: admin.pause_saga(run.id),
            "SagaAdmin.resume_saga": lambda: admin.resume_saga(run.id),
            "SagaAdmin.pauses": admin.pauses,
            "SagaAdmin.stats": admin.stats,
            "SagaAdmin.processes": admin.processes,
            "SagaAdmin.start_now": lambda: admin.start_now(run.id),
            "SagaAdmin.reschedule": lambda: admin.reschedule(run.id, datetime.now(UTC)),
            "SagaAdmin.settle_never_ran": lambda: admin.settle_never_ran(run.id, "reserve"),
            "SagaAdmin.acknowledge": lambda: admin.acknowledge(run.id),
            "SagaAdmin.prune": lambda: admin.prune("approved", retention=Retention(completed=timedelta(days=1))),
            "SagaAdmin.abort": lambda: admin.abort(run.id),
            "SagaAdmin.kept_events": admin.kept_events,
            "SagaAdmin.discard_kept": lambda: admin.discard_kept("approved", "order-1"),
            "SagaAdmin.outgoing": admin.outgoing,
            "SagaAdmin.redrive": lambda: admin.redrive(uuid4()),
            "SagaAdmin.discard": lambda: admin.discard(uuid4()),
            "SagaAdmin.preview": lambda: admin.preview(SagaFilter(active=True), Cancel()),
            "SagaAdmin.begin_operation": lambda: admin.begin_operation(SagaFilter(active=True), Cancel()),
            "SagaAdmin.continue_operation": lambda: admin.continue_operation(run.id),
            "SagaAdmin.stop_operation": lambda: admin.stop_operation(run.id),
            "SagaAdmin.get_operation": lambda: admin.get_operation(run.id),
            "SagaAdmin.list_operations": admin.list_operations,
            "SagaAdmin.verify": lambda: admin.verify(run.id),
            "StepAdmin.retry": of_step.retry,
            "StepAdmin.skip": lambda: of_step.skip(Approval("ann")),
            "StepAdmin.settle_done": lambda: of_step.settle_done(Approval("ann")),
            "StepAdmin.settle_undone": of_step.settle_undone,
            "StepAdmin.rewind": lambda: of_step.rewind(forget=["reserve"]),
            "StepAdmin.settle_never_ran": of_step.settle_never_ran,
            "EventSender.send": lambda: orchestrator.to(("approved", "order-9"), approval).send(Approval("ann")),
        }
        return calls[name]()


async def _sent(orchestrator: SagaOrchestrator) -> None:
    """The failure among the outcomes, raised."""
    (end,) = await orchestrator.send_many(approval, [(("approved", "order-9"), Approval("ann"))])
    if isinstance(end, Failure):
        raise end.failure()


def coroutines() -> Iterator[str]:
    """Every public coroutine there is. `health` tells of what it meets, and an exit hands back what it can."""
    for face in FACES:
        for name, member in inspect.getmembers(face):
            shown = f"{face.__name__}.{name}"
            told = shown in ("SagaOrchestrator.health", "SagaOrchestrator.committed", "SagaOrchestrator.__aexit__")
            if inspect.iscoroutinefunction(member) and not told and (not name.startswith("_") or name == "__aenter__"):
                yield shown


def methods(protocol: type[Any]) -> list[str]:  # Any: a protocol
    return [name for name, member in vars(protocol).items() if inspect.iscoroutinefunction(member)]


def test_every_class_that_reaches_a_store_is_tried() -> None:
    made = {each for each in vars(saga_fn).values() if isinstance(each, type) and each.__module__.count(".") == 1}
    faces = {each for each in made if any(inspect.iscoroutinefunction(member) for member in vars(each).values())}
    assert faces <= set(FACES), "add it here, and let only_public_errors judge it"


@pytest.mark.raw_rows
@pytest.mark.parametrize("name", list(coroutines()))
@pytest.mark.parametrize(
    "error, public",
    [
        (RowRejectedError("a value cannot be sent"), (StoreError, PayloadError)),
        (StoreBusyError("given up"), (StoreUnavailableError,)),
        (RowLockedError("locked"), (StoreUnavailableError, saga_fn.StartBusyError)),
    ],
)
async def test_what_the_librarys_parts_tell_each_other_does_not_come_out(
    memory: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: StoreError,
    public: tuple[type[SagaError], ...],
) -> None:
    orchestrator = SagaOrchestrator(memory, key_wait=timedelta(milliseconds=10))
    handle = orchestrator.register("approved", approved(Shop()))
    run = await handle.start(Order("1"), aggregation_id="order-1")
    await orchestrator.run_until_idle()
    await suspended(run)

    async def fails(*_: object, **__: object) -> None:
        raise error

    faces: tuple[tuple[object, type[Any]], ...] = (  # Any: protocols
        (memory, Store),
        (memory.kept_events, KeptEvents),
        (memory.sent_events, SentEvents),
        (memory.processes, Processes),
        (memory.lists, Lists),
        (memory.operations, Operations),
        (memory.pauses, Pauses),
        (memory.deletion, Deletion),
        (memory.outgoing, OutgoingMessages),
    )
    for part, protocol in faces:
        for method in methods(protocol):
            if method != "close":
                monkeypatch.setattr(part, method, fails)
    with pytest.raises(SagaError) as raised:
        await Stage(orchestrator, handle, run).call(name)
    assert type(raised.value) in PUBLIC
    assert isinstance(raised.value, public)
    assert raised.value.hint


async def test_a_name_that_the_databases_encoding_cannot_hold_is_told_as_such(server: Server) -> None:
    name = "saga_fn_test_latin1_names"
    connection = await asyncpg.connect(server.dsn)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        async with SagaOrchestrator(server.dsn_of(name), migrate=True, concurrency=0) as orchestrator:
            admin = SagaAdmin(orchestrator)
            sender = orchestrator.to(("\u4e2d", "key"), Event("approval", Done), may_be_new=True)
            for call in (admin.kept_events("\u4e2d"), admin.discard_kept("a", "\u4e2d"), sender.send(Done("x"))):
                with pytest.raises(PayloadError, match="encoding") as raised:
                    await call
                assert type(raised.value) in PUBLIC
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


@pytest.mark.raw_rows
async def test_a_counter_that_cannot_be_raised_is_told_by_a_public_error(any_dsn: str) -> None:
    connection = await asyncpg.connect(any_dsn)
    try:
        async with SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
            handle = orchestrator.register("approved", approved(Shop()))
            run = await handle.start(Order("1"), aggregation_id="order-1")
            await connection.execute("UPDATE saga_fn.saga SET inbox_sent = 9223372036854775807 WHERE id = $1", run.id)
            for target in (run.id, ("approved", "order-1")):
                with pytest.raises(StoreRefusedError) as raised:
                    await orchestrator.to(target, approval).send(Approval("ann"))
                assert type(raised.value) in PUBLIC
            other = await handle.start(Order("2"))
            assert await orchestrator.to(other.id, approval).send(Approval("ann")) is Delivery.BUFFERED
    finally:
        await connection.close()
