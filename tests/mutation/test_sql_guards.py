"""A guard that is taken away from a statement is found out by the tests of the stores; `make mutate` tries all of them."""

from __future__ import annotations

import pytest

from tests.mutation.__main__ import survives
from tests.mutation.sql_guards import SQL


@pytest.mark.parametrize(
    "name, test",
    [
        (
            "CommitSaga: (s.token = $?::pg_catalog.uuid OR (s.token IS NULL AND $?::pg_catalog.uuid IS NULL))",
            "test_committing.py::test_an_old_token_writes_nothing",
        ),
        (
            "CommitSaga: ($?::bigint IS NULL OR s.inbox_sent = $?::bigint)",
            "test_committing.py::test_a_message_keeps_the_saga_from_being_given_up_unread",
        ),
        (
            "ClaimSaga: (s.owner IS NULL OR s.due_at <= now())",
            "test_owning.py::test_a_running_lease_is_nobody_else_s_and_one_that_ran_out_is",
        ),
    ],
)
def test_a_guard_that_is_gone_is_found_out(name: str, test: str) -> None:
    number = [each.name for each in SQL].index(name)
    left = survives(number, (f"store/{test}",))
    assert left is None, f"{name}: {left}"
