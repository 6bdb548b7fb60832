"""What the type checkers make of programs that use the installed wheel, as a consumer of ours would run them.

In `wrong/`, a comment `# refused: mypy's code | pyright's rule | words` stands above each line that has to be refused:
by both checkers, with that error (`-`: only the other one), and with the words, if any, in both messages. What is in
`right/` has to pass both. The consumer has what the wheel requires and nothing else; once without and once with
a third party's stubs for asyncpg.
"""

from __future__ import annotations

import inspect
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_overloads

import attrs
import msgspec
import pytest

import saga_fn
from tests.support.consumer import Consumer

HERE = Path(__file__).parent
MARK = re.compile(r"^ *# refused: (?P<mypy>\S+) \| (?P<pyright>\S+)(?: \| (?P<words>.+))?$")
BASEDPYRIGHT = Path(sys.executable).with_name("basedpyright")
NO_STUBS = "without stubs for asyncpg"
STUBS = "with stubs for asyncpg"

pytestmark = pytest.mark.timeout(300)


@attrs.frozen
class Found:
    """An error that a checker reported."""

    file: str
    line: int
    code: str
    message: str


@attrs.frozen
class Refused:
    """A line that has to be refused, and how."""

    file: str
    line: int
    mypy: str
    pyright: str
    words: str


REFUSED = [
    Refused(f"wrong/{path.name}", number + 1, mark["mypy"], mark["pyright"], mark["words"] or "")
    for path in sorted((HERE / "wrong").glob("*.py"))
    for number, text in enumerate(path.read_text().splitlines(), 1)
    if (mark := MARK.match(text))
]


@pytest.fixture(scope="module", params=[NO_STUBS, STUBS])
def project(request: pytest.FixtureRequest, consumer: Consumer) -> Path:
    """A folder of the consumer with the programs, and the settings of both checkers."""
    folder = consumer.home / ("stubbed" if request.param == STUBS else "plain")

    def lay_out() -> str:
        programs = folder / "tests" / "typing"
        shutil.copytree(HERE, programs, ignore=shutil.ignore_patterns("__pycache__", "test_*"))
        settings = {"include": ["tests"], "typeCheckingMode": "strict", "venvPath": str(consumer.home), "venv": ".venv"}
        if request.param == STUBS:
            consumer.copy_installed("asyncpg-stubs", folder / "typings")
            settings["stubPath"] = "typings"
        (folder / "pyrightconfig.json").write_text(json.dumps(settings))
        return "laid out"

    consumer.once(folder.name, lay_out)
    return folder


@pytest.fixture(scope="module")
def by_mypy(consumer: Consumer, project: Path) -> list[Found]:
    # No plugin: what a consumer has who sets nothing but --strict. The folder of stubs is theirs, as any project's.
    (project / "mypy.ini").write_text(f"[mypy]\nmypy_path = {project}:{project / 'typings'}\n")

    def check() -> str:
        return consumer.run(
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", project / "mypy.ini", "--output=json"),
            *("--namespace-packages", "--explicit-package-bases", "--python-executable", consumer.python),
            *("--cache-dir", project / "cache", project / "tests"),
            fails=1,
        )

    found = [json.loads(line) for line in consumer.once(f"{project.name}-mypy", check).splitlines()]
    return [
        Found(_name(one["file"]), one["line"], one["code"], one["message"])
        for one in found
        if one["severity"] == "error"
    ]


@pytest.fixture(scope="module")
def by_pyright(consumer: Consumer, project: Path) -> list[Found]:
    def check() -> str:
        return consumer.run(BASEDPYRIGHT, "--project", project, "--outputjson", fails=1)

    report = json.loads(consumer.once(f"{project.name}-pyright", check))
    assert report["summary"]["filesAnalyzed"] > 0
    return [
        Found(_name(one["file"]), one["range"]["start"]["line"] + 1, one.get("rule", ""), one["message"])
        for one in report["generalDiagnostics"]
        if one["severity"] == "error"
    ]


def test_at_least_25_right_and_25_wrong_uses_are_judged() -> None:
    assert sum(path.read_text().count("assert_type(") for path in (HERE / "right").glob("*.py")) >= 25
    assert sum("-" not in (one.mypy, one.pyright) for one in REFUSED) >= 25


@pytest.mark.predecessor(35)
def test_mypy_accepts_what_is_right(by_mypy: list[Found]) -> None:
    assert [one for one in by_mypy if not one.file.startswith("wrong/")] == []


def test_pyright_accepts_what_is_right(by_pyright: list[Found]) -> None:
    assert [one for one in by_pyright if not one.file.startswith("wrong/")] == []


def test_mypy_refuses_what_is_wrong(by_mypy: list[Found]) -> None:
    wanted = [(one.file, one.line, one.mypy, one.words) for one in REFUSED if one.mypy != "-"]
    assert _missed(wanted, by_mypy) == []


def test_pyright_refuses_what_is_wrong(by_pyright: list[Found]) -> None:
    wanted = [(one.file, one.line, one.pyright, one.words) for one in REFUSED if one.pyright != "-"]
    assert _missed(wanted, by_pyright) == []


def test_nothing_is_refused_that_is_not_marked(by_mypy: list[Found], by_pyright: list[Found]) -> None:
    marked = {(one.file, one.line) for one in REFUSED}
    assert [one for one in [*by_mypy, *by_pyright] if (one.file, one.line) not in marked] == []


class _Symbol(msgspec.Struct, rename="camel"):
    name: str
    is_exported: bool
    is_type_known: bool
    is_type_ambiguous: bool


class _Completeness(msgspec.Struct):
    symbols: list[_Symbol]


class _Report(msgspec.Struct, rename="camel"):
    type_completeness: _Completeness


def test_the_type_of_every_public_name_is_known_in_full(consumer: Consumer) -> None:
    """Nothing public is without a type, nor typed by something unknown: not even where asyncpg has no stubs."""
    shown = consumer.run(BASEDPYRIGHT, "--verifytypes", "saga_fn", "--ignoreexternal", "--outputjson", fails=1)
    symbols = msgspec.json.decode(shown, type=_Report).type_completeness.symbols
    assert any(one.name == "saga_fn.orchestrator.SagaOrchestrator.start" for one in symbols)
    # An example is a program, not an interface; some need packages that are not there.
    exported = [one for one in symbols if one.is_exported and not one.name.startswith("saga_fn.examples.")]
    unclear = [one.name for one in exported if one.is_type_ambiguous or not one.is_type_known]
    assert not unclear, "\n".join(unclear)


# Where Any stands in a public signature, and why it does.
CHOSEN_ANY = {
    "HistoryEntry.business_error": "JSON of whatever business error the step declares",
    "HistoryEntry.input": "JSON of whatever types the saga has",
    "HistoryEntry.output": "JSON of whatever types the saga has",
    "HookContext.result": "sagas of all results",
    "Outgoing.headers": "outputs of all types",
    "Outgoing.key": "outputs of all types",
    "Outgoing.payload": "outputs of all types",
    "InputContext.context": "what the outside world sent, in whatever shape",
    "InputContext.events": "what the outside world sent, in whatever shape",
    "InputContext.latest_event": "what the outside world sent, in whatever shape",
    "SagaAdminSnapshot.context": "JSON of whatever types the saga has",
    "SagaBuilder.__init__": "a saga of untyped data is made by naming no type",
    "SagaOrchestrator.notify": "an event is a JSON object",
    "SagaOrchestrator.start_many": "the saga is known by its name alone",
    "SagaRun.__init__": "what a saga was started with does not matter to its end",
    "StepDefinition.add_to": "the untyped spelling, for lists of steps",
    "StepDefinition.step": "the untyped spelling, for lists of steps",
    "StepInputMap.depends_on": "the untyped spelling, for lists of steps",
}


ANY = re.compile(r"\bAny(?!Refs\b)")
"""It, or an alias that holds it, as AnyStep does; AnyRefs holds none."""


def test_no_any_reaches_a_user_who_did_not_choose_it() -> None:
    assert {where for where, hint in _public_hints() if ANY.search(hint)} == set(CHOSEN_ANY)


def _public_hints() -> Iterator[tuple[str, str]]:
    """Every annotation that a user of a public name meets: of what overloads show, not of what is behind them."""
    for name in saga_fn.__all__:
        public: object = getattr(saga_fn, name)
        members: dict[str, object] = {"": public}
        if isinstance(public, type):
            members = {
                one: value for one, value in vars(public).items() if one == "__init__" or not one.startswith("_")
            }
            for attribute, hint in inspect.get_annotations(public).items():
                yield f"{name}.{attribute}", str(hint)
        for member, value in members.items():
            function: object = getattr(value, "__func__", getattr(value, "fget", value))
            if inspect.isfunction(function):
                for shown in get_overloads(function) or [function]:
                    for hint in inspect.get_annotations(shown).values():
                        yield f"{name}.{member}".removesuffix("."), str(hint)


def _missed(wanted: Iterable[tuple[str, int, str, str]], found: list[Found]) -> list[tuple[str, int, str, str]]:
    return [
        (file, line, code, words)
        for file, line, code, words in wanted
        if not any((one.file, one.line, one.code) == (file, line, code) and words in one.message for one in found)
    ]


def _name(file: str) -> str:
    return "/".join(Path(file).parts[-2:])
