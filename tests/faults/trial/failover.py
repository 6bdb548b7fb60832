"""Standbys that are promoted, beside an old primary that is gone, or is not; and a machine that crashes after fsync has lied."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal

import attrs

from saga_fn.embedded import EmbeddedPostgres
from tests.faults.trial.stand import Stand
from tests.faults.trial.template import copied
from tests.support.replica import copy_to
from tests.support.servers import SETTINGS
from tests.support.until import SOON


@attrs.define
class Standby:
    """A standby of the stand's server."""

    server: EmbeddedPostgres
    lagging: int = 0
    """The process of the primary that sends to it, and stands still."""


async def standby(stand: Stand, *, synchronous: bool) -> Standby:
    """Give the stand's server a standby, which lives as long as the stand."""
    home = stand.folder / "standby"
    home.mkdir(mode=0o711)
    await asyncio.to_thread(copy_to, stand.server, home)
    server = EmbeddedPostgres(home, bin_dir=stand.cell.bin_dir, settings={**SETTINGS, "hot_standby": "on"})
    await stand.stack.enter_async_context(server)
    if synchronous:
        await stand.asked("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await stand.asked("SELECT pg_reload_conf()")
    wanted = "sync" if synchronous else "async"
    async with asyncio.timeout(SOON):
        while not await stand.asked(
            "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = $1", wanted
        ):
            await asyncio.sleep(0.05)
    return Standby(server)


async def lag(stand: Stand, other: Standby, seconds: float) -> None:
    """Let the standby fall behind until it is promoted."""
    other.lagging = await stand.asked("SELECT pid FROM pg_stat_replication")
    os.kill(other.lagging, signal.SIGSTOP)
    await asyncio.sleep(seconds)


async def promoted(stand: Stand, other: Standby) -> None:
    """Lose the primary, and lead everybody to the standby, which takes writes."""
    stand.back.down = True
    os.kill(stand.server.pid, signal.SIGKILL)
    if other.lagging:
        os.kill(other.lagging, signal.SIGKILL)
    await asyncio.to_thread(stand.server.stop)
    await _promote(stand, other)
    stand.back.down = False
    stand.back.lead_to(other.server.dsn)


async def split(stand: Stand, other: Standby, seconds: float) -> None:
    """Let both take writes for a while: half of the connections stay with the old primary, which is then given up."""
    await _promote(stand, other)
    stand.back.lead_to(other.server.dsn, cut=False)
    stand.back.cut(every=2)
    await asyncio.sleep(seconds)
    stand.back.cut()
    await asyncio.to_thread(stand.server.stop)


async def _promote(stand: Stand, other: Standby) -> None:
    stand.dsn = other.server.dsn
    async with asyncio.timeout(SOON):
        while not await stand.asked("SELECT NOT pg_is_in_recovery() OR pg_promote()"):
            await asyncio.sleep(0.05)


async def crashed_after_lies(stand: Stand, seconds: float) -> None:
    """Let the server commit for a while without fsync; then lose all that no fsync has kept, as a machine does that crashes."""
    assert stand.shim is not None
    kept = stand.folder / "kept"
    data = stand.folder / "data" / "data"
    await asyncio.to_thread(stand.server.stop)
    await asyncio.to_thread(copied, data, kept)
    stand.shim.lying()
    await asyncio.to_thread(stand.server.start)
    await asyncio.sleep(seconds)
    os.kill(stand.server.pid, signal.SIGKILL)
    await asyncio.to_thread(stand.server.stop)
    await asyncio.to_thread(shutil.rmtree, data)
    await asyncio.to_thread(kept.rename, data)
    stand.shim.calm()
    await asyncio.to_thread(stand.server.start)
