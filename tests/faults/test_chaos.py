"""A minute of chaos: several workers, all that sagas can be made of, all verbs, every fault, and an audit at the end.

`SAGA_FN_CHAOS_SECONDS` says how long faults happen, `SAGA_FN_CHAOS_SEED` what everything follows from. By hand, and for longer:
`python -m tests.faults.chaos --seconds 600 --seed 7`.
"""

from __future__ import annotations

import os

import pytest

from tests.faults.chaos.run import run

SEED = int(os.environ.get("SAGA_FN_CHAOS_SEED", "7"))
SECONDS = float(os.environ.get("SAGA_FN_CHAOS_SECONDS", "30"))
LONGEST = 110.0
"""Seconds that come on top: to begin, to let everything end, and to look at all of it."""


@pytest.mark.timeout(SECONDS + LONGEST)
async def test_whatever_befalls_them_sagas_end_as_they_say_and_the_books_agree() -> None:
    report = await run(SEED, SECONDS)
    print(report.table())
    assert report.findings == [], f"seed {SEED}\n{report.text()}"
    assert len(report.facts.sagas) > SECONDS, "and much was done"
    assert report.facts.begun, "in the books as well"
    assert report.facts.rows, "in the table of the service itself"
    assert report.facts.calls, "and by hooks"
