"""Journals that were exported, folded against another build's definitions, as a user's test does it before a deploy."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from saga_fn import (
    Event,
    FixedRetry,
    JsonlArchive,
    MemoryStore,
    Retention,
    SagaAdmin,
    SagaDefinition,
    SagaError,
    SagaNotFoundError,
    SagaOrchestrator,
    StepRef,
    saga,
    step,
)
from saga_fn.engine.hold.roster import Roster
from saga_fn.testing import Replayed, ReplayError, ReplayFinding, ReplayKind, replay

AnySaga = SagaDefinition[Any, Any]  # Any: the builds differ in their types


class Order(msgspec.Struct, frozen=True):
    order_id: str


class Receipt(msgspec.Struct, frozen=True):
    number: int


paid = Event("paid", Receipt)


async def undo(inp: Order, out: Order) -> None: ...


@step(compensate=undo)
async def reserve(order: Order) -> Order:
    return order


@step(retry_policy=FixedRetry(max_attempts=3, delay=timedelta(seconds=5)))
async def ship(receipt: Receipt) -> Receipt:
    if receipt.number < 0:
        raise ValueError(receipt)
    return receipt


@saga("sale")
def sale(order: StepRef[Order]) -> StepRef[Receipt]:
    return ship(paid.wait(after=reserve(order)))


def build(definition: AnySaga, *, version: int = 1) -> SagaOrchestrator:
    made = SagaOrchestrator(MemoryStore())
    made.register(definition, version=version)
    return made


async def exported(definition: AnySaga, *, number: int | None = 1) -> list[str]:
    """A saga of production, exported: it has ended, or waits for its event."""
    orchestrator = build(definition)
    run = await orchestrator.register(definition).start(Order("1"))
    await orchestrator.run_until_idle()
    if number is not None:
        await orchestrator.to(run.id, paid).send(Receipt(number))
        await orchestrator.run_until_idle()
    return [await SagaAdmin(orchestrator).export(run.id)]


def kinds(found: Replayed) -> list[tuple[ReplayKind, int | None, str | None]]:
    return [(each.kind, each.entry, each.step) for each in found]


@pytest.mark.parametrize("number", [None, 1, -1])
async def test_the_build_that_ran_a_saga_finds_nothing(number: int | None) -> None:
    found = replay(await exported(sale, number=number), build(sale))
    assert (found.sagas, list(found)) == (1, [])
    assert found.entries > 1
    found.raise_for_findings()


async def test_an_archive_is_replayed_without_a_database(tmp_path: Path) -> None:
    now = 0.0
    path = tmp_path / "archive.jsonl"
    kept = Retention(completed=timedelta(hours=1), archive=JsonlArchive(path))
    orchestrator = SagaOrchestrator(MemoryStore(clock=lambda: now))

    @saga("sale", retention=kept)
    def with_archive(order: StepRef[Order]) -> StepRef[Order]:
        return reserve(order)

    run = await orchestrator.register(with_archive).start(Order("1"))
    await orchestrator.run_until_idle()
    now = timedelta(days=30).total_seconds()
    assert (await SagaAdmin(orchestrator).prune("sale")).sagas == 1
    with path.open("a") as file:
        file.write('{"torn')
    found = replay(path, build(sale))
    assert (found.sagas, found.torn) == (1, 1)
    assert kinds(found) == [(ReplayKind.OTHER_COURSE, 3, "paid"), (ReplayKind.INCOMPLETE, None, None)]
    assert [each.saga_id for each in found] == [run.id, None]
    with path.open("a") as file:
        file.write("\n" + path.read_text().splitlines()[0] + "\n")  # as the next process does
    again = replay(path, build(sale))
    assert (again.torn, kinds(again)) == (1, [(ReplayKind.OTHER_COURSE, 3, "paid")])


async def test_a_build_that_goes_on_otherwise_is_found_where_it_does() -> None:
    @step
    async def tell(receipt: Receipt) -> Receipt:
        return receipt

    @saga("sale")
    def longer(order: StepRef[Order]) -> StepRef[Receipt]:
        return tell(ship(paid.wait(after=reserve(order))))

    lines = await exported(sale)
    (found,) = replay(lines, build(longer))
    assert (found.kind, found.step, found.event) == (ReplayKind.OTHER_COURSE, "tell", "step_succeeded")
    assert "begins" in found.fact
    assert not found.stands_there
    assert "version=2" in found.hint


async def test_a_build_without_a_step_that_has_begun_is_found_unfit_and_what_stands_there_is_named() -> None:
    @saga("sale")
    def shorter(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship(paid.wait(after=order))

    found = replay(await exported(sale, number=None), build(shorter))
    unfit = next(each for each in found if each.kind is ReplayKind.UNFIT)
    assert (unfit.step, unfit.entry, unfit.until, unfit.stands_there) == ("reserve", 2, 3, True)
    with pytest.raises(ReplayError, match="does not have it") as raised:
        found.raise_for_findings()
    assert isinstance(raised.value, AssertionError)
    assert raised.value.findings == found.findings


class Renamed(msgspec.Struct, frozen=True):
    code: str


async def forget(inp: Order, out: Renamed) -> None: ...


async def test_a_type_that_cannot_read_what_is_stored_is_found() -> None:
    @step(step_id="reserve", compensate=forget)
    async def reserve_anew(order: Order) -> Renamed:
        return Renamed(order.order_id)

    @saga("sale")
    def changed(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship(paid.wait(after=reserve_anew(order)))

    (found,) = replay(await exported(sale), build(changed))
    assert (found.kind, found.step, found.event) == (ReplayKind.UNREADABLE, "reserve", "step_succeeded")
    assert "the output of step 'reserve'" in found.fact
    assert "default" in found.hint


async def test_the_payload_of_an_event_and_the_initial_data_are_read_too() -> None:
    renamed = Event("paid", Renamed)

    async def undo_anew(inp: Renamed, out: Order) -> None: ...

    @step(step_id="reserve", compensate=undo_anew)
    async def reserve_anew(order: Renamed) -> Order:
        return Order(order.code)

    @step(step_id="ship", retry_policy=FixedRetry(max_attempts=3, delay=timedelta(seconds=5)))
    async def ship_anew(receipt: Renamed) -> Receipt:
        return Receipt(len(receipt.code))

    @saga("sale")
    def changed(order: StepRef[Renamed]) -> StepRef[Receipt]:
        return ship_anew(renamed.wait(after=reserve_anew(order)))

    found = replay(await exported(sale), build(changed))
    assert [(each.entry, each.kind) for each in found] == [(1, ReplayKind.UNREADABLE)], "the first one of its kind"
    lines = [line.replace('"input":{"order_id"', '"input":{"code"') for line in await exported(sale)]
    lines = [line.replace('"payload":{"order_id"', '"payload":{"code"', 1) for line in lines]
    (event,) = [each for each in replay(lines, build(changed)) if each.event == "event_received"]
    assert "the event 'paid'" in event.fact


async def test_fewer_attempts_and_other_delays_are_told_apart_and_may_pass() -> None:
    def with_retry(policy: FixedRetry) -> SagaOrchestrator:
        @step(step_id="ship", retry_policy=policy)
        async def shipped(receipt: Receipt) -> Receipt:
            return receipt

        @saga("sale")
        def changed(order: StepRef[Order]) -> StepRef[Receipt]:
            return shipped(paid.wait(after=reserve(order)))

        return build(changed)

    lines = await exported(sale, number=-1)
    slower = replay(lines, with_retry(FixedRetry(max_attempts=3, delay=timedelta(seconds=7))))
    assert [each.kind for each in slower] == [ReplayKind.OTHER_MOMENTS]
    slower.raise_for_findings(but=[ReplayKind.OTHER_MOMENTS])
    with pytest.raises(ReplayError):
        slower.raise_for_findings()
    fewer = replay(lines, with_retry(FixedRetry(max_attempts=2, delay=timedelta(seconds=5))))
    assert [(each.kind, each.step) for each in fewer] == [(ReplayKind.OTHER_COURSE, "ship")]
    assert "is FAILED by this build, and was RETRYING" in next(iter(fewer)).fact


async def test_a_renamed_step_is_one_finding_with_the_option_that_keeps_its_name() -> None:
    @step
    async def hold(order: Order) -> Order:
        return order

    @saga("sale")
    def renamed(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship(paid.wait(after=hold(order)))

    @saga("sale")
    def kept(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship(paid.wait(after=hold(order, step_id="reserve")))

    for number in (None, 1):
        lines = await exported(sale, number=number)
        before_it_began, found = replay(lines, build(renamed))
        assert (before_it_began.entry, before_it_began.fact) == (1, "after it step 'hold' begins by this build")
        assert (found.kind, found.step, found.entry) == (ReplayKind.UNFIT, "reserve", 2)
        assert found.hint == (
            "a step that was renamed keeps its name by @step(step_id='reserve'), and a wait by wait(step_id='reserve'); "
            "else register the changed definition beside the old one: register(definition, version=2)"
        )
        assert found.stands_there is (number is None)
        assert list(replay(lines, build(kept))) == []


async def test_a_wait_whose_event_was_renamed_keeps_its_name_by_the_option_that_is_told() -> None:
    settled = Event("settled", Receipt)

    @saga("sale")
    def renamed(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship(settled.wait(after=reserve(order)))

    @saga("sale")
    def kept(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship(settled.wait(after=reserve(order), step_id="paid"))

    lines = await exported(sale, number=None)
    (found,) = [each for each in replay(lines, build(renamed)) if each.kind is ReplayKind.UNFIT]
    assert "and a wait by wait(step_id='paid')" in found.hint
    assert list(replay(lines, build(kept))) == []


async def test_a_step_that_is_gone_and_was_not_taken_has_no_status_in_this_build() -> None:
    @step
    async def tell(order: Order) -> Order:
        return order

    @saga("sale")
    def telling(order: StepRef[Order]) -> StepRef[Order]:
        reserved = reserve(order)
        tell.when(lambda order: order.order_id == "2")(order)
        return reserved

    @saga("sale")
    def silent(order: StepRef[Order]) -> StepRef[Order]:
        return reserve(order)

    orchestrator = build(telling)
    run = await orchestrator.register(telling).start(Order("1"))
    await orchestrator.run_until_idle()
    (found,) = replay([await SagaAdmin(orchestrator).export(run.id)], build(silent))
    assert found.fact == "after it step 'tell' was SKIPPED, and this build has no such step"


async def test_a_live_saga_that_stands_where_a_build_does_not_fit_is_named_as_such() -> None:
    @saga("sale")
    def waits_first(order: StepRef[Order]) -> StepRef[Receipt]:
        return paid.wait(after=order)

    @saga("sale")
    def reserves_before(order: StepRef[Order]) -> StepRef[Receipt]:
        return paid.wait(after=reserve(order))

    orchestrator = build(waits_first)
    run = await orchestrator.register(waits_first).start(Order("1"))
    lines = [await SagaAdmin(orchestrator).export(run.id)]
    unfit = next(each for each in replay(lines, build(reserves_before)) if each.kind is ReplayKind.UNFIT)
    assert unfit.stands_there
    assert "follows step 'reserve'" in unfit.fact
    assert "v1" in str(unfit)
    assert "HINT: register the changed definition beside the old one: register(definition, version=2)" in str(unfit)


async def test_a_definition_that_the_build_lacks_is_told_once() -> None:
    lines = [*await exported(sale), *await exported(sale)]
    found = replay(lines, build(sale, version=2))
    assert (found.sagas, found.found) == (2, 1)
    (missing,) = found
    assert (missing.kind, missing.saga_name, missing.version) == (ReplayKind.NOT_REGISTERED, "sale", 1)


async def test_a_saga_that_stands_in_an_export_twice_is_replayed_once() -> None:
    assert replay(await exported(sale) * 2, build(sale)).sagas == 1


async def test_an_export_without_its_plan_is_folded_by_this_builds_alone() -> None:
    @saga("sale")
    def shorter(order: StepRef[Order]) -> StepRef[Order]:
        return reserve(order)

    (line,) = await exported(sale)
    fields = json.loads(line)
    del fields["plans"]
    assert list(replay([json.dumps(fields)], build(sale))) == []
    (found,) = replay([json.dumps(fields)], build(shorter))
    assert found.kind is ReplayKind.REFUSED
    assert "lacks the plan" in found.hint

    @saga("sale")
    def longer(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship(ship(paid.wait(after=reserve(order))), step_id="again")

    (other,) = replay([json.dumps(fields)], build(longer))
    assert other.kind in (ReplayKind.REFUSED, ReplayKind.OTHER_COURSE)


def changed(line: str, change: Callable[[dict[str, Any]], object]) -> str:
    fields: dict[str, Any] = json.loads(line)
    change(fields)
    return json.dumps(fields)


Fields = dict[str, Any]  # Any: a line of JSON
DAMAGES: dict[str, tuple[Callable[[Fields], object], ReplayKind]] = {
    "another format": (lambda f: f.update(format=2), ReplayKind.DAMAGED),
    "no journal": (lambda f: f.pop("journal"), ReplayKind.DAMAGED),
    "a state that is none": (lambda f: f.update(state="AAAA"), ReplayKind.DAMAGED),
    "a plan that is none": (lambda f: f.update(plans={"x": "AAAA"}), ReplayKind.DAMAGED),
    "a plan of another name": (lambda f: f.update(plans={"x": next(iter(f["plans"].values()))}), ReplayKind.DAMAGED),
    "the first entry is missing": (lambda f: f["journal"].pop(0), ReplayKind.DAMAGED),
    "the last entry is missing": (lambda f: f["journal"].pop(), ReplayKind.NOT_FOLDED),
    "all entries are missing": (lambda f: f["journal"].clear(), ReplayKind.NOT_FOLDED),
    "an entry that is none": (lambda f: f["journal"][1].update(event="AAAA"), ReplayKind.DAMAGED),
    "an entry of before": (lambda f: f["journal"][2].update(event=f["journal"][1]["event"]), ReplayKind.NOT_FOLDED),
}


@pytest.mark.parametrize("change, kind", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_line_is_a_finding(change: Callable[[dict[str, Any]], object], kind: ReplayKind) -> None:
    (line,) = await exported(sale)
    found = replay([changed(line, change)], build(sale))
    assert [each.kind for each in found] == [kind]
    assert all(each.hint for each in found)


@pytest.mark.parametrize("text", ["<html>", "\x1f\x8b\x08", "no export", "tru", '"{', "\ud800"])
async def test_a_file_that_is_no_export_is_found_damaged(text: str) -> None:
    found = replay([text], build(sale))
    assert kinds(found) == [(ReplayKind.DAMAGED, None, None)]
    with pytest.raises(ReplayError):
        found.raise_for_findings()


@pytest.mark.parametrize("lines", [[], ["", "  "]], ids=["nothing", "blank lines"])
def test_an_export_that_holds_no_saga_is_found_incomplete(lines: list[str]) -> None:
    found = replay(lines, build(sale))
    assert kinds(found) == [(ReplayKind.INCOMPLETE, None, None)]
    with pytest.raises(ReplayError, match="the export holds no saga"):
        found.raise_for_findings()
    found.raise_for_findings(but=[ReplayKind.INCOMPLETE])


@pytest.mark.parametrize("whole", [0, 2], ids=["alone", "behind others"])
async def test_an_export_that_ends_in_the_middle_of_a_line_is_found_incomplete(whole: int) -> None:
    (line,), (torn,) = await exported(sale), await exported(sale)
    found = replay([*[line] * whole, torn[:99]], build(sale))
    assert (found.torn, kinds(found)) == (1, [(ReplayKind.INCOMPLETE, None, None)])
    assert next(iter(found)).line == whole + 1
    with pytest.raises(ReplayError, match="ends in the middle of a line"):
        found.raise_for_findings()


async def test_a_saga_whose_plan_nobody_knows_is_found_incomplete_where_nothing_else_is_found() -> None:
    @step(retry_policy=FixedRetry(max_attempts=7, delay=timedelta(seconds=5)))
    async def ship_often(receipt: Receipt) -> Receipt:
        raise AssertionError(receipt)

    @saga("sale")
    def other(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship_often(paid.wait(after=reserve(order)), step_id="ship")

    (line,) = await exported(sale)
    without = changed(line, lambda fields: fields.update(plans={}))
    of_another = changed(line, lambda fields: fields.update(plan="zz"))
    for lacking in (replay([without], build(other)), replay([of_another], build(sale))):
        assert kinds(lacking) == [(ReplayKind.INCOMPLETE, None, None)]
        assert "the plan that it ran by is not in the export" in str(next(iter(lacking)))


async def test_a_line_that_is_broken_in_two_is_found_damaged() -> None:
    (line,) = await exported(sale)
    found = replay([line[:99], line[99:]], build(sale))
    assert (found.torn, [each.kind for each in found]) == (1, [ReplayKind.DAMAGED])


async def test_nothing_in_an_export_raises_anything_else() -> None:
    (line,) = await exported(sale)
    draw = random.Random(7)
    orchestrator = build(sale)
    garbled = ["null", "[]", "1", "[" * 5000, "\ud800", '{"format": 1}', line + line, line[:-9]]
    for _ in range(300):
        text = list(line)
        for _ in range(draw.randint(1, 6)):
            text[draw.randrange(len(text))] = draw.choice('0123456789abcdefABC"{}[],:= \\')
        garbled.append("".join(text))
    found = replay(garbled, orchestrator)
    assert 1 <= found.torn < len(garbled) / 10, "what ends too early"
    assert all(isinstance(each, ReplayFinding) for each in found)
    assert "findings" in str(found)


def test_an_export_that_is_none_is_refused(tmp_path: Path) -> None:
    orchestrator = build(sale)
    given: list[Any] = [tmp_path / "missing.jsonl", tmp_path, "nul \0", 5, None, b"{}", [b"{}"], [None], {"a": "b"}]
    for each in given:
        with pytest.raises(SagaError, match="HINT"):
            replay(each, orchestrator)
    with pytest.raises(SagaError, match=r"the export 'nowhere\.jsonl' cannot be read"):
        replay(Path("nowhere.jsonl"), orchestrator)
    other: Any = "no orchestrator"
    with pytest.raises(SagaError, match="orchestrator"):
        replay([], other)
    unknown: Any = ["unknown"]
    with pytest.raises(SagaError, match="ReplayKind"):
        replay([], orchestrator).raise_for_findings(but=unknown)


async def test_an_export_of_no_saga_is_refused() -> None:
    with pytest.raises(SagaNotFoundError):
        await SagaAdmin(build(sale)).export(uuid4())


async def test_findings_are_bounded_and_counted() -> None:
    lines = ['{"format": 1}'] * 1200
    found = replay(lines, build(sale))
    assert (found.found, len(found.findings)) == (1200, 1000)
    assert found.by_kind == {ReplayKind.DAMAGED: 1200}
    with pytest.raises(ReplayError) as raised:
        found.raise_for_findings()
    assert len(str(raised.value).splitlines()) < 60


async def test_a_kind_that_is_found_often_hides_no_other() -> None:
    lines = ['{"format": 1}'] * 1001 + await exported(sale)
    found = replay(lines, SagaOrchestrator(MemoryStore()))
    assert found.by_kind == {ReplayKind.DAMAGED: 1001, ReplayKind.NOT_REGISTERED: 1}
    with pytest.raises(ReplayError) as raised:
        found.raise_for_findings(but=[ReplayKind.DAMAGED])
    assert [each.kind for each in raised.value.findings] == [ReplayKind.NOT_REGISTERED]
    found.raise_for_findings(but=[ReplayKind.DAMAGED, ReplayKind.NOT_REGISTERED])


DAY = timedelta(days=1)


def builds() -> dict[str, AnySaga]:
    """Builds that meet a saga which has reserved, and waits to be paid."""

    @saga("sale")
    def the_same(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship(paid.wait(timeout=DAY, after=reserve(order)))

    @saga("sale")
    def a_step_more(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship(ship(paid.wait(timeout=DAY, after=reserve(order))), step_id="again")

    @saga("sale")
    def a_step_less(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship(paid.wait(timeout=DAY, after=order))

    @saga("sale")
    def a_step_before(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship(paid.wait(timeout=DAY, after=reserve(reserve(order, step_id="book"))))

    @saga("sale")
    def another_wait(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship(paid.wait(timeout=DAY, after=reserve(order), step_id="payment"))

    @saga("sale")
    def a_step_between(order: StepRef[Order]) -> StepRef[Receipt]:
        return ship(paid.wait(timeout=DAY, after=reserve(reserve(order), step_id="book")))

    return dict(locals())


@pytest.mark.parametrize("name", builds())
async def test_a_worker_parks_just_what_a_replay_calls_unfit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody_else(*_: object) -> None:
        """No other process may have a build that fits: else the saga is left to it for a while."""

    monkeypatch.setattr(Roster, "pause_for_another", nobody_else)
    now = 0.0
    store = MemoryStore(clock=lambda: now)
    old = SagaOrchestrator(store)
    run = await old.register(builds()["the_same"]).start(Order("1"))
    await old.run_due()
    line = await SagaAdmin(old).export(run.id)
    foretold = any(
        each.kind is ReplayKind.UNFIT and each.stands_there for each in replay([line], build(builds()[name]))
    )
    new = SagaOrchestrator(store)
    handle = new.register(builds()[name])
    now = 2 * DAY.total_seconds()
    await new.run_due()
    assert ((await handle.attach(run.id).snapshot()).parked == "plan_changed") is foretold
    assert foretold is (name not in ("the_same", "a_step_more"))
