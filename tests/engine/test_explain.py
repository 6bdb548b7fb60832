"""A saga does as `explain` says: a verb that is told legal is accepted, and another is refused for the reason told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest

from saga_fn import (
    ActiveSagaAlreadyExistsError,
    Cause,
    Event,
    Explanation,
    FixedRetry,
    LeftOverKind,
    MemoryStore,
    Move,
    MoveKind,
    NotDone,
    OutcomeUnknown,
    SagaAdmin,
    SagaBuilder,
    SagaNotFoundError,
    SagaOrchestrator,
    SagaRun,
    SagaStateError,
    SagaStatus,
    StepRef,
    StoreRefusedError,
    Verb,
    VerbPreview,
    saga,
    step,
)
from saga_fn import Done as ItRan
from saga_fn.core.ids import StepId
from saga_fn.core.state import ParkReason
from saga_fn.explanation import StandingReason
from saga_fn.store.this_process import this_process
from tests.support.crash import born, dies
from tests.support.poison import Poison
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

HOURS = FixedRetry(max_attempts=3, delay=timedelta(hours=1))
Stage = Callable[[SagaOrchestrator], Awaitable[SagaRun[Done]]]


async def at_a_retry(orchestrator: SagaOrchestrator) -> SagaRun[Done]:
    run = await started(orchestrator, Shop(fails={"charge": 1}), retry=HOURS)
    await suspended(run)
    return run


async def at_an_undo(orchestrator: SagaOrchestrator) -> SagaRun[Done]:
    run = await started(orchestrator, Shop(fails={"ship": 1, "refund charge": 1}), undo=HOURS)
    await suspended(run)
    return run


async def in_doubt(orchestrator: SagaOrchestrator) -> SagaRun[Done]:
    calls: list[Order] = []

    async def charge(order: Order) -> Done:
        calls.append(order)
        if len(calls) == 1:
            raise TimeoutError("the bank has not answered")
        return Done("charge")

    async def refund(order: Order, out: Done | None) -> None: ...

    name = f"doubtful {uuid4().hex[:8]}"
    builder = SagaBuilder(Order)
    only = builder.add_step(step(charge, compensate=refund, on_unknown="park"), depends_on=builder.initial)
    run = await orchestrator.register(name, builder.build(output=only)).start(Order("1"))
    await suspended(run)
    return run


async def delayed(orchestrator: SagaOrchestrator) -> SagaRun[Done]:
    name = f"shop {uuid4().hex[:8]}"
    return await orchestrator.register(name, make_saga(Shop())).start(Order("1"), delay=timedelta(hours=1))


async def aborted(orchestrator: SagaOrchestrator) -> SagaRun[Done]:
    run = await at_a_retry(orchestrator)
    await SagaAdmin(orchestrator).abort(run.id)
    return run


async def rolled_back(orchestrator: SagaOrchestrator) -> SagaRun[Done]:
    run = await started(orchestrator, Shop(fails={"charge": 1}))
    await run.outcome(SOON)
    return run


async def done(orchestrator: SagaOrchestrator) -> SagaRun[Done]:
    run = await started(orchestrator, Shop())
    await run.outcome(SOON)
    return run


async def started(orchestrator: SagaOrchestrator, shop: Shop, **options: Any) -> SagaRun[Done]:  # Any: of make_saga
    name = f"shop {uuid4().hex[:8]}"
    return await orchestrator.register(name, make_saga(shop, **options)).start(Order("1"))


@pytest.mark.parametrize("stage", [at_a_retry, at_an_undo, in_doubt, delayed, aborted, rolled_back, done])
async def test_each_verb_does_what_was_said(make: Make, stage: Stage) -> None:
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        seen = await admin.explain((await stage(orchestrator)).id)
        assert {each.verb for each in seen.verbs} == set(Verb)
        for said in seen.verbs:
            run = await stage(orchestrator)
            own = (await admin.explain(run.id)).of(said.verb, said.step_id)
            assert own is not None
            assert own.is_legal is said.is_legal
            await does_as_said(admin, run, own)


async def does_as_said(admin: SagaAdmin, run: SagaRun[Done], said: VerbPreview) -> None:
    named = [] if said.step_id is None else [said.step_id]
    given = [Done("by hand")] if said.verb.needs_output else []
    asked = getattr(admin, said.verb.value)(run.id, *named, *given)
    if not said.is_legal:
        with pytest.raises(SagaStateError) as refused:
            await asked
        assert said.refusal is not None
        fact = refused.value.fact.removeprefix(f"saga {run.id} ")
        assert (said.why_not, said.mend) == (f"the saga {fact}", refused.value.hint)
        return
    await asked
    if said.verb is Verb.PAUSE_SAGA:  # all else comes after the pause
        assert (await run.snapshot()).paused_since is not None
        return
    if said.ends_as is not None and said.goes_on_at is None:
        async with asyncio.timeout(SOON):
            while (now := await run.snapshot()).ended_at is None:
                await asyncio.sleep(0.005)
        assert (now.status, now.left_over) == (said.ends_as, said.left_over), said


async def test_a_saga_that_waits_is_explained_at_length(make: Make) -> None:
    async with make() as orchestrator:
        run = await at_a_retry(orchestrator)
        seen = await SagaAdmin(orchestrator).explain(run.id)
        snapshot = await run.snapshot()
        (reason,) = seen.reasons
        assert (reason.cause, reason.step_id, reason.attempt, reason.failures) == (Cause.RETRY, "charge", 1, 1)
        assert reason.until == seen.until == snapshot.deadline_at
        assert (seen.revision, seen.status, seen.owner, seen.is_worked_on) == (
            snapshot.revision,
            SagaStatus.SUSPENDED,
            None,
            True,
        )
        assert seen.since <= seen.looked_at
        assert (seen.ends_as, set(seen.may_end_as)) == (
            SagaStatus.COMPLETED,
            {SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED},
        )
        assert [each.kind for each in seen.last] == ["started", "step_succeeded", "step_failed"]
        assert seen.last[-1].error == "ShopError: charge failed"
        cancel = seen.of("cancel")
        assert cancel is not None
        assert cancel.course == (Move(MoveKind.UNDO, StepId("reserve")),)
        text = str(seen)
        assert text.isascii()
        until_then = f"{reason.until:%Y-%m-%d %H:%M:%S} UTC"
        for line in (
            "why:",
            (
                "  step charge waits for its next attempt after attempt 1; ShopError: charge failed; "
                f"failures counted: 1 of 3; until {until_then}"
            ),
            "owner: none",
            "next: if all goes well: run charge, run ship, then it ends COMPLETED",
            "  retry_step(charge)",
            "  skip_step(charge, its output)",
        ):
            assert line in text.splitlines(), text
        assert (
            "\n  settle_done, settle_undone, settle_never_ran of any step: "
            "the saga has nothing open at that step that this would answer; " in text
        )


@pytest.mark.parametrize(
    "stage, status, back",
    [
        (at_a_retry, "SUSPENDED", False),
        (at_an_undo, "SUSPENDED", True),
        (rolled_back, "COMPENSATED", False),
        (done, "COMPLETED", False),
    ],
)
async def test_a_saga_says_in_which_direction_it_goes(make: Make, stage: Stage, status: str, back: bool) -> None:
    async with make() as orchestrator:
        run = await stage(orchestrator)
        seen = await SagaAdmin(orchestrator).explain(run.id)
        assert (seen.status, seen.goes_back, (await run.snapshot()).goes_back) == (status, back, back)
        assert f"{status}{', going back' if back else ''} at revision {seen.revision}, since" in str(seen)


async def test_the_last_entries_are_told_with_their_events_and_those_before_are_counted(make: Make) -> None:
    builder = SagaBuilder(Order)
    for name in "abcdefghij":
        builder.add_event(Event(name, str), step_id=name)
    definition = builder.build()
    async with make() as orchestrator:
        run = await orchestrator.register("waits", definition).start(Order("1"))
        admin = SagaAdmin(orchestrator)
        assert "\nlast:\n" in str(await admin.explain(run.id))
        for name in "abcdefghij":
            await orchestrator.to(run.id, Event(name, str)).send("now")
        await run.outcome(SOON)
        seen = await admin.explain(run.id)
        assert re.search(r"\n  #\d+ \S+ \S+ UTC event_received j\n", str(seen))
        assert seen.revision > len(seen.last)
        assert f"\nlast, {len(seen.last)} of {seen.revision} entries of the journal:\n" in str(seen)


async def test_a_refusal_that_many_verbs_meet_is_said_once(make: Make) -> None:
    async with make() as orchestrator:
        run = await done(orchestrator)
        text = str(await SagaAdmin(orchestrator).explain(run.id))
        assert text.count("the saga has ended") == 1
        (line,) = [line for line in text.splitlines() if "the saga has ended" in line]
        named = {*line.split(": ")[0].replace(";", ",").replace(" of any step", "").strip().split(", ")}
        assert named >= {"retry_step", "skip_step", "settle_done", "rewind", "cancel", "abort", "pause_saga"}


async def test_a_paused_saga_is_explained_by_the_pause_first(make: Make) -> None:
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        run = await at_a_retry(orchestrator)
        name = (await admin.explain(run.id)).saga_name
        await admin.pause(name, reason="the bank is down")
        await admin.pause_all()
        seen = await admin.explain(run.id)
        assert [(each.saga_name, each.actor, each.reason) for each in seen.pauses] == [
            (name, "ann@shop", "the bank is down"),
            (None, "ann@shop", None),
        ]
        assert ([each.is_paused for each in seen.reasons], seen.until) == ([True], None)
        retry, cancel, abort = (seen.of(*each) for each in (("retry_step", "charge"), ("cancel",), ("abort",)))
        assert retry is not None
        assert cancel is not None
        assert abort is not None
        assert (retry.at_once, retry.after_pause) == ((), (Move(MoveKind.RUN, StepId("charge")),))
        assert (cancel.at_once, cancel.after_pause) == ((), (Move(MoveKind.UNDO, StepId("reserve")),))
        assert (abort.at_once, abort.after_pause) == ((), ())
        until_then = f"{seen.reasons[0].until:%Y-%m-%d %H:%M:%S} UTC"
        lines = str(seen).splitlines()
        why = lines.index("why:")
        assert lines[why + 1].startswith(f"  sagas named '{name}' are paused, and none of their steps begins: since ")
        assert lines[why + 1].endswith(" UTC, by ann@shop, because: the bank is down")
        assert lines[why + 2] == f"    mend: resume('{name}')"
        assert lines[why + 3].startswith("  all sagas are paused, and none of their steps begins: since ")
        assert lines[why + 4] == "    mend: resume_all()"
        assert lines[why + 5].endswith(f"until {until_then}, and for the end of the pause")
        assert "    after the pause: run charge; if all goes well: run ship, then it ends COMPLETED" in "\n".join(lines)
        await admin.resume(name)
        assert [each.saga_name for each in (await admin.explain(run.id)).pauses] == [None]
        await admin.abort(run.id)
        failed = await admin.explain(run.id)
        again = failed.of("retry_step", "charge")
        assert again is not None
        assert (failed.pauses[0].saga_name, again.at_once) == (None, ())
        assert again.after_pause == (Move(MoveKind.RUN, StepId("charge")),)
        await admin.resume_all()
        over = await done(orchestrator)
        await admin.pause((await admin.explain(over.id)).saga_name)
        assert (await admin.explain(over.id)).pauses == ()


async def test_a_paused_saga_that_is_due_waits_for_the_pause_and_not_for_a_worker(make: Make) -> None:
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        handle = orchestrator.register("shop", make_saga(Shop()))
        await admin.pause("another", may_be_new=True)
        await admin.pause("shop")
        run = await handle.start(Order("1"))
        seen = await admin.explain(run.id)
        assert [each.saga_name for each in seen.pauses] == ["shop"]
        assert seen.reasons[0].text == "it is due, and waits for the end of the pause to go on with step reserve"
        assert "waits for a worker" not in str(seen)
        await admin.resume("shop")
        await run.outcome(SOON)


async def test_a_step_that_runs_into_a_pause_is_cut_short_at_once_all_the_same(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    assert shop.hold is not None
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await started(orchestrator, shop)
        await until(lambda: len(shop.keys) == 2)
        await admin.pause_all()
        async with asyncio.timeout(SOON):
            while (seen := await admin.explain(run.id)).last[-1].kind != "paused":
                await asyncio.sleep(0.005)
        assert (seen.reasons[0].cause, seen.reasons[0].is_paused) == (Cause.RUNNING, False)
        aborting = seen.of(Verb.ABORT)
        assert aborting is not None
        assert (aborting.at_once, aborting.after_pause) == ((Move(MoveKind.CUT_SHORT, StepId("charge")),), ())
        shop.hold.set()
        await admin.resume_all()
        await run.outcome(SOON)


async def test_a_saga_that_runs_tells_its_owner(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    assert shop.hold is not None
    async with make() as orchestrator:
        run = await started(orchestrator, shop)
        await until(lambda: "reserve" in shop.done)
        async with asyncio.timeout(SOON):
            while (seen := await SagaAdmin(orchestrator).explain(run.id)).reasons[0].step_id != "charge":
                await asyncio.sleep(0.005)
        assert seen.reasons[0].cause is Cause.RUNNING
        assert seen.owner is not None
        assert (seen.owner.id, seen.owner.is_gone, seen.until) == (orchestrator.engine.owner, False, None)
        taken = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history[0].process
        assert seen.owner.process == taken == this_process(), "the journal and the explanation call it alike"
        assert f"UTC started, owned by {taken}\n" in str(seen)
        aborting = seen.of(Verb.ABORT)
        assert aborting is not None
        assert aborting.at_once == (Move(MoveKind.CUT_SHORT, StepId("charge")),)
        assert [(each.step_id, each.kind) for each in aborting.left_over] == [
            ("reserve", LeftOverKind.NOT_UNDONE),
            ("charge", LeftOverKind.MAY_STILL_RUN),
        ]
        shop.hold.set()
        await run.outcome(SOON)


async def test_a_step_whose_process_has_died_is_not_told_to_be_executed(make: Make) -> None:
    calls: list[Order] = []

    @step(timeout=None)
    async def charge(order: Order) -> None:
        calls.append(order)
        await asyncio.Event().wait()

    builder = SagaBuilder(Order)
    builder.add_step(charge, depends_on=builder.initial)
    first = await born(make())
    run = await first.register("charging", builder.build()).start(Order("1"))
    await until(lambda: bool(calls))
    await dies(first)
    async with make(concurrency=0) as looking:
        seen = await SagaAdmin(looking).explain(run.id)
        snapshot = await SagaAdmin(looking).get_saga(run.id)
    (reason,) = seen.reasons
    assert seen.owner is not None
    assert snapshot.owner is not None
    assert (snapshot.owner.id, snapshot.owner.process) == (seen.owner.id, seen.owner.process)
    assert (snapshot.owner.is_gone, snapshot.lease_over) == (True, seen.owner.lease_until)
    for picture in (snapshot.timeline("text"), snapshot.diagram("text")):
        assert "was being executed: the lease is over" in picture
        assert " runs" not in picture.partition(" now ")[2]
    assert (reason.cause, reason.lease_over, reason.may_have_run) == (Cause.RUNNING, seen.owner.lease_until, True)
    assert reason.text.startswith("step charge may have run (attempt 1): the lease of its process is over since ")
    assert reason.text.endswith(" UTC, and the next worker goes on with it as its plan says")
    assert "is being executed" not in str(seen)


async def test_a_saga_whose_definition_is_not_here_is_explained(make: Make) -> None:
    async with make() as orchestrator, make(concurrency=0) as desk:
        run = await at_a_retry(orchestrator)
        seen = await SagaAdmin(desk).explain(run.id)
        skipping, retrying = seen.of(Verb.SKIP_STEP, "charge"), seen.of(Verb.RETRY_STEP, "charge")
        assert skipping is not None
        assert retrying is not None
        assert (skipping.is_legal, retrying.is_legal, retrying.not_here) == (True, True, None)
        assert skipping.not_here is not None or isinstance(desk.engine.store, MemoryStore)
        assert seen.of(Verb.SKIP_STEP, "no such step") is None


@pytest.mark.raw_rows
async def test_a_saga_that_cannot_be_read_can_only_be_aborted(make: Make) -> None:
    async with make() as orchestrator:
        run = await at_a_retry(orchestrator)
        await Poison(orchestrator).state(run.id, b"\xff not a state")
        admin = SagaAdmin(orchestrator)
        seen = await admin.explain(run.id)
        assert seen.unreadable is not None
        assert [each.verb for each in seen.verbs if each.is_legal] == [Verb.ABORT]
        aborting = seen.of(Verb.ABORT)
        assert aborting is not None
        assert [each.step_id for each in aborting.left_over] == ["reserve", "charge", "ship"]
        assert "it cannot be read" in str(seen)
        await admin.abort(run.id)
        ended = await admin.explain(run.id)
        assert (ended.status, ended.left_over) == (SagaStatus.FAILED, aborting.left_over)
        assert [each.verb for each in ended.verbs if each.is_legal] == [Verb.ACKNOWLEDGE]


async def test_a_saga_of_many_items_is_explained_as_far_as_that_is_cheap(memory: MemoryStore) -> None:
    async def seat(number: int) -> int:
        if number % 2:
            raise ValueError(number)
        return number

    async def free(number: int, taken: int) -> None: ...

    booked = step(seat, compensate=free, retry_policy=HOURS)

    @saga("wide")
    def wide(numbers: StepRef[list[int]]) -> StepRef[list[int]]:
        return booked.each(concurrency=200)(numbers)

    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register(wide).start(list(range(200)))
    await orchestrator.run_due()
    seen = await SagaAdmin(orchestrator).explain(run.id)
    assert len(seen.reasons) == 100
    cancel, retry = seen.of("cancel"), seen.of("retry_step", "seat[199]")
    assert cancel is not None
    assert retry is not None
    assert (len(cancel.course), cancel.ends_as, cancel.is_whole) == (100, SagaStatus.COMPENSATED, True)
    assert (retry.at_once, retry.is_whole) == ((Move(MoveKind.RUN, StepId("seat[199]")),), False)
    assert "  and 60 more" in str(seen).splitlines()
    await orchestrator.run_until_idle()


async def test_there_has_to_be_such_a_saga(make: Make) -> None:
    async with make() as orchestrator:
        with pytest.raises(SagaNotFoundError):
            await SagaAdmin(orchestrator).explain(UUID(int=5))


approved = Event("approved", str)


@step
async def hostile(text: str) -> str:
    raise RuntimeError(f"\x1b[2J\r\n{text}\u202e é")


@saga("hostile")
def hostile_saga(text: StepRef[str]) -> StepRef[str]:
    approved.wait(timeout=timedelta(days=1))
    return hostile(text)


async def test_hostile_texts_are_escaped(make: Make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register("naïve\u2009shop".replace("\u2009", "_"), hostile_saga)
        run = await handle.start("x", aggregation_id="key\u202e\nGET /")
        await suspended(run)
        seen = await SagaAdmin(orchestrator).explain(run.id)
        assert (seen.reasons[0].cause, seen.reasons[0].events) == (Cause.EVENT, ("approved",))
        text = str(seen)
        assert text.isascii()
        assert "\\u202e\\nGET /" in text
        assert "na\\xefve_shop v1" in text
        await orchestrator.to(run.id, approved).send("yes")
        await run.outcome(SOON)
        text = str(await SagaAdmin(orchestrator, actor="ann").explain(run.id))
        assert text.isascii()
        assert "\x1b" not in text
        assert "RuntimeError: \\x1b[2J\\r\\nx\\u202e \\xe9" in text


async def test_a_process_that_only_looks_explains_and_asks_for_no_verb(dsn: str) -> None:
    async with SagaOrchestrator(dsn) as orchestrator:
        run = await at_a_retry(orchestrator)
        async with SagaOrchestrator(dsn, concurrency=0, read_only=True) as looking:
            admin = SagaAdmin(looking)
            seen = await admin.explain(run.id)
            legal = [each for each in seen.verbs if each.is_legal]
            assert legal
            assert all("read_only=True" in (each.not_here or "") for each in legal)
            for verb in (admin.cancel, admin.abort, admin.acknowledge):
                with pytest.raises(StoreRefusedError, match="only looks at sagas"):
                    await verb(run.id)


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("parked", ParkReason)
def test_every_reason_has_words(cause: Cause, parked: ParkReason) -> None:
    needs = cause in (Cause.PERSON, Cause.UNDO_PERSON, Cause.SET_ASIDE)
    reason = StandingReason(cause, "charge", None, ("paid",), parked.value if needs else None, 1, 2, True)
    assert reason.text
    assert "None" not in reason.text
    assert "the end of the pause" in attrs.evolve(reason, is_paused=True).text
    assert (reason.mend is not None) is needs
    for over in (datetime.now(UTC), None):
        assert "None" not in attrs.evolve(reason, is_interrupted=True, lease_over=over).text
    within = attrs.evolve(reason, transactional=True)
    assert "None" not in within.text
    assert (within.mend is not None) is needs


async def test_a_doubt_is_told_with_the_error_of_the_attempt_that_has_left_it(make: Make) -> None:
    async with make() as orchestrator:
        run = await in_doubt(orchestrator)
        (why,) = (await SagaAdmin(orchestrator).explain(run.id)).reasons
        assert why.text.startswith("step charge waits for a person (outcome_unknown): only a person can find out")
        assert "the bank has not answered" in why.text
        assert str(why.mend).startswith("ask the other system")


async def test_what_is_tried_again_is_told_with_its_error_and_how_often_it_is_tried(make: Make) -> None:
    async def away(order: Order) -> ItRan[None] | NotDone:
        raise ConnectionRefusedError("the bank is away")

    @step(probe=away, probe_retry_policy=FixedRetry(max_attempts=9, delay=timedelta(hours=1)))
    async def charge(order: Order) -> None:
        raise OutcomeUnknown("no answer")

    builder = SagaBuilder(Order)
    builder.add_step(charge, depends_on=builder.initial)
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await orchestrator.register("charging", builder.build()).start(Order("1"))
        async with asyncio.timeout(SOON):
            while not (why := (await admin.explain(run.id)).reasons[0]).probes_failed:
                await asyncio.sleep(0.005)
        assert (why.cause, why.probes_failed, why.most_attempts) == (Cause.DOUBT, 1, 9)
        assert "ConnectionRefusedError: the bank is away; its probe has failed 1 time of 9; " in why.text
        undone = await at_an_undo(orchestrator)
        (why,) = (await admin.explain(undone.id)).reasons
        assert why.text.startswith(
            "the compensation of step charge waits for its next attempt after attempt 1; "
            "ShopError: refund charge failed; failures counted: 1 of 3; until "
        )


async def test_an_attempt_that_has_left_no_error_is_not_told_with_that_of_an_earlier_one(memory: MemoryStore) -> None:
    begun, calls = asyncio.Event(), 0

    @step(on_unknown="park", retry_policy=FixedRetry(max_attempts=3))
    async def charge(order: Order) -> Done:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyError("the first attempt")
        begun.set()
        await asyncio.Event().wait()
        return Done("charge")

    builder = SagaBuilder(Order)
    builder.add_step(charge, depends_on=builder.initial)
    definition = builder.build()
    async with SagaOrchestrator(memory, stop_timeout=timedelta(milliseconds=10)) as first:
        run = await first.register("shop", definition).start(Order("1"))
        await begun.wait()
    async with SagaOrchestrator(memory) as second:
        run = second.register("shop", definition).attach(run.id)
        await suspended(run)
        (why,) = (await SagaAdmin(second).explain(run.id)).reasons
        assert (why.parked, why.attempt, why.error) == ("outcome_unknown", 2, None)


def test_long_lists_are_cut() -> None:
    moves = tuple(Move(MoveKind.RUN, StepId(f"s{n}")) for n in range(30))
    said = VerbPreview(Verb.RETRY_STEP, "s0", True, course=moves, is_whole=False)
    assert said.text == f"if all goes well: {', '.join(f'run s{n}' for n in range(12))}, and 18 more, and so on"
    assert "no verb" in str(attrs.evolve(_EXPLAINED, verbs=()))


_EXPLAINED = Explanation(
    saga_id=UUID(int=1),
    saga_name="shop",
    version=1,
    revision=1,
    aggregation_id=None,
    status=SagaStatus.COMPLETED,
    goes_back=False,
    pauses=(),
    reasons=(),
    since=datetime(2026, 1, 1, tzinfo=UTC),
    until=None,
    looked_at=datetime(2026, 1, 2, tzinfo=UTC),
    owner=None,
    is_worked_on=False,
    unreadable=None,
    left_over=(),
    course=(),
    is_whole=True,
    ends_as=None,
    may_end_as=(),
    last=(),
    verbs=(),
)


async def test_what_another_saga_s_business_key_forbids_is_told(make: Make) -> None:
    shop = Shop(fails={"ship": 1, "release reserve": 2})
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        run = await handle.start(Order("1"), aggregation_id="order-1")
        await run.outcome(SOON)
        other = await handle.start(Order("1"), aggregation_id="order-1", delay=timedelta(hours=1))
        admin = SagaAdmin(orchestrator)
        told = (await admin.explain(run.id)).of("cancel")
        assert told is not None
        assert (told.is_legal, told.refusal) == (False, "key_taken")
        assert str(other.id) in (told.why_not or "")
        with pytest.raises(ActiveSagaAlreadyExistsError):
            await admin.cancel(run.id)
        await admin.cancel(other.id)
        told = (await admin.explain(run.id)).of("cancel")
        assert told is not None
        assert told.is_legal


async def test_a_wait_takes_no_input_whatever_it_is(memory: MemoryStore) -> None:
    builder = SagaBuilder(Order)
    builder.add_event(Event("approved", str))
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("asked", builder.build()).start(Order("1"))
    await orchestrator.run_due()
    with pytest.raises(SagaStateError, match="has no input at that step"):
        await SagaAdmin(orchestrator).retry_step(run.id, "approved", input=None)


async def test_the_names_that_a_rewind_wants_can_be_pasted(memory: MemoryStore) -> None:
    async def quick(inp: Order) -> Order:
        return inp

    async def fails(inp: Order) -> Order:
        raise KeyError("no")

    builder = SagaBuilder(Order)
    builder.add_step(step(quick, step_id='a, "b'), depends_on=builder.initial)
    builder.add_step(step(fails, retry_policy=HOURS), input_map=lambda ctx: ctx.initial_data)
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("odd", builder.build()).start(Order("1"))
    await orchestrator.run_due()
    with pytest.raises(SagaStateError) as refused:
        await SagaAdmin(orchestrator).rewind(run.id, 'a, "b')
    assert r'forget=["a, \"b"]' in (refused.value.hint or "")
