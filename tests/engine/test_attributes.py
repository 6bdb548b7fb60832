"""An operator finds sagas by the values that their definition names, as they were last true."""

from __future__ import annotations

import asyncio
import enum
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NoReturn
from uuid import UUID

import asyncpg
import msgspec
import pytest
from typing_extensions import override

from saga_fn import (
    ArchivedSaga,
    Attribute,
    Event,
    FixedRetry,
    HasValue,
    MemoryStore,
    PayloadError,
    Retention,
    SagaAdmin,
    SagaBuilder,
    SagaFilter,
    SagaOrchestrator,
    SagaStatus,
    StepRef,
    Unreadable,
    saga,
    step,
)
from saga_fn.codec.searchable import ValueKind
from saga_fn.store import listing, postgres_lists
from tests.support.ages import later
from tests.support.stores import Make
from tests.support.until import SOON
from tests.support.wire import wired


class Region(enum.StrEnum):
    EU = "eu"
    US = "us"


class Order(msgspec.Struct, frozen=True):
    customer: str
    region: Region | None = None
    price: Decimal = Decimal(1)
    goes: str = "well"


class Paid(msgspec.Struct, frozen=True):
    total: Decimal
    on: date
    goes: str


customer = Attribute("customer", str)
region = Attribute("region", Region)
total = Attribute("total", Decimal)
paid_on = Attribute("paid on", date)
ANYTHING = Attribute("anything", int)


async def unpay(order: Order, paid: Paid | None) -> None:
    pass


@step(compensate=unpay)
async def pay(order: Order) -> Paid:
    return Paid(order.price * 2, date(2026, 11, 29), order.goes)


@step(retry_policy=FixedRetry(max_attempts=1))
async def ship(paid: Paid) -> str:
    if paid.goes == "wrong":
        raise RuntimeError("no ship")
    return paid.goes


def total_of(paid: Paid) -> Decimal:
    if paid.goes == "unknown":
        raise KeyError("who knows")
    return paid.total


@saga("order", attributes=(customer, region, total, paid_on))
def order_saga(order: StepRef[Order]) -> StepRef[str]:
    total.set(order, using=lambda order: order.price)
    paid = pay(order)
    total.set(paid, using=total_of)
    paid_on.set(paid, using=lambda paid: paid.on)
    return ship(paid)


async def found(admin: SagaAdmin, wanted: SagaFilter) -> list[UUID]:
    return [row.id async for row in admin.list_all(wanted)]


async def test_sagas_are_found_by_what_they_were_started_with_and_what_their_steps_gave(make: Make) -> None:
    async with make() as orchestrator:
        handle, admin = orchestrator.register(order_saga), SagaAdmin(orchestrator)
        runs = [
            await handle.start(Order(f"c-{number % 3}", Region.EU if number else None, Decimal(number)))
            for number in range(6)
        ]
        many = await handle.start_many([Order("many", Region.US, Decimal(100)) for _ in range(3)])
        await orchestrator.run_until_idle()
        ids = [run.id for run in runs]
        assert await found(admin, SagaFilter(attribute=customer.equals("c-2"))) == [ids[5], ids[2]]
        assert await found(admin, SagaFilter(attribute=region.equals(Region.EU))) == ids[:0:-1]
        assert await found(admin, SagaFilter(attribute=total.between(Decimal(4), Decimal("8.0")))) == ids[4:1:-1]
        assert await found(admin, SagaFilter(attribute=total.at_most(Decimal(2)))) == [ids[1], ids[0]]
        assert len(await found(admin, SagaFilter(attribute=total.at_least(Decimal(10))))) == 4
        assert {run.id for run in many} == {*await found(admin, SagaFilter(attribute=customer.equals("many")))}
        assert await found(admin, SagaFilter(attribute=customer.equals("nobody"))) == []
        assert str(await admin.count(SagaFilter(saga_name="order", attribute=customer.equals("many")))) == "3"
        assert dict((await admin.get_saga(ids[5])).attributes) == {
            "customer": "c-2",
            "region": "eu",
            "total": Decimal(10),
            "paid on": date(2026, 11, 29),
        }
        assert "region" not in (await admin.get_saga(ids[0])).attributes
        for row in (await admin.list(SagaFilter(saga_name="order"))).rows:
            assert dict(row.attributes) == dict((await admin.get_saga(row.id)).attributes)


async def test_the_rest_of_a_filter_narrows_the_sagas_with_a_value(make: Make) -> None:
    async with make() as orchestrator:
        handle, admin = orchestrator.register(order_saga), SagaAdmin(orchestrator)
        well = await handle.start(Order("c"))
        wrong = await handle.start(Order("c", goes="wrong"))
        await orchestrator.run_until_idle()
        value = customer.equals("c")
        assert await found(admin, SagaFilter(attribute=value)) == [wrong.id, well.id]
        assert await found(admin, SagaFilter(attribute=value, status=SagaStatus.COMPENSATED)) == [wrong.id]
        assert await found(admin, SagaFilter(attribute=value, version=2)) == []
        assert await found(admin, SagaFilter(attribute=value, active=True)) == []
        begun = (await admin.get_saga(wrong.id)).created_at
        assert await found(admin, SagaFilter(attribute=value, created_before=begun)) == [well.id]
        assert await found(admin, SagaFilter(attribute=total.at_most(Decimal(9)), created_from=begun)) == [wrong.id]
        with pytest.raises(PayloadError, match="two indexes"):
            await admin.list(SagaFilter(attribute=value, aggregation_id="k"))
        with pytest.raises(PayloadError, match="the newest first"):
            await admin.list(SagaFilter(attribute=value), oldest_first=True)


async def test_a_rolled_back_saga_keeps_what_was_last_true(make: Make) -> None:
    async with make() as orchestrator:
        handle, admin = orchestrator.register(order_saga), SagaAdmin(orchestrator)
        run = await handle.start(Order("c", price=Decimal(4), goes="wrong"))
        await orchestrator.run_until_idle()
        snapshot = await admin.get_saga(run.id)
        assert snapshot.status is SagaStatus.COMPENSATED
        assert snapshot.attributes["total"] == Decimal(8)


async def test_a_step_is_done_though_an_attribute_cannot_be_computed_of_its_output(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    async with make() as orchestrator:
        handle, admin = orchestrator.register(order_saga), SagaAdmin(orchestrator)
        run = await handle.start(Order("c", goes="unknown"))
        await orchestrator.run_until_idle()
        snapshot = await admin.get_saga(run.id)
        assert snapshot.status is SagaStatus.COMPLETED
        assert isinstance(snapshot.attributes["total"], Unreadable)
        assert snapshot.attributes["customer"] == "c"
        assert await found(admin, SagaFilter(attribute=total.at_least(Decimal(0)))) == []
    (line,) = [record.getMessage() for record in caplog.records if "attribute" in record.getMessage()]
    assert line.endswith(
        "total could not be computed of the output of step pay: KeyError; no search by a value finds it"
    )
    assert "who knows" not in line


@pytest.mark.parametrize(
    "order, fact",
    [
        (Order("c\x00"), "attribute 'customer' cannot have this value: a text with a NUL"),
        (Order("c" * 256), "a text of 256 characters"),
        (Order("c", price=Decimal("1E5000")), "beyond 10 to the power"),
    ],
)
async def test_a_start_whose_attribute_cannot_be_is_refused_before_anything_is_written(
    make: Make, order: Order, fact: str
) -> None:
    async with make() as orchestrator:
        handle, admin = orchestrator.register(order_saga), SagaAdmin(orchestrator)
        with pytest.raises(PayloadError, match=fact):
            await handle.start(order)
        with pytest.raises(PayloadError, match=fact):
            await handle.start_many([Order("good"), order])
        assert (await admin.list()).rows == ()


APPROVED = Event("approved", str)
approver = Attribute("approver", str)


def waiting(**how: timedelta) -> SagaBuilder[Order]:
    builder = SagaBuilder(Order, attributes=(approver, customer))
    approved = builder.add_event(APPROVED)
    builder.set_attribute(approver, approved)
    builder.set_attribute(customer, builder.initial, input_map=lambda order: order.customer.upper())
    builder.add_step(pay, depends_on=builder.initial)
    return builder


async def test_an_event_sets_an_attribute_when_a_wait_takes_it(make: Make) -> None:
    async with make() as orchestrator:
        handle, admin = orchestrator.register("wait", waiting().build()), SagaAdmin(orchestrator)
        run = await handle.start(Order("c"), aggregation_id="k")
        await orchestrator.run_due()
        assert dict((await admin.get_saga(run.id)).attributes) == {"customer": "C"}
        await orchestrator.to(("wait", "k"), APPROVED).send("the boss")
        await orchestrator.run_until_idle()
        assert (await admin.get_saga(run.id)).attributes["approver"] == "the boss"


async def test_an_output_that_a_person_gives_sets_an_attribute_whoever_owns_the_saga(make: Make) -> None:
    async with make(concurrency=0) as operator:
        handle, admin = operator.register(order_saga), SagaAdmin(operator)
        run = await handle.start(Order("c"))
        given = Paid(Decimal(77), date(2026, 1, 1), "well")
        await admin.skip_step(run.id, "pay", given, not_begun=True)
        assert (await admin.get_saga(run.id)).attributes["total"] == Decimal(77)
        assert await found(admin, SagaFilter(attribute=paid_on.equals(date(2026, 1, 1)))) == [run.id]


async def test_a_start_in_a_callers_transaction_brings_its_attributes_or_nothing(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        handle, admin = orchestrator.register(order_saga), SagaAdmin(orchestrator)
        transaction = connection.transaction()
        await transaction.start()
        await handle.start(Order("gone"), connection=connection)
        await transaction.rollback()
        async with connection.transaction():
            kept = await handle.start(Order("kept"), connection=connection)
        assert await found(admin, SagaFilter(attribute=customer.equals("kept"))) == [kept.id]
        assert await found(admin, SagaFilter(attribute=customer.equals("gone"))) == []
    await connection.close()


DISAGREE = """
    SELECT count(*) FROM saga_fn.saga AS s
    WHERE EXISTS (SELECT 1 FROM saga_fn.saga_journal AS j WHERE j.saga_id = s.id AND j.kind = 'step_succeeded' AND j.step_id = 'pay')
          <> EXISTS (SELECT 1 FROM saga_fn.saga_attribute AS a WHERE a.saga_id = s.id AND a.key = 'paid on')
"""


@pytest.mark.parametrize("which", ["request", "answer"])
async def test_a_value_is_there_exactly_when_the_success_that_set_it_is(
    dsn: str, which: Literal["request", "answer"]
) -> None:
    async with wired(dsn) as wire, SagaOrchestrator(wire.dsn) as orchestrator:
        handle = orchestrator.register(order_saga)
        looker = await asyncpg.connect(dsn)
        wire.lose(which, b'"on":"2026-11-29"')
        runs = await handle.start_many([Order(str(number)) for number in range(20)])
        ends = asyncio.gather(*(run.result(SOON) for run in runs))
        looks = 0
        while not ends.done():
            assert await looker.fetchval(DISAGREE) == 0
            looks += 1
        assert (await ends, wire.cuts) == (["well"] * 20, 1)
        assert looks > 1
        assert await looker.fetchval("SELECT count(*) FROM saga_fn.saga_attribute WHERE key = 'paid on'") == 20
        await looker.close()


async def test_a_new_version_may_name_other_attributes_and_give_a_name_another_type(make: Make) -> None:
    number = Attribute("customer", int)
    later = SagaBuilder(Order, attributes=(number, region))
    later.set_attribute(number, later.initial, input_map=lambda order: len(order.customer))
    later.add_step(pay, depends_on=later.initial)
    async with make() as orchestrator:
        old, admin = orchestrator.register(order_saga), SagaAdmin(orchestrator)
        one = await old.start(Order("c-1"))
        new = orchestrator.register("order", later.build(), version=2)
        two = await new.start(Order("c-1"))
        await orchestrator.run_until_idle()
        assert await found(admin, SagaFilter(attribute=customer.equals("c-1"))) == [one.id]
        assert await found(admin, SagaFilter(attribute=number.equals(3))) == [two.id]
        assert await found(admin, SagaFilter(attribute=number.at_least(0))) == [two.id]


async def test_an_attribute_that_no_saga_has_is_refused_with_those_that_there_are(make: Make) -> None:
    async with make() as orchestrator:
        handle, admin = orchestrator.register(order_saga), SagaAdmin(orchestrator)
        assert await found(admin, SagaFilter(attribute=customer.equals("nobody yet"))) == []
        await handle.start(Order("c"))
        for unknown in (Attribute("custmer", str).equals("c"), Attribute("customer", int).equals(3)):
            with pytest.raises(
                PayloadError, match=r"no saga has an attribute 'cust.*\n.*customer, paid on, region, total"
            ):
                await admin.list(SagaFilter(attribute=unknown))
        with pytest.raises(PayloadError, match="no saga has an attribute"):
            await admin.count(SagaFilter(saga_name="other", attribute=customer.equals("c")))
    async with make(concurrency=0) as stranger:  # it knows no definition, and the attribute by its name and type alone
        assert (await SagaAdmin(stranger).list(SagaFilter(attribute=Attribute("customer", str).equals("c")))).rows


async def test_a_page_looks_at_a_bounded_number_of_sagas(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (listing, postgres_lists):
        monkeypatch.setattr(room, "MOST_WALKED", 20)
    monkeypatch.setattr(postgres_lists, "_MORE", 8)
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        handle, admin = orchestrator.register(order_saga), SagaAdmin(orchestrator)
        await handle.start_many([Order("c") for _ in range(20)])
        value, failed = customer.equals("c"), SagaStatus.FAILED
        assert len(await found(admin, SagaFilter(attribute=value))) == 20
        assert await found(admin, SagaFilter(attribute=total.at_most(Decimal(1)), status=failed)) == []
        await handle.start_many([Order("c") for _ in range(30)])
        assert len(await found(admin, SagaFilter(attribute=value))) == 50
        with pytest.raises(Exception, match="few of more than 20 sagas with that value"):
            await admin.list(SagaFilter(attribute=value, status=failed), limit=5)
        with pytest.raises(Exception, match="more than 20 sagas have a value in that range"):
            await admin.list(SagaFilter(attribute=total.at_most(Decimal(1))))


async def test_pages_by_a_value_go_on_where_the_page_before_ended(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        handle, admin = orchestrator.register(order_saga), SagaAdmin(orchestrator)
        runs = await handle.start_many([Order("c") for _ in range(7)])
        for value in (customer.equals("c"), total.at_least(Decimal(0))):
            seen, after = list[UUID](), None
            while True:
                page = await admin.list(SagaFilter(attribute=value), limit=3, after=after)
                seen += [row.id for row in page.rows]
                if (after := page.next) is None:
                    break
            assert sorted(seen) == sorted(run.id for run in runs)
            first = await admin.list(SagaFilter(attribute=value), limit=3)
            with pytest.raises(PayloadError, match="another filter"):
                await admin.list(SagaFilter(attribute=customer.equals("d")), after=first.next)


async def test_a_moment_and_a_flag_are_searched_by_and_come_back_as_what_they_are() -> None:
    at, urgent, owner = Attribute("at", datetime), Attribute("urgent", bool), Attribute("owner", UUID)
    builder = SagaBuilder(Order, attributes=(at, urgent, owner, ANYTHING))
    then = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    builder.set_attribute(at, builder.initial, input_map=lambda _: then)
    builder.set_attribute(urgent, builder.initial, input_map=lambda order: order.goes != "well")
    builder.set_attribute(owner, builder.initial, input_map=lambda _: UUID(int=7))
    builder.set_attribute(ANYTHING, builder.initial, input_map=lambda _: -5)
    builder.add_step(pay, depends_on=builder.initial)
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        handle, admin = orchestrator.register("typed", builder.build()), SagaAdmin(orchestrator)
        run = await handle.start(Order("c"))
        await run.result(SOON)
        assert dict((await admin.get_saga(run.id)).attributes) == {
            "anything": -5,
            "at": then,
            "owner": UUID(int=7),
            "urgent": False,
        }
        hits = [at.between(then, then), urgent.equals(value=False), owner.equals(UUID(int=7)), ANYTHING.at_most(-5)]
        misses = [at.at_least(then + timedelta(microseconds=1)), urgent.equals(value=True), ANYTHING.at_least(-4)]
        assert all([await found(admin, SagaFilter(attribute=each)) == [run.id] for each in hits])
        assert not any([await found(admin, SagaFilter(attribute=each)) for each in misses])


class Odd(Decimal):
    @override
    def as_tuple(self) -> NoReturn:
        raise KeyError("hostile")


class OddMoment(datetime):
    @override
    def utcoffset(self) -> NoReturn:
        raise KeyError("hostile")


def test_a_value_whose_class_raises_is_read_past_it_or_refused() -> None:
    assert total.equals(Odd("1.5")) == total.equals(Decimal("1.5"))
    with pytest.raises(PayloadError, match="its class raises KeyError"):
        Attribute("at", datetime).equals(OddMoment.now(UTC))


@pytest.mark.parametrize("wrong", [(5, "s", "x", None), ("a", "s", "x", None), ("a", ValueKind.TEXT, b"x", None)])
def test_a_condition_that_is_put_together_by_hand_is_refused(wrong: tuple[Any, Any, Any, Any]) -> None:  # Any: mistakes
    with pytest.raises(PayloadError, match="by hand"):
        HasValue(*wrong)


@pytest.mark.parametrize("fault", [KeyError, asyncio.CancelledError, GeneratorExit])
async def test_a_function_that_raises_anything_refuses_the_start(
    memory: MemoryStore, fault: type[BaseException]
) -> None:
    def value(_: Order) -> str:
        raise fault

    @saga("faulty", attributes=(customer,))
    def faulty(order: StepRef[Order]) -> StepRef[Paid]:
        customer.set(order, using=value)
        return pay(order)

    handle = SagaOrchestrator(memory).register(faulty)
    with pytest.raises(PayloadError, match="cannot be computed"):
        await handle.start(Order("c"))


async def test_an_archive_has_the_attributes_of_a_saga(make: Make) -> None:
    kept: list[ArchivedSaga] = []

    async def archive(sagas: Sequence[ArchivedSaga]) -> None:
        kept.extend(sagas)

    async with make() as orchestrator:
        handle = orchestrator.register(order_saga)
        await (await handle.start(Order("c-1", Region.EU, Decimal("1.50")))).result(SOON)
        await later(orchestrator, timedelta(days=9))
        retention = Retention(completed=timedelta(days=1), archive=archive)
        assert (await SagaAdmin(orchestrator).prune("order", retention=retention)).sagas == 1
        (saga,) = kept
        told = {"customer": "c-1", "region": "eu", "total": "3", "paid on": "2026-11-29"}
        assert json.loads(saga.to_json())["attributes"] == told
