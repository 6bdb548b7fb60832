"""What is stored: events, states and plans survive their encoding, and a journal gives its state again, for ever."""

from __future__ import annotations

import json
from types import ModuleType
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings

from saga_fn.core import events
from saga_fn.core import state as states
from saga_fn.core.events import Event, PlanChanged, Started
from saga_fn.core.plan import Plan, PlanData
from saga_fn.core.projection import project
from saga_fn.core.state import SagaState, StepState
from saga_fn.core.transition import transition
from tests.core.record_golden import GOLDEN
from tests.core.stories import STORIES
from tests.core.strategies import plans


@pytest.mark.parametrize("name", STORIES)
def test_a_released_transition_never_changes_its_answer(name: str) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    known = {
        plan.id: plan
        for stored in golden["plans"]
        for plan in [Plan.from_data(msgspec.msgpack.decode(bytes.fromhex(stored), type=PlanData))]
    }
    plan = next(iter(known.values()))
    state: SagaState | None = None
    for entry in golden["journal"]:
        event: Event = msgspec.msgpack.decode(bytes.fromhex(entry), type=Event)
        if isinstance(event, Started | PlanChanged):
            plan = known[event.plan]
        state = transition(plan, state, event).unwrap().state
    assert msgspec.msgpack.encode(state).hex() == golden["state"]


@pytest.mark.parametrize("name", STORIES)
def test_a_story_is_still_told_as_it_was_recorded(name: str) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    saga = STORIES[name]()
    assert [msgspec.msgpack.encode(event).hex() for event in saga.journal] == golden["journal"]


@pytest.mark.parametrize("name", STORIES)
def test_a_state_survives_its_encoding(name: str) -> None:
    saga = STORIES[name]()
    stored = msgspec.msgpack.encode(saga.state)
    again = msgspec.msgpack.decode(stored, type=SagaState)
    assert again == saga.state
    assert project(saga.plan, again) == saga.row
    assert len(stored) < 16 * 1024


@settings(deadline=None)
@given(plans())
def test_a_plan_survives_its_encoding_and_keeps_its_id(plan: Plan) -> None:
    again = Plan.from_data(msgspec.msgpack.decode(msgspec.msgpack.encode(plan.data), type=PlanData))
    assert again == plan
    assert hash(again) == hash(plan)
    assert (again.roots, again.descendants, again.index) == (plan.roots, plan.descendants, plan.index)


@pytest.mark.parametrize("kinds, module", [(StepState, states), (Event, events)], ids=["states", "events"])
def test_the_next_free_tag_is_the_one_that_is_said(kinds: object, module: ModuleType) -> None:
    tags = [kind.__struct_config__.tag for kind in get_args(kinds)]
    assert sorted(tags) == [*range(1, len(tags) + 1)]
    assert f"is {len(tags) + 1}.\n" in (module.__doc__ or "")
