"""The audit of the chaos run: what was told, the sagas as they are, and the books of the system they acted on, side by side.

It is pure: it is given facts, and gives a line for each thing that is not as it must be.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import attrs

from saga_fn import LeftOverKind, SagaStatus, StepStatus
from tests.faults.chaos.books import Begun, Call, Effect, Row
from tests.faults.chaos.broker import Received
from tests.faults.chaos.sagas import ENTERED, NOT_UNDOABLE
from tests.faults.chaos.told import Told

PARKED_FOR_A_PERSON: Final = frozenset({"outcome_unknown", "undo_failed", "past_pivot", "crash_loop", "settled"})
"""Why a saga may be parked here. Any other reason says that the library could not go on."""
STORED: Final = frozenset({"accepted", "buffered", "kept", "duplicate"})
"""Answers to a sender after which its event must not be lost."""
SLACK: Final = 0.25
"""Seconds between the clock of a statement and that of a step within which nothing is concluded from their order."""
_RESUMING: Final = frozenset({"retry_step", "retry_with_input", "cancel", "settle_undone", "rewind"})
_DRIVERS_OWN: Final = "ConnectionError: unexpected connection_lost() call"
"""An error that asyncpg 0.32 leaves unheard, and nothing depends on: a connect was given up before the server's word about TLS."""
_LEVELS: Final = ("DEBUG ", "INFO ", "WARNING ", "ERROR ", "CRITICAL ")


@attrs.frozen
class Saga:
    """One saga as it is after everything."""

    id: UUID
    name: str
    status: SagaStatus
    settled: bool
    """Whether it has ended, or waits for a person or an event and for nothing else."""
    key: str | None = None
    parked: str | None = None
    steps: Mapping[str, StepStatus] = attrs.field(factory=dict[str, StepStatus])
    left_over: Mapping[str, LeftOverKind] = attrs.field(factory=dict[str, LeftOverKind])
    settled_by_hand: frozenset[str] = frozenset()
    """Steps that an operator has skipped, said to be undone or given an input; all of them if the saga was taken back to one."""
    reasons: Sequence[str] = ()
    """The reasons of all verbs in its journal."""
    events: Sequence[int] = ()
    """The numbers of the outside events in its journal."""
    unread: frozenset[int] = frozenset()
    """Those of the messages that no process has read yet."""
    done_at: Mapping[tuple[str, str], Sequence[float]] = attrs.field(factory=dict[tuple[str, str], Sequence[float]])
    """When its journal says, by step and direction, that it was done."""
    messages: Sequence[UUID] = ()
    """The ids of the messages that it has to have published, in their order."""
    rows: Sequence[tuple[str, str]] = ()
    """The steps, with their directions, whose commits have to have brought a row, in their order."""
    calls: frozenset[tuple[str, datetime]] = frozenset()
    """The hooks that have to have been called, each with its moment."""
    disagreements: Sequence[str] = ()
    """What `verify` says."""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.status.is_terminal


@attrs.frozen
class Kept:
    """An event for a business key, as it is stored: the saga that has got it, if one has."""

    target: tuple[str, str]
    number: int
    taken_by: UUID | None


@attrs.frozen
class Facts:
    """All that the audit looks at."""

    told: Told
    sagas: Mapping[UUID, Saga]
    begun: Sequence[Begun] = ()
    effects: Sequence[Effect] = ()
    kept: Sequence[Kept] = ()
    received: Sequence[Received] = ()
    """The messages that came to the broker, in that order."""
    rows: Sequence[Row] = ()
    """The rows that transactional steps have written, in that order."""
    calls: Sequence[Call] = ()


def findings(facts: Facts) -> list[str]:
    """A line for each thing that is not as it must be."""
    checks = (
        _starts,
        _ends,
        _standing,
        _repetitions,
        _late_begins,
        _verbs,
        _events,
        _messages,
        _rows,
        _calls,
        _journals,
    )
    return [*facts.told.strange, *(line for check in checks for line in check(facts))]


def _starts(facts: Facts) -> Iterator[str]:
    for saga, how in facts.told.started.items():
        if saga not in facts.sagas:
            yield f"saga {saga} was accepted ({how}) and is not there"
    for saga in facts.told.rolled_back & facts.sagas.keys():
        yield f"saga {saga} is there, although the transaction it was started in was rolled back"
    for (name, key), answers in facts.told.keyed.items():
        if len({saga for saga, _ in answers}) > 1:
            yield f"idempotency key {key!r} of {name!r} has started several sagas"
        if sum(created for _, created in answers) > 1:
            yield f"idempotency key {key!r} of {name!r} was said to be new more than once"


def _ends(facts: Facts) -> Iterator[str]:
    for saga in facts.sagas.values():
        if not saga.settled:
            yield f"saga {saga.id} ({saga.name}) is {saga.status}, and nothing that it waits for will not come by itself"
        if saga.parked is not None and saga.parked not in PARKED_FOR_A_PERSON:
            yield f"saga {saga.id} ({saga.name}) is parked for {saga.parked}"
    resumed = {asked.saga for asked in facts.told.asked if asked.verb in _RESUMING and asked.answer is not False}
    for saga_id, end in facts.told.ends:
        now = facts.sagas.get(saga_id)
        if now is not None and now.status != end and not (end == SagaStatus.FAILED and saga_id in resumed):
            yield f"saga {saga_id} was said to have ended {end}, and is {now.status}"


def _standing(facts: Facts) -> Iterator[str]:
    """What stands in the books is what the sagas say."""
    books = {(effect.saga, effect.step): effect for effect in facts.effects}
    for effect in facts.effects:
        if effect.saga not in facts.sagas:
            yield f"step {effect.step} of saga {effect.saga} was executed, and there is no such saga"
        elif len(effect.keys) > 1 and effect.step not in facts.sagas[effect.saga].settled_by_hand:
            yield f"step {effect.step} of saga {effect.saga} was done under {len(effect.keys)} keys"
    for saga in facts.sagas.values():
        for step, status in saga.steps.items():
            yield from _step(saga, step, status, books.get((saga.id, step)))


def _step(saga: Saga, step: str, status: StepStatus, effect: Effect | None) -> Iterator[str]:
    where = f"step {step} of saga {saga.id} ({saga.name}, {saga.status}, {status})"
    if step in saga.settled_by_hand or any(step.startswith(f"{each}[") for each in saga.settled_by_hand):
        return
    stands, left = effect is not None and effect.stands, saga.left_over.get(step)
    if (saga.name, step) in ENTERED:  # no call of another system: `_rows` knows
        if left is LeftOverKind.MAY_HAVE_RUN:
            yield f"{where} is said to be in doubt, although its result is a part of its own commit"
        return
    back = saga.status in {SagaStatus.COMPENSATED, SagaStatus.FAILED}
    if left in {LeftOverKind.NOT_UNDONE, LeftOverKind.OUTPUT_LOST} and not stands:
        yield f"{where} is said to be left over ({left}), and does not stand in the books"
    elif status is StepStatus.SUCCEEDED and not stands and _acts(saga, step):
        yield f"{where} does not stand in the books"
    elif status is StepStatus.SKIPPED and effect is not None and effect.keys:
        yield f"{where} was executed"
    elif status is StepStatus.COMPENSATED and stands:
        yield f"{where} still stands in the books"
    elif (
        stands
        and back
        and left is None
        and ((saga.name, step) not in NOT_UNDOABLE or status is not StepStatus.SUCCEEDED)
    ):
        yield f"{where} stands in the books, and is not named among what is left over"


def _acts(saga: Saga, step: str) -> bool:
    """Whether it is executed itself: a wait is not, nor is a fan-out, but its items."""
    acts = step not in {"wait", "approval", "call", "sleep", "nap"}
    return acts and not (saga.name == "spread" and step == "many")


def _repetitions(facts: Facts) -> Iterator[str]:
    keys: defaultdict[tuple[UUID, str, str, int, int], set[str]] = defaultdict(set)
    for begun in facts.begun:
        if begun.direction != "probe":
            keys[begun.saga, begun.step, begun.direction, begun.generation, begun.rewound].add(begun.key)
    for (saga_id, step, direction, _, _), under in keys.items():
        if len(under) > 1:
            yield f"step {step} of saga {saga_id}: {direction} was begun under {len(under)} keys"
    for saga in facts.sagas.values():
        for (step, direction), times in saga.done_at.items():
            if len(times) > 1:
                yield f"step {step} of saga {saga.id}: {direction} is recorded as done {len(times)} times"


def _late_begins(facts: Facts) -> Iterator[str]:
    """Nothing is begun that is recorded as done.

    A process that stood still may have been between its look at the lease and the first line of one execution: one for each
    time that it stood still is no fault.
    """
    excused: Counter[int] = Counter()
    for begun in facts.begun:
        saga = facts.sagas.get(begun.saga)
        done = () if saga is None else saga.done_at.get((begun.step, begun.direction), ())
        if not done or begun.at <= done[0] + SLACK:
            continue
        stop = next((n for n, each in enumerate(facts.told.stopped) if _woke(each.pid, each.until, begun)), None)
        if stop is not None and not excused[stop]:
            excused[stop] += 1
            continue
        late = begun.at - done[0]
        yield f"step {begun.step} of saga {begun.saga}: {begun.direction} was begun {late:.2f} s after it was recorded as done"


def _woke(pid: int, woken: float, begun: Begun) -> bool:
    return pid == begun.pid and woken - SLACK <= begun.at <= woken + 1.0


def _verbs(facts: Facts) -> Iterator[str]:
    for asked in facts.told.asked:
        saga = facts.sagas.get(asked.saga)
        times = 0 if saga is None else list(saga.reasons).count(asked.reason)
        if times > 1:
            yield f"{asked.verb} of saga {asked.saga} ({asked.reason}) was applied {times} times"
        if asked.answer is True and not times:
            yield f"{asked.verb} of saga {asked.saga} ({asked.reason}) was said to be applied, and was not"
        if asked.answer is False and times:
            yield f"{asked.verb} of saga {asked.saga} ({asked.reason}) was said to be refused, and was applied"


def _events(facts: Facts) -> Iterator[str]:
    for saga in facts.sagas.values():
        for number, times in Counter(saga.events).items():
            if times > 1:
                yield f"event {number} was taken {times} times by saga {saga.id}"
    kept = {(each.target, each.number): each.taken_by for each in facts.kept}
    for sent in facts.told.sent:
        if sent.answer not in STORED:
            continue
        if isinstance(sent.target, UUID):
            if not _has(facts.sagas, sent.target, sent.number):
                yield f"event {sent.number} for saga {sent.target} was answered {sent.answer}, and is lost"
            continue
        where = (sent.target, sent.number)
        if where not in kept:
            if sent.target not in facts.told.discarded:
                yield f"event {sent.number} for {sent.target} was answered {sent.answer}, and is lost"
        elif (taken := kept[where]) is not None and not _has(facts.sagas, taken, sent.number):
            yield f"event {sent.number} for {sent.target} was handed to saga {taken}, and is lost there"


def _has(sagas: Mapping[UUID, Saga], saga_id: UUID, number: int) -> bool:
    """Whether the saga has got the event, will read it, or needs it no more."""
    saga = sagas.get(saga_id)
    return saga is not None and (number in saga.events or number in saga.unread or saga.ended)


def _messages(facts: Facts) -> Iterator[str]:
    """A reader that drops repeats by their ids gets each message once, and those of a saga in their order."""
    came: defaultdict[UUID, dict[UUID, bytes]] = defaultdict(dict)
    for each in facts.received:
        if came[each.saga].setdefault(each.id, each.body) != each.body:
            yield f"message {each.id} of saga {each.saga} came with two bodies"
    for saga_id in came.keys() - facts.sagas.keys():
        yield f"messages of saga {saga_id} came, and there is no such saga"
    for saga in facts.sagas.values():
        found = list(came[saga.id])
        if found == list(saga.messages):
            continue
        for lost in sorted(set(saga.messages) - set(found)):
            yield f"message {lost} of saga {saga.id} is lost"
        for made_up in sorted(set(found) - set(saga.messages)):
            yield f"message {made_up} of saga {saga.id} came, and nothing that it tells of was committed"
        if set(found) == set(saga.messages):
            yield f"the messages of saga {saga.id} came in another order"


def _rows(facts: Facts) -> Iterator[str]:
    """The rows of transactional steps are those of the commits in the journal: one for each, in their order."""
    written: defaultdict[UUID, list[tuple[str, str]]] = defaultdict(list)
    for row in facts.rows:
        written[row.saga].append((row.step, row.direction))
    for saga_id in written.keys() - facts.sagas.keys():
        yield f"saga {saga_id} has written rows, and there is no such saga"
    for saga in facts.sagas.values():
        if written[saga.id] != list(saga.rows):
            yield f"saga {saga.id} has written the rows {written[saga.id]}, and committed {list(saga.rows)}"


def _calls(facts: Facts) -> Iterator[str]:
    """Each hook is called at least once for each moment, and for no other."""
    called: defaultdict[UUID, set[tuple[str, datetime]]] = defaultdict(set)
    for call in facts.calls:
        called[call.saga].add((call.hook, call.at))
    for saga_id in called.keys() - facts.sagas.keys():
        yield f"hooks of saga {saga_id} were called, and there is no such saga"
    for saga in facts.sagas.values():
        for hook, at in sorted(saga.calls - called[saga.id]):
            yield f"hook {hook} of saga {saga.id} was not called for {at}"
        for hook, at in sorted(called[saga.id] - saga.calls):
            yield f"hook {hook} of saga {saga.id} was called for {at}, when nothing of that kind had happened"


def _journals(facts: Facts) -> Iterator[str]:
    for saga in facts.sagas.values():
        for line in saga.disagreements:
            yield f"saga {saga.id}: its journal does not fold to its row: {line}"


def alarming(log: Collection[str]) -> list[str]:
    """The entries of a worker's log that no fault from outside explains, each with the lines that belong to it."""
    entries: list[str] = []
    for line in log:
        if line.startswith(_LEVELS) or not entries:
            entries.append(line)
        else:
            entries[-1] += f"\n    {line}"
    return [each for each in entries if _alarms(each) and _DRIVERS_OWN not in each]


def _alarms(entry: str) -> bool:
    return (
        entry.startswith(("Traceback", "CRITICAL", "ERROR asyncio"))
        or "never retrieved" in entry
        or "\n    Traceback" in entry
    )
