"""What is in the wheel, what it requires, and that it works where nothing else is installed."""

from __future__ import annotations

import sys
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import saga_fn
from saga_fn.extras import mend_of
from tests.support.consumer import Consumer

SPEAK_HTTP = ["payment", "shop", "slow_bank", "web"]
WITHOUT_EXTRAS = ["branches", "events", "failures", "time", "unknown_outcomes", "waiting_undo"]
"""The examples, by whether they need the extra `demo`."""
TEN_LINES = """\
import asyncio
from saga_fn import MemoryStore, SagaBuilder, SagaOrchestrator, step
async def double(n: int) -> int:
    return 2 * n
async def main() -> None:
    saga = SagaBuilder(int)
    doubled = saga.add_step(step(double), depends_on=saga.initial)
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        print(await orchestrator.register("double", saga.build(output=doubled)).run(21, timeout=30))
asyncio.run(main())
"""


@pytest.fixture
def files(consumer: Consumer) -> set[str]:
    with zipfile.ZipFile(consumer.wheel) as wheel:
        return set(wheel.namelist())


@pytest.fixture
def about(consumer: Consumer) -> Message:
    return HeaderParser().parsestr(consumer.distribution.read_text("METADATA") or "")


def test_it_is_saga_fn_0_1_0_for_any_platform(consumer: Consumer, about: Message) -> None:
    assert consumer.wheel.name == "saga_fn-0.1.0-py3-none-any.whl"
    assert (about["Name"], about["Version"], about["Requires-Python"]) == ("saga-fn", "0.1.0", ">=3.11")
    assert about["License-Expression"] == "MIT"


def test_it_requires_five_packages(about: Message) -> None:
    required = [Requirement(text) for text in about.get_all("Requires-Dist", [])]
    names = sorted(canonicalize_name(one.name) for one in required if "extra" not in str(one.marker))
    assert names == ["asyncpg", "attrs", "msgspec", "returns", "typing-extensions"]


def test_what_it_requires_is_all_it_needs(consumer: Consumer) -> None:
    checked = consumer.run(
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", consumer.python, "check"
    )
    assert checked == "No broken requirements found.\n"


def test_it_has_what_a_user_needs(files: set[str]) -> None:
    assert files >= {
        "saga_fn/py.typed",
        "saga_fn/store/_migrations.py",
        "saga_fn/store/_queries.py",
        "saga_fn/demo/orders.jsonl",
        "saga_fn-0.1.0.dist-info/licenses/LICENSE",
    }


def test_it_has_nothing_else(files: set[str]) -> None:
    assert {PurePosixPath(file).parts[0] for file in files} == {"saga_fn", "saga_fn_pytest", "saga_fn-0.1.0.dist-info"}
    assert {file for file in files if file.startswith("saga_fn_pytest/")} == {"saga_fn_pytest/__init__.py"}
    inside = {PurePosixPath(file) for file in files if file.startswith("saga_fn/")}
    data = {file.suffix for file in inside if file.parts[1] in ("console", "demo", "prometheus")} - {".py"}
    assert data == {".css", ".js", ".json", ".jsonl", ".svg", ".yml"}
    assert {file.suffix for file in inside} == {".py", ".typed", *data}
    assert not [file for file in inside if "_tools" in file.parts]


def test_every_module_outside_the_extras_can_be_imported(consumer: Consumer, files: set[str]) -> None:
    rooms = (
        "cli",
        "console",
        "demo",
        "embedded",
        "examples",
        "kafka",
        "nats",
        "otel",
        "prometheus",
        "rabbitmq",
        "sqlalchemy",
        "webhook",
    )
    extras = tuple(f"saga_fn/{room}/" for room in rooms)
    names = [file.removesuffix(".py").replace("/", ".") for file in files if file.endswith(".py")]
    plugins = ("saga_fn_pytest.__init__",)  # pytest brings itself
    library = sorted(
        name for name in names if name not in plugins and not f"{name.replace('.', '/')}/".startswith(extras)
    )
    consumer.run_program("import importlib\n" + "".join(f"importlib.import_module({name!r})\n" for name in library))


def test_ten_lines_run_a_saga(consumer: Consumer) -> None:
    assert TEN_LINES.count("\n") == 10
    assert consumer.run_program(TEN_LINES) == "42\n"


def test_the_command_line_says_what_to_install(consumer: Consumer) -> None:
    said = consumer.run_program(
        "from saga_fn.cli.__main__ import main\nimport sys\nsys.stderr = sys.stdout\nprint(main())\n"
    )
    assert said == f"saga-fn: cyclopts is not installed. Mend: {mend_of('cli')}\n2\n"


def test_the_demo_says_what_to_install(consumer: Consumer) -> None:
    said = consumer.run_program(
        "import runpy, sys\nsys.stderr = sys.stdout\n"
        "try:\n    runpy.run_module('saga_fn.demo', run_name='__main__')\n"
        "except SystemExit as end:\n    print(end.code)\n"
    )
    assert said == f"rich is not installed. Mend: {mend_of('demo')}\n2\n"


@pytest.mark.parametrize("name", SPEAK_HTTP)
def test_an_example_that_speaks_http_says_what_to_install(name: str, consumer: Consumer) -> None:
    said = consumer.run_program(
        f"try:\n    from saga_fn.examples import {name}\nexcept ImportError as error:\n    print(error)"
    )
    assert said == f"the examples that speak HTTP need fastapi: {mend_of('demo')}\n"


@pytest.mark.parametrize("name", WITHOUT_EXTRAS)
def test_every_other_example_needs_no_extra(name: str, consumer: Consumer) -> None:
    assert (
        consumer.run_program(f"from saga_fn.examples import {name}\nprint({name}.__name__)")
        == f"saga_fn.examples.{name}\n"
    )


def test_each_example_is_tried_without_its_extra(files: set[str]) -> None:
    examples = {PurePosixPath(file).stem for file in files if file.startswith("saga_fn/examples/")}
    assert examples == {"__init__", "extra", *SPEAK_HTTP, *WITHOUT_EXTRAS}


def test_one_place_says_how_an_extra_is_installed() -> None:
    package = Path(saga_fn.__file__).parent
    told = {path.name for path in package.rglob("*.py") if "pip install" in path.read_text(encoding="utf-8")}
    assert told == {"extras.py"}


def test_the_embedded_server_says_what_to_install(consumer: Consumer) -> None:
    said = consumer.run_program(
        "from saga_fn.embedded import EmbeddedPostgres, EmbeddedServerError\n"
        "try:\n"
        "    EmbeddedPostgres().__enter__()\n"
        "except EmbeddedServerError as error:\n"
        "    print(error)\n"
    )
    assert mend_of("embedded") in said
