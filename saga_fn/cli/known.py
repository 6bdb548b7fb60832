"""Names and steps that are not known: a list that finds nothing because of one is nearly always misspelt."""

from __future__ import annotations

from typing import Final

from saga_fn.admin.known_names import is_known
from saga_fn.cli.place import Place
from saga_fn.core.ids import StepId, owner_of
from saga_fn.errors import shown
from saga_fn.listing import SagaFilter

UNKNOWN: Final = "There is no saga of that name, and no process that works on one: is it spelt as it is registered?"
_MOST_NAMED: Final = 20


async def knows_name(place: Place, name: str) -> bool:
    """Whether there is a saga of the name, a process that works on it, or a definition of it in `--app`."""
    return await is_known(place.orchestrator.engine, name)


async def misspelt(place: Place, wanted: SagaFilter) -> str | None:
    """Why the filter finds no saga, if it names a saga or a step that is not known.

    The steps that are known are those of the definitions of `--app`, and of the newest saga of the name.
    """
    name, step = wanted.saga_name, wanted.step
    if name is not None and not await knows_name(place, name):
        return f"{shown(name)}: {UNKNOWN}"
    if step is None:
        return None
    steps = await _steps(place, name)
    if not steps or step in steps or owner_of(StepId(step)) in steps:
        return None
    more = f", and {len(steps) - _MOST_NAMED} more" if len(steps) > _MOST_NAMED else ""
    return f"No step {shown(step)} is known; there are {', '.join(steps[:_MOST_NAMED])}{more}."


async def _steps(place: Place, name: str | None) -> list[str]:
    plans = [each.definition.plan for each in place.known if name in (None, each.name)]
    if name is not None:
        newest = (await place.admin.list(SagaFilter(saga_name=name), limit=1)).rows
        stored = [(await place.admin.get_saga(row.id, journal_limit=1)).plan for row in newest]
        plans += [plan for plan in stored if plan is not None]
    return list(dict.fromkeys(str(planned.step) for plan in plans for planned in plan.steps))
