"""A worker of the soak run, and its sagas: `main` begins it."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from saga_fn import Retention, SagaBuilder, SagaDefinition, SagaOrchestrator, step
from saga_fn.definition import retention
from saga_fn.engine import worker
from saga_fn.engine.hold import deleting

LEASE: Final = timedelta(seconds=5)
KEPT: Final = timedelta(seconds=20)
"""How long a saga is kept after its end."""


async def _do(inp: int) -> int:
    return inp


async def _fail(inp: int) -> int:
    if inp % 5 == 0:
        raise RuntimeError("one of five turns back")
    return inp


async def _undo(inp: int, out: int | None) -> None:
    pass


def five_steps() -> SagaDefinition[int, int]:
    """Five steps; one saga of five turns back at the last."""
    # No user may keep sagas for less than an hour; here an hour has to pass in seconds.
    setattr(retention, "SHORTEST", KEPT)  # noqa: B010 - it is final for all but this program
    setattr(deleting, "LEAST_KEPT", KEPT)  # noqa: B010 - as above
    setattr(deleting, "_PAUSE", KEPT / 5)  # noqa: B010 - as above
    setattr(worker, "DELETE_EVERY", KEPT.total_seconds() / 5)  # noqa: B010 - as above
    setattr(deleting, "_AT_WORK", KEPT)  # noqa: B010 - as above: some that are at work are killed
    builder = SagaBuilder(int, retention=Retention(completed=KEPT, compensated=KEPT))
    ref = builder.initial
    for number in range(4):
        ref = builder.add_step(step(_do, compensate=_undo, step_id=f"step {number}"), depends_on=ref)
    last = step(_fail, step_id="last", give_up_on=RuntimeError, business_error_settles=True)
    return builder.build(output=builder.add_step(last, depends_on=ref))


async def main(dsn: str) -> None:
    """Work, and delete what has ended."""
    logging.disable()
    orchestrator = SagaOrchestrator(dsn, concurrency=200, lease=LEASE, pool_size=3)
    orchestrator.register("five", five_steps())
    await orchestrator.run_forever()
