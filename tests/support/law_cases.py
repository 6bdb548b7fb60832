"""The cases of laws as parameters of a test that also says which of them cannot be judged: no case is left out unseen."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

from saga_fn import SagaDefinition
from saga_fn.testing import LawCase, LawNotJudgedError, laws
from saga_fn.testing.laws import Fakes, Sent


def law_cases(
    definition: SagaDefinition[Any, Any],  # Any: definitions of all types stand in one list
    fakes: Fakes,
    start: object,
    *,
    events: Iterable[Sent] = (),
    unjudged: str = "(?!)",
    only_fakes: bool | None = None,
) -> list[ParameterSet]:
    """Each case, and whether it can be judged: not one whose id the pattern finds."""
    name = definition.name or "unnamed"
    return [
        pytest.param(case, not re.search(unjudged, case.id), id=f"{name}: {case.id}")
        for case in laws(definition, fakes, start, events=events, only_fakes=only_fakes)
    ]


async def hold(case: LawCase, *, is_judged: bool) -> None:
    """Run it. It keeps each law, or is not judged, as said."""
    if is_judged:
        await case.run()
        return
    with pytest.raises(LawNotJudgedError):
        await case.run()
