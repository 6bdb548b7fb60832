"""The ways to settle a step that may have run: repeat it, find out, undo it as what may have run, or ask a person."""

from __future__ import annotations

import enum
from typing import Any, Final, Generic, Literal, TypeVar, final, get_args, get_origin

import msgspec

from saga_fn.codec import type_name
from saga_fn.core.ids import StepId
from saga_fn.core.plan import OnUnknown, undo_flaw
from saga_fn.definition.checks import refusal
from saga_fn.definition.steps.signature import Signature
from saga_fn.definition.values.annotations import alternatives, fits, members, name_in_messages
from saga_fn.errors import SagaDefinitionError, TypeValidationError, shown

O = TypeVar("O")  # noqa: E741 - the name the docs use throughout

OnUnknownChoice = Literal["repeat", "park"]
"""The choices at the wiring; `undo` and `probe` need functions that belong to the step."""


@final
class Done(msgspec.Struct, Generic[O], frozen=True):
    """The answer of a probe if the step has run."""

    output: O
    """The output of the step."""


@final
class NotDone(enum.Enum):
    """The answer of a probe if the step has not run, and will not."""

    NOT_DONE = "not done"
    """The only one; `NOT_DONE` is its short name."""


NOT_DONE: Final = NotDone.NOT_DONE

_WAYS: Final = {
    "repeat": OnUnknown.REPEAT,
    "probe": OnUnknown.PROBE,
    "undo": OnUnknown.UNDO,
    "park": OnUnknown.PARK,
}


def check_on_unknown(name: str, value: object) -> None:
    """Raise SagaDefinitionError for what is no way to settle an unknown outcome."""
    if not isinstance(value, str) or value not in _WAYS:
        raise SagaDefinitionError(
            f"{name} must be one of {', '.join(map(shown, _WAYS))}, not {shown(value)}",
            hint="'repeat' for a step that is idempotent, 'park' to let a person find out; "
            "'probe' where it has a probe=, which is so by itself; 'undo' with a compensate= that takes None for the output",
        )


def resolve_on_unknown(name: str, wanted: object, *, probes: bool, undo_takes: object) -> OnUnknown:
    """How the outcome of a step is settled. `undo_takes`: what its compensation takes for its output; None without one.

    Raises:
        SagaDefinitionError: The step lacks the probe or the compensation that `on_unknown` needs.
    """
    if wanted is None:
        return OnUnknown.PROBE if probes else OnUnknown.REPEAT
    check_on_unknown("on_unknown", wanted)
    way = _WAYS[str(wanted)]
    if way is OnUnknown.PROBE and not probes:
        raise SagaDefinitionError(
            f"step {shown(name)} has on_unknown='probe', but no probe",
            hint="give probe=, an async function of its input that returns Done(output) or NOT_DONE",
        )
    flaw = undo_flaw(
        StepId(name),
        way,
        compensable=undo_takes is not None,
        undoes_in_doubt=undo_takes is not None and fits(type(None), undo_takes),
    )
    if flaw is not None:
        raise refusal(flaw)
    return way


def undoes_in_doubt(way: OnUnknown, *, takes: object, gives: object) -> bool:
    """Whether the compensation can undo what only may have run. `takes` is what it takes for the output, None without one.

    With `on_unknown="undo"` the step says so. Else its annotation does, by accepting a None that the step itself never
    gives: from a step that may give None, it would be told that there was nothing to do. One that always gives None is
    undone by its input alone anyway.
    """
    if way is OnUnknown.UNDO:
        return True
    nothing = type(None)
    if takes is None or nothing not in alternatives(takes):
        return False
    return nothing not in alternatives(gives) or alternatives(gives) == (nothing,)


def check_probe(name: str, probe: object, read: Signature, *, takes: object, gives: object) -> None:
    """Raise TypeValidationError for a probe that does not ask about this step, or does not answer for it."""
    if not fits(takes, read.takes[0]):
        raise TypeValidationError(
            f"probe {name_in_messages(probe)} takes {type_name(read.takes[0])}, but step {name} takes {type_name(takes)}",
            hint="a probe takes exactly the step's input",
        )
    for answer in members(read.gives):
        if answer is NotDone:
            continue
        found: Any = get_args(answer)[0] if get_origin(answer) is Done else None  # Any: a type of any form
        if found is None or not fits(found, gives):
            raise TypeValidationError(
                f"probe {name_in_messages(probe)} returns {type_name(read.gives)}, but step {name} gives {type_name(gives)}",
                hint=f"annotate it -> Done[{type_name(gives)}] | NotDone",
            )
