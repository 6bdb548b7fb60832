"""An instrument of a service's own: observers, code around attempts and starts, the numbers about all sagas."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import assert_type
from uuid import UUID

from saga_fn import MemoryStore, SagaOrchestrator, SagaStats
from saga_fn.observe import Fact, Instrument, SagaEnded, StartCall, StatsRead, StepCall


def told(fact: Fact) -> None:
    match fact:
        case StatsRead(stats=stats, slots_used=used):
            assert_type(stats, SagaStats)
            assert_type(used, int)
        case SagaEnded():
            assert_type(fact.seconds, float | None)
        case _:
            pass


@contextmanager
def starting(call: StartCall) -> Generator[Mapping[str, str]]:
    yield {"traceparent": call.saga_name}
    assert_type(call.saga_ids, tuple[UUID, ...])


@asynccontextmanager
async def attempting(call: StepCall) -> AsyncGenerator[None]:
    assert_type(call.saga.trace_carrier, Mapping[str, str])
    assert_type(call.saga.started_at, datetime | None)
    yield


TOOL = Instrument(observers=(told,), around=(attempting,), around_start=(starting,), stats_every=10)
ORCHESTRATOR = SagaOrchestrator(MemoryStore(), instruments=[TOOL])
