"""Every public name is documented, part by part, as far as the source can say what there is to document.

Each parameter stands under `Args:`, with a unit where it is a number or a time, and with a default where it has one. Each
field and each member of an enum has its own docstring, or a line under `Attributes:`. What can raise an error of this library
says so under `Raises:`: the calls are followed through the source.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, get_args

import pytest
from typing_extensions import is_protocol

import saga_fn
from saga_fn import (
    brokers,
    console,
    diagram,
    embedded,
    errors,
    guard,
    kafka,
    nats,
    observe,
    rabbitmq,
    store,
    testing,
    tuning,
    webhook,
)
from saga_fn.definition.steps.step_options import CommonOptions
from saga_fn.store import migrate as migrations

OF_ONE_PROTOCOL = {"MemoryStore", "SagaEngine"}
"""Their methods are for the library's own parts: `Store` documents those of a store."""
PROTOCOLS = [store.Store, store.KeptEvents, store.Lists, store.Processes]
"""Their docstrings have the parameters that their methods share."""
UNIT = re.compile(
    r"\b(seconds?|minutes|days?|years?|timedelta|bytes?|characters|datetime|microseconds|how many|number)\b",
    re.IGNORECASE,
)
IMPERATIVE = re.compile(
    r"(?!(The|A|An|What|Whatever|How|Whether|When|Where|This|It|As|One|Of|Every|Each)\b)[A-Z][a-z]*[^s\W]\b"
)
NEVER = {
    ("SagaAdmin.abort", "ActiveSagaAlreadyExistsError"),
    ("SagaAdmin.skip_step", "ActiveSagaAlreadyExistsError"),
    ("World.__init__", "StoreError"),
}
"""The errors that the calls have in plain sight and never raise: no verb of these takes up a saga that has ended, and the store
of a World is a good one."""
PUBLIC_ERRORS = {
    name: value
    for name, value in {**vars(errors), "EmbeddedServerError": embedded.EmbeddedServerError, **vars(testing)}.items()
    if inspect.isclass(value) and issubclass(value, errors.SagaError)
}
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Example|Examples)::?$")


def public() -> Iterator[tuple[str, Any]]:  # Any: classes and functions of all kinds
    """Every public name that is defined by a class or a function."""
    for module in (
        saga_fn,
        brokers,
        console,
        diagram,
        guard,
        embedded,
        kafka,
        nats,
        observe,
        rabbitmq,
        testing,
        tuning,
        webhook,
    ):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield name, value
    yield "migrate", migrations.migrate
    yield "grant", migrations.grant


def test_help_can_show_each_class_and_each_function() -> None:
    """The annotations of a class of msgspec are resolved for that: one that names a module of the checkers alone cannot be."""
    for name, value in public():
        try:
            assert inspect.signature(value) is not None
        except ValueError:  # a Protocol, or a class that is made in C, has none
            assert inspect.isclass(value), name


def methods() -> Iterator[tuple[str, Any, types.FunctionType]]:  # Any: classes of all kinds
    """Every public function, and every public method and constructor of a public class: its name, its class, itself."""
    for name, value in public():
        if inspect.isfunction(value):
            yield name, None, value
            continue
        for own, member in members_of(value).items():
            call: object = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            shown = not own.startswith("_") or own in ("__init__", "__call__", "__aenter__", "__aexit__")
            shown &= not (own == "__init__" and is_protocol(value))
            if shown and inspect.isfunction(call) and not (name in OF_ONE_PROTOCOL and own != "__init__"):
                yield f"{name}.{own}", value, inspect.unwrap(call)


def members_of(cls: type) -> dict[str, object]:
    """The members of a class, with those of its bases that are not public by themselves."""
    known = {getattr(saga_fn, name) for name in saga_fn.__all__ if inspect.isclass(getattr(saga_fn, name))}
    bases = [each for each in cls.__mro__[1:] if each.__module__.startswith("saga_fn") and each not in known]
    found: dict[str, object] = {}
    for each in (*reversed(bases), cls):
        found |= vars(each)
    return found


def is_made_by_the_library(cls: object) -> bool:
    """Whether it is an error that a user only reads: its fields are documented."""
    return isinstance(cls, type) and issubclass(cls, errors.SagaError) and cls is not errors.SagaError


CLASSES = [(name, value) for name, value in public() if inspect.isclass(value)]
CLASSES.append(("StepOptions, but on_unknown", CommonOptions))


def sections_of(doc: str | None) -> dict[str, str]:
    """The parts of a docstring, each by its heading; the beginning by an empty one."""
    parts, heading = {"": ""}, ""
    for line in inspect.cleandoc(doc or "").splitlines():
        if found := SECTION.match(line):
            heading = found[1]
            parts[heading] = ""
        else:
            parts[heading] += line + "\n"
            if heading and line and not line.startswith(" "):
                heading = ""
    return parts


def entries_of(section: str) -> dict[str, str]:
    """The entries of a part: `name: text`, which goes on in lines that stand further in."""
    entries: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if found := re.match(r"^ {4}(\w+(?:, \w+)*): (.*)$", line):
            name = found[1]
            entries[name] = found[2]
        elif name and line.strip():
            entries[name] += " " + line.strip()
    return entries


def documented(name: str, cls: Any, call: types.FunctionType, part: str) -> dict[str, str]:  # Any: as above
    """The entries of a part of a function's docstring; a constructor's are in that of its class as well."""
    docs = [call.__doc__, cls.__doc__ if name.endswith(".__init__") else None]
    found: dict[str, str] = {}
    for doc in docs:
        sections = sections_of(doc)
        found |= entries_of(sections.get(part, ""))
    return found


def is_generated(call: types.FunctionType) -> bool:
    """Whether attrs has written it: then its parameters are the fields."""
    return call.__code__.co_filename.startswith("<")


def parameters_of(call: types.FunctionType) -> list[inspect.Parameter]:
    return [each for each in inspect.signature(call).parameters.values() if each.name not in ("self", "cls")]


def is_property(name: str, cls: type | None) -> bool:
    return cls is not None and isinstance(members_of(cls).get(name.rpartition(".")[2]), property)


WRITTEN = [(name, cls, call) for name, cls, call in methods() if not is_generated(call)]


def of_each_function(wrong_of: Callable[[str, type | None, types.FunctionType], Iterator[str]]) -> Callable[[], None]:
    """One test of all functions, with a list of what is wrong: hundreds of tests take long to collect."""

    def test() -> None:
        assert WRITTEN
        assert [f"{name}: {wrong}" for name, cls, call in WRITTEN for wrong in wrong_of(name, cls, call)] == []

    return test


def test_each_class_says_what_it_is() -> None:
    assert CLASSES
    assert [name for name, cls in CLASSES if not cls.__dict__.get("__doc__")] == []


@of_each_function
def test_each_function_says_what_it_does(name: str, cls: type | None, call: types.FunctionType) -> Iterator[str]:
    if name.endswith(("__init__", "__aenter__", "__aexit__")):
        return
    if not call.__doc__:
        yield "no docstring"
    elif not is_property(name, cls) and not IMPERATIVE.match(call.__doc__):
        yield f"begin with what to do: {call.__doc__.splitlines()[0]}"


@of_each_function
def test_each_parameter_is_documented(name: str, cls: type | None, call: types.FunctionType) -> Iterator[str]:
    if name.endswith("__aexit__") or is_made_by_the_library(cls):
        return
    args = documented(name, cls, call, "Args")
    found = {each for names in args for each in names.split(", ")}
    taken = {each.name for each in parameters_of(call)}
    yield from (f"{each} is not documented" for each in sorted(taken - found))
    yield from (f"{each} is no parameter" for each in sorted(found - taken))


@of_each_function
def test_each_number_and_time_has_a_unit_and_each_option_a_default(
    name: str, cls: type | None, call: types.FunctionType
) -> Iterator[str]:
    args = documented(name, cls, call, "Args")
    told = {each: text for names, text in args.items() for each in names.split(", ")}
    for each in parameters_of(call):
        text = told.get(each.name, "")
        counted = re.search(r"^(?!.*Callable).*\b(int|float|timedelta|datetime)\b", str(each.annotation))
        if text and counted and not UNIT.search(text):
            yield f"{each.name}: in which unit? {text}"
        if text and each.default is not inspect.Parameter.empty and not re.search(r"\b[Dd]efault", text):
            yield f"{each.name}: by default? {text}"


@of_each_function
def test_each_says_what_it_returns(name: str, cls: type | None, call: types.FunctionType) -> Iterator[str]:
    returns = str(inspect.signature(call).return_annotation)
    if returns in ("None", "NoReturn", "Self") or is_property(name, cls) or name.endswith("__init__"):
        return
    if "Returns" not in sections_of(call.__doc__):
        yield returns


def fields_of(cls: type) -> dict[str, str]:
    """The fields of a class, or the members of an enum, each with the text below it."""
    [node] = [
        each
        for each in ast.walk(tree_of(cls.__module__))
        if isinstance(each, ast.ClassDef) and each.name == cls.__name__
    ]
    own: dict[str, str] = {}
    for this, following in zip(node.body, [*node.body[1:], None], strict=True):
        target: ast.expr | None = this.target if isinstance(this, ast.AnnAssign) else None
        if isinstance(this, ast.Assign) and issubclass(cls, enum.Enum):
            target = this.targets[0]
        if not isinstance(target, ast.Name) or target.id.startswith("_"):
            continue
        said = following.value if isinstance(following, ast.Expr) else None
        own[target.id] = str(said.value) if isinstance(said, ast.Constant) else ""
    return own


def undocumented(cls: type) -> Iterator[str]:
    """The fields of a class, and the members of an enum, about which nothing is said."""
    listed = sections_of(cls.__doc__)
    told = {**entries_of(listed.get("Attributes", "")), **entries_of(listed.get("Args", ""))}
    yield from (field for field, text in fields_of(cls).items() if not text and field not in told)


def test_each_field_and_each_member_is_documented() -> None:
    asked = [(name, cls) for name, cls in CLASSES if name not in OF_ONE_PROTOCOL]
    assert asked
    assert [f"{name}.{field}" for name, cls in asked for field in undocumented(cls)] == []


@pytest.mark.parametrize("cls", [CommonOptions, saga_fn.StepOptions, *get_args(saga_fn.RetryPolicy)])
def test_each_field_that_is_an_option_has_a_default(cls: type) -> None:
    assert [field for field, text in fields_of(cls).items() if "Default: " not in text] == []


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.__name__)
def test_each_method_of_a_store_and_each_of_its_parameters_is_documented(protocol: type) -> None:
    shared = entries_of(sections_of(protocol.__doc__)["Args"])
    methods = {name: each for name, each in vars(protocol).items() if inspect.isfunction(each) and name[0] != "_"}
    assert [name for name, each in methods.items() if not each.__doc__] == []
    taken = {each.name for method in methods.values() for each in parameters_of(method)}
    assert taken == set(shared)


# The calls that can raise.


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules.get(module) or importlib.import_module(module)))


Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def functions_of(module: str) -> dict[str, Function]:
    """The functions of a module, and the methods of its classes, by their names in it."""
    found: dict[str, Function] = {}
    for node in tree_of(module).body:
        if isinstance(node, Function):
            found[node.name] = node
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}": each for each in node.body if isinstance(each, Function)}
    return found


def where(module: str, name: str) -> tuple[str, str] | None:
    """Where what a module calls by a name is defined, if it is a function or a class of this library."""
    value = getattr(importlib.import_module(module), name, None)
    home = getattr(value, "__module__", "") or ""
    if not home.startswith("saga_fn"):
        return None
    if inspect.isclass(value):
        made = [each for each in ("__init__", "__attrs_post_init__") if f"{name}.{each}" in functions_of(home)]
        return (home, f"{name}.{made[0]}") if made else None
    return home, getattr(value, "__qualname__", name)


@cache
def raised_by(module: str, name: str) -> frozenset[str]:
    """The public errors that a function raises by itself, or by what it calls in plain sight."""
    found: set[str] = set()
    left, seen = [(module, name)], {(module, name)}
    while left:
        home, called = left.pop()
        node = functions_of(home).get(called)
        if node is None:
            continue
        found |= errors_in(node)
        for each in called_by(home, called, node):
            if each not in seen:
                seen.add(each)
                left.append(each)
    return frozenset(found)


def errors_in(node: Function) -> set[str]:
    raised = [each.exc for each in ast.walk(node) if isinstance(each, ast.Raise)]
    names = [each.func if isinstance(each, ast.Call) else each for each in raised]
    return {each.id for each in names if isinstance(each, ast.Name) and each.id in PUBLIC_ERRORS}


def called_by(module: str, name: str, node: Function) -> Iterator[tuple[str, str]]:
    for call in [each for each in ast.walk(node) if isinstance(each, ast.Call)]:
        if isinstance(call.func, ast.Name) and (found := where(module, call.func.id)):
            yield found
        if (
            isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
            and call.func.value.id == "self"
        ):
            yield module, f"{name.rpartition('.')[0]}.{call.func.attr}"


def is_a_coroutine_of_a_face(cls: object, call: types.FunctionType) -> bool:
    """Whether it asks the store: then the store may not answer."""
    faces = {"SagaOrchestrator", "SagaAdmin", "StepAdmin", "SagaHandle", "SagaRun", "EventSender"}
    return getattr(cls, "__name__", "") in faces and inspect.iscoroutinefunction(call)


@of_each_function
def test_each_says_what_it_raises(name: str, cls: type | None, call: types.FunctionType) -> Iterator[str]:
    if name.endswith("__aexit__") or name in (
        "SagaOrchestrator.health",
        "SagaOrchestrator.committed",
        "SagaOrchestrator.send_many",
    ):
        return  # which tell of it otherwise
    told = documented(name, cls, call, "Raises")
    yield from (f"{each} is no public error" for each in sorted(set(told) - {*PUBLIC_ERRORS, "UnwrapFailedError"}))
    of_store = [each for each in told if each in PUBLIC_ERRORS and issubclass(PUBLIC_ERRORS[each], errors.StoreError)]
    if is_a_coroutine_of_a_face(cls, call) and not of_store:
        yield "the store may not answer"
    raised = raised_by(call.__module__, call.__qualname__)
    silent = {each for each in raised if (name, each) not in NEVER and not any(is_told(each, said) for said in told)}
    yield from (f"it can raise {each}" for each in sorted(silent))


def is_told(error: str, told: str) -> bool:
    """Whether one error stands for another: itself, or one above it, but not the root, which says nothing."""
    if error == told:
        return True
    return told in PUBLIC_ERRORS and told != "SagaError" and issubclass(PUBLIC_ERRORS[error], PUBLIC_ERRORS[told])
