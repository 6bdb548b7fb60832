"""The folder that an embedded server lives in: its lock, its data with the password, and the socket."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import IO, Final

from saga_fn.embedded.binaries import Account, EmbeddedServerError, can_enter, environment, fits
from saga_fn.embedded.own_files import check_folder, new_file, open_file

SUPERUSER: Final = "postgres"
LOCK_NAME: Final = "saga_fn.lock"


def entered(state_dir: Path, account: Account | None) -> Path:
    """`state_dir`, made if need be, and known to be ours and open to the server's user."""
    if not state_dir.exists():
        state_dir.mkdir(parents=True, mode=0o700 if account is None else 0o711)
    elif not state_dir.is_dir() or (any(state_dir.iterdir()) and not (state_dir / LOCK_NAME).exists()):
        raise EmbeddedServerError(
            f"{state_dir} is not empty, and no embedded server ever lived there",
            hint="give state_dir= a folder of its own; it is made if it does not exist",
        )
    if not can_enter(state_dir, account):
        who = "you" if account is None else f"the user {account.name}, who runs the server because you are root,"
        raise EmbeddedServerError(
            f"{who} cannot reach {state_dir}: one of the folders on the way is private",
            hint="give state_dir= a folder such as /var/lib/saga_fn, or leave it out for a temporary server",
        )
    found = state_dir.resolve()
    check_folder(found)
    return found


def no_link(path: Path) -> Path:
    """The path, unless it is a link: then EmbeddedServerError is raised."""
    if path.is_symlink():
        raise EmbeddedServerError(f"{path} is a link", hint="give state_dir= the folder that the data shall be in")
    return path


def socket_folder(home: Path, place: Path, account: Account | None) -> Path:
    """Where clients find the server: with a `state_dir` always the same folder, if the kernel takes so long a path."""
    folder = no_link((home if fits(home) else place) / "socket")
    if not folder.exists():
        _own_folder(folder, account)
    return folder


def locked(home: Path) -> IO[str]:
    """The open lock file of `home`; the process that holds it is the one supervisor of the server there."""
    lock = open_file(home / LOCK_NAME, "a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise EmbeddedServerError(
            f"process {holder} runs a server in {home}",
            hint="give the second server a state_dir= of its own, or connect to the first one's DSN",
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def initialised(data: Path, programs: Path, account: Account | None, *, durable: bool) -> str:
    """The superuser's password, of the data folder that is there or of one made now."""
    kept = data.with_name("password")
    if data.exists():
        with open_file(kept, "r") as file:
            return file.read()
    password = secrets.token_urlsafe(24)
    unfinished = data.with_name("data.new")  # renamed when whole, so that a crash leaves no half a database
    shutil.rmtree(unfinished, ignore_errors=True)
    _own_folder(unfinished, account)
    handed = data.with_name("password.new")
    number = new_file(handed, password)
    if account is not None:
        account.own(number)
    done = subprocess.run(
        [
            *(str(programs / "initdb"), "-D", str(unfinished), "-U", SUPERUSER, "--pwfile", str(handed)),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"),
            *(() if durable else ("--no-sync",)),
        ],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env=environment(),
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
        umask=0o077,
    )
    if account is not None:
        os.fchown(number, os.geteuid(), os.getegid())
    os.close(number)
    if done.returncode != 0:
        raise EmbeddedServerError(f"initdb failed:\n{done.stdout.strip()}")
    handed.replace(kept)
    unfinished.replace(data)
    return password


def _own_folder(folder: Path, account: Account | None) -> None:
    folder.mkdir(mode=0o700)
    if account is not None:
        account.own(folder)
