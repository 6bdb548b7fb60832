"""Every end of a definition, as a user's test finds and forbids them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from saga_fn import (
    LeftOverKind,
    SagaBuilder,
    SagaDefinition,
    SagaDefinitionError,
    SagaError,
    SagaStatus,
    StepRef,
    StepStatus,
    saga,
    step,
)
from saga_fn.examples.shop import charge as bank_charge
from saga_fn.examples.shop import order_saga
from saga_fn.testing import ForbiddenEndError, SagaEnd, explore


class Order(msgspec.Struct, frozen=True):
    order_id: str


async def _undo(inp: Order, out: Order) -> None: ...


@step(compensate=_undo)
async def charge(order: Order) -> Order:
    raise AssertionError("no step is called")


@step
async def ship(order: Order) -> Order:
    raise AssertionError("no step is called")


@saga("sale")
def sale(order: StepRef[Order]) -> None:
    ship(charge(order))


def test_every_end_is_found_with_the_shortest_way_there() -> None:
    found = explore(sale)
    assert found.is_all
    completed, *others = sorted(found.ends, key=lambda end: end.status is not SagaStatus.COMPLETED)
    assert completed.path == ("the saga starts", "charge succeeds", "ship succeeds")
    assert completed.steps == {"charge": StepStatus.SUCCEEDED, "ship": StepStatus.SUCCEEDED}
    assert {end.status for end in others} == {SagaStatus.COMPENSATED, SagaStatus.FAILED}
    reasons = {why for stop in found.stops for why in stop.parked.values()}
    assert reasons >= {"payload_unreadable", "output_lost", "crash_loop"}
    assert "input_failed" not in reasons  # nothing is computed
    assert ("the saga starts", "charge succeeds", "ship fails for good", "charge is undone") in [e.path for e in others]


def _with_a_note(order: Order) -> Order:
    return order


@step
async def thank(order: Order) -> None:
    raise AssertionError("no step is called")


@saga("computed sale")
def computed_sale(order: StepRef[Order]) -> None:
    sent = ship(charge(order), using=_with_a_note)
    thank.when(lambda order: bool(order.order_id))(sent)


def test_the_input_of_a_step_fails_only_where_the_definition_computes_something() -> None:
    failing = {
        step for stop in explore(computed_sale).stops for step, why in stop.parked.items() if why == "input_failed"
    }
    assert failing == {"ship", "thank"}


def test_an_end_names_what_is_left_over() -> None:
    left = {(each.step_id, each.kind) for end in explore(sale).ends for each in end.left_over}
    assert left == {("charge", LeftOverKind.MAY_HAVE_RUN), ("ship", LeftOverKind.MAY_HAVE_RUN)}


@saga("party", deadline=timedelta(days=1))
def party(orders: StepRef[list[Order]]) -> None:
    charge.each(concurrency=2)(orders)


def test_a_way_names_the_items_that_its_end_names() -> None:
    for end in explore(party).ends:
        for item in ("charge[0]", "charge[1]"):
            told = [each for sentence in end.path for each in sentence.split("; ") if each.startswith(item)]
            if end.steps.get(item) is StepStatus.COMPENSATED:
                assert told[-1] == f"{item} is undone", end
            elif end.steps.get(item) is StepStatus.SUCCEEDED:
                assert told == [f"{item} succeeds"], end


def test_of_two_items_either_may_fail_alone_and_a_law_may_name_either() -> None:
    pairs = {(end.steps.get("charge[0]"), end.steps.get("charge[1]")) for end in explore(party).ends}
    failed, undone = StepStatus.FAILED, StepStatus.COMPENSATED
    assert {(failed, undone), (undone, failed)} <= pairs
    for one, other in (("charge[0]", "charge[1]"), ("charge[1]", "charge[0]")):
        wanted = {one: failed, other: undone}

        def law(end: SagaEnd, wanted: dict[str, StepStatus] = wanted) -> bool:
            return wanted.items() <= end.steps.items()

        with pytest.raises(ForbiddenEndError):
            explore(party, forbid=law)


def test_of_a_fan_out_not_all_is_said_to_be_known_but_the_length_of_its_lists() -> None:
    found = explore(party)
    assert (found.is_all, found.is_bounded, found.most_items) == (False, False, 2)
    told = f"all {len(found.ends)} ends, and {len(found.stops)} states that wait for a person, with at most 2 items of each list"
    assert str(found).splitlines()[0] == f"party: {told}"
    assert told in found.diagram()
    few = explore(party, most_states=5)
    assert (few.is_all, few.is_bounded, few.most_items) == (False, True, 2)
    assert explore(sale).most_items is None


def test_a_law_that_names_an_item_which_no_end_has_is_told_so() -> None:
    with pytest.raises(SagaDefinitionError, match=r"lists are tried with at most 2 items, so no end has 'charge\[2\]'"):
        explore(party, forbid=lambda end: end.status_of("charge[2]") is StepStatus.FAILED)
    with pytest.raises(SagaDefinitionError, match=r"no step 'ship\[2\]'"):
        explore(party, forbid=lambda end: end.is_done("ship[2]"))


@saga("queue")
def queue(orders: StepRef[list[Order]]) -> None:
    charge.each(concurrency=1)(orders)


def test_of_items_one_after_the_other_none_is_done_behind_one_that_failed_at_once() -> None:
    undone, failed = StepStatus.COMPENSATED, StepStatus.FAILED
    pairs = [
        (end.steps.get("charge[0]"), end.steps.get("charge[1]")) for end in explore(queue).ends if not end.left_over
    ]
    assert (undone, failed) in pairs
    assert (failed, undone) not in pairs


def test_an_end_that_needs_the_deadline_tells_of_it() -> None:
    last = "each process that runs it dies"
    assert last in {end.path[-1] for end in explore(party).stops}
    ends = explore(party).ends
    assert not [end for end in ends if end.path[-1] == last]
    assert [end for end in ends if end.path[-2:] == (last, "the deadline is over")]


def test_what_no_definition_may_end_in_is_found_with_its_story() -> None:
    with pytest.raises(ForbiddenEndError) as caught:
        explore(sale, forbid=lambda end: end.is_left_over(ship))
    assert isinstance(caught.value, AssertionError)
    nearest = caught.value.found[0]
    assert nearest.path[-1] == "charge is undone"
    assert all(sentence in str(caught.value) for sentence in nearest.path)


def test_no_money_is_kept_for_what_was_not_sent() -> None:
    explore(sale, forbid=lambda end: end.is_done(charge) and not end.is_done(ship) and not end.waits_for_a_person)


def test_a_state_that_waits_for_a_person_can_be_forbidden_too() -> None:
    with pytest.raises(ForbiddenEndError, match="WAITS FOR A PERSON"):
        explore(sale, forbid=lambda end: end.waits_for_a_person)


def test_a_step_is_named_by_its_id_its_reference_or_itself() -> None:
    builder = SagaBuilder(Order)
    ref = builder.add_step(charge, depends_on=builder.initial, step_id="first")
    done = explore(builder.build()).ends[0]
    assert done.status_of(ref) is done.status_of("first") is done.status_of(charge)
    assert done.is_done(charge)
    assert not done.is_left_over(charge)
    twice = SagaBuilder(Order)
    for step_id in ("first", "second"):
        twice.add_step(charge, depends_on=twice.initial, step_id=step_id)
    with pytest.raises(SagaDefinitionError, match="no step 'charge'"):
        explore(twice.build()).ends[0].is_done(charge)  # which of the two?


def test_a_stop_says_why_it_waits_for_a_person() -> None:
    stops = {why: end for end in explore(order_saga).stops for why in end.parked.values()}
    assert stops["outcome_unknown"].path[-1] == "the probe of charge does not find out"
    assert stops["outcome_unknown"].status_of(bank_charge) is StepStatus.PARKED


def test_a_walk_that_was_not_all_says_so_and_proves_nothing() -> None:
    found = explore(sale, most_states=5)
    assert (found.is_all, found.states) == (False, 5)
    assert "bounded by 5 states" in str(found)
    with pytest.raises(SagaError, match="there are more"):
        explore(sale, most_states=5, forbid=lambda _: False)


def test_a_table_and_pictures_show_the_ends() -> None:
    found = explore(sale)
    assert str(found).splitlines()[0] == (
        f"sale: all {len(found.ends)} ends, and {len(found.stops)} states that wait for a person"
    )
    assert found.diagram("mermaid").startswith("flowchart TD")
    assert ET.fromstring(found.diagram()).tag.endswith("svg")
    with pytest.raises(SagaError, match="no format"):
        found.diagram("png")  # type: ignore[arg-type]  # that is the test


def chain(length: int) -> SagaDefinition[Order, None]:
    builder = SagaBuilder(Order)
    last = builder.initial
    for number in range(length):
        last = builder.add_step(charge, depends_on=last, step_id=f"step {number}")
    return builder.build()


def branches(number: int, *, computed: bool = False) -> SagaDefinition[Order, None]:
    builder = SagaBuilder(Order, order="graph", deadline=timedelta(days=1))
    for each in range(number):
        if computed:
            builder.add_step(
                charge, depends_on=builder.initial, step_id=f"branch {each}", input_map=lambda order: order
            )
        else:
            builder.add_step(charge, depends_on=builder.initial, step_id=f"branch {each}")
    return builder.build()


@pytest.mark.parametrize(
    "definition",
    [chain(9), branches(4), branches(4, computed=True)],
    ids=["nine steps", "four branches", "four with computed inputs"],
)
def test_the_ends_of_long_and_of_wide_sagas_are_all_found(definition: SagaDefinition[Order, None]) -> None:
    found = explore(definition)
    assert found.is_all
    assert found.states < 35_000, "a sixth of the default bound: some seconds"


@pytest.mark.parametrize("given", [None, "sale", object(), sale.plan], ids=type)
def test_what_is_no_definition_is_refused(given: SagaDefinition[Order, None]) -> None:
    with pytest.raises(SagaDefinitionError, match="a definition"):
        explore(given)


@pytest.mark.parametrize("most", [0, -1, 1_000_001, True, 1.5, "many"], ids=repr)
def test_a_bound_out_of_its_range_is_refused(most: int) -> None:
    with pytest.raises(SagaError, match="most_states"):
        explore(sale, most_states=most)


def test_a_law_that_raises_says_so_by_itself() -> None:
    def law(end: SagaEnd) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        explore(sale, forbid=law)


async def _later(end: SagaEnd) -> bool:
    raise AssertionError(end)


class _Later:
    async def __call__(self, end: SagaEnd) -> bool:
        raise AssertionError(end)


@pytest.mark.parametrize(
    "given", [5, "charge", True, _later, _Later()], ids=["5", "text", "True", "async", "async call"]
)
def test_what_is_no_law_is_refused_before_the_walk(given: Callable[[SagaEnd], bool]) -> None:
    with pytest.raises(SagaError, match=r"forbid= is a function"):
        explore(sale, forbid=given, most_states=1)  # a walk would come to its bound first
