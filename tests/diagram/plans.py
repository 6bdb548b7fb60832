"""Plans, journals and sagas for pictures: any that there may be, with names that no user should choose."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import attrs
from hypothesis import strategies as st

from saga_fn import HistoryEntry, HistoryStatus, LeftOver, SagaStatus, StepSnapshot, StepStatus
from saga_fn.core.ids import Micros, StepId, item_of
from saga_fn.core.leftovers import LeftOverKind
from saga_fn.core.plan import OnTimeout, OnUnknown, Plan, PlannedStep, StepKind
from saga_fn.core.state import ParkReason

HOSTILE = (
    '<script>alert("1")</script>',
    "]]><b>&amp;</b>",
    '"]; click s1 call',
    "%%{init: {}}%%",
    "`md` #quot; {x} |y|",
    "end",
    "--> x",
    "' onload='x",
    "W" * 64,
    "a b c " * 10,
)
"""Ids that steps may have."""
HOSTILE_TEXTS = (
    *HOSTILE,
    "two\nlines\x00",
    "\u202edrowssap\u200f",
    "\x1b[31mred\x1b]0;title\x07",
    "x" * 200,
    "\ud800",
    "漢字" * 60,
    "",
)
"""Texts of errors, reasons, actors and sagas' names."""
BEGIN = datetime(2026, 11, 29, 6, 0, tzinfo=UTC)

ids = st.one_of(
    st.sampled_from(HOSTILE), st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=64)
)


@st.composite
def plans(draw: st.DrawFn, most: int = 20) -> Plan:
    """A plan with steps of all kinds, in any order that a plan may have."""
    names = [StepId(name) for name in draw(st.lists(ids, min_size=1, max_size=most, unique=True))]
    steps: list[PlannedStep] = []
    for place, name in enumerate(names):
        before = names[:place]
        after = tuple(draw(st.lists(st.sampled_from(before), max_size=3, unique=True))) if before else ()
        kind = draw(st.sampled_from([StepKind.STEP, StepKind.STEP, *StepKind]))
        if kind is StepKind.STEP:
            compensable = draw(st.booleans())
            ways = [OnUnknown.REPEAT, OnUnknown.PROBE, OnUnknown.PARK, *([OnUnknown.UNDO] if compensable else [])]
            way = draw(st.sampled_from(ways))
            steps.append(
                PlannedStep(
                    name,
                    after,
                    compensable=compensable,
                    on_unknown=way,
                    undoes_in_doubt=way is OnUnknown.UNDO,
                    conditional=draw(st.booleans()),
                    concurrency=draw(st.sampled_from([0, 0, 3])) if len(name) <= 32 else 0,
                    undo_waits_for=("<refunded>",) if compensable and draw(st.booleans()) else (),
                )
            )
        else:
            timeout = draw(st.sampled_from([None, Micros(1), Micros(259_200_000_000)]))
            names_of_events = ("approval", '<b>"&') if kind is StepKind.EVENT else ()
            steps.append(
                PlannedStep(
                    name,
                    after,
                    kind=kind,
                    timeout=timeout,
                    on_timeout=draw(st.sampled_from(OnTimeout)) if timeout else OnTimeout.FAIL,
                    waits_for=names_of_events,
                )
            )
    return Plan.of(*steps, deadline=draw(st.sampled_from([None, Micros(3_600_000_000)])))


@attrs.frozen
class Seen:
    """A saga as a picture wants it."""

    plan: Plan | None
    steps: Sequence[StepSnapshot] = ()
    status: SagaStatus = SagaStatus.SUSPENDED
    left_over: Sequence[LeftOver] = ()
    stays_done: Sequence[str] = ()
    rewound: Sequence[str] = ()
    saga_name: str = "order"
    version: int = 1
    parked: str | None = None
    paused_since: datetime | None = None
    is_interrupted: bool = False
    unreadable: str | None = None
    last_error: str | None = None
    id: UUID = attrs.field(factory=uuid4)


def step_of(step: str, status: StepStatus, **more: Any) -> StepSnapshot:  # Any: fields of all types
    fields: dict[str, Any] = {  # Any: as above
        "step_id": step,
        "status": status,
        "attempt": 1,
        "failures": 0,
        "wakes_at": None,
        "parked": None,
    }
    return StepSnapshot(**fields | more)


@st.composite
def sagas(draw: st.DrawFn) -> Seen:
    """A saga of a plan, each step of it in any state."""
    plan = draw(plans(most=12))
    steps: list[StepSnapshot] = []
    for planned in plan.steps:
        number = draw(st.sampled_from([0, 3, 50])) if planned.concurrency else 0
        for name in (planned.step, *(item_of(planned.step, at) for at in range(number))):
            status = draw(st.sampled_from(StepStatus))
            parked = draw(st.sampled_from(ParkReason)).value if "PARKED" in status.value else None
            wakes = draw(st.sampled_from([None, BEGIN]))
            tried = draw(st.integers(0, 3))
            steps.append(step_of(name, status, attempt=tried, failures=tried, wakes_at=wakes, parked=parked))
    left = [
        LeftOver(StepId(step.step_id), draw(st.sampled_from(LeftOverKind)))
        for step in steps
        if draw(st.integers(0, 4)) == 0
    ]
    return Seen(
        plan,
        steps,
        draw(st.sampled_from(SagaStatus)),
        left,
        saga_name=draw(st.sampled_from(HOSTILE_TEXTS)),
        parked=draw(st.sampled_from([None, *ParkReason])),
        paused_since=draw(st.sampled_from([None, BEGIN])),
        unreadable=draw(st.sampled_from([None, *HOSTILE_TEXTS])),
        last_error=draw(st.sampled_from([None, *HOSTILE_TEXTS])),
    )


def entry(seq: int, kind: str, after: float, step: str | None = None, **more: Any) -> HistoryEntry:  # Any: as above
    """An entry so many seconds after the begin. Its status and phase follow from its kind, as in a journal."""
    status = HistoryStatus.INFO
    if kind.endswith("_failed"):
        status = HistoryStatus.ERROR
    elif kind.endswith("_succeeded"):
        status = HistoryStatus.SUCCESS
    phases = {"step_succeeded": "execute", "step_failed": "execute", "wait_defaulted": "execute"}
    phase = phases.get(
        kind, "compensate" if kind.startswith("compensation_") else "probe" if kind.startswith("probe") else "saga"
    )
    ends = phase in ("execute", "compensate", "probe") and kind not in ("wait_defaulted", "compensation_requested")
    fields: dict[str, Any] = {
        "seq": seq,
        "kind": kind,
        "phase": "saga" if kind == "compensation_requested" else phase,
        "status": status,
        "step_id": step,
        "attempt": 1 if ends else None,
        "timestamp": BEGIN + timedelta(seconds=after),
        "token": UUID(int=1),
        "skipped": False,
    }
    return HistoryEntry(**fields | more)
