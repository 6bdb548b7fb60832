"""The command line: `python -m saga_fn._tools.sql generate | check | lint`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import Final

from saga_fn._tools.sql.generate import ROOT, stale_modules, write
from saga_fn._tools.sql.lint import lint_folder
from saga_fn._tools.sql.scan import SqlFileError

_PROGRAM: Final = "python -m saga_fn._tools.sql"


def main(arguments: list[str] | None = None) -> int:
    """Do what the first of `arguments` (default: the process's own) says. Gives the exit code: 0 if nothing is amiss."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM, description="Generate from, compare with and lint the files of sql/."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_ in (
        ("generate", "write the generated modules; types come from a live server"),
        ("check", "write nothing; fail if a generated module is out of date (without a server: by the digests alone)"),
        ("lint", "hold every file to the rules; needs no server"),
    ):
        commands.add_parser(name, help=help_, description=help_).add_argument(
            "--dsn",
            default=os.environ.get("SAGA_FN_TEST_DSN"),
            help="a server on which a scratch database may be created (default: $SAGA_FN_TEST_DSN, or one that is started)",
        )
    options = parser.parse_args(arguments)
    command: str = options.command
    dsn: str | None = options.dsn
    try:
        match command:
            case "generate":
                with nullcontext(dsn) if dsn is not None else _embedded() as server:
                    for module in write(server):
                        print(f"{module.relative_to(ROOT)}: written")
                return 0
            case "check":
                lines = [f"{module.relative_to(ROOT)}: out of date" for module in stale_modules(dsn)]
                lines += [f"HINT: run {_PROGRAM} generate and commit what it writes."] if lines else []
            case _:
                lines = list(lint_folder(ROOT / "sql"))
    except SqlFileError as refusal:
        lines = [str(refusal)]
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


@contextmanager
def _embedded() -> Generator[str]:
    """The DSN of a server that is started for it; imported here, for who only checks or lints need not have it installed."""
    from saga_fn.embedded import EmbeddedPostgres

    with EmbeddedPostgres() as server:
        yield server.dsn


if __name__ == "__main__":
    sys.exit(main())
