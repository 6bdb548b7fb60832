"""The judge asks after each request to the store whether all holds: laws of the core, journals and rows, owners, messages.

The store's rows are looked at from outside, by their bytes. Each finding is a line of text; there must be none.
"""

# pyright: reportPrivateUsage=false
# Rows are looked at as they are, and guards as they stand.

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, final
from uuid import UUID

import attrs
from returns.result import Failure

from saga_fn.core.event_kinds import plan_of
from saga_fn.core.facts import find
from saga_fn.core.invariants import ASKED, STATE_LAWS, Edge
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SET_ASIDE, SagaStatus, project
from saga_fn.core.state import Probing, Running, SagaState, Undoing, execution_of
from saga_fn.core.transition import transition
from saga_fn.definition import StepContext
from saga_fn.definition.retention import Retention
from saga_fn.outgoing import message_id
from saga_fn.store.memory import MemoryStore
from saga_fn.store.records import (
    Committed,
    Inserted,
    OutgoingRow,
    SagaRecord,
    SagaWrite,
    TakenSaga,
    decode_event,
    decode_state,
)
from tests.simulation.machine import Machine, Node

_MOST: Final = 20
"""Lines that are kept of one run: the first one counts."""
_KINDS: Final[Mapping[str, type[Running | Undoing | Probing]]] = {
    "execute": Running,
    "compensate": Undoing,
    "probe": Probing,
}


@attrs.define
class _Seen:
    """A saga as it was after the last thing that happened to it, folded from its journal alone."""

    record: SagaRecord
    state: SagaState
    plan: Plan


@final
class Judge:
    """Looks at everything, and remembers what is wrong."""

    def __init__(self, machine: Machine, store: MemoryStore) -> None:
        self._machine = machine
        self._store = store
        self._rows = store._sagas
        self._seen: dict[UUID, _Seen] = {}
        self._last: list[object] = []
        """The rows as they were looked at last, in the order of the store, which forgets none."""
        self._taken: set[UUID] = set()
        """Sagas that an operator has taken from their owners: what runs there may begin once more before it hears of it."""
        self._active: dict[tuple[str, str], UUID] = {}
        """The saga that was last seen active under each business key."""
        self._digest = hashlib.blake2b(digest_size=16)
        self.owners: dict[UUID, Node] = {}
        """The process that has each owner's id."""
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()
        self.messages: defaultdict[UUID, list[UUID]] = defaultdict(list)
        """The ids of the messages that commits have written, by saga, in their order."""
        self.retentions: Mapping[str, Retention | None] = {}
        """How long the sagas of each name are kept."""
        self.archived: set[UUID] = set()
        """Sagas that the archive has got."""
        self.deleted: dict[UUID, SagaRecord] = {}
        """Sagas that were deleted, as they stood last."""

    def say(self, line: str) -> None:
        """Remember something that is not as it must be; the run goes no further."""
        self._machine.halted = True
        if len(self.wrong) < _MOST:
            self.wrong.append(f"{self._machine.now:.3f} s: {line}")

    @property
    def time_of_day(self) -> float:
        """Seconds since 1970."""
        return self._machine.time.time()

    @property
    def digest(self) -> str:
        """A fingerprint of all that the store was told: the same seed gives the same."""
        return self._digest.hexdigest()

    def served(
        self, node: Node, name: str, args: tuple[Any, ...], named: dict[str, Any], result: object
    ) -> None:  # Any: as the store has them
        """Look at what a request has changed."""
        self._digest.update(f"{self._machine.now:.6f} {node.name} {name}\n".encode())
        match result:
            case Committed(inbox_sent=applied) if name == "commit":
                for write in args[1]:
                    if write.id in applied:
                        self._written(node, write)
            case Inserted(ids=inserted):
                for new in args[1]:
                    if new.id in inserted:
                        self._ids(new.id, new.outgoing)
            case TakenSaga():
                before = self._seen[args[0]].record
                if (before.token, before.rev) != (named["token"], named["rev"]):
                    self.say(f"saga {args[0]} was taken from its owner by {node.name}, which had seen it otherwise")
            case _:
                pass
        self.look(name)

    def _written(self, node: Node, write: SagaWrite) -> None:
        """Judge one write that was taken: of its owner, who knows how the saga stands and has read what it must have."""
        seen = self._seen.get(write.id)
        if seen is not None:
            before = seen.record
            if write.token != before.token:
                self.say(f"saga {write.id} was written by {node.name}, and it was another's")
            if write.rev != before.rev:
                self.say(f"saga {write.id} was written at revision {before.rev} by {node.name}, which knew {write.rev}")
            if write.inbox_seen not in (None, before.inbox_sent):
                self.say(f"saga {write.id} was given up or went on past a message that {node.name} has not read")
        self._ids(write.id, write.outgoing)

    def _ids(self, saga_id: UUID, rows: Sequence[OutgoingRow]) -> None:
        self.messages[saga_id] += [message_id(saga_id, row.rev, row.n) for row in rows]

    def look(self, name: str) -> None:
        """Look at every row that is another than before."""
        last = self._last
        if len(last) > len(self._rows):
            last = self._last = self._without_the_deleted(name)
        if len(last) < len(self._rows):
            last += [None] * (len(self._rows) - len(last))
        for place, saga in enumerate(self._rows.values()):
            if last[place] is not saga.record:
                last[place] = saga.record
                self._changed(name, saga.record.id, self._seen.get(saga.record.id))

    def _without_the_deleted(self, name: str) -> list[object]:
        """Judge the rows that are gone: of sagas whose retention is over, and which the archive has. Gives those that stay."""
        for saga_id in [each for each in self._seen if each not in self._rows]:
            row = self.deleted[saga_id] = self._seen.pop(saga_id).record
            self.counts["deleted"] += 1
            self._digest.update(f"{saga_id} deleted\n".encode())
            if name != "deletion.delete" or self.is_kept(row):
                self.say(f"saga {saga_id} was deleted by {name}, and is to be kept: {row.status} since {row.ended_at}")
            if saga_id not in self.archived:
                self.say(f"saga {saga_id} was deleted, and the archive does not have it")
        return [self._seen[each].record if each in self._seen else None for each in self._rows]

    def is_kept(self, row: SagaRecord) -> bool:
        """Whether a saga is not to be deleted now."""
        retention = self.retentions.get(row.name)
        if retention is None or row.ended_at is None or (row.status is SagaStatus.FAILED and not row.acknowledged):
            return True
        lengths = {
            SagaStatus.COMPLETED: retention.completed,
            SagaStatus.COMPENSATED: retention.compensated,
            SagaStatus.FAILED: retention.failed,
        }
        length = lengths[row.status]
        now = self._machine.time.time()
        return length is None or row.ended_at.timestamp() + length.total_seconds() > now or self._has_messages(row.id)

    def _has_messages(self, saga_id: UUID) -> bool:
        return bool(self._store.outgoing._messages.get(saga_id))

    def _changed(self, name: str, saga_id: UUID, seen: _Seen | None) -> None:
        saga = self._rows[saga_id]
        row = saga.record
        before = None if seen is None else seen.record
        self._digest.update(row.state)
        self._digest.update(f"{saga_id} {row.rev} {row.owner} {row.token} {row.due_at} {row.inbox_sent}\n".encode())
        after = self._folded(saga_id, seen)
        if after is None:
            return
        after.record = row
        self._seen[saga_id] = after
        self._row(saga_id, row, after)
        if before is not None:
            self._owner(name, saga_id, before, row)

    def _folded(self, saga_id: UUID, seen: _Seen | None) -> _Seen | None:
        saga = self._rows[saga_id]
        row = saga.record
        known, state, plan = (0, None, None) if seen is None else (seen.state.rev, seen.state, seen.plan)
        if len(saga.journal) != row.rev or row.rev < known:
            self.say(f"saga {saga_id}: revision {row.rev} after {known}, and {len(saga.journal)} entries")
            self._rows_forgotten(saga_id)
            return None
        for record in saga.journal[known:]:
            event = decode_event(record.event)
            self._digest.update(record.event)
            named = plan_of(event)
            if named is not None:
                plan = self._store._plans[named]
            assert plan is not None
            decision = transition(plan, state, event)
            if isinstance(decision, Failure):
                self.say(f"saga {saga_id}: entry {record.seq} is not accepted: {event} ({decision.failure()})")
                self._rows_forgotten(saga_id)
                return None
            moved = decision.unwrap()
            self.counts["events"] += 1
            self.counts[type(event).__name__] += 1
            for law in STATE_LAWS:
                if not law(plan, moved.state):
                    self.say(f"saga {saga_id}: {law.__name__} at entry {record.seq}: {event}")
            if state is not None:
                for broken in ASKED.broken(Edge.of(plan, state, event, moved)):
                    self.say(f"saga {saga_id}: {broken.__name__} at entry {record.seq}: {event}")
            state = moved.state
        assert state is not None
        assert plan is not None
        return _Seen(row, state, plan)

    def _rows_forgotten(self, saga_id: UUID) -> None:
        self._seen.pop(saga_id, None)

    def _row(self, saga_id: UUID, row: SagaRecord, after: _Seen) -> None:
        if decode_state(row.state, row.rev) != after.state:
            self.say(f"saga {saga_id}: its journal does not fold to its row at revision {row.rev}")
        shown = project(after.plan, after.state)
        if row.parked is not None and row.due_at is None and row.waits == SET_ASIDE.waits and shown.waits != row.waits:
            self.say(f"saga {saga_id} was set aside: {row.last_error}")
            return
        columns = (
            ("status", shown.status, row.status),
            ("waits", shown.waits, row.waits),
            ("wakes_on_message", shown.wakes_on_message, row.wakes_on_message),
            ("parked", shown.parked, row.parked),
            ("problem_step", shown.problem_step, row.problem_step),
            ("ended", after.state.ended, row.ended_at is not None),
        )
        for what, folded, stored in columns:
            if folded != stored:
                self.say(f"saga {saga_id}: {what} is {stored}, and folds to {folded}")
        if row.aggregation_id is not None and row.ended_at is None:
            key = row.name, row.aggregation_id
            active = self._active.setdefault(key, saga_id)
            if active != saga_id and self._rows[active].record.ended_at is None:
                self.say(f"sagas {active} and {saga_id} are active under {key}")
            self._active[key] = saga_id
        if row.ended_at is not None and (row.owner is not None or row.due_at is not None):
            self.say(f"saga {saga_id} has ended, and is owned or due")
        if row.owner is not None and row.due_at is None:
            self.say(f"saga {saga_id} is owned without a lease")
        if row.owner is None and row.ended_at is None and row.due_at is None and shown.due is not None:
            self.say(f"saga {saga_id} is to be claimed, and no scan finds it")
        if row.owner is None and row.ended_at is None and row.due_at is None and row.wakes_on_message:
            unread = [stored.message for stored in self._rows[saga_id].inbox if stored.answer is None]
            if unread:
                self.say(f"saga {saga_id} is given up with {len(unread)} messages that nobody will read")

    def _owner(self, name: str, saga_id: UUID, before: SagaRecord, row: SagaRecord) -> None:
        if name == "claim_due" and before.token != row.token and self._store.pauses.holds(row.name):
            self.say(f"saga {saga_id} was claimed, though {row.name} is paused")
        if before.ended_at is not None and row.ended_at is None:
            self.counts["taken up"] += 1
        if before.owner is None or row.owner is None or before.token == row.token:
            return
        leased = before.due_at is not None and before.due_at.timestamp() > self._machine.time.time()
        if name == "take":
            self._taken.add(saga_id)
        elif leased:
            self.say(f"saga {saga_id} was taken from its owner by {name}, before its lease was over")

    def begins(self, node: Node, ctx: StepContext, direction: str) -> None:
        """Hear that user code begins in a process: it must own the saga, and have said so of this execution."""
        self.counts[direction] += 1
        self._digest.update(f"{node.name} begins {ctx.saga_id} {ctx.step_id} {direction} {ctx.attempt}\n".encode())
        saga = self._rows.get(ctx.saga_id)
        if saga is None:
            self.say(f"{direction} of {ctx.step_id} begins, and there is no saga {ctx.saga_id}")
            return
        row = saga.record
        if ctx.saga_id in self._taken:
            return
        if row.owner is None or self.owners.get(row.owner) is not node:
            owner = None if row.owner is None else self.owners.get(row.owner)
            self.say(
                f"{direction} {ctx.attempt} of {ctx.step_id} of saga {ctx.saga_id} begins in {node.name},"
                f" and its owner is {'nobody' if owner is None else owner.name}"
            )
            return
        seen = self._seen[ctx.saga_id]
        step = find(seen.state, ctx.step_id)  # type: ignore[arg-type]  # a StepId is a str
        is_known = (
            isinstance(step, Running | Undoing | Probing)
            and type(step) is _KINDS[direction]
            and (direction == "probe" or execution_of(step) == ctx.attempt)
        )
        if not is_known:
            self.say(
                f"{direction} {ctx.attempt} of {ctx.step_id} of saga {ctx.saga_id} begins, and is not recorded as begun: {step}"
            )
