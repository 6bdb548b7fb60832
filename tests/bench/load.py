"""A process that runs sagas of one shape: `python -m tests.bench.load DSN SCHEMA SHAPE SAGAS`, SHAPE and SAGAS as JSON.

It warms up, says `ready`, waits for a line, runs so many sagas, and prints what it measured as JSON.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from tests.bench.sagas import Shape, measure, orchestrator, sequence


async def main(dsn: str, schema: str, shape: Shape, sagas: int) -> None:
    """One process's part of the shape."""
    in_flight = max(1, shape.in_flight // shape.processes)
    async with orchestrator(dsn, in_flight=in_flight, schema=schema) as running:
        handle = running.register("bench", sequence(shape.steps, fails=shape.fails))
        await measure(handle, in_flight=in_flight, sagas=max(100, in_flight), bytes_=shape.bytes, fails=shape.fails)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        measured = await measure(handle, in_flight=in_flight, sagas=sagas, bytes_=shape.bytes, fails=shape.fails)
    print(msgspec.json.encode(measured).decode())


if __name__ == "__main__":
    dsn, schema, shape, sagas = sys.argv[1:]
    chosen = msgspec.json.decode(shape, type=Shape)
    if chosen.tuned:
        from saga_fn.tuning import run

        run(main(dsn, schema, chosen, int(sagas)), uvloop=True)
    elif chosen.uvloop:
        import uvloop

        uvloop.run(main(dsn, schema, chosen, int(sagas)))
    else:
        asyncio.run(main(dsn, schema, chosen, int(sagas)))
