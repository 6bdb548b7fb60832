"""Beside others: three steps, or three chained jobs, on the same server with the same durability.

Each is installed into an environment of its own and runs at the number in flight that suits it best. One that cannot run
here is listed with the reason.

pip looks where its own settings say: a peer that no index has can be offered as a wheel, in a folder of your choice. One
that needs a newer Python than ours gets it if one is on PATH.

    PIP_FIND_LINKS=/path/to/wheels make bench ARGS="--only peers"
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncpg
import attrs

from saga_fn._tools.pythons import pythons
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report, Value, median
from tests.bench.sagas import Shape
from tests.bench.throughput import once

HERE = Path(__file__).parent / "peers"
ENVIRONMENTS = Path(__file__).parents[2] / ".bench"
_IN_FLIGHT = (4, 16, 100, 400)
_PATIENCE = 180


@attrs.frozen
class Peer:
    """A package, pinned, and the program that measures it."""

    package: str
    what: str
    program: str
    beside: tuple[str, ...] = ()
    """What else it needs to run, or to run at its best."""
    python: tuple[int, int] = (3, 11)
    """The oldest that it runs with."""


PEERS = (
    Peer("python-saga-orchestrator==0.7.3", "sagas", "saga_orchestrator_peer.py", python=(3, 12)),
    Peer("dbos==3.4.0", "workflows", "dbos_peer.py"),
    Peer("absurd-sdk==0.5.1", "workflows", "absurd_peer.py", beside=("absurdctl==0.5.1",)),
    Peer("procrastinate==3.10.0", "chained jobs", "procrastinate_peer.py", beside=("psycopg[binary]",)),
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
    speeds: dict[int, list[float]] = {}
    failed: _CannotRunError | None = None
    for in_flight in _IN_FLIGHT:
        try:
            speeds[in_flight] = [await _once(server, python, peer, in_flight, seconds)]
        except _CannotRunError as error:
            failed = error
    if failed is not None and not speeds:
        raise failed
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
    python, stamp = place / "bin" / "python", place / "installed"
    wanted = "\n".join((peer.package, *peer.beside))
    if not stamp.exists() or stamp.read_text() != wanted:
        await _run(await _interpreter(peer.python), "-m", "venv", "--clear", str(place))
        pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        await _run(*pip, peer.package, *peer.beside)
        stamp.write_text(wanted)
    return python


async def _interpreter(oldest: tuple[int, int]) -> str:
    """Ours if it is new enough, or else the oldest that is: on PATH or in pyenv."""
    able = f"import ensurepip, sys, venv; sys.exit(sys.version_info < {oldest})"
    for candidate in (sys.executable, *map(str, (await asyncio.to_thread(pythons)).values())):
        try:
            await _run(candidate, "-c", able)
        except (OSError, _CannotRunError):
            continue
        return candidate
    raise _CannotRunError(f"needs Python {oldest[0]}.{oldest[1]}, none found")


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
