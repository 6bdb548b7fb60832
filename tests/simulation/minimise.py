"""A failing run made smaller, for as long as it fails: fewer sagas, deeds and faults, simpler definitions. Then it is a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import attrs

from tests.simulation.definitions import FEATURES, draw
from tests.simulation.run import Case

T = TypeVar("T")


def minimised(case: Case, fails: Callable[[Case], bool], *, most: int = 150) -> Case:
    """The smallest case that was found within so many runs and still fails."""
    left = [most]

    def still(smaller: Case) -> bool:
        left[0] -= 1
        return left[0] >= 0 and fails(smaller)

    while left[0] > 0:
        before = case
        for smaller in _simpler(case):
            if still(smaller):
                case = smaller
                break
        case = _fewer(case, "faults", still)
        case = _fewer(case, "deeds", still)
        case = _fewer(case, "sagas", still)
        for feature in FEATURES:
            if feature not in case.tamed and still(tamer := attrs.evolve(case, tamed=(*case.tamed, feature))):
                case = tamer
        case = _without_steps(case, still)
        if case == before:
            break
    return case


def _simpler(case: Case) -> Iterator[Case]:
    if case.bad_weather or not case.tame:
        yield attrs.evolve(case, bad_weather=False, tame=True, faults=(), deeds=())
    if case.bad_weather:
        yield attrs.evolve(case, bad_weather=False)
    if not case.tame:
        yield attrs.evolve(case, tame=True)
    if case.builds > 1:
        yield attrs.evolve(case, builds=1)
    if case.deletes:
        yield attrs.evolve(case, deletes=False)


def _fewer(case: Case, field: str, still: Callable[[Case], bool]) -> Case:
    """As few of these as will do: halves are left out first, then smaller parts, then single ones."""
    numbers: Sequence[int] = getattr(case, field)
    part = len(numbers)
    while part:
        start = 0
        while start < len(numbers):
            fewer = (*numbers[:start], *numbers[start + part :])
            changed: dict[str, Any] = {field: fewer}  # Any: a field by its name
            smaller = attrs.evolve(case, **changed)
            if still(smaller):
                case, numbers = smaller, fewer
            else:
                start += part
        part //= 2
    return case


def _without_steps(case: Case, still: Callable[[Case], bool]) -> Case:
    for number in range(case.definitions):
        drawn = draw(f"{case.seed}", number, case.tamed, case.without)
        for each in reversed(drawn.steps):
            if len(drawn.steps) == 1:
                break
            smaller = attrs.evolve(case, without=(*case.without, f"{drawn.name}/{each.id}"))
            if still(smaller):
                case = smaller
    return case


def as_a_test(case: Case, wrong: Sequence[str]) -> str:
    """The case as a test that can be pasted into a file of tests."""
    default = Case(case.seed)
    given = [f"seed={case.seed}"]
    for field in attrs.fields(Case):
        value = getattr(case, field.name)
        if field.name != "seed" and value != getattr(default, field.name):
            given.append(f"{field.name}={value!r}")
    lines = ",\n        ".join(given)
    found = "\n".join(f"    # {line}" for line in wrong[:3])
    return (
        f"def test_seed_{case.seed}() -> None:\n"
        f"{found}\n"
        f"    case = Case(\n        {lines},\n    )\n"
        f"    assert run(case).wrong == ()\n"
    )
