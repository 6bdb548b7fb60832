"""Folders and files that are this user's: no link is followed, and nothing is used that another user may replace.

An embedded server may be started by root in a folder that another user has made. A link planted there would make root
write to, or give away, a file of the planter's choice.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO

from saga_fn.embedded.binaries import EmbeddedServerError

_MEND = "give state_dir= a folder of your own, such as one in your home; it is made if it does not exist"


def check_folder(folder: Path, *, mend: str = _MEND) -> None:
    """Raise EmbeddedServerError unless only this user can write to `folder`, and only it (or root) can replace it.

    `folder` is resolved: neither it nor a folder above it is a link. `mend` is the error's hint.
    """
    us = os.geteuid()
    found = folder.stat()
    if found.st_uid != us:
        raise EmbeddedServerError(f"{folder} belongs to another user", hint=mend)
    if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid != os.getegid()):
        raise EmbeddedServerError(f"other users may write to {folder}", hint=f"{mend}; or chmod go-w {folder}")
    for above in folder.parents:
        found = above.stat()
        if found.st_uid not in (us, 0) or (found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX):
            raise EmbeddedServerError(f"another user may replace {folder}: {above} is not yours alone", hint=mend)


def open_file(path: Path, mode: str) -> IO[str]:
    """Open a text file that is this user's; it is made, for this user alone, unless `mode` reads.

    `mode` is `r`, `w+` or `a+`. Raises EmbeddedServerError for a link, for what is no plain file, and for a file that belongs
    to another user or has another name as well.
    """
    flags = {"r": os.O_RDONLY, "w+": os.O_RDWR | os.O_CREAT, "a+": os.O_RDWR | os.O_CREAT | os.O_APPEND}[mode]
    try:
        number = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EmbeddedServerError(
            f"{path} cannot be opened as a file of its own: {error.strerror}", hint=_MEND
        ) from None
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
        os.close(number)
        raise EmbeddedServerError(f"{path} is no file of its own: it may be a trap", hint=_MEND)
    if mode == "w+":
        os.ftruncate(number, 0)
    return os.fdopen(number, mode, encoding="utf-8", errors="replace")


def new_file(path: Path, text: str) -> int:
    """Write a new file, for this user alone, in the place of whatever has that name; gives its descriptor, to be closed."""
    path.unlink(missing_ok=True)  # removes a link, not what it leads to
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.write(number, text.encode())
    return number
