"""README and docs/: each block of code is run, typed or compiled, each link is followed, and each option is there.

A page's Python is executed block after block in one namespace, as a reader would; a page of docs/ goes on from the quick start.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import saga_fn
from saga_fn import (
    brokers,
    console,
    diagram,
    kafka,
    nats,
    observe,
    otel,
    prometheus,
    rabbitmq,
    testing,
    tuning,
    webhook,
)
from saga_fn.core.acts import NEVER_DONE, UNKNOWN
from saga_fn.core.effects import Refusal
from saga_fn.core.event_matching import BUFFER_LIMIT
from saga_fn.core.fan_out import ITEM_LIMIT
from saga_fn.core.plan import MOST_STEPS
from saga_fn.core.retry import JOURNAL_LIMIT
from saga_fn.core.rules.ownership import CRASH_LIMIT
from saga_fn.core.rules.waits import EVENT_LIMIT
from saga_fn.core.size import STATE_LIMIT
from saga_fn.core.state import ParkReason
from saga_fn.core.verbs import Verb
from saga_fn.definition.attributes import AttributeBase
from saga_fn.definition.steps.step_options import StepOptions
from saga_fn.definition.waits.event import NO_DEFAULT, EventPattern
from saga_fn.definition.wiring import Wiring
from saga_fn.engine.drive.message import UNREADABLE
from saga_fn.engine.observe.fact import FactBase
from saga_fn.engine.options import MEBIBYTE
from saga_fn.engine.requests.bulk import NOT_COMMITTED
from saga_fn.engine.requests.previews import NO_PLAN, UNREADABLE_STATE
from saga_fn.engine.requests.records import NOT_ANSWERED
from saga_fn.store.records import MOST_KEPT, MOST_UNREAD
from tests.support.documents import (
    AT_THE_ROOT,
    PAGES,
    QUICK_START,
    README,
    ROOT,
    SQL,
    anchors_of,
    blocks_in,
    links_in,
    name_of,
    program_of,
    sentences_of,
    without_code,
)

EVERY = [README, *PAGES]
WITH_PYTHON = [page for page in EVERY if blocks_in(page, "python")]
LANGUAGES = {"python", "sh", "console"}
SHOWN = {"text", "mermaid"}
"""tests/diagram/test_pictures.py compares those of docs/pictures.md with what the code draws."""
MOST_WORDS = 25
HARD = re.compile(r"^(What|Whatever|Whoever|Of) |\b(somebody|anybody|nobody|whoever|whatever|is to be)\b")
PATH_IN_PROJECT = re.compile(r"`((?:tests|saga_fn|docs|sql)/[\w./-]+)`")


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_every_block_of_python_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for number, block in enumerate(program_of(page), 1):
        exec(compile(block.code, f"{block.page}, block {number}", "exec"), module.__dict__)


def test_the_quick_start_runs_on_its_own(tmp_path: Path) -> None:
    quick, *_ = blocks_in(QUICK_START, "python")
    (tmp_path / "quick.py").write_text(quick.code, encoding="utf-8")
    told = subprocess.run([sys.executable, tmp_path / "quick.py"], capture_output=True, text=True, check=False)
    assert "payment-for-reservation-of-order-123" in told.stdout, told.stderr


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each page's Python as a file, in a folder that knows nothing of this project's settings."""
    folder = tmp_path_factory.mktemp("programs")
    for page in WITH_PYTHON:
        code = "\n\n".join(block.code for block in program_of(page))
        (folder / f"{page.stem.replace('-', '_').lower()}_page.py").write_text(code, encoding="utf-8")
    return folder


@pytest.mark.timeout(600)  # a checker of types, beside whatever else runs
def test_mypy_accepts_it_all(programs: Path) -> None:
    kept = str(ROOT / ".mypy_cache" / "documents")  # what the pages import is read once
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", kept, "."]
    told = subprocess.run(command, cwd=programs, capture_output=True, text=True, check=False)
    assert told.stdout.startswith("Success"), told.stdout + told.stderr


@pytest.mark.timeout(600)
def test_pyright_accepts_it_all(programs: Path) -> None:
    # A block stands on its own where it can, so that imports are repeated.
    settings = '{"typeCheckingMode": "strict", "reportDuplicateImport": "none"}'
    (programs / "pyrightconfig.json").write_text(settings, encoding="utf-8")
    command = [str(Path(sys.executable).with_name("basedpyright")), "--pythonpath", sys.executable]
    told = subprocess.run(command, cwd=programs, capture_output=True, text=True, check=False)
    assert told.stdout.startswith("0 errors"), told.stdout + told.stderr


@pytest.mark.parametrize("page", EVERY, ids=name_of)
def test_they_import_only_public_names(page: Path) -> None:
    nodes = [node for block in blocks_in(page, "python") for node in ast.walk(ast.parse(block.code))]
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    ours = {alias.name for node in imports for alias in node.names if node.module == "saga_fn"}
    assert ours <= set(saga_fn.__all__)
    others = {node.module for node in imports if (node.module or "").startswith("saga_fn.")}
    public = (
        *("brokers", "console", "diagram", "embedded", "examples", "guard", "kafka", "nats", "observe", "otel"),
        *("outgoing", "prometheus", "rabbitmq", "sqlalchemy", "testing", "tuning", "webhook"),
    )
    assert others <= {f"saga_fn.{name}" for name in public}


@pytest.mark.parametrize("page", EVERY, ids=name_of)
def test_no_block_escapes_these_tests(page: Path) -> None:
    assert {block.language for block in blocks_in(page)} <= LANGUAGES | (SHOWN if page.stem == "pictures" else set())
    assert not re.search(r"\n\n    \S", without_code(page)), "a block of code is fenced, and says its language"


@pytest.mark.parametrize("page", [*EVERY, *AT_THE_ROOT, SQL], ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken: list[str] = []
    for link in links_in(page):
        target, _, anchor = link.partition("#")
        there = (page.parent / target).resolve() if target else page
        if not there.exists() or (anchor and anchor not in anchors_of(there)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", [*EVERY, SQL], ids=name_of)
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = PATH_IN_PROJECT.findall(without_code(page))
    assert [path for path in named if not (ROOT / path).exists()] == []


WRITTEN = [
    *(page for page in EVERY if page.stem != "reference"),
    *(page for page in AT_THE_ROOT if page.stem != "CHANGELOG"),
    SQL,
]


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_they_are_written_plainly(page: Path) -> None:
    hard = [sentence for sentence in sentences_of(page) if len(sentence.split()) > MOST_WORDS or HARD.search(sentence)]
    assert hard == [], "at most 25 words, the actor first and by name: CONTRIBUTING.md"


def commands() -> list[str]:
    """Every command that README and docs tell a reader to give in a shell."""
    found: list[str] = []
    for page in EVERY:
        found += [block.code for block in blocks_in(page, "sh")]
        for block in blocks_in(page, "console"):
            found += [line.removeprefix("$ ") for line in block.code.splitlines() if line.startswith("$ ")]
    return found


def test_every_command_can_be_read_by_a_shell() -> None:
    script = "\n".join(commands())
    told = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")


def test_every_target_of_make_and_every_module_is_there() -> None:
    words = [shlex.split(line, comments=True) for code in commands() for line in code.replace("\\\n", " ").splitlines()]
    targets = {line[1] for line in words if line[:1] == ["make"]}
    modules = {
        line[at + 1] for line in words for at, word in enumerate(line) if word == "-m" and "python" in line[at - 1]
    }
    defined = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert targets
    assert targets <= defined
    assert {module for module in modules if importlib.util.find_spec(module) is None} == set()


def test_the_options_of_migrations_are_there() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "saga_fn.store.migrate", "--help"], capture_output=True, text=True, check=True
    ).stdout
    told = "\n".join(code for code in commands() if "saga_fn.store.migrate" in code)
    assert "--grant" in told
    assert [option for option in set(re.findall(r"--[a-z]+", told)) if option not in shown] == []


# The page on options, and the code.

OPTIONS = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")


def documented(heading: str) -> dict[str, str]:
    """The options in the first table after that text, with their defaults."""
    _, found, after = OPTIONS.partition(heading)
    assert found, heading
    table = re.split(r"\n\n", after[after.index("| --- |") :])[0]
    rows = [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in table.splitlines()[1:]]
    return {row[0].strip("`"): row[2].strip("`") for row in rows}


def written(default: object) -> str:
    """A default, as the page writes it."""
    if isinstance(default, timedelta):
        return f"{default.days} days" if default.days else f"{default.total_seconds():g} s"
    if isinstance(default, str):
        return f'"{default}"'
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, int) and not isinstance(default, bool):
        return f"{default:,}"
    return "none" if default is NO_DEFAULT else str(default)


def defaults(of: Any, *, without: tuple[str, ...] = ()) -> dict[str, str]:  # Any: functions of all kinds
    """The optional parameters of a function, with their defaults."""
    parameters: Mapping[str, inspect.Parameter] = inspect.signature(of).parameters
    optional = {name: one.default for name, one in parameters.items() if one.default is not inspect.Parameter.empty}
    return {name: written(default) for name, default in optional.items() if name not in without}


WHERE: list[tuple[str, Any, tuple[str, ...]]] = [  # Any: functions and classes of all kinds
    ("## Options of SagaOrchestrator", saga_fn.SagaOrchestrator, ()),
    ("## Options of register", saga_fn.SagaOrchestrator.register, ("definition",)),
    ("## Options of a start", saga_fn.SagaHandle[int, int].start, ()),
    ("## Options of a saga", saga_fn.saga, ()),
    ("## Options of a saga", saga_fn.SagaBuilder, ("initial",)),
    *((f"| option of {each.__name__} |", each, ()) for each in get_args(saga_fn.RetryPolicy) if defaults(each)),
    ("| option of event.wait |", EventPattern[object].wait, ("ref",)),
    ("| option of send |", saga_fn.EventSender[object].send, ()),
    ("## Options of awaiting", saga_fn.SagaRun[object].result, ()),
    ("## Options of awaiting", saga_fn.SagaRun[object].outcome, ()),
]
"""Where on the page the options of what are; and its parameters that are no options."""


@pytest.mark.parametrize("heading, of, without", WHERE)
def test_every_option_stands_there_with_its_default(heading: str, of: object, without: tuple[str, ...]) -> None:
    assert documented(heading) == defaults(of, without=without)


def test_every_option_of_a_step_stands_there() -> None:
    assert set(documented("## Options of a step")) == set(get_type_hints(StepOptions))


LIMITS: dict[str, int] = {
    "bytes of one payload": MEBIBYTE,
    "steps of a saga": MOST_STEPS,
    "items of all lists of a saga": ITEM_LIMIT,
    "state of a saga": STATE_LIMIT,
    "events that nothing waits for yet, per saga": BUFFER_LIMIT,
    "unread messages in a saga's inbox": MOST_UNREAD,
    "journal entries of a saga": JOURNAL_LIMIT,
    "events by `notify` without a name, per saga": EVENT_LIMIT,
    "takeovers without progress, the last alone in its process": CRASH_LIMIT,
    "events kept for a business key without a saga": MOST_KEPT,
}


def test_every_limit_is_what_the_code_says() -> None:
    rows = dict(re.findall(r"^\| ([^|]+) \| ([\d,]+)", OPTIONS, re.MULTILINE))
    assert {name: rows.get(name, "").strip(",") for name in LIMITS} == {name: f"{at:,}" for name, at in LIMITS.items()}


def test_every_finding_of_health_has_its_section() -> None:
    told = (ROOT / "docs" / "attention.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^## (\S+)$", told, re.MULTILINE)) == sorted(saga_fn.AttentionKind)


OPERATORS = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")


def codes_after(heading: str) -> list[str]:
    """The first cells of the first table after that text, sorted."""
    _, found, after = OPERATORS.partition(heading)
    assert found, heading
    return sorted(re.findall(r"^\| `(\w+)` \|", after[after.index("| --- |") :].split("\n\n")[0], re.MULTILINE))


def test_every_verb_is_told_of() -> None:
    assert [verb for verb in Verb if f"`{verb}" not in OPERATORS] == []


def test_every_reason_to_be_parked_has_its_row() -> None:
    assert codes_after("\n## Parked sagas\n") == sorted(ParkReason)


OF_OPERATIONS = {"not_registered", "unreadable_value", "not_found", "key_taken", "store_refused", "refused", "failed"}
"""What the refusals of an operation on many sagas have beside those of one."""


def test_every_code_of_a_refusal_has_its_row() -> None:
    of_one = {
        *map(str, Refusal),
        NOT_ANSWERED,
        NOT_COMMITTED,
        NEVER_DONE,
        UNKNOWN,
        UNREADABLE,
        UNREADABLE_STATE,
        NO_PLAN,
    }
    assert codes_after("\n## Refusals\n") == sorted(of_one | OF_OPERATIONS)
    requests = ROOT / "saga_fn" / "engine" / "requests"
    source = "".join((requests / name).read_text(encoding="utf-8") for name in ("bulk.py", "records.py"))
    returned = set(re.findall(r'(?:return|or|else) "(\w+)"', source))
    assert returned - of_one == OF_OPERATIONS


# The site and llms.txt, as far as they can be judged without building anything.


def test_the_site_has_every_page_and_no_other() -> None:
    told = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = re.findall(r"- ([\w-]+\.md)$", told, re.MULTILINE)
    assert sorted(listed) == sorted(["index.md", *(page.name for page in [*PAGES, *AT_THE_ROOT])])


OUTSIDE_OF_THE_ROOT = {
    "CallerConnection",
    "Doing",
    "EmbeddedPostgres",
    "Guard",
    "KeptEvents",
    "Processes",
    "Store",
    "Undoing",
    *("FailedForNow", "OnDead", "OutgoingMessage", "OutgoingOptions", "PublishFunction", "PublishOutcome"),
    *("Published", "Publisher", "RefusedForGood", "message_id"),
    "connection_of",
    "grant",
    "migrate",
    *brokers.__all__,
    *console.__all__,
    *diagram.__all__,
    *observe.__all__,
    *otel.__all__,
    *kafka.__all__,
    *nats.__all__,
    *prometheus.__all__,
    *rabbitmq.__all__,
    *testing.__all__,
    *tuning.__all__,
    *webhook.__all__,
}
"""Public names of the rooms that are public beside the root."""


OF_ALL = {FactBase, AttributeBase}
"""Bases with one method that all their kinds have."""


def test_the_reference_has_every_public_name() -> None:
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    paths = [path.rpartition(".") for path in re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)]
    named = {name: getattr(importlib.import_module(module), name) for module, _, name in paths}
    public = {name: getattr(saga_fn, name) for name in saga_fn.__all__}
    assert len(paths) == len(named)
    assert {name: named.get(name) for name in public} == public
    assert set(named) - set(public) == OUTSIDE_OF_THE_ROOT


def test_the_reference_has_what_a_class_gets_from_a_base_that_it_does_not_name() -> None:
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    told = r"^::: ([\w.]+)\.(\w+)$(?:\n    options:\n      inherited_members: (.+)$)?"
    entries = {
        getattr(importlib.import_module(module), name): inherited
        for module, name, inherited in re.findall(told, text, re.MULTILINE)
    }
    lacking = {
        f"{kind.__name__}.{name}"
        for kind, inherited in entries.items()
        if isinstance(kind, type) and inherited != "true"
        for base in kind.__mro__[1:]
        if base not in entries and base not in OF_ALL and base.__module__.startswith("saga_fn")
        for name, member in vars(base).items()
        if not name.startswith("_") and inspect.isfunction(member)
        if name not in vars(Wiring) and name not in re.findall(r"\w+", inherited)  # Wiring's the library calls alone
    }
    assert lacking == set()


def test_no_name_of_the_reference_is_shadowed_by_a_module() -> None:
    # Read from the source, `saga_fn.step` would be the module saga_fn/definition/steps/step.py, and not the function.
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    modules = {file.stem for file in (ROOT / "saga_fn").rglob("*.py")}
    short = re.findall(r"^::: saga_fn\.(\w+)$", text, re.MULTILINE)
    assert [name for name in short if name in modules] == []


def test_every_page_begins_with_a_title_and_a_sentence() -> None:
    for page in PAGES:
        title, beginning = page.read_text(encoding="utf-8").split("\n\n")[:2]
        assert re.fullmatch(r"# .+", title), page
        assert beginning[0].isalpha(), page


def test_llms_txt_is_what_the_pages_say() -> None:
    told = subprocess.run([sys.executable, ROOT / "docs" / "hooks.py"], capture_output=True, text=True, check=True)
    mend = ".venv/bin/python docs/hooks.py > llms.txt"
    assert (ROOT / "llms.txt").read_text(encoding="utf-8") == told.stdout, f"write it again: {mend}"
