"""An orchestrator that was made to look only writes nothing: each method of SagaAdmin looks, or is refused."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import pytest

from saga_fn import Cancel, Retention, SagaAdmin, SagaFilter, SagaOrchestrator, StoreRefusedError
from tests.support.shop import Done, Order, Shop, make_saga

LOOKS: Final = {
    "count",
    "explain",
    "export",
    "find",
    "get_operation",
    "get_saga",
    "kept_events",
    "outgoing",
    "list",
    "list_all",
    "list_operations",
    "pauses",
    "preview",
    "processes",
    "stats",
    "step",
    "verify",
}
KEPT: Final = Retention(completed=timedelta(days=1))
WRITES: Final[dict[str, Callable[[SagaAdmin, UUID], Awaitable[object]]]] = {
    "abort": lambda admin, saga: admin.abort(saga),
    "acknowledge": lambda admin, saga: admin.acknowledge(saga),
    "begin_operation": lambda admin, _: admin.begin_operation(SagaFilter(saga_name="shop"), Cancel()),
    "cancel": lambda admin, saga: admin.cancel(saga),
    "compensate_step": lambda admin, saga: admin.compensate_step(saga),
    "continue_operation": lambda admin, saga: admin.continue_operation(saga),
    "discard_kept": lambda admin, _: admin.discard_kept("shop", "key"),
    "redrive": lambda admin, saga_id: admin.redrive(saga_id),
    "discard": lambda admin, saga_id: admin.discard(saga_id),
    "pause": lambda admin, _: admin.pause("shop"),
    "pause_all": lambda admin, _: admin.pause_all(),
    "pause_saga": lambda admin, saga: admin.pause_saga(saga),
    "prune": lambda admin, _: admin.prune("shop", version=1, retention=KEPT),
    "reschedule": lambda admin, saga: admin.reschedule(saga, datetime.now(UTC)),
    "resume": lambda admin, _: admin.resume("shop"),
    "resume_all": lambda admin, _: admin.resume_all(),
    "resume_saga": lambda admin, saga: admin.resume_saga(saga),
    "retry_step": lambda admin, saga: admin.retry_step(saga, "reserve"),
    "rewind": lambda admin, saga: admin.rewind(saga, "reserve"),
    "settle_done": lambda admin, saga: admin.settle_done(saga, "reserve", Done("reserve")),
    "settle_never_ran": lambda admin, saga: admin.settle_never_ran(saga, "reserve"),
    "settle_undone": lambda admin, saga: admin.settle_undone(saga, "reserve"),
    "skip_step": lambda admin, saga: admin.skip_step(saga, "reserve", Done("reserve"), not_begun=True),
    "start_now": lambda admin, saga: admin.start_now(saga),
    "stop_operation": lambda admin, saga: admin.stop_operation(saga),
}


def test_each_method_is_known_to_look_or_to_write() -> None:
    methods = {name for name, _ in inspect.getmembers(SagaAdmin, callable) if not name.startswith("_")}
    assert methods == LOOKS | WRITES.keys()


@pytest.mark.parametrize("method", WRITES)
async def test_what_writes_is_refused(any_dsn: str, method: str) -> None:
    async with (
        SagaOrchestrator(any_dsn, concurrency=0) as writing,
        SagaOrchestrator(any_dsn, concurrency=0, read_only=True) as looking,
    ):
        run = await writing.register("shop", make_saga(Shop())).start(Order("1"), delay=timedelta(days=1))
        looking.register("shop", make_saga(Shop()))
        admin = SagaAdmin(looking)
        before = await admin.get_saga(run.id)
        with pytest.raises(StoreRefusedError, match="only looks at sagas"):
            await WRITES[method](admin, run.id)
        assert await admin.get_saga(run.id) == before
        assert (await admin.prune("shop", version=1, retention=KEPT, dry_run=True)).sagas == 0
