"""Help that teaches: each command has an example, and each example is one that the command takes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest
from cyclopts import App

from saga_fn.admin.filter_fields import FILTER_FIELDS
from saga_fn.admin.verb_fields import VERB_FORMS
from saga_fn.cli.app import make_app
from saga_fn.cli.options import Texts, with_fields
from saga_fn.core.verbs import Verb
from tests.cli.conftest import Cli

OWN = {"--help", "-h", "--version"}


def commands_in(app: App, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Each command by its words; one that has commands of its own is told by those."""
    for name in app:
        if name in OWN:
            continue
        inside = list(commands_in(app[name], (*before, name)))
        yield from inside or [((*before, name), app[name])]


COMMANDS = dict(commands_in(make_app()))


def examples_of(command: App) -> list[str]:
    return re.findall(r"\$ saga-fn (.*)", command.help_epilogue or "")


def test_every_verb_is_a_command_of_one_saga_and_of_many() -> None:
    spelt = {verb.replace("_", "-") for verb in Verb}
    assert {words[0] for words in COMMANDS} >= spelt
    assert {words[1] for words in COMMANDS if words[0] == "bulk"} == spelt == {f.replace("_", "-") for f in VERB_FORMS}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_example_is_taken_by_its_command(words: tuple[str, ...]) -> None:
    app = make_app()
    examples = examples_of(COMMANDS[words])
    assert examples
    for example in examples:
        tokens = shlex.split(example.partition(" > ")[0])
        assert tokens[: len(words)] == list(words)
        for setting in ("--dsn", "--app"):
            if setting in tokens:
                del tokens[tokens.index(setting) : tokens.index(setting) + 2]
        tokens = [each for each in tokens if each != "--json"]
        app.parse_args(tokens, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
async def test_each_command_says_in_a_sentence_what_it_does(words: tuple[str, ...], cli: Cli) -> None:
    told = await cli(*words, "--help")
    assert (told.code, told.err) == (0, "")
    assert COMMANDS[words].help.endswith(".")
    assert "$ saga-fn" in told.out
    assert "--dsn" in told.out
    assert "default: False" not in told.out


async def test_no_command_at_all_shows_the_help(cli: Cli) -> None:
    told = await cli()
    assert told.code == 0
    assert "First steps" in told.out
    assert (await cli("--version")).out.strip() == "0.1.0"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_each_shell_gets_its_completion(shell: str, cli: Cli) -> None:
    told = await cli("completion", shell)
    assert told.code == 0
    assert "saga-fn" in told.out


@pytest.mark.parametrize(
    "tokens, name, text",
    [
        (["reserve", "--forget", "charge", "--forget", "ship, book"], "forget", "charge,ship,book"),
        (["reserve", "--forget", '["a,b"]', "--forget", "c"], "forget", '["a,b","c"]'),
        (["reserve", "--forget", "a,b"], "forget", "a,b"),
        (["reserve", "--waits", "parked", "--waits", "timer,event"], "waits", "parked,timer,event"),
        (["reserve", "--key", "order-7"], "aggregation_id", "order-7"),
    ],
)
def test_an_option_that_takes_a_list_may_be_given_again(tokens: list[str], name: str, text: str) -> None:
    def command(*, wanted: Texts, verb: Texts) -> Texts:
        return {**wanted, **verb}

    app = App(result_action="return_value")
    app.default(with_fields(command, {"wanted": FILTER_FIELDS, "verb": VERB_FORMS[Verb.REWIND].fields}, name="rewind"))
    assert app(tokens, exit_on_error=False, print_error=False)[name] == text


def test_nothing_of_it_is_imported_with_the_library() -> None:
    program = "import sys, saga_fn; print([n for n in sys.modules if n.split('.')[0] in ('rich', 'cyclopts') or 'saga_fn.cli' in n])"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
