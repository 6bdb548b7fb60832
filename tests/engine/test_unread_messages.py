"""Every look at a saga tells of the messages that are stored for it and not read yet, and a preview counts with them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga_fn import (
    Cancel,
    MoveKind,
    PauseSaga,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    SagaRun,
    SagaStatus,
    SkipStep,
    Verb,
    step,
)
from saga_fn.explanation import unread_in_words
from saga_fn.store.records import InboxMessage
from tests.support.approval import Approval, approval, approved
from tests.support.shop import Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON, suspended

HOUR = timedelta(hours=1)


async def waiting(make: Make, shop: Shop, *, timeout: timedelta | None = HOUR) -> SagaRun[Approval]:
    """A saga that waits for its approval, whose only worker has left."""
    async with make() as worker:
        run = await worker.register("approved", approved(shop, timeout=timeout)).start(Order("1"))
        await suspended(run)
    async with make(concurrency=0) as desk:  # it takes leave by itself, but a slow store may not have heard of that
        await desk.engine.store.processes.forget(worker.engine.owner)
    return run


async def stored(sender: SagaOrchestrator, run: SagaRun[Approval]) -> None:
    """The approval, by a process that does not know the definition."""
    assert await sender.to(run.id, approval).send(Approval("ann")) == "buffered"


async def test_an_event_that_no_owner_has_read_is_told_by_each_look(make: Make) -> None:
    run = await waiting(make, Shop())
    async with make(concurrency=0) as desk:
        admin = SagaAdmin(desk)
        await stored(desk, run)
        seen, snapshot = await admin.explain(run.id), await admin.get_saga(run.id)
        [unread] = snapshot.unread
        assert seen.unread == snapshot.unread
        assert (unread.event, unread.verb, unread.is_readable) == ("approval", None, True)
        [line] = unread_in_words(seen)
        assert line.startswith("the event approval is stored since ")
        assert line.endswith("not read yet: no process that was seen lately works on approved v1")
        assert f"  {line}" in str(seen).splitlines()
        assert (seen.ends_as, [move.kind for move in seen.course]) == (SagaStatus.COMPLETED, [MoveKind.RUN])
        for verb in (Verb.CANCEL, Verb.ABORT, Verb.PAUSE_SAGA):
            preview = seen.of(verb)
            assert preview is not None
            assert [str(each) for each in preview.unread] == ["the event approval"]
            assert "look first: the event approval is stored, and not read yet" in preview.text
        skip = seen.of(Verb.SKIP_STEP, seen.reasons[0].step_id)
        assert skip is not None
        assert "look first: the event approval" in skip.text
    async with make() as worker:
        await worker.register("approved", approved(Shop(), timeout=HOUR)).attach(run.id).outcome(SOON)
        assert (await SagaAdmin(worker).get_saga(run.id)).unread == ()


async def test_a_parked_saga_stays_so_by_itself_whatever_is_stored_for_it_and_whichever_definition_is_there(
    make: Make,
) -> None:
    def made(name: str) -> SagaDefinition[Order, Approval]:
        async def charge(order: Order) -> int:
            return "seven"  # type: ignore[return-value]  # its output cannot be kept

        builder = SagaBuilder(Order)
        builder.add_step(step(charge, step_id=name), depends_on=builder.initial)
        return builder.build(output=builder.add_event(approval, timeout=HOUR))

    async with make() as worker:
        run = await worker.register("parked", made("charge")).start(Order("1"))
        await suspended(run)
    async with make(concurrency=0) as desk:
        await desk.engine.store.processes.forget(worker.engine.owner)
        await stored(desk, run)
        desk.register("parked", made("take_money"))
        seen = await SagaAdmin(desk).explain(run.id)
    assert ([each.parked for each in seen.reasons], len(seen.unread)) == (["output_lost"], 1)
    assert (seen.no_plan_fits, seen.course, seen.ends_as) == (False, (), None)
    assert "next: a person has to go on" in str(seen)


@pytest.mark.parametrize("verb", [PauseSaga(), Cancel(), SkipStep("approval", Approval("bob"))], ids=type)
async def test_a_verb_upon_a_saga_with_an_unread_event_ends_as_its_preview_said(
    make: Make, verb: PauseSaga | Cancel | SkipStep
) -> None:
    run = await waiting(make, Shop())
    async with make(concurrency=0) as desk:
        await stored(desk, run)
    async with make(concurrency=0) as desk:
        handle = desk.register("approved", approved(Shop(), timeout=HOUR))
        admin = SagaAdmin(desk)
        (said,) = (await admin.explain(run.id, verb=verb)).verbs
        match verb:
            case PauseSaga():
                await admin.pause_saga(run.id)
                await admin.resume_saga(run.id)
            case Cancel():
                await admin.cancel(run.id)
            case SkipStep():
                await admin.skip_step(run.id, "approval", Approval("bob"))
        await desk.run_due()
        now = await handle.attach(run.id).snapshot()
        assert (now.status, now.left_over) == (said.ends_as, said.left_over)


async def test_a_message_that_cannot_be_read_and_a_verb_are_told_as_such(make: Make) -> None:
    run = await waiting(make, Shop())
    async with make(concurrency=0) as desk:
        store = desk.engine.store
        await store.send(run.id, InboxMessage(run.id, "event", b"?"))
        await store.send(run.id, InboxMessage(desk.engine.owner, "compensate_step", b"{}"))
        seen = await SagaAdmin(desk).explain(run.id)
        assert [str(each) for each in seen.unread] == ["an event that cannot be read", "the verb compensate_step"]
        assert seen.ends_as is SagaStatus.COMPENSATED, "the verb is carried out by the next owner"
