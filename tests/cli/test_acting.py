"""The verbs: the preview comes before the question, and nothing is done without a yes."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import attrs
import msgspec
import pytest
from typing_extensions import override

from saga_fn import (
    Event,
    Move,
    MoveKind,
    Operation,
    OperationState,
    SagaAdmin,
    SagaOrchestrator,
    SagaStateError,
    StepContext,
    StepRef,
    Verb,
    saga,
    step,
)
from saga_fn.cli.acting import over_of
from saga_fn.cli.texts import of_preview
from saga_fn.core.ids import StepId
from saga_fn.explanation import going_on
from saga_fn.outgoing import OutgoingMessage, OutgoingOptions, PublishOutcome, RefusedForGood
from tests.cli.conftest import APP, Cli, Seeded
from tests.cli.shop_app import Order, registered
from tests.cli.test_answers import told
from tests.support.until import SOON


class Typist(io.StringIO):
    """A terminal at which an operator types this."""

    @override
    def isatty(self) -> bool:
        return True


async def state(dsn: str, saga_id: UUID) -> tuple[str, int]:
    async with SagaOrchestrator(dsn, concurrency=0, read_only=True) as orchestrator:
        snapshot = await orchestrator.get_snapshot(saga_id)
    return snapshot.status, snapshot.revision


async def test_a_verb_is_previewed_and_done(cli: Cli, seeded: Seeded) -> None:
    told = await cli("cancel", seeded.retrying, "--yes", "--by", "ann@shop", "--reason", "OPS-12", "--dsn", seeded.dsn)
    assert told.code == 0
    assert "undo reserve" in told.err
    assert told.out == (
        f"cancel is done: saga {seeded.retrying} is COMPENSATING at revision 5. "
        "It goes on with undo reserve when a process works on billing v1: none was seen lately.\n"
    )
    async with SagaOrchestrator(seeded.dsn, concurrency=0, read_only=True) as orchestrator:
        last = (await SagaAdmin(orchestrator).get_saga(seeded.retrying)).step_history[-1]
    assert (last.actor, last.reason) == ("ann@shop", "OPS-12")


async def test_a_retry_says_that_the_saga_goes_on_when_a_worker_takes_it(seeded: Seeded) -> None:
    async with SagaOrchestrator(seeded.dsn, concurrency=0, read_only=True) as orchestrator:
        explained = await SagaAdmin(orchestrator).explain(seeded.retrying)
    preview = explained.of("retry_step", "charge")
    assert preview is not None
    alone, worked_on = (attrs.evolve(explained, is_worked_on=each) for each in (False, True))
    assert going_on(worked_on, preview) == "It goes on with run charge when a worker takes it"
    assert str(going_on(alone, preview)).endswith("when a process works on billing v1: none was seen lately")
    cut = attrs.evolve(preview, at_once=(Move(MoveKind.CUT_SHORT, StepId("charge")),))
    assert going_on(alone, cut) is None, "what is stopped is no going on"
    held = attrs.evolve(preview, at_once=(), after_pause=preview.at_once)
    assert going_on(alone, held) == "It goes on with run charge after the pause"
    later = attrs.evolve(preview, at_once=(), goes_on_at=datetime(2026, 11, 30, 8, 8, 29, tzinfo=UTC))
    assert str(going_on(worked_on, later)).startswith(
        "It goes on at 2026-11-30 08:08:29 UTC; if all goes well: run charge"
    )
    pausing = attrs.evolve(preview, verb=Verb.PAUSE_SAGA, at_once=())
    assert going_on(worked_on, pausing) == "Nothing of it begins before the end of the pause"


async def test_a_dry_run_changes_nothing(cli: Cli, seeded: Seeded) -> None:
    told = await cli("retry-step", seeded.retrying, "charge", "--dry-run", "--json", "--dsn", seeded.dsn)
    assert (told.code, told.data["done"]) == (0, False)
    assert told.data["preview"]["is_legal"] is True
    assert told.data["preview"]["not_here"] is None
    assert await state(seeded.dsn, seeded.retrying) == ("SUSPENDED", 4)


async def test_a_verb_that_is_not_legal_is_refused_without_a_question(cli: Cli, seeded: Seeded) -> None:
    told = await cli("cancel", seeded.parked, "--yes", "--dsn", seeded.dsn)
    assert told.code == 1
    assert "past its pivot" in told.out
    refused = await cli("cancel", seeded.parked, "--yes", "--json", "--dsn", seeded.dsn)
    assert (refused.code, refused.data["preview"]["refusal"]) == (1, "past_pivot")


async def test_a_saga_that_has_moved_on_refuses(cli: Cli, seeded: Seeded) -> None:
    told = await cli("abort", seeded.retrying, "--yes", "--expect", "3", "--json", "--dsn", seeded.dsn)
    assert (told.code, len(told.err.splitlines())) == (1, 1)
    assert json.loads(told.err)["refusal"] == "moved_on"
    assert await state(seeded.dsn, seeded.retrying) == ("SUSPENDED", 4)


@pytest.mark.parametrize("typed, code", [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("", 1), ("maybe\n", 1)])
async def test_only_a_yes_is_one(
    typed: str, code: int, cli: Cli, seeded: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Typist(typed))
    told = await cli("abort", seeded.retrying, "--dsn", seeded.dsn)
    assert told.code == code
    assert told.err.endswith("Do it? [y/N] ")
    assert told.err.index("it ends FAILED") < told.err.index("Do it?")
    assert (await state(seeded.dsn, seeded.retrying))[0] == ("FAILED" if code == 0 else "SUSPENDED")


async def test_nobody_is_asked_where_there_is_no_terminal(cli: Cli, seeded: Seeded) -> None:
    for command in (
        ("abort", seeded.retrying),
        ("bulk", "abort", "--name", "billing"),
        ("pause", "billing"),
    ):
        told = await cli(*command, "--dsn", seeded.dsn)
        assert told.code == 2
        assert "add --yes" in told.err
    assert await state(seeded.dsn, seeded.retrying) == ("SUSPENDED", 4)
    assert (await cli("pause", "--all", "--yes", "--dsn", seeded.dsn)).code == 0
    told = await cli("resume", "--all", "--dsn", seeded.dsn)
    assert (told.code, "add --yes" in told.err) == (2, True)


async def test_a_value_needs_the_definition(cli: Cli, seeded: Seeded) -> None:
    skip = ("skip-step", seeded.parked, "print_label", "--mock-output", '"label"', "--yes")
    told = await cli(*skip, "--dsn", seeded.dsn)
    assert told.code == 2
    assert "--app module:orchestrator" in told.err
    for verb, option in (("skip-step", "--mock-output"), ("settle-done", "--output")):
        without = await cli(verb, seeded.parked, "print_label", "--yes", "--app", APP)
        assert (without.code, f"{option} was not given" in without.err) == (2, True)
    wrong = await cli("skip-step", seeded.parked, "print_label", "--mock-output", "7", "--yes", "--app", APP)
    assert wrong.code == 2
    assert (
        "the output for step 'print_label' is no valid str: Expected `str`, got `int`. Mend: give another" in wrong.err
    )
    assert "--mock-output, as JSON" in wrong.err
    assert (await cli(*skip, "--app", APP)).code == 0
    assert (await state(seeded.dsn, seeded.parked))[0] == "COMPLETED"


async def test_a_step_that_the_saga_does_not_have_is_answered_by_those_it_has(cli: Cli, seeded: Seeded) -> None:
    told = await cli("retry-step", seeded.retrying, "chrage", "--yes", "--dsn", seeded.dsn)
    assert told.code == 1
    assert "its steps are 'reserve', 'charge'" in told.out
    async with SagaOrchestrator(seeded.dsn, concurrency=0) as orchestrator:
        with pytest.raises(SagaStateError, match=r"has no such step\nHINT: its steps are 'reserve', 'charge'"):
            await SagaAdmin(orchestrator).retry_step(seeded.retrying, "chrage")


async def test_a_retry_takes_another_input(cli: Cli, seeded: Seeded) -> None:
    told = await cli(
        *("retry-step", seeded.retrying, "charge", "--input", '{"order_id": "right"}'), "--yes", "--app", APP
    )
    assert told.code == 0
    assert "another idempotency key" in told.err


async def test_a_rewind_says_what_has_to_be_named(cli: Cli, seeded: Seeded) -> None:
    told = await cli("rewind", seeded.retrying, "reserve", "--yes", "--json", "--dsn", seeded.dsn)
    assert told.code == 1
    assert told.data["preview"]["unnamed"] == ["reserve"]
    done = await cli("rewind", seeded.retrying, "reserve", "--forget", "reserve", "--yes", "--dsn", seeded.dsn)
    assert done.code == 0


async def test_a_sleep_is_moved(cli: Cli, seeded: Seeded) -> None:
    told = await cli("start-now", seeded.retrying, "--at", "2030-01-01", "--yes", "--dsn", seeded.dsn)
    assert told.code == 0
    assert "goes on at 2030-01-01 00:00:00 UTC" in told.err
    assert (await cli("start-now", seeded.retrying, "--step", "charge", "--yes", "--dsn", seeded.dsn)).code == 0


async def test_an_end_is_acknowledged(cli: Cli, seeded: Seeded) -> None:
    await cli("abort", seeded.retrying, "--yes", "--dsn", seeded.dsn)
    assert (await cli("acknowledge", seeded.retrying, "--yes", "--dsn", seeded.dsn)).code == 0
    again = await cli("acknowledge", seeded.retrying, "--yes", "--dsn", seeded.dsn)
    assert again.code == 1
    assert "acknowledged" in again.out


async def many(dsn: str, number: int) -> None:
    async with registered(SagaOrchestrator(dsn, concurrency=0)) as orchestrator:
        await orchestrator.start_many(
            saga_name="billing",
            initial_data=[Order(str(each)) for each in range(number)],
            delay=timedelta(days=1),
        )


async def test_many_sagas_are_previewed_and_repaired(cli: Cli, dsn: str) -> None:
    await many(dsn, 30)
    told = await cli("bulk", "cancel", "--name", "billing", "--dry-run", "--json", "--dsn", dsn)
    assert (told.code, told.data["accepted"]) == (0, 30)
    told = await cli("bulk", "cancel", "--name", "billing", "--yes", "--json", "--per-second", "1000", "--dsn", dsn)
    assert told.code == 0
    assert (told.data["operation"]["state"], told.data["operation"]["done"]) == ("done", 30)
    assert told.err == ""
    assert (await cli("list", "--count", "--active", "--dsn", dsn)).out == "0\n"
    listed = (await cli("operations", "list", "--json", "--dsn", dsn)).data
    assert [each["verb"] for each in listed] == ["cancel"]
    shown = await cli("operations", "show", listed[0]["id"], "--dsn", dsn)
    assert "done" in shown.out


async def test_many_sagas_get_a_value(cli: Cli, seeded: Seeded) -> None:
    skip = (
        "bulk",
        "skip-step",
        "print_label",
        "--mock-output",
        '"label"',
        "--name",
        "shipping",
        "--step",
        "print_label",
    )
    parked = ("--waits", "parked", "--yes")
    assert (await cli(*skip, *parked, "--dsn", seeded.dsn)).code == 2
    told = await cli(*skip, *parked, "--json", "--app", "tests.cli.shop_app:talking")
    assert (told.code, told.data["operation"]["done"]) == (0, 1)
    assert "the service says something" in told.err


async def test_a_refusal_of_one_of_many_is_told(cli: Cli, seeded: Seeded) -> None:
    told = await cli("bulk", "cancel", "--active", "--yes", "--json", "--dsn", seeded.dsn)
    assert (told.code, told.data["operation"]["refusals"]) == (1, {"past_pivot": 1})
    again = await cli("operations", "continue", told.data["operation"]["id"], "--dsn", seeded.dsn)
    assert again.code == 1


async def test_one_saga_is_paused_and_resumed(cli: Cli, seeded: Seeded) -> None:
    assert (await cli("pause-saga", seeded.retrying, "--yes", "--dsn", seeded.dsn)).code == 0
    assert "this saga, since" in (await cli("show", seeded.retrying, "--dsn", seeded.dsn)).out
    assert (await cli("resume-saga", seeded.retrying, "--yes", "--dsn", seeded.dsn)).code == 0
    assert "this saga, since" not in (await cli("show", seeded.retrying, "--dsn", seeded.dsn)).out


async def test_a_filter_that_finds_all_has_to_be_meant(cli: Cli, dsn: str) -> None:
    told = await cli("bulk", "abort", "--yes", "--dsn", dsn)
    assert told.code == 2
    assert "--everything" in told.err
    meant = await cli("bulk", "abort", "--everything", "--yes", "--dsn", dsn)
    assert (meant.code, meant.out) == (0, "No saga is found.\n")


async def test_an_operation_is_left_to_the_workers_stopped_and_continued(cli: Cli, dsn: str) -> None:
    await many(dsn, 3)
    begun = await cli(
        "bulk", "abort", "--name", "billing", "--background", "--idempotency-key", "k", "--yes", "--json", "--dsn", dsn
    )
    operation = begun.data["operation"]
    assert operation["state"] == OperationState.RUNNING
    stopped = await cli("operations", "stop", operation["id"], "--json", "--dsn", dsn)
    assert stopped.data["state"] == OperationState.STOPPED
    done = await cli("operations", "continue", operation["id"], "--json", "--dsn", dsn)
    assert (done.data["state"], done.data["done"]) == (OperationState.DONE, 3)
    again = await cli("bulk", "abort", "--name", "billing", "--idempotency-key", "k", "--yes", "--json", "--dsn", dsn)
    assert again.data["operation"]["id"] == operation["id"]
    other = await cli("bulk", "cancel", "--name", "billing", "--idempotency-key", "k", "--yes", "--dsn", dsn)
    assert other.code == 1


async def test_sagas_are_paused_and_resumed(cli: Cli, dsn: str) -> None:
    assert (await cli("pauses", "--dsn", dsn)).out == "Nothing is paused.\n"
    new = ("billing", "--may-be-new")
    assert (await cli("pause", *new, "--yes", "--reason", "OPS-12", "--dsn", dsn)).code == 0
    assert (await cli("pause", "--all", "--yes", "--dsn", dsn)).code == 0
    assert (await cli("pause", *new, "--yes", "--dsn", dsn)).code == 1
    found = (await cli("pauses", "--json", "--dsn", dsn)).data["pauses"]
    assert {each["saga_name"]: each["reason"] for each in found} == {"billing": "OPS-12", None: None}
    unasked = await cli("resume", "billing", "--dsn", dsn)
    assert (unasked.code, "OPS-12" in unasked.err, "look at the preview" in unasked.err) == (2, True, True)
    assert (await cli("resume", "billing", "--yes", "--dsn", dsn)).code == 0
    unasked = await cli("resume", "billing", "--dsn", dsn)
    assert (unasked.code, "no saga is named 'billing'" in unasked.err) == (2, True)
    unasked = await cli("pause", "billing", "--dsn", dsn)
    assert (unasked.code, "'billing': 0 have not ended" in unasked.err) == (2, True)
    assert (await cli("resume", "--all", "--yes", "--dsn", dsn)).code == 0
    assert (await cli("pause", "billing", "--all", "--yes", "--dsn", dsn)).code == 2
    unnamed = await cli("resume", "--yes", "--dsn", dsn)
    assert (unnamed.code, "saga-fn resume --all" in unnamed.err) == (2, True)


async def test_a_misspelt_name_is_not_resumed_and_one_that_is_not_paused_is_told_so_once(
    cli: Cli, seeded: Seeded
) -> None:
    misspelt = await cli("resume", "biling", "--yes", "--dsn", seeded.dsn)
    assert (misspelt.code, misspelt.out) == (2, "")
    assert "no saga is named 'biling'" in misspelt.err
    assert "saga-fn pauses lists what is paused" in misspelt.err
    known = await cli("resume", "billing", "--yes", "--dsn", seeded.dsn)
    assert (known.code, known.err) == (1, "")
    assert known.out.count("there is no such pause") == 1


async def test_a_name_that_nobody_knows_is_paused_only_if_it_may_be_new(cli: Cli, seeded: Seeded) -> None:
    known = await cli("pause", "billing", "--yes", "--json", "--dsn", seeded.dsn)
    assert known.data == {"paused": True, "is_known": True}
    misspelt = await cli("pause", "biling", "--yes", "--dsn", seeded.dsn)
    assert misspelt.code == 2
    assert "spell it as it is registered, or add --may-be-new" in misspelt.err
    assert "biling" not in (await cli("pauses", "--dsn", seeded.dsn)).out
    new = await cli("pause", "biling", "--may-be-new", "--yes", "--dsn", seeded.dsn)
    assert (new.code, "is it spelt as it is registered?" in new.out) == (0, True)


async def test_kept_events_are_listed_and_discarded(cli: Cli, seeded: Seeded) -> None:
    assert (await cli("kept", "list", "--dsn", seeded.dsn)).out == "No event is kept.\n"
    async with SagaOrchestrator(seeded.dsn) as orchestrator:
        for number in range(2):
            await orchestrator.to(("billing", "order-7"), Event("approval", int)).send(number, event_id=str(number))
    listed = await cli("kept", "list", "billing", "--key", "order-7", "--payloads", "--dsn", seeded.dsn)
    assert [line.split()[:3] for line in listed.out.splitlines()[1:]] == [["billing", "order-7", "approval"]] * 2
    assert "payload" not in (await cli("kept", "list", "--json", "--dsn", seeded.dsn)).data[0]
    for wrong in ([], ["approval", "--all"]):
        assert (await cli("kept", "discard", "billing", "order-7", *wrong, "--yes", "--dsn", seeded.dsn)).code == 2
    discard = ("kept", "discard", "billing", "order-7", "approval", "--reason", "OPS-12", "--dsn", seeded.dsn)
    assert (await cli(*discard)).code == 2, "no person can be asked"
    assert (await cli(*discard, "--yes", "--json")).data == {"discarded": 2}
    assert (await cli(*discard, "--yes")).code == 1
    (act, *_) = (await cli("operations", "list", "--json", "--dsn", seeded.dsn)).data
    assert (act["verb"], act["reason"], act["done"]) == ("discard_kept", "OPS-12", 2)


async def test_messages_that_are_dead_are_listed_and_decided_about(cli: Cli, dsn: str) -> None:
    async def refuse(messages: Sequence[OutgoingMessage]) -> list[PublishOutcome]:
        return [RefusedForGood("too large") for _ in messages]

    @step
    async def charge(number: int, ctx: StepContext) -> None:
        ctx.publish("orders.charged", number)
        ctx.publish("orders.booked", number)

    @saga("paying")
    def paying(number: StepRef[int]) -> None:
        charge(number)

    assert (await cli("outgoing", "list", "--dsn", dsn)).out.startswith("No message is dead. With a saga's id")
    async with SagaOrchestrator(
        dsn, publishers={"*": refuse}, outgoing=OutgoingOptions(on_dead="skip")
    ) as orchestrator:
        run = await orchestrator.register(paying).start(7)
        async with asyncio.timeout(SOON):
            while (await orchestrator.engine.store.outgoing.counts()).dead < 2:
                await asyncio.sleep(0.01)
    listed = await cli("outgoing", "list", "--payloads", "--dsn", dsn)
    assert [line.split()[2] for line in listed.out.splitlines()[1:]] == ["orders.charged", "orders.booked"]
    first, _ = (await cli("outgoing", "list", str(run.id), "--json", "--dsn", dsn)).data
    assert (first["error"], first["attempts"], "payload" in first) == ("too large", 1, False)
    decide = ("outgoing", "discard", str(run.id), first["id"], "--reason", "OPS-12", "--dsn", dsn)
    assert (await cli(*decide)).code == 2, "no person can be asked"
    assert (await cli(*decide, "--yes", "--json")).data == {"discarded": 1}
    assert (await cli(*decide, "--yes")).code == 1
    assert (await cli("outgoing", "redrive", str(run.id), "--yes", "--json", "--dsn", dsn)).data == {"redriven": 1}
    acts = (await cli("operations", "list", "--json", "--dsn", dsn)).data
    assert [(act["verb"], act["reason"], act["done"]) for act in acts] == [
        ("redrive", None, 1),
        ("discard", "OPS-12", 1),
    ]


async def test_the_end_of_a_pause_moves_timers_where_that_is_asked(cli: Cli, seeded: Seeded) -> None:
    async def wakes_at() -> str:
        told = (await cli("show", seeded.retrying, "--json", "--dsn", seeded.dsn)).data
        return str(next(each["wakes_at"] for each in told["steps"] if each["wakes_at"]))

    before = await wakes_at()
    for whose in ("billing", "--all"):
        await cli("pause", whose, "--yes", "--dsn", seeded.dsn)
        assert (await cli("resume", whose, "--extend", "--yes", "--dsn", seeded.dsn)).code == 0
        assert before < (before := await wakes_at())


async def test_each_look_at_a_saga_says_that_its_name_is_paused(cli: Cli, seeded: Seeded) -> None:
    seen = await cli("list", "--dsn", seeded.dsn)
    assert "aused" not in seen.out
    await cli("pause", "billing", "--reason", "OPS-12", "--by", "ann", "--yes", "--dsn", seeded.dsn)
    told = " by ann: OPS-12; nothing begins before that pause ends"
    seen = await cli("list", "--dsn", seeded.dsn)
    rows = {
        each: line for line in seen.out.splitlines() for each in (seeded.retrying, seeded.ended) if str(each) in line
    }
    assert "retry, name paused " in rows[seeded.retrying]
    assert "paused" not in rows[seeded.ended], "nothing holds what has ended"
    assert f"{told}." in seen.out
    of_its_own = await cli("list", "--waits", "paused", "--dsn", seeded.dsn)
    assert "No saga is found." in of_its_own.out, "that finds those that are paused by themselves"
    assert f"{told}." in of_its_own.out
    assert f"{told}." in (await cli("list", "--all", "--dsn", seeded.dsn)).out
    assert "aused" not in (await cli("list", "--name", "shipping", "--dsn", seeded.dsn)).out
    assert [each["saga_name"] for each in (await cli("list", "--json", "--dsn", seeded.dsn)).data["pauses"]] == [
        "billing"
    ]
    assert told in (await cli("show", seeded.retrying, "--dsn", seeded.dsn)).out
    assert "aused" not in (await cli("show", seeded.ended, "--dsn", seeded.dsn)).out.split("Journal")[0]
    mend = "paused: saga-fn resume billing"
    assert mend in (await cli("doctor", "--dsn", seeded.dsn)).out
    [*_, row] = [
        line for line in (await cli("stats", "--dsn", seeded.dsn)).out.splitlines() if line.startswith("billing")
    ]
    assert row.endswith(" paused")
    await cli("resume", "billing", "--yes", "--dsn", seeded.dsn)
    assert mend not in (await cli("doctor", "--dsn", seeded.dsn)).out


async def test_a_preview_of_many_says_that_they_are_paused(cli: Cli, seeded: Seeded) -> None:
    await cli("pause", "billing", "--reason", "OPS-12", "--by", "ann", "--yes", "--dsn", seeded.dsn)
    told = await cli("bulk", "cancel", "--name", "billing", "--dry-run", "--dsn", seeded.dsn)
    assert "would accept it  1 of the first 1" in told.out
    assert "by ann: OPS-12; nothing begins before that pause ends" in told.out


async def test_sagas_that_are_paused_by_themselves_are_counted_and_shown(cli: Cli, seeded: Seeded) -> None:
    await cli("pause-saga", seeded.parked, "--yes", "--dsn", seeded.dsn)
    told = await cli("pauses", "--dsn", seeded.dsn)
    assert told.out == "Paused by themselves: 1 saga. saga-fn list --waits paused lists them.\n"
    assert (await cli("pauses", "--json", "--dsn", seeded.dsn)).data["sagas"] == {"sagas": 1, "is_more": False}
    [line] = [line for line in (await cli("list", "--dsn", seeded.dsn)).out.splitlines() if str(seeded.parked) in line]
    assert ", paused " in line


async def test_a_busy_owner_is_asked(cli: Cli, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb of a saga that a worker owns is carried out by that worker."""
    async with registered(SagaOrchestrator(dsn)) as worker:
        run = await worker.start(saga_name="billing", initial_data=Order("1"))
        async with asyncio.timeout(20):
            while (await worker.get_snapshot(run)).retry_counter == 0:
                await asyncio.sleep(0.02)
        told = await cli("cancel", run, "--yes", "--dsn", dsn)
        assert told.code == 0


async def test_a_dry_run_is_refused_as_the_verb_would_be(cli: Cli, seeded: Seeded) -> None:
    verb = ("abort", seeded.retrying, "--expect", "1", "--json", "--dsn", seeded.dsn)
    dry, wet = await cli(*verb, "--dry-run"), await cli(*verb, "--yes")
    assert (dry.code, wet.code) == (1, 1)
    assert json.loads(dry.err)["refusal"] == json.loads(wet.err.splitlines()[-1])["refusal"] == "moved_on"


async def test_what_may_be_left_over_is_told_before_the_question(seeded: Seeded) -> None:
    async with SagaOrchestrator(seeded.dsn, concurrency=0, read_only=True) as orchestrator:
        explained = await SagaAdmin(orchestrator).explain(seeded.retrying)
    [preview, *_] = [each for each in explained.verbs if each.is_legal]
    left = attrs.evolve(preview, may_be_left=("reserve", "charge"))
    shown = told(None, *of_preview(explained, left, where="db/shop"))
    assert "may be left over: reserve, charge" in shown


async def test_an_operation_that_somebody_stops_is_not_done(cli: Cli, dsn: str) -> None:
    await many(dsn, 40)
    bulk = asyncio.ensure_future(
        cli("bulk", "abort", "--name", "billing", "--per-second", "10", "--yes", "--idempotency-key", "k", "--dsn", dsn)
    )
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        async with asyncio.timeout(30):
            while not (found := await admin.list_operations()) or not found[0].done:
                await asyncio.sleep(0.05)
        await admin.stop_operation(found[0].id)
        told = await bulk
        assert told.code == 1
        assert f"saga-fn operations continue {found[0].id} goes on with it" in told.out
        assert (await admin.get_operation(found[0].id)).state is OperationState.STOPPED


def test_sagas_that_were_only_asked_are_not_done() -> None:
    moment = datetime.now(UTC)
    asked = Operation(
        id=UUID(int=1),
        verb="cancel",
        step_id=None,
        saga_id=None,
        wanted={},
        actor=None,
        reason=None,
        state=OperationState.DONE,
        began_at=moment,
        updated_at=moment,
        done=3,
        asked=2,
        refusals={},
    )
    assert over_of(asked).code == 1
    assert over_of(asked, background=True).code == 0
    assert over_of(msgspec.structs.replace(asked, asked=0)).code == 0
