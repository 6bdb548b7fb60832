"""A saga whose process was killed, and that a worker whose definition does not fit has handed back, as it was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NoReturn
from uuid import UUID

import pytest

from saga_fn import (
    Cause,
    Move,
    MoveKind,
    NotDone,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    StoreUnavailableError,
    Verb,
    step,
)
from saga_fn.core.ids import StepId
from saga_fn.engine.hold import roster
from saga_fn.store.records import SagaWrite
from tests.support.crash import born, dies, end_leases
from tests.support.shop import Done, Order
from tests.support.stores import Make
from tests.support.until import SOON, told_late, until

NOBODY = UUID(int=0)


class Bank:
    """Its charge hangs until it is told to answer."""

    def __init__(self) -> None:
        self.calls: list[Order] = []
        self.asked: list[Order] = []

    def saga(self, name: str) -> SagaDefinition[Order, Done]:
        async def charge(order: Order) -> Done:
            self.calls.append(order)
            await asyncio.Event().wait()
            return Done("charge")

        async def find(order: Order) -> NotDone:
            self.asked.append(order)
            return NotDone.NOT_DONE

        async def refund(order: Order, out: Done | None) -> None: ...

        builder = SagaBuilder(Order)
        charged = builder.add_step(
            step(charge, probe=find, compensate=refund, step_id=name, timeout=None), depends_on=builder.initial
        )
        return builder.build(output=charged)


async def killed(make: Make, bank: Bank) -> UUID:
    """A saga whose process died in its charge. By the news of the others, that process may be there yet."""
    first = await born(make())
    run = await first.register("charging", bank.saga("charge")).start(Order("1"))
    await until(lambda: bool(bank.calls))
    async with asyncio.timeout(SOON):
        while not await first.engine.store.processes.others(NOBODY, seen_within=roster.seen_within()):
            await asyncio.sleep(0.01)
    await dies(first)
    return run.id


@asynccontextmanager
async def handed_back(make: Make, bank: Bank) -> AsyncGenerator[tuple[UUID, SagaOrchestrator]]:
    """Such a saga, handed back by a process that has gone since, and an orchestrator that looks at it."""
    saga_id = await killed(make, bank)
    async with make(concurrency=0) as desk:
        admin = SagaAdmin(desk)
        async with asyncio.timeout(SOON):
            while (await admin.get_saga(saga_id)).owner is not None:
                async with make() as misfit:
                    misfit.register("charging", bank.saga("take_money"))
                    await until(lambda: bool(misfit.engine.roster.passed_over()))
                    while (await admin.get_saga(saga_id)).owner is not None:
                        await asyncio.sleep(0.01)
                await end_leases(misfit)  # it has claimed the saga once more, if this machine is slow
        yield saga_id, desk


async def test_a_step_of_a_saga_that_was_handed_back_is_not_told_to_be_executed(make: Make) -> None:
    async with handed_back(make, Bank()) as (saga_id, desk):
        admin = SagaAdmin(desk)
        seen, snapshot = await admin.explain(saga_id), await admin.get_saga(saga_id)
        (reason,) = seen.reasons
        assert (reason.cause, reason.may_have_run, reason.is_interrupted, reason.lease_over) == (
            Cause.RUNNING,
            True,
            True,
            None,
        )
        assert reason.text == (
            "step charge may have run (attempt 1): no process has the saga any more, and the next worker goes on with it as its "
            "plan says"
        )
        assert "is being executed" not in str(seen)
        assert (snapshot.is_interrupted, snapshot.lease_over) == (True, None)
        for picture in (snapshot.timeline("text"), snapshot.diagram("text")):
            assert "was being executed: the lease is over" in picture


async def test_the_verbs_of_a_saga_that_was_handed_back_do_as_their_previews_say(make: Make) -> None:
    async with handed_back(make, Bank()) as (saga_id, desk):
        admin = SagaAdmin(desk)
        seen = await admin.explain(saga_id)
        cancelling = seen.of(Verb.CANCEL)
        assert cancelling is not None
        assert (cancelling.is_legal, cancelling.runs_on) == (True, ())
        assert cancelling.at_once == (Move(MoveKind.PROBE, StepId("charge")),)
        for verb in (Verb.SETTLE_UNDONE, Verb.SETTLE_NEVER_RAN):
            settling = seen.of(verb, "charge")
            assert settling is not None
            assert settling.is_legal
        await admin.settle_never_ran(saga_id, "charge")
        (reason,) = (await admin.explain(saga_id)).reasons
        assert (reason.cause, reason.may_have_run) == (Cause.RETRY, False)


async def test_a_saga_that_was_handed_back_is_cancelled_without_waiting_for_what_does_not_run(make: Make) -> None:
    async with handed_back(make, Bank()) as (saga_id, desk):
        admin = SagaAdmin(desk)
        await admin.cancel(saga_id)
        seen = await admin.explain(saga_id)
        assert [(each.cause, each.may_have_run) for each in seen.reasons if each.step_id == "charge"] == [
            (Cause.DOUBT, True)
        ]
        assert not (await admin.get_saga(saga_id)).is_interrupted


async def test_a_saga_that_is_left_to_a_definition_that_fits_is_told_as_standing_still(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(roster, "_LONGEST_PAUSE", 0.05)
    why = "step 'charge' has begun, but the definition of a process that works on it does not have it"
    bank = Bank()
    saga_id = await killed(make, bank)
    with caplog.at_level(logging.WARNING, "saga_fn"):
        async with make() as misfit, make(concurrency=0) as desk:
            misfit.register("charging", bank.saga("take_money"))
            handle = desk.register("charging", bank.saga("charge"))
            admin = SagaAdmin(desk)
            async with asyncio.timeout(SOON):
                while (seen := await admin.explain(saga_id)).misfit is None:
                    await asyncio.sleep(0.01)
                while not (found := [each for each in (await desk.health()).attention if each.kind == "misfit"]):
                    await asyncio.sleep(0.01)
                while not [record for record in caplog.records if "stands still" in record.getMessage()]:
                    await asyncio.sleep(0.01)
            late = await told_late(handle.attach(saga_id), "does not have it", 2.0)
            await asyncio.sleep(0.3)
    assert (seen.misfit, seen.no_plan_fits) == (why, False)
    assert f"  {why}: it is left to a process whose definition fits it, if one still runs\n    mend: deploy one" in str(
        seen
    )
    (finding,) = found
    assert (finding.sagas, finding.saga_name, finding.version, finding.saga_ids) == (1, "charging", 1, (saga_id,))
    assert finding.text == f"1 saga of charging v1: due, and left to a process whose definition fits: {why}"
    (line,) = [record.getMessage() for record in caplog.records if "stands still" in record.getMessage()]
    assert line.startswith(
        f"saga {saga_id}: step 'charge' has begun, but the definition registered here does not have it"
    )
    assert late.misfit == why
    assert "goes on when a worker runs whose definition fits" in str(late.hint)


async def test_an_abort_that_could_not_be_written_leaves_a_lease_for_as_long_as_the_step_may_run(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(write: SagaWrite) -> NoReturn:
        raise StoreUnavailableError("the database is away")

    bank = Bank()
    async with make(stop_timeout=timedelta(seconds=0.1)) as worker, make(concurrency=0) as desk:
        run = await worker.register("charging", bank.saga("charge")).start(Order("1"))
        await until(lambda: bool(bank.calls))
        admin = SagaAdmin(desk)
        monkeypatch.setattr(desk.engine.committer, "commit", refuse)
        with pytest.raises(StoreUnavailableError):
            await admin.abort(run.id)
        seen = await admin.get_saga(run.id)
        assert seen.owner is not None, "another process could begin the step, while it runs"
        assert (seen.owner.is_gone, seen.is_interrupted) == (False, False)
