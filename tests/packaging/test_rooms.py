"""The core decides, the engine carries out: held by what the other rooms may name.

What a saga's state, status or wait reason means is said in `core/`, shown by `engine/views/`, and mirrored by
`store/records`. Elsewhere such values are only handed on. What a kind of event means is said in `core/` alike.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import pytest

from saga_fn.core import state
from saga_fn.core.events import Event
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.state import Goal, StepState
from saga_fn.core.step_report import StepStatus

PRODUCT: Final = Path(__file__).parents[2] / "saga_fn"
PROGRAMS: Final = ("examples", "demo")
"""They are written as a user writes: by the public names alone."""
STATES: Final = {kind.__name__ for kind in get_args(StepState)}
SETS: Final = {name for name, value in vars(state).items() if isinstance(value, frozenset)}
ENUMS: Final = {each.__name__ for each in (Goal, SagaStatus, WaitReason, StepStatus)}
WORDS: Final = {*SagaStatus, *StepStatus}
EVENTS: Final = {kind.__name__ for kind in get_args(Event)}
MAY_NAME_STATES: Final = {
    "core": "it decides",
    "diagram": "it draws for people what a state, a status or a step's past looks like",
    "engine/views": "it says for people what a saga's state is",
    "store/records": "it mirrors the core's projection, as rows have it",
}
MAY_ASK_FOR_KINDS: Final = {
    "core": "it decides",
    "engine/views": "it says for people what an event is",
    "engine/drive/message.py": "it writes events as messages, and reads them",
}


def files(rooms: dict[str, str]) -> list[str]:
    """The product's files outside of these rooms."""
    every = (path.relative_to(PRODUCT).as_posix() for path in PRODUCT.rglob("*.py"))
    return sorted(name for name in every if not any(Path(name).is_relative_to(room) for room in (*rooms, *PROGRAMS)))


def of_core(tree: ast.Module) -> dict[str, str]:
    """The names that the file imports from the core: what each is called here, and there."""
    return {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("saga_fn.core")
        for alias in node.names
    }


def states_named(source: str) -> Iterator[str]:
    """Each place where the file says what a state, a status or a reason to wait is."""
    tree = ast.parse(source)
    names = of_core(tree)
    yield from (f"imports {name}" for name in names.values() if name in STATES | SETS | {"Goal"})
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=member) if names.get(name) in ENUMS and member.isupper():
                yield f"{node.lineno}: {name}.{member}"
            case ast.Subscript(value=ast.Name(id=name), slice=ast.expr()) if names.get(name) in ENUMS:
                yield f"{node.lineno}: {name}[...]"
            case ast.Compare(comparators=compared):
                for each in (word for one in compared for word in ast.walk(one)):
                    if isinstance(each, ast.Constant) and each.value in WORDS:
                        yield f"{node.lineno}: compares with {each.value!r}"
            case ast.MatchValue(value=ast.Constant(value=word)) if word in WORDS:
                yield f"{node.lineno}: matches {word!r}"
            case _:
                pass


def kinds_asked_for(source: str) -> Iterator[str]:
    """Each place where the file does something of its own for a kind of event."""
    tree = ast.parse(source)
    names = {name for name, there in of_core(tree).items() if there in EVENTS}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, asked]):
                asked_for = {each.id for each in ast.walk(asked) if isinstance(each, ast.Name)}
            case ast.Compare(ops=[ast.Is() | ast.IsNot() | ast.Eq() | ast.In() | ast.NotIn()], comparators=[asked]):
                asked_for = {each.id for each in ast.walk(asked) if isinstance(each, ast.Name)}
            case ast.MatchClass(cls=ast.Name(id=name)):
                asked_for = {name}
            case ast.Set(elts=kinds) | ast.Dict(keys=kinds):
                asked_for = {each.id for each in kinds if isinstance(each, ast.Name)}
            case _:
                continue
        yield from (f"{node.lineno}: {name}" for name in sorted(asked_for & names))


def test_no_other_room_says_what_a_state_means() -> None:
    names = files(MAY_NAME_STATES)
    assert names
    assert [(name, each) for name in names for each in states_named((PRODUCT / name).read_text("utf-8"))] == []


def test_no_other_room_decides_by_the_kind_of_an_event() -> None:
    names = files(MAY_ASK_FOR_KINDS)
    assert names
    assert [(name, each) for name in names for each in kinds_asked_for((PRODUCT / name).read_text("utf-8"))] == []


@pytest.mark.parametrize(
    "source, found",
    [
        ("from saga_fn.core.state import Running", ["imports Running"]),
        ("from saga_fn.core.state import EXECUTING as RUN", ["imports EXECUTING"]),
        ("from saga_fn.core.projection import SagaStatus\ndef f(a: SagaStatus) -> SagaStatus: ...", []),
        ("from saga_fn.core.projection import SagaStatus as S\nS.FAILED", ["2: S.FAILED"]),
        ("from saga_fn.core.projection import SagaStatus as S\nS['FAILED']", ["2: S[...]"]),
        ("status in ('COMPLETED', 'FAILED')", ["1: compares with 'COMPLETED'", "1: compares with 'FAILED'"]),
        ("match a:\n case 'FAILED': ...", ["2: matches 'FAILED'"]),
    ],
)
def test_what_a_room_says_of_states_is_found(source: str, found: list[str]) -> None:
    assert list(states_named(source)) == found


@pytest.mark.parametrize(
    "asks, lines",
    [
        ("isinstance(a, Ticked | Resumed)", 2),
        ("type(a) is Ticked", 1),
        ("type(a) in {Ticked}", 2),
        ("KINDS = {Ticked, Resumed}", 2),
        ("match a:\n case Ticked(at=at): ...", 1),
        ("Ticked(now)", 0),
    ],
)
def test_what_a_room_asks_for_by_its_kind_is_found(asks: str, lines: int) -> None:
    assert len(list(kinds_asked_for(f"from saga_fn.core.events import Ticked, Resumed\n{asks}"))) == lines
