"""The commands that look: over a real database, by its DSN alone."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from saga_fn import SagaOrchestrator
from saga_fn.store.migrate import grant
from saga_fn.store.rights import RoleKind
from tests.cli.conftest import APP, Cli, Seeded
from tests.cli.shop_app import Order, registered
from tests.support.poison import Poison
from tests.support.roles import role


async def test_sagas_are_listed_by_a_filter(cli: Cli, seeded: Seeded) -> None:
    told = await cli("list", "--waits", "parked", "--dsn", seeded.dsn)
    assert (told.code, told.err) == (0, "")
    head, row = told.out.splitlines()
    assert head.split() == ["saga", "name", "v", "status", "why", "step", "error", "key", "started", "changed"]
    assert row.split()[:5] == [str(seeded.parked), "shipping", "1", "SUSPENDED", "past_pivot"]
    assert (await cli("list", "--active", "--older-than", "1d", "--dsn", seeded.dsn)).out == "No saga is found.\n"


async def test_settings_may_stand_before_the_command(cli: Cli, seeded: Seeded) -> None:
    told = await cli("--dsn", seeded.dsn, "--json", "list", "--count", "--active")
    assert told.data == {"sagas": 2, "is_more": False}


async def test_the_dsn_may_come_from_the_environment_and_from_the_orchestrator(
    cli: Cli, seeded: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await cli("list", "--count", "--app", APP)).out == "3\n"
    monkeypatch.setenv("SAGA_FN_DSN", seeded.dsn)
    assert (await cli("list", "--count")).out == "3\n"
    monkeypatch.setenv("SAGA_FN_DSN", "postgresql://nobody@localhost:1/nothing")
    assert (await cli("list", "--count", "--dsn", seeded.dsn)).out == "3\n"


async def test_pages_follow_each_other(cli: Cli, seeded: Seeded) -> None:
    first = await cli("list", "--limit", "2", "--json", "--dsn", seeded.dsn)
    second = await cli("list", "--limit", "2", "--json", "--after", first.data["next"], "--dsn", seeded.dsn)
    assert [row["saga_name"] for row in first.data["rows"] + second.data["rows"]] == ["quick", "billing", "shipping"]
    assert second.data["next"] is None
    every = await cli("list", "--all", "--json", "--oldest-first", "--dsn", seeded.dsn)
    assert [json.loads(line)["id"] for line in every.out.splitlines()] == [
        str(each) for each in (seeded.parked, seeded.retrying, seeded.ended)
    ]
    assert len((await cli("list", "--all", "--dsn", seeded.dsn)).out.splitlines()) == 4


async def test_a_saga_is_found_by_its_attribute(cli: Cli, seeded: Seeded) -> None:
    told = await cli("list", "--attribute", "customer=shipping", "--dsn", seeded.dsn, "--json")
    assert [row["id"] for row in told.data["rows"]] == [str(seeded.parked)]


async def test_a_saga_is_shown_without_its_payloads_unless_they_are_asked_for(cli: Cli, seeded: Seeded) -> None:
    told = await cli("show", seeded.parked, "--dsn", seeded.dsn)
    assert told.code == 0
    assert "PARKED" in told.out
    assert "initial_data" not in told.out
    assert "9007199254740993" not in told.out
    hidden = (await cli("show", seeded.parked, "--dsn", seeded.dsn, "--json")).data
    assert "context" not in hidden
    assert all("input" not in entry for entry in hidden["step_history"])
    shown = (await cli("show", seeded.parked, "--dsn", seeded.dsn, "--json", "--payloads")).data
    assert shown["context"]["initial_data"]["number"] == "9007199254740993"
    assert "9007199254740993" in (await cli("show", seeded.parked, "--payloads", "--dsn", seeded.dsn)).out
    assert "Journal" not in (await cli("show", seeded.parked, "--journal", "0", "--dsn", seeded.dsn)).out


@pytest.mark.parametrize("command", ["show", "explain", "timeline", "diagram", "watch"])
async def test_hostile_texts_reach_the_terminal_as_texts(command: str, cli: Cli, seeded: Seeded) -> None:
    told = await cli(command, seeded.parked, "--dsn", seeded.dsn)
    assert told.code in (0, 1)
    assert all(line.isprintable() for line in told.out.splitlines())
    assert "[bold]" in told.out or command == "diagram"
    if command not in ("timeline", "diagram"):
        assert all(
            line.isascii()
            for line in (await cli(command, seeded.parked, "--json", "--dsn", seeded.dsn)).out.splitlines()
        )


async def test_a_saga_is_explained_as_an_operator_would_act(cli: Cli, seeded: Seeded) -> None:
    told = await cli("explain", seeded.retrying, "--dsn", seeded.dsn)
    assert f"  saga-fn retry-step {seeded.retrying} charge\n" in told.out, "it may be copied as it stands"
    assert " ID" not in told.out
    assert "only looks" not in told.out
    assert "--app module:orchestrator" in told.out
    assert "--app module:orchestrator" not in (await cli("explain", seeded.retrying, "--app", APP)).out
    assert (await cli("explain", seeded.retrying, "--dsn", seeded.dsn, "--json")).data["revision"] == 4


@pytest.mark.parametrize(
    "tokens, told",
    [
        (("--name", "biling"), "'biling': There is no saga of that name"),
        (
            ("--name", "billing", "--waits", "parked", "--step", "chrage"),
            "No step 'chrage' is known; there are reserve, charge",
        ),
        (("--name", "billing", "--waits", "parked", "--step", "charge[2]"), None),
        (("--name", "billing", "--waits", "parked"), None),
        (("--waits", "parked", "--step", "chrage"), None),
        (("--waits", "parked", "--step", "chrage", "--app", APP), "No step 'chrage' is known; there are "),
    ],
)
async def test_a_list_that_finds_nothing_says_what_may_be_misspelt(
    cli: Cli, seeded: Seeded, tokens: tuple[str, ...], told: str | None
) -> None:
    where = () if "--app" in tokens else ("--dsn", seeded.dsn)
    seen = await cli("list", *tokens, *where)
    assert (seen.code, seen.out.splitlines()[0]) == (0, "No saga is found.")
    if told is None:
        assert seen.out == "No saga is found.\n"
    else:
        assert told in seen.out


async def test_a_journal_that_is_cut_says_so(cli: Cli, seeded: Seeded) -> None:
    whole = await cli("show", seeded.retrying, "--dsn", seeded.dsn)
    assert "entries; --journal" not in whole.out
    cut = await cli("show", seeded.retrying, "--journal", "2", "--dsn", seeded.dsn)
    assert "The last 2 of 4 entries; --journal 1000 shows up to so many.\n" in cut.out
    assert "direction     forward\n" in whole.out
    assert "direction" not in (await cli("show", seeded.ended, "--dsn", seeded.dsn)).out


async def test_pictures_are_drawn_and_written(cli: Cli, seeded: Seeded, tmp_path: Path) -> None:
    assert "charge" in (await cli("timeline", seeded.retrying, "--dsn", seeded.dsn)).out
    file = tmp_path / "saga.svg"
    told = await cli("timeline", seeded.retrying, "--format", "svg", "--output", file, "--dsn", seeded.dsn)
    assert told.out == f"Written to {file}.\n"
    assert file.read_text("utf-8").startswith("<svg")
    mermaid = await cli("diagram", "shipping", "--app", APP, "--format", "mermaid", "--json")
    assert mermaid.data["format"] == "mermaid"
    assert "print_label" in mermaid.data["picture"]
    assert "charge" in (await cli("diagram", seeded.retrying, "--dsn", seeded.dsn)).out
    failed = await cli("timeline", seeded.retrying, "-o", tmp_path / "no" / "saga.svg", "--dsn", seeded.dsn)
    assert failed.code == 2


async def test_sagas_are_exported_and_replayed_against_a_build(cli: Cli, seeded: Seeded, tmp_path: Path) -> None:
    file = tmp_path / "live.jsonl"
    told = await cli("export", "--dsn", seeded.dsn, "-o", file)
    assert (told.code, told.out) == (0, f"3 sagas exported to {file}.\n")
    one = await cli("export", seeded.ended, "--output", file, "--json", "--dsn", seeded.dsn)
    assert one.data == {"exported": 1, "output": str(file)}
    assert len(file.read_text("utf-8").splitlines()) == 4
    found = await cli("replay", file, "--app", APP)
    assert (found.code, found.err) == (0, "")
    assert found.out.startswith("3 sagas with ")
    assert "0 findings" in found.out
    file.write_text('{"format": 1}\n', "utf-8")
    damaged = await cli("replay", file, "--app", APP, "--json")
    assert (damaged.code, [each["kind"] for each in damaged.data["findings"]]) == (1, ["damaged"])
    assert (await cli("replay", file, "--app", APP, "--but", "damaged", "--but", "unfit")).code == 0
    assert (await cli("replay", file, "--app", APP, "--but", "unfit")).code == 1
    assert "HINT: export the saga again" in (await cli("replay", file, "--app", APP)).out
    file.write_text("", "utf-8")
    empty = await cli("replay", file, "--app", APP, "--json")
    assert (empty.code, [each["kind"] for each in empty.data["findings"]]) == (1, ["incomplete"])
    assert (await cli("replay", file, "--app", APP, "--but", "incomplete")).code == 0


async def test_sagas_are_verified(cli: Cli, seeded: Seeded) -> None:
    told = await cli("verify", "--dsn", seeded.dsn)
    assert (told.code, told.out) == (0, "3 sagas verified; 0 differ from their journals.\n")
    one = await cli("verify", seeded.ended, "--json", "--dsn", seeded.dsn)
    assert one.data == {"verified": 1, "differences": {}}
    assert (await cli("verify", "--name", "quick", "--dsn", seeded.dsn)).out.startswith("1 sagas")
    assert (await cli("verify", seeded.ended, "--name", "quick", "--dsn", seeded.dsn)).code == 2
    assert (await cli("verify", uuid4(), "--dsn", seeded.dsn)).code == 2


@pytest.mark.raw_rows
async def test_a_saga_that_differs_from_its_journal_is_found(cli: Cli, seeded: Seeded) -> None:
    async with registered(SagaOrchestrator(seeded.dsn, concurrency=0)) as orchestrator:
        await Poison(orchestrator).lose_entry(seeded.ended, 2)
    told = await cli("verify", "--dsn", seeded.dsn)
    assert told.code == 1
    assert str(seeded.ended) in told.out


async def test_numbers_are_counted(cli: Cli, seeded: Seeded) -> None:
    told = await cli("stats", "--dsn", seeded.dsn)
    assert told.code == 0
    assert "shipping" in told.out
    found = (await cli("stats", "--json", "--dsn", seeded.dsn)).data
    parked = {each["saga_name"]: each["parked"]["sagas"] for each in found["stats"]["definitions"]}
    assert parked == {"billing": 0, "quick": 0, "shipping": 1}


async def test_a_saga_is_watched_until_it_ends_or_waits_for_a_person(cli: Cli, seeded: Seeded) -> None:
    ended = await cli("watch", seeded.ended, "--every", "100ms", "--dsn", seeded.dsn)
    assert (ended.code, ended.err) == (0, "COMPLETED\n")
    assert ended.out.startswith("#1 ")
    parked = await cli("watch", seeded.parked, "--json", "--dsn", seeded.dsn)
    assert (parked.code, parked.err) == (1, "SUSPENDED: parked, past_pivot\n")
    assert [json.loads(line)["seq"] for line in parked.out.splitlines()] == [1, 2, 3, 4]
    await cli("abort", seeded.retrying, "--yes", "--dsn", seeded.dsn)
    failed = await cli("watch", seeded.retrying, "--dsn", seeded.dsn)
    assert (failed.code, failed.err) == (1, "FAILED: reserve (not undone)\n")


async def test_a_saga_that_goes_on_is_watched_for_as_long_as_is_wanted(cli: Cli, seeded: Seeded) -> None:
    retrying = await cli("watch", seeded.retrying, "--times", "2", "--every", "100ms", "--dsn", seeded.dsn)
    assert retrying.code == 0


async def test_the_whole_store_is_watched(cli: Cli, seeded: Seeded) -> None:
    told = await cli("watch", "--times", "2", "--every", "100ms", "--dsn", seeded.dsn)
    assert told.code == 0
    assert told.out.count("waiting for a person") == 2
    lines = (await cli("watch", "--times", "2", "--every", "100ms", "--json", "--dsn", seeded.dsn)).out.splitlines()
    assert [json.loads(line)["attention"][0]["kind"] for line in lines] == ["parked", "parked"]


async def test_a_viewer_may_look(cli: Cli, seeded: Seeded) -> None:
    async with role(seeded.dsn) as (name, dsn):
        await grant(seeded.dsn, role=name, kind=RoleKind.VIEWER)
        for command in (("list",), ("show", seeded.parked), ("explain", seeded.parked), ("stats",), ("doctor",)):
            assert (await cli(*command, "--dsn", dsn)).code in (0, 1)
        refused = await cli("cancel", seeded.retrying, "--yes", "--dsn", dsn)
        assert refused.code == 2
        assert "saga-fn migrate" in refused.err


async def test_sagas_of_a_store_with_shards_are_found_without_saying_how_many(cli: Cli, empty_dsn: str) -> None:
    assert (await cli("migrate", "--shards", "4", "--schema", "other", "--dsn", empty_dsn)).code == 0
    async with registered(SagaOrchestrator(empty_dsn, schema="other", shards=4, concurrency=0)) as orchestrator:
        await orchestrator.start(saga_name="quick", initial_data=Order("1"))
    assert (await cli("list", "--count", "--schema", "other", "--dsn", empty_dsn)).out == "1\n"
