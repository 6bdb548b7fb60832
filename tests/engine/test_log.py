"""What the log says: of a failure what comes next, of an end what is left over, of a process what it runs and cuts short."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from saga_fn import (
    Compensated,
    Failed,
    FixedRetry,
    MemoryStore,
    SagaAdmin,
    SagaBuilder,
    SagaCompensatedError,
    SagaError,
    SagaFailedError,
    SagaOrchestrator,
    StepOptions,
    step,
)
from saga_fn.store.this_process import this_process
from tests.support.logs import records, said
from tests.support.shop import Counted, Done, Order, Shop, ShopError, make_saga, one_step
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

CANARY = "4111-1111-1111-1111"
PARK: StepOptions = {"unknown_on": ValueError, "on_unknown": "park"}
IN_A_MOMENT = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=20))


def raising(*errors: BaseException) -> Callable[[Order], Coroutine[Any, Any, Done]]:
    """A step that raises these, one after another, and then is done."""
    left = list(errors)

    async def work(inp: Order) -> Done:
        if left:
            raise left.pop(0)
        return Done("work")

    return work


async def test_a_failed_attempt_says_which_it_was_and_what_comes_next(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    work = raising(*(KeyError(CANARY) for _ in range(3)))
    async with make() as orchestrator:
        run = await orchestrator.register("one", one_step(work, {"retry_policy": IN_A_MOMENT})).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
    assert said(caplog, logging.WARNING) == [
        "saga work failed (KeyError): attempt 1 of 3, again in 0.02 s",
        "saga work failed (KeyError): attempt 2 of 3, again in 0.02 s",
        "saga work failed (KeyError): attempt 3 of 3, for good",
    ]
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    "error, options, line",
    [
        (ValueError(), {"give_up_on": ValueError}, "saga work failed (ValueError): attempt 1 of 3, a business error, for good"),
        (ValueError(), {"retry_on": KeyError}, "saga work failed (ValueError): attempt 1 of 3, for good"),
        (ValueError(), PARK, "saga work failed (ValueError): attempt 1, it may have run, waits for a"),
        (ExceptionGroup("", [KeyError(), KeyError()]), {}, "saga work failed (ExceptionGroup: KeyError): attempt 1 of 3, again"),
        (ValueError(object()), {"give_up_on": ValueError}, "saga work failed (ValueError, a business error that cannot be stored"),
        (type("X\nERROR root: forged\x1b[31m", (Exception,), {})(), {}, r"saga work failed (X\nERROR root: forged\x1b[31m): "),
    ],
)  # fmt: skip
async def test_a_line_says_what_kind_of_failure_it_was(
    memory: MemoryStore, caplog: pytest.LogCaptureFixture, error: Exception, options: StepOptions, line: str
) -> None:
    options = {"retry_policy": IN_A_MOMENT, **options}
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("one", one_step(raising(error), options)).start(Order("1"))
    await orchestrator.run_until_idle()
    assert said(caplog, logging.WARNING)[0].startswith(line)
    assert (await run.snapshot()).last_error is None or "\n" not in str((await run.snapshot()).last_error)


async def test_what_is_told_of_an_undo_and_of_a_saga_that_failed(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop(fails={"ship": 1, "refund charge": 9})
    async with make() as orchestrator:
        saga = make_saga(shop, undo=FixedRetry(max_attempts=2))
        run = await orchestrator.register("shop", saga).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Failed)
    assert said(caplog, logging.WARNING) == [
        "saga ship failed (ShopError): attempt 1 of 1, for good",
        "saga the compensation of charge failed (ShopError): attempt 1 of 2, again at once",
        "saga the compensation of charge failed (ShopError): attempt 2 of 2, for good",
    ]
    assert said(caplog, logging.ERROR) == [
        "saga ended: FAILED (ShopError); left over: reserve (not undone), charge (undo failed)"
    ]


async def test_an_operators_end_is_told_too(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    counted = Counted(seconds=0)
    options: StepOptions = {"on_unknown": "park", "unknown_on": ValueError}
    async with make() as orchestrator:
        work = raising(ValueError())
        run = await orchestrator.register("one", one_step(work, options)).start(Order("1"))
        await suspended(run)
        await until(lambda: not orchestrator.engine.held)  # it has heard of its commit, too
        assert said(caplog, logging.WARNING)[-1] == "saga is parked at work: outcome_unknown (ValueError)"
        await SagaAdmin(orchestrator).abort(run.id)
        await until(lambda: bool(said(caplog, logging.ERROR)))
    assert said(caplog, logging.ERROR) == ["saga ended: FAILED (ValueError); left over: work (may have run)"]
    assert counted.begun == []


async def in_a_group_with_a_cause(inp: Order) -> Done:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(raising(ConnectionRefusedError(CANARY))(inp))
    except* ConnectionRefusedError as error:
        raise ShopError(CANARY) from error
    return Done("never")


def without_end() -> BaseException:
    error: BaseException = KeyError(CANARY)
    for _ in range(1000):
        group = BaseExceptionGroup(CANARY, [error])
        group.__context__ = error
        error = group
    return error


@pytest.mark.parametrize(
    "error, names",
    [
        (raising(KeyError(CANARY)), ["KeyError"]),
        (
            in_a_group_with_a_cause,
            ["ShopError", "ExceptionGroup", "ConnectionRefusedError", "in in_a_group_with_a_cause"],
        ),
        (raising(without_end()), ["ExceptionGroup"]),
    ],
)
async def test_where_it_was_raised_is_told_at_debug_and_not_what_it_said(
    memory: MemoryStore, caplog: pytest.LogCaptureFixture, error: Any, names: list[str]
) -> None:
    caplog.set_level(logging.DEBUG, "saga_fn")
    orchestrator = SagaOrchestrator(memory)
    await orchestrator.register("one", one_step(error)).start(Order("1"))
    await orchestrator.run_until_idle()
    traced = [record for record in caplog.records if record.exc_info]
    assert [record.levelno for record in traced] == [logging.DEBUG]
    told = logging.Formatter().format(traced[0])
    assert "in work" in told
    assert all(name in told for name in names)
    assert CANARY not in told + repr(vars(traced[0]))


async def test_a_traceback_is_part_of_the_line_where_it_is_asked_for(
    memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    orchestrator = SagaOrchestrator(memory, log_errors="traceback")
    await orchestrator.register("one", one_step(raising(KeyError(CANARY)))).start(Order("1"))
    await orchestrator.run_until_idle()
    traced = [record for record in caplog.records if record.exc_info]
    assert [record.levelno for record in traced] == [logging.WARNING]
    assert "in work" in logging.Formatter().format(traced[0])


def test_what_the_log_is_to_tell_is_one_of_two(memory: MemoryStore) -> None:
    with pytest.raises(SagaError, match="log_errors must be 'type' or 'traceback', not 'all'"):
        SagaOrchestrator(memory, log_errors="all")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # the point


async def test_a_trace_id_cannot_forge_a_line(memory: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
    orchestrator = SagaOrchestrator(memory)
    handle = orchestrator.register("one", one_step(raising(KeyError())))
    await handle.start(Order("1"), trace_id="t\nERROR root: forged\x1b[31m")
    await orchestrator.run_until_idle()
    traces = {vars(record)["trace_id"] for record in caplog.records if record.name == "saga_fn"}
    assert traces == {r"t\nERROR root: forged\x1b[31m"}


async def test_a_saga_that_turns_back_says_so_and_why(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "saga_fn")
    again = FixedRetry(max_attempts=2, delay=timedelta(hours=1))
    async with make() as orchestrator:
        failing = orchestrator.register("failing", make_saga(Shop(fails={"charge": 1})))
        waiting = orchestrator.register("waiting", make_saga(Shop(fails={"charge": 1}), retry=again))
        first, second = await failing.start(Order("1")), await waiting.start(Order("2"))
        await suspended(second)
        await SagaAdmin(orchestrator).cancel(second.id)
        for run in (first, second):
            assert isinstance(await run.outcome(SOON), Compensated)
    told = {record.getMessage() for record in caplog.records if "turns back" in record.getMessage()}
    assert told == {
        f"saga {first.id} turns back: step_failed of charge",
        f"saga {second.id} turns back: compensation_requested",
    }


async def test_a_process_says_what_it_works_on_and_under_which_names(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "saga_fn.process"]

    counted = Counted()
    with caplog.at_level(logging.INFO, "saga_fn"):
        async with make() as orchestrator:
            me = f"{this_process()} ({orchestrator.engine.owner})"
            await until(lambda: bool(told()))
            orchestrator.register("one", one_step(counted.work))
            orchestrator.register("two", one_step(counted.work), version=3)
            await until(lambda: len(told()) > 1)
    assert told()[:2] == [
        f"works on nothing, as {me}: no saga is registered with this process yet",
        f"works on one v1, two v3, as {me}",
    ]


async def test_a_stop_says_what_it_cuts_short(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    counted = Counted(seconds=None)
    async with make(stop_timeout=timedelta(milliseconds=50)) as orchestrator:
        run = await orchestrator.register("one", one_step(counted.work)).start(Order("1"))
        await until(lambda: counted.begun == ["1"])
    told = [record.getMessage() for record in caplog.records if record.name == "saga_fn.process"]
    assert told == [f"the process stops: after 0.05 s it cuts short, and hands back, work of saga {run.id}"]


# What is kept of an exception.


class DeclinedError(Exception):
    """The bank refuses."""


async def in_a_group(inp: Order) -> Done:
    async with asyncio.TaskGroup() as group:
        group.create_task(raising(ConnectionRefusedError("bank away"))(inp))
    return Done("never")


async def wrapped(inp: Order) -> Done:
    try:
        await raising(ConnectionRefusedError("bank away"))(inp)
    except ConnectionRefusedError as error:
        raise RuntimeError("no payment") from error
    return Done("never")


async def wrapped_alike(inp: Order) -> Done:
    try:
        await raising(ConnectionRefusedError("bank away"))(inp)
    except ConnectionRefusedError as error:
        raise ConnectionRefusedError("bank away") from error
    return Done("never")


async def in_passing(inp: Order) -> Done:
    try:
        await raising(ConnectionRefusedError("bank away"))(inp)
    except ConnectionRefusedError:
        raise RuntimeError("no payment") from None
    return Done("never")


@pytest.mark.parametrize(
    "work, text",
    [
        (in_a_group, "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception); in it: ConnectionRefusedError: bank away"),
        (wrapped, "RuntimeError: no payment; raised from: ConnectionRefusedError: bank away"),
        (in_passing, "RuntimeError: no payment"),
        (wrapped_alike, "ConnectionRefusedError: bank away"),
    ],
)  # fmt: skip
async def test_an_errors_causes_are_kept_with_it(make: Make, work: Any, text: str) -> None:
    async with make() as orchestrator:
        run = await orchestrator.register("one", one_step(work)).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Compensated)
        assert ended.error == text
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
    assert [entry.error for entry in history if entry.error] == [text]


async def test_leaves_of_groups_are_tried_again_and_given_up_on_as_they_are_named(make: Make) -> None:
    attempts = 0

    async def work(inp: Order) -> Done:
        nonlocal attempts
        attempts += 1
        async with asyncio.TaskGroup() as group:
            group.create_task(
                raising(DeclinedError("stolen") if attempts == 3 else ConnectionRefusedError("away"))(inp)
            )
        return Done("never")

    options: StepOptions = {
        "retry_on": ConnectionRefusedError,
        "give_up_on": DeclinedError,
        "retry_policy": FixedRetry(max_attempts=5),
    }
    async with make() as orchestrator:
        run = await orchestrator.register("one", one_step(work, options)).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Compensated)
        assert ended.failure is not None
        assert (ended.failure.type, repr(ended.failure.error)) == ("DeclinedError", "DeclinedError('stolen')")
        assert ended.error == (
            "DeclinedError: stolen; raised as: ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)"
        )
    assert attempts == 3


async def test_what_is_kept_of_an_error_is_bounded(make: Make) -> None:
    deep: Exception = KeyError("x" * 10_000)
    for _ in range(1000):
        leaves: list[Exception] = [deep, *(ValueError("y" * 10_000) for _ in range(20))]
        deep = ExceptionGroup("g" * 10_000, leaves)
    async with make() as orchestrator:
        run = await orchestrator.register("one", one_step(raising(deep))).start(Order("1"))
        ended = await run.outcome(SOON)
    assert isinstance(ended, Compensated)
    assert ended.error is not None
    assert 4096 < len(ended.error) < 16_000


async def test_a_builder_takes_what_is_unknown_too(memory: MemoryStore) -> None:
    builder = SagaBuilder(Order)
    work = step(raising(ValueError()))
    only = builder.add_step(work, depends_on=builder.initial, unknown_on=ValueError, on_unknown="park")
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("one", builder.build(output=only)).start(Order("1"))
    await orchestrator.run_until_idle()
    assert (await run.snapshot()).parked == "outcome_unknown"


FORGED = "no\nERROR root: all is lost\x1b[31m" + "x" * 5000


async def raising_forged(inp: Order) -> Done:
    inner = ValueError(FORGED)
    inner.add_note(FORGED)
    raise ExceptionGroup(FORGED, [KeyError(FORGED), inner]) from OSError(FORGED)


async def test_no_message_of_an_exception_forges_a_line_of_a_log_or_of_an_error(
    memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    orchestrator = SagaOrchestrator(memory, log_errors="traceback")
    run = await orchestrator.register("one", one_step(raising_forged)).start(Order("1"))
    await orchestrator.run_until_idle()
    text = logging.Formatter().format(next(each for each in caplog.records if each.exc_info))
    assert "all is lost" in text, "the traceback tells it"
    assert not [line for line in text.splitlines() if line.startswith("ERROR root") or "\x1b" in line]
    assert max(map(len, text.splitlines())) < 1200
    assert "raising_forged" in text, "its frames are there"
    with pytest.raises(SagaCompensatedError) as raised:
        await run.result(SOON)
    told = str(raised.value).partition("\nHINT")[0]
    assert "\n" not in told
    assert told.isprintable()
    assert len(told) < 1200
    assert raised.value.failure is not None
    assert "\n" in raised.value.failure.message, "as the step has raised it"
    history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
    assert all(each.error is None or each.error.isprintable() for each in history)


async def test_a_failed_sagas_text_is_one_line(memory: MemoryStore) -> None:
    orchestrator = SagaOrchestrator(memory)
    options: StepOptions = {"unknown_on": ValueError, "unknown_retry_policy": FixedRetry(max_attempts=1)}
    run = await orchestrator.register("one", one_step(raising(ValueError(FORGED)), options)).start(Order("1"))
    await orchestrator.run_until_idle()
    with pytest.raises(SagaFailedError) as raised:
        await run.result(SOON)
    assert raised.value.fact.isprintable()


@pytest.mark.predecessor(33)
async def test_every_line_about_a_saga_names_it(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop(fails={"reserve": 1, "ship": 9, "release reserve": 1})
    retry = FixedRetry(max_attempts=2)
    with caplog.at_level(logging.INFO, "saga_fn"):
        async with make() as orchestrator:
            handle = orchestrator.register("shop", make_saga(shop, retry=retry))
            run = await handle.start(Order("1"), trace_id="trace-1")
            assert isinstance(await run.outcome(SOON), Compensated)
    lines = records(caplog)
    assert [record.levelname for record in lines] == ["WARNING"] * 3 + [
        "INFO",
        "WARNING",
        "INFO",
    ], "retries, the turn, a retry of an undo, and the end"
    for record in lines:
        assert str(run.id) in record.getMessage()
        assert vars(record)["saga_id"] == str(run.id)
        assert vars(record)["trace_id"] == "trace-1"
        assert not {"%", "{"} & set(record.getMessage())
