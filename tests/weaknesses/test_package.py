"""The package and its schema; and that no weakness was forgotten."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import asyncpg

from saga_fn import HistoryStatus, SagaAdmin, SagaOrchestrator, SagaStatus
from tests.engine.shop import Order, Shop, make_saga

ROOT = Path(__file__).parents[2]

PROGRAM = """
from typing_extensions import override

from saga_fn import BaseStep, SagaBuilder

class Double(BaseStep[int, str]):
    @override
    async def execute(self, inp: int, /) -> str:
        return str(2 * inp)

builder = SagaBuilder(int)
doubled = builder.add_step(Double(), depends_on=builder.initial)
builder.add_step(Double(), depends_on=doubled, input_map=lambda text: {expression}, step_id="again")
"""


def mypy(*arguments: str) -> tuple[int, str]:
    """What mypy says, strict as the project's configuration makes it."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_weakness_35_the_package_and_what_uses_it_have_no_error_under_mypy_strict(tmp_path: Path) -> None:
    assert (ROOT / "saga_fn" / "py.typed").exists()
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(expression="len(text)"))
    status, said = mypy("saga_fn", str(program))
    assert status == 0, said
    program.write_text(PROGRAM.format(expression="text.no_such_thing"))
    status, said = mypy(str(program))
    assert status == 1
    assert '"str" has no attribute "no_such_thing"' in said


async def test_weakness_36_what_grows_is_counted_in_eight_bytes_and_no_type_is_shared(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    small = await connection.fetch(
        "SELECT DISTINCT column_name FROM information_schema.columns"
        " WHERE table_schema = 'saga_fn' AND data_type IN ('integer', 'smallint')"
    )
    enums: int = await connection.fetchval("SELECT count(*) FROM pg_type WHERE typtype = 'e'")
    await connection.close()
    # None of these counts sagas, or what happens to one over its life.
    assert {row[0] for row in small} == {"shard", "version", "format", "waits", "retry_counter", "number"}
    assert enums == 0


async def test_weakness_36_two_stores_in_one_database_do_not_know_each_other(dsn: str) -> None:
    async with (
        SagaOrchestrator(dsn, schema="one", migrate=True, concurrency=0) as one,
        SagaOrchestrator(dsn, schema="other", migrate=True, concurrency=0) as other,
    ):
        one.register("shop", make_saga(Shop()))
        run = await other.register("shop", make_saga(Shop())).start(Order("1"))
        assert await one.run_due() == 0
        connection = await asyncpg.connect(dsn)
        await connection.execute("DROP SCHEMA one CASCADE")
        await connection.close()
        assert await other.run_due() == 1
        assert (await run.snapshot()).status is SagaStatus.COMPLETED
        assert await SagaAdmin(other).verify(run.id) == []


async def test_weakness_36_a_history_has_the_phases_and_statuses_it_says(dsn: str) -> None:
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        shop = Shop(fails={"ship": 1, "refund charge": 1})
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        await orchestrator.run_due()
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
        assert {entry.phase for entry in history} == {"execute", "compensate", "saga"}
        assert {entry.status for entry in history} == set(HistoryStatus) == {"SUCCESS", "ERROR", "INFO"}


def test_weakness_36_the_source_is_in_one_language() -> None:
    for source in (ROOT / "saga_fn").rglob("*.py"):
        letters = {letter for letter in source.read_text() if letter.isalpha()}
        assert {letter for letter in letters if not unicodedata.name(letter).startswith("LATIN")} == set(), source


def test_every_weakness_has_a_test_or_a_reason_why_not() -> None:
    tested = {
        int(number)
        for file in (ROOT / "tests").rglob("test_*.py")
        for number in re.findall(r"^(?:async )?def test_weakness_(\d\d)_", file.read_text(), re.MULTILINE)
    }
    section = (
        (ROOT / "ARCHITECTURE.md").read_text().partition("\n## Weaknesses without a test\n")[2].partition("\n## ")[0]
    )
    exempt = {int(number) for number in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    assert tested | exempt == set(range(1, 37))
    assert tested & exempt == set(), "what has a test needs no excuse"
