"""A warning that says the same of many sagas is said some times; the others are counted, and told."""

from __future__ import annotations

import json
import logging

import pytest
from typing_extensions import override

from saga_fn import Failed, MemoryStore, SagaError, SagaOrchestrator
from saga_fn.engine.observe.fact import Line
from saga_fn.engine.observe.repeats import Repeats
from tests.support.shop import Done, Order, one_step
from tests.support.until import SOON


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def line(saga: str = "order", step: str = "charge", like: str = "KeyError", number: int = 0) -> Line:
    extra: dict[str, object] = {"saga_name": saga, "step": step}
    return Line(logging.WARNING, "saga %s failed", (number,), extra, like=like)


def test_so_many_of_a_kind_are_said_and_the_last_of_the_others_is_kept_with_their_number() -> None:
    clock = Clock()
    repeats = Repeats(2, clock)
    assert [repeats.take(line(number=n)) for n in range(5)] == [True, True, False, False, False]
    assert repeats.over() == ([], 10.0)
    clock.seconds = 10.0
    ((last, count),), seconds = repeats.over()
    assert (last.message, count, seconds) == ("saga 4 failed", 3, None)
    assert repeats.take(line())


def test_lines_about_another_name_step_or_error_are_of_another_kind() -> None:
    repeats = Repeats(1, Clock())
    assert all(repeats.take(each) for each in (line(), line(saga="b"), line(step="b"), line(like="b")))
    assert not repeats.take(line())


def test_nothing_is_left_out_of_lines_that_are_far_enough_apart() -> None:
    clock = Clock()
    repeats = Repeats(1, clock)
    for _ in range(5):
        assert repeats.take(line())
        clock.seconds += 10.0
    assert repeats.over() == ([], None)


def test_the_kinds_that_are_remembered_are_bounded_and_too_many_count_as_one() -> None:
    clock = Clock()
    repeats = Repeats(2, clock)
    said = [repeats.take(line(like=f"error {number}")) for number in range(1_010)]
    assert said == [True] * 1_002 + [False] * 8
    ((last, count),), _ = repeats.over(all_of_them=True)
    assert (last.like, count) == ("error 1009", 8)
    clock.seconds = 10.0
    assert repeats.take(line(like="error 2000"))


def test_all_are_said_where_no_number_is_given() -> None:
    repeats = Repeats(None, Clock())
    assert all(repeats.take(line()) for _ in range(1_000))


async def fail_many(count: int, **options: int | None) -> None:
    async def work(inp: Order) -> Done:
        raise KeyError

    orchestrator = SagaOrchestrator(MemoryStore(), **options)  # type: ignore[arg-type]  # by name  # pyright: ignore[reportArgumentType]
    async with orchestrator:
        sagas = orchestrator.register("one", one_step(work, {"on_unknown": "repeat"}))
        runs = [await sagas.start(Order(str(number))) for number in range(count)]
        for run in runs:
            assert not isinstance(await run.outcome(SOON), Failed)


async def test_many_sagas_that_fail_alike_print_few_lines_and_the_number_of_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fail_many(100)
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([record for record in told if "work failed (KeyError)" in record.message]) == 21
    assert told[-1].message.startswith(
        "left out 80 lines of the log within 10 s that say the same, the last of them: saga"
    )
    assert told[-1].saga_name == "one"  # type: ignore[attr-defined]  # of `extra`  # pyright: ignore[reportAttributeAccessIssue]


async def test_the_log_says_all_for_who_wants_all(caplog: pytest.LogCaptureFixture) -> None:
    await fail_many(50, log_repeats=None)
    assert len([record for record in caplog.records if "work failed (KeyError)" in record.message]) == 50


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "20", True])
def test_a_number_of_repeats_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(SagaError, match="log_repeats"):
        SagaOrchestrator(MemoryStore(), log_repeats=wrong)  # type: ignore[arg-type]  # that is the test  # pyright: ignore[reportArgumentType]


async def test_each_line_passes_a_json_formatter_with_its_extra() -> None:
    printed: list[str] = []

    class AsJson(logging.Handler):
        @override
        def emit(self, record: logging.LogRecord) -> None:
            fields = ("saga_id", "saga_name", "trace_id", "step", "attempt")
            extra = {name: getattr(record, name, None) for name in fields}
            printed.append(json.dumps({"level": record.levelname, "message": record.getMessage(), **extra}))

    handler = AsJson()
    logging.getLogger("saga_fn").addHandler(handler)
    try:
        await fail_many(30)
    finally:
        logging.getLogger("saga_fn").removeHandler(handler)
    first, last = json.loads(printed[0]), json.loads(printed[-1])
    assert (first["saga_name"], first["step"], first["attempt"]) == ("one", "work", 1)
    assert "left out" in last["message"]
