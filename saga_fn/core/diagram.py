"""The state diagram of a saga, drawn from the transition function itself: `python -m saga_fn.core.diagram`."""

from __future__ import annotations

from collections import defaultdict

from saga_fn.core.explore import explore
from saga_fn.core.ids import Micros, StepId
from saga_fn.core.plan import OnTimeout, Plan, PlannedStep, StepKind
from saga_fn.core.projection import SagaStatus
from saga_fn.core.retry import RetrySchedule


def state_diagram() -> str:
    """A Mermaid diagram of how events move a saga's status, found by exploring a plan of two steps, and one that waits.

    Events that leave the status as it is are not drawn.
    """
    twice = RetrySchedule(attempts=2, base=Micros(1))
    first, second = StepId("first"), StepId("second")
    found = explore(
        Plan.of(
            PlannedStep(first, retry=twice, compensable=True, undo_retry=twice),
            PlannedStep(second, after=(first,), retry=twice),
        )
    )
    waiting = explore(
        Plan.of(
            PlannedStep(first, compensable=True),
            PlannedStep(
                second,
                after=(first,),
                kind=StepKind.EVENT,
                waits_for=("event",),
                timeout=Micros(1),
                on_timeout=OnTimeout.DEFAULT,
            ),
            deadline=Micros(2),
        )
    )
    labels: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for before, kind, after in found.moves | waiting.moves:
        if before is not after:
            labels["[*]" if before is None else before.value, after.value].append(kind)
    lines = ["stateDiagram-v2"]
    lines += [
        f"    {before} --> {after}: {'<br/>'.join(sorted(kinds))}" for (before, after), kinds in sorted(labels.items())
    ]
    lines += [f"    {status.value} --> [*]" for status in SagaStatus if status.is_terminal]
    return "\n".join(lines)


if __name__ == "__main__":
    print(state_diagram())  # noqa: T201 - a command prints
