"""All that is to be known of a trial that did not come to where it had to: for a person who looks for the cause."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from tests.faults.trial.stand import Stand

_MOST: Final = 8
"""Sagas of which it is told."""
_SAGAS: Final = """
SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
    SELECT concat_ws(' ', s.id, s.name, s.status, 'waits', s.waits, 'parked', s.parked, 'owner', s.owner, 'due', s.due_at,
        'now', now(), 'rev', s.rev, 'error', s.last_error, E'\\n      journal:', (
            SELECT string_agg(concat_ws(' ', seq, kind, step_id, process, recorded_at::time), ', ' ORDER BY seq)
            FROM saga_fn.saga_journal AS j WHERE j.saga_id = s.id
        ), E'\\n      inbox:', (
            SELECT string_agg(concat(i.sent_at::time, ' ', i.answer), ', ') FROM saga_fn.saga_inbox AS i WHERE i.saga_id = s.id
        )) AS line
    FROM saga_fn.saga AS s WHERE s.ended_at IS NULL ORDER BY s.id LIMIT $1
) AS t
"""
_SESSIONS: Final = """
SELECT string_agg(
    concat_ws(' ', pid, application_name, state, wait_event_type, wait_event, now() - xact_start, left(query, 100)), E'\\n'
)
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


async def tell(stand: Stand) -> None:
    """Write it to standard error."""
    sagas: str | None = await stand.asked(_SAGAS, _MOST)
    sessions: str | None = await stand.asked(_SESSIONS)
    lines = [f"{len(stand.accepted)} starts of {stand.numbers} accepted, errors of calls: {dict(stand.errors)}"]
    lines += ["sagas without an end:", str(sagas), "sessions:", str(sessions), *stand.strange]
    for worker in stand.workers:
        lines.append(f"worker {worker.pid}, code {stand.code(worker)}: {_processor(worker.pid)}")
        log = Path(worker.given.log)
        lines += log.read_text(errors="replace").splitlines()[-20:] if log.exists() else []
    lines += [f"this process: {_processor(os.getpid())}", "server:"]
    log = stand.folder / "data" / "log"
    lines += log.read_text(errors="replace").splitlines()[-20:] if log.exists() else []
    print("\n".join(lines), file=sys.stderr, flush=True)


def _processor(pid: int) -> str:
    """How long its threads had a processor, and how long they waited for one, as Linux tells it."""
    ran = waited = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            numbers = (task / "schedstat").read_text().split()
            ran, waited = ran + int(numbers[0]), waited + int(numbers[1])
    except OSError:
        return "gone"
    return f"ran {ran / 1e9:.1f} s, waited {waited / 1e9:.1f} s for a processor"
