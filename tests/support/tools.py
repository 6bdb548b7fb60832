"""Programs that some tests need, and that pip does not install.

A test that lacks one is left out, and the run says so at its end. With `SAGA_FN_REQUIRE=all` it fails: so it is in `.ci/run`.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable

import attrs
import pytest


@attrs.frozen
class Tool:
    """A program, and the Debian package that has it."""

    program: str
    package: str

    def find(self) -> str | None:
        """Where it is; None if it is not here."""
        return shutil.which(self.program) or shutil.which(self.program, path="/usr/sbin:/usr/local/sbin")

    def require(self) -> str:
        """Where it is. A test that lacks it is skipped, or fails where nothing may be left out."""
        found = self.find()
        if found is not None:
            return found
        lacking = f"{self.program} is not installed (apt-get install {self.package})"
        if os.environ.get("SAGA_FN_REQUIRE") == "all":
            pytest.fail(f"{lacking}, and SAGA_FN_REQUIRE=all lets nothing be left out")
        pytest.skip(lacking)


PGBOUNCER = Tool("pgbouncer", "pgbouncer")
CHROMIUM = Tool("chromium", "chromium")
NATS_SERVER = Tool("nats-server", "nats-server")
RABBITMQ = Tool("rabbitmq-server", "rabbitmq-server")
EPMD = Tool("epmd", "erlang-base")
GCC = Tool("gcc", "gcc libc6-dev")


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
