"""Acts of operators are kept; one that goes over many sagas is carried out by one process at a time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from saga_fn.core.ids import Moment
from saga_fn.snapshot import OperationState
from saga_fn.store.protocol import Store
from saga_fn.store.records import OperationRecord, Progress

LONG = timedelta(minutes=1)
OVER = timedelta(0)
SOME = Progress(
    done=3, asked=1, refusals={"moved_on": 2}, at=Moment(7), at_id=UUID(int=7), batch=((UUID(int=8), 5),), is_last=True
)


def operation(needs: str | None = None, state: OperationState = OperationState.RUNNING) -> OperationRecord:
    now = datetime.now(UTC)
    return OperationRecord(
        id=uuid4(),
        verb="retry_step",
        step_id="charge",
        actor="ann",
        reason="why",
        request=b"{}",
        needs=needs,
        state=state,
        progress=Progress(),
        began_at=now,
        updated_at=now,
    )


async def test_an_operation_that_is_recorded_again_is_there_once(store: Store) -> None:
    asked = operation()
    first = await store.operations.insert(asked)
    assert (first.id, first.verb, first.step_id, first.actor, first.request) == (
        asked.id,
        "retry_step",
        "charge",
        "ann",
        b"{}",
    )
    assert (first.state, first.progress, first.token) == (OperationState.RUNNING, Progress(), None)
    another = OperationRecord(
        id=asked.id,
        verb="cancel",
        state=OperationState.RUNNING,
        progress=Progress(),
        began_at=asked.began_at,
        updated_at=asked.began_at,
    )
    assert await store.operations.insert(another) == first
    assert await store.operations.read(asked.id) == first
    assert await store.operations.read(uuid4()) is None


async def test_one_process_at_a_time_carries_an_operation_out(store: Store) -> None:
    asked = operation()
    await store.operations.insert(asked)
    first = await store.operations.claim([], lease=LONG)
    assert first is not None
    assert first.id == asked.id
    assert first.token is not None
    assert await store.operations.claim([], lease=LONG) is None
    assert await store.operations.take(asked.id, seen=OperationState.RUNNING, lease=LONG) is None
    advanced = await store.operations.advance(asked.id, first.token, SOME, lease=OVER, is_done=False)
    assert advanced is OperationState.RUNNING
    second = await store.operations.claim([], lease=LONG)
    assert second is not None
    assert second.progress == SOME
    assert second.token != first.token
    assert await store.operations.advance(asked.id, first.token, Progress(), lease=LONG, is_done=True) is None
    assert second.token is not None
    done = await store.operations.advance(asked.id, second.token, SOME, lease=OVER, is_done=True)
    assert done is OperationState.DONE
    assert await store.operations.claim([], lease=LONG) is None
    assert await store.operations.take(asked.id, seen=OperationState.RUNNING, lease=LONG) is None


async def test_an_operation_that_needs_a_definition_is_carried_out_where_it_is_known(store: Store) -> None:
    needs, free = operation("shop"), operation()
    await store.operations.insert(needs)
    assert await store.operations.claim(["other"], lease=LONG) is None
    await store.operations.insert(free)
    found = await store.operations.claim(["other"], lease=LONG)
    assert found is not None
    assert found.id == free.id
    found = await store.operations.claim(["other", "shop"], lease=LONG)
    assert found is not None
    assert found.id == needs.id


async def test_an_operation_that_is_stopped_is_claimed_by_nobody_and_goes_on_when_it_is_told_to(store: Store) -> None:
    asked = operation()
    await store.operations.insert(asked)
    claimed = await store.operations.claim([], lease=LONG)
    assert claimed is not None
    assert claimed.token is not None
    assert await store.operations.stop(asked.id)
    assert not await store.operations.stop(asked.id)
    advanced = await store.operations.advance(asked.id, claimed.token, SOME, lease=OVER, is_done=False)
    assert advanced is OperationState.STOPPED
    assert await store.operations.claim([], lease=LONG) is None
    assert await store.operations.take(asked.id, seen=OperationState.RUNNING, lease=LONG) is None, "the stop stands"
    taken = await store.operations.take(asked.id, seen=OperationState.STOPPED, lease=LONG)
    assert taken is not None
    assert (taken.state, taken.progress) == (OperationState.RUNNING, SOME)


async def test_operations_are_listed_page_by_page_the_newest_first(store: Store) -> None:
    for _ in range(5):
        await store.operations.record(operation(state=OperationState.DONE))
    every = await store.operations.page(before=None, most=10)
    assert len(every) == 5
    assert every == sorted(every, key=lambda each: (each.began_at, each.id), reverse=True)
    first = await store.operations.page(before=None, most=2)
    rest = await store.operations.page(before=(first[-1].began_at, first[-1].id), most=10)
    assert first + rest == every


async def test_the_outcome_of_an_act_that_was_recorded_before_it_was_done_is_written_to_it(store: Store) -> None:
    act = operation(state=OperationState.DONE)
    await store.operations.record(act)
    asked = await store.operations.read(act.id)
    assert asked is not None
    await store.operations.close(act.id, Progress(done=1))
    await store.operations.record(act)  # it is there
    found = await store.operations.read(act.id)
    assert found is not None
    assert (found.progress, found.state, found.began_at) == (Progress(done=1), OperationState.DONE, asked.began_at)
    runs = await store.operations.insert(operation())
    for each in (runs.id, uuid4()):
        await store.operations.close(each, Progress(done=1))
    assert await store.operations.read(runs.id) == runs
    taken = await store.operations.take(runs.id, seen=OperationState.RUNNING, lease=LONG)
    assert taken is not None
    assert taken.token is not None
    await store.operations.advance(runs.id, taken.token, SOME, lease=LONG, is_done=True)
    await store.operations.close(runs.id, Progress(done=1))
    ended = await store.operations.read(runs.id)
    assert ended is not None
    assert ended.progress == SOME, "its outcome is that of the process that has carried it out"


async def test_acts_that_are_over_are_deleted_once_they_are_old_enough(store: Store) -> None:
    done = [operation(state=OperationState.DONE) for _ in range(3)]
    for act in done:
        await store.operations.record(act)
    runs = await store.operations.insert(operation())
    assert await store.operations.drop(kept=LONG) == 0
    await asyncio.sleep(0.01)
    assert await store.operations.drop(kept=timedelta(milliseconds=1)) == len(done)
    assert await store.operations.drop(kept=timedelta(milliseconds=1)) == 0
    assert [each.id for each in await store.operations.page(before=None, most=10)] == [runs.id]
