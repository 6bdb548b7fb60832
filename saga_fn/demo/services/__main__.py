"""The services' process: `python -m saga_fn.demo.services`, started by the demo; the DSN is in `SAGA_FN_DSN`."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket

import asyncpg
import uvicorn

from saga_fn import SagaOrchestrator
from saga_fn.demo.processes import stop_with_parent
from saga_fn.demo.services.app import shop_app
from saga_fn.demo.services.books import Books
from saga_fn.demo.services.desk import Desk
from saga_fn.demo.services.risk import RiskOffice
from saga_fn.demo.services.weather import Weather


async def serve(dsn: str, schema: str, sagas_schema: str, seed: int, listening: socket.socket) -> None:
    """Answer on this socket until a signal says to stop."""
    async with (
        asyncpg.create_pool(dsn, min_size=2, max_size=8) as pool,
        SagaOrchestrator(dsn, schema=sagas_schema, concurrency=0) as sagas,  # it only sends to them
        asyncio.TaskGroup() as background,
    ):
        desk = Desk(Books(pool, schema), Weather(seed))
        app = shop_app(desk, RiskOffice(desk, sagas, background))
        config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        await uvicorn.Server(config).serve(sockets=[listening])


def main() -> None:
    """Serve the four services."""
    parser = argparse.ArgumentParser(prog="python -m saga_fn.demo.services", description=__doc__)
    parser.add_argument("--schema", required=True, help="where the books are")
    parser.add_argument("--sagas-schema", required=True, help="where the sagas are that wait for decisions")
    parser.add_argument("--seed", required=True, type=int, help="of the weather")
    parser.add_argument("--fd", required=True, type=int, help="a listening socket, inherited")
    options = parser.parse_args()
    stop_with_parent()
    listening = socket.socket(fileno=options.fd)
    asyncio.run(serve(os.environ["SAGA_FN_DSN"], options.schema, options.sagas_schema, options.seed, listening))


if __name__ == "__main__":
    main()
