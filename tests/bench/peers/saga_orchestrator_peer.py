"""python-saga-orchestrator: a saga of three steps.

`python saga_orchestrator_peer.py DSN IN_FLIGHT SECONDS` prints sagas a second. Its `start` runs the saga and returns when
it has ended: as many are in flight as there are tasks that call it. None waits for a connection up to 50 in flight.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from typing import Any

from loguru import logger
from pydantic import BaseModel
from saga_orchestrator import BaseStep, SagaBuilder, SagaOrchestrator, SagaStateMixin, SagaStepHistoryMixin
from saga_orchestrator.domain.models.enums import SagaStatus
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

dsn, in_flight, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
logger.remove()


class Base(DeclarativeBase):
    pass


class History(Base, SagaStepHistoryMixin):
    __tablename__ = "history"

    saga_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("saga.id", ondelete="CASCADE"), index=True)


class Saga(Base, SagaStateMixin):
    __tablename__ = "saga"

    step_history: Mapped[list[History]] = relationship(History, cascade="all, delete-orphan", order_by=History.id)


class Data(BaseModel):
    text: str = "x" * 200


class Work(BaseStep[Data, Data]):
    async def execute(self, inp: Data, event_type: str | None = None, event_payload: Any | None = None) -> Data:
        return inp

    async def compensate(
        self, inp: Data, out: Data, event_type: str | None = None, event_payload: Any | None = None
    ) -> None:
        return None


async def main() -> None:
    url = dsn.replace("postgresql:", "postgresql+asyncpg:", 1)
    engine = create_async_engine(url, pool_size=min(in_flight, 50), max_overflow=0, pool_timeout=180)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    session_maker = async_sessionmaker(engine, expire_on_commit=False)
    orchestrator = SagaOrchestrator[Saga, History](
        model_class=Saga, history_model_class=History, session_maker=session_maker
    )
    builder = SagaBuilder()
    ref = builder.add_step(step=Work(), input_map=lambda context: Data(**context.initial_data))
    for _ in range(2):
        ref = builder.add_step(step=Work(), depends_on=ref, input_map=lambda out: out)
    orchestrator.register("three", builder.build())

    async def one_after_another(until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            await orchestrator.start(saga_name="three", initial_data=Data(), aggregation_id=uuid.uuid4().hex)
            done += 1
        return done

    warm = sum(await asyncio.gather(*(one_after_another(time.perf_counter() + 1) for _ in range(in_flight))))
    begun = time.perf_counter()
    done = sum(await asyncio.gather(*(one_after_another(begun + seconds) for _ in range(in_flight))))
    took = time.perf_counter() - begun
    async with session_maker() as session:
        completed = await session.scalar(select(func.count()).where(Saga.status == SagaStatus.COMPLETED))
    assert completed == warm + done
    print(done / took)
    await engine.dispose()


asyncio.run(main())
