from __future__ import annotations

import copy
import pickle
from uuid import uuid4

import pytest

from saga_fn import (
    ActiveSagaAlreadyExistsError,
    PayloadTooLargeError,
    SagaError,
    SagaNotFoundError,
    SagaNotRegisteredError,
    SagaResultTimeoutError,
    SchemaMissingError,
    ServerTooOldError,
    StartConflictError,
    StoreError,
)

ERRORS: list[SagaError] = [
    SagaNotRegisteredError("a", registered=["b"]),
    SagaNotFoundError(uuid4()),
    ActiveSagaAlreadyExistsError("a", "key", uuid4()),
    StartConflictError("a", "key", uuid4()),
    SagaResultTimeoutError(uuid4(), 1.5),
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
    assert issubclass(SchemaMissingError, StoreError)
