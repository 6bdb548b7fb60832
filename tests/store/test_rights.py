"""Each kind of role does its own work with what `migrate --grant` gives it, and is refused the work of others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import unquote, urlsplit

import asyncpg
import msgspec
import pytest

from saga_fn import (
    AttentionKind,
    Attribute,
    Cancel,
    Delivery,
    Event,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaFilter,
    SagaOrchestrator,
    SagaResultTimeoutError,
    SagaStatus,
    StoreError,
    StoreRefusedError,
)
from saga_fn.store.migrate import grant, main
from saga_fn.store.rights import RIGHTS, RoleKind, needs
from tests.support.roles import execute, role
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON

LEASE = timedelta(seconds=2)
OFTEN = timedelta(milliseconds=100)


class Note(msgspec.Struct, frozen=True):
    text: str


NOTED = Event("noted", Note)


def waiting_saga() -> SagaDefinition[Order, Note]:
    """Nothing but a wait."""
    builder = SagaBuilder(Order)
    return builder.build(output=builder.add_event(NOTED))


@asynccontextmanager
async def granted(dsn: str, kind: RoleKind) -> AsyncGenerator[str]:
    """A DSN of a role that has been given what its kind needs, and nothing else."""
    async with role(dsn) as (name, its_dsn), asyncio.timeout(4 * SOON):
        await grant(dsn, role=name, kind=kind)
        await grant(dsn, role=name, kind=kind)
        yield its_dsn


async def test_a_worker_does_everything(any_dsn: str) -> None:
    async with (
        granted(any_dsn, RoleKind.WORKER) as dsn,
        SagaOrchestrator(dsn, lease=LEASE, poll_interval=OFTEN) as orchestrator,
    ):
        shop = orchestrator.register("shop", make_saga(Shop()))
        waiting = orchestrator.register("waiting", waiting_saga())
        for run in await shop.start_many([Order(str(n)) for n in range(5)], idempotency_key=lambda o: o.order_id):
            assert await run.result(SOON) == Done("ship")
        later = await shop.start(Order("l"), delay=timedelta(milliseconds=200))
        assert await later.result(SOON) == Done("ship")
        await orchestrator.to(("waiting", "k"), NOTED).send(Note("kept"))
        assert await waiting.run(Order("k"), aggregation_id="k", timeout=SOON) == Note("kept")
        admin = SagaAdmin(orchestrator)
        stopped = await waiting.start(Order("s"))
        await admin.abort(stopped.id)
        await orchestrator.run_due()
        assert (await orchestrator.health()).ok
        async with role(any_dsn) as (other, _):
            with pytest.raises(StoreError, match="HINT: grant with the user who owns the tables"):
                await grant(dsn, role=other, kind=RoleKind.VIEWER)


async def test_a_starter_starts_and_awaits(any_dsn: str) -> None:
    async with (
        SagaOrchestrator(any_dsn, lease=LEASE, poll_interval=OFTEN) as worker,
        granted(any_dsn, RoleKind.STARTER) as dsn,
        SagaOrchestrator(dsn, concurrency=0) as starter,
    ):
        worker.register("shop", make_saga(Shop()))
        shop = starter.register("shop", make_saga(Shop()))
        waiting = starter.register("waiting", waiting_saga())
        run = await shop.start(Order("1"), idempotency_key="1")
        assert await run.result(SOON) == Done("ship")
        assert (await shop.start(Order("1"), idempotency_key="1")).id == run.id
        for each in await shop.start_many([Order("2"), Order("3")], aggregation_id=lambda o: o.order_id):
            assert await each.result(SOON) == Done("ship")
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction():
                within = await shop.start(Order("4"), connection=connection)
        finally:
            await connection.close()
        assert await within.result(SOON) == Done("ship")
        kept = await waiting.start(Order("5"), aggregation_id="5")
        assert (await kept.snapshot()).status is SagaStatus.SUSPENDED
        assert (await starter.health()).ok
        with pytest.raises(StoreRefusedError, match="permission denied"):
            await SagaAdmin(starter).abort(kept.id)
        with pytest.raises(StoreRefusedError, match="permission denied"):
            await starter.to(kept.id, NOTED).send(Note("no"))
        with pytest.raises(StoreRefusedError, match="permission denied"):
            await starter.run_due()
        assert (await kept.snapshot()).status is SagaStatus.SUSPENDED


async def test_a_starter_is_told_of_a_saga_that_is_not_over_though_it_may_read_no_events(any_dsn: str) -> None:
    builder = SagaBuilder(Order)
    first = builder.add_event(NOTED)
    twice = builder.build(output=builder.add_event(NOTED, step_id="again", after=first))
    async with (
        SagaOrchestrator(any_dsn, lease=LEASE, poll_interval=OFTEN) as worker,
        granted(any_dsn, RoleKind.STARTER) as dsn,
        SagaOrchestrator(dsn, concurrency=0) as starter,
    ):
        worker.register("twice", twice)
        run = await starter.register("twice", twice).start(Order("1"))
        assert await worker.to(run.id, NOTED).send(Note("first")) is Delivery.ACCEPTED
        with pytest.raises(SagaResultTimeoutError) as late:
            await run.result(timeout=2)
        assert late.value.unread == ()
        await worker.to(run.id, NOTED).send(Note("second"))
        assert await run.result(SOON) == Note("second")


async def test_a_sender_sends_and_changes_nothing_else(any_dsn: str) -> None:
    async with (
        SagaOrchestrator(any_dsn, lease=LEASE, poll_interval=OFTEN) as worker,
        granted(any_dsn, RoleKind.SENDER) as dsn,
        SagaOrchestrator(dsn, concurrency=0) as sender,
    ):
        waiting = worker.register("waiting", waiting_saga())
        by_id, by_key = await waiting.start(Order("a")), await waiting.start(Order("b"), aggregation_id="b")
        assert await sender.to(by_id.id, NOTED).send(Note("id")) is Delivery.ACCEPTED
        assert await by_id.result(SOON) == Note("id")
        assert await sender.to(("waiting", "b"), NOTED).send(Note("key")) is Delivery.ACCEPTED
        assert await by_key.result(SOON) == Note("key")
        known = sender.register("waiting", waiting_saga())
        third = await waiting.start(Order("c"))
        assert await sender.to(third.id, NOTED).send(Note("known"), event_id="e") is Delivery.ACCEPTED
        assert await sender.to(third.id, NOTED).send(Note("known"), event_id="e") is Delivery.DUPLICATE
        assert await third.result(SOON) == Note("known")
        assert (await sender.health()).ok
        fourth = await waiting.start(Order("d"))
        with pytest.raises(StoreRefusedError, match="permission denied"):
            await SagaAdmin(sender).abort(fourth.id)
        with pytest.raises(StoreRefusedError, match="permission denied"):
            await known.start(Order("e"))
        with pytest.raises(StoreRefusedError, match="permission denied"):
            await sender.resume(fourth.id)
        connection = await asyncpg.connect(dsn)
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("UPDATE saga_fn.saga SET state = ''")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(
                    "INSERT INTO saga_fn.saga_verb (shard, saga_id, id, kind, body)"
                    " VALUES (0, $1, gen_random_uuid(), 'cancel', '{}')",
                    fourth.id,
                )
        finally:
            await connection.close()


async def test_an_operator_looks_and_applies_verbs(any_dsn: str) -> None:
    held = Shop(hold=asyncio.Event())
    assert held.hold is not None
    async with (
        SagaOrchestrator(any_dsn, lease=LEASE, poll_interval=OFTEN) as worker,
        granted(any_dsn, RoleKind.OPERATOR) as dsn,
        SagaOrchestrator(dsn, concurrency=0) as looking,
    ):
        waiting = worker.register("waiting", waiting_saga())
        shop = worker.register("shop", make_saga(held))
        admin = SagaAdmin(looking)
        unowned = await waiting.start(Order("a"))
        owned = await shop.start(Order("b"))
        while not held.done:
            await asyncio.sleep(0.01)
        assert (await admin.get_saga(owned.id)).step_history
        assert await admin.verify(owned.id) == []
        asked = asyncio.create_task(admin.compensate_step(owned.id))
        async with asyncio.timeout(SOON):
            while "compensation_requested" not in [e.kind for e in (await admin.get_saga(owned.id)).step_history]:
                await asyncio.sleep(0.01)
        held.hold.set()
        await asked
        await admin.abort(unowned.id)
        begun = await admin.begin_operation(SagaFilter(saga_name="waiting", active=True), Cancel())
        assert (await admin.continue_operation(begun.id)).refused == 0
        assert [each.verb for each in await admin.list_operations()] == ["cancel", "abort", "cancel"]
        assert (await unowned.snapshot()).status is not SagaStatus.SUSPENDED
        assert (await owned.outcome(SOON)).snapshot.status is SagaStatus.COMPENSATED
        await worker.to(("waiting", "k"), NOTED).send(Note("kept"))
        assert await admin.kept_events("waiting", "k")
        assert (await looking.health()).ok
        with pytest.raises(StoreRefusedError, match="permission denied"):
            await looking.register("waiting", waiting_saga()).start(Order("c"))


async def test_each_kind_may_do_with_attributes_what_it_may_do_with_sagas(any_dsn: str) -> None:
    size = Attribute("size", int)
    builder = SagaBuilder(Order, attributes=(size,))
    builder.set_attribute(size, builder.initial, input_map=lambda order: len(order.order_id))
    noted = builder.add_event(NOTED)
    builder.set_attribute(size, noted, input_map=lambda note: len(note.text))
    definition = builder.build(output=noted)
    async with (
        granted(any_dsn, RoleKind.WORKER) as for_worker,
        granted(any_dsn, RoleKind.STARTER) as for_starter,
        granted(any_dsn, RoleKind.OPERATOR) as for_operator,
        granted(any_dsn, RoleKind.VIEWER) as for_viewer,
        SagaOrchestrator(for_starter, concurrency=0) as starter,
        SagaOrchestrator(for_operator, concurrency=0) as operator,
        SagaOrchestrator(for_viewer, concurrency=0, read_only=True) as viewer,
    ):
        handle = starter.register("sized", definition)
        first, second = await handle.start_many([Order("1234"), Order("12")])
        operator.register("sized", definition)
        await SagaAdmin(operator).skip_step(second.id, NOTED.name, Note("1234567"), not_begun=True)
        async with SagaOrchestrator(for_worker, lease=LEASE, poll_interval=OFTEN) as worker:
            worker.register("sized", definition)
            await worker.to(first.id, NOTED).send(Note("12345"))
            assert await first.result(SOON) == Note("12345")
        admin = SagaAdmin(viewer)
        rows = (await admin.list(SagaFilter(attribute=size.at_least(5)))).rows
        assert {row.id for row in rows} == {first.id, second.id}
        assert (await admin.get_saga(first.id)).attributes == {"size": 5}
        assert (await admin.list(SagaFilter(attribute=size.equals(4)))).rows == ()


async def test_a_viewer_only_looks(any_dsn: str) -> None:
    async with (
        SagaOrchestrator(any_dsn, lease=LEASE, poll_interval=OFTEN) as worker,
        granted(any_dsn, RoleKind.VIEWER) as dsn,
    ):
        run = await worker.register("shop", make_saga(Shop())).start(Order("1"))
        assert await run.result(SOON) == Done("ship")
        waits = await worker.register("waiting", waiting_saga()).start(Order("2"))
        viewer = SagaOrchestrator(dsn, concurrency=0, read_only=True)
        known = viewer.register("shop", make_saga(Shop()))
        async with viewer:
            assert await known.attach(run.id).result(SOON) == Done("ship")
            admin = SagaAdmin(viewer)
            assert (await admin.get_saga(run.id)).step_history
            assert await admin.verify(run.id) == []
            await admin.kept_events("waiting", "x")
            assert (await viewer.health()).ok
            explained = await admin.explain(waits.id)
            assert any(each.is_legal for each in explained.verbs)
            assert [row.id for row in (await admin.list()).rows] == [waits.id, run.id]
            with pytest.raises(StoreRefusedError, match="only looks at sagas"):
                await admin.abort(waits.id)
            for forbidden in (
                known.start(Order("3")),
                viewer.to(waits.id, NOTED).send(Note("no")),
            ):
                with pytest.raises(StoreRefusedError, match="permission denied"):
                    await forbidden


async def test_the_command_line_grants(any_dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with role(any_dsn) as (name, dsn):
        given = ["--dsn", any_dsn, "--grant", f"starter={name}", "--grant", f"sender={name}"]
        assert await asyncio.to_thread(main, given) == 0
        assert f"role {name} has the rights of the kind starter" in capsys.readouterr().out
        async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
            await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
        assert await asyncio.to_thread(main, ["--dsn", any_dsn, "--grant", "worker=no such role"]) == 1
        assert "no such role" in capsys.readouterr().err


def test_a_grant_that_is_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("boss=ann", "worker=", "worker"):
        assert main(["--print", "--grant", wrong]) == 1
        assert "KIND=ROLE, with one of worker, starter, sender, operator, pruner, viewer" in capsys.readouterr().err
    assert main(["--print", "--grant", 'viewer=an "ann"']) == 0
    assert 'GRANT SELECT ON "saga_fn".saga TO "an ""ann""";' in capsys.readouterr().out


# What a role may make a worker do.

_STARTS: dict[str, tuple[str, ...]] = {
    "saga_outgoing": ("shard", "saga_id", "rev", "n", "topic", "key", "headers", "body", "token", "due_at"),
    "saga": (
        *("shard", "era", "id", "name", "version", "aggregation_id", "trace_id", "request", "plan", "format", "status"),
        *("waits", "state", "rev", "token", "owner", "due_at", "keyed"),
    ),
    "saga_journal": (*("shard", "era", "saga_id", "seq", "writer", "kind", "process", "event", "input", "payload"),),
    "saga_plan": ("*",),
    "saga_attribute": ("*",),
}
WRITES: dict[RoleKind, set[tuple[str, str, str]]] = {
    RoleKind.STARTER: {("INSERT", table, column) for table, columns in _STARTS.items() for column in columns},
    RoleKind.SENDER: {
        ("INSERT", "saga_inbox", "*"),  # events alone: verbs are in a table of their own
        ("INSERT", "saga_event", "*"),
        ("INSERT", "saga_sent", "*"),  # events as well
        ("INSERT", "saga_plan", "*"),
        *(
            ("UPDATE", "saga", column) for column in ("inbox_sent", "due_at")
        ),  # wakes the saga, which goes on as it would
        *(("UPDATE", "saga_event", column) for column in ("taken_by", "repeated", "expires_at")),
    },
    RoleKind.PRUNER: {
        *(
            ("INSERT", "saga_operation", column)  # none that makes it a row to carry out: see the test below
            for column in ("shard", "id", "verb", "step_id", "saga_id", "actor", "reason", "request", "progress")
        ),
        *(("UPDATE", "saga_operation", column) for column in ("outcome", "updated_at")),
        ("UPDATE", "saga", "acknowledged"),
        *((privilege, "saga_tombstone", "*") for privilege in ("INSERT", "UPDATE")),
        *((privilege, "saga_retention", "*") for privilege in ("INSERT", "UPDATE")),
    },
    RoleKind.VIEWER: set(),
}
"""By kind, the columns that it may write, of all tables: `*` for every one. Workers and operators apply verbs, by which they change
whatever there is."""


@pytest.mark.parametrize("kind", WRITES)
async def test_a_kind_that_applies_no_verbs_writes_no_column_by_which_a_worker_would(
    any_dsn: str, kind: RoleKind
) -> None:
    async with role(any_dsn) as (name, _):
        await grant(any_dsn, role=name, kind=kind)
        connection = await asyncpg.connect(any_dsn)
        try:
            rows = await connection.fetch(
                "SELECT p.privilege, c.relname::text AS name, a.attname::text AS part,"
                " has_table_privilege($1, c.oid, p.privilege) AS whole"
                " FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
                " CROSS JOIN (VALUES ('INSERT'), ('UPDATE')) AS p (privilege)"
                " WHERE c.relnamespace = 'saga_fn'::regnamespace AND c.relkind IN ('r', 'p')"
                " AND has_column_privilege($1, c.oid, a.attnum, p.privilege)",
                name,
            )
        finally:
            await connection.close()
    found = {(row["privilege"], row["name"], "*" if row["whole"] else row["part"]) for row in rows}
    assert found == WRITES[kind]


_FORGERIES = (
    "INSERT INTO saga_fn.saga_operation (state) VALUES ('running')",
    "INSERT INTO saga_fn.saga_operation (lease_end) VALUES (now())",
    *(
        f"UPDATE saga_fn.saga_operation SET {change}"
        for change in (
            "state = 'running'",
            "progress = ''",
            "request = ''",
            "verb = 'cancel'",
            "token = NULL",
            "needs = ''",
        )
    ),
    "INSERT INTO saga_fn.saga_verb (kind) VALUES ('cancel')",
    "INSERT INTO saga_fn.saga_pause (name) VALUES ('')",
    "UPDATE saga_fn.saga SET state = ''",
    # A new row has not ended, is not acknowledged, and was made now. Without `ended_at` no status can be an end.
    "INSERT INTO saga_fn.saga (ended_at) VALUES (now())",
    "INSERT INTO saga_fn.saga (acknowledged) VALUES (true)",
    "INSERT INTO saga_fn.saga (inbox_sent) VALUES (9)",
    "INSERT INTO saga_fn.saga (parked) VALUES ('past_pivot')",
    "INSERT INTO saga_fn.saga (created_at) VALUES (now())",
    "INSERT INTO saga_fn.saga_journal (recorded_at) VALUES (now())",
    "DELETE FROM saga_fn.saga_operation",
)


@pytest.mark.parametrize("kind", WRITES)
async def test_a_kind_that_applies_no_verbs_cannot_ask_for_one_by_a_row(any_dsn: str, kind: RoleKind) -> None:
    async with SagaOrchestrator(any_dsn, concurrency=0) as owner, granted(any_dsn, kind) as dsn:
        run = await owner.register("waiting", waiting_saga()).start(Order("a"))
        begun = await SagaAdmin(owner).begin_operation(SagaFilter(saga_name="waiting"), Cancel())
        connection = await asyncpg.connect(dsn)
        try:
            for forgery in _FORGERIES:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(forgery)
            # The outcome of a row that a worker carries out is for no other role to write.
            with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)):
                await connection.execute("UPDATE saga_fn.saga_operation SET outcome = '' WHERE id = $1", begun.id)
        finally:
            await connection.close()
        applied = SagaOrchestrator(dsn, concurrency=0)
        async with applied:
            admin = SagaAdmin(applied, actor="mallory")
            for asked in (
                admin.cancel(run.id),
                admin.begin_operation(SagaFilter(), Cancel(), everything=True),
                admin.continue_operation(begun.id),
                admin.stop_operation(begun.id),
                admin.pause("waiting"),
            ):
                with pytest.raises(StoreRefusedError):
                    await asked


# What health tells of rights.


async def revoked(dsn: str, its_dsn: str, rights: str) -> None:
    name = unquote(urlsplit(its_dsn).username or "")
    await execute(dsn, f"REVOKE {rights} FROM {name}")


async def test_health_says_what_a_worker_lacks(any_dsn: str) -> None:
    async with (
        granted(any_dsn, RoleKind.WORKER) as dsn,
        SagaOrchestrator(dsn, lease=LEASE, poll_interval=OFTEN) as orchestrator,
    ):
        orchestrator.register("shop", make_saga(Shop()))
        health = await orchestrator.health()
        assert (health.ok, health.attention) == (True, ())
        await revoked(any_dsn, dsn, "UPDATE ON saga_fn.saga_inbox")
        await revoked(any_dsn, dsn, "INSERT ON saga_fn.saga_journal")
        health = await orchestrator.health()
        assert not health.ok
        (problem,) = health.problems
        assert "a worker's rights: it lacks INSERT on saga_journal, UPDATE on saga_inbox" in problem
        assert "--grant worker=" in problem
        name = unquote(urlsplit(dsn).username or "")
        await grant(any_dsn, role=name, kind=RoleKind.WORKER)
        assert (await orchestrator.health()).ok


async def test_health_says_that_a_worker_cannot_say_what_it_works_on(any_dsn: str) -> None:
    async with granted(any_dsn, RoleKind.WORKER) as dsn:
        await revoked(any_dsn, dsn, "INSERT, UPDATE ON saga_fn.saga_process")
        async with SagaOrchestrator(dsn, lease=LEASE, poll_interval=OFTEN) as orchestrator:
            handle = orchestrator.register("shop", make_saga(Shop()))
            assert await handle.run(Order("1"), timeout=SOON) == Done("ship"), "it does its work"
            health = await orchestrator.health()
            assert health.ok
            assert [each.kind for each in health.attention] == [AttentionKind.RIGHTS]
            assert "INSERT, UPDATE on saga_process" in health.attention[0].text
            assert "others may take its sagas for unowned" in health.attention[0].text


@pytest.mark.parametrize("kind", [RoleKind.STARTER, RoleKind.SENDER, RoleKind.OPERATOR, RoleKind.WORKER])
async def test_health_has_nothing_to_say_of_a_kind_whose_rights_are_enough(any_dsn: str, kind: RoleKind) -> None:
    async with granted(any_dsn, kind) as dsn, SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        health = await orchestrator.health()
        assert (health.ok, health.attention) == (True, ())


async def test_health_says_that_a_role_may_only_look_unless_that_is_meant(any_dsn: str) -> None:
    async with granted(any_dsn, RoleKind.VIEWER) as dsn:
        async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
            health = await orchestrator.health()
            assert health.ok
            assert [each.kind for each in health.attention] == [AttentionKind.RIGHTS]
            assert "may only look" in health.attention[0].text
            assert "read_only=True" in health.attention[0].text
        async with SagaOrchestrator(dsn, concurrency=0, read_only=True) as orchestrator:
            assert (await orchestrator.health()).attention == ()


async def test_health_says_what_the_nearest_kind_lacks_of_its_rights(any_dsn: str) -> None:
    async with granted(any_dsn, RoleKind.SENDER) as dsn, SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        await revoked(any_dsn, dsn, "UPDATE (due_at) ON saga_fn.saga")
        await revoked(any_dsn, dsn, "INSERT ON saga_fn.saga_inbox")
        health = await orchestrator.health()
        assert health.ok
        (told,) = health.attention
        assert told.kind is AttentionKind.RIGHTS
        assert "a sender's rights: it lacks UPDATE (due_at) on saga, INSERT on saga_inbox" in told.text


def test_every_right_that_is_granted_is_asked_for() -> None:
    for kind in RoleKind:
        asked = " ".join(f"{each.privilege} {each.column} {each.table}" for each in needs(kind))
        for table, rights in RIGHTS[kind].items():
            for word in re.findall(r"\w+", rights):
                assert re.search(rf"\b{word}\b", asked), (kind, table, word)
