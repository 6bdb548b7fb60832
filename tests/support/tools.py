"""Programs that some tests need, and that pip does not install.

A test that lacks one is left out, and the run says so at its end. With `SAGA_FN_REQUIRE=all` it fails: so it is in `.ci/run`.
`SAGA_FN_WITHOUT` names packages that this machine's distribution does not have: what needs these is left out all the same.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NoReturn

import attrs
import pytest


@attrs.frozen
class Tool:
    """A program, and the Debian package that has it."""

    program: str
    package: str
    folder: Path | None = None
    """Where its package puts it, if that is on no search path."""

    def find(self) -> str | None:
        """Where it is; None if it is not here."""
        if self.folder is not None:
            return shutil.which(self.program, path=str(self.folder))
        return shutil.which(self.program) or shutil.which(self.program, path="/usr/sbin:/usr/local/sbin")

    def require(self) -> str:
        """Where it is. A test that lacks it is skipped, or fails where nothing may be left out."""
        found = self.find()
        if found is not None:
            return found
        where = "" if self.folder is None else f" in {self.folder}"
        lacking = f"{self.program} is not installed{where} (apt-get install {self.package})"
        if self.package in os.environ.get("SAGA_FN_WITHOUT", "").split():
            pytest.skip(lacking)
        return leave_out(lacking)


def leave_out(lacking: str) -> NoReturn:
    """Skip a test for what it lacks, or let it fail where nothing may be left out."""
    if os.environ.get("SAGA_FN_REQUIRE") == "all":
        pytest.fail(f"{lacking}, and SAGA_FN_REQUIRE=all lets nothing be left out")
    pytest.skip(lacking)


PGBOUNCER = Tool("pgbouncer", "pgbouncer")
CHROMIUM = Tool("chromium", "chromium")
NATS_SERVER = Tool("nats-server", "nats-server")
RABBITMQ = Tool("rabbitmq-server", "rabbitmq-server")
EPMD = Tool("epmd", "erlang-base")
GCC = Tool("gcc", "gcc libc6-dev")
PG15: Final = Path("/usr/lib/postgresql/15/bin")
POSTGRES_15 = Tool("postgres", "postgresql-15", PG15)
"""The oldest PostgreSQL that is supported; the newest comes as a wheel."""


def left_out(reports: Iterable[object]) -> list[str]:
    """The reasons for which tests were skipped, each with how many there were."""
    reasons: Counter[str] = Counter()
    for report in reports:
        match getattr(report, "longrepr", None):
            case (_, _, why):
                reasons[str(why).removeprefix("Skipped: ")] += 1
            case why:
                reasons[str(why)] += 1
    return [f"{number} left out: {reason}" for reason, number in sorted(reasons.items())]
