"""I9: of doubt. What becomes of a step that may have run."""

from __future__ import annotations

from typing import assert_never

from saga_fn.core.events import FailureKind, ProbeAnswered, StepFailed
from saga_fn.core.ids import StepId
from saga_fn.core.invariants.edge import Edge, Tried, begins_undo, starts
from saga_fn.core.plan import OnUnknown
from saga_fn.core.state import Exhausted, Parked, Probing, Retrying, Running, StepState, Unfinished, Unknown


def i9_what_can_be_found_out_is_before_anything_is_undone(edge: Edge) -> bool:
    """No compensation begins while a step may have run and its probe has not given up."""
    begins = any(begins_undo(was, now) for was, now in edge.steps)
    return not begins or not any(
        isinstance(now, Probing)
        or (isinstance(now, Unknown) and edge.plan.step(now.step).on_unknown is OnUnknown.PROBE)
        for _, now in edge.steps
    )


def i9_what_may_have_run_is_settled_as_declared(edge: Edge) -> bool:
    """A step that may have run is repeated where that is declared, or once its probe has said that it has not run.

    A person may wish it repeated that was left to a person. One that is to be undone is never repeated.
    """
    for was, now in edge.steps:
        if not isinstance(now, Running) or not isinstance(was, Tried) or not was.tries.doubt or not starts(was, now):
            continue
        way = edge.plan.step(now.step).on_unknown
        match way:
            case OnUnknown.REPEAT:
                pass
            case OnUnknown.PARK:
                if not isinstance(was, Running | Retrying | Parked | Exhausted):
                    return False
            case OnUnknown.PROBE:
                if not isinstance(edge.event, ProbeAnswered) or edge.event.done:
                    return False
            case OnUnknown.UNDO:
                return False
            case _:
                assert_never(way)
    return True


def may_have_run(edge: Edge, was: StepState | None, step: StepId) -> bool:
    """Whether the step was in doubt, or came to be by this event, and is to be undone then."""
    if not isinstance(was, Unfinished) or edge.plan.step(step).on_unknown is not OnUnknown.UNDO:
        return False
    known = (FailureKind.ERROR, FailureKind.REFUSED, FailureKind.FATAL, FailureKind.UNREADABLE)
    told = isinstance(edge.event, StepFailed) and edge.event.step == step and edge.event.kind in known
    return bool(was.tries.doubt) or (isinstance(was, Running) and not told)
