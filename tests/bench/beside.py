"""Beside others: three steps, or three chained jobs, on the same server with the same durability.

Each is installed into an environment of its own and runs at the number in flight that suits it best. One that cannot run
here is listed with the reason.
"""

from __future__ import annotations

import asyncio
import venv
from pathlib import Path

import asyncpg
import attrs

from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report, Value, median
from tests.bench.sagas import Shape
from tests.bench.throughput import once

HERE = Path(__file__).parent / "peers"
ENVIRONMENTS = Path(__file__).parents[2] / ".bench"
_IN_FLIGHT = (16, 100, 400)
_PATIENCE = 180


@attrs.frozen
class Peer:
    """A package, pinned, and the program that measures it."""

    package: str
    what: str
    program: str = ""
    lacks: str = ""
    """Why there is no program that measures it."""


PEERS = (
    Peer("python-saga-orchestrator==0.7.3", "sagas", lacks="could not be installed when this was written"),
    Peer("dbos==3.4.0", "workflows", "dbos_peer.py"),
    Peer("absurd-sdk", "workflows", lacks="its package comes without its schema"),
    Peer("procrastinate==3.10.0", "chained jobs", "procrastinate_peer.py"),
    Peer("pgqueuer[asyncpg]==1.6.0", "chained jobs", "pgqueuer_peer.py"),
)


async def run(server: EmbeddedPostgres, report: Report, *, rounds: int, seconds: int) -> None:
    """Ours first, then each peer."""
    ours = {
        in_flight: median(
            [(await once(server.dsn, Shape(in_flight), seconds=seconds)).per_second for _ in range(rounds)]
        )
        for in_flight in (100, 300, 1000)
    }
    best = max(ours, key=lambda in_flight: ours[in_flight])
    rows: list[list[Value]] = [["saga_fn", "sagas", best, ours[best], None]]
    for peer in PEERS:
        try:
            in_flight, speed = await _measure(server, peer, rounds=rounds, seconds=seconds)
        except _CannotRunError as error:
            rows.append([peer.package, peer.what, None, None, f"cannot run: {error}"])
        else:
            rows.append([peer.package, peer.what, in_flight, speed, f"{ours[best] / speed:.1f}x"])
    report.table(
        "Three steps, each at its best number in flight",
        ["who", "what", "in flight", "a second", "ours, beside it"],
        rows,
    )


class _CannotRunError(Exception):
    pass


async def _measure(server: EmbeddedPostgres, peer: Peer, *, rounds: int, seconds: int) -> tuple[int, float]:
    python = await _environment(peer)
    if not peer.program:
        raise _CannotRunError(peer.lacks)
    speeds: dict[int, list[float]] = {}
    for in_flight in _IN_FLIGHT:
        speeds[in_flight] = [await _once(server, python, peer, in_flight, seconds)]
    best = max(speeds, key=lambda in_flight: speeds[in_flight][0])
    for _ in range(rounds - 1):
        speeds[best].append(await _once(server, python, peer, best, seconds))
    return best, median(speeds[best])


async def _once(server: EmbeddedPostgres, python: Path, peer: Peer, in_flight: int, seconds: int) -> float:
    observer = await asyncpg.connect(server.dsn)
    await observer.execute("CREATE DATABASE peer")
    dsn = server.dsn.replace("/postgres?", "/peer?")
    try:
        told = await _run(str(python), str(HERE / peer.program), dsn, str(in_flight), str(seconds))
        return float(told.split()[-1])
    finally:
        await observer.execute("DROP DATABASE peer WITH (FORCE)")
        await observer.close()


async def _environment(peer: Peer) -> Path:
    place = ENVIRONMENTS / peer.package.partition("=")[0].partition("[")[0]
    python = place / "bin" / "python"
    if not (place / "installed").exists():
        await asyncio.to_thread(venv.create, place, with_pip=True, clear=True)
        await _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", peer.package)
        (place / "installed").touch()
    return python


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            told, complaint = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise _CannotRunError(f"no answer within {_PATIENCE} s") from None
    if process.returncode:
        lines = [line for line in complaint.decode().splitlines() if line.strip()]
        raise _CannotRunError(lines[-1][:120] if lines else f"exit code {process.returncode}")
    return told.decode()
