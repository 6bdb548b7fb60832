"""A guard that is taken away from a statement is found out by the tests of the stores; `make mutate` tries all of them."""

from __future__ import annotations

import pytest

from tests.mutation.__main__ import survives
from tests.mutation.sql_guards import SQL


@pytest.mark.parametrize(
    "number, test",
    [
        (0, "test_committing.py::test_an_old_token_writes_nothing"),
        (2, "test_committing.py::test_a_message_keeps_the_saga_from_being_given_up_unread"),
        (14, "test_owning.py::test_a_running_lease_is_nobody_else_s_and_one_that_ran_out_is"),
    ],
)
def test_a_guard_that_is_gone_is_found_out(number: int, test: str) -> None:
    left = survives(number, (f"tests/store/{test}",))
    assert left is None, f"{SQL[number].name}: {left}"
