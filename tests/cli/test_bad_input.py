"""Bad input: one line with the mend, and exit code 2. No traceback without `--debug`."""

from __future__ import annotations

import json
import random
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saga_fn.admin.filter_fields import FILTER_FIELDS
from saga_fn.cli.app import run
from saga_fn.cli.failures import failure_of
from saga_fn.cli.spelling import in_commands
from saga_fn.errors import ActiveSagaAlreadyExistsError, SagaStateError
from tests.cli.conftest import Cli, Seeded, Told
from tests.cli.shop_app import ESCAPES
from tests.cli.test_help import COMMANDS

NOBODY = "01a225a8-f4ff-8e62-81e9-70c12026bec3"
NOWHERE = "postgresql://nobody@localhost:1/nothing"


def one_line_with_a_mend(told: Told) -> bool:
    [line] = told.err.splitlines()
    return (
        told.code == 2 and not told.out and line.startswith("saga-fn: ") and ". Mend: " in line and line.isprintable()
    )


@pytest.mark.parametrize(
    "tokens",
    [
        ("nothing",),
        ("list", "--nothing"),
        ("list", "--limit", "many"),
        ("list", "--limit", "0"),
        ("list", "--status", "BROKEN"),
        ("list", "--after", "x"),
        ("list", "--waits", ESCAPES),
        ("list", "--attribute", "total:decimal>=x"),
        ("list", "--error", "E"),
        ("list", "--attribute", f"{ESCAPES}=1"),
        ("show",),
        ("show", "order-7"),
        ("show", ESCAPES),
        ("show", NOBODY),
        ("show", NOBODY, "--journal", "9999"),
        ("show", NOBODY, "--journal", "-1"),
        ("explain", NOBODY),
        ("timeline", NOBODY),
        ("timeline", NOBODY, "--format", "gif"),
        ("diagram", "shipping"),
        ("watch", NOBODY),
        ("watch", "--every", "soon"),
        ("verify", "x"),
        ("export", "x", "-o", "x"),
        ("export",),
        ("export", NOBODY, "--name", "x", "-o", "x"),
        ("export", "-o", "no/such/folder"),
        ("replay",),
        ("replay", "no such file"),
        ("replay", ESCAPES, "--app", "tests.cli.shop_app:orchestrator"),
        ("cancel", NOBODY),
        ("retry-step", NOBODY),
        ("retry-step", NOBODY, "charge", "--input", "{"),
        ("start-now", NOBODY, "--at", "later"),
        ("bulk", "cancel", "--per-second", "0", "--name", "x", "--yes"),
        ("bulk", "nothing"),
        ("operations", "show", "x"),
        ("operations", "show", NOBODY),
        ("operations", "stop", NOBODY),
        ("migrate", "--grant", "king=ann"),
        ("migrate", "--shards", "0"),
        ("migrate", "--shards", "2"),
        ("worker", "nothing"),
        ("worker", "no.such.module:orchestrator"),
        ("worker", "tests.cli.shop_app:orchestrators"),
        ("worker", "tests.cli.shop_app:nothing"),
        ("worker", "tests.cli.shop_app:broken"),
        ("worker", "tests.cli.shop_app:later"),
        ("worker", ".shop:orchestrator"),
        ("pause", "x", "--yes", "--by", "ann\nbob"),
        ("pause", "x", "--yes", "--reason", ESCAPES),
        ("pause", "x" * 300, "--yes"),
        ("worker", "tests.cli.shop_app:empty"),
        ("worker", "tests.cli.shop_app:looking_only"),
        ("list", "--schema", "nothing"),
        ("list", "--schema", "a\0b"),
        ("diagram", "nothing", "--app", "tests.cli.shop_app:in_memory"),
        ("completion", "tcsh"),
    ],
    ids=lambda tokens: " ".join(tokens).encode("ascii", "backslashreplace").decode()[:60],
)
async def test_it_is_told_in_one_line(
    tokens: tuple[str, ...], cli: Cli, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGA_FN_TEST_APP_DSN", dsn)
    told = await cli(*tokens, "--dsn", dsn)
    assert one_line_with_a_mend(told), told


@pytest.mark.parametrize(
    "tokens, fact, mend",
    [
        (("explain",), "SAGA_ID is missing", "saga-fn explain --help"),
        (("bulk", "settle-done", "--name", "x"), "STEP is missing", "saga-fn bulk settle-done --help"),
        (("list", "--limit"), "the value of --limit is missing", "saga-fn list --help"),
        (("bulk", "rewind", "charge", "--nothing"), "Unknown option: --nothing", "saga-fn bulk rewind --help"),
    ],
)
async def test_the_argument_and_the_command_are_named(tokens: tuple[str, ...], fact: str, mend: str, cli: Cli) -> None:
    told = await cli(*tokens, "--dsn", NOWHERE)
    assert one_line_with_a_mend(told), told
    assert fact in told.err
    assert mend in told.err


@pytest.mark.parametrize("app", ["tests.cli.shop_app:orchestrator", "tests.cli.shop_app:in_memory"])
@pytest.mark.parametrize("option", [("--dsn", NOWHERE), ("--schema", "other")])
async def test_a_worker_is_given_no_other_place_than_its_own(
    app: str, option: tuple[str, str], cli: Cli, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGA_FN_TEST_APP_DSN", dsn)
    if app.endswith("in_memory") and option[0] == "--schema":
        pytest.skip("a store in memory has no schema")
    told = await cli("worker", app, *option)
    assert one_line_with_a_mend(told), told
    assert "leave --dsn" in told.err


async def test_a_worker_takes_the_orchestrator_of_the_settings(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAGA_FN_APP", raising=False)
    unnamed = await cli("worker")
    assert one_line_with_a_mend(unnamed), unnamed
    assert "no orchestrator is named" in unnamed.err
    by_option = await cli("worker", "--app", "tests.cli.shop_app:empty")
    monkeypatch.setenv("SAGA_FN_APP", "tests.cli.shop_app:looking_only")
    by_variable = await cli("worker")
    before_it = await cli("worker", "tests.cli.shop_app:empty")
    for told, name in ((by_option, "empty"), (by_variable, "looking_only"), (before_it, "empty")):
        assert one_line_with_a_mend(told), told
        assert f"tests.cli.shop_app:{name}" in told.err


@pytest.mark.parametrize("given_dsn", [NOWHERE, "", "mysql://x", "not a dsn", "postgresql://localhost:99999/x"])
async def test_a_wrong_dsn_is_told(given_dsn: str, cli: Cli) -> None:
    for command in ("list", "doctor", "migrate", "pauses"):
        assert one_line_with_a_mend(await cli(command, "--dsn", given_dsn))


async def test_no_dsn_at_all_is_told(cli: Cli) -> None:
    told = await cli("list")
    assert one_line_with_a_mend(told)
    assert "SAGA_FN_DSN" in told.err
    in_memory = await cli("list", "--app", "tests.cli.shop_app:in_memory")
    assert one_line_with_a_mend(in_memory)
    assert "--dsn" in in_memory.err


async def test_a_table_that_is_not_there_is_told(cli: Cli, empty_dsn: str) -> None:
    told = await cli("list", "--dsn", empty_dsn)
    assert one_line_with_a_mend(told)
    assert "saga-fn migrate" in told.err
    doctor = await cli("doctor", "--dsn", empty_dsn)
    assert doctor.code == 1
    assert "saga-fn migrate --schema saga_fn" in doctor.out


async def test_a_failure_is_json_where_answers_are(cli: Cli, dsn: str) -> None:
    told = await cli("list", "--json", "--status", "x", "--dsn", dsn)
    assert told.out == ""
    assert json.loads(told.err)["code"] == 2


async def test_a_traceback_is_shown_with_debug_alone(cli: Cli, dsn: str) -> None:
    assert "Traceback" not in (await cli("show", "x", "--dsn", dsn)).err
    assert "Traceback" in (await cli("show", "x", "--dsn", dsn, "--debug")).err


async def test_a_module_is_named_that_cannot_be_imported(
    cli: Cli, seeded: Seeded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("cli_wrong_a", "1 / 0"), ("cli_wrong_b", "import no_such_library"), ("cli_wrong_c", "x = (")):
        (tmp_path / f"{name}.py").write_text(text, "utf-8")
        told = await cli("list", "--app", f"{name}:orchestrator", "--dsn", seeded.dsn)
        assert one_line_with_a_mend(told)
        assert "cannot be imported" in told.err


def test_refusals_have_a_code_of_their_own() -> None:
    assert failure_of(SagaStateError("no", refusal="moved_on")).code == 1
    assert failure_of(ActiveSagaAlreadyExistsError("a", "b", uuid4())).code == 1
    assert failure_of(KeyboardInterrupt()).code == 130
    fault = failure_of(ZeroDivisionError(ESCAPES))
    assert fault.code == 3
    assert fault.line.isprintable()
    assert in_commands("see steps of SagaAdmin.get_saga") == "see steps of saga-fn show ID"


async def test_whatever_is_typed_at_a_database_is_told_in_one_line(cli: Cli, seeded: Seeded) -> None:
    chance = random.Random(7)
    things = [
        str(seeded.parked),
        str(seeded.retrying),
        "charge",
        "1",
        "x",
        "null",
        "[]",
        "--yes",
        "--json",
        "--dry-run",
    ]
    things += [f"--{field.option}" for field in FILTER_FIELDS] + [
        "parked",
        "FAILED",
        "1h",
        "2026-01-01",
        ESCAPES,
        "--at",
    ]
    commands = [words for words in COMMANDS if words[0] not in ("demo", "worker", "console", "completion", "watch")]
    for _ in range(60):
        tokens = [*chance.choice(commands), *chance.choices(things, k=chance.randrange(5))]
        told = await cli(*tokens, "--dsn", seeded.dsn)
        assert told.code in (0, 1, 2), (tokens, told)
        assert told.code != 2 or len(told.err.splitlines()) >= 1, (tokens, told)
        assert all(line.isprintable() for line in (told.out + told.err).splitlines()), (tokens, told)


WORDS = st.sampled_from(
    [
        *(f"--{field.option}" for field in FILTER_FIELDS),
        *(" ".join(words) for words in COMMANDS),
        "--yes",
        "--json",
        "--at",
    ]
)


@settings(max_examples=40)
@given(
    command=st.sampled_from(
        [words for words in COMMANDS if words[0] not in ("demo", "worker", "console", "completion")]
    ),
    rest=st.lists(WORDS | st.text(max_size=8), max_size=4),
)
def test_whatever_is_typed_is_told_in_one_line(command: tuple[str, ...], rest: list[str]) -> None:
    """No server answers at that address: each command is refused before it, or by it."""
    assert run([*command, *rest, "--dsn", NOWHERE]) in (0, 2)
