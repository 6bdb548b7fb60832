"""The audit of the chaos run sees each kind of lie: facts are forged, and it has to say so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import attrs
import pytest

from saga_fn import LeftOverKind, SagaStatus, StepStatus
from tests.faults.chaos.audit import Facts, Kept, Saga, alarming, findings
from tests.faults.chaos.books import Begun, Call, Effect, Row
from tests.faults.chaos.broker import Received
from tests.faults.chaos.told import Asked, Sent, Stopped, Told

ONE, TWO = UUID(int=1), UUID(int=2)
PID = 17
KEY = ("pay", "key-1")
MESSAGES = (UUID(int=11), UUID(int=12))
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ROWS = [Row(ONE, "debit", "execute"), Row(ONE, "credit", "execute")]
STARTED = Call(ONE, "on_started", NOON)


def completed(saga: UUID = ONE) -> Saga:
    return Saga(
        id=saga,
        name="chain",
        status=SagaStatus.COMPLETED,
        settled=True,
        steps={"one": StepStatus.SUCCEEDED, "five": StepStatus.SUCCEEDED},
        reasons=["deed 1"],
        events=[5],
        messages=MESSAGES,
        done_at={("one", "execute"): [100.0], ("five", "execute"): [101.0]},
    )


def booked(left: dict[str, LeftOverKind] | None = None) -> Saga:
    """One with two steps that write rows in their own commits, and a hook."""
    return Saga(
        id=ONE,
        name="booked",
        status=SagaStatus.FAILED if left else SagaStatus.COMPLETED,
        settled=True,
        steps={"debit": StepStatus.SUCCEEDED, "credit": StepStatus.SUCCEEDED},
        left_over=left or {},
        rows=[("debit", "execute"), ("credit", "execute")],
        calls=frozenset({("on_started", NOON)}),
    )


def rolled_back(saga: UUID = ONE) -> Saga:
    """Undone as far as it can be; its last step has none to undo it."""
    steps = {"one": StepStatus.COMPENSATED, "five": StepStatus.SUCCEEDED}
    return Saga(id=saga, name="chain", status=SagaStatus.COMPENSATED, settled=True, steps=steps)


def failed(left: dict[str, LeftOverKind]) -> Saga:
    steps = {"one": StepStatus.SUCCEEDED, "two": StepStatus.FAILED}
    return Saga(id=ONE, name="chain", status=SagaStatus.FAILED, settled=True, steps=steps, left_over=left)


def done(step: str, *keys: str, undone: bool = False, saga: UUID = ONE) -> Effect:
    return Effect(saga, step, keys or (f"{saga}:{step}",), undone)


def begun(
    step: str = "one", key: str = "k", at: float = 99.0, saga: UUID = ONE, direction: str = "execute", rewound: int = 0
) -> Begun:
    return Begun(saga, step, direction, key, 0, rewound, PID, at)


def facts(
    saga: Saga | None = None,
    told: Told | None = None,
    *,
    begun: Sequence[Begun] = (),
    effects: Sequence[Effect] | None = None,
    kept: Sequence[Kept] = (),
    received: Sequence[Received] | None = None,
    rows: Sequence[Row] = (),
    calls: Sequence[Call] = (),
) -> Facts:
    found = completed() if saga is None else saga
    stands = [done("one"), done("five")] if effects is None else effects
    came = [got(each, found.id) for each in found.messages] if received is None else received
    return Facts(
        told=told or Told(),
        sagas={found.id: found},
        begun=begun,
        effects=stands,
        kept=kept,
        received=came,
        rows=rows,
        calls=calls,
    )


def got(message: UUID, saga: UUID = ONE, body: bytes = b"1") -> Received:
    return Received(message, saga, body)


def test_what_is_as_it_must_be_is_not_reported() -> None:
    told = Told(
        started={ONE: "start"},
        rolled_back={TWO},
        ends=[(ONE, "COMPLETED")],
        sent=[Sent(ONE, 5, "accepted"), Sent(KEY, 6, "kept"), Sent(KEY, 7, "ended")],
        asked=[Asked(ONE, "retry_step", "deed 1", True), Asked(ONE, "abort", "deed 2", False)],
    )
    told.keyed["chain", "request-1"] += [(ONE, True), (ONE, False)]
    assert findings(facts(told=told, begun=[begun(), begun(at=99.5)], kept=[Kept(KEY, 6, None)])) == []
    again = [got(MESSAGES[0]), *map(got, MESSAGES), got(MESSAGES[0])]
    assert findings(facts(received=again)) == [], "repeats under one id are dropped"
    assert findings(facts(rolled_back(), effects=[done("one", undone=True), done("five")])) == []
    left = {"one": LeftOverKind.NOT_UNDONE, "two": LeftOverKind.MAY_HAVE_RUN}
    assert findings(facts(failed(left), effects=[done("one"), done("two")])) == []
    assert findings(facts(failed(left), effects=[done("one")])) == []
    assert findings(facts(booked(), effects=[], rows=ROWS, calls=[STARTED, STARTED])) == []
    undone = [begun(direction="compensate"), begun(key="k:7", direction="compensate", rewound=7)]
    assert findings(facts(rolled_back(), effects=[done("one", undone=True), done("five")], begun=undone)) == [], (
        "a rewind makes another run of a step, and its undo has a key of its own"
    )


FORGED: dict[str, tuple[Facts, str]] = {
    "an accepted saga that is gone": (facts(told=Told(started={TWO: "start"})), "is not there"),
    "a saga of a caller who went back": (facts(told=Told(rolled_back={ONE})), "was rolled back"),
    "a saga that goes on": (facts(attrs.evolve(completed(), settled=False)), "nothing that it waits for"),
    "a saga that the library could not go on with": (
        facts(attrs.evolve(completed(), parked="row_rejected")),
        "is parked for row_rejected",
    ),
    "another end than was told": (facts(told=Told(ends=[(ONE, "COMPENSATED")])), "was said to have ended COMPENSATED"),
    "a completed step that is not in the books": (facts(effects=[done("five")]), "does not stand in the books"),
    "a completed step that was undone": (
        facts(effects=[done("one", undone=True), done("five")]),
        "does not stand in the books",
    ),
    "a step that was done twice": (facts(effects=[done("one", "a", "b"), done("five")]), "was done under 2 keys"),
    "a step of no saga": (facts(effects=[done("one"), done("five"), done("one", saga=TWO)]), "there is no such saga"),
    "a step whose condition did not hold": (
        facts(attrs.evolve(completed(), steps={"one": StepStatus.SKIPPED})),
        "was executed",
    ),
    "a rollback that left something": (facts(rolled_back()), "still stands in the books"),
    "a rollback that forgot what was in doubt": (
        facts(
            attrs.evolve(rolled_back(), steps={"one": StepStatus.COMPENSATED, "five": StepStatus.FAILED}),
            effects=[done("five")],
        ),
        "is not named among what is left over",
    ),
    "a failure that left more than it says": (
        facts(failed({"one": LeftOverKind.NOT_UNDONE}), effects=[done("one"), done("two")]),
        "is not named among what is left over",
    ),
    "a failure that says too much": (
        facts(failed({"one": LeftOverKind.NOT_UNDONE}), effects=[done("one", undone=True)]),
        "is said to be left over",
    ),
    "an execution under another key": (facts(begun=[begun(), begun(key="other")]), "was begun under 2 keys"),
    "an undo of one run under another key": (
        facts(begun=[begun(direction="compensate"), begun(key="other", direction="compensate")]),
        "compensate was begun under 2 keys",
    ),
    "a step that is recorded twice": (
        facts(attrs.evolve(completed(), done_at={("one", "execute"): [100.0, 102.0]})),
        "is recorded as done 2 times",
    ),
    "a step that was begun when it was done": (facts(begun=[begun(at=103.0)]), "was begun 3.00 s after"),
    "two begins of one process that woke": (
        facts(told=Told(stopped=[Stopped(PID, 98.0, 103.0)]), begun=[begun(at=103.1), begun("five", at=103.1)]),
        "step five of saga",
    ),
    "a verb that was not applied": (
        facts(told=Told(asked=[Asked(ONE, "abort", "deed 9", True)])),
        "was said to be applied, and was not",
    ),
    "a verb that was applied all the same": (
        facts(told=Told(asked=[Asked(ONE, "abort", "deed 1", False)])),
        "was said to be refused, and was applied",
    ),
    "a verb that was applied twice": (
        facts(
            attrs.evolve(completed(), reasons=["deed 1"] * 2), told=Told(asked=[Asked(ONE, "abort", "deed 1", None)])
        ),
        "was applied 2 times",
    ),
    "an event that was taken twice": (facts(attrs.evolve(completed(), events=[5, 5])), "was taken 2 times"),
    "an event that is lost": (
        facts(attrs.evolve(completed(), status=SagaStatus.SUSPENDED), told=Told(sent=[Sent(ONE, 6, "buffered")])),
        "and is lost",
    ),
    "an event for a key that is lost": (facts(told=Told(sent=[Sent(KEY, 6, "kept")])), "and is lost"),
    "an event that was handed over and lost": (
        facts(
            attrs.evolve(completed(), status=SagaStatus.SUSPENDED),
            told=Told(sent=[Sent(KEY, 6, "kept")]),
            kept=[Kept(KEY, 6, ONE)],
        ),
        "is lost there",
    ),
    "a message that is lost": (facts(received=[got(MESSAGES[0])]), "is lost"),
    "a message of what was not committed": (
        facts(received=[*map(got, MESSAGES), got(UUID(int=13))]),
        "nothing that it tells of was committed",
    ),
    "messages in another order": (facts(received=[got(each) for each in reversed(MESSAGES)]), "in another order"),
    "a message with two bodies": (
        facts(received=[*map(got, MESSAGES), got(MESSAGES[0], body=b"2")]),
        "came with two bodies",
    ),
    "messages of no saga": (facts(received=[*map(got, MESSAGES), got(UUID(int=13), TWO)]), "there is no such saga"),
    "a row that a commit did not bring": (facts(booked(), effects=[], rows=ROWS[:1], calls=[STARTED]), "and committed"),
    "a row of what was not committed": (
        facts(booked(), effects=[], rows=[*ROWS, ROWS[1]], calls=[STARTED]),
        "has written the rows",
    ),
    "rows in another order": (facts(booked(), effects=[], rows=ROWS[::-1], calls=[STARTED]), "has written the rows"),
    "rows of no saga": (
        facts(booked(), effects=[], rows=[*ROWS, Row(TWO, "debit", "execute")], calls=[STARTED]),
        "there is no such saga",
    ),
    "a doubt about a step's own commit": (
        facts(booked({"debit": LeftOverKind.MAY_HAVE_RUN}), effects=[], rows=ROWS, calls=[STARTED]),
        "is said to be in doubt",
    ),
    "a hook that was not called": (facts(booked(), effects=[], rows=ROWS), "was not called"),
    "a hook that was called for nothing": (
        facts(booked(), effects=[], rows=ROWS, calls=[STARTED, attrs.evolve(STARTED, hook="on_parked")]),
        "when nothing of that kind had happened",
    ),
    "a hook of no saga": (
        facts(booked(), effects=[], rows=ROWS, calls=[STARTED, attrs.evolve(STARTED, saga=TWO)]),
        "there is no such saga",
    ),
    "a journal that folds to something else": (
        facts(attrs.evolve(completed(), disagreements=["rev: folded 3, stored 4"])),
        "does not fold to its row",
    ),
    "an exception that is not ours": (facts(told=Told(strange=["send raised KeyError: 5"])), "send raised KeyError"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_the_audit_finds(kind: str) -> None:
    forged, words = FORGED[kind]
    found = findings(forged)
    assert len(found) == 1
    assert words in found[0]


def test_one_begin_of_a_process_that_stood_still_is_nobodys_fault() -> None:
    stopped = Told(stopped=[Stopped(PID, 98.0, 103.0)])
    assert findings(facts(told=stopped, begun=[begun(at=103.1)])) == []


LOGS: Sequence[tuple[list[str], bool]] = [
    (["WARNING saga_fn saga 1: StepFailed: one (RuntimeError)", "ERROR saga_fn saga 1 ended: FAILED"], False),
    (["Traceback (most recent call last):", "  File ..."], True),
    (["ERROR asyncio Task exception was never retrieved"], True),
    (["WARNING saga_fn the error:", "Traceback (most recent call last):"], True),
    (
        ["ERROR asyncio Future exception was never retrieved", "ConnectionError: unexpected connection_lost() call"],
        False,
    ),
]


@pytest.mark.parametrize("lines, is_alarming", LOGS)
def test_a_log_alarms_by_what_nobody_has_caught(lines: list[str], is_alarming: bool) -> None:
    assert bool(alarming(lines)) is is_alarming


def test_an_alarm_tells_the_whole_entry() -> None:
    found = alarming(
        ["ERROR asyncio Future exception was never retrieved", "future: <Future>", "WARNING saga_fn other"]
    )
    assert found == ["ERROR asyncio Future exception was never retrieved\n    future: <Future>"]
