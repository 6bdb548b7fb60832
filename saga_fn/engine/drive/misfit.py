"""The words of a worker about a saga that its definition does not fit."""

from __future__ import annotations

from typing import Final, assert_never

from saga_fn.core.effects import Misfit, Rejection
from saga_fn.core.ids import StepId, owner_of
from saga_fn.engine.drive.step_error import StepError
from saga_fn.engine.registry import Registered
from saga_fn.errors import shown


def misfit_of(rejection: Rejection, registered: Registered) -> StepError:
    """The fault of a saga that was refused because of the plan of what is registered here: which step, and how."""
    mend = mend_of_misfit(rejection, registered.version)
    hint = f"HINT: {mend}. A saga that waits for a definition that fits it goes on by itself when there is one."
    return StepError("PlanChanged", f"{told_of_misfit(rejection)}. {hint}", rejection.step)


def mend_of_misfit(rejection: Rejection, version: int) -> str:
    """How a definition is changed so that sagas of this version go on."""
    beside = beside_the_old_one(version)
    if rejection.misfit is Misfit.GONE and rejection.step is not None:
        return f"a step that was renamed keeps its name by {kept_name(rejection.step)}; else {beside}"
    return beside


def beside_the_old_one(version: int) -> str:
    """The mend for a change that sagas of this version cannot follow."""
    return f"register the changed definition beside the old one: register(definition, version={version + 1})"


def kept_name(step: StepId) -> str:
    """The option by which a function, or an event, with a new name is the step that it was."""
    name = shown(owner_of(step))
    return f"@step(step_id={name}), and a wait by wait(step_id={name})"


_HERE: Final = "the definition registered here"
THEIRS: Final = "the definition of a process that works on it"


def told_of_misfit(rejection: Rejection, whose: str = _HERE) -> str:
    """How a plan does not fit what a saga has done. `whose` definition has it."""
    step = f"step {shown(rejection.step)}"
    match rejection.misfit:
        case Misfit.GONE:
            return f"{step} has begun, but {whose} does not have it"
        case Misfit.OTHER_KIND:
            return f"{step} has begun, but is another kind of step in {whose}"
        case Misfit.OUT_OF_ORDER:
            return f"{step} has begun, but follows step {shown(rejection.other)} in {whose}, which is not done"
        case Misfit.NOT_TAKEN:
            return f"{step} was passed over by its condition, but has none in {whose}"
        case Misfit.PIVOT:
            return f"the saga rolls back, but {step}, which has run, is the pivot in {whose}"
        case None:
            return f"{whose} does not fit what the saga has done"
        case _:
            assert_never(rejection.misfit)
