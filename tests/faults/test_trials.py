"""The 48 faults, each under load in each cell: nothing accepted is lost, nothing is recorded twice, no saga is left over.

`make faults` tries all of them in all cells, `make test` a few in one. See docs/faults.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import pytest
from _pytest.mark import ParameterSet

from tests.faults.trial.catalogue import FAULTS
from tests.faults.trial.cells import CELLS, Cell
from tests.faults.trial.happen import LONG, TRIALS
from tests.faults.trial.run import try_out
from tests.faults.trial.template import template
from tests.support.tools import POSTGRES_15

ALL: Final = os.environ.get("SAGA_FN_FAULTS") == "all"
SHORT: Final = ((15, CELLS[0]), (34, CELLS[3]))
"""The trials of every run of the tests."""


def _chosen() -> Iterator[ParameterSet]:
    for number in TRIALS:
        for cell in FAULTS[number].cells():
            if ALL or (number, cell) in SHORT:
                yield pytest.param(number, cell, id=f"{number}-{cell.name}", marks=pytest.mark.fault(number))


@pytest.mark.timeout(240 + 10 * LONG)
@pytest.mark.parametrize("number, cell", list(_chosen()))
async def test_nothing_is_lost_or_doubled_or_left_over(empty_dsn: str, number: int, cell: Cell) -> None:
    if cell.version == 15:
        POSTGRES_15.require()
    async with template(cell) as home:
        outcome = await try_out(TRIALS[number], cell, empty_dsn, home)
    assert outcome.wrong == [], f"{FAULTS[number].name}: {outcome.figures}"
