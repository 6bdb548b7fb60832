"""What the steps of a saga may be called."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from saga_fn.core.ids import StepId, owner_of
from saga_fn.core.plan import Plan, PlannedStep
from saga_fn.core.size import STATE_LIMIT, most_bytes
from saga_fn.errors import SagaDefinitionError, shown

MOST_STEPS: Final = 100
LONGEST_ID: Final = 64
"""Characters. A saga of the most steps, with the longest ids, and the most items can be stored: see core/size.py."""
LONGEST_FAN_OUT_ID: Final = 32
"""Characters."""
_STEP_ID: Final = re.compile(rf"[ -~]{{1,{LONGEST_ID}}}")


def new_id(wanted: object, known: Collection[StepId]) -> StepId:
    """The id of one more step; raises SagaDefinitionError for what is none, or is taken."""
    if not isinstance(wanted, str) or not _STEP_ID.fullmatch(wanted):
        raise SagaDefinitionError(
            f"step_id must be a string of 1 to {LONGEST_ID} printable ASCII characters, not {shown(wanted)}",
            hint="give one with step_id=",
        )
    if wanted in known:
        raise SagaDefinitionError(
            f"this saga has a step {shown(wanted)} already", hint="give this one a name of its own with step_id="
        )
    if len(known) >= MOST_STEPS:
        raise SagaDefinitionError(f"a saga has at most {MOST_STEPS} steps", hint="split it into several sagas")
    return StepId(wanted)


def check_items(new: PlannedStep, planned: Iterable[PlannedStep]) -> None:
    """Raise SagaDefinitionError for a step that is an item of another by its name, or whose items would be.

    Items are steps, whose ids are made of the fan-out's and a number.
    """
    if new.width and len(new.step) > LONGEST_FAN_OUT_ID:
        raise SagaDefinitionError(
            f"step {shown(new.step)} is done for each item, so its id may have {LONGEST_FAN_OUT_ID} characters at most",
            hint="give it a shorter one with step_id=",
        )
    for known in planned:
        if (new.width and owner_of(known.step) == new.step) or (known.width and owner_of(new.step) == known.step):
            raise SagaDefinitionError(
                f"steps {shown(new.step)} and {shown(known.step)} cannot be told from each other's items",
                hint="give one of them another step_id=",
            )


def check_size(plan: Plan) -> None:
    """Raise SagaDefinitionError for a saga whose state could become larger than the store keeps."""
    size = most_bytes(plan)
    if size > STATE_LIMIT:
        raise SagaDefinitionError(
            f"the state of this saga could take {size:,} bytes, the limit is {STATE_LIMIT:,}",
            hint="let its compensations wait for fewer events, give steps and events shorter names, or split the saga",
        )
