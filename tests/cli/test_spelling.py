"""At a shell the library's texts name commands and options: none of them names a call or an argument of Python's `SagaAdmin`."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import pytest

import saga_fn
from saga_fn import SagaAdmin, SagaFilter
from saga_fn.admin.bulk_verbs import BulkVerb
from saga_fn.cli.spelling import in_commands
from saga_fn.core.effects import Misfit, Refusal, Rejection
from saga_fn.core.ids import StepId
from saga_fn.core.verbs import Verb
from saga_fn.engine.drive.misfit import mend_of_misfit
from saga_fn.engine.requests.refusals import told_of_refusal
from tests.cli.conftest import Cli, Seeded
from tests.cli.test_help import COMMANDS

SAGA_FN: Final = Path(saga_fn.__file__).parent
ROOMS: Final = ("admin", "cli", "engine/requests", "engine/views", "explanation", "store")
FILES: Final = (
    "core/listing.py",
    "engine/health.py",
    "errors.py",
    "listing.py",
    "testing/exports.py",
)
JUDGES_OF_TYPES: Final = frozenset({"check_is", "micros_of"})
"""They refuse an argument of a wrong type: the command line reads texts, and gives none."""
FOR_PROGRAMS: Final = re.compile(
    r"as in skip_step\(saga_id|as in rewind\(saga_id|not_begun=True\)$|datetime\.now\(UTC\)|SagaFilter\(saga_name="
    r"|^ResumeSaga\(|SagaAdmin\(orchestrator\)|journal_partitions=|^, retention=|a SagaAdmin$|a SagaFilter$"
    r"|to\(target, event, may_be_new"
)
"""Mends of wrong types that are named before they are given, and examples in Python: no command leads to them."""


def arguments() -> set[str]:
    """Every argument of a method of `SagaAdmin`, of a filter and of a verb as data, but for those that every Python program names."""
    methods = [value for name, value in vars(SagaAdmin).items() if not name.startswith("_")]
    inherited = [value for kind in SagaAdmin.__mro__ for name, value in vars(kind).items() if not name.startswith("_")]
    calls = [each for each in (*methods, *inherited, SagaFilter, *get_args(BulkVerb)) if callable(each)]
    return {name for each in calls for name in inspect.signature(each).parameters} - {"self", "retention", "cls"}


OF_A_DEPLOY: Final = re.compile(r"register\([^()]*(\(.*\))?[^()]*\)")
METHODS: Final = {name for kind in SagaAdmin.__mro__ for name in vars(kind) if "_" in name.strip("_")}
PYTHON: Final = re.compile(
    rf"SagaAdmin|SagaFilter|WaitReason\.|SagaStatus\.|\b({'|'.join(sorted(arguments()))})=(?!c-17)"
    r"|\bmock_output\b|\bnot_begun\b"
    rf"|(?<![\w.])({'|'.join(sorted(each for each in {*METHODS, *Verb} if '_' in each and not each.startswith('_')))})\b"
)


def texts_of(file: Path) -> Iterator[tuple[str, str]]:
    """Every text in that file that may be one for people, as it stands there: not names, docstrings or SQL."""
    tree = ast.parse(file.read_text("utf-8"))
    left = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in JUDGES_OF_TYPES:
            left.update(each for each in ast.walk(node) if isinstance(each, ast.expr) and each is not node)
        if isinstance(node, ast.JoinedStr):
            left.update(each for each in ast.walk(node) if isinstance(each, ast.expr) and each is not node)
    for node in ast.walk(tree):
        if node in left or not isinstance(node, ast.JoinedStr | ast.Constant):
            continue
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        said = "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in parts)
        if " " in said.strip() or "=" in said:
            yield f"{file.relative_to(SAGA_FN)}:{node.lineno}", said


def every_text() -> Iterator[tuple[str, str]]:
    files = [*(SAGA_FN / name for name in FILES), *(file for room in ROOMS for file in (SAGA_FN / room).rglob("*.py"))]
    for file in files:
        if file.name not in ("_queries.py", "_migrations.py", "spelling.py", "rights.py", "months.py"):
            yield from texts_of(file)


def test_no_text_names_a_call_or_an_argument() -> None:
    raw = {where: said for where, said in every_text() if not FOR_PROGRAMS.search(said)}
    assert len([said for said in raw.values() if PYTHON.search(said)]) > 40  # the test sees them
    told = {where: in_commands(said) for where, said in raw.items()}
    assert {where: said for where, said in told.items() if PYTHON.search(OF_A_DEPLOY.sub("", said))} == {}


async def test_no_help_names_a_call_or_an_argument_and_each_option_that_is_named_is_there(cli: Cli) -> None:
    helps = {words: " ".join((await cli(*words, "--help")).out.split()) for words in COMMANDS}
    assert {words: said for words, said in helps.items() if PYTHON.search(said)} == {}
    there = set(re.findall(r"--[a-z-]+", " ".join(helps.values()))) | {"--help"}
    named = {option for _, said in every_text() for option in re.findall(r"--[a-z-]+", in_commands(said))}
    assert named - there - {"--print"} == set()  # that is one of `python -m saga_fn.store.migrate`


def test_data_and_calls_of_a_program_stay_as_they_are() -> None:
    for said in ("there is no step 'retry_step'", "register(order_saga, version=2)", "raise max_payload_bytes"):
        assert in_commands(said) == said
    assert (
        in_commands("add waits=WaitReason.PARKED, or status=SagaStatus.FAILED")
        == "add --waits parked, or --status FAILED"
    )
    assert in_commands('undo it: forget=["charge[3]", "ship"]. Then') == "undo it: --forget 'charge[3],ship'. Then"
    assert in_commands('forget=["a,b"]. Then') == """--forget '["a,b"]'. Then"""
    assert (
        in_commands('let it be: forget=["start_now", "get_saga"]. Then')
        == "let it be: --forget start_now,get_saga. Then"
    )
    for name in ("start_now", "pause_saga", "get_saga", "retry_step"):
        said, mend = map(in_commands, told_of_refusal(f'unnamed: ["{name}"]'))
        assert f"what '{name}' has done" in said
        assert f"--forget {name}." in mend
    assert in_commands("say oldest_first=True, or acknowledged=False") == "say --oldest-first, or --no-acknowledged"


async def test_what_a_command_says_names_commands_and_options(cli: Cli, seeded: Seeded) -> None:
    for tokens, expected in (
        (("list", "--step", "charge"), "add --waits parked, or --status FAILED, or the business key"),
        (("list", "--older-than", "soon"), "--older-than is no length of time: 'soon'"),
        (
            ("list", "--status", "FAILED", "--active"),
            "--status, --active, --waits, --parked, --ended-from or --ended-before",
        ),
        (("retry-step", seeded.parked, "promise"), f"see steps of saga-fn show {seeded.parked} for what waits"),
        (("bulk", "cancel", "--dry-run"), "--everything"),
    ):
        told = await cli(*tokens, "--dsn", seeded.dsn)
        assert expected in " ".join((told.out + told.err).split()), told


async def test_an_explanation_names_commands(cli: Cli, seeded: Seeded) -> None:
    assert (await cli("pause", "shipping", "--yes", "--dsn", seeded.dsn)).code == 0
    told = (await cli("explain", seeded.parked, "--dsn", seeded.dsn)).out
    assert "mend: saga-fn resume shipping\n" in told
    assert f"  saga-fn retry-step {seeded.parked} print_label\n" in told
    rewound = (await cli("explain", seeded.retrying, "--dsn", seeded.dsn)).out
    assert re.search(r"or let it be: --forget [a-z,]*reserve[a-z,]*\. Then it runs again", rewound), rewound
    assert f"  saga-fn skip-step {seeded.parked} print_label --mock-output JSON\n" in told
    assert PYTHON.search(told) is None, told


@pytest.mark.parametrize("misfit", Misfit)
def test_the_mend_for_a_changed_definition_is_left_to_who_mends_the_program(misfit: Misfit) -> None:
    rejection = Rejection(Refusal.PLAN_MISMATCH, StepId("charge[2]"), misfit, StepId("ship"))
    mend = mend_of_misfit(rejection, 1)
    assert "register(definition, version=2)" in mend
    assert ("@step(step_id='charge')" in mend) is (misfit is Misfit.GONE)
    assert in_commands(mend) == mend
