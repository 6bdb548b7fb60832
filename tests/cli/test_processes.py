"""The command as a process: exit codes, Ctrl-C, a pipe that is closed, a narrow terminal, no colour."""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from typing_extensions import override

from saga_fn import SagaOrchestrator, SagaStateError
from saga_fn.cli.failures import failure_of
from saga_fn.cli.output import Output
from tests.cli.conftest import APP, ROOT, Seeded, called, process
from tests.cli.shop_app import Order, registered
from tests.support.roles import execute


async def test_exit_codes_tell_how_it_ended(seeded: Seeded) -> None:
    assert (await called("doctor", SAGA_FN_DSN=seeded.dsn)).code == 1
    told = await called("list", "--status", "x", SAGA_FN_DSN=seeded.dsn)
    assert (told.code, told.out, len(told.err.splitlines())) == (2, "", 1)


async def until_it_says(running: subprocess.Popen[str], word: str, *, err: bool = False) -> str:
    stream = running.stderr if err else running.stdout
    assert stream is not None
    async with asyncio.timeout(30):
        while word not in (line := await asyncio.to_thread(stream.readline)):
            assert line, "it has ended"
    return line


async def test_ctrl_c_ends_a_watch_without_a_traceback(seeded: Seeded) -> None:
    with process("watch", str(seeded.retrying), SAGA_FN_DSN=seeded.dsn) as running:
        await until_it_says(running, "#4")
        running.send_signal(signal.SIGINT)
        out, err = await asyncio.to_thread(running.communicate, timeout=30)
    assert (running.returncode, out, err) == (130, "", "saga-fn: interrupted\n")


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
async def test_a_worker_works_until_it_is_told_to_stop(dsn: str, by: signal.Signals) -> None:
    async with registered(SagaOrchestrator(dsn, concurrency=0)) as orchestrator:
        run = await orchestrator.start(saga_name="quick", initial_data=Order("1"))
        with process("worker", APP, SAGA_FN_TEST_APP_DSN=dsn) as running:
            await until_it_says(running, "Working on shipping v1", err=True)
            async with asyncio.timeout(30):
                while not (await orchestrator.get_snapshot(run)).status.is_terminal:
                    await asyncio.sleep(0.05)
            running.send_signal(by)
            out, _ = await asyncio.to_thread(running.communicate, timeout=30)
    assert (running.returncode, out) == (0, "Stopped.\n")


async def test_the_console_is_served_until_ctrl_c(dsn: str) -> None:
    with process("console", "--port", "0", "--json", SAGA_FN_DSN=dsn) as running:
        address = json.loads(await until_it_says(running, "address"))["address"]
        assert address.startswith("http://127.0.0.1:")
        assert "token=" in address
        running.send_signal(signal.SIGINT)
        out, err = await asyncio.to_thread(running.communicate, timeout=30)
    assert (running.returncode, json.loads(out), err) == (0, {"stopped": True}, "")


async def test_a_console_for_other_machines_is_refused(dsn: str) -> None:
    told = await called("console", "--host", "0.0.0.0", SAGA_FN_DSN=dsn)
    assert (told.code, len(told.err.splitlines())) == (2, 1)
    assert "this machine alone" in told.err


async def test_the_demo_says_what_it_cannot_do() -> None:
    told = await called("demo", "--workers", "1")
    assert told.code == 2
    assert "--no-kill" in told.err


async def test_a_reader_that_has_read_enough_is_no_fault(seeded: Seeded) -> None:
    async with registered(SagaOrchestrator(seeded.dsn, concurrency=0)) as orchestrator:
        await orchestrator.start_many(saga_name="quick", initial_data=[Order(str(each)) for each in range(2000)])
    command = (
        f"{sys.executable} -m saga_fn.cli list --all --json --dsn '{seeded.dsn}' | head -n 1; echo ${{PIPESTATUS[0]}}"
    )
    told = await asyncio.to_thread(
        subprocess.run, ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stderr == ""
    assert told.stdout.splitlines()[1] == "141"


@contextmanager
def terminal(columns: int) -> Generator[tuple[int, int]]:
    """A terminal of so many columns: the end that is read, and the one that the process has."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    try:
        yield ours, theirs
    finally:
        os.close(ours)


def on_a_terminal(
    columns: int, *tokens: str, typed: bytes = b"", then: str | None = None, **environment: str
) -> tuple[int, str]:
    """The exit code and all that was written. `then` is a text at which Ctrl-C is pressed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SAGA_FN_") and name != "COLUMNS"}
    kept.pop("NO_COLOR", None)
    with terminal(columns) as (ours, theirs):
        running = subprocess.Popen(
            [sys.executable, "-m", "saga_fn.cli", *tokens],
            cwd=ROOT,
            env={**kept, "TERM": "xterm-256color", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        os.write(ours, typed)
        written = b""
        while True:
            try:
                written += os.read(ours, 65536)
            except OSError:  # Linux says so when the last one has closed it
                break
            if then is not None and then.encode() in written:
                running.send_signal(signal.SIGINT)
                then = None
        return running.wait(timeout=30), written.decode().replace("\r\n", "\n")


async def test_a_narrow_terminal_gets_a_block_for_each_saga(seeded: Seeded) -> None:
    code, narrow = await asyncio.to_thread(on_a_terminal, 60, "list", SAGA_FN_DSN=seeded.dsn)
    assert code == 0
    assert f"saga     {seeded.parked}\n" in narrow
    _, wide = await asyncio.to_thread(on_a_terminal, 200, "list", SAGA_FN_DSN=seeded.dsn)
    assert len(wide.splitlines()) == 4
    assert "\x1b[1m" in wide


async def test_no_colour_is_written_where_none_is_wanted(seeded: Seeded) -> None:
    for command in (("show", str(seeded.parked)), ("timeline", str(seeded.parked))):
        _, told = await asyncio.to_thread(on_a_terminal, 200, *command, SAGA_FN_DSN=seeded.dsn, NO_COLOR="1")
        assert not any(f"\x1b[{number}" in told for number in range(30, 50))
        assert "\x1b]" not in told


async def test_a_person_at_a_terminal_is_asked(seeded: Seeded) -> None:
    code, told = await asyncio.to_thread(
        on_a_terminal, 120, "abort", str(seeded.retrying), typed=b"y\n", SAGA_FN_DSN=seeded.dsn
    )
    assert code == 0
    assert told.index("it ends FAILED") < told.index("Do it? [y/N]") < told.index("abort is done")


async def test_ctrl_c_at_the_question_ends_it_at_once(seeded: Seeded) -> None:
    code, told = await asyncio.to_thread(
        on_a_terminal, 120, "abort", str(seeded.retrying), then="[y/N]", SAGA_FN_DSN=seeded.dsn
    )
    assert code == 130
    assert "Traceback" not in told
    async with SagaOrchestrator(seeded.dsn, concurrency=0, read_only=True) as orchestrator:
        assert (await orchestrator.get_snapshot(seeded.retrying)).revision == 4


def test_ctrl_c_at_the_moment_of_the_question_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pressed(io.StringIO):
        @override
        def flush(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def noted(_: int, __: object) -> None:
        """Do nothing more, as an event loop does."""

    before = signal.signal(signal.SIGINT, noted)
    try:
        monkeypatch.setattr(sys, "stderr", Pressed())
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
        with pytest.raises(KeyboardInterrupt):
            Output(as_json=False).agrees("Do it?")
    finally:
        signal.signal(signal.SIGINT, before)


async def test_the_store_is_watched_live(seeded: Seeded) -> None:
    code, told = await asyncio.to_thread(
        on_a_terminal, 150, "watch", "--every", "100ms", "--times", "3", SAGA_FN_DSN=seeded.dsn
    )
    assert code == 0
    assert "waiting for a person" in told
    assert "\x1b[?1049h" in told  # a screen of its own,
    assert "\x1b[?1049l" in told  # which is left at the end


async def test_ctrl_c_leaves_an_operation_to_the_workers(dsn: str) -> None:
    async with registered(SagaOrchestrator(dsn, concurrency=0)) as orchestrator:
        await orchestrator.start_many(saga_name="billing", initial_data=[Order(str(each)) for each in range(300)])
    bulk = ("bulk", "abort", "--name", "billing", "--per-second", "5", "--yes")
    with process(*bulk, SAGA_FN_DSN=dsn) as running:
        await until_it_says(running, "would accept it", err=True)
        async with asyncio.timeout(30):
            while "running" not in (await called("operations", "list", SAGA_FN_DSN=dsn)).out:
                await asyncio.sleep(0.1)
        running.send_signal(signal.SIGINT)
        _, err = await asyncio.to_thread(running.communicate, timeout=30)
    assert running.returncode == 130
    line = err.splitlines()[-1]
    assert "The workers go on with it: saga-fn operations stop" in line
    for word in ("Traceback", "Task was destroyed", "Event loop is closed", "never awaited"):
        assert word not in err


async def test_texts_are_written_in_a_locale_of_ascii(seeded: Seeded) -> None:
    told = await called("diagram", str(seeded.retrying), SAGA_FN_DSN=seeded.dsn, PYTHONIOENCODING="ascii")
    assert told.code == 0
    assert told.out.isascii()


@pytest.mark.parametrize(
    "command, flags", [(("list",), ()), (("list",), ("--json",)), (("diagram",), ()), (("--help",), ())]
)
def test_an_answer_that_nobody_takes_has_one_code_and_no_word(
    seeded: Seeded, command: tuple[str, ...], flags: tuple[str, ...]
) -> None:
    words = [*command, *([str(seeded.parked)] if command[0] in ("show", "diagram") else []), *flags]
    reader, closed = os.pipe()
    os.close(reader)
    full = os.open("/dev/full", os.O_WRONLY)
    for taker in (closed, full):
        told = subprocess.run(
            [sys.executable, "-m", "saga_fn.cli", *words],
            cwd=ROOT,
            env={**os.environ, "SAGA_FN_DSN": seeded.dsn},
            stdin=subprocess.DEVNULL,
            stdout=taker,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.close(taker)
        assert (told.returncode, told.stderr) == (141, "")


def test_ctrl_c_while_the_modules_are_read_is_one_line() -> None:
    interrupting = (
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'saga_fn.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from saga_fn.cli.__main__ import main\n"
        "sys.exit(main())\n"
    )
    for flags, line in (((), "saga-fn: interrupted\n"), (("--json",), None)):
        told = subprocess.run(
            [sys.executable, "-c", interrupting, *flags], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (told.returncode, told.stdout) == (130, "")
        assert told.stderr == line if line else json.loads(told.stderr)["code"] == 130


async def test_no_command_is_one_line_of_json() -> None:
    for words in ((), ("bulk",), ("operations",)):
        told = await called(*words, "--json")
        assert (told.code, told.out) == (2, "")
        assert json.loads(told.err)["error"] == "no command is named"


@pytest.mark.parametrize("by, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_one_who_ends_the_wait_for_an_owner_is_told_that_the_request_stands(
    seeded: Seeded, by: signal.Signals, code: int
) -> None:
    await execute(seeded.dsn, SILENT)
    with process("cancel", str(seeded.retrying), "--yes", SAGA_FN_DSN=seeded.dsn) as running:
        await until_it_says(running, "waits for the process that owns the saga", err=True)
        running.send_signal(by)
        out, err = await asyncio.to_thread(running.communicate, timeout=30)
    assert (running.returncode, out, len(err.splitlines())) == (code, "", 1)
    assert f"saga-fn show {seeded.retrying}" in err
    await execute(seeded.dsn, AS_BEFORE)


def test_a_verb_that_is_not_answered_is_not_refused(seeded: Seeded) -> None:
    error = SagaStateError(
        "its owner did not answer", saga_id=seeded.retrying, refusal="not_answered", hint="look again"
    )
    told = failure_of(error)
    assert (told.code, told.refusal) == (4, "not_answered")
    assert "the request stands" in told.line
    assert f"saga-fn show {seeded.retrying}" in told.line


SILENT = (
    "UPDATE saga_fn.saga SET owner = gen_random_uuid(), token = gen_random_uuid(), status = 'RUNNING', waits = 0,"
    " due_at = now() + interval '1 hour' WHERE name = 'billing'"
)
AS_BEFORE = "UPDATE saga_fn.saga SET owner = NULL, token = NULL, status = 'SUSPENDED', waits = 1 WHERE name = 'billing'"
