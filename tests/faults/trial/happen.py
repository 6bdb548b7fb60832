"""How each fault is brought about. Each of them returns when the fault is over, or leaves what `Stand.calm` takes away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from saga_fn import SagaAdmin, SagaError, SagaOrchestrator, SagaStateError
from saga_fn.store.driver_errors import DRIVER_ERRORS
from saga_fn.store.migrate import migrate
from tests.faults.ledger import Job, Ledger
from tests.faults.processes import ROOT
from tests.faults.trial.failover import crashed_after_lies, lag, promoted, split, standby
from tests.faults.trial.run import Happens, Trial
from tests.faults.trial.shim import Shim
from tests.faults.trial.stand import Needs, Stand
from tests.faults.trial.work import LEASE, ODD, Note, Trials, approved
from tests.support.until import SOON

LEASES: Final = 2 * LEASE
"""Seconds after which every lease that is not renewed has run out."""
LONG: Final = float(os.environ.get("SAGA_FN_FAULTS_LONG", "3"))
"""Seconds that a fault lasts whose length says something; `make soak` asks for more."""
TRIALS: Final[dict[int, Trial]] = {}


def happens(number: int, needs: Needs | None = None) -> Callable[[Happens], Happens]:
    """Say of a function that it brings about that fault."""

    def take(how: Happens) -> Happens:
        TRIALS[number] = Trial(number, how, needs or Needs())
        return how

    return take


@asynccontextmanager
async def session(stand: Stand) -> AsyncGenerator[asyncpg.Connection]:
    """A session of another user's on the same database."""
    connection = await asyncpg.connect(stand.dsn)
    try:
        yield connection
    finally:
        connection.terminate()


async def everyone(stand: Stand, do: str, times: int = 1) -> None:
    """Call a function of PostgreSQL for each process that serves a client."""
    for _ in range(times):
        await stand.asked(
            f"SELECT count({do}(pid)) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        await asyncio.sleep(0.3)


# Workers that die.


@happens(1)
async def killed_before_a_step(stand: Stand) -> None:
    await stand.died(stand.worker("claimed"))


@happens(2)
async def killed_in_a_step(stand: Stand) -> None:
    for worker in list(stand.workers):
        running = "SELECT count(*) > 0 FROM ledger WHERE pid = $1 AND at > clock_timestamp() - interval '20 ms'"
        async with asyncio.timeout(SOON):
            while not await stand.books.fetchval(running, worker.pid):
                await asyncio.sleep(0.005)
        stand.kill(worker)
        await stand.ended()


@happens(3)
async def killed_before_a_commit(stand: Stand) -> None:
    for where in ("StepSucceeded:two", "CompensationSucceeded:root"):
        await stand.died(stand.worker("before", where))


@happens(4)
async def killed_before_an_answer(stand: Stand) -> None:
    await stand.died(stand.worker("in", "StepSucceeded:two"))
    silenced = stand.front.silences
    stand.front.silence_at("answer", b"step_succeeded")
    async with asyncio.timeout(SOON):
        while stand.front.silences == silenced:
            await asyncio.sleep(0.01)
    for worker in list(stand.workers):
        stand.kill(worker)


@happens(37)
async def stands_still(stand: Stand) -> None:
    for worker in list(stand.workers):
        os.kill(worker.pid, signal.SIGSTOP)
        await asyncio.sleep(LEASES)
        os.kill(worker.pid, signal.SIGCONT)
        await stand.ended()


@happens(48)
async def told_to_end(stand: Stand) -> None:
    at_work = "SELECT count(*) > 0 FROM ledger WHERE pid = $1"
    worker = stand.workers[0]
    for signals in (1, 2):
        async with asyncio.timeout(SOON):
            while not await stand.books.fetchval(at_work, worker.pid):
                await asyncio.sleep(0.02)
        if signals == 2:  # the second may come when it has given everything back and takes no signals any more
            worker.codes |= {-signal.SIGTERM}
        for _ in range(signals):
            if stand.code(worker) is None:
                os.kill(worker.pid, signal.SIGTERM)
            await asyncio.sleep(0.02)
        pid = worker.pid
        async with asyncio.timeout(SOON):
            while worker.pid == pid:
                await asyncio.sleep(0.02)
        await stand.ended()


@happens(41)
async def forked_from_one(stand: Stand) -> None:
    for _ in range(4):  # all are forked from one process that has imported the library, on one host, under one name
        stand.worker()
    await stand.ended(30)
    owners = "SELECT count(DISTINCT id) FROM saga_fn.process"
    if (found := await stand.asked(owners)) is not None and found < len(stand.workers):
        stand.strange.append(f"{len(stand.workers)} workers are {found} owners")


# The network.


@happens(5)
async def answers_are_lost(stand: Stand) -> None:
    for _ in range(5):
        cuts = stand.front.cuts
        stand.front.lose("answer", b"step_succeeded")
        async with asyncio.timeout(SOON):
            while stand.front.cuts == cuts:
                await asyncio.sleep(0.01)


@happens(6)
async def connections_are_reset(stand: Stand) -> None:
    for _ in range(5):
        stand.front.lose("request", b"step_succeeded")
        await asyncio.sleep(0.2)
        stand.front.cut()
        await asyncio.sleep(0.2)


@happens(7)
async def connections_fall_silent(stand: Stand) -> None:
    stand.front.half_close()
    await stand.ended()
    stand.front.silence()
    stand.front.silent = True
    await asyncio.sleep(LONG)
    stand.front.silent = False


@happens(8)
async def packets_are_late(stand: Stand) -> None:
    for seconds in (0.05, 0.5, 2.5):
        stand.front.delay = seconds
        await asyncio.sleep(LONG)


@happens(9, Needs(lease=5))
async def packets_are_few(stand: Stand) -> None:
    stand.front.rate = 10_000
    await asyncio.sleep(LONG)


@happens(10)
async def the_network_goes_twice(stand: Stand) -> None:
    for _ in range(2):
        stand.front.down = True
        stand.front.cut()
        await asyncio.sleep(LONG / 2)
        stand.front.down = False
        await stand.ended()


# PostgreSQL.


@happens(11)
async def connections_are_terminated(stand: Stand) -> None:
    await everyone(stand, "pg_terminate_backend", 4)


@happens(12)
async def statements_are_cancelled(stand: Stand) -> None:
    await everyone(stand, "pg_cancel_backend", 8)


@happens(13)
async def a_table_is_locked(stand: Stand) -> None:
    async with session(stand) as other:
        await other.execute("BEGIN")
        await other.execute("SET LOCAL lock_timeout = '20s'")
        await other.execute("LOCK TABLE saga_fn.saga IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(LONG)
        await other.execute("ROLLBACK")


@happens(14)
async def stopped_at_once(stand: Stand) -> None:
    os.kill(stand.server.pid, signal.SIGQUIT)
    await restart(stand)


@happens(15)
async def processes_are_killed(stand: Stand) -> None:
    one = await stand.asked("SELECT min(pid) FROM pg_stat_activity WHERE application_name LIKE 'saga_fn%'")
    os.kill(one, signal.SIGKILL)  # the postmaster throws all others out, and recovers
    await stand.ended()
    os.kill(stand.server.pid, signal.SIGKILL)
    await restart(stand)


@happens(16)
async def restarted_again_and_again(stand: Stand) -> None:
    for _ in range(5):
        await restart(stand)
        await asyncio.sleep(0.3)


@happens(17)
async def restarted_in_a_takeover(stand: Stand) -> None:
    heir = stand.worker("takeover")
    heir.spared = True
    for worker in stand.workers:
        worker.spared = True
        if worker is not heir:
            stand.kill(worker)
    async with asyncio.timeout(SOON):
        while not await stand.books.fetchval("SELECT count(*) FROM ledger WHERE phase = 'wait'"):
            await asyncio.sleep(0.02)
    await restart(stand)
    await stand.books.execute("INSERT INTO released VALUES (1)")
    await stand.ended()  # the heir works alone
    for worker in stand.workers:
        worker.spared = False


async def restart(stand: Stand) -> None:
    """Stop the server, however it is, and start it again."""
    await asyncio.to_thread(stand.server.stop)
    await asyncio.to_thread(stand.server.start)


@happens(26, Needs({"max_connections": "24", "superuser_reserved_connections": "4"}))
async def too_many_connections(stand: Stand) -> None:
    others: list[asyncpg.Connection] = []
    await everyone(stand, "pg_terminate_backend")
    until = asyncio.get_running_loop().time() + LONG
    while asyncio.get_running_loop().time() < until:
        try:
            others.append(await asyncpg.connect(stand.dsn, timeout=5))
        except DRIVER_ERRORS:
            await asyncio.sleep(0.05)
    for each in others:
        each.terminate()
    if len(others) < 10:
        stand.strange.append(f"the server was never full: {len(others)} connections")


@happens(27, Needs({"max_connections": "40", "max_locks_per_transaction": "10"}))
async def no_room_for_locks(stand: Stand) -> None:
    async with session(stand) as other:
        with contextlib.suppress(asyncpg.OutOfMemoryError):
            for number in range(100_000):  # the session's own, which an error does not take away
                await other.execute(f"SELECT pg_advisory_lock({number})")
        await asyncio.sleep(LONG)


@happens(28, Needs({"deadlock_timeout": "50ms"}))
async def deadlocks(stand: Stand) -> None:
    async with session(stand) as other:
        met = 0
        for _ in range(60):
            ids = await other.fetch(
                "SELECT id FROM saga_fn.saga WHERE ended_at IS NULL ORDER BY id DESC LIMIT 20"
            )  # from the last to the first: batches lock from the first to the last
            try:
                async with other.transaction():
                    for (saga,) in ids:
                        await other.execute("SELECT FROM saga_fn.saga WHERE id = $1 FOR UPDATE", saga)
                        await asyncio.sleep(0.002)
            except asyncpg.DeadlockDetectedError:
                met += 1
            await asyncio.sleep(0.02)


@happens(29, Needs({"default_transaction_isolation": "serializable"}))
async def all_is_serializable(stand: Stand) -> None:
    await stand.ended(30)


@happens(30)
async def an_old_transaction(stand: Stand) -> None:
    async with session(stand) as other:
        await other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await other.fetchval("SELECT count(*) FROM saga_fn.saga")
        await asyncio.sleep(LONG)
        await stand.ended(30)


@happens(31, Needs({"autovacuum": "off"}))
async def nothing_is_vacuumed(stand: Stand) -> None:
    async with session(stand) as other:
        for _ in range(30):  # dead rows by the hundred, of every saga that has ended
            await other.execute("UPDATE saga_fn.saga SET last_error = last_error WHERE ended_at IS NOT NULL")
            await asyncio.sleep(LONG / 30)
    await stand.ended(30)


@happens(32)
async def notifications_are_lost(stand: Stand) -> None:
    for _ in range(4):
        await stand.asked(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE query ILIKE 'LISTEN%' AND pid <> pg_backend_pid()"
        )
        await asyncio.sleep(LONG / 4)
    async with session(stand) as deaf:  # the queue cannot be shortened behind who listens in an open transaction
        await deaf.execute("LISTEN stands_still")
        await deaf.execute("BEGIN")
        await deaf.fetchval("SELECT count(*) FROM saga_fn.saga")
        await stand.ended(30)


@happens(33)
async def notifications_storm(stand: Stand) -> None:
    usual = await _commits_a_second(stand, asyncio.sleep(_COUNTED))
    stormy = await _commits_a_second(stand, _storm(stand))
    if stormy > 3 * usual + 100:  # a claim for each of them would be thousands
        stand.strange.append(f"{stormy:.0f} transactions a second in a storm of notifications, {usual:.0f} before")


_COUNTED: Final = 5.0
"""Seconds in which transactions are counted: the server tells of them once a second."""


async def _commits_a_second(stand: Stand, meanwhile: Awaitable[None]) -> float:
    """The transactions of the database a second, meanwhile."""
    count = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    before, began = await stand.asked(count) or 0, asyncio.get_running_loop().time()
    await meanwhile
    return ((await stand.asked(count) or 0) - before) / (asyncio.get_running_loop().time() - began)


async def _storm(stand: Stand) -> None:
    """A thousand notifications a second on each channel that a worker listens on."""
    async with session(stand) as other:
        channels = await other.fetch(
            "SELECT DISTINCT substring(query FROM 'LISTEN \"?([^\"; ]+)') AS name FROM pg_stat_activity"
            " WHERE query ILIKE 'LISTEN%' AND pid <> pg_backend_pid()"
        )
        names = [row["name"] for row in channels] or ["saga_fn"]
        until = asyncio.get_running_loop().time() + max(LONG, _COUNTED)
        while asyncio.get_running_loop().time() < until:
            await other.execute(
                "SELECT pg_notify($1, each::text) FROM generate_series(1, 100) AS each", random.choice(names)
            )
            await asyncio.sleep(0.1)


@happens(34)
async def the_pooler_is_killed(stand: Stand) -> None:
    assert stand.pool_server is not None
    for how in (signal.SIGKILL, signal.SIGTERM):
        await stand.pool_server.stop(how)
        await asyncio.sleep(0.5)
        await stand.pool_server.start()
        await stand.ended()


# The disk and the clock.


@happens(22, Needs(shim=True))
async def the_disk_is_full(stand: Stand) -> None:
    assert stand.shim is not None
    for what in ("tables", "tables and WAL"):
        before = stand.errors.total()
        stand.shim.full(what)
        async with asyncio.timeout(SOON):
            while stand.errors.total() == before:  # a start is refused, with an error of ours
                await asyncio.sleep(0.05)
        await asyncio.sleep(LONG / 2)
    stand.shim.full("")
    await restart(stand)  # it has ended itself if there was no room for the WAL


@happens(23, Needs({"fsync": "on", "full_page_writes": "on"}, shim=True))
async def fsync_is_slow(stand: Stand) -> None:
    assert stand.shim is not None
    stand.shim.slow(0.3)
    await asyncio.sleep(2 * LONG)


@happens(24, Needs({"fsync": "on", "full_page_writes": "on"}, shim=True))
async def fsync_fails(stand: Stand) -> None:
    assert stand.shim is not None
    for _ in range(2):
        stand.shim.broken(1)
        await stand.ended()
    await stand.asked("SELECT 1")


@happens(35)
async def a_workers_clock_jumps(stand: Stand) -> None:
    shim = Shim(stand.folder)
    stand.worker(shim=shim)
    for seconds in (3600, -3600, 0.5, 1.5, -2.0):
        shim.clock(seconds)
        await stand.ended()


@happens(36, Needs(shim=True))
async def the_databases_clock_jumps(stand: Stand) -> None:
    assert stand.shim is not None
    for seconds in (5, 0, 3600, 3590):
        stand.shim.clock(seconds)
        await stand.ended()


# Standbys.


@happens(18)
async def a_synchronous_standby_is_promoted(stand: Stand) -> None:
    other = await standby(stand, synchronous=True)
    await stand.ended()
    await promoted(stand, other)
    await stand.ended(30)


@happens(19)
async def a_lagging_standby_is_promoted(stand: Stand) -> None:
    other = await standby(stand, synchronous=False)
    await stand.ended()
    await lag(stand, other, LONG / 2)
    await promoted(stand, other)
    await stand.ended(30)


@happens(20)
async def two_primaries(stand: Stand) -> None:
    other = await standby(stand, synchronous=False)
    await stand.ended()
    await split(stand, other, LONG)
    await stand.ended(30)


@happens(21)
async def no_writes_where_we_are(stand: Stand) -> None:
    other = await standby(stand, synchronous=False)
    stand.back.lead_to(other.server.dsn)
    await asyncio.sleep(LONG)
    stand.back.lead_to(stand.server.dsn)
    await stand.ended(30)


@happens(25, Needs({"fsync": "on", "full_page_writes": "on"}, shim=True))
async def fsync_lies(stand: Stand) -> None:
    await crashed_after_lies(stand, LONG)
    await stand.ended(30)


# What users do.


@happens(38)
async def a_step_blocks(stand: Stand) -> None:
    run = None
    while run is None:
        run = await stand.start(stand.sagas.odd, "block", "COMPLETED")
    resumed = "SELECT count(DISTINCT process) FROM saga_fn.saga_journal WHERE saga_id = $1 AND kind = 'resumed'"
    async with asyncio.timeout(SOON):
        while (await stand.asked(resumed, run.id) or 0) < 2:  # its lease is lost, and another takes it over
            await asyncio.sleep(0.05)
    await stand.ended(30)


@happens(39)
async def steps_raise_what_is_no_error(stand: Stand) -> None:
    for how in ODD:
        await stand.start(stand.sagas.odd, how, ODD[how])
    await stand.ended(30)


@happens(40)
async def calls_are_cancelled(stand: Stand) -> None:
    """Cancel starts a little later each time; each is then asked for again under its key, and is there once."""
    for number in range(40):
        key = f"cancelled-{number}"
        call = asyncio.create_task(stand.sagas.jobs.start(Job(), idempotency_key=key))
        for _ in range(number):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        await stand.start(stand.sagas.jobs, Job(), "COMPLETED", key)


@happens(42)
async def events_come_badly(stand: Stand) -> None:
    """The load sends each of its events twice; here are those that come for no saga, too large, or for another step."""
    one = next(iter(stand.events))
    for saga, number in ((one, 10**6), (next(iter(stand.accepted)), 10**6 + 1)):
        for _ in range(3):
            try:
                await stand.orchestrator.to(saga, approved).send(Note(number), event_id=f"bad-{number}")
            except SagaError as error:
                stand.errors[type(error).__name__] += 1
    await stand.ended(30)


@happens(43)
async def aborts_race(stand: Stand) -> None:
    admin = SagaAdmin(stand.orchestrator)
    for number in range(40):
        fails = "join" if number % 2 else ""
        run = await stand.start(
            stand.sagas.forks, Job(fails=fails, takes=0.02), "COMPENSATED" if fails else "COMPLETED"
        )
        if run is None:
            continue
        await asyncio.sleep(0.3 * random.random())
        try:
            await admin.abort(run.id)
        except SagaStateError:
            continue  # it had ended
        stand.accepted[run.id] = "FAILED"


@happens(44)
async def compensations_fail(stand: Stand) -> None:
    for _ in range(10):
        await stand.start(stand.sagas.forks, Job(fails="join", flaky="undo left"), "COMPENSATED")
    for _ in range(3):
        await stand.start(stand.sagas.stubborn, Job(fails="two"), "FAILED")
    await stand.ended(30)


@happens(46)
async def two_versions(stand: Stand) -> None:
    stand.worker(plan=2)
    stand.sagas.deploy()
    await stand.ended(30)
    stand.worker(plan=2)
    await stand.ended(30)


@happens(47)
async def migrated_under_load(stand: Stand) -> None:
    command = [sys.executable, "-m", "saga_fn.store.migrate", "--dsn", stand.dsn, "--schema", "other"]
    for seconds in (0.4, 0.5, 0.6):
        migrating = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
        await asyncio.sleep(seconds)
        if migrating.returncode is None:
            migrating.kill()
        await migrating.wait()
    await asyncio.gather(*(migrate(stand.dsn, schema=schema) for schema in ("other", "other", "saga_fn", "saga_fn")))
    async with SagaOrchestrator(stand.dsn, schema="other", concurrency=0) as orchestrator:
        await Trials(orchestrator, Ledger(stand.books)).jobs.start(Job())
