"""The guards that the simulation must miss when they are gone: each is taken away in turn, and a run has to say so."""

# pyright: reportPrivateUsage=false
# Rows are looked at as they are, and guards as they stand.

from __future__ import annotations

from typing import Final

from saga_fn.engine.commit.committer import Committer
from saga_fn.engine.drive.interpreter import Interpreter
from saga_fn.engine.hold.deleting import Batch
from saga_fn.engine.hold.relay_lines import Lines
from saga_fn.engine.hold.taking_up import TakingUp
from saga_fn.store.memory import MemoryStore
from saga_fn.store.memory_deletion import MemoryDeletion
from tests.simulation.mutants import Mutant

FENCE: Final = "stands = row.token == write.token and row.rev == write.rev"
STORE: Final[tuple[tuple[Mutant, int], ...]] = (
    (Mutant("the fence", MemoryStore.commit, FENCE, "stands = True"), 2),
    (Mutant("the revision in the fence", MemoryStore.commit, FENCE, "stands = row.token == write.token"), 2),
    (
        Mutant(
            "the unread-message check",
            MemoryStore.commit,
            "if not stands or write.inbox_seen not in (None, row.inbox_sent):",
            "if not stands:",
        ),
        0,
    ),
    (Mutant("the lease in a scan", MemoryStore._due, "and saga.record.due_at <= now", ""), 0),
    (Mutant("the lease in a claim", MemoryStore.claim, "or self._leased(saga.record)", ""), 5),
    (Mutant("the end in a claim", MemoryStore.claim, "or saga.record.ended_at is not None", ""), 0),
    (
        Mutant(
            "the token in a renewal",
            MemoryStore.renew,
            "and saga.record.token == token and saga.record.owner == owner",
            "",
        ),
        0,
    ),
    (Mutant("the token in a release", MemoryStore.release, "and saga.record.token == token", ""), 2),
    (Mutant("the id of an insert", MemoryStore.insert, "new.id in self._sagas or taken", "taken"), 7),
    (
        Mutant(
            "the business key of an insert",
            MemoryStore.insert,
            "new.id in self._sagas or taken",
            "new.id in self._sagas",
        ),
        2,
    ),
    (Mutant("the pause in a scan", MemoryStore._due, "and not self.pauses.holds(saga.record.name)", ""), 0),
)
ENGINE: Final[tuple[tuple[Mutant, int], ...]] = (
    (
        Mutant(
            "the lease at a begin",
            Interpreter._execute,
            "if self._stage.lost or steady.now() >= self.saga.deadline:",
            "if self._stage.lost:",
        ),
        60,
    ),
    (
        Mutant(
            "the length of a lease at a claim",
            TakingUp._drive_claim,
            "sent + self._options.lease.total_seconds()",
            "sent + 40 * self._options.lease.total_seconds()",
        ),
        203,
    ),
    (
        Mutant(
            "the look after a commit that matched nothing",
            Committer._tell,
            "self._looks.add(self._look_up(shard, pending))",
            "pending.settle(Applied(0, committed.now, 0))",
        ),
        0,
    ),
    (
        Mutant(
            "the messages before those of a commit",
            Lines.written,
            "if earlier and not self._last_deleted.was(saga_id, earlier):",
            "if False:",
        ),
        3,
    ),
)
DELETION: Final[tuple[Mutant, ...]] = (
    Mutant("the length of a retention", MemoryDeletion.ended, "and row.ended_at < time_of(before)", ""),
    Mutant(
        "the acknowledgement before a deletion",
        MemoryDeletion.ended,
        "and (row.acknowledged or not acknowledged_only)",
        "",
    ),
    Mutant(
        "the archive before a deletion", Batch.delete_some, "await keep_safe(task.retention.archive, sagas)", "pass"
    ),
    Mutant("the tombstone of a deletion", MemoryDeletion.delete, "self._tombstones[row.id] = stone,", "_ = stone,"),
)
