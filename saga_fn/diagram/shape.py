"""The things that a graph shows: a box for each step, with what is to be said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

import attrs

from saga_fn.core.ids import StepId
from saga_fn.core.leftovers import LeftOver
from saga_fn.core.plan import OnTimeout, OnUnknown, Plan, PlannedStep, StepKind
from saga_fn.core.step_report import StepStatus, is_tried_again
from saga_fn.diagram.icons import Icon
from saga_fn.diagram.looks import LEFT_OVER, PAUSED, Look, look_of_saga, look_of_step
from saga_fn.diagram.seen import SagaSeen, StepSeen
from saga_fn.printable import in_words, kept, printable


@attrs.frozen
class Box:
    """A step of the plan, as a graph shows it."""

    step: StepId
    kind: StepKind
    after: tuple[StepId, ...]
    """The steps that it follows, without those that it follows by another one anyway."""
    notes: tuple[str, ...]
    """The facts of its plan that are worth a line."""
    marks: tuple[tuple[Icon, str], ...]
    """Short ones, each with a sign: how it is undone, and how a doubt about it is settled."""
    is_conditional: bool
    is_pivot: bool
    fans_out: bool
    look: Look | None = None
    """The look of its status; None in the graph of a definition."""
    told: tuple[str, ...] = ()
    """The facts of its state that are worth a line."""
    items: tuple[Look, ...] = ()
    """The looks of its items, if it fanned out."""
    left: str | None = None
    """The effect that it leaves in the world, or None."""


def boxes_of(plan: Plan | None, seen: SagaSeen | None) -> tuple[Box, ...]:
    """A box for each step of the plan, in its order."""
    if plan is None:
        return ()
    by_owner: dict[str, list[StepSeen]] = {}
    left: dict[str, list[LeftOver]] = {}
    if seen is not None:
        for step in seen.steps:
            by_owner.setdefault(plan.owner(StepId(step.step_id)), []).append(step)
        for each in seen.left_over:
            left.setdefault(plan.owner(each.step_id), []).append(each)
    return tuple(
        _box(plan, planned, by_owner.get(planned.step, ()), left.get(planned.step, ()), seen) for planned in plan.steps
    )


def _box(
    plan: Plan, planned: PlannedStep, states: Sequence[StepSeen], left: Sequence[LeftOver], seen: SagaSeen | None
) -> Box:
    own = next((each for each in states if each.step_id == planned.step), None)
    items = [each for each in states if each is not own]
    is_over = seen is not None and seen.is_interrupted
    return Box(
        step=planned.step,
        kind=planned.kind,
        after=_nearest(plan, planned),
        notes=tuple(_notes(planned)),
        marks=tuple(_marks(planned)),
        is_conditional=planned.conditional,
        is_pivot=planned.pivot,
        fans_out=bool(planned.concurrency),
        look=None if own is None else look_of_step(own.status, lease_is_over=is_over),
        told=() if own is None or seen is None else tuple(_told(own, items, lease_is_over=is_over)),
        items=tuple(look_of_step(each.status, lease_is_over=is_over) for each in items),
        left=_left(left) if left else None,
    )


def _nearest(plan: Plan, planned: PlannedStep) -> tuple[StepId, ...]:
    """The steps that it follows, but for those that another of them follows."""
    return tuple(
        needed
        for needed in planned.after
        if not any(needed != other and other in plan.descendants[needed] for other in planned.after)
    )


def _notes(planned: PlannedStep) -> Iterator[str]:
    match planned.kind:
        case StepKind.STEP:
            pass
        case StepKind.EVENT:
            yield f"waits for {' or '.join(planned.waits_for)}"
            if planned.timeout is not None:
                then = "rolls back" if planned.on_timeout is OnTimeout.FAIL else "goes on with a default"
                yield f"{in_words(planned.timeout)}, then {then}"
        case StepKind.SLEEP:
            yield "sleeps until a moment" if planned.timeout is None else f"sleeps {in_words(planned.timeout)}"
        case _:
            assert_never(planned.kind)
    if planned.conditional:
        yield "only if its condition holds"
    if planned.concurrency:
        yield f"for each item, {planned.concurrency} at once"


def _marks(planned: PlannedStep) -> Iterator[tuple[Icon, str]]:
    if planned.pivot:
        yield Icon.PIVOT, "pivot: no way back"
    if planned.compensable:
        yield (
            Icon.UNDO,
            "undo" if not planned.undo_waits_for else f"undo waits for {' or '.join(planned.undo_waits_for)}",
        )
    match planned.on_unknown:
        case OnUnknown.REPEAT:
            pass
        case OnUnknown.PROBE:
            yield Icon.LENS, "probe"
        case OnUnknown.UNDO:
            yield Icon.QUESTION, "in doubt: undo"
        case OnUnknown.PARK:
            yield Icon.QUESTION, "in doubt: a person"
        case _:
            assert_never(planned.on_unknown)


def _told(step: StepSeen, items: Sequence[StepSeen], *, lease_is_over: bool) -> Iterator[str]:
    yield look_of_step(step.status, lease_is_over=lease_is_over).text
    if step.parked is not None:
        yield printable(step.parked.replace("_", " "), 64)
    if is_tried_again(step.status) and step.failures:
        yield f"{step.failures} failed attempt{'s' if step.failures != 1 else ''}"
    elif step.attempt > 1:
        yield f"attempt {step.attempt}"
    if step.wakes_at is not None:
        yield f"until {step.wakes_at:%Y-%m-%d %H:%M:%S}"
    if items:
        counts = Counter(each.status.value.lower().replace("_", " ") for each in items)
        said = ", ".join(f"{count} {text}" for text, count in counts.items())
        yield f"{len(items)} items: {said}" if len(counts) > 1 else f"{len(items)} items"


def _left(left: Iterable[LeftOver]) -> str:
    kinds = Counter(each.kind.value for each in left)
    return "left over: " + ", ".join(kind if count == 1 else f"{kind} ({count})" for kind, count in kinds.items())


@attrs.frozen
class Heading:
    """The words above a graph."""

    title: str
    about: str
    """A sentence for screen readers."""
    lines: tuple[tuple[str, Look | None], ...]
    """Lines under the title; one that tells of a state has its look."""


def heading(plan: Plan | None, name: str | None, seen: SagaSeen | None) -> Heading:
    """The words above the graph."""
    title = printable(name or "saga", 255)
    count = 0 if plan is None else len(plan.steps)
    size = f"{count} step{'s' if count != 1 else ''}"
    lines: list[tuple[str, Look | None]] = [(text, None) for text in _rules(plan)]
    if seen is None:
        about = f"The graph of a saga of {size}."
        return Heading(title, about, ((size, None), *lines))
    look = look_of_saga(seen.status)
    return Heading(
        f"{title}, version {seen.version}",
        f"The graph of a saga of {size}, with their states. It is {seen.status.value}.",
        ((look.text, look), *_standing(seen), *lines),
    )


def _rules(plan: Plan | None) -> Iterator[str]:
    if plan is None:
        yield "its plan cannot be read"
        return
    if plan.data.deadline is not None:
        yield f"rolled back if it is not done in {in_words(plan.data.deadline)}"
    if not plan.data.compensate_on_failure:
        yield "a failure undoes nothing"
    if plan.data.cancel_siblings:
        yield "a failure cuts the other branches short"


def _standing(seen: SagaSeen) -> Iterator[tuple[str, Look | None]]:
    if seen.parked is not None:
        yield f"waits for a person: {printable(seen.parked.replace('_', ' '), 64)}", look_of_step(StepStatus.PARKED)
    if seen.paused_since is not None:
        yield f"paused since {seen.paused_since:%Y-%m-%d %H:%M:%S}", PAUSED
    if seen.unreadable is not None:
        yield printable(seen.unreadable, 200), look_of_step(StepStatus.PARKED)
    if seen.left_over:
        count = len(seen.left_over)
        yield f"left over: {count} effect{'s' if count != 1 else ''}", LEFT_OVER
    for stays in kept(seen.stays_done, seen.rewound):
        yield stays, None
    if seen.last_error is not None and not seen.status.is_terminal:
        yield f"last error: {printable(seen.last_error, 100)}", None
