"""Ids: ordered by time where that helps, the same for the same key, and never given out twice."""

from __future__ import annotations

import subprocess
import sys
import threading
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from saga_fn.store.ids import new_saga_id, new_uuid, shard_of

TEXT = st.text(max_size=20)


def test_a_random_id_is_a_version_4_uuid_and_another_each_time() -> None:
    ids = [new_uuid() for _ in range(5000)]
    assert len(set(ids)) == 5000
    assert {one.version for one in ids} == {4}


def test_threads_get_different_ids() -> None:
    got: list[list[UUID]] = [[] for _ in range(8)]

    def draw(mine: list[UUID]) -> None:
        mine.extend(new_uuid() for _ in range(2000))

    threads = [threading.Thread(target=draw, args=(mine,)) for mine in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for mine in got for one in mine}) == 16_000


FORK = """
import os
from saga_fn.store.ids import new_uuid

new_uuid()  # some are drawn ahead now
child = os.fork()
if child:
    os.waitpid(child, 0)
print(*[new_uuid() for _ in range(300)], flush=True)
"""


def test_a_forked_child_gets_other_ids_than_its_parent() -> None:
    told = subprocess.run([sys.executable, "-c", FORK], check=True, capture_output=True, text=True).stdout.split()
    assert len(told) == len(set(told)) == 600


def test_saga_ids_follow_the_time() -> None:
    ids = [new_saga_id(name="shop") for _ in range(2000)]
    milliseconds = [one.int >> 80 for one in ids]
    assert milliseconds == sorted(milliseconds)
    assert len(set(ids)) == 2000
    assert {one.version for one in ids} == {8}
    assert len({shard_of(one, 16) for one in ids}) == 16, "they spread over the shards"


@given(name=TEXT, aggregation_id=st.none() | TEXT, key=TEXT)
def test_the_same_key_gives_the_same_id_and_another_another(name: str, aggregation_id: str | None, key: str) -> None:
    first = new_saga_id(name=name, aggregation_id=aggregation_id, idempotency_key=key)
    assert first == new_saga_id(name=name, aggregation_id=aggregation_id, idempotency_key=key)
    others = [
        new_saga_id(name=name, aggregation_id=aggregation_id, idempotency_key=key + "x"),
        new_saga_id(name=name + "x", aggregation_id=aggregation_id, idempotency_key=key),
        new_saga_id(name=name, aggregation_id=(aggregation_id or "") + "x", idempotency_key=key),
    ]
    assert first not in others


@given(aggregation_id=TEXT, shards=st.integers(1, 4096))
def test_all_sagas_of_a_business_key_share_a_shard(aggregation_id: str, shards: int) -> None:
    ids = [new_saga_id(name=name, aggregation_id=aggregation_id, idempotency_key=key) for name in "ab" for key in "cd"]
    ids.append(new_saga_id(name="a", aggregation_id=aggregation_id))
    assert len({shard_of(one, shards) for one in ids}) == 1
    assert all(0 <= shard_of(one, shards) < shards for one in ids)
