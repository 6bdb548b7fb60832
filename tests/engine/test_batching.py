"""What is ready together leaves together, one row a saga, in the order of the sagas' ids."""

from __future__ import annotations

import asyncio
from uuid import UUID

import attrs

from saga_fn.engine.commit.batching import BATCH_BYTES, BATCH_ROWS, Batcher


@attrs.frozen
class Item:
    id: UUID
    size: int = 1
    note: str = ""


class Sent:
    """Remembers the batches, and holds each back until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[Item]] = []
        self.gate = asyncio.Event()

    async def __call__(self, shard: int, batch: list[Item]) -> None:
        self.batches.append(batch)
        await self.gate.wait()


def item(number: int, *, size: int = 1, note: str = "") -> Item:
    return Item(UUID(int=number), size, note)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_one_alone_leaves_alone_and_at_once() -> None:
    sent = Sent()
    Batcher(sent, max_in_flight=1).add(0, item(1))
    await turns()
    assert sent.batches == [[item(1)]]
    sent.gate.set()


async def test_what_comes_in_one_turn_leaves_together_in_the_order_of_ids() -> None:
    sent = Sent()
    batcher = Batcher(sent, max_in_flight=1)
    for number in (3, 1, 2):
        batcher.add(0, item(number))
    await turns()
    assert sent.batches == [[item(1), item(2), item(3)]]
    sent.gate.set()


async def test_what_comes_while_enough_batches_are_in_flight_leaves_with_the_next() -> None:
    sent = Sent()
    batcher = Batcher(sent, max_in_flight=2)
    for number in range(5):
        batcher.add(0, item(number))
        await turns()
    assert sent.batches == [[item(0)], [item(1)]]
    sent.gate.set()
    await turns()
    assert sent.batches == [[item(0)], [item(1)], [item(2), item(3), item(4)]]


async def test_a_saga_has_one_row_in_a_batch_and_its_writes_keep_their_order() -> None:
    sent = Sent()
    batcher = Batcher(sent, max_in_flight=1)
    for note in ("first", "second", "third"):
        batcher.add(0, item(1, note=note))
    batcher.add(0, item(2))
    sent.gate.set()
    await turns(10)
    assert [[one.note for one in batch if one.id.int == 1] for batch in sent.batches] == [
        ["first"],
        ["second"],
        ["third"],
    ]


async def test_batches_are_bounded_by_rows_and_bytes_and_each_is_of_one_shard() -> None:
    sent = Sent()
    sent.gate.set()
    batcher = Batcher(sent, max_in_flight=1)
    for number in range(BATCH_ROWS + 1):
        batcher.add(0, item(number))
    for number in range(3):
        batcher.add(1, item(number, size=BATCH_BYTES // 2))
    batcher.add(2, item(0, size=3 * BATCH_BYTES))  # more than a batch holds goes by itself
    await turns(20)
    assert sorted(len(batch) for batch in sent.batches) == [1, 1, 1, 2, BATCH_ROWS]
    assert sum(map(len, sent.batches)) == BATCH_ROWS + 1 + 3 + 1


async def test_what_follows_at_once_from_a_batch_leaves_by_the_lane_that_wrote_it() -> None:
    batches: list[list[Item]] = []

    async def send(_: int, batch: list[Item]) -> None:
        batches.append(batch)
        if len(batches) < 3:
            asyncio.get_running_loop().call_soon(batcher.add, 0, item(len(batches) + 1))

    batcher = Batcher(send, max_in_flight=2)
    batcher.add(0, item(1))
    begun: set[asyncio.Task[object]] = set()
    for _ in range(8):
        await turns(1)
        begun |= asyncio.all_tasks() - {asyncio.current_task()}
    assert batches == [[item(1)], [item(2)], [item(3)]]
    assert len(begun) == 1


async def test_a_lane_that_is_cancelled_as_it_returns_leaves_nothing_behind() -> None:
    batches: list[list[Item]] = []

    async def send(_: int, batch: list[Item]) -> None:
        batches.append(batch)
        task = asyncio.current_task()
        if len(batches) == 1 and task is not None:
            asyncio.get_running_loop().call_soon(batcher.add, 0, item(2))
            asyncio.get_running_loop().call_soon(task.cancel)

    batcher = Batcher(send, max_in_flight=2)
    batcher.add(0, item(1))
    await turns(8)
    assert batches == [[item(1)], [item(2)]]
    batcher.add(0, item(3))
    await turns()
    assert batches[-1] == [item(3)]
