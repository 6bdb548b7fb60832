"""Each flaw of a plan has words of its own, that name each step it concerns and say how to mend it."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from saga_fn.core.ids import StepId
from saga_fn.core.plan_flaws import NoName, PlanFlaw
from saga_fn.definition.checks import refusal

KINDS = get_args(PlanFlaw)


@pytest.mark.parametrize("kind", KINDS)
def test_each_flaw_names_its_steps_and_the_mend(kind: type[PlanFlaw]) -> None:
    fields = [field.name for field in msgspec.structs.fields(kind)]
    values = {name: StepId(name) if name in ("step", "other", "pivot", "needed") else 1_000_000 for name in fields}
    told = refusal(kind(**values))  # type: ignore[arg-type]  # by the names of its fields
    unnamed = [name for name in values if isinstance(values[name], str) and f"'{name}'" not in told.fact]
    assert unnamed == (["step"] if kind.__name__ == "TooManySteps" else [])
    assert told.hint


def test_no_two_flaws_are_told_alike() -> None:
    facts = {
        refusal(kind(*[StepId("a")] * len(msgspec.structs.fields(kind)))).fact for kind in KINDS if _is_of_steps(kind)
    }
    assert len(facts) == len([kind for kind in KINDS if _is_of_steps(kind)])


def _is_of_steps(kind: type[PlanFlaw]) -> bool:
    return {field.name for field in msgspec.structs.fields(kind)} <= {"step", "other", "pivot", "needed"}


def test_a_name_is_shown_as_it_is_given() -> None:
    assert refusal(NoName(StepId("a\n"))).fact.endswith("not 'a\\n'")
