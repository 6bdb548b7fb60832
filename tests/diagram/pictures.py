"""The pictures that are kept, and compared: `python -m tests.diagram.pictures` draws them again.

Those of docs/ stand in docs/pictures; the graphs of the examples and the demo stand here as text and as Mermaid.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

import asyncpg
import httpx

from saga_fn import HistoryEntry, LeftOver, SagaDefinition, SagaStatus, StepStatus
from saga_fn.core.ids import Micros, StepId, item_of
from saga_fn.core.leftovers import LeftOverKind
from saga_fn.core.plan import OnTimeout, OnUnknown, Plan, PlannedStep, StepKind
from saga_fn.demo.saga import make_fulfil_order
from saga_fn.diagram import Age, Column, ages, bars, graph, timeline
from saga_fn.examples import branches, events, failures, payment, shop, time, unknown_outcomes, waiting_undo, web
from tests.diagram.plans import BEGIN, Seen, entry, step_of

ROOT = Path(__file__).parents[2]
IN_DOCS = ROOT / "docs" / "pictures"
GOLDEN = Path(__file__).parent / "golden"

HOTEL, SEATS, INSURE, APPROVAL, CHARGE, VOUCHER, REMIND = map(
    StepId, ("hotel", "seats", "insure", "approval", "charge", "voucher", "remind")
)
TRIP = Plan.of(
    PlannedStep(HOTEL, compensable=True),
    PlannedStep(SEATS, concurrency=4, compensable=True),
    PlannedStep(INSURE, conditional=True),
    PlannedStep(
        APPROVAL,
        (HOTEL, SEATS, INSURE),
        kind=StepKind.EVENT,
        waits_for=("approved", "refused"),
        timeout=Micros(3 * 86_400_000_000),
    ),
    PlannedStep(CHARGE, (APPROVAL,), compensable=True, on_unknown=OnUnknown.PROBE),
    PlannedStep(VOUCHER, (CHARGE,), pivot=True),
    PlannedStep(REMIND, (VOUCHER,), kind=StepKind.SLEEP, timeout=Micros(7 * 86_400_000_000)),
    deadline=Micros(30 * 86_400_000_000),
)
"""A saga with a step of every kind."""


RUNS = Seen(
    TRIP,
    [
        step_of("hotel", StepStatus.SUCCEEDED),
        step_of("seats", StepStatus.SUCCEEDED),
        *(step_of(item_of(SEATS, number), StepStatus.SUCCEEDED) for number in range(12)),
        step_of("insure", StepStatus.SKIPPED),
        step_of("approval", StepStatus.SUCCEEDED),
        step_of("charge", StepStatus.RETRYING, attempt=3, failures=3, wakes_at=BEGIN + timedelta(hours=3)),
        step_of("voucher", StepStatus.PENDING),
        step_of("remind", StepStatus.PENDING),
    ],
    saga_name="trip",
    version=3,
    last_error="ConnectionError",
)
FAILED = Seen(
    TRIP,
    [
        step_of("hotel", StepStatus.COMPENSATED),
        step_of("seats", StepStatus.COMPENSATION_FAILED),
        *(
            step_of(item_of(SEATS, number), StepStatus.COMPENSATION_FAILED if number == 4 else StepStatus.COMPENSATED)
            for number in range(12)
        ),
        step_of("insure", StepStatus.SKIPPED),
        step_of("approval", StepStatus.SUCCEEDED),
        step_of("charge", StepStatus.FAILED),
        step_of("voucher", StepStatus.PENDING),
        step_of("remind", StepStatus.PENDING),
    ],
    SagaStatus.FAILED,
    [LeftOver(item_of(SEATS, 4), LeftOverKind.UNDO_FAILED)],
    saga_name="trip",
    version=3,
)


def history() -> list[HistoryEntry]:
    """A saga that was charged twice in doubt, failed behind it, and was helped by a person."""
    first, second, third, fourth, sender, ann = (UUID(int=number) for number in range(1, 7))
    return [
        entry(1, "started", 0, token=first, process="shop-7f4c:41"),
        entry(2, "step_succeeded", 0.12, "reserve", token=first),
        entry(3, "event_received", 7200, event="approval", token=sender),
        entry(4, "resumed", 7200.02, token=second, process="shop-7f4c:41"),
        entry(5, "step_failed", 7200.4, "charge", token=second, error="ConnectError: no route to host"),
        entry(6, "ticked", 7201.4, token=second),
        entry(7, "resumed", 7217, token=third, takeover=True, process="shop-2b90:17"),
        entry(8, "probe_answered", 7217.2, "charge", token=third),
        entry(9, "step_succeeded", 7217.9, "charge", token=third, attempt=3),
        entry(10, "step_failed", 7219, "ship", token=third, error="Refused: no such address"),
        entry(11, "compensation_failed", 7220, "charge", token=third, error="HTTP 503"),
        entry(12, "retry_requested", 10_900, "charge", token=ann, actor="ann", reason="the bank is back"),
        entry(13, "resumed", 10_900.1, token=fourth),
        entry(14, "compensation_succeeded", 10_900.5, "charge", token=fourth, attempt=2),
        entry(15, "compensation_succeeded", 10_900.8, "reserve", token=fourth),
    ]


RESERVE, SHIP = StepId("reserve"), StepId("ship")
ORDER = Plan.of(
    PlannedStep(RESERVE, compensable=True),
    PlannedStep(
        APPROVAL,
        (RESERVE,),
        kind=StepKind.EVENT,
        waits_for=("approval",),
        timeout=Micros(86_400_000_000),
        on_timeout=OnTimeout.DEFAULT,
    ),
    PlannedStep(CHARGE, (APPROVAL,), compensable=True, on_unknown=OnUnknown.PROBE),
    PlannedStep(SHIP, (CHARGE,)),
)


def in_docs() -> dict[str, str]:
    """The pictures of docs/, by the names of their files."""
    columns = [
        Column(
            f"09:{minute:02}",
            {"COMPLETED": 40 + minute * 7 % 23, "COMPENSATED": minute * 5 % 9, "FAILED": minute % 7 // 5},
        )
        for minute in range(45)
    ]
    oldest = [
        Age("trip 3", timedelta(minutes=4)),
        Age("trip 2", timedelta(hours=7)),
        Age("create_order 1", timedelta(seconds=0.4)),
        Age("trial 1", None),
    ]
    ended = Seen(ORDER, status=SagaStatus.COMPENSATED)
    return {
        "trip.svg": graph(TRIP, name="trip"),
        "trip-runs.svg": graph(TRIP, name="trip", seen=RUNS),
        "trip-failed.svg": graph(TRIP, name="trip", seen=FAILED),
        "timeline.svg": timeline(history(), plan=ORDER, name="order", seen=ended),
        "ends.svg": bars(columns, title="Ends a minute"),
        "ages.svg": ages(oldest, title="Oldest due"),
    }


def examples() -> dict[str, SagaDefinition[object, object]]:
    """The sagas of the examples and of the demo."""
    http = httpx.AsyncClient()
    nothing = cast("asyncpg.Pool", None)  # nothing is called: only the graph is looked at
    found: list[object] = [
        shop.order_saga,
        payment.make_pay(http),
        time.trial,
        time.order,
        branches.book,
        unknown_outcomes.make_buy(unknown_outcomes.Bank(nothing)),
        make_fulfil_order(http),
        *(
            value
            for module in (events, failures, waiting_undo, web)
            for value in vars(module).values()
            if isinstance(value, SagaDefinition)
        ),
    ]
    every = [cast("SagaDefinition[object, object]", each) for each in found]
    return {f"{number:02} {each.name}": each for number, each in enumerate(every, 1)}


def golden() -> dict[str, str]:
    """The graphs of the examples, by the names of their files."""
    every = examples().values()
    return {
        "examples.txt": "\n".join(each.diagram("text", width=90) for each in every),
        "examples.mmd": "\n".join(each.diagram("mermaid") for each in every),
        "trip.txt": graph(TRIP, "text", name="trip", seen=RUNS),
        "trip.mmd": graph(TRIP, "mermaid", name="trip", seen=RUNS),
        "timeline.txt": timeline(
            history(), "text", plan=ORDER, name="order", seen=Seen(ORDER, status=SagaStatus.COMPENSATED)
        ),
    }


def main() -> None:
    """Draw them again."""
    for folder, pictures in ((IN_DOCS, in_docs()), (GOLDEN, golden())):
        folder.mkdir(exist_ok=True)
        for name, text in pictures.items():
            _ = (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
