"""A developer who adds something is told of each place that it belongs to: here, where no type checker says so.

ARCHITECTURE's recipes ("Adding to it") name these tests.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

import saga_fn
from saga_fn import Event as OutsideEvent
from saga_fn import RetryPolicy, StepOptions, StepRef, saga, step, telemetry
from saga_fn.admin.bulk_verbs import BulkVerb
from saga_fn.admin.pausing import AdminPausing
from saga_fn.admin.sleeping import AdminSleeping
from saga_fn.admin.verbs import AdminVerbs
from saga_fn.admin.verification import AdminVerification
from saga_fn.admin.whole_saga import AdminWholeSaga
from saga_fn.core.event_kinds import is_by_force
from saga_fn.core.events import Event, OperatorVerb, name_of
from saga_fn.core.explain.preview import questions
from saga_fn.core.explore.offers import events_for, events_of
from saga_fn.core.explore.shapes import cut_schedule
from saga_fn.core.ids import Micros, Moment, StepId
from saga_fn.core.plan import OnUnknown, Plan, PlannedStep, StepKind
from saga_fn.core.projection import Projection
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import SagaState
from saga_fn.core.verbs import Verb, verb_of
from saga_fn.definition.steps import step_options
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.message import Flaw, judge, message_of
from saga_fn.store.records import SagaRecord
from saga_fn.telemetry import METRICS, Metric

DEFINITION = Path(step_options.__file__).parents[1]
approval = OutsideEvent("approval", str)


@step
async def charge(cents: int) -> str:
    return f"receipt-of-{cents}"


@saga("order")
def order(cents: StepRef[int]) -> StepRef[str]:
    approval.wait()
    return charge(cents)


def texts_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_option_of_a_step_is_judged() -> None:
    judged = set(step_options._JUDGES)  # pyright: ignore[reportPrivateUsage]  # there is no other way to ask
    assert judged == set(get_type_hints(StepOptions))


def test_every_option_of_a_step_is_read_by_the_definition() -> None:
    others = [file for file in DEFINITION.rglob("*.py") if file != Path(step_options.__file__)]
    read = set[str]().union(*map(texts_in, others))
    assert set(get_type_hints(StepOptions)) - read == set()


def test_every_retry_policy_is_a_public_name() -> None:
    policies: tuple[type[object], ...] = get_args(RetryPolicy)
    assert [each.__name__ for each in policies if each.__name__ not in saga_fn.__all__] == []


def test_the_exploration_goes_by_every_field_of_a_schedule() -> None:
    """The exploration puts a short schedule in the place of each: a field that it does not know would be explored nowhere."""
    read = inspect.getsource(cut_schedule)
    assert {name for name in RetrySchedule.__struct_fields__ if f"retry.{name}" not in read} == set()


def test_every_event_has_a_number_of_its_own_and_the_next_one_is_free() -> None:
    kinds: tuple[type[msgspec.Struct], ...] = get_args(Event)
    assert sorted(str(kind.__struct_config__.tag) for kind in kinds) == sorted(map(str, range(1, len(kinds) + 1)))


def test_the_exploration_offers_every_event() -> None:
    plan = Plan.of(
        PlannedStep(StepId("wait"), kind=StepKind.EVENT, waits_for=("approval",), timeout=Micros(1)),
        PlannedStep(
            StepId("charge"),
            after=(StepId("wait"),),
            compensable=True,
            on_unknown=OnUnknown.PROBE,
            undo_waits_for=("refunded",),
        ),
    )
    state = SagaState(plan=plan.id, rev=0, at=Moment(0))
    offered = {type(event) for _, _, event in events_for({plan.id: plan}, {plan.id: events_of(plan)}, state)}
    assert {kind.__name__ for kind in set(get_args(Event)) - offered} == set()


@pytest.mark.parametrize("kind", get_args(OperatorVerb))
def test_every_verb_can_be_asked_of_an_owner(kind: type[OperatorVerb]) -> None:
    needed: dict[str, Any] = {
        "at": Moment(1),
        "step": StepId("charge"),
        "until": Moment(1),
        "to": Moment(2),
    }  # Any: fields of all types
    verb = kind(**{name: value for name, value in needed.items() if name in kind.__struct_fields__})
    if is_by_force(verb):
        return
    read = judge(order, message_of(Incoming(verb, payload=b'"receipt"')), Moment(1), most=1000)
    assert not isinstance(read, Flaw), f"{name_of(verb)}: {read.fact}"
    assert read.event == verb


def test_every_verb_is_a_method_of_admin_and_is_explained() -> None:
    """`explain` asks the verbs that `core/verbs.py` has: each method that decides something is one."""
    calls = {
        name
        for kind in (AdminVerbs, AdminWholeSaga, AdminSleeping, AdminPausing)
        for name in vars(kind)
        if not name.startswith("_")
    }
    others = {"compensate_step", "reschedule"}  # another name of cancel; start_now at another moment
    assert calls - others == {verb.value for verb in Verb}
    plan = Plan.of(PlannedStep(StepId("charge")))
    state = SagaState(plan=plan.id, rev=1, at=Moment(0))
    asked = list(questions(plan, state, Moment(0), until=Moment(0)))
    assert {type(event) for _, event in asked} == set(get_args(OperatorVerb))
    assert all(verb_of(event) is verb for verb, event in asked)


def test_every_metric_is_listed_and_something_measures_it() -> None:
    metrics = {name: each for name, each in vars(telemetry).items() if isinstance(each, Metric)}
    assert set(metrics.values()) == set(METRICS)
    source = inspect.getsource(telemetry)
    assert [name for name in metrics if f"Measured({name}, " not in source] == []


def test_verify_compares_every_column_that_mirrors_the_state() -> None:
    mirrored = set(Projection.__struct_fields__) & set(inspect.signature(SagaRecord).parameters)
    source = inspect.getsource(AdminVerification)
    assert {name for name in mirrored if f"shown.{name}" not in source} == set()


def test_every_verb_can_be_asked_of_all_sagas_that_a_filter_finds() -> None:
    classes: tuple[Any, ...] = get_args(BulkVerb)  # Any: typing says no more of a union
    assert {kind.verb for kind in classes} == set(Verb)
