"""A saga this process owns: its state, what it knows of the store's row, and the payloads its steps need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from typing_extensions import TypeIs

from saga_fn.arguments import check_size
from saga_fn.codec import AnyType
from saga_fn.codec.carrier import carrier_in
from saga_fn.core.effects import RunCompensation, RunProbe, RunStep
from saga_fn.core.event_kinds import output_given
from saga_fn.core.ids import LONG_AGO, Digest, Moment, StepId, owner_of
from saga_fn.core.inputs import (
    NO_DIGEST,
    NO_OUTPUT,
    OutputAt,
    running,
)
from saga_fn.core.plan import Plan
from saga_fn.core.projection import Projection
from saga_fn.core.state import Rest, SagaState
from saga_fn.definition import CompiledStep
from saga_fn.engine.drive.earlier import Earlier, digest_of
from saga_fn.engine.drive.failure_so_far import FailureSoFar
from saga_fn.engine.drive.published import Collected
from saga_fn.engine.observe.fact import SagaIdentity
from saga_fn.engine.registry import Registered
from saga_fn.store.records import Entry, Recorded, time_of

_NEVER = datetime.min.replace(tzinfo=UTC)


class BoundInput(msgspec.Struct, frozen=True, gc=False):  # no value of a user's leads back to it
    """A step's input, ready to run: the value and its bytes, and the journal entry whose payload it is, if it is one.

    The code of the step may change the value in place. Then only the bytes say what it was.
    """

    value: object
    data: bytes
    same_as: int | None

    def unchanged(self, kind: AnyType) -> BoundInput:
        """The input as it was bound, though the step has had it in its hands, or others have the same object."""
        return self if kind.unchangeable else msgspec.structs.replace(self, value=kind.decode_own(self.data))


class BoundList(msgspec.Struct, frozen=True):
    """The inputs of a fan-out's items, and the fingerprint of them all."""

    inputs: tuple[BoundInput, ...]
    digest: Digest


class OwnedSaga(msgspec.Struct, eq=False):
    """One saga between its claim (or start) and its release.

    `inbox_sent` counts the messages the store told of, `inbox_seen` those that were read. `deadline` is the local monotonic time
    after which nothing more may be started under the present lease. A saga that is being inserted has no times yet.
    """

    id: UUID
    registered: Registered
    plan: Plan
    state: SagaState
    token: UUID
    owner: UUID
    trace_id: str
    aggregation_id: str | None
    inbox_sent: int
    inbox_seen: int
    last_error: str | None
    max_payload_bytes: int
    initial: bytes
    trace_carrier: bytes | None = None
    own: bool = False
    """Whether this process has started it: it has encoded `initial`, by the types that it has now."""
    initial_value: object = None
    """The initial data, once they are decoded, if no code can change them in place."""
    deadline: float = 0.0
    created_at: datetime = _NEVER
    changed: Moment = LONG_AGO
    """When the state was last written, by the store's clock."""
    due: Moment | None = None
    """When the saga, given up by this process, is to be claimed again."""
    failure: FailureSoFar | None = None
    """The failure that counts so far: of a saga that another process has driven before, of those since the claim."""
    all_folded: bool = True
    """Whether this process has folded every event since the start, so that there was no other failure."""
    rest: Rest | None = None
    """The facts that are known of the steps of `state`."""
    ended_as: Projection | None = None
    """The saga's row when it has ended in this process's hands."""
    results: dict[StepId, Recorded] = msgspec.field(default_factory=dict)
    """Input and output of steps that are done, by step."""
    events: dict[int, bytes] = msgspec.field(default_factory=dict)
    """Payloads of what came from outside, by journal entry: of events, and inputs that a person has given."""
    inputs: dict[StepId, BoundInput] = msgspec.field(default_factory=dict)
    lists: dict[StepId, BoundList] = msgspec.field(default_factory=dict)
    """The lists that steps have fanned out over."""
    earlier: Earlier | None = None
    """The inputs that steps were given before, once the journal was read for them."""
    differing: dict[StepId, bool] = msgspec.field(default_factory=dict)
    """The steps whose input has just been found to be another than before, and whether that one is known."""
    wants_journal: bool = False
    """An input has become other bytes: whether it is another, only the journal tells."""
    published: dict[str, Collected] | None = None
    """The messages that its executions have published so far, by execution; None while there are none."""
    _outputs: dict[StepId, object] = msgspec.field(default_factory=dict)
    _digested: bytes = b""
    """The bytes of the input whose fingerprint is `_digest`: in a chain the next one has often the same."""
    _digest: Digest = NO_DIGEST

    @property
    def identity(self) -> SagaIdentity:
        """The saga, as facts name it."""
        started_at = None if self.created_at is _NEVER else self.created_at
        name, version = self.registered.name, self.registered.version
        return SagaIdentity(self.id, name, version, self.trace_id, started_at, self.trace_carrier)

    @property
    def carrier(self) -> Mapping[str, str]:
        """The headers of the caller's trace."""
        return carrier_in(self.trace_carrier)

    def begun(self, at: Moment, *, deadline: float) -> None:
        """The saga was inserted at that moment; its lease ends at that monotonic time."""
        self.created_at, self.changed, self.deadline = time_of(at), at, deadline

    def adopt(
        self,
        state: SagaState,
        projection: Projection,
        last_error: str | None,
        failure: FailureSoFar | None,
        at: Moment,
    ) -> None:
        """The saga as it was written at that moment."""
        self.state, self.last_error, self.failure = state, last_error, failure
        self.changed, self.due = at, projection.due
        if state.ended:
            self.ended_as = projection

    def collect(
        self, run: str, topic: str, payload: object, key: str | None, headers: Mapping[str, str] | None
    ) -> None:
        """Take a message that an execution publishes. Raises PayloadError or SagaDefinitionError for one that cannot be stored."""
        if self.published is None:
            self.published = {}
        found = self.published.setdefault(run, Collected())
        found.add(topic, payload, key, headers, topics=self.registered.topics, most=self.max_payload_bytes)

    def collected(self, run: str) -> Collected | None:
        """The messages of an execution that is over, once; None if it has published none."""
        return None if self.published is None else self.published.pop(run, None)

    def binding(self, step: StepId) -> CompiledStep:
        """The code and the types of the step, or of the item."""
        steps = self.registered.definition.steps
        try:
            return steps[step]
        except KeyError:
            return steps[owner_of(step)]

    def is_transactional(self, action: RunStep | RunCompensation | RunProbe) -> TypeIs[RunStep | RunCompensation]:
        """Whether the code runs in a transaction, in which its result is committed."""
        binding = self.binding(action.step)
        if isinstance(action, RunStep):
            return binding.isolation is not None
        return binding.undo_isolation is not None and isinstance(action, RunCompensation)

    def record(self, step: StepId, recorded: Recorded) -> None:
        """Remember what a step was given and returned."""
        self.results[step] = recorded
        self._outputs.pop(step, None)

    def returned(self, step: StepId, binding: CompiledStep, given: BoundInput, output: tuple[bytes, object]) -> None:
        """Remember what a step, or an item, was given and has returned here: its bytes, and the value that comes back from them."""
        data, value = output
        self.results[step] = Recorded(given.data, data, own=True)
        if binding.result_type is binding.output_type and binding.output_type.unchangeable:
            self._outputs[step] = value
        else:
            self._outputs.pop(step, None)

    def forget_outputs(self) -> None:
        """Read the outputs anew when they are needed: a step may get another."""
        self._outputs.clear()

    def forget(self, entries: Sequence[Entry]) -> None:
        """Forget the payloads of entries that were not written after all: what is decided now may be another thing."""
        self.forget_outputs()
        for seq, entry in enumerate(entries, self.state.rev + 1):
            self.events.pop(seq, None)
            if (step := output_given(entry.event)) is not None:
                self.results.pop(step, None)

    def inputs_of_running(self, state: SagaState) -> dict[StepId, bytes]:
        """The inputs of the steps that run."""
        return {step: self.inputs[step].data for step in running(state) if step in self.inputs}

    def fingerprint(self, data: bytes) -> Digest:
        """The fingerprint of an input."""
        if not self._digest or data != self._digested:
            self._digested, self._digest = data, digest_of(data)
        return self._digest

    def encoded(self, what: str, step: StepId, kind: AnyType, value: object) -> tuple[bytes, object]:
        """The bytes of this value of the step's, and what comes back from them.

        Raises PayloadError if it has none, or too many.
        """
        proved = kind.proved(value)
        if len(proved[0]) > self.max_payload_bytes:  # asked here, too: every step of every saga comes by
            check_size(f"{what} of step {step!r}", proved[0], self.max_payload_bytes)
        return proved

    @property
    def initial_data(self) -> object:
        """The initial data of the saga; decoded anew each time if its user can change it in place."""
        value = self.initial_value
        if value is None:
            kind = self.registered.definition.initial_type
            value = (kind.decode_own if self.own else kind.decode)(self.initial)
            if kind.unchangeable:
                self.initial_value = value
        return value

    def output(self, step: StepId, at: OutputAt) -> object:
        """The output of a step that is done: for a fan-out a list, for one not taken None.

        It is decoded anew each time if it can be changed in place.
        """
        if step in self._outputs:
            return self._outputs[step]
        binding = self.binding(step)
        if isinstance(at, tuple):
            return [binding.output_type.decode(self.results[item].payload or b"null") for item in at]
        if at == NO_OUTPUT:
            return None
        recorded, kind = self.results.get(step), binding.result_type
        value = (kind.decode_own if recorded is not None and recorded.own else kind.decode)(self.output_of(step, at))
        if kind.unchangeable:
            self._outputs[step] = value
        return value

    def output_of(self, step: StepId, seq: int) -> bytes:
        """The output of a step that is done, as it is stored. A wait gave an event's payload, a sleep gave nothing.

        An event comes first: before the saga was taken back, a person may have skipped the wait.
        """
        if (payload := self.events.get(seq)) is None and (recorded := self.results.get(step)) is not None:
            payload = recorded.payload
        return payload or b"null"
