"""README's first example: the code there is the example's, and the story in the terminal happens, command by command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import attrs
import httpx
import pytest
from fastapi import HTTPException

from saga_fn import MemoryStore, SagaAdmin, SagaOrchestrator
from saga_fn.examples import shop
from tests.support.documents import README, ROOT, blocks_in
from tests.support.ports import free_port
from tests.support.until import SOON

DONE = "<done>"
# As curl does it, but a service that is just starting is waited for, and each answer ends its line.
CURL = """\
import sys, time, urllib.error, urllib.request
json = sys.argv[sys.argv.index("--json") + 1].encode() if "--json" in sys.argv else None
request = urllib.request.Request("http://" + sys.argv[-1], json, {"Content-Type": "application/json"})
while True:
    try:
        print(urllib.request.urlopen(request, timeout=90).read().decode())
        break
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ConnectionRefusedError):
            raise
        time.sleep(0.1)
"""


@attrs.frozen
class Told:
    """A command of the story, and what it prints."""

    command: str
    output: str


def story() -> list[Told]:
    block, *_ = blocks_in(README, "console")
    parts = [part.partition("\n") for part in ("\n" + block.code).split("\n$ ")[1:]]
    return [Told(command, output.strip()) for command, _, output in parts]


@contextmanager
def shell(folder: Path, dsn: str, bank: int) -> Generator[subprocess.Popen[str]]:
    (folder / "curl.py").write_text(CURL, encoding="utf-8")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SAGA_FN_DSN": dsn,
        "BANK": f"http://localhost:{bank}",
    }
    running = subprocess.Popen(
        ["bash", "--norc"],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        assert running.stdin
        assert running.stdout
        running.stdin.close()
        running.stdout.close()


def printed(running: subprocess.Popen[str], command: str) -> str:
    """What the command prints, once it is over."""
    assert running.stdin
    assert running.stdout
    running.stdin.write(f"{command}\necho '{DONE}'\n")
    running.stdin.flush()
    return "".join(iter(running.stdout.readline, f"{DONE}\n")).strip()


def test_readme_shows_the_example_as_it_is() -> None:
    shown = blocks_in(README, "python")[0].code
    assert (
        (ROOT / "saga_fn" / "examples" / "shop.py")
        .read_text(encoding="utf-8")
        .endswith(
            f'"""\n\nimport saga_fn.examples.extra  # noqa: F401  # pyright: ignore[reportUnusedImport]  # isort: skip\n\n{shown}'
        )
    )


def test_the_story_happens_as_it_is_told(empty_dsn: str, tmp_path: Path) -> None:
    shop, bank = free_port(), free_port()
    with shell(tmp_path, empty_dsn, bank) as running:
        printed(running, f"curl() {{ '{sys.executable}' curl.py \"$@\"; }}")
        for told in story():
            command = told.command.replace("8000", str(shop)).replace("8001", str(bank))
            output, give_up = printed(running, command), time.monotonic() + SOON
            while output != told.output and "--json" not in command and time.monotonic() < give_up:
                time.sleep(0.1)  # the money is on its way to the bank
                output = printed(running, command)
            logs = [log.read_text(encoding="utf-8") for log in tmp_path.glob("*.log")]
            assert output == told.output, (told.command, logs)


async def test_what_cannot_be_answered_is_said_to_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    orchestrator = SagaOrchestrator(MemoryStore(), concurrency=0)
    monkeypatch.setattr(shop, "orders", orchestrator.register(shop.order_saga))
    async with orchestrator:
        first = await shop.place(shop.Order(order_id="1", cents=900))
        again = await shop.place(shop.Order(order_id="1", cents=900))
        assert (first.status_code, first.body) == (202, again.body)
        with pytest.raises(HTTPException, match="another order of that id") as conflict:
            await shop.place(shop.Order(order_id="1", cents=901))
        assert conflict.value.status_code == 409
        with pytest.raises(HTTPException, match="no such order") as unknown:
            await shop.status(UUID(int=7))
        assert unknown.value.status_code == 404


async def test_an_approval_of_no_order_is_refused_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    orchestrator = SagaOrchestrator(MemoryStore())
    monkeypatch.setattr(shop, "orchestrator", orchestrator)
    monkeypatch.setattr(shop, "orders", orchestrator.register(shop.order_saga))
    async with orchestrator:
        with pytest.raises(HTTPException, match="no such order") as unknown:
            await shop.approve(UUID(int=7), shop.Approval(by="ann"))
        assert unknown.value.status_code == 404
        assert await SagaAdmin(orchestrator).kept_events() == ()
        run = await shop.orders.start(shop.Order(order_id="7", cents=1), aggregation_id="7")
        await orchestrator.run_until_idle()
        assert await shop.approve(run.id, shop.Approval(by="ann")) == "accepted"
        assert await shop.approve(run.id, shop.Approval(by="ann")) in ("duplicate", "ended")


@pytest.mark.parametrize("wait", ["nan", "inf", "-1", "61"])
async def test_a_status_is_not_waited_for_without_end(wait: str) -> None:
    transport = httpx.ASGITransport(shop.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        assert (await client.get(f"/orders/{UUID(int=7)}", params={"wait": wait})).status_code == 422


async def test_an_order_that_is_not_paid_is_answered_with_what_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    orchestrator = SagaOrchestrator(MemoryStore())
    monkeypatch.setattr(shop, "orders", orchestrator.register(shop.order_saga))
    async with orchestrator:
        admin = SagaAdmin(orchestrator)
        cancelled, failed = [await shop.orders.start(shop.Order(order_id=each, cents=1)) for each in "12"]
        await orchestrator.run_until_idle()
        assert await shop.status(failed.id) == {"status": "in progress"}
        await admin.cancel(cancelled.id)
        await admin.abort(failed.id)
        assert await shop.status(cancelled.id, wait=20) == {"status": "cancelled"}
        assert await shop.status(failed.id, wait=20) == {"status": "a person looks after it"}
