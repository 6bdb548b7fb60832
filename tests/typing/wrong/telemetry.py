"""What is no instrument, and no part of one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from saga_fn import MemoryStore, SagaOrchestrator
from saga_fn.observe import Fact, Instrument, StartCall, StepCall


def told(fact: Fact) -> None: ...


@contextmanager
def starting(call: StartCall) -> Generator[int]:
    yield call.sagas


@asynccontextmanager
async def attempting(call: StepCall) -> AsyncGenerator[None]:
    yield


# refused: list-item | reportArgumentType
ORCHESTRATOR = SagaOrchestrator(MemoryStore(), instruments=[told])
# refused: arg-type | reportArgumentType
OF_ONE = Instrument(observers=told)
# refused: arg-type | reportArgumentType
OF_STEPS = Instrument(around_start=(attempting,))
# refused: arg-type | reportArgumentType
OF_NUMBERS = Instrument(around_start=(starting,))
# refused: attr-defined | reportAttributeAccessIssue
from saga_fn import SagaAdmim  # noqa: E402, F401 - a name that is none, though some are imported late
