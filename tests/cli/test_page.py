"""docs/command-line.md tells what is there: each command, each setting, each exit code."""

from __future__ import annotations

import re
import shlex

import attrs

from saga_fn.cli.app import make_app
from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.place import Settings
from tests.cli.test_help import COMMANDS
from tests.support.documents import ROOT, blocks_in

PAGE = ROOT / "docs" / "command-line.md"
TEXT = PAGE.read_text(encoding="utf-8")


def first_cells(heading: str) -> list[str]:
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `?([^`|]+?)`? \|", section, re.MULTILINE)[1:]


def test_the_page_has_every_command_and_no_other() -> None:
    own = {"--help", "-h", "--version"}
    told = [cell for cell in first_cells("Commands") if cell != "---"]
    assert sorted(told) == sorted({words[0] for words in COMMANDS} - own)
    assert {*make_app()} - own == {*told}


def test_the_page_has_every_setting_and_every_exit_code() -> None:
    settings = [f"--{field.name}" for field in attrs.fields(Settings)]
    assert [cell for cell in first_cells("Settings") if cell != "---"] == settings
    assert [cell for cell in first_cells("For scripts") if cell != "---"] == [str(int(code)) for code in ExitCode]


def test_each_command_of_the_page_is_taken() -> None:
    app = make_app()
    lines = [line for block in blocks_in(PAGE, "console") for line in block.code.splitlines()]
    commands = [line.removeprefix("$ saga-fn ") for line in lines if line.startswith("$ saga-fn ")]
    assert commands
    for command in commands:
        app.parse_args(shlex.split(command.partition(" > ")[0]), exit_on_error=False, print_error=False)
