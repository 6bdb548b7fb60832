"""The view of a saga from outside: snapshots and ends, as values of their own."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from typing_extensions import override

from saga_fn.codec.searchable import Searchable
from saga_fn.core.leftovers import LeftOver
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.step_report import StepStatus, is_of_undo
from saga_fn.printable import LONGEST_NAME, HidingStruct, kept, printable

if TYPE_CHECKING:
    from saga_fn.diagram import GraphFormat, TimelineFormat

R_co = TypeVar("R_co", covariant=True)
_NO_ATTRIBUTES: Final[Mapping[str, Searchable | Unreadable]] = MappingProxyType({})


def wait_token(saga_id: UUID, rev: int) -> UUID:
    """The token of a saga without an owner, for `notify`: another one after every change of the saga."""
    return UUID(bytes=hashlib.blake2b(saga_id.bytes + rev.to_bytes(8), digest_size=16).digest())


class Wait(msgspec.Struct, frozen=True):
    """A wait of one step of a saga: for any of these events, or (without events) for a moment alone."""

    step_id: str
    """The id of the step that waits."""
    events: tuple[str, ...]
    """The names of the events, any of which ends the wait."""
    until: datetime | None
    """When the wait is over; None if it may last for ever."""


class SagaSnapshot(HidingStruct, frozen=True):
    """A saga at one moment. Reading it takes no lock."""

    id: UUID
    """The saga's id."""
    saga_name: str
    """The name that it is registered under."""
    version: int
    """The version of its definition."""
    revision: int
    """The number of entries in its journal. A verb with this number as `expect=` counts for this state only."""
    aggregation_id: str | None
    """Its business key, or None."""
    trace_id: str
    """The id for logs that it was started with."""
    status: SagaStatus
    """Its status."""
    waits: WaitReason
    """The reasons why a SUSPENDED saga waits."""
    goes_back: bool
    """Whether it is being rolled back, in whichever live status. False before it turns back, and once it has ended."""
    current_step_id: str | None
    """The id of the step that it is at; None if there is none."""
    current_step_index: int
    """The number of steps of the plan that are done. It is computed: the saga itself goes by step ids."""
    retry_counter: int
    """The number of failed attempts of the step that is tried now."""
    deadline_at: datetime | None
    """The end of the lease while a process works on it; the time to wake while it sleeps."""
    step_execution_token: UUID | None
    """The token that `notify` wants to be shown; None once the saga has ended."""
    last_error: str | None
    """The type name of the last error; messages are in the history."""
    parked: str | None
    """The reason why it waits for a person, or None."""
    unreadable: str | None
    """The reason why its stored state cannot be read, or None. Then its row alone speaks, and a person has to look at it."""
    left_over: tuple[LeftOver, ...]
    """The effects that a FAILED saga leaves in the world; each step of its plan where its stored state cannot be read."""
    stays_done: tuple[str, ...]
    """The steps of a COMPENSATED or FAILED saga that are done, and stay so because they have no compensation."""
    rewound: tuple[str, ...]
    """The steps that had begun when `rewind` took the saga back to before them, which undoes nothing."""
    acknowledged: bool
    """Whether an operator has acknowledged that it FAILED; `rejections` of SagaAdmin.get_saga tells who and why."""
    waiting_for: tuple[Wait, ...]
    """The events and moments that it waits for now."""
    buffered_events: tuple[str, ...]
    """The names of events that came and that no wait has taken yet, in order."""
    begins_at: datetime | None
    """The time when it begins, if it was started with a delay that is not over."""
    paused_since: datetime | None
    """The time when an operator paused this saga itself, or None. A pause of its name, or of everything, is not told here."""
    rolls_back_at: datetime | None
    """Its deadline, for as long as it goes forward."""
    created_at: datetime
    """The time of its start."""
    updated_at: datetime
    """The time of its last change."""
    ended_at: datetime | None
    """The time of its end; None before."""

    def _repr_svg_(self) -> str:
        """For a notebook."""
        from saga_fn.diagram.graphs import card

        return card(f"{self.saga_name}, version {self.version}", self.status, self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"id {self.id}"
        if self.goes_back:
            yield "goes back"
        if self.aggregation_id is not None:
            yield f"business key {self.aggregation_id}"
        if self.parked is not None:
            yield f"waits for a person: {self.parked.replace('_', ' ')}"
        elif self.current_step_id is not None:
            yield f"at step {self.current_step_id}"
        if self.paused_since is not None:
            yield f"paused since {self.paused_since:%Y-%m-%d %H:%M:%S}"
        for wait in self.waiting_for:
            events = f" for {' or '.join(wait.events)}" if wait.events else ""
            yield f"{wait.step_id} waits{events}" + (f" until {wait.until:%Y-%m-%d %H:%M:%S}" if wait.until else "")
        if self.last_error is not None:
            yield f"last error: {self.last_error}"
        for left in self.left_over:
            yield f"left over: {left.step_id} ({left.kind})"
        yield from kept(self.stays_done, self.rewound)


class SagaRow(msgspec.Struct, frozen=True):
    """A saga in a list: what its row says, without data and history.

    Attributes:
        id: The saga's id.
        saga_name: The name that it is registered under.
        version: The version of its definition.
        revision: The number of entries in its journal, for the `expect=` of a verb.
        aggregation_id: Its business key, or None.
        trace_id: The id for logs that it was started with.
        status: Its status.
        waits: The reasons why a SUSPENDED saga waits.
        parked: The reason why it waits for a person, or None.
        problem_step: The step that is parked, or that a FAILED saga failed at; None if there is none, or if it is not known.
        acknowledged: Whether an operator has acknowledged that it FAILED.
        last_error: The type name of the last error.
        retry_counter: The number of failed attempts of the step that is tried now.
        deadline_at: The end of the lease while a process works on it; the time to wake while it sleeps.
        is_owned: Whether a process has claimed it.
        created_at: The time of its start.
        updated_at: The time of its last change.
        ended_at: The time of its end; None before.
        attributes: Its search attributes by their names, as in `get_saga`.
    """

    id: UUID
    saga_name: str
    version: int
    revision: int
    aggregation_id: str | None
    trace_id: str
    status: SagaStatus
    waits: WaitReason
    parked: str | None
    problem_step: str | None
    acknowledged: bool
    last_error: str | None
    retry_counter: int
    deadline_at: datetime | None
    is_owned: bool
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    attributes: Mapping[str, Searchable | Unreadable] = _NO_ATTRIBUTES


class SagaPage(msgspec.Struct, frozen=True):
    """One page of a list of sagas."""

    rows: tuple[SagaRow, ...]
    """The sagas, in the order of the list."""
    next: str | None
    """The `after=` of the next page of the same filter; None if this page is the last."""
    pauses: tuple[Pause, ...] = ()
    """The pauses of everything and of the names that the filter asks for, the oldest first. Nothing of their sagas begins.

    A pause of a saga by itself is not among them: its row has it in `waits`.
    """

    def holding(self, row: SagaRow) -> tuple[Pause, ...]:
        """Tell which of `pauses` hold a saga of this page.

        Args:
            row: The saga.

        Returns:
            Those of its name and of everything. One that has ended is held by none.

        Example::

            page = await admin.list(SagaFilter(active=True))
            held = [row.id for row in page.rows if page.holding(row)]
        """
        if row.ended_at is not None:
            return ()
        return tuple(pause for pause in self.pauses if pause.saga_name in (None, row.saga_name))


class SagasOfKey(msgspec.Struct, frozen=True):
    """The sagas of one business key."""

    active: SagaRow | None
    """The one that has not ended; None if there is none."""
    ended: tuple[SagaRow, ...]
    """Those that have ended, the newest start first."""


class Pruned(msgspec.Struct, frozen=True):
    """The answer of `SagaAdmin.prune`.

    Attributes:
        sagas: The number of sagas that were deleted, or that a dry run has counted.
        is_more: Whether there are more than `limit`.
        saga_ids: The ids of ten of them at most.
    """

    sagas: int
    is_more: bool
    saga_ids: tuple[UUID, ...]


class SagaCount(msgspec.Struct, frozen=True):
    """How many sagas a filter finds, counted up to 1,000.

    Attributes:
        sagas: Their number, 1,000 at most.
        is_more: Whether there are more.
    """

    sagas: int
    is_more: bool

    @override
    def __str__(self) -> str:
        return f"{self.sagas:,}{'+' if self.is_more else ''}"


class OperationState(enum.StrEnum):
    """The state of an operation."""

    RUNNING = "running"
    """It goes on, in whichever process carries it out."""
    STOPPED = "stopped"
    """An operator has stopped it; it goes on if one says so."""
    DONE = "done"
    """It is over."""


class BulkSample(msgspec.Struct, frozen=True):
    """A saga that a filter finds, and whether it would accept a verb.

    Attributes:
        saga: The saga.
        refusal: The reason for which it would refuse the verb, as a code such as `past_pivot`; None if it would accept it.
    """

    saga: SagaRow
    refusal: str | None


class BulkPreview(msgspec.Struct, frozen=True):
    """The effect that a verb would have on all sagas that a filter finds.

    Attributes:
        sagas: How many sagas the filter finds.
        looked_at: The number of those that the verb was folded on: the first 100 at most.
        accepted: The number of those looked at that would accept the verb.
        refusals: The number of those looked at that would refuse it, by the reason.
        samples: The first ten.
        pauses: The pauses of everything and of the names of these sagas: until they end, nothing that the verb lets begin begins. A
            pause of a saga by itself is not among them.
        ends: The number of those that would accept it and then end, by the end, if each attempt succeeds.
        no_plan_fits: The number of those that would accept it and be parked again, because no definition that processes work with
            fits what they have done.
        left_over: The number of them that leave something of a step over then, by the step.
        stays_done: The number of them of which a step stays done that has no undo, by the step.
        rewound: The number of them that end rolled back, and of which a step had begun before a rewind, by the step.
    """

    sagas: SagaCount
    looked_at: int
    accepted: int
    refusals: Mapping[str, int]
    samples: tuple[BulkSample, ...]
    pauses: tuple[Pause, ...] = ()
    ends: Mapping[SagaStatus, int] = MappingProxyType({})
    no_plan_fits: int = 0
    left_over: Mapping[str, int] = MappingProxyType({})
    stays_done: Mapping[str, int] = MappingProxyType({})
    rewound: Mapping[str, int] = MappingProxyType({})

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """All that would come of it, if each attempt succeeds, as subjects and numbers in words."""
        found = (
            ("would end", _counts(self.ends)),
            ("parked again, for no definition fits", str(self.no_plan_fits or "")),
            ("left over then", _counts(self.left_over)),
            ("stays done, without an undo", _counts(self.stays_done)),
            ("run before a rewind, which undid nothing", _counts(self.rewound)),
        )
        return tuple((subject, number) for subject, number in found if number)

    @override
    def __str__(self) -> str:
        """It in one line; the samples are left out."""
        refused = _refusals(self.refusals)
        told = f"{self.sagas} sagas; of {self.looked_at} looked at, {self.accepted} would accept the verb{refused}"
        paused = ", ".join(
            printable(each.saga_name, LONGEST_NAME) if each.saga_name else "everything" for each in self.pauses
        )
        foreseen = "".join(f"; {subject}: {number}" for subject, number in self.told)
        return f"{told}{foreseen}; paused: {paused}" if paused else f"{told}{foreseen}"


def _counts(numbers: Mapping[Any, int]) -> str:  # Any: an end, or a step
    return ", ".join(f"{number:,} {printable(str(what), LONGEST_NAME)}" for what, number in numbers.items())


def _refusals(refusals: Mapping[str, int]) -> str:
    told = ", ".join(f"{number:,} {why}" for why, number in refusals.items())
    return f", {sum(refusals.values()):,} refused ({told})" if told else ""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """An act of an operator: a verb of one saga, a verb of all sagas that a filter finds, a pause, or the end of one.

    Attributes:
        id: Its id.
        verb: The name of the verb, as the method of `SagaAdmin` has it.
        step_id: The step that it names, or None.
        saga_id: The saga, if the verb was asked of one.
        wanted: The filter, if it was asked of many: the arguments that were given to `SagaFilter`, by name. A condition on a
            search attribute is told by its stored texts: `attribute` is the name, `value` the value, and a range has
            `value_before`. A pause of a name, or its end, has `saga_name` alone. A verb of one saga has none, nor has `pause_all`.
        actor: Who asked, or None.
        reason: Why, or None.
        state: Its state.
        began_at: The time when it was asked.
        updated_at: The time of its last change.
        done: The number of sagas that the verb was applied to; 1 for a pause that was made, or ended.
        asked: The number of sagas whose owners were asked and have not answered in time; they answer yet.
        refusals: The number of sagas that have refused the verb, by the reason: `moved_on` are those that have changed meanwhile.
            A pause that was there before is `already_paused`, the end of one that was not there is `not_paused`.
        remaining: How many sagas are left, counted up to 1,000; None in a list of operations.
        unreadable: The reason why its filter or its counts cannot be read, or None. Then `wanted`, or each count, is empty.
    """

    id: UUID
    verb: str
    step_id: str | None
    saga_id: UUID | None
    wanted: Mapping[str, object]
    actor: str | None
    reason: str | None
    state: OperationState
    began_at: datetime
    updated_at: datetime
    done: int
    asked: int
    refusals: Mapping[str, int]
    remaining: SagaCount | None = None
    unreadable: str | None = None

    @override
    def __str__(self) -> str:
        """It in one line: the filter, who asked and why are left out."""
        of = "" if self.saga_id is None else f" of {self.saga_id}"
        step = "" if self.step_id is None else f" {printable(self.step_id, LONGEST_NAME)}"
        asked = f", {self.asked:,} asked" if self.asked else ""
        left = "" if self.remaining is None or not self.remaining.sagas else f", {self.remaining} remaining"
        told = f"{self.done:,} done{asked}{_refusals(self.refusals)}{left}"
        return f"{self.verb}{step}{of}, {self.state}: {told if self.unreadable is None else 'it cannot be read'}"

    @property
    def refused(self) -> int:
        """The number of sagas that have refused the verb."""
        return sum(self.refusals.values())


class Unreadable(msgspec.Struct, frozen=True):
    """Stands where a stored payload is shown that cannot be read: it was damaged, or written by hand."""

    size: int | None
    """Bytes that are stored; None if there is no such journal entry."""

    @override
    def __repr__(self) -> str:
        return "<missing>" if self.size is None else f"<unreadable: {self.size} bytes>"


class KeptEvent(HidingStruct, frozen=True):
    """An event for a business key under which no saga is active yet."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"payload"})

    saga_name: str
    """The name of the saga that it is for."""
    aggregation_id: str
    """The business key of that saga."""
    event: str
    """The name of the event."""
    payload: object  # a repr may end in a log, and payloads do not belong there
    """Its value, as plain JSON."""
    sent_at: datetime
    """The time when it was sent."""
    expires_at: datetime
    """The time when it is void."""


class UnsentMessage(HidingStruct, frozen=True, kw_only=True):
    """An outgoing message that no broker has confirmed yet."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"payload"})

    id: UUID
    """Its id, the same at each attempt."""
    saga_id: UUID
    """The saga that it comes from."""
    topic: str
    """Its topic; for the call of a hook the hook's name."""
    is_hook: bool
    """Whether it is the call of a hook."""
    key: str
    """Its key."""
    headers: Mapping[str, str]
    """Its headers."""
    payload: object  # a repr may end in a log, and payloads do not belong there
    """Its payload, as plain JSON; bytes that are none stay as they are."""
    attempts: int
    """The number of attempts so far."""
    error: str | None
    """Why the last attempt failed, or None."""
    created_at: datetime
    """The time of the commit that wrote it."""
    next_attempt: datetime | None
    """The earliest time of the next attempt; None for a dead one. While a process holds it, that is the end of its lease."""
    dead_at: datetime | None
    """Since when it is dead: it waits for `redrive` or `discard`. None for one that is tried."""
    blocks: bool
    """Whether the later messages of its saga wait for it."""


class HistoryStatus(enum.StrEnum):
    """The meaning of one history entry."""

    SUCCESS = "SUCCESS"
    """An execution succeeded."""
    ERROR = "ERROR"
    """An execution failed."""
    INFO = "INFO"
    """It is neither: a start, a claim, an operator's verb, an outside event, a probe that says that the step has not run."""


class HistoryEntry(HidingStruct, frozen=True):
    """One entry of a saga's journal, readable. Payloads are plain JSON values.

    Attributes:
        seq: The number of the journal entry, from 1.
        kind: The name of the event.
        phase: `execute`, `compensate`, `probe` or `saga`.
        status: Whether it tells of a success, of an error, or of neither.
        step_id: The step that it is about, or None.
        attempt: The number of the attempt, from 1, or None.
        timestamp: The time when it was written.
        token: The token of the claim under which it was written, or an id of its own.
        skipped: Whether a person or a condition passed the step over.
        input: The step's input, or None.
        output: The step's output, or None.
        error: The error's type and message, or None.
        business_error: The business error's value, or None.
        event: The name of an outside event that has one.
        actor: The operator who asked for a verb, if that was said (`SagaAdmin(orchestrator, actor=...)`).
        reason: The operator's reason for a verb, if that was said (`reason=`).
        takeover: Whether a process has taken the saga over by it from one whose lease was over.
        process: The process that took the saga by it, as its host and its number there (`shop-7f4c:41`). None for an entry that is
            neither a claim nor the start of a saga that its process ran at once.
    """

    _hidden: ClassVar[frozenset[str]] = frozenset({"input", "output", "business_error"})

    seq: int
    kind: str
    phase: str
    status: HistoryStatus
    step_id: str | None
    attempt: int | None
    timestamp: datetime
    token: UUID
    skipped: bool
    input: Any = None  # Any: JSON of any type the step has
    output: Any = None  # Any: as above
    error: str | None = None
    business_error: Any = None  # Any: JSON of whatever business error the step declares
    event: str | None = None
    actor: str | None = None
    reason: str | None = None
    takeover: bool = False
    process: str | None = None


class StepFailure(HidingStruct, frozen=True):
    """The failure of one step that made a saga turn back, or wait for a person."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"message", "error"})

    step_id: str
    """The step that failed."""
    type: str
    """The name of the error's type."""
    message: str
    """The error's message."""
    error: object = None
    """The business error itself, as the type the step declares: the E of its `Result[O, E]`, or a class in `give_up_on`.

    It is plain JSON where this process has not registered the definition. It is None where only the message could be kept,
    because the error holds a value that cannot be stored: see `give_up_on`.
    """


class StepSnapshot(msgspec.Struct, frozen=True):
    """One step of a saga at one moment."""

    step_id: str
    """The step's id."""
    status: StepStatus
    """Its status."""
    attempt: int
    """The number of executions in its present direction, forward or back; 0 once that is done."""
    failures: int
    """The number of failed attempts that its retry policy counts."""
    wakes_at: datetime | None
    """The time when it is tried again, or its wait is over."""
    parked: str | None
    """The reason why it waits for a person, or None."""

    @property
    def undoes(self) -> bool:
        """Whether its status is that of its compensation, which has begun and is not over."""
        return is_of_undo(self.status)


class UnreadMessage(msgspec.Struct, frozen=True):
    """Something that is stored for a saga, and that no owner of it has read yet: an event, or a verb."""

    id: UUID
    """Its id."""
    event: str | None
    """The name of the event; None for one without a name, and for a verb."""
    verb: str | None
    """The verb that an operator asked for, or None."""
    sent_at: datetime
    """The time when it was sent."""
    is_readable: bool
    """Whether its next owner can read it. One that is not readable is answered so, and changes nothing."""

    @override
    def __str__(self) -> str:
        """It in a few words, for a person."""
        if not self.is_readable:
            return f"{'a verb' if self.verb else 'an event'} that cannot be read"
        if self.verb is not None:
            return f"the verb {self.verb}"
        return "an event" if self.event is None else f"the event {printable(self.event, LONGEST_NAME)}"


class SagaOwner(msgspec.Struct, frozen=True):
    """The process that has claimed a saga."""

    id: UUID
    """The id under which it claims."""
    process: str | None
    """Its host and its number there (`shop-7f4c:41`); None if the process is not known any more."""
    seen_at: datetime | None
    """When it last said what it works on, or None."""
    lease_until: datetime
    """The end of its lease."""
    is_gone: bool
    """Whether its lease is over, so that another process may take the saga over."""


class SagaAdminSnapshot(SagaSnapshot, frozen=True):
    """A snapshot with the saga's data and history. Its payloads are plain JSON, and changing them changes nothing."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"context", "step_history", "attributes", "plan", "outgoing"})

    context: Mapping[str, Any]  # Any: JSON of any types the saga has
    """The data: `saga_name`, `initial_data`, `step_outputs`, `events` and, if there is one, `latest_event`, as plain JSON."""
    step_history: tuple[HistoryEntry, ...]
    """The journal, entry by entry: the last 1,000 of them, or those that `get_saga` was asked for by `journal_after=`."""
    rejections: tuple[str, ...]
    """Records beside the journal: late results, refused verbs."""
    steps: tuple[StepSnapshot, ...]
    """Every step of the plan, in its order, with its state."""
    attributes: Mapping[str, Searchable | Unreadable] = _NO_ATTRIBUTES
    """Its search attributes by name; `Unreadable` stands for a value that could not be computed."""
    failure: StepFailure | None = None
    """The failure that made it turn back; while it goes forward, the last one that has not been mended since."""
    pauses: tuple[Pause, ...] = ()
    """The pauses that it is under, the oldest first: its own, that of its name, and that of everything."""
    plan: Plan | None = None
    """Its plan, for `diagram`; None if it cannot be read."""
    outgoing: tuple[UnsentMessage, ...] = ()
    """Its outgoing messages that are not published, in their order; the first 100."""
    owner: SagaOwner | None = None
    """The process that has claimed it, or None."""
    unread: tuple[UnreadMessage, ...] = ()
    """The events and verbs that are stored for it, and that no owner has read yet, in their order; the first 32."""

    @property
    def lease_over(self) -> datetime | None:
        """The end of its owner's lease, if that is over, so that another process may go on; else None."""
        return None if self.owner is None or not self.owner.is_gone else self.owner.lease_until

    def diagram(
        self,
        format: GraphFormat = "svg",
        /,
        *,
        width: int = 100,
        color: bool = False,
        plain: bool = False,
        embedded: bool = False,
    ) -> str:
        """Draw its graph, with the state of each step: what is done, why it stands, what is left over.

        Args:
            format: "svg", "mermaid" or "text". Default: "svg".
            width: The greatest number of characters of a line of "text", 40 to 400. Default: 100.
            color: Whether "text" has colours for a terminal. Default: False.
            plain: Whether "text" is of ASCII alone. Default: False.
            embedded: Whether "svg" is for a page that has `saga_fn.diagram.STYLE` in its style sheet. Default: False, it brings
                its style.

        Returns:
            The picture. Without a readable plan there are no boxes in it.

        Raises:
            SagaError: There is no such format, or `width` is out of its range.

        Example::

            print((await admin.get_saga(saga_id)).diagram("text", color=True))
        """
        from saga_fn.diagram import graph

        return graph(
            self.plan, format, name=self.saga_name, seen=self, width=width, color=color, plain=plain, embedded=embedded
        )

    def timeline(
        self,
        format: TimelineFormat = "svg",
        /,
        *,
        width: int = 100,
        color: bool = False,
        plain: bool = False,
        embedded: bool = False,
    ) -> str:
        """Draw `step_history` in the order of time: attempts, waits, compensations, probes, and acts of operators.

        Several pages of a history are drawn by `saga_fn.diagram.timeline`.

        Args:
            format: "svg" or "text". Default: "svg".
            width: The greatest number of characters of a line of "text", 40 to 400. Default: 100.
            color: Whether "text" has colours for a terminal. Default: False.
            plain: Whether "text" is of ASCII alone. Default: False.
            embedded: Whether "svg" is for a page that has `saga_fn.diagram.STYLE` in its style sheet. Default: False, it brings
                its style.

        Returns:
            The picture.

        Raises:
            SagaError: There is no such format, or `width` is out of its range.
        """
        from saga_fn.diagram import timeline

        return timeline(
            self.step_history,
            format,
            plan=self.plan,
            name=self.saga_name,
            seen=self,
            width=width,
            color=color,
            plain=plain,
            embedded=embedded,
        )

    @override
    def _repr_svg_(self) -> str:
        return self.diagram()

    def _repr_html_(self) -> str:
        """For a notebook: where it stands, and how it came there."""
        return f"<div>{self.diagram()}</div><div>{self.timeline()}</div>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        text = f"{self.diagram('text')}\n{self.timeline('text')}"
        return {"text/html": self._repr_html_(), "image/svg+xml": self.diagram(), "text/plain": text}


class Completed(HidingStruct, Generic[R_co], frozen=True):
    """The saga did everything; `result` is its output."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"result"})

    result: R_co
    """The output of the saga."""
    snapshot: SagaSnapshot
    """The saga at its end."""


class Compensated(HidingStruct, frozen=True):
    """The saga was rolled back: all that has a compensation is undone; the snapshot's `stays_done` and `rewound` name what stays."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"error"})

    snapshot: SagaSnapshot
    """The saga at its end."""
    error: str | None
    """The error that made it turn back, as text, or None."""
    failure: StepFailure | None = None
    """The step that made it turn back, and its business error, if there was one."""


class Failed(HidingStruct, frozen=True):
    """The saga ended and leaves `left_over`."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"error"})

    snapshot: SagaSnapshot
    """The saga at its end."""
    error: str | None
    """The error that made it turn back, as text, or None."""
    failure: StepFailure | None = None
    """The step that made it turn back, and its business error, if there was one."""

    @property
    def left_over(self) -> tuple[LeftOver, ...]:
        """The effects that are left in the world, step by step."""
        return self.snapshot.left_over


Outcome: TypeAlias = Completed[R_co] | Compensated | Failed
"""How a saga ended: a closed union, for `match`."""


class Pause(msgspec.Struct, frozen=True):
    """A pause: nothing of the sagas that it is for begins before it is ended."""

    saga_name: str | None
    """The name of the sagas, or None for the sagas of every name."""
    since: datetime
    """The time when it began."""
    actor: str | None
    """The operator who began it, or None."""
    reason: str | None
    """The operator's reason, or None."""
    saga_id: UUID | None = None
    """The saga, if that one alone is paused; else None."""


class AttentionKind(enum.StrEnum):
    """A kind of finding that a person should look at. Its value is a stable code, the name of a section of `docs/attention.md`."""

    PARKED = "parked"
    """Sagas wait for a person; their snapshots say why."""
    UNOWNED = "unowned"
    """Sagas are due, but no process that was seen lately works on their name and version."""
    OVERDUE = "overdue"
    """Sagas of this process's definitions have been due for longer than a minute."""
    FAILED = "failed"
    """Sagas ended FAILED within the last day; their snapshots say what is left over."""
    STILL = "still"
    """A process has worked on sagas for an hour, and nothing of them has become durable: a step hangs, as a rule."""
    CLOCK = "clock"
    """The clock of this process and that of the database differ by more than five seconds."""
    PAUSED = "paused"
    """A name, everything, or single sagas have been paused for longer than an hour."""
    SLOTS_HELD = "slots_held"
    """The same sagas have held all slots of this process for minutes, so that no other one runs here."""
    SUSPECTS = "suspects"
    """Sagas that were taken over again and again without progress wait for their turns, each apart from others."""
    DEAF = "deaf"
    """This process gets no notification, because of a pooler, and finds sagas by looking only."""
    RIGHTS = "rights"
    """The role of this process has not all the rights of any kind of process; a call that lacks one is refused."""
    JOURNAL_MONTHS = "journal_months"
    """The journal is partitioned, and has partitions for three more months at most."""
    DEAD_MESSAGES = "dead_messages"
    """Outgoing messages are dead: they were refused for good, or failed as often as they are tried."""
    MESSAGES_WAIT = "messages_wait"
    """Outgoing messages have waited for longer than ten minutes: their broker is down, or no process has its publisher."""
    PUBLISHER = "publisher"
    """A publisher, or a hook, of this process goes on with a call though that was cut short after its time limit."""
    CONSUMER = "consumer"
    """A consumer of this process loses its broker again and again, though it can connect."""
    RETENTION = "retention"
    """Sagas of a definition are kept though their retention is over: the archive or the store has failed in this process."""


class Attention(msgspec.Struct, frozen=True):
    """One finding that a person should look at. It is no fault of this process."""

    kind: AttentionKind
    """The kind of the finding."""
    text: str
    """The same in words."""
    sagas: int = 0
    """The number of sagas that it is about, where they were counted; 1,000 stands for 1,000 or more."""
    saga_name: str | None = None
    """The name of these sagas, if they have one in common."""
    version: int | None = None
    """The version of their definition, if they have one in common."""
    saga_ids: tuple[UUID, ...] = ()
    """Some of the sagas, three at most."""


class Health(msgspec.Struct, frozen=True):
    """Whether this process can do its work, and which findings a person should look at.

    A probe uses `ok`: it is False if this process cannot do its work, in any state of the sagas. An alert uses `attention`,
    which never changes `ok`: a restart of this process would not help.
    """

    ok: bool
    """Whether this process can do its work."""
    database: bool
    """Whether the database answers."""
    schema: bool
    """Whether the schema fits this library."""
    worker: bool
    """Whether the worker loop runs. It is also True where none is wanted (`concurrency=0`, a pool or MemoryStore not entered)."""
    in_flight: int
    """The number of sagas that this process runs now."""
    oldest_due: datetime | None
    """The time since when the longest waiting saga of this process's definitions has been due."""
    problems: tuple[str, ...]
    """The faults of this process, in words; empty if `ok`."""
    attention: tuple[Attention, ...] = ()
    """The findings for a person; `AttentionKind` has all kinds."""
