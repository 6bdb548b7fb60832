"""Facts that an owner asks for when it computes a step's input: the outputs there are, and the input of attempts before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from saga_fn.core.event_kinds import gives_output
from saga_fn.core.events import Event
from saga_fn.core.facts import find
from saga_fn.core.fan_out import items_of
from saga_fn.core.ids import Digest, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    Attempts,
    FannedOut,
    Joined,
    NotTaken,
    Parked,
    ParkReason,
    Probing,
    Rewound,
    Running,
    SagaState,
    Settled,
    Skipped,
    Sleeping,
    StepState,
    Succeeded,
    Undoing,
    Undone,
    Waiting,
)

OutputAt: TypeAlias = int | tuple[StepId, ...]
"""Where the output of a step that is done is: the number of a journal entry, or the items whose outputs it is made of."""
NO_OUTPUT: Final = 0
"""The place of the output of a step that was not taken: there is none."""
NO_DIGEST: Final = Digest(b"")
"""The fingerprint of no input."""


def output_at(state: SagaState, step: StepId) -> OutputAt | None:
    """Where the output of the step is; None if the step is not done."""
    for each in reversed(state.steps):  # nearly always the last one is asked for
        if each.step == step:
            return each.seq if type(each) is Succeeded else _place(each)
    return None


def outputs_at(plan: Plan, state: SagaState) -> dict[StepId, OutputAt]:
    """Where the outputs of the plan's steps that are done are; items are left to their fan-outs."""
    return {each.step: place for each in state.steps if each.step in plan.index and (place := _place(each)) is not None}


def _place(step: StepState) -> OutputAt | None:
    if isinstance(step, Succeeded | Skipped | Settled):
        return step.seq
    if type(step) is Joined:
        return items_of(step)
    return NO_OUTPUT if type(step) is NotTaken else None


def outputs_gained(before: SagaState, after: SagaState, events: Sequence[Event]) -> list[tuple[StepId, int]]:
    """The steps and waits that have got their outputs by these events, each with the journal entry of its output.

    In the order of the events; waits come last. `after` is the state that the events make of `before`.
    """
    found = [
        (step, seq) for seq, event in enumerate(events, before.rev + 1) if (step := gives_output(event)) is not None
    ]
    known = {step for step, _ in found}
    return found + [
        (each.step, each.seq)
        for each in after.steps
        if type(each) is Succeeded and each.step not in known and output_at(before, each.step) != each.seq
    ]


def returned_at(state: SagaState, step: StepId) -> int | None:
    """The journal entry of the step's output if it has run and returned, else None."""
    for each in reversed(state.steps):
        if each.step == step:
            return each.seq if type(each) is Succeeded else None
    return None


def running(state: SagaState) -> list[StepId]:
    """The steps that run forward."""
    return [each.step for each in state.steps if type(each) is Running]


def input_before(state: SagaState, step: StepId) -> tuple[Digest, int]:
    """The fingerprint of the input that the step's attempts were given so far; `NO_DIGEST` if there is none.

    And the journal entry of that input if a person has given it, else 0.
    """
    found = find(state, step)
    attempts = None if found is None else _tries(found)
    return (NO_DIGEST, 0) if attempts is None else (attempts.digest, attempts.given)


def _tries(step: StepState) -> Attempts | None:
    match step:
        case (
            Succeeded()
            | Skipped()
            | Settled()
            | Undone()
            | NotTaken()
            | Rewound()
            | FannedOut()
            | Joined()
            | Waiting()
            | Sleeping()
        ):
            return None
        case _:
            return step.attempts


def digest_in_doubt(plan: Plan, state: SagaState, step: StepId) -> tuple[Digest, bool]:
    """The fingerprint of the input of a step that may have run, and whether it may be that of a whole list: of an item it may.

    An item that a person has given its input has one of its own.
    """
    found = find(state, step)
    own = found.attempts.digest if isinstance(found, Probing | Undoing) else NO_DIGEST
    is_item = plan.owner(step) != step
    if own != NO_DIGEST:
        return own, is_item
    before = list_before(state, plan.owner(step))
    return (NO_DIGEST if before is None else before.digest), is_item


def is_settled(state: SagaState, step: StepId) -> bool:
    """Whether the step is undone whose output a person has given: what it was started with is not in the same entry."""
    found = find(state, step)
    return isinstance(found, Undoing) and found.seq > 0 and found.attempts.digest != NO_DIGEST


class ListBefore(msgspec.Struct, frozen=True):
    """The list that a step has fanned out over."""

    items: tuple[StepId, ...]
    digest: Digest
    state: SagaState
    """The state that it was computed from: the events that have come since are left out."""


def list_before(state: SagaState, step: StepId, digest: Digest = NO_DIGEST) -> ListBefore | None:
    """The list that the step has fanned out over; None if it has not, or its items are done.

    With the fingerprint of the list at hand it is known then, too. From which events it was computed is not: all are taken.
    """
    spread = find(state, step)
    if isinstance(spread, Joined) and digest != NO_DIGEST:
        return ListBefore(items_of(spread), digest, state)
    if not isinstance(spread, FannedOut):
        return None
    then = msgspec.structs.replace(
        state, events=state.events[: spread.events], latest_event_seq=spread.latest_event_seq
    )
    return ListBefore(items_of(spread), spread.digest, then)


def has_begun(state: SagaState, step: StepId) -> bool:
    """Whether the step is not done, and an attempt of it was begun."""
    found = find(state, step)
    return found is not None and (attempts := _tries(found)) is not None and attempts.attempt > 0


def input_is_recorded(state: SagaState, step: StepId) -> bool:
    """Whether a failure of the step, which runs, has brought its input into the journal before."""
    found = find(state, step)
    return type(found) is Running and found.attempts.failures > 0 and not found.attempts.generation


def is_parked_for_input(state: SagaState, step: StepId) -> bool:
    """Whether the step waits for a person because its input has become another."""
    found = find(state, step)
    return isinstance(found, Parked) and found.why is ParkReason.INPUT_CHANGED
