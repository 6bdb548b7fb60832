"""Saga ids, time-ordered UUIDs (version 8) that carry the bucket their shard is computed from; and random ids.

48 bits of milliseconds, 12 bits of bucket, 62 random bits. The bucket is a hash of the saga's `aggregation_id`, or random
without one, so that all sagas of one business key share a shard and "one active saga per key" can be a unique index. An
idempotency key gives the whole id, so that the primary key is the guard against a second start.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Callable
from uuid import UUID

from saga_fn.core.ids import PlanId

_BUCKETS = 4096
_RANDOM_BITS = 62
_VERSION_AND_VARIANT = (8 << 76) | (2 << 62)

_SOME = 256
_MARKS = int.from_bytes(bytes.fromhex("00000000000040008000000000000000") * _SOME)
"""The version (4) and the variant of so many random ids, one behind the other."""
_FREE_BITS = int.from_bytes(bytes.fromhex("ffffffffffff0fff3fffffffffffffff") * _SOME)
"""The bits that are random in them."""
_CUT = struct.Struct("16s" * _SOME).unpack
_unused: list[bytes] = []
"""The next random ids: to ask the kernel for each costs more than everything else about it."""
os.register_at_fork(after_in_child=_unused.clear)  # a child must not give out what its parent does

_uuid: Callable[[bytes], UUID] = lambda data: UUID(bytes=data)  # noqa: E731 - replaced by a class


def use_uuid_class(kind: Callable[[bytes], UUID]) -> None:
    """Make ids of this kind of UUID from now on: a driver may have one that is as good, and made in C."""
    global _uuid  # noqa: PLW0603 - which class stands for a UUID is one choice for the whole process
    _uuid = kind


def new_saga_id(*, name: str, aggregation_id: str | None = None, idempotency_key: str | None = None) -> UUID:
    """The id of a saga about to start.

    With an `idempotency_key` the same (name, aggregation_id, key) gives the same id, at any time, in any process;
    without one every call gives another.
    """
    bucket = _bucket_of(aggregation_id)
    if idempotency_key is None:
        drawn = int.from_bytes(_random())
        milliseconds, rest = time.time_ns() // 1_000_000, drawn & ((1 << _RANDOM_BITS) - 1)
        if bucket is None:
            bucket = (drawn >> 64) % _BUCKETS
    else:
        parts = (part.encode("utf-8", "surrogatepass") for part in (name, aggregation_id or "", idempotency_key))
        text = b"".join(len(part).to_bytes(8) + part for part in parts) + (b"" if aggregation_id is None else b"k")
        digest = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest())
        milliseconds, rest = digest >> 80, digest & ((1 << _RANDOM_BITS) - 1)
        if bucket is None:
            bucket = (digest >> _RANDOM_BITS) % _BUCKETS
    number = (milliseconds & ((1 << 48) - 1)) << 80 | bucket << 64 | _VERSION_AND_VARIANT | rest
    return _uuid(number.to_bytes(16))


def new_uuid() -> UUID:
    """A random id (version 4), for what no id need follow: tokens, writes, messages, owners."""
    return _uuid(_random())


def _random() -> bytes:
    while True:
        try:
            return _unused.pop()  # atomic, whichever thread asks
        except IndexError:
            fresh = int.from_bytes(os.urandom(16 * _SOME)) & _FREE_BITS | _MARKS
            _unused.extend(_CUT(fresh.to_bytes(16 * _SOME)))


def shard_of(saga_id: UUID, shards: int) -> int:
    """Which of `shards` (1 to 4096) the saga lives in; pure."""
    if shards == 1:
        return 0
    return ((saga_id.int >> 64) % _BUCKETS) * shards // _BUCKETS


def shard_of_key(aggregation_id: str, shards: int) -> int:
    """The shard that all sagas of this business key live in."""
    return _bucket(aggregation_id) * shards // _BUCKETS


def shard_of_plan(plan: PlanId, shards: int) -> int:
    """Which shard keeps the plan."""
    return int(plan[:8], 16) % shards


def _bucket_of(aggregation_id: str | None) -> int | None:
    return None if aggregation_id is None else _bucket(aggregation_id)


def _bucket(aggregation_id: str) -> int:
    digest = hashlib.blake2b(aggregation_id.encode("utf-8", "surrogatepass"), digest_size=2).digest()
    return int.from_bytes(digest) % _BUCKETS
