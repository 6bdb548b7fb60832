"""A plugin of pytest: takes one guard of the statements away before any test runs. `SAGA_FN_MUTANT` is its number."""

from __future__ import annotations

import os

from tests.mutation.sql_guards import SQL

SQL[int(os.environ["SAGA_FN_MUTANT"])].take_away()
