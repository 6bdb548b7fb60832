"""The verdict of a trial: what stands in the database and in the ledger, held against what was accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import asyncpg
import attrs

from tests.faults.trial.catalogue import FAULTS
from tests.faults.trial.figures import Figures, Outcome
from tests.support.journals import disagreements

PARKED: Final = "PARKED"
"""In place of a status: the saga waits for a person."""
_MOST_TOLD: Final = 20
_TWICE: Final = """
SELECT count(*) FROM (
    SELECT FROM saga_fn.saga_journal
    WHERE kind IN ('step_succeeded', 'compensation_succeeded', 'event_received')
    GROUP BY saga_id, step_id, kind, CASE kind WHEN 'event_received' THEN payload END
    HAVING count(*) > 1
) AS t
"""
_TWO_KEYS: Final = """
SELECT count(*) FROM (
    SELECT FROM ledger WHERE key IS NOT NULL GROUP BY saga, step, direction HAVING count(DISTINCT key) > 1
) AS t
"""


@attrs.frozen
class Seen:
    """The facts that are there when all is calm."""

    stands: Mapping[UUID, str]
    """By saga, its status, or PARKED."""
    recorded_twice: int = 0
    """Results that stand twice in a journal."""
    under_two_keys: int = 0
    """Executions that were made under two keys, by the ledger."""
    refused: int = 0
    """Results that came too late."""
    disagreements: Sequence[str] = ()
    """A line for each journal that does not fold to its row."""


async def look(pool: asyncpg.Pool, books: asyncpg.Pool) -> Seen:
    """Read it: the sagas from the one database, the ledger from the other."""
    rows = await pool.fetch("SELECT id, status, parked FROM saga_fn.saga")
    return Seen(
        {row["id"]: PARKED if row["parked"] and row["status"] == "SUSPENDED" else row["status"] for row in rows},
        recorded_twice=await pool.fetchval(_TWICE),
        under_two_keys=await books.fetchval(_TWO_KEYS),
        refused=await pool.fetchval("SELECT count(*) FROM saga_fn.saga_rejection"),
        disagreements=await disagreements(pool),
    )


@attrs.frozen
class Tried:
    """The facts that the trial knows itself."""

    fault: int
    cell: str
    accepted: Mapping[UUID, str]
    """How each saga whose start was acknowledged has to end."""
    strange: Sequence[str] = ()
    """Errors and lines that have come out of calls and processes, and must not."""
    orphans: int = 0
    """Sagas that have not come to where they have to."""
    seconds: float = 0.0


def verdict(tried: Tried, seen: Seen) -> Outcome:
    """The figures, and a line for each thing that is not as it must be."""
    lost = [saga for saga in tried.accepted if saga not in seen.stands]
    ends = [(saga, seen.stands[saga], end) for saga, end in tried.accepted.items() if saga in seen.stands]
    others = [f"saga {saga} is {now}, and had to be {end}" for saga, now, end in ends if now != end]
    wrong = [*tried.strange, *seen.disagreements, *others][:_MOST_TOLD]
    doubled = seen.recorded_twice + seen.under_two_keys
    # A loss that must be and is not seen says that we look badly.
    if bool(lost) != FAULTS[tried.fault].loses:
        wrong.append(f"{len(lost)} accepted starts are lost")
    if doubled:
        wrong.append(f"{doubled} results are doubled")
    if tried.orphans:
        wrong.append(f"{tried.orphans} sagas stand where they should not")
    figures = Figures(
        tried.fault,
        tried.cell,
        driven=len(ends) - len(others),
        accepted=len(tried.accepted),
        lost=len(lost),
        doubled=doubled,
        orphans=tried.orphans,
        refused=seen.refused,
        seconds=round(tried.seconds, 1),
    )
    return Outcome(figures, wrong)
