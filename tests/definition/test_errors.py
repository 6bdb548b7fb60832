from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from uuid import uuid4

import pytest
from typing_extensions import override

from saga_fn import (
    ActiveSagaAlreadyExistsError,
    PayloadTooLargeError,
    SagaError,
    SagaNotFoundError,
    SagaNotRegisteredError,
    SagaResultTimeoutError,
    SagaStatus,
    SchemaMissingError,
    ServerTooOldError,
    StartBusyError,
    StartConflictError,
    StepSnapshot,
    StepStatus,
    StoreError,
)
from saga_fn.errors import shown

ERRORS: list[SagaError] = [
    SagaNotRegisteredError("a", registered=["b"]),
    SagaNotFoundError(uuid4()),
    ActiveSagaAlreadyExistsError("a", "key", uuid4()),
    StartConflictError("a", "key", uuid4()),
    SagaResultTimeoutError(uuid4(), 1.5),
    SagaResultTimeoutError(uuid4(), 1.5, status=SagaStatus.SUSPENDED, parked=True),
    SagaNotFoundError(uuid4(), uncommitted=True),
    StartBusyError("a", reason="another has it", aggregation_id="k", idempotency_key=None, aborted=True),
    StartBusyError("a", reason="another has it", aggregation_id="k", idempotency_key="r", aborted=False),
    PayloadTooLargeError("the input", size=2_000_000, limit=1_048_576),
    SchemaMissingError("saga_fn", found=0, needed=1, hint="migrate"),
    ServerTooOldError(found=12, needed=15),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_say_what_to_do_and_survive_copying(error: SagaError) -> None:
    assert error.hint
    assert str(error) == f"{error.fact}\nHINT: {error.hint}"
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_timeout_is_a_timeout_and_a_schema_error_one_of_the_store() -> None:
    assert isinstance(SagaResultTimeoutError(uuid4(), 1.0), TimeoutError)


def test_failures_that_do_not_count_are_not_told() -> None:
    def told(failures: int) -> str:
        waits = StepSnapshot("charge", StepStatus.RETRYING, 1, failures, None, None, "attempt")
        return str(SagaResultTimeoutError(uuid4(), 1.0, status=SagaStatus.SUSPENDED, retrying=[waits]))

    assert "step charge is tried again\n" in told(0)
    assert "step charge is tried again, its failures so far are 2\n" in told(2)
    assert issubclass(SchemaMissingError, StoreError)


class Hostile:
    """A value that cannot even be shown."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    @override
    def __repr__(self) -> str:
        raise self.error


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


SHOWN: list[tuple[object, str]] = [
    (5, "5"),
    ("a\nb", r"'a\nb'"),
    ("\ud800\x1b[31m", r"'\ud800\x1b[31m'"),
    (Hostile(RuntimeError()), "<Hostile instance at"),
    (Hostile(RecursionError()), "<Hostile instance at"),
    (deep(100_000), "[[[[[[[...]]]]]]]"),
    (["x" * 1_000_000] * 1_000, "['xxx"),
    (type("X\nforged", (), {})(), "<"),
]


@pytest.mark.parametrize("value, expected", SHOWN, ids=[str(number) for number in range(len(SHOWN))])
def test_whatever_a_caller_gives_can_be_shown_on_a_short_line(value: object, expected: str) -> None:
    text = shown(value)
    assert text.startswith(expected)
    assert len(text) <= 80
    assert text.isprintable()


def test_no_message_is_made_of_a_whole_repr() -> None:
    """A precision cuts the repr when it is made: `shown` is for that."""
    package = Path(shown.__code__.co_filename).parent
    found = [str(path) for path in package.rglob("*.py") if re.search(r"!r:\.\d", path.read_text(encoding="utf-8"))]
    assert found == []
