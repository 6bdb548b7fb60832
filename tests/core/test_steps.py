"""What is said of each step: one status for each state, and only what there is to say."""

from __future__ import annotations

from typing import get_args

import pytest

from saga_fn.core.ids import Digest, Moment
from saga_fn.core.state import (
    Exhausted,
    Goal,
    NotTaken,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    Running,
    SagaState,
    Skipped,
    Sleeping,
    StepState,
    Succeeded,
    Tries,
    UndoFailed,
    Undoing,
    Undone,
    UndoParked,
    UndoRetrying,
    Unknown,
    Waiting,
)
from saga_fn.core.steps import StepReport, StepStatus, report_of, status_of
from tests.core.given import THREE, A, B, C

TRIED = Tries(3, 2, digest=Digest(b"x"))
WHY = ParkReason.ROW_REFUSED
AT = Moment(7)

SAID: list[tuple[StepState, StepReport]] = [
    (Running(A, TRIED), StepReport(A, StepStatus.RUNNING, 3, 2)),
    (Retrying(A, TRIED, AT), StepReport(A, StepStatus.RETRYING, 3, 2, wake=AT)),
    (Unknown(A, TRIED), StepReport(A, StepStatus.UNKNOWN, 3, 2)),
    (Parked(A, TRIED, WHY), StepReport(A, StepStatus.PARKED, 3, 2, parked="row_refused")),
    (Exhausted(A, TRIED), StepReport(A, StepStatus.FAILED, 3, 2)),
    (Succeeded(A, 2), StepReport(A, StepStatus.SUCCEEDED)),
    (Skipped(A, 2), StepReport(A, StepStatus.SKIPPED)),
    (NotTaken(A), StepReport(A, StepStatus.SKIPPED)),
    (Undoing(A, 2, TRIED), StepReport(A, StepStatus.COMPENSATING, 3, 2)),
    (UndoRetrying(A, 2, TRIED, AT), StepReport(A, StepStatus.COMPENSATION_RETRYING, 3, 2, wake=AT)),
    (UndoParked(A, 2, TRIED, WHY), StepReport(A, StepStatus.COMPENSATION_PARKED, 3, 2, parked="row_refused")),
    (UndoFailed(A, 2, TRIED), StepReport(A, StepStatus.COMPENSATION_FAILED, 3, 2)),
    (Undone(A, 2), StepReport(A, StepStatus.COMPENSATED)),
    (Unknown(A, TRIED, wake=AT), StepReport(A, StepStatus.UNKNOWN, 3, 2, wake=AT)),
    (Probing(A, TRIED), StepReport(A, StepStatus.PROBING, 3, 2)),
    (Waiting(A, AT), StepReport(A, StepStatus.WAITING, wake=AT)),
    (Sleeping(A, AT), StepReport(A, StepStatus.SLEEPING, wake=AT)),
]


@pytest.mark.parametrize("step, said", SAID, ids=[type(step).__name__ for step, _ in SAID])
def test_of_a_step_that_has_begun(step: StepState, said: StepReport) -> None:
    assert status_of(step) is said.status
    pending = (StepReport(B, StepStatus.PENDING), StepReport(C, StepStatus.PENDING))
    assert report_of(THREE, SagaState(3, AT, Goal.FORWARD, (step,), plan=THREE.id)) == (said, *pending)


def test_every_state_is_told() -> None:
    assert {type(step) for step, _ in SAID} == set(get_args(StepState))
