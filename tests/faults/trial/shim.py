"""A library that is loaded before C's own: it lets clocks and disks of a program be wrong, as a test says while it runs.

The same could be had of libfaketime and libeatmydata for some of it; one source of a hundred lines does it for all.
"""

from __future__ import annotations

import functools
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Literal

from saga_fn.embedded.binaries import make_place, runnable, server_account, wheel_bin_dir
from tests.support.tools import GCC

SOURCE: Final = Path(__file__).with_name("shim.c")
_NUMBERS: Final = 5


@functools.cache
def _library() -> Path:
    """The library, made once a run, where every user can read it."""
    made = Path(tempfile.mkdtemp(prefix="saga-fn-shim-"))
    made.chmod(0o755)
    library = made / "shim.so"
    command = [GCC.require(), "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    library.chmod(0o755)
    return library


class Shim:
    """The orders for one program about its clock and its disk."""

    def __init__(self, folder: Path) -> None:
        self._library = _library()
        self._file = folder / "shim.told"
        self._file.write_bytes(bytes(8 * _NUMBERS))
        self._file.chmod(0o666)  # the server may run as another user, and counts its errors there

    def variables(self) -> dict[str, str]:
        """The variables that the program has to find."""
        return {"LD_PRELOAD": str(self._library), "SAGA_FN_SHIM": str(self._file)}

    def programs(self, folder: Path, bin_dir: Path | None) -> Path:
        """A folder of PostgreSQL's programs that are told; `folder` is empty and open to every user."""
        real = runnable(wheel_bin_dir() if bin_dir is None else bin_dir, make_place(server_account()), server_account())
        for name in ("postgres", "initdb"):
            script = folder / name
            told = " ".join(f"{name}={value}" for name, value in self.variables().items())
            preload = f"export {told}\n" if name == "postgres" else ""
            script.write_text(f'#!/bin/sh\n{preload}exec {real / name} "$@"\n')
            script.chmod(0o755)
        return folder

    def clock(self, seconds: float) -> None:
        """Let the wall clock be so far ahead."""
        self._tell(0, int(seconds * 1_000_000))

    def slow(self, seconds: float) -> None:
        """Let each fsync take so long."""
        self._tell(1, int(seconds * 1_000_000))

    def broken(self, times: int) -> None:
        """Let so many of the next fsyncs fail."""
        self._tell(2, times)

    def lying(self) -> None:
        """Let fsync do nothing from now on."""
        self._tell(3, 1)

    def full(self, what: Literal["", "tables", "tables and WAL"]) -> None:
        """Let writes there find no room."""
        self._tell(4, ("", "tables", "tables and WAL").index(what))

    def calm(self) -> None:
        """Let the disk be as it is. The clock stays: set back, it would keep all waiting that is due by it."""
        for place in range(1, _NUMBERS):
            self._tell(place, 0)

    def _tell(self, place: int, number: int) -> None:
        with self._file.open("r+b") as file:  # in place: the program has it in its memory
            file.seek(8 * place)
            file.write(struct.pack("q", number))
