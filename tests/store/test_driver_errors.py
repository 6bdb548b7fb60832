"""The driver's errors, told apart: what passes by itself, what a person has to mend, and what to do about it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from datetime import timedelta

import asyncpg
import pytest

from saga_fn import SagaAdmin, SagaOrchestrator, StoreError, StoreRefusedError, StoreUnavailableError
from saga_fn.store.driver_errors import translate_driver_error
from saga_fn.store.errors import RowLockedError, RowRejectedError, StatementFailedError, StoreBusyError
from tests.support.roles import execute, role
from tests.support.servers import ASKED
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON

LEASE = timedelta(seconds=2)
OFTEN = timedelta(milliseconds=100)

SENTENCE = "the server's own sentence"
TOLD = [
    ("0A000", StoreRefusedError, "PostgreSQL 15"),
    ("25006", StoreRefusedError, "primary"),
    ("28000", StoreRefusedError, "pg_hba.conf"),
    ("28P01", StoreRefusedError, "password"),
    ("3D000", StoreRefusedError, "database's name"),
    ("42501", StoreRefusedError, "--grant worker=ROLE"),
    ("42P01", StoreRefusedError, "migrated"),
    ("42704", StoreRefusedError, "a setting that the DSN names"),
    ("26000", StoreRefusedError, "statement_cache_size=0"),
    ("42P05", StoreRefusedError, "statement_cache_size=0"),
    ("57P01", StoreUnavailableError, "up again"),
    ("57P02", StoreUnavailableError, "up again"),
    ("57P03", StoreUnavailableError, "up again"),
    ("53300", StoreUnavailableError, "max_connections"),
    ("53100", StoreUnavailableError, "disk"),
    ("08006", StoreUnavailableError, "network"),
    ("XX000", StatementFailedError, None),
    ("P0001", StatementFailedError, None),
]


@pytest.mark.parametrize("state, kind, mend", TOLD, ids=[state for state, _, _ in TOLD])
def test_each_code_has_a_kind_the_servers_sentence_and_a_mend(
    state: str, kind: type[StoreError], mend: str | None
) -> None:
    fields = {"C": state, "M": SENTENCE, "D": "Failing row contains (4111-1111)", "S": "ERROR"}
    told = translate_driver_error(asyncpg.PostgresError.new(fields))
    assert type(told) is kind
    assert SENTENCE in told.fact
    assert state in told.fact
    assert "4111" not in str(told), "the detail may quote a row"
    assert (told.hint or "") == "" if mend is None else mend in (told.hint or "")


@pytest.mark.parametrize(
    "table, kind",
    [("saga_pause", "operator"), ("saga_verb", "operator"), ("saga_tombstone", "pruner"), ("saga", "worker")],
)
def test_a_denied_table_says_which_kind_of_role_is_meant(table: str, kind: str) -> None:
    told = translate_driver_error(
        asyncpg.PostgresError.new({"C": "42501", "M": f"permission denied for table {table}", "S": "ERROR"})
    )
    assert f"--grant {kind}=ROLE" in (told.hint or "")


def test_what_is_to_be_done_again_or_otherwise_keeps_its_kind() -> None:
    kinds = {"23505": RowRejectedError, "22001": RowRejectedError, "55P03": RowLockedError, "40001": StoreBusyError}
    for state, kind in kinds.items():
        assert type(translate_driver_error(asyncpg.PostgresError.new({"C": state, "M": "x", "S": "ERROR"}))) is kind
    assert isinstance(translate_driver_error(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no")), RowRejectedError)


def test_a_plan_that_the_server_cannot_change_names_the_pooler() -> None:
    changed = asyncpg.InvalidCachedStatementError("cached statement plan is invalid")
    told = translate_driver_error(changed)
    assert isinstance(told, StoreUnavailableError), "a new connection mends it"
    assert "RECONNECT" in (told.hint or "")


@pytest.mark.parametrize(
    "change, says",
    [(("password", "hunter3"), "does not let this user in"), (("/", "nowhere"), "no such database")],
    ids=["password", "database"],
)
async def test_what_is_wrong_with_a_dsn_is_said_when_it_is_entered(
    any_dsn: str, change: tuple[str, str], says: str
) -> None:
    async with role(any_dsn) as (name, dsn):
        with contextlib.suppress(asyncpg.DuplicateObjectError):
            await execute(any_dsn, f"CREATE ROLE {ASKED}")
        await execute(any_dsn, f"GRANT {ASKED} TO {name}")
        head, _, query = dsn.partition("?")
        account, _, database = head.rpartition("/")
        if change[0] == "/":
            wrong = f"{account}/{change[1]}?{query}"
        else:
            before, _, host = account.rpartition("@")
            wrong = f"{before.rpartition(':')[0]}:{change[1]}@{host}/{database}?{query}"
        with pytest.raises(StoreRefusedError, match=says) as caught:
            async with SagaOrchestrator(wrong):
                pass
    assert caught.value.hint is not None


async def test_a_database_that_is_not_there_is_named_without_its_password() -> None:
    with socket.socket() as taken:  # bound, and listening to nobody
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(StoreUnavailableError) as caught:
            async with SagaOrchestrator(f"postgresql://ann:hunter3@127.0.0.1:{port}/shop"):
                pass
    assert caught.value.fact.startswith(f"PostgreSQL does not answer at 127.0.0.1:{port}/shop: ConnectionRefusedError")
    assert "hunter3" not in str(caught.value)


async def test_a_verb_that_may_not_be_written_raises(any_dsn: str) -> None:
    async with SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
    async with role(any_dsn) as (name, dsn):
        await execute(
            any_dsn,
            f"GRANT USAGE ON SCHEMA saga_fn TO {name}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA saga_fn TO {name}",
        )
        async with asyncio.timeout(SOON), SagaOrchestrator(dsn, concurrency=0) as looking:
            with pytest.raises(StoreRefusedError, match="permission denied for table"):
                await SagaAdmin(looking).abort(run.id)
            assert (await looking.health()).ok, "a verb that was refused stands in nobody's way"


async def test_a_commit_that_is_refused_is_named_and_nothing_is_done_twice_when_it_is_mended(
    any_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(hold=asyncio.Event())
    assert shop.hold is not None
    caplog.set_level(logging.WARNING, "saga_fn")
    async with role(any_dsn) as (name, dsn):
        await execute(
            any_dsn,
            f"GRANT USAGE ON SCHEMA saga_fn TO {name}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA saga_fn TO {name}",
        )
        async with (
            asyncio.timeout(2 * SOON),
            SagaOrchestrator(dsn, lease=LEASE, poll_interval=OFTEN) as orchestrator,
        ):
            handle = orchestrator.register("shop", make_saga(shop))
            run = await handle.start(Order("1"))
            while not shop.done:
                await asyncio.sleep(0.01)
            await execute(any_dsn, f"REVOKE INSERT ON saga_fn.saga_journal FROM {name}")
            shop.hold.set()
            told = "permission denied for table saga_journal"  # beside what health says of the missing right by itself
            while not any(told in problem for problem in (await orchestrator.health()).problems):
                await asyncio.sleep(0.02)
            said = [record for record in caplog.records if "permission denied" in record.getMessage()]
            assert [record.levelname for record in said] == ["ERROR"], "said once, and not for every try"
            await execute(any_dsn, f"GRANT INSERT ON saga_fn.saga_journal TO {name}")
            assert await run.result(SOON) == Done("ship")
            assert len(shop.keys) == len(set(shop.keys)) == 3
            assert (await orchestrator.health()).ok
