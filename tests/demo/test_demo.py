"""The whole demo as a user runs it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import asyncpg
import httpx
import pytest

from saga_fn.demo import command as program
from saga_fn.demo.audit import Finding, Rule
from saga_fn.demo.cards import REPAIRED
from saga_fn.demo.orders import SHIPPED_ORDERS, read_orders
from saga_fn.demo.services.risk import verdict_on
from saga_fn.demo.services.weather import Weather

SEED = 6
LIMIT = 40


def demo(*arguments: str, dsn: str) -> subprocess.CompletedProcess[str]:
    """Run the demo as a program, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "saga_fn.demo", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "SAGA_FN_DSN": dsn, "COLUMNS": "120"},
    )


def row(output: str, name: str) -> str:
    """The second cell of a table's row."""
    found = re.search(rf"^\W*{re.escape(name)}\W*?(\w+)\W*$", output, re.MULTILINE)
    assert found is not None, f"no row {name!r} in:\n{output}"
    return found.group(1)


async def test_orders_are_fulfilled_though_one_worker_is_killed(empty_dsn: str) -> None:
    run = demo("--limit", str(LIMIT), "--seed", str(SEED), dsn=empty_dsn)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""

    weather = Weather(SEED)
    refused = sum(
        any(weather.refuses(order.order_id, operation) for operation in ("reserve", "charge", "ship"))
        or verdict_on(weather, order.order_id, order.total_cents) != "approved"
        for order in read_orders(SHIPPED_ORDERS)[:LIMIT]
    )
    assert 0 < refused < LIMIT
    assert row(run.stdout, "compensated") == str(refused)
    assert row(run.stdout, "completed") == str(LIMIT - refused)
    assert row(run.stdout, "failed") == row(run.stdout, "unfinished") == "0"
    assert int(row(run.stdout, "approved")) >= LIMIT - refused
    assert {row(run.stdout, rule.value) for rule in Rule} == {"none"}

    assert re.search(r"^worker-1 \(process \d+\) was killed with SIGKILL$", run.stdout, re.MULTILINE)
    assert "A saga that was rolled back: order-" in run.stdout
    assert "A saga that waited in vain for a decision: order-" in run.stdout
    assert "turns back: WaitTimeoutError: no event 'decision' came within 4 s" in run.stdout
    assert re.search(r"risk office\W+approved, by a (rule|person): (taken|came)", run.stdout)
    assert "A saga that was taken over when worker-1 was killed: order-" in run.stdout

    connection = await asyncpg.connect(empty_dsn)
    try:
        left = await connection.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE '%saga_fn%'")
    finally:
        await connection.close()
    assert left == [], "the demo cleans up after itself"


def test_bad_orders_are_refused_before_anything_is_started(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"order_id": 5}\n')
    run = demo("--orders", str(path), dsn="postgresql://nobody@127.0.0.1:9/nowhere")
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.startswith(f"{path} cannot be used:\n  line 1: Expected `str`, got `int` - at `$.order_id`\n")


def test_a_server_that_does_not_answer_is_named_as_the_cause() -> None:
    run = demo(dsn="postgresql://nobody@127.0.0.1:9/nowhere")
    assert run.returncode == 2
    assert run.stderr.startswith("PostgreSQL cannot be used: ")
    assert "HINT: SAGA_FN_DSN" in run.stderr


def test_the_last_worker_is_not_killed() -> None:
    run = demo("--workers", "1", dsn="")
    assert run.returncode == 2
    assert "--no-kill" in run.stderr


def test_a_finding_makes_the_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(*_: object) -> tuple[Finding, ...]:
        return (Finding(Rule.CHARGED_TWICE, "order-0001", "twice"),)

    monkeypatch.setenv("SAGA_FN_DSN", "postgresql://never-used")
    monkeypatch.setattr(program, "run_demo", found)
    assert program.run([]) == 1


async def test_the_console_repairs_its_sagas_until_a_key_is_pressed(empty_dsn: str) -> None:
    command = [sys.executable, "-m", "saga_fn.demo", "--limit", "4", "--no-kill", "--workers", "1", "--console"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "SAGA_FN_DSN": empty_dsn, "COLUMNS": "60"},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        address = ""
        async with asyncio.timeout(110):
            while "enter?token=" not in address:
                line = await process.stdout.readline()
                assert line, "it has ended"
                address = line.decode().split()[-1]
            url, _, token = address.partition("enter?token=")
            async with httpx.AsyncClient(base_url=url, follow_redirects=True) as http:
                page = await http.post("enter", data={"token": token})
                while page.text.count("AddressMissingError") < 3:
                    await asyncio.sleep(0.1)
                    page = await http.get("/")
                saga = re.findall(r'href="(./sagas/[0-9a-f-]{36})"', page.text)[0]
                form = (await http.get(f"{saga}/verbs/retry_step?step=post_card")).text
                hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', form))
                fields = {
                    **hidden,
                    "verb-step": "post_card",
                    "verb-input": REPAIRED,
                    "reason": "she has called",
                    "act": "do",
                }
                verb, sent = f"{saga}/verbs/retry_step", {"Origin": url.rstrip("/")}
                looked = await http.post(verb, data={**fields, "act": "look"}, headers=sent)
                hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', looked.text))
                page = await http.post(verb, data={**fields, **hidden}, headers=sent)
                while "COMPLETED" not in page.text:
                    await asyncio.sleep(0.1)
                    page = await http.get(saga)
                assert "posted to Main Street 1" in page.text
            process.stdin.write(b"x")
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
