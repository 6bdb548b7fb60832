"""The failures in a journal that nothing explains: no fault, and no such failure of the undisturbed saga.

Where several calls are out at the same time, another order of their answers may come to another end. Then a journal has the order,
and each of its answers is asked for what explains it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from saga_fn.core.calls import Befalls, Call, FaultAt
from saga_fn.core.events import (
    CompensationFailed,
    CompensationSucceeded,
    CompensationWaits,
    Event,
    ProbeAnswered,
    ProbeFailed,
    StepFailed,
    StepSucceeded,
)
from saga_fn.core.ids import StepId
from saga_fn.core.plan import Plan

_Failure: TypeAlias = StepFailed | CompensationFailed | ProbeFailed
_CALL_OF: Final[Mapping[type[_Failure], Call]] = {
    StepFailed: Call.EXECUTE,
    CompensationFailed: Call.UNDO,
    ProbeFailed: Call.PROBE,
}


class Surprise(msgspec.Struct, frozen=True):
    """A call that has failed in the end, as nothing explains: no fault, and no such failure of the undisturbed saga."""

    step: StepId
    call: Call
    certain: bool
    """Whether it can be foretold that it does not fail. It cannot where the undisturbed saga never called the step, or saw it fail."""


def surprises(
    plan: Plan, journal: Iterable[Event], usual: Iterable[Event], faults: Sequence[FaultAt] = ()
) -> Iterator[Surprise]:
    """The failures in a journal that nothing explains, in the order of their calls; `usual` is that of the undisturbed saga."""
    usual = tuple(usual)
    last: dict[tuple[StepId, Call], _Failure | None] = {}
    for event in journal:
        if isinstance(event, StepFailed | CompensationFailed | ProbeFailed):
            last[event.step, _CALL_OF[type(event)]] = event
        elif isinstance(event, StepSucceeded):
            last[event.step, Call.EXECUTE] = None
        elif isinstance(event, CompensationSucceeded | CompensationWaits):
            last[event.step, Call.UNDO] = None
        elif isinstance(event, ProbeAnswered):
            last[event.step, Call.PROBE] = last[event.step, Call.EXECUTE] = None
    for (step, call), failed in last.items():
        if failed is not None and not _is_explained(plan, failed, call, usual, faults):
            owner = plan.owner(step)
            before = [
                each
                for each in usual
                if isinstance(each, StepSucceeded | StepFailed) and owner == plan.owner(each.step)
            ]
            steady = bool(before) and all(isinstance(each, StepSucceeded) for each in before)
            yield Surprise(step, call, certain=steady or call is not Call.EXECUTE)


def _is_explained(plan: Plan, failed: _Failure, call: Call, usual: Sequence[Event], faults: Sequence[FaultAt]) -> bool:
    of_it = (each for each in faults if each.call is call and each.step in (failed.step, plan.owner(failed.step)))
    if any(each.how is Befalls.LATE or (each.how is Befalls.FAILS and each.kind is failed.kind) for each in of_it):
        return True
    return any(
        isinstance(each, type(failed)) and each.kind is failed.kind and plan.owner(each.step) == plan.owner(failed.step)
        for each in usual
    )
