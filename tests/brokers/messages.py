"""Outgoing messages for publishers, and what tests ask of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from saga_fn.outgoing import FailedForNow, OutgoingMessage, Published, PublishOutcome, RefusedForGood

SAGA = UUID(int=1)


def outgoing(
    topic: str,
    body: bytes = b'{"n": 1}',
    *,
    key: str | None = "order-1",
    headers: dict[str, str] | None = None,
    id: UUID | None = None,
) -> OutgoingMessage:
    """A message of one saga."""
    return OutgoingMessage(
        id=id or uuid4(),
        topic=topic,
        key=key,
        headers=headers or {},
        body=body,
        saga_id=SAGA,
        saga_name="order",
        created_at=datetime(2026, 11, 29, tzinfo=UTC),
        attempt=1,
    )


def refused(outcome: PublishOutcome) -> str:
    """The reason for which it will never be taken."""
    assert isinstance(outcome, RefusedForGood), outcome
    return outcome.reason


def failed(outcome: PublishOutcome) -> str:
    """The reason for which it is tried again."""
    assert isinstance(outcome, FailedForNow), outcome
    return outcome.reason


def all_published(outcomes: Sequence[PublishOutcome]) -> bool:
    """Whether the broker has every one."""
    return bool(outcomes) and all(isinstance(each, Published) for each in outcomes)


HOSTILE_HEADERS = [
    {"x-note": "one\r\nNats-Msg-Id: other"},
    {"x-note": "a\nb"},
    {"x-note": "\x00"},
    {"x\r\nx": "1"},
    {"x note": "1"},
    {"": "1"},
    {"x:y": "1"},
    {"Saga-Id": "1"},
    {"content-TYPE": "text/html"},
    {"x-large": "x" * 9000},
    {"x-space": " x"},
]
"""Headers that no publisher sends."""
