"""A verb with all that is given with it is previewed, and then does just that: legal or refused, its keys, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from saga_fn import (
    Abort,
    Acknowledge,
    BulkVerb,
    Cancel,
    Explanation,
    FixedRetry,
    MemoryStore,
    MoveKind,
    PauseSaga,
    PayloadError,
    ResumeSaga,
    RetryStep,
    Rewind,
    SagaAdmin,
    SagaNotRegisteredError,
    SagaOrchestrator,
    SagaRun,
    SagaSnapshot,
    SagaStateError,
    SagaStatus,
    SettleDone,
    SettleNeverRan,
    SettleUndone,
    SkipStep,
    StartNow,
    VerbPreview,
)
from saga_fn.admin.given import deed_of, given_with
from saga_fn.core.verbs import Verb
from tests.support.poison import Poison
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

HOURS = FixedRetry(max_attempts=3, delay=timedelta(hours=1))
Ask = Callable[[SagaAdmin, SagaRun[Done]], Awaitable[None]]


def in_an_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


CASES: list[tuple[BulkVerb, Ask]] = [
    (RetryStep("ship"), lambda admin, run: admin.retry_step(run.id, "ship")),
    (RetryStep("ship", Order("2")), lambda admin, run: admin.retry_step(run.id, "ship", input=Order("2"))),
    (RetryStep("charge", Order("2")), lambda admin, run: admin.retry_step(run.id, "charge", input=Order("2"))),
    (SkipStep("ship", Done("by hand")), lambda admin, run: admin.skip_step(run.id, "ship", Done("by hand"))),
    (SkipStep("reserve", Done("no")), lambda admin, run: admin.skip_step(run.id, "reserve", Done("no"))),
    (Cancel(), lambda admin, run: admin.cancel(run.id)),
    (Rewind("ship"), lambda admin, run: admin.rewind(run.id, "ship")),
    (Rewind("charge"), lambda admin, run: admin.rewind(run.id, "charge")),
    (Rewind("charge", forget=["charge"]), lambda admin, run: admin.rewind(run.id, "charge", forget=["charge"])),
    (Rewind("reserve", forget={"reserve"}), lambda admin, run: admin.rewind(run.id, "reserve", forget={"reserve"})),
    (
        Rewind("reserve", forget=("ship", "reserve", "charge")),
        lambda admin, run: admin.rewind(run.id, "reserve", forget=("ship", "reserve", "charge")),
    ),
    (Rewind("charge", forget=["?"]), lambda admin, run: admin.rewind(run.id, "charge", forget=["?"])),
    (Rewind("?"), lambda admin, run: admin.rewind(run.id, "?")),
    (PauseSaga(), lambda admin, run: admin.pause_saga(run.id)),
    (ResumeSaga(), lambda admin, run: admin.resume_saga(run.id)),
    (Abort(), lambda admin, run: admin.abort(run.id)),
    (SettleDone("ship", Done("found")), lambda admin, run: admin.settle_done(run.id, "ship", Done("found"))),
    (SettleUndone("ship"), lambda admin, run: admin.settle_undone(run.id, "ship")),
    (SettleNeverRan("ship"), lambda admin, run: admin.settle_never_ran(run.id, "ship")),
    (StartNow(), lambda admin, run: admin.start_now(run.id)),
    (StartNow(step="ship"), lambda admin, run: admin.reschedule(run.id, datetime.now(UTC), step="ship")),
    (StartNow(step="charge"), lambda admin, run: admin.reschedule(run.id, datetime.now(UTC), step="charge")),
    (Acknowledge(), lambda admin, run: admin.acknowledge(run.id)),
]


async def at_ship(orchestrator: SagaOrchestrator, shop: Shop) -> SagaRun[Done]:
    """A saga whose third step has failed once, and waits for its next attempt."""
    handle = orchestrator.register("shop", make_saga(shop, retry=HOURS))
    run = await handle.start(Order("1"))
    await suspended(run)
    return run


@pytest.mark.parametrize("verb, ask", CASES, ids=lambda each: "" if callable(each) else str(each))
async def test_a_verb_does_what_its_preview_said(make: Make, verb: BulkVerb, ask: Ask) -> None:
    shop = Shop(fails={"ship": 1})
    async with make() as orchestrator:
        run = await at_ship(orchestrator, shop)
        admin, before = SagaAdmin(orchestrator), list(shop.keys)
        seen = await admin.explain(run.id, verb=verb)
        (said,) = seen.verbs
        assert said.verb is verb.verb
        assert seen.revision == (await admin.get_saga(run.id)).revision
        assert shop.keys == before, "nothing is done"
        if not said.is_legal:
            with pytest.raises(SagaStateError) as refused:
                await ask(admin, run)
            assert (said.refusal, said.mend) == (refused.value.refusal, refused.value.hint)
            assert all(name in (said.mend or "") for name in said.unnamed)
            return
        await ask(admin, run)
        if verb.verb is Verb.PAUSE_SAGA:
            assert (shop.keys, (await run.snapshot()).paused_since is not None) == (before, True)
            return  # it goes on as it was, once it is resumed
        if said.ends_as is not None:
            now = await ended(run)
            assert (now.status, now.left_over) == (said.ends_as, said.left_over)
        does_as_said(said, before, shop.keys[len(before) :])


async def ended(run: SagaRun[Done]) -> SagaSnapshot:
    async with asyncio.timeout(SOON):
        while (now := await run.snapshot()).ended_at is None:
            await asyncio.sleep(0.005)
    return now


def does_as_said(said: VerbPreview, before: list[str], then: list[str]) -> None:
    moves = [move.step for move in said.course if move.kind in (MoveKind.RUN, MoveKind.UNDO)]
    assert [key.split(":")[1] for key in then] == moves
    run_before = {key.split(":")[1] for key in before if ":execute" in key}
    other = {key.split(":")[1] for key in then if ":execute" in key and key not in before}
    assert other & run_before == set(said.another_key)


async def test_the_names_that_a_rewind_wants_are_told_and_then_said_to_be_forgotten(make: Make) -> None:
    async with make() as orchestrator:
        run = await at_ship(orchestrator, Shop(fails={"ship": 1}))
        admin = SagaAdmin(orchestrator)
        (wanting,) = (await admin.explain(run.id, verb=Rewind("reserve"))).verbs
        assert (wanting.is_legal, wanting.unnamed) == (False, ("reserve", "charge"))
        plain = (await admin.explain(run.id)).of(Verb.REWIND, "reserve")
        assert plain == wanting
        seen = await admin.explain(run.id, verb=Rewind("reserve", forget=wanting.unnamed))
        (said,) = seen.verbs
        assert said.forgotten == ("reserve", "charge")
        assert said.another_key == ("reserve", "charge", "ship")
        assert "under another idempotency key: reserve, charge, ship" in said.text
        assert "the saga forgets, and never undoes, what is done of reserve, charge" in said.text
        assert "  rewind(reserve)" in str(seen).splitlines()
        assert "refused now:" not in str(seen)


async def test_a_moment_that_is_named_is_previewed(make: Make) -> None:
    async with make() as orchestrator:
        run = await at_ship(orchestrator, Shop(fails={"ship": 1}))
        admin, at = SagaAdmin(orchestrator), in_an_hour()
        (said,) = (await admin.explain(run.id, verb=StartNow(at, step="ship"))).verbs
        assert (said.is_legal, said.step_id, said.at_once, said.goes_on_at) == (True, "ship", (), at)
        await admin.reschedule(run.id, at, step="ship")
        assert (await admin.explain(run.id)).until == at


async def test_a_paused_saga_s_preview_says_what_comes_after_the_pause(make: Make) -> None:
    async with make() as orchestrator:
        run = await at_ship(orchestrator, Shop(fails={"ship": 1}))
        admin = SagaAdmin(orchestrator)
        await admin.pause("shop")
        (said,) = (await admin.explain(run.id, verb=RetryStep("ship", Order("2")))).verbs
        assert (said.at_once, [each.step for each in said.after_pause], said.another_key) == ((), ["ship"], ("ship",))


async def test_a_value_is_judged_as_the_verb_judges_it(make: Make) -> None:
    async with make() as orchestrator, make(concurrency=0) as desk:
        run = await at_ship(orchestrator, Shop(fails={"ship": 1}))
        admin = SagaAdmin(orchestrator)
        with pytest.raises(PayloadError):
            await admin.explain(run.id, verb=RetryStep("ship", 5))
        if not isinstance(desk.engine.store, MemoryStore):
            with pytest.raises(SagaNotRegisteredError):
                await SagaAdmin(desk).explain(run.id, verb=SkipStep("ship", Done("x")))
        (said,) = (await SagaAdmin(desk).explain(run.id, verb=Rewind("ship"))).verbs
        assert said.is_legal


@pytest.mark.raw_rows
async def test_one_verb_upon_a_saga_that_cannot_be_read_is_previewed(make: Make) -> None:
    async with make() as orchestrator:
        run = await at_ship(orchestrator, Shop(fails={"ship": 1}))
        await Poison(orchestrator).state(run.id, b"\xff not a state")
        admin = SagaAdmin(orchestrator)

        async def of(verb: BulkVerb) -> Explanation:
            return await admin.explain(run.id, verb=verb)

        for verb, legal in ((Rewind("ship"), False), (Cancel(), False), (Abort(), True), (Acknowledge(), False)):
            (said,) = (await of(verb)).verbs
            assert (said.verb, said.is_legal) == (verb.verb, legal)
        await admin.abort(run.id)
        (said,) = (await of(Acknowledge())).verbs
        assert (said.is_legal, said.ends_as) == (True, SagaStatus.FAILED)


def test_every_verb_as_data_becomes_a_deed() -> None:
    assert {deed_of(verb, None).verb for verb, _ in CASES} == set(Verb)
    with_values = {verb.verb for verb, _ in CASES if given_with(verb) is not None}
    assert with_values == {Verb.RETRY_STEP, Verb.SKIP_STEP, Verb.SETTLE_DONE}
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    assert deed_of(StartNow(moment, step="ship"), None).step == "ship"


async def test_a_cancel_says_which_steps_come_to_their_ends_first(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    assert shop.hold is not None
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        cancel, abort = [(await admin.explain(run.id)).of(verb) for verb in ("cancel", "abort")]
        assert cancel is not None
        assert abort is not None
        assert cancel.runs_on == ("charge",)
        assert cancel.text.startswith(
            "first comes to its end, and is not cut short: charge; if all goes well: undo charge"
        )
        assert abort.runs_on == ()
        assert abort.text.startswith("at once: cut short charge; ")
        shop.hold.set()
        await run.outcome(SOON)
