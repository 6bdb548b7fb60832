"""The story of one saga: its own history, and what the services heard of it, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

import attrs

from saga_fn import Delivery, SagaAdminSnapshot
from saga_fn.demo.services.books import Call, Notice

BECAME: Mapping[Delivery, str] = {
    Delivery.ACCEPTED: "taken by the waiting saga",
    Delivery.BUFFERED: "came before the saga waited",
    Delivery.KEPT: "no saga of the order was active",
    Delivery.DUPLICATE: "had come before",
    Delivery.NO_SAGA: "no saga of the order was active",
    Delivery.EXPIRED: "was void when it came",
    Delivery.ENDED: "the saga had ended",
    Delivery.UNCOMMITTED: "it is part of a transaction that is still open",
}
"""The fate of a decision that was sent."""


@attrs.frozen
class Moment:
    """Something that happened to a saga."""

    at: datetime
    who: str
    what: str


@attrs.frozen
class Kill:
    """The worker that was killed, and when by the database's clock."""

    worker: str
    at: datetime


def taken_over(calls: Iterable[Call], kill: Kill) -> list[str]:
    """Orders that were in the killed worker's hands and went on in another's, the longest wait first.

    Those whose interrupted request was repeated under the same idempotency key come before all others.
    """
    by_order: dict[str, list[Call]] = {}
    for call in calls:
        by_order.setdefault(call.order_id, []).append(call)
    found: list[tuple[bool, float, str]] = []
    for order_id, heard in by_order.items():
        for last, following in pairwise(heard):
            if last.worker == kill.worker != following.worker and following.called_at > kill.at:
                wait = (following.called_at - last.called_at).total_seconds()
                found.append((last.key == following.key, wait, order_id))
    return [order_id for _, _, order_id in sorted(found, reverse=True)]


def timeline(
    snapshot: SagaAdminSnapshot, calls: Iterable[Call], notices: Iterable[Notice], kill: Kill | None
) -> Sequence[Moment]:
    """The story of one saga, merged from all sides; the kill is shown if it came while the saga ran."""
    moments: list[Moment] = []
    asked: set[str] = set()
    for call in calls:
        again = " again, with the same idempotency key" if call.key in asked else ""
        asked.add(call.key)
        moments.append(Moment(call.called_at, call.worker, f"asks to {call.operation}{again}"))
    for notice in notices:
        what = f"{notice.verdict}, by {notice.by}: {BECAME[notice.delivery]}"
        moments.append(Moment(notice.sent_at, "risk office", what))
    for entry in snapshot.step_history:
        if entry.step_id is None:
            if entry.error is not None:
                moments.append(Moment(entry.timestamp, "saga", f"turns back: {entry.error}"))
            continue
        verdict = "done" if entry.status == "SUCCESS" else f"failed: {entry.error}"
        undo = {"compensate": "compensation of ", "probe": "probe of "}.get(entry.phase, "")
        if entry.phase == "probe" and entry.error is None:
            verdict = "it has been done" if entry.status == "SUCCESS" else "it has not been done"
        moments.append(Moment(entry.timestamp, "saga", f"{undo}{entry.step_id}, attempt {entry.attempt}: {verdict}"))
    moments.sort(key=lambda moment: moment.at)
    if kill is not None and moments and moments[0].at <= kill.at <= moments[-1].at:
        moments.append(Moment(kill.at, kill.worker, "is killed with SIGKILL"))
        moments.sort(key=lambda moment: moment.at)
    moments.append(Moment(moments[-1].at, "saga", f"is {snapshot.status.name}"))
    return moments
