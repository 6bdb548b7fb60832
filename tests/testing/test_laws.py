"""The laws of a definition, as a user's tests hold fakes and definitions to them; and that they catch what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from returns.result import Failure, Result, Success

from saga_fn import (
    NOT_DONE,
    Done,
    Event,
    FixedRetry,
    NotDone,
    PayloadError,
    SagaDefinition,
    SagaDefinitionError,
    SagaError,
    StepContext,
    StepRef,
    saga,
    sleep,
    step,
)
from saga_fn.engine.drive import call, execution
from saga_fn.testing import LawCase, LawError, LawNotJudgedError, World, laws
from saga_fn.testing.law_log import MOST


class Order(msgspec.Struct, frozen=True):
    order_id: str
    cents: int = 900


class Approval(msgspec.Struct, frozen=True):
    by: str


approval = Event("approval", Approval)


async def never(*_: object) -> Any:  # Any: it stands in for every step
    raise AssertionError("the fake is called in its place")


async def free(order: Order, receipt: str) -> None:
    await never()


@step(compensate=free, compensation_retry_policy=FixedRetry(max_attempts=3, delay=timedelta(seconds=1)))
async def reserve(order: Order) -> str:
    raise AssertionError(order)


async def find_charge(order: Order) -> Done[str] | NotDone:
    raise AssertionError(order)


async def refund(order: Order, receipt: str) -> None:
    await never()


@step(
    probe=find_charge,
    compensate=refund,
    compensation_retry_policy=FixedRetry(max_attempts=2, delay=timedelta(seconds=1)),
)
async def charge(order: Order) -> str:
    raise AssertionError(order)


@step(retry_policy=FixedRetry(max_attempts=3, delay=timedelta(seconds=1)))
async def ship(order: Order) -> str:
    raise AssertionError(order)


@saga("order")
def order_saga(order: StepRef[Order]) -> StepRef[str]:
    reserve(order)
    approval.wait(timeout=timedelta(days=3))
    charge(order)
    sleep(timedelta(hours=1))
    return ship(order)


class Shop:
    """Participants that keep what they have done under the key."""

    def __init__(self) -> None:
        self.done: dict[str, dict[str, str]] = {"reserve": {}, "charge": {}, "ship": {}}

    def does(self, name: str) -> Callable[[Order, StepContext], str]:
        def do(order: Order, ctx: StepContext) -> str:
            return self.done[name].setdefault(ctx.idempotency_key, f"{name} {order.order_id}")

        return do

    def undoes(self, name: str) -> Callable[[Order, str, StepContext], None]:
        def undo(order: Order, receipt: str | None, ctx: StepContext) -> None:
            self.done[name] = {key: kept for key, kept in self.done[name].items() if kept != f"{name} {order.order_id}"}

        return undo

    def find(self, _: Order, ctx: StepContext) -> Done[str] | NotDone:
        kept = self.done["charge"].get(ctx.idempotency_key)
        return NOT_DONE if kept is None else Done(kept)

    def holds(self) -> object:
        return {name: sorted(kept.values()) for name, kept in self.done.items()}

    def put(self, world: World) -> None:
        for name in self.done:
            world.fake(name, self.does(name))
        world.fake_undo(reserve, self.undoes("reserve"))
        world.fake_undo(charge, self.undoes("charge"))
        world.fake_probe(charge, self.find)


def fakes(world: World) -> Callable[[], object]:
    shop = Shop()
    shop.put(world)
    return shop.holds


EVENTS = [(approval, Approval("ann"))]
CASES = laws(order_saga, fakes, Order("7"), events=EVENTS)


async def test_a_case_behind_a_wait_is_not_judged_and_not_passed_over_if_its_event_is_not_given() -> None:
    judged: set[str] = set()
    skipped: dict[str, LawNotJudgedError] = {}
    for case in laws(order_saga, fakes, Order("7")):
        try:
            await case.run()
            judged.add(case.id)
        except LawNotJudgedError as error:
            skipped[case.id] = error
    assert {"undisturbed", "crash after reserve"} <= judged
    assert {"undo of reserve twice", "undo of reserve fails always"} <= judged, "the wait comes to its timeout"
    assert {"crash after charge", "charge twice", "ship fails", "undo of charge twice"} <= {*skipped}
    assert all("the saga waits for 'approval'" in error.fact for error in skipped.values())
    assert all("events=[" in (error.hint or "") for error in skipped.values())


async def test_a_case_floods_no_log(caplog: pytest.LogCaptureFixture) -> None:
    often = FixedRetry(max_attempts=100, delay=timedelta(hours=1))

    @step(compensate=free, compensation_retry_policy=often)
    async def hold(order: Order) -> str:
        raise AssertionError(order)

    @saga("holding")
    def holding(order: StepRef[Order]) -> StepRef[str]:
        hold(order)
        return ship(order)

    def put(world: World) -> None:
        world.fake(hold, returns="held")
        world.fake(ship, returns="shipped")
        world.fake_undo(hold, lambda order, receipt: None)

    (case,) = [each for each in laws(holding, put, Order("7")) if each.id == "undo of hold fails always"]
    with caplog.at_level(logging.INFO, "saga_fn"):
        await case.run()
    failed = [each for each in caplog.records if "the compensation of hold failed" in each.getMessage()]
    assert failed
    texts = Counter((each.levelno, str(each.msg)) for each in caplog.records if each.name.startswith("saga_fn"))
    assert max(texts.values()) <= MOST
    assert not logging.getLogger("saga_fn").filters, "the log of other tests is as it was"


async def test_cases_may_run_at_the_same_time() -> None:
    done = await asyncio.gather(*(case.run() for case in CASES[:9]))
    assert len(done) == 9


def test_books_that_change_in_place_are_compared_as_they_were() -> None:
    def put(world: World) -> Callable[[], object]:
        shop = Shop()
        shop.put(world)
        world.fake_undo(charge, lambda order, receipt: None)  # it forgets
        world.fake_undo(reserve, lambda order, receipt: shop.done["reserve"].clear())
        return lambda: shop.done

    assert "all is undone, but the fakes hold" in str(broken(put, "ship fails"))


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_saga_with_good_participants_keeps_every_law(case: LawCase) -> None:
    await case.run()


def test_a_case_is_called_without_an_event_loop() -> None:
    CASES[0]()
    assert str(CASES[0]) == CASES[0].id == "undisturbed"


async def test_a_case_that_is_called_in_an_event_loop_says_what_to_await() -> None:
    with pytest.raises(SagaError, match=r"event loop runs.*\n.*await case.run\(\)"):
        CASES[0]()


def test_every_step_and_undo_has_its_cases_under_names_of_their_own() -> None:
    ids = [case.id for case in CASES]
    assert len(set(ids)) == len(ids)
    assert {
        "crash before reserve",
        "crash after charge",
        "crash after the commit of ship",
        "charge twice",
        "late answer of ship",
        "late worker at charge",
        "ship fails",
        "crash after charge, and crash in the probe of charge",
        "crash after charge, and probe of charge says no, and it is not so",
        "crash before charge, and probe of charge says yes, and it is not so",
        "undo of charge twice",
        "undo of reserve fails once",
        "undo of reserve fails always",
        "events before their waits",
        "every event twice",
        "no event",
    } <= set(ids)


def broken(put: Callable[[World], Callable[[], object] | None], wanted: str) -> LawError | None:
    """How that case breaks a law with these fakes; None if it does not."""
    (case,) = [each for each in laws(order_saga, put, Order("7"), events=EVENTS) if each.id == wanted]
    try:
        case()
    except LawError as error:
        return error
    return None


def with_fault(change: Callable[[World, Shop], None]) -> Callable[[World], Callable[[], object]]:
    def put(world: World) -> Callable[[], object]:
        shop = Shop()
        shop.put(world)
        change(world, shop)
        return shop.holds

    return put


def twice_shipped(world: World, shop: Shop) -> None:
    def do(order: Order, ctx: StepContext) -> str:
        return shop.done["ship"].setdefault(str(uuid4()), "ship 7")

    world.fake(ship, do)


def refuses_a_repeat(world: World, shop: Shop) -> None:
    def do(order: Order, ctx: StepContext) -> str:
        if ctx.idempotency_key in shop.done["ship"]:
            raise ValueError("shipped already")
        return shop.does("ship")(order, ctx)

    world.fake(ship, do)


def raises_for_what_is_undone(world: World, shop: Shop) -> None:
    def undo(order: Order, receipt: str, ctx: StepContext) -> None:
        if "reserve 7" not in shop.done["reserve"].values():
            raise ValueError("nothing is reserved")
        shop.undoes("reserve")(order, receipt, ctx)

    world.fake_undo(reserve, undo)


def another_receipt_each_time(world: World, shop: Shop) -> None:
    world.fake(ship, lambda order: f"ship {uuid4()}")


def forgets_to_undo(world: World, shop: Shop) -> None:
    world.fake_undo(charge, lambda order, receipt: None)


def probes_wrongly(world: World, shop: Shop) -> None:
    def find(order: Order, ctx: StepContext) -> Done[str] | NotDone:
        raise ValueError("no such page")

    world.fake_probe(charge, find)


@pytest.mark.parametrize(
    "change, case, told",
    [
        (twice_shipped, "ship twice", "the fakes hold"),
        (refuses_a_repeat, "crash after ship", "it ends as"),
        (raises_for_what_is_undone, "undo of reserve twice", "it ends as"),
        (another_receipt_each_time, "crash after ship", "under a key under which it had returned something else"),
        (forgets_to_undo, "ship fails", "all is undone, but the fakes hold"),
        (probes_wrongly, "crash after charge", "it ends as"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_participant_that_is_wrong_breaks_a_law(change: Callable[[World, Shop], None], case: str, told: str) -> None:
    found = broken(with_fault(change), case)
    assert found is not None
    assert told in str(found)
    assert found.case == case
    assert "async def history() -> None:" in found.history
    assert broken(with_fault(change), "undisturbed") is None, "no test without a fault would have found it"


def bad_fakes(world: World) -> Callable[[], object]:
    """Fakes with a fault, in a module, so that a history can import them."""
    return with_fault(refuses_a_repeat)(world)


def test_the_history_of_a_broken_law_runs_and_shows_it() -> None:
    error = broken(bad_fakes, "crash after ship")
    assert error is not None
    assert "world.crash('ship', at=\"after\")" in error.history
    assert "from tests.testing.test_laws import Approval, Order, approval, bad_fakes, order_saga" in error.history
    told = subprocess.run([sys.executable, "-c", error.history], capture_output=True, text=True, check=False)
    assert "shipped already" in told.stdout, told.stderr
    assert "COMPENSATED" in told.stdout or "FAILED" in told.stdout


class Till:
    """Fakes as a method, of a saga whose data has a class that no module has by its name alone."""

    class Order(msgspec.Struct, frozen=True):
        cents: int

    def bad_fakes(self, world: World) -> None:
        world.fake(pay, raises=AssertionError("the till is closed"))


till = Till()


@step
async def pay(order: Till.Order) -> None:
    raise AssertionError(order)


@saga("paid")
def paid(order: StepRef[Till.Order]) -> None:
    pay(order)


def test_the_history_of_bound_methods_and_nested_classes_runs() -> None:
    (case,) = [each for each in laws(paid, till.bad_fakes, Till.Order(9)) if each.id == "undisturbed"]
    with pytest.raises(LawError) as broken_law:
        case()
    told = subprocess.run([sys.executable, "-c", broken_law.value.history], capture_output=True, text=True, check=False)
    assert "the till is closed" in told.stdout + told.stderr
    assert "ImportError" not in told.stderr


def test_a_history_says_first_what_it_lacks_to_run() -> None:
    def put(world: World) -> None:
        Shop().put(world)
        world.fake(ship, raises=AssertionError("closed"))

    error = broken(put, "undisturbed")
    assert error is not None
    assert error.history.startswith("# To run it, put in for fakes the objects of the test")
    assert "put into the program above what its first line names" in str(error)


def wrong_address(world: World) -> None:
    Shop().put(world)
    world.fake(ship, raises=AssertionError("the wrong address"))


@pytest.mark.parametrize("number", [0, 1])
def test_pytest_shows_a_broken_law_and_no_line_of_the_library(number: int) -> None:
    case = laws(order_saga, wrong_address, Order("1"), events=[(approval, Approval("ann"))])[number]
    with pytest.raises(LawError) as told:
        case()
    assert {str(each.path) for each in told.traceback.filter(told)} == {__file__}
    assert isinstance(told.value.__cause__, AssertionError), "that of the fake is there"


async def test_pytest_shows_no_line_of_the_library_where_the_case_is_awaited() -> None:
    case = laws(order_saga, wrong_address, Order("1"), events=[(approval, Approval("ann"))])[0]
    with pytest.raises(LawError) as told:
        await case.run()
    assert {str(each.path) for each in told.traceback.filter(told)} == {__file__}


def test_books_that_differ_though_nothing_befell_the_saga_say_that_the_fakes_keep_state() -> None:
    kept: list[Order] = []

    def ships(order: Order) -> str:
        kept.append(order)
        return "shipped"

    def put(world: World) -> Callable[[], object]:
        Shop().put(world)
        world.fake(ship, ships)
        return lambda: list(kept)

    assert "the fakes keep state from case to case" in str(broken(put, "undisturbed"))


def test_an_assertion_in_a_fake_breaks_the_case_and_says_so() -> None:
    def put(world: World) -> None:
        Shop().put(world)
        world.fake(ship, raises=AssertionError("the wrong address"))

    assert "the wrong address" in str(broken(put, "undisturbed"))


async def find_parcel(order: Order, ctx: StepContext) -> Done[str] | NotDone:
    raise AssertionError(order)


@step(probe=find_parcel)
async def pack(order: Order) -> Result[str, str]:
    raise AssertionError(order)


@saga("packing")
def packing(order: StepRef[Order]) -> StepRef[str]:
    return pack(order)


@step
async def fetch(order: Order) -> Order:
    FETCHED.append(order)
    return order


FETCHED: list[Order] = []


@saga("fetching")
def fetching(order: StepRef[Order]) -> StepRef[str]:
    return pack(fetch(order))


def packs(world: World) -> None:
    world.fake(pack, returns="a parcel")


def test_a_step_that_was_left_without_a_fake_fails_each_case_and_is_not_called() -> None:
    FETCHED.clear()
    told = r"(?s)^undisturbed: WorldError: fetch was called, and has no fake\n.*world.fake\('fetch', ...\), or only_fakes=False"
    for case in laws(fetching, packs, Order("7")):
        with pytest.raises(LawError, match=told) as broken:
            case()
        assert "World(only_fakes=True)" in broken.value.history, "the program fails as the case does"
    assert not FETCHED


def test_a_step_without_a_fake_runs_itself_where_that_is_said_or_no_step_is_faked() -> None:
    def probes(world: World) -> None:
        world.fake_probe(fetch, lambda order: NOT_DONE)

    for fakes_of, only_fakes in ((packs, False), (probes, None)):
        FETCHED.clear()
        with contextlib.suppress(LawError):  # where pack is not faked, it fails
            laws(fetching, fakes_of, Order("7"), only_fakes=only_fakes)[0]()
        assert FETCHED
    FETCHED.clear()
    with pytest.raises(LawError, match="fetch was called, and has no fake"):
        laws(fetching, probes, Order("7"), only_fakes=True)[0]()
    assert not FETCHED


@pytest.mark.parametrize("answer", [Success("a parcel"), Failure("no paper")], ids=str)
async def test_a_step_that_answers_by_a_result_keeps_every_law(answer: Result[str, str]) -> None:
    def put(world: World) -> None:
        world.fake(pack, lambda order: answer)

    lie = "crash before pack, and probe of pack says yes, and it is not so"
    judged: set[str] = set()
    for case in laws(packing, put, Order("7")):
        with contextlib.suppress(LawNotJudgedError):
            await case.run()
            judged.add(case.id)
    assert (lie in judged) == isinstance(answer, Success), "a probe lies of what there might be"
    assert len(judged) > 8


def test_laws_of_what_is_none_are_refused() -> None:
    given: list[tuple[Any, ...]] = [("order", fakes, Order("7")), (order_saga, None, Order("7")), (order_saga, 5, 5)]
    for each in given:
        with pytest.raises(SagaDefinitionError, match="HINT"):
            laws(*each)
    wrong: Any = 5
    with pytest.raises(PayloadError):
        laws(order_saga, fakes, wrong)
    with pytest.raises(PayloadError):
        laws(order_saga, fakes, Order("7"), events=[(approval, Order("7"))])
    others: list[Any] = [None, 5, "approval", {approval: Approval("ann")}, [approval], [(approval,)], [("approval", 1)]]
    for events in others:
        with pytest.raises(SagaDefinitionError, match="HINT"):
            laws(order_saga, fakes, Order("7"), events=events)


def test_an_engine_that_changes_a_key_over_repeats_breaks_a_law(monkeypatch: pytest.MonkeyPatch) -> None:
    usual: Any = call.context_of

    def with_the_attempt(*given: Any) -> Any:
        context: Any = usual(*given)
        return msgspec.structs.replace(context, idempotency_key=f"{context.idempotency_key}:{context.attempt}")

    monkeypatch.setattr(execution, "context_of", with_the_attempt)
    found = broken(lambda world: (fakes(world), None)[1], "crash after reserve")
    assert "under another idempotency key" in str(found)


def test_books_by_the_idempotency_key_are_compared() -> None:
    def by_key(world: World) -> Callable[[], object]:
        taken: dict[str, int] = {}

        def charges(order: Order, ctx: StepContext) -> str:
            return f"{taken.setdefault(ctx.idempotency_key, order.cents)} cents"

        def finds(order: Order, ctx: StepContext) -> Done[str] | NotDone:
            return Done(f"{taken[ctx.idempotency_key]} cents") if ctx.idempotency_key in taken else NOT_DONE

        def refunds(order: Order, receipt: str, ctx: StepContext) -> None:
            taken.pop(f"{ctx.operation}:execute", None)

        world.fake(charge, charges)
        world.fake_probe(charge, finds)
        world.fake_undo(charge, refunds)
        world.fake(reserve, returns="reserved")
        world.fake(ship, returns="shipped")
        return lambda: dict(taken)

    for case in laws(order_saga, by_key, Order("1"), events=[(approval, Approval("ann"))]):
        case()


def constant(name: str) -> Callable[[Order], str]:
    return lambda _: name


def named_waits(*names: str) -> SagaDefinition[Order, str]:
    @saga("named waits")
    def named(order: StepRef[Order]) -> StepRef[str]:
        for name in names:
            approval.wait(order, correlate=constant(name), timeout=timedelta(days=1), step_id=f"wait {name}")
        return ship(order)

    return named


def ships(world: World) -> None:
    world.fake(ship, returns="shipped")


@pytest.mark.parametrize("about", ["another", None])
def test_an_event_about_another_thing_than_the_wait_is_no_fault_of_the_saga(about: str | None) -> None:
    sent = (approval, Approval("ann")) if about is None else (approval, Approval("ann"), about)
    for case in laws(named_waits("order-1"), ships, Order("1"), events=[sent]):
        with pytest.raises(SagaDefinitionError, match=r"waits for 'approval' about another thing than the events"):
            case()


@pytest.mark.parametrize("names", [("one", "other"), ("other", "one")])
def test_each_wait_for_an_event_is_sent_the_one_that_is_about_its_thing(names: tuple[str, str]) -> None:
    events = [(approval, Approval("ann"), name) for name in ("one", "other")]
    for case in laws(named_waits(*names), ships, Order("1"), events=events):
        case()


def test_a_case_that_waits_for_another_thing_than_the_undisturbed_saga_is_not_judged() -> None:
    @saga("by the receipt")
    def by_the_receipt(order: StepRef[Order]) -> StepRef[str]:
        receipt = charge(order)
        approval.wait(receipt, correlate=lambda told: told, timeout=timedelta(days=1))
        return ship(order)

    def charges_anew(world: World) -> None:
        receipts = iter(["first", "second"])
        world.fake(charge, lambda _: next(receipts))
        world.fake_probe(charge, returns=NOT_DONE)
        world.fake(ship, returns="shipped")

    events = [(approval, Approval("ann"), "first")]
    cases = {case.id: case for case in laws(by_the_receipt, charges_anew, Order("1"), events=events)}
    with pytest.raises(LawNotJudgedError, match="about another thing"):
        cases["crash after charge"]()


@pytest.mark.parametrize("about", [5, "", b"1", "x" * 256], ids=["number", "nothing", "bytes", "too long"])
def test_a_correlation_id_that_is_none_is_refused_at_once(about: Any) -> None:  # Any: the checkers refuse it
    with pytest.raises(PayloadError, match="a correlation id must be a string"):
        laws(order_saga, ships, Order("1"), events=[(approval, Approval("ann"), about)])
