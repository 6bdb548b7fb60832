# type: ignore  # noqa: PGH003 - every case is a mistake that the checkers refuse; here it is made at run time
"""Arguments of a wrong type, or that cannot be stored, are refused by our errors: one case for each that once was not."""

from __future__ import annotations

import ast
import inspect
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import attrs
import msgspec
import pytest

import saga_fn
from saga_fn import (
    Attribute,
    Event,
    EventSender,
    FixedRetry,
    InputContext,
    JsonlArchive,
    MemoryStore,
    Retention,
    RetryLater,
    RetryStep,
    Rewind,
    SagaAdmin,
    SagaBuilder,
    SagaEngine,
    SagaError,
    SagaFilter,
    SagaHandle,
    SagaOrchestrator,
    SagaRun,
    SkipStep,
    StartNow,
    StepAdmin,
    StepContext,
    StepRef,
    WaitFor,
    any_of,
    saga,
    step,
)
from saga_fn.console import console
from saga_fn.embedded import EmbeddedPostgres
from saga_fn.engine.requests.outside_event import id_of
from saga_fn.guard import Guard
from saga_fn.store.migrate import check_schema, migrate


class In(msgspec.Struct, frozen=True):
    x: int = 1


approval = Event("approval", In)


@step
async def work(inp: In) -> In:
    return inp


@saga("shop")
def shop(inp: StepRef[In]) -> StepRef[In]:
    return work(inp)


def _unshown(self) -> str:
    raise RuntimeError("no repr")


class Unshown:
    __repr__ = _unshown


class Number(int):
    __repr__ = __str__ = _unshown


class Fraction(float):
    __repr__ = __str__ = _unshown


class Text(str):
    __slots__ = ()
    __repr__ = __str__ = _unshown


def deep() -> list[object]:
    value: list[object] = []
    for _ in range(3000):
        value = [value]
    return value


@attrs.define
class Stage:
    orchestrator: SagaOrchestrator
    handle: SagaHandle[In, In]
    run: SagaRun[In]

    @property
    def admin(self) -> SagaAdmin:
        return SagaAdmin(self.orchestrator)

    @property
    def connection(self) -> object:
        """As little of one as `Guard` looks at."""

        class Connection:
            async def fetchrow(self, *_: object) -> None: ...
            async def execute(self, *_: object) -> None: ...
            async def fetch(self, *_: object) -> None: ...

        return Connection()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        handle = orchestrator.register(shop)
        yield Stage(orchestrator, handle, await handle.start(In()))


CONTEXT = StepContext(uuid4(), "shop", "work", 1, "key", "trace", None)


def twice(name):
    builder = SagaBuilder(In)
    for _ in range(2):
        builder.add_step(work, depends_on=builder.initial, step_id=name)


CASES: dict[str, Callable[[Stage], object]] = {
    "kept events of a number": lambda s: s.admin.kept_events("w", 5),
    "kept events of a surrogate": lambda s: s.admin.kept_events("w", "\ud800"),
    "kept events of a NUL": lambda s: s.admin.kept_events("w\x00"),
    "an explanation of a name": lambda s: s.admin.explain("shop"),
    "a preview of a word": lambda s: s.admin.explain(s.run.id, verb="cancel"),
    "a preview of a class": lambda s: s.admin.explain(s.run.id, verb=Rewind),
    "a preview of an input that does not fit": lambda s: s.admin.explain(s.run.id, verb=RetryStep("work", 5)),
    "a preview of an output for no step": lambda s: s.admin.explain(s.run.id, verb=SkipStep("?", None)),
    "a moment for a step that is a number": lambda _: StartNow(step=5),
    "a list by a number": lambda s: s.admin.list(5),
    "a list by a name": lambda s: s.admin.list("shop"),
    "a page of nothing": lambda s: s.admin.list(limit=0),
    "a page of less than nothing": lambda s: s.admin.list(limit=-1),
    "a page of everything": lambda s: s.admin.list(limit=10**9),
    "a page of a half": lambda s: s.admin.list(limit=0.5),
    "a page after a number": lambda s: s.admin.list(after=5),
    "a page after what is no cursor": lambda s: s.admin.list(after="?" * 20),
    "a page after a surrogate": lambda s: s.admin.list(after="\ud800"),
    "a page after a long text": lambda s: s.admin.list(after="A" * 10**6),
    "an order that is a word": lambda s: s.admin.list(oldest_first="yes"),
    "a pause of a number": lambda s: s.admin.pause(5),
    "a pause for a number": lambda s: s.admin.pause("shop", reason=5),
    "an end of a pause for a number": lambda s: s.admin.resume("shop", reason=5),
    "an end of the pause of everything for an empty text": lambda s: s.admin.resume_all(reason=""),
    "a pause of what cannot be shown": lambda s: s.admin.resume(Unshown()),
    "a count of what cannot be shown": lambda s: s.admin.count(Unshown()),
    "a key that is no text": lambda s: s.admin.find("shop", 5),
    "a name that is no text": lambda s: s.admin.find(Unshown(), "key"),
    "a filter by a status that there is not": lambda _: SagaFilter(status="BROKEN"),
    "a filter by the number of a reason": lambda _: SagaFilter(waits=16),
    "a filter by a reason that there is not": lambda _: SagaFilter(parked="tired"),
    "a filter by a deep reason": lambda _: SagaFilter(parked=deep()),
    "a filter by what cannot be compared": lambda _: SagaFilter(parked=Unshown()),
    "a filter by a naive moment": lambda _: SagaFilter(created_from=datetime(2026, 1, 1)),  # noqa: DTZ001 - that is it
    "a filter by a moment before the year 1": lambda _: SagaFilter(
        created_from=datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))
    ),
    "a filter by a moment after the year 9999": lambda _: SagaFilter(
        ended_before=datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))
    ),
    "a filter by a day": lambda _: SagaFilter(ended_from="2026-01-01"),
    "a filter by a negative age": lambda _: SagaFilter(older_than=timedelta(-1)),
    "a filter by a version of 0": lambda _: SagaFilter(version=0),
    "a filter by a name with a NUL": lambda _: SagaFilter(saga_name="a\x00"),
    "a filter by a step that is a number": lambda _: SagaFilter(step=5),
    "a filter by a value without its attribute": lambda _: SagaFilter(attribute="c-17"),
    "a filter by an attribute without a value": lambda _: SagaFilter(attribute=Attribute("customer", str)),
    "a value that is no text": lambda _: Attribute("customer", str).equals(Unshown()),
    "an attribute of what cannot be shown": lambda _: Attribute(Unshown(), Unshown()),
    "an attribute that no saga has": lambda s: s.admin.list(SagaFilter(attribute=Attribute("x", str).equals("y"))),
    "a filter that no index serves": lambda s: s.admin.list(SagaFilter(step="work")),
    "migrate a number": lambda _: migrate(5),
    "migrate a port that there is not": lambda _: migrate("postgresql://u@127.0.0.1:99999/db"),
    "migrate to a text of shards": lambda _: migrate("postgresql://u@127.0.0.1:1/db", shards="1"),
    "migrate a schema that is a number": lambda _: migrate("postgresql://u@127.0.0.1:1/db", schema=5),
    "check the schema by a number": lambda _: check_schema(5),
    "a guard in a number": lambda _: Guard(5),
    "a guard made by a number": lambda _: Guard().create(5),
    "done by a number": lambda _: Guard().done(5, "operation"),
    "undone by a number": lambda _: Guard().undone(5, "operation"),
    "done of a surrogate": lambda s: Guard().done(s.connection, "\ud800"),
    "done of what cannot be shown": lambda s: Guard().done(s.connection, Unshown()),
    "a server in a number": lambda _: EmbeddedPostgres(5),
    "a server of programs in a number": lambda _: EmbeddedPostgres(bin_dir=5),
    "what a number brought": lambda _: CONTEXT.received(5),
    "a context that has heard a number": lambda _: StepContext(
        uuid4(), "shop", "work", 1, "key", "trace", None, received_event=5
    ),
    "a context that has heard half": lambda _: StepContext(
        uuid4(), "shop", "work", 1, "key", "trace", None, received_event=("approval",)
    ),
    "the output of a number": lambda _: InputContext(uuid4(), In(), {}).output(5),
    "a saga that expects a number": lambda _: SagaBuilder(In).expect(5),
    "a step wired by hand to nothing": lambda _: SagaBuilder(In).wire(work, (), None, (), ""),
    "a sender of numbers": lambda _: EventSender(5, 5, 5),
    "a sender without an engine": lambda _: EventSender(5, uuid4(), approval),
    "a step's admin of numbers": lambda _: StepAdmin(1, 1, 1),
    "a run of a number": lambda s: SagaRun(s.orchestrator.engine, 5, shop, "shop"),
    "an engine on a number": lambda _: SagaEngine(5),
    "an engine with a list of options": lambda _: SagaEngine(MemoryStore(), []),
    "a start by a list": lambda s: s.orchestrator.start(saga_name=[], initial_data=In()),
    "many starts by a dict": lambda s: s.orchestrator.start_many(saga_name={}, initial_data=[In()]),
    "many starts with a delay that cannot be shown": lambda s: s.handle.start_many([In()], delay=Unshown()),
    "a key that cannot be shown": lambda s: s.handle.start(In(), idempotency_key=Unshown()),
    "a key with a surrogate": lambda s: s.handle.start(In(), aggregation_id="\ud800"),
    "an event's id that cannot be shown": lambda s: s.orchestrator.to(s.run.id, approval).send(In(), event_id=deep()),
    "many events of no kind": lambda s: s.orchestrator.send_many("approval", [(s.run.id, In())]),
    "many events that are a number": lambda s: s.orchestrator.send_many(approval, 5),
    "many events without targets": lambda s: s.orchestrator.send_many(approval, [In()]),
    "many events to a number": lambda s: s.orchestrator.send_many(approval, [(5, In())]),
    "many events to a list": lambda s: s.orchestrator.send_many(approval, [((["w"], "k"), In())]),
    "many events with a word for ids": lambda s: s.orchestrator.send_many(approval, [], event_id="m1"),
    "many events with ids that cannot be shown": lambda s: s.orchestrator.send_many(
        approval, [(s.run.id, In())], event_id=lambda _: deep()
    ),
    "an event to what cannot be shown": lambda s: s.orchestrator.to((Unshown(), deep()), approval),
    "a saga named by what cannot be shown": lambda _: saga(Unshown()),
    "a deep saga": lambda _: saga(deep()),
    "a step of what cannot be shown": lambda _: step(Unshown()),
    "a deep step": lambda _: step(deep()),
    "any of what cannot be shown": lambda _: any_of(Unshown(), deep()),
    "a builder of what cannot be shown": lambda _: SagaBuilder(In, order=Unshown()),
    "a deep type": lambda _: SagaBuilder(deep()),
    "an orchestrator on what cannot be shown": lambda _: SagaOrchestrator(Unshown()),
    "options that cannot be shown": lambda _: SagaOrchestrator(MemoryStore(), concurrency=deep(), lease=Unshown()),
    "a compensation's wait for a name": lambda _: WaitFor("approval"),
    "a name alone": lambda s: s.orchestrator.register("shop"),
    "two definitions at once": lambda s: s.orchestrator.register(shop, shop),
    "the id of a run as text": lambda s: s.handle.attach("01a225a8-f4ff-8e62-81e9-70c12026bec3"),
    "a wait until what cannot be shown": lambda _: WaitFor(approval, timeout=Unshown()).limit(),
    "a retry policy that cannot be shown": lambda _: FixedRetry(max_attempts=Unshown()),
    "a deep delay": lambda _: FixedRetry(max_attempts=2, delay=deep()),
    "a registration of what cannot be shown": lambda s: s.orchestrator.register(Unshown()),
    "a name that cannot be shown": lambda s: s.orchestrator.register(shop, version=Unshown()),
    "a number that cannot be shown": lambda s: s.orchestrator.register("shop", shop, concurrency=Number(-1)),
    "slots that cannot be shown": lambda _: SagaOrchestrator(MemoryStore(), concurrency=Fraction("nan")),
    "a limit that cannot be shown": lambda s: s.orchestrator.run_due(Number(-1)),
    "a delay to try again that cannot be shown": lambda _: RetryLater(Number(-1)),
    "an event that brings what cannot be shown": lambda _: Event("e", Unshown()),
    "an unknown saga whose name cannot be shown": lambda s: s.orchestrator.start(
        saga_name=Text("?"), initial_data=In()
    ),
    "a target whose name cannot be shown": lambda s: s.orchestrator.to((Text("?"), "k"), approval).send(In()),
    "a step's id that cannot be shown, twice": lambda _: twice(Text("same")),
    "a revision that cannot be shown": lambda s: SagaAdmin(s.orchestrator).abort(s.run.id, expect=Number(-1)),
    "a folder that cannot be shown": lambda _: EmbeddedPostgres(Text("")),
    "a DSN to listen by that is a number": lambda _: SagaOrchestrator("postgresql://h/d", listen_dsn=5),
    "a DSN to listen by that cannot be shown": lambda _: SagaOrchestrator("postgresql://h/d", listen_dsn=Unshown()),
    "a retention of nothing": lambda _: Retention(),
    "a retention of a tombstone alone": lambda _: Retention(tombstone=timedelta(days=1)),
    "a retention of no time": lambda _: Retention(completed=timedelta(0)),
    "a retention of a negative time": lambda _: Retention(compensated=timedelta(-1)),
    "a retention of seconds": lambda _: Retention(failed=30),
    "a retention of more than all time": lambda _: Retention(completed=timedelta.max),
    "a retention of what cannot be shown": lambda _: Retention(completed=Unshown()),
    "a tombstone of no time": lambda _: Retention(completed=timedelta(days=1), tombstone=timedelta(0)),
    "an archive that is a path": lambda _: Retention(completed=timedelta(days=1), archive="orders.jsonl"),
    "an archive that is not async": lambda _: Retention(completed=timedelta(days=1), archive=print),
    "an archive that cannot be shown": lambda _: Retention(completed=timedelta(days=1), archive=Unshown()),
    "an archive in a number": lambda _: JsonlArchive(5),
    "an archive without a name": lambda _: JsonlArchive(""),
    "a saga with days of retention": lambda _: saga("kept", retention=timedelta(days=30))(lambda initial: initial),
    "a builder with days of retention": lambda _: SagaBuilder(In, retention=30),
    "an acknowledgement of a number": lambda s: SagaAdmin(s.orchestrator).acknowledge(5),
    "a filter by a word for acknowledged": lambda _: SagaFilter(acknowledged="no"),
    "a filter by acknowledged alone": lambda s: s.admin.list(SagaFilter(acknowledged=False)),
    "prune a number": lambda s: s.admin.prune(5),
    "prune by days": lambda s: s.admin.prune("shop", retention=timedelta(days=30)),
    "prune without a retention": lambda s: s.admin.prune("shop"),
    "a wait for a timeout that is a word": lambda s: s.run.result("soon"),
    "a wait of no time": lambda s: s.run.outcome(timedelta),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_wrong_arguments_are_refused_by_our_errors(stage: Stage, case: Callable[[Stage], object]) -> None:
    async def call() -> None:
        given = case(stage)
        if inspect.isawaitable(given):
            await given

    with pytest.raises(SagaError) as refusal:
        await call()
    assert refusal.value.fact


def test_an_events_id_is_its_characters() -> None:
    assert id_of("approval", Text("one")) == id_of("approval", "one")


MAY_QUOTE = {
    "definition/values/refs.py",  # of a StepRef its own repr
    "definition/steps/step.py",  # of a Step
    "definition/waits/event.py",  # of an Event
    "engine/drive/execution.py",  # a step's id, in what is made for each execution
    "engine/drive/execution_inputs.py",  # as above
    "engine/drive/inputs.py",  # as above
    "engine/drive/owned_saga.py",  # as above
    "engine/drive/step_error.py",  # where it may raise
    "testing/law_cases.py",  # in a program to paste, by a function that never raises
    "printable.py",  # where it may raise, in a function that never does
}
OTHERS = ("core/", "codec/", "demo/", "examples/", "guard/", "store/_", "_tools/")


def test_values_are_shown_by_one_function() -> None:
    """A repr is code of the user's: it may raise, or fill a page."""
    root = Path(saga_fn.__file__).parent
    found: list[str] = []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name in MAY_QUOTE or name.startswith(OTHERS) or name == "errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            quotes = isinstance(node, ast.FormattedValue) and node.conversion == ord("r")
            calls = isinstance(node, ast.Name) and node.id == "repr"
            if quotes or calls:
                found.append(f"{name}:{node.lineno}")
    assert found == [], "write {shown(value)}"


class Incomparable:
    """Its comparison, its repr and its text raise."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equality")

    __hash__ = None

    def __repr__(self) -> str:
        raise RecursionError("no repr")


async def test_an_explanation_has_no_preview_for_what_cannot_be_compared() -> None:
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        run = await orchestrator.register(shop).start(In())
        explained = await SagaAdmin(orchestrator).explain(run.id)
    assert explained.of("abort") is not None
    assert explained.of(Incomparable()) is None
    assert explained.of("abort", Incomparable()) is None


def test_an_origin_that_has_no_text_is_none() -> None:
    with pytest.raises(SagaError, match="origins are a list of addresses"):
        console(SagaOrchestrator(MemoryStore()), authorize=lambda request: None, origins=[Incomparable()])
