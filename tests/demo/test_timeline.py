from __future__ import annotations

from datetime import UTC, datetime, timedelta

from saga_fn.demo.services.books import Call
from saga_fn.demo.timeline import Kill, taken_over

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
KILL = Kill("worker-1", NOON)


def call(seconds: float, worker: str, order_id: str, key: str) -> Call:
    return Call(f"{order_id}-{key}", "charge", order_id, worker, NOON + timedelta(seconds=seconds))


def test_a_saga_was_taken_over_if_the_victim_asked_last_before_the_kill_and_another_next_after_it() -> None:
    calls = [
        call(-1, "worker-1", "taken", "a"),
        call(3, "worker-2", "taken", "b"),
        call(-2, "worker-1", "handed-over-before", "a"),
        call(-1, "worker-2", "handed-over-before", "b"),
        call(1, "worker-2", "handed-over-before", "c"),
        call(-1, "worker-2", "of-another", "a"),
        call(1, "worker-2", "of-another", "b"),
        call(-1, "worker-1", "finished", "a"),
        call(0.001, "worker-1", "heard-late", "a"),
        call(2, "worker-2", "heard-late", "b"),
    ]
    assert taken_over(calls, KILL) == ["taken", "heard-late"]


def test_an_interrupted_request_comes_before_a_longer_wait() -> None:
    calls = [
        call(-1, "worker-1", "between-two-steps", "a"),
        call(9, "worker-2", "between-two-steps", "b"),
        call(-1, "worker-1", "in-a-request", "a"),
        call(3, "worker-2", "in-a-request", "a"),
        call(-1, "worker-1", "in-a-request-longer", "a"),
        call(4, "worker-2", "in-a-request-longer", "a"),
    ]
    assert taken_over(calls, KILL) == ["in-a-request-longer", "in-a-request", "between-two-steps"]
