"""Whatever a caller passes, a public call gives an answer or raises one of our errors, and none of them hangs.

Calls are generated: each public function and method, with fitting and with hostile arguments. 3,000 of them by default, half in
memory and half on a database; more by `SAGA_FN_CALLS=100000`, others by `SAGA_FN_SEED=7`. A call that fails is shown with as few
hostile arguments as fail.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
import os
import random
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import attrs
import msgspec
import pytest
from typing_extensions import override

import saga_fn
from saga_fn import (
    Event,
    MemoryStore,
    SagaAdmin,
    SagaBuilder,
    SagaError,
    SagaHandle,
    SagaOrchestrator,
    SagaRun,
    StepContext,
    StepRef,
    saga,
    step,
)
from saga_fn.console import Operator, Permission, console
from saga_fn.definition.steps.step_options import CommonOptions
from saga_fn.embedded import EmbeddedPostgres
from saga_fn.errors import shown
from saga_fn.guard import Guard
from saga_fn.store.errors import RowRejectedError, StoreBusyError
from saga_fn.store.migrate import check_schema, migrate
from saga_fn.testing import explore, laws, replay

CALLS: Final = int(os.environ.get("SAGA_FN_CALLS", "3000"))
SEED: Final = int(os.environ.get("SAGA_FN_SEED", "1"))
pytestmark = pytest.mark.timeout(max(120, CALLS // 10))

PATIENCE: Final = 20.0
"""Seconds after which a call hangs; the waits that are asked for are shorter."""

# Any: calls of any signature, and values of any type.
Call: TypeAlias = tuple[str, Callable[..., Any]]


class Data(msgspec.Struct, frozen=True):
    x: int = 1


@step
async def work(inp: Data) -> Data:
    return inp


approval = Event("approval", Data)
size = saga_fn.Attribute("x", int)


@saga("generated")
def generated(inp: StepRef[Data]) -> StepRef[Data]:
    return work(approval.wait(timeout=timedelta(hours=1), after=work(inp, step_id="first")))


class Text(str):
    """A text of a caller's own class."""

    __slots__ = ()


class Whole(int):
    """A number of a caller's own class."""


class Hostile:
    """What cannot be shown, compared or hashed."""

    @override
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    @override
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equality")

    __hash__ = None  # type: ignore[assignment]  # that is the point


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


SOME: Final[tuple[object, ...]] = (
    None,
    0,
    -1,
    5,
    True,
    2**63,
    10**400,
    1.5,
    float("nan"),
    float("inf"),
    -1e308,
    "",
    "x",
    Text("w"),
    Whole(5),
    "a" * 300,
    "nul \x00",
    "\ud800",
    "snow \u2603",
    "a\nb\x1b[31m",
    b"bytes",
    (),
    {"x": "y"},
    {5: Hostile()},
    ("w", "k"),
    ("w", 5),
    ("w", "\ud800"),
    object(),
    Hostile(),
    deep(3000),
    Data(),
    Data(2**70),
    UUID(int=0),
    timedelta(0),
    timedelta(days=-1),
    timedelta.max,
    timedelta.min,
    datetime(2026, 1, 1),  # noqa: DTZ001 - a naive one
    datetime.max.replace(tzinfo=UTC),
    datetime.min.replace(tzinfo=UTC),
    work,
    approval,
    generated,
    Data,
    type,
    Exception,
    ValueError("an error"),
    ...,
)


def nothing(*_: object) -> None:
    """A function that gives nothing."""


def hostile(*_: object) -> Hostile:
    return Hostile()


def key_of(_: object) -> str:
    """A key for whatever data; one that raises is its caller's, and comes out as it is."""
    return "key"


# Any: empty ones say nothing of what could be in them.
EMPTY: Final[tuple[object, ...]] = (list[Any](), dict[Any, Any](), set[Any](), [list[Any]()], (list[Any](), "x"))
HOSTILE: Final[tuple[object, ...]] = (*SOME, *EMPTY, nothing, hostile)


@attrs.define
class Stage:
    """Objects to call, and what fits their parameters."""

    orchestrator: SagaOrchestrator
    handle: SagaHandle[Data, Data]
    run: SagaRun[Data]
    seen: saga_fn.SagaAdminSnapshot
    explained: saga_fn.Explanation
    connections: list[asyncpg.Connection[asyncpg.Record]]
    """Without a transaction, and in one that is never committed."""

    def fitting(self, draw: random.Random, call: str, name: str) -> object:
        """A value that the parameter of that name of that call could have."""
        if name == "connection" and call.startswith(OF_A_CONNECTION):
            return self.connections[0] if self.connections else None
        builder = SagaBuilder(Data)
        values: Mapping[str, list[object]] = {
            "saga_id": [self.run.id, uuid4()],
            "data": [Data(), {"x": 2}, [Data(), Data(2)]],
            "initial_data": [Data(), {"x": 2}, [Data()]],
            "payload": [Data()],
            "output": [Data(), None],
            "saga_name": ["generated", "other"],
            "name": ["generated", "other"],
            "definition": [generated],
            "aggregation_id": [None, "key", key_of],
            "idempotency_key": [None, "key", key_of],
            "event_id": [None, "event"],
            "event": [approval, {"approved": True}],
            "target": [self.run.id, ("generated", "key")],
            "timeout": [0, 0.01, timedelta(milliseconds=10)],
            "delay": [None, timedelta(hours=1)],
            "connection": [None, *self.connections],
            "notify": [False, True],
            "orchestrator": [self.orchestrator],
            "step": [work],
            "step_id": ["first", "work"],
            "ref": [builder.initial],
            "depends_on": [builder.initial],
            "store": [MemoryStore()],
            "engine": [self.orchestrator.engine],
            "initial_type": [Data],
            "version": [1, 2],
            "concurrency": [None, 1, 2],
            "max_attempts": [2],
            "base_delay": [timedelta(seconds=1), timedelta(seconds=10)],
            "max_delay": [None, timedelta(seconds=5)],
            "retry_on": [KeyError, (ConnectionRefusedError, TimeoutError)],
            "give_up_on": [ValueError, TimeoutError],
            "unknown_on": [OSError],
            "retry_policy": [saga_fn.NoRetry(), saga_fn.FixedRetry(max_attempts=2)],
            "on_unknown": ["repeat", "park", "undo"],
            "on_undo_failed": ["park", "fail"],
            "compensation_waits_for": [approval],
            "limit": [0, 1],
            "token": [uuid4()],
            "wait_parked": [False, True],
            "operation": ["an operation"],
            "generation": [0],
            "schema": ["saga_fn"],
            "wanted": [None, saga_fn.SagaFilter(saga_name="generated"), saga_fn.SagaFilter(active=True)],
            "after": [None, "AAAA"],
            "verb": [
                saga_fn.RetryStep("first"),
                saga_fn.RetryStep("first", Data()),
                saga_fn.SkipStep("work", Data()),
                saga_fn.Rewind("first", forget=["first"]),
                saga_fn.StartNow(at=datetime.now(UTC), step="work"),
                saga_fn.Cancel(),
                saga_fn.Acknowledge(),
            ],
            "forget": [(), ["first"]],
            "everything": [False, True],
            "per_second": [1000],
            "retention": [None, saga_fn.Retention(completed=timedelta(days=1))],
            "completed": [None, timedelta(days=1)],
            "failed": [None, timedelta(days=1)],
            "tombstone": [None, timedelta(days=1)],
            "archive": [None, saga_fn.JsonlArchive("generated.jsonl")],
            "path": ["generated.jsonl"],
            "fakes": [nothing],
            "start": [Data()],
            "events": [(), [(approval, Data())]],
            "export": ["generated.jsonl", [], ["{}", '{"format": 1}']],
            "dry_run": [False, True],
            "extend": [False, True],
            "attribute": [None, size.equals(1), size.at_least(5)],
            "attributes": [(), (size,)],
            "tp": [str, int],
            "authorize": [nothing],
            "may": [(), Permission, ["cancel"]],
            "origins": [(), ["https://shop.example"]],
            "secret": [None, b"x" * 32],
            "status": [None, *saga_fn.SagaStatus],
            "waits": [None, *saga_fn.WaitReason],
            "created_from": [None, datetime.now(UTC)],
            "ended_before": [None, datetime.now(UTC)],
        }
        return draw.choice(values.get(name, [None]))

    def calls(self) -> list[Call]:
        """Every public call: of the package's names, and of what they make."""
        admin, begun = SagaAdmin(self.orchestrator), datetime.now(UTC)
        row = (uuid4(), "generated", 1, saga_fn.SagaStatus.COMPLETED, None, "trace", begun, begun)
        made: list[object] = [
            self.orchestrator,
            self.handle,
            self.run,
            self.seen,
            self.explained,
            admin,
            admin.step(self.run.id, SagaBuilder(Data).initial),
            self.orchestrator.to(self.run.id, approval),
            self.orchestrator.to(("generated", "key"), approval),
            SagaBuilder(Data),
            SagaBuilder(Data).initial,
            work,
            approval,
            generated,
            MemoryStore(),
            Guard(),
            StepContext(uuid4(), "generated", "first", 1, "key", "trace", None),
            saga_fn.TransactionalContext(uuid4(), "generated", "first", 1, "key", "trace", None, connection=None),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # nothing asks it
            size,
            saga_fn.WaitFor(approval),
            saga_fn.ArchivedSaga(*row, data={}),
            saga_fn.NoRetry(),
            saga_fn.FixedRetry(max_attempts=2),
            saga_fn.ExponentialRetry(max_attempts=2),
            saga_fn.InputContext(uuid4(), Data(), {}),
        ]
        found = [(name, getattr(saga_fn, name)) for name in saga_fn.__all__ if callable(getattr(saga_fn, name))]
        found += [
            ("EmbeddedPostgres", EmbeddedPostgres),
            ("Guard", Guard),
            ("console", console),
            ("explore", explore),
            ("laws", laws),
            ("replay", replay),
            ("Operator", Operator),
        ]
        if self.connections:
            found += [("migrate", migrate), ("check_schema", check_schema)]
        for each in made:
            names = [name for name in dir(type(each)) if not name.startswith("_")]
            methods = [(f"{type(each).__name__}.{name}", getattr(each, name)) for name in names if name not in ENDLESS]
            found += [(name, method) for name, method in methods if callable(method)]
        return [(name, call) for name, call in found if name not in NOT_CALLED and not is_pythons(call)]


def is_pythons(call: object) -> bool:
    """Enums are looked up as Python does; errors are made by the library, or anyhow."""
    return isinstance(call, type) and issubclass(call, enum.Enum | BaseException)


OPTIONS: Final = sorted({*saga_fn.StepOptions.__annotations__, *CommonOptions.__annotations__})
OF_STEPS: Final = ("step", "SagaBuilder.add_step")
"""Their keyword arguments are the options of a step."""
OF_A_CONNECTION: Final = ("Guard", "migrate", "check_schema")
"""They wait for others' transactions, as they say; the one that stays open is not for them."""
ENDLESS: Final = frozenset({"run_forever", "run_until_idle"})
NOT_CALLED: Final = frozenset(
    {
        # Abstract, or the user's own code: a step's is called by the engine, and `work` stands for all of them.
        *(
            f"{name}{method}"
            for name in ("BaseStep", "ContextStep", "TransactionalStep", "StepDefinition")
            for method in ("", ".execute", ".compensate", ".probe", ".add_to")
            if name + method != "StepDefinition"
        ),
        # The engine's own, which `orchestrator.engine` gives to the library's other parts.
        *(f"SagaEngine.{name}" for name in dir(saga_fn.SagaEngine) if not name.startswith("_")),
        "SagaPage.holding",  # the library makes pages
        "Outcome",  # types
        "StepInputMap",
        "RetryPolicy",
        "SagaOrchestrator.engine",
        "MemoryStore.close",
        # The store's side of MemoryStore is called by the engine alone, which has judged what it passes.
        *(f"MemoryStore.{name}" for name in dir(MemoryStore) if name != "jump_to"),
    }
)


def arguments(
    draw: random.Random, stage: Stage, whose: str, call: Callable[..., Any]
) -> tuple[list[tuple[str, object]], list[tuple[str, object]]] | None:
    """Positional and named arguments that the signature takes."""
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        return None
    positional: list[tuple[str, object]] = []
    named: list[tuple[str, object]] = []
    hostile = draw.random() < 0.7
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            options = draw.sample(OPTIONS, draw.randint(0, 3)) if whose in OF_STEPS else ()
            named += [(option, a_value(draw, stage, whose, option, hostile=hostile)) for option in options]
            continue
        optional = parameter.default is not parameter.empty or parameter.kind is parameter.VAR_POSITIONAL
        if optional and parameter.name != "timeout" and draw.random() < 0.6:
            if parameter.kind is parameter.POSITIONAL_ONLY:
                break
            continue
        value = a_value(draw, stage, whose, parameter.name.strip("_"), hostile=hostile)
        if parameter.name == "timeout":
            value = briefly(value)
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            positional.append((parameter.name, value))
        else:
            named.append((parameter.name, value))
    return positional, named


def a_value(draw: random.Random, stage: Stage, whose: str, name: str, *, hostile: bool) -> object:
    """A value that fits, or perhaps one that does not."""
    return draw.choice(HOSTILE) if hostile and draw.random() < 0.5 else stage.fitting(draw, whose, name)


def briefly(timeout: object) -> object:
    """A time to wait, or what is none; what waits for ever hangs because it is told to."""
    if timeout is None or (isinstance(timeout, int | float) and timeout > 0):
        return 0.01
    return timedelta(milliseconds=10) if isinstance(timeout, timedelta) and timeout > timedelta(0) else timeout


async def outcome(call: Callable[..., Any], positional: list[Any], named: dict[str, Any]) -> BaseException | None:
    """What a call raised that it must not raise; None if all is well."""
    try:
        async with asyncio.timeout(PATIENCE):
            given = call(*positional, **named)
            if inspect.isawaitable(given):
                await given
    except SagaError as error:
        return error if isinstance(error, RowRejectedError | StoreBusyError) else None  # these are the library's own
    except TimeoutError as error:
        return error
    except Exception as error:  # noqa: BLE001 - which one it may be is what is tried
        return error
    return None


async def least(
    draw: random.Random,
    stage: Stage,
    whose: str,
    call: Callable[..., Any],
    positional: list[tuple[str, object]],
    named: list[tuple[str, object]],
    kind: type[BaseException],
) -> str:
    """The same failure with as few hostile arguments as will do."""

    async def fails() -> bool:
        return type(await outcome(call, [each for _, each in positional], dict(named))) is kind

    for given in (positional, named):
        for place in range(len(given)):
            name, value = given[place]
            for _ in range(3):
                given[place] = (name, stage.fitting(draw, whose, name.strip("_")))
                if await fails():
                    break
                given[place] = (name, value)
    for name, value in list(named):
        named.remove((name, value))
        if not await fails():
            named.append((name, value))
    return ", ".join([shown(value) for _, value in positional] + [f"{name}={shown(value)}" for name, value in named])


@asynccontextmanager
async def staged(store: MemoryStore | str) -> AsyncGenerator[Stage]:
    async with AsyncExitStack() as opened:
        connections: list[asyncpg.Connection[asyncpg.Record]] = []
        for _ in range(2):
            if isinstance(store, MemoryStore):
                break
            connections.append(await asyncpg.connect(store))
            opened.push_async_callback(connections[-1].close)
        orchestrator = SagaOrchestrator(store, key_wait=timedelta(milliseconds=10))
        await opened.enter_async_context(orchestrator)
        for within in connections[1:]:
            await within.execute("BEGIN")
        handle = orchestrator.register(generated)
        run = await handle.start(Data(), aggregation_id="key")
        admin = SagaAdmin(orchestrator)
        yield Stage(orchestrator, handle, run, await admin.get_saga(run.id), await admin.explain(run.id), connections)


async def test_nothing_but_our_errors_comes_out_of_a_public_call_in_memory() -> None:
    async with staged(MemoryStore()) as stage:
        await call_and_judge(stage)


@pytest.mark.raw_rows
async def test_nothing_but_our_errors_comes_out_of_a_public_call_on_a_database(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pause that ends with `extend` waits for starts in open transactions: here for the one that is never over.
    monkeypatch.setattr("saga_fn.engine.requests.bulk._LONGEST_OPEN", 0.2)
    async with staged(dsn) as stage:
        await call_and_judge(stage)


async def call_and_judge(stage: Stage) -> None:
    draw = random.Random(SEED)
    calls = stage.calls()
    draw.shuffle(calls)
    failures: dict[str, str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(CALLS // 2):
            name, call = calls[number] if number < len(calls) else draw.choice(calls)  # each of them at least once
            made = arguments(draw, stage, name, call)
            if made is None:
                continue
            positional, named = made
            error = await outcome(call, [value for _, value in positional], dict(named))
            key = f"{name}: {type(error).__name__}"
            if error is not None and key not in failures:
                example = await least(draw, stage, name, call, positional, named, type(error))
                failures[key] = f"{name}({example}) raised {type(error).__name__}: {shown(str(error))}"
    assert not failures, f"seed {SEED}:\n" + "\n".join(sorted(failures.values()))


def public_calls() -> set[str]:
    """By `saga_fn.__all__`, all functions and classes, and each public method of a class that the library itself has written."""
    found: set[str] = set()
    for name in saga_fn.__all__:
        value = getattr(saga_fn, name)
        if is_pythons(value) or not callable(value):
            continue
        found.add(name)
        if not isinstance(value, type):
            continue
        for method in dir(value):
            call = getattr(value, method)
            is_ours = str(getattr(call, "__module__", "")).startswith("saga_fn")
            if callable(call) and is_ours and not method.startswith("_") and method not in ENDLESS:
                found.add(f"{name}.{method}")
    return found - NOT_CALLED


async def test_no_public_function_and_no_method_is_missing_among_the_calls() -> None:
    async with staged(MemoryStore()) as stage:
        made = {name for name, _ in stage.calls()}
    wanted = public_calls()
    assert len(wanted) > 150
    assert sorted(wanted - made) == []
    assert len(made) < CALLS // 2, "each is called at least once"


def only(call: Callable[..., Any]) -> Callable[[Stage], list[Call]]:
    """In place of all calls, this one."""

    def calls(_: Stage) -> list[Call]:
        return [("wrong", call)]

    return calls


async def test_it_is_told_that_a_call_raises_another_error_or_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that finds nothing has to show that it could."""
    monkeypatch.setattr("tests.engine.test_generated_calls.PATIENCE", 0.01)
    monkeypatch.setattr("tests.engine.test_generated_calls.CALLS", 4)

    async def hangs(data: object) -> None:
        await asyncio.Event().wait()

    def raises(data: object) -> None:
        raise KeyError(data)

    async with staged(MemoryStore()) as stage:
        for call, kind in ((hangs, "TimeoutError"), (raises, "KeyError")):
            monkeypatch.setattr(Stage, "calls", only(call))
            with pytest.raises(AssertionError, match=rf"wrong\(.*\) raised {kind}"):
                await call_and_judge(stage)
