"""Every exception a user of this library can meet.

One root, one leaf per cause. The facts are attributes; the message is the fact, then a line `HINT:` with the mend.

    SagaError
    ├── SagaDefinitionError            a saga or a step is put together wrongly
    │   └── TypeValidationError        ... because of a type that cannot be stored, or that does not fit
    ├── SagaNotRegisteredError
    ├── SagaNotFoundError
    │   └── SagaDeletedError           it has ended, and its retention is over
    ├── SagaJournalDroppedError        it has ended, and the month of its journal was dropped
    ├── ActiveSagaAlreadyExistsError   the aggregation id is taken
    ├── StartConflictError             the idempotency key was used with other input
    ├── StartBusyError                 another transaction, still open, holds the key
    ├── SagaStateError                 the operation is not legal in the saga's state
    ├── SagaNotCompletedError          awaited a result, but the saga ended otherwise
    │   ├── SagaCompensatedError
    │   └── SagaFailedError
    ├── SagaParkedError                the saga waits for a person
    ├── SagaResultTimeoutError         (also a TimeoutError)
    ├── PayloadError                   a value is not what its type says, or cannot be stored
    │   └── PayloadTooLargeError
    └── StoreError
        ├── StoreUnavailableError
        ├── StoreRefusedError          ... and will not, until a person changes something
        ├── StoredDataError
        ├── SchemaMissingError
        ├── SchemaTooNewError
        └── ServerTooOldError
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, assert_never
from uuid import UUID

from typing_extensions import override

from saga_fn.printable import LONGEST_TOLD, kept, name_of_type, printable

if TYPE_CHECKING:
    from datetime import datetime

    from saga_fn.core.projection import SagaStatus
    from saga_fn.snapshot import SagaSnapshot, StepFailure, StepSnapshot, UnreadMessage, Wait


BEFORE_HINT: Final = "\nHINT: "
"""Stands in a message between the fact and the mend."""
_LONGEST_SHOWN: Final = 80
_UNDO_OF: Final = "the compensation of "
_MOST_TOLD: Final = 3
"""Reasons for which a saga waits, of which it may have as many as steps."""
_short: Final = reprlib.Repr()  # goes into nothing that is large or deep, nor into what refers to itself
_short.maxstring = _short.maxother = _short.maxlong = _LONGEST_SHOWN


def is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    """`isinstance`, asked of a value whose type the checkers are sure of: not every caller has one."""
    return isinstance(value, kind)


def shown(value: object) -> str:
    r"""How a message shows what a caller gave: its repr on one line, 80 characters at most. Never raises.

    >>> shown("a\nb"), shown([1, [2] * 100])
    ("'a\\nb'", '[1, [2, 2, 2, 2, 2, 2, ...]]')
    """
    try:
        text = _short.repr(value)
    except Exception:  # noqa: BLE001 - a repr may raise anything, and what is wrong is what it belongs to
        text = f"<{name_of_type(value)}>"
    return printable(text[:_LONGEST_SHOWN], _LONGEST_SHOWN)


class SagaError(Exception):
    r"""The root of all errors of this library.

    Args:
        fact: The fault, in one sentence.
        hint: The mend. Default: None, where there is nothing to advise.

    >>> str(SagaError("the cup is empty", hint="fill it"))
    'the cup is empty\nHINT: fill it'
    """

    fact: str
    """The fault, in one sentence."""
    hint: str | None
    """The mend; None where there is nothing to advise."""

    def __init__(self, fact: str, *, hint: str | None = None) -> None:
        super().__init__(fact if hint is None else f"{fact}{BEFORE_HINT}{hint}")
        self.fact = fact
        self.hint = hint

    @override
    def __reduce__(self) -> tuple[object, ...]:
        # The leaves take facts, not messages: without this, none of them would survive pickling or copying.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(cls: type[SagaError], args: tuple[object, ...], attributes: dict[str, object]) -> SagaError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class SagaDefinitionError(SagaError):
    """A saga, a step or one of their options is put together wrongly."""


class TypeValidationError(SagaDefinitionError):
    """A type in a definition cannot be stored, cannot be found out, or does not fit where it is used."""


class SagaNotRegisteredError(SagaError):
    """No saga of this name (and version) is registered with the orchestrator."""

    saga_name: str
    """The name that was asked for."""
    registered: tuple[str, ...]
    """The names that are registered."""

    def __init__(self, saga_name: str, *, registered: Iterable[str] = (), hint: str | None = None) -> None:
        self.saga_name = saga_name
        self.registered = tuple(sorted(registered))
        known = ", ".join(map(shown, self.registered)) or "none"
        super().__init__(
            f"no saga named {shown(saga_name)} is registered with this orchestrator (registered: {known})",
            hint=hint or f"call orchestrator.register({shown(saga_name)}, definition) first, in this process",
        )


class OperationNotFoundError(SagaError):
    """The store holds no operation of this id."""

    operation_id: UUID
    """The id that was asked for."""

    def __init__(self, operation_id: UUID) -> None:
        self.operation_id = operation_id
        super().__init__(f"there is no operation {operation_id}", hint="list_operations of SagaAdmin has them all")


class SagaNotFoundError(SagaError):
    """The store holds no saga of this id, or its name is not that of the handle it was attached by."""

    saga_id: UUID
    """The id that was asked for."""
    uncommitted: bool
    """Whether this process started it in a transaction of the caller's (`connection=`) that is not committed."""

    def __init__(
        self, saga_id: UUID, *, uncommitted: bool = False, wanted: str | None = None, found: str | None = None
    ) -> None:
        self.saga_id = saga_id
        self.uncommitted = uncommitted
        if wanted is not None:
            super().__init__(
                f"there is no saga {saga_id} of the name {shown(wanted)}: the saga of this id is a {shown(found)}",
                hint="attach to it by the handle of its own definition",
            )
            return
        if uncommitted:
            super().__init__(
                f"saga {saga_id} is not there: the transaction it was started in is not committed yet, or was rolled back",
                hint="commit first: a saga begins, and can be awaited, when the transaction with its start is committed",
            )
            return
        super().__init__(
            f"there is no saga {saga_id}",
            hint="check the id, and that this process uses the same database and schema as the one that started it",
        )


class SagaDeletedError(SagaNotFoundError):
    """The saga has ended and was deleted, as its retention says. Its start had an idempotency key, so this much is known."""

    status: str
    """The status that it ended with, one of SagaStatus."""
    ended_at: datetime
    """The time of its end."""
    deleted_at: datetime
    """The time when it was deleted."""

    def __init__(self, saga_id: UUID, *, status: str, ended_at: datetime, deleted_at: datetime) -> None:
        self.saga_id = saga_id
        self.uncommitted = False
        self.status = status
        self.ended_at = ended_at
        self.deleted_at = deleted_at
        SagaError.__init__(
            self,
            f"saga {saga_id} ended {status} at {ended_at:%Y-%m-%d %H:%M:%S} UTC, and was deleted at "
            f"{deleted_at:%Y-%m-%d %H:%M:%S} UTC",
            hint="its definition's retention= says how long sagas are kept; its archive= has what was deleted, if there is one",
        )


class SagaJournalDroppedError(SagaError):
    """The saga has ended, and the month that its journal was in was dropped: how it ended is known, its result or error is not."""

    saga_id: UUID
    """The saga's id."""
    status: SagaStatus
    """The status that it ended with."""

    def __init__(self, saga_id: UUID, *, status: SagaStatus) -> None:
        self.saga_id = saga_id
        self.status = status
        super().__init__(
            f"saga {saga_id} ended {status.value}, and its journal is gone: nothing tells its result or its error any more",
            hint="run.snapshot() tells the rest; `drop_months(ended=True)` dropped the month: without ended= only retention deletes",
        )


class ActiveSagaAlreadyExistsError(SagaError):
    """Another saga of this name is active for the same aggregation id."""

    saga_name: str
    """The saga's name."""
    aggregation_id: str
    """The business key."""
    saga_id: UUID
    """The id of the saga that is active."""

    def __init__(self, saga_name: str, aggregation_id: str, saga_id: UUID) -> None:
        self.saga_name = saga_name
        self.aggregation_id = aggregation_id
        self.saga_id = saga_id
        super().__init__(
            f"saga {saga_id} of {shown(saga_name)} is already active for aggregation id {shown(aggregation_id)}",
            hint="await that one with handle.attach(error.saga_id), or start again once it has ended",
        )


class StartConflictError(SagaError):
    """The idempotency key was used before for this saga name and `aggregation_id`, with other initial data."""

    saga_name: str
    """The saga's name."""
    idempotency_key: str
    """The key."""
    saga_id: UUID
    """The id of the saga that the key started."""
    retained: bool
    """Whether that saga is there; False if it was deleted, as its retention says."""

    def __init__(self, saga_name: str, idempotency_key: str, saga_id: UUID, *, retained: bool = True) -> None:
        self.saga_name = saga_name
        self.idempotency_key = idempotency_key
        self.saga_id = saga_id
        self.retained = retained
        hint = "one key means one request: use a new key for new data, or send the same data again"
        if not retained:
            hint += (
                "; the saga was deleted, so only the bytes of its data are compared, and other code may write others"
            )
        super().__init__(
            f"idempotency key {shown(idempotency_key)} of {shown(saga_name)} has started saga {saga_id} with other initial data",
            hint=hint,
        )


class StartBusyError(SagaError):
    """Another transaction that is still open holds the same key, and the start was given up. Nothing was started."""

    saga_name: str
    """The saga's name."""
    aggregation_id: str | None
    """The business key of the start, or None."""
    idempotency_key: str | None
    """The idempotency key of the start, or None."""
    aborted: bool
    """Whether PostgreSQL has aborted the caller's own transaction (`connection=`)."""

    def __init__(
        self, saga_name: str, *, reason: str, aggregation_id: str | None, idempotency_key: str | None, aborted: bool
    ) -> None:
        self.saga_name = saga_name
        self.aggregation_id = aggregation_id
        self.idempotency_key = idempotency_key
        self.aborted = aborted
        keys = (("aggregation id", aggregation_id), ("idempotency key", idempotency_key))
        of = " and ".join(f"{what} {shown(key)}" for what, key in keys if key is not None)
        fact = f"{shown(saga_name)} could not be started{f' for {of}' if of else ''}: {reason}"
        if aborted:
            super().__init__(
                f"{fact}; the transaction of the connection given is aborted",
                hint="roll it back, and do all of it again in another one: it is safe, for nothing of it has happened",
            )
            return
        super().__init__(
            fact, hint="send it again, with the same key; key_wait= of SagaOrchestrator says how long to wait"
        )


class SagaStateError(SagaError):
    """The operation is not legal in the state the saga is in. Nothing was changed."""

    saga_id: UUID | None
    """The saga's id; None for an error of the guard."""
    refusal: str | None
    """The reason for which a verb was refused, as a code, such as `moved_on`; None where no verb was refused."""

    def __init__(
        self, fact: str, *, saga_id: UUID | None = None, refusal: str | None = None, hint: str | None = None
    ) -> None:
        self.saga_id = saga_id
        self.refusal = refusal
        super().__init__(fact, hint=hint)


class SagaNotCompletedError(SagaError):
    """A result was awaited, but the saga ended without one."""

    snapshot: SagaSnapshot
    """The saga at its end."""
    error: str | None
    """The error that made it turn back, as text, as stored."""
    failure: StepFailure | None
    """The same, with the step and its business error, or None."""
    left_over: tuple[str, ...]
    """The ids of the steps whose effects are still in the world, in the order in which they ran."""

    def __init__(
        self,
        fact: str,
        *,
        snapshot: SagaSnapshot,
        error: str | None,
        failure: StepFailure | None = None,
        left_over: Iterable[str] = (),
        hint: str,
    ) -> None:
        self.snapshot = snapshot
        self.error = error
        self.failure = failure
        self.left_over = tuple(left_over)
        super().__init__(fact, hint=hint)


def _told(error: str | None) -> str:
    """An error's text as it may stand in a line: user code has chosen its words."""
    return printable(error or "", LONGEST_TOLD)


class SagaCompensatedError(SagaNotCompletedError):
    """The saga was rolled back: all that has a compensation is undone. `snapshot.stays_done` names the done steps without one.

    `snapshot.rewound` names those that ran before a `rewind`, which undoes nothing.
    """

    def __init__(
        self, saga_id: UUID, *, snapshot: SagaSnapshot, error: str | None, failure: StepFailure | None = None
    ) -> None:
        again = "all that it has done is undone: start it again under another idempotency_key"
        if stays := tuple(kept(snapshot.stays_done, snapshot.rewound)):
            again = f"{'; '.join(stays)}: a new start runs that once more, so undo by hand first what stands of it"
        super().__init__(
            f"saga {saga_id} was compensated: {_told(error) or 'rolled back by an operator'}",
            snapshot=snapshot,
            error=error,
            failure=failure,
            hint=f"{again}; run.outcome() returns this end as a value",
        )


class SagaFailedError(SagaNotCompletedError):
    """The saga failed, and `left_over` names the steps whose effects remain."""

    def __init__(
        self,
        saga_id: UUID,
        *,
        snapshot: SagaSnapshot,
        error: str | None,
        failure: StepFailure | None = None,
        left_over: Iterable[str] = (),
    ) -> None:
        remaining = tuple(left_over)
        fact = f"saga {saga_id} failed: {_told(error) or 'ended by an operator'}; left over: {', '.join(remaining) or 'nothing'}"
        super().__init__(
            "; ".join((fact, *kept(snapshot.stays_done, snapshot.rewound))),
            snapshot=snapshot,
            error=error,
            failure=failure,
            left_over=remaining,
            hint="look at it with SagaAdmin.explain, mend the cause, then retry_step or cancel, whichever it says is legal",
        )


class SagaParkedError(SagaError):
    """The end of a saga was awaited, but the saga is parked: it waits for a person. The saga itself is untouched."""

    saga_id: UUID
    """The saga's id."""
    snapshot: SagaSnapshot
    """The saga as it stands; its `parked` is the reason."""

    def __init__(self, saga_id: UUID, *, snapshot: SagaSnapshot) -> None:
        self.saga_id = saga_id
        self.snapshot = snapshot
        mend = "mend the cause, then retry_step or skip_step; cancel turns back, but not past a pivot"
        if snapshot.parked == "past_pivot":
            mend = "mend the cause, then retry_step or skip_step; it is past its pivot: cancel is refused, abort ends it as it is"
        elif snapshot.parked == "output_lost":
            mend = "mend the cause, or deploy the topic's publisher, then retry_step; cancel turns back, but not past a pivot"
        elif snapshot.parked == "outcome_unknown":
            mend = (
                "find out whether the step has run: settle_done with its output if it has, else retry_step, or settle_never_ran "
                "in a rollback; cancel turns back without knowing, but not past a pivot"
            )
        elif snapshot.parked == "undo_failed":
            mend = "mend the cause, then retry_step; or undo the step by hand, then settle_undone"
        elif snapshot.parked == "plan_changed":
            mend = "deploy a build whose definition fits it: the saga then goes on by itself; no verb runs or undoes a step before"
        elif snapshot.parked == "settled":
            mend = "retry_step attempts the step again; cancel turns back, but not past a pivot"
        super().__init__(
            f"saga {saga_id} is parked at {snapshot.current_step_id}: {snapshot.parked}",
            hint=f"SagaAdmin.get_saga tells more; {mend}; result(wait_parked=True) waits until an operator has done so",
        )


class SagaResultTimeoutError(SagaError, TimeoutError):
    """The saga did not end within the time given. The saga itself is untouched.

    The last look at the saga was some 0.3 seconds before the time was over. If the saga was not read in that time,
    `status` is None and the rest is empty.
    """

    saga_id: UUID
    """The saga's id."""
    timeout: float
    """The time given, in seconds."""
    status: SagaStatus | None
    """The saga's status as of the last look."""
    parked: bool
    """Whether it waits for a person, where the wait was to last through that (`wait_parked=True`)."""
    paused: bool
    """Whether it is paused. A process without workers looks at no pause of a name, or of everything, by itself."""
    waiting_for: tuple[Wait, ...]
    """The events and moments that its steps wait for."""
    retrying: tuple[StepSnapshot, ...]
    """The steps that wait for a call, and until when. `awaits` of each is the call: its next attempt, its probe or its undo."""
    begins_at: datetime | None
    """The time when it begins, if it was started with a delay."""
    goes_back: bool
    """Whether it has turned back: then no step is tried again, and compensations wait, and probes of steps that may have run."""
    unread: tuple[UnreadMessage, ...]
    """The events and verbs that are stored for it, and that no owner has read yet. Its next owner reads them. It is
    empty where the role of this process may not read them, as a starter's."""
    misfit: str | None
    """How the definition of a process that works on it does not fit what it has done, where it waits for one that does; or None."""

    def __init__(
        self,
        saga_id: UUID,
        timeout: float,
        *,
        status: SagaStatus | None = None,
        parked: bool = False,
        paused: bool = False,
        waiting_for: Iterable[Wait] = (),
        retrying: Iterable[StepSnapshot] = (),
        begins_at: datetime | None = None,
        goes_back: bool = False,
        unread: Iterable[UnreadMessage] = (),
        misfit: str | None = None,
    ) -> None:
        self.saga_id = saga_id
        self.timeout = timeout
        self.status = status
        self.parked = parked
        self.paused = paused
        self.waiting_for = tuple(waiting_for)
        self.retrying = tuple(retrying)
        self.begins_at = begins_at
        self.goes_back = goes_back
        self.unread = tuple(unread)
        self.misfit = misfit
        held_up = f"{', going back' if goes_back else ''}{', parked' if parked else ''}{', paused' if paused else ''}"
        seen = "" if status is None else f": it is {status}{held_up}{self._reasons()}"
        super().__init__(
            f"saga {saga_id} did not end within {timeout:g} s{seen}",
            hint=f"{self._goes_on()}: await it again with handle.attach(error.saga_id), here or in any other process",
        )

    def _reasons(self) -> str:
        begins = [] if self.begins_at is None else [f"it begins{_until(self.begins_at, 'at')}"]
        waits = [
            f"{self._whose()}step {wait.step_id} waits{_for(wait.events)}{_until(wait.until, 'until')}"
            for wait in self.waiting_for
        ]
        again = [f"{_awaited(step)}{_until(step.wakes_at, 'at')}{_failed(step)}" for step in self.retrying]
        stored = [f"{each} is stored, and not read yet" for each in self.unread]
        misfit = [] if self.misfit is None else [self.misfit]
        told = [*misfit, *stored, *begins, *waits, *again]
        more = f"; and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
        return "".join(f"; {each}" for each in told[:_MOST_TOLD]) + more

    def _whose(self) -> str:
        return _UNDO_OF if self.goes_back else ""

    def _goes_on(self) -> str:
        if self.parked:
            return "it waits for a person, SagaAdmin.get_saga tells for what"
        if self.paused:
            return "it is paused, and goes on after SagaAdmin.resume, resume_all or resume_saga"
        if self.misfit is not None:
            return "it goes on when a worker runs whose definition fits what it has done"
        stored = {each.event for each in self.unread}
        if any(wait.events and stored.isdisjoint(wait.events) for wait in self.waiting_for):
            return "it goes on when the event is sent, by orchestrator.to(error.saga_id, event), or its wait is over"
        return "it goes on wherever a worker of its name and version runs, unless that name is paused"


def _for(events: tuple[str, ...]) -> str:
    return f" for {' or '.join(map(repr, events))}" if events else ""


def _awaited(step: StepSnapshot) -> str:
    """The call that the step waits for."""
    match step.awaits:
        case "probe":
            return f"step {step.step_id} may have run, and its probe is asked"
        case "undo" if not step.undoes:
            return f"step {step.step_id} may have run, and is undone"
        case "undo":
            return f"{_UNDO_OF}step {step.step_id} is tried again"
        case "attempt" | None:
            return f"step {step.step_id} is tried again"
        case _:
            assert_never(step.awaits)


def _failed(step: StepSnapshot) -> str:
    """How often it has failed. None count of one that was interrupted alone, or that an operator has tried again."""
    return f", its failures so far are {step.failures}" if step.failures and step.awaits != "probe" else ""


def _until(moment: datetime | None, word: str) -> str:
    return "" if moment is None else f" {word} {moment:%Y-%m-%d %H:%M:%S %Z}"


class PayloadError(SagaError):
    """A value is not what its type says, cannot be stored, or would come back altered."""

    path: str | None
    """The place in the value, as in `$.lines[3].price`, if that is known."""
    stored: bool
    """Whether the fault is in a value that was stored before, not in one that a caller gives now."""

    def __init__(self, fact: str, *, path: str | None = None, hint: str | None = None, stored: bool = False) -> None:
        self.path = path
        self.stored = stored
        super().__init__(fact, hint=hint)


class PayloadTooLargeError(PayloadError):
    """An encoded value is longer than the limit."""

    size: int
    """Its length in bytes."""
    limit: int
    """The limit in bytes."""

    def __init__(self, what: str, *, size: int, limit: int, hint: str | None = None) -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            f"{what} takes {size:,} bytes, the limit is {limit:,}",
            hint=hint or "keep large data elsewhere and pass a reference to it, or raise max_payload_bytes",
        )


class StoreError(SagaError):
    """The database could not do what was asked of it."""


class StoreUnavailableError(StoreError):
    """The database does not answer, or the connection was lost."""


class StoreRefusedError(StoreError):
    """The database answers and refuses: rights, a setting, the server's kind or a pooler has to be changed first.

    A DSN that cannot be read raises it, too. A second try does not help; `hint` says what does. The message has the server's own
    sentence.
    """


class StoredDataError(StoreError):
    """A value that the store holds cannot be read: it was damaged, written by hand, or restored in part."""

    def __init__(self, what: str, flaw: str) -> None:
        super().__init__(
            f"a {what} in the store cannot be read: {flaw}",
            hint="restore the row from a backup and call SagaOrchestrator.resume(saga_id), or end the saga by SagaAdmin.abort",
        )


class SchemaMissingError(StoreError):
    """The schema is not there, or older than this library."""

    schema: str
    """The schema's name."""
    found: int
    """The version that was found; 0 where there is none."""
    needed: int
    """The version that this library needs."""

    def __init__(self, schema: str, *, found: int, needed: int, hint: str) -> None:
        self.schema = schema
        self.found = found
        self.needed = needed
        state = "holds no saga_fn tables" if found == 0 else f"is at version {found}, this library needs {needed}"
        super().__init__(f"schema {shown(schema)} {state}", hint=hint)


class SchemaTooNewError(StoreError):
    """The schema was migrated by a newer library that this one cannot work with."""

    schema: str
    """The schema's name."""
    found: int
    """The version that was found."""
    known: int
    """The newest version that this library knows."""

    def __init__(self, schema: str, *, found: int, known: int) -> None:
        self.schema = schema
        self.found = found
        self.known = known
        super().__init__(
            f"schema {shown(schema)} is at version {found}, this library knows versions up to {known}",
            hint="upgrade saga-fn in this process to the version that migrated the schema",
        )


class SchemaDiffersError(StoreError):
    """The schema was migrated by other statements than this library has under the same number."""

    schema: str
    """The schema's name."""
    migration: int
    """The number of the migration."""

    def __init__(self, schema: str, *, migration: int) -> None:
        self.schema = schema
        self.migration = migration
        super().__init__(
            f"schema {shown(schema)} was made by another version of migration {migration} than this library has",
            hint="use the version of saga-fn that migrated it. Before the first release a migration changes in place: "
            f'then drop the schema, with all sagas in it (DROP SCHEMA "{schema}" CASCADE), and migrate again',
        )


class ServerTooOldError(StoreError):
    """The PostgreSQL server is older than the oldest one supported."""

    found: int
    """Its major version."""
    needed: int
    """The oldest major version supported."""

    def __init__(self, *, found: int, needed: int) -> None:
        self.found = found
        self.needed = needed
        super().__init__(
            f"the server is PostgreSQL {found}, saga_fn needs {needed} or newer",
            hint=f"point the DSN to a server of version {needed} or newer",
        )
