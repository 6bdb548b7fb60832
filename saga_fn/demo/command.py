"""The command of the demo: fulfil a few hundred orders with two workers, kill one, and audit the books."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

import asyncpg

from saga_fn import SagaError
from saga_fn.demo.display import Display
from saga_fn.demo.orders import SHIPPED_ORDERS, OrdersFileError, read_orders
from saga_fn.demo.postgres import postgres
from saga_fn.demo.processes import ChildDiedError
from saga_fn.demo.run import Options, run_demo


def run(arguments: list[str] | None = None) -> int:
    """Run the demo. 0: all is well; 1: the audit found something, or a process died; 2: it could not start."""
    parser = argparse.ArgumentParser(prog="python -m saga_fn.demo", description=__doc__)
    parser.add_argument(
        "--orders", type=Path, default=SHIPPED_ORDERS, help="a JSONL file of orders (default: those of the package)"
    )
    parser.add_argument("--limit", type=_positive, help="take only so many of them")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same refusals (default: 1)")
    parser.add_argument("--workers", type=_positive, default=2, help="worker processes (default: 2)")
    parser.add_argument("--no-kill", dest="kill", action="store_false", help="let all workers live")
    parser.add_argument(
        "--console",
        action=argparse.BooleanOptionalAction,
        default=sys.stdin.isatty() and sys.stdout.isatty(),
        help="open the console over its sagas at the end, until a key is pressed (default: at a terminal)",
    )
    chosen = parser.parse_args(arguments)
    if chosen.kill and chosen.workers == 1:
        parser.error("with one worker none is left when it is killed; use --workers 2 or --no-kill")
    try:
        orders = read_orders(chosen.orders)[: chosen.limit]
    except OrdersFileError as error:
        print(error, file=sys.stderr)
        return 2

    display = Display()
    options = Options(seed=chosen.seed, workers=chosen.workers, kill=chosen.kill, console=chosen.console)
    began = time.monotonic()
    try:
        with postgres() as dsn:
            findings = asyncio.run(run_demo(dsn, orders, options, display))
    except KeyboardInterrupt:
        return 130
    except ExceptionGroup as failures:
        deaths = failures.subgroup(ChildDiedError)
        if deaths is None:
            raise
        print(deaths.exceptions[0], file=sys.stderr)
        return 1
    except (SagaError, asyncpg.PostgresError, OSError) as error:
        print(f"PostgreSQL cannot be used: {error}\nHINT: SAGA_FN_DSN names the server, if set", file=sys.stderr)
        return 2
    if not options.console:
        display.say(f"{len(orders)} orders, seed {options.seed}, {time.monotonic() - began:.1f} s")
    return 1 if findings else 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number
