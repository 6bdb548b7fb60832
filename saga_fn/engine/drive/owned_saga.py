"""A saga this process owns: its state, what it knows of the store's row, and the payloads its steps need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextvars import Context
from datetime import UTC, datetime
from typing import Any, Final, cast, final
from uuid import UUID

import msgspec
from typing_extensions import TypeIs, override

from saga_fn.arguments import check_size
from saga_fn.codec import AnyType
from saga_fn.codec.carrier import carrier_in
from saga_fn.core.effects import RunCompensation, RunProbe, RunStep
from saga_fn.core.event_kinds import output_given
from saga_fn.core.events import Binding, Bound, BoundEach, Declined, Unbindable
from saga_fn.core.fan_out import ITEM_LIMIT
from saga_fn.core.ids import Digest, Moment, StepId, number_of, owner_of
from saga_fn.core.inputs import (
    NO_DIGEST,
    NO_OUTPUT,
    ListBefore,
    OutputAt,
    digest_in_doubt,
    input_before,
    is_settled,
    list_before,
    output_at,
    outputs_at,
    returned_at,
    running,
)
from saga_fn.core.owning import room_for_items, with_fan_out
from saga_fn.core.plan import Plan, StepKind
from saga_fn.core.projection import Projection
from saga_fn.core.state import Rest, SagaState
from saga_fn.definition import INITIAL, AnyRef, CompiledStep, InputContext
from saga_fn.definition.outgoing import Draft, check_together, check_topic
from saga_fn.definition.steps.condition import holds
from saga_fn.engine.drive.earlier import Earlier, digest_of, digest_of_list
from saga_fn.engine.drive.failure_so_far import FailureSoFar
from saga_fn.engine.drive.step_error import StepError, program_end
from saga_fn.engine.drive.waits import bind_wait
from saga_fn.engine.observe.fact import SagaIdentity
from saga_fn.engine.registry import Registered
from saga_fn.errors import PayloadError
from saga_fn.printable import a_type_of
from saga_fn.store.records import Entry, Recorded, time_of

_NEVER = datetime.min.replace(tzinfo=UTC)
_LONG_AGO = Moment(0)


class BoundInput(msgspec.Struct, frozen=True, gc=False):  # no value of a user's leads back to it
    """A step's input, ready to run: the value and its bytes, and the journal entry whose payload it is, if it is one.

    The code of the step may change the value in place. Then only the bytes say what it was.
    """

    value: object
    data: bytes
    same_as: int | None


class BoundList(msgspec.Struct, frozen=True):
    """The inputs of a fan-out's items, and the fingerprint of them all."""

    inputs: tuple[BoundInput, ...]
    digest: Digest


_GIVEN: Final = object()
"""In place of the value of an input that an attempt has in its hands: it may change it in place."""


class Collected(msgspec.Struct):
    """The messages that one execution has published."""

    drafts: list[Draft] = msgspec.field(default_factory=list)
    size: int = 0
    """How many bytes they take."""
    refused: BaseException | None = None
    """Why a message of it cannot be stored."""


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
    changed: Moment = _LONG_AGO
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
        """Take a message that an execution publishes. Raises PayloadError or SagaDefinitionError for one that cannot be stored.

        Every refusal is kept, whatever its type: the execution may have had its effect, and its message is lost.
        """
        if self.published is None:
            self.published = {}
        found = self.published.setdefault(run, Collected())
        try:
            check_topic(topic)
            self.registered.topics.check(topic)
            draft = Draft.of(topic, payload, key=key, headers=headers, most=self.max_payload_bytes)
            check_together(len(found.drafts) + 1, found.size + draft.size, self.max_payload_bytes)
            found.drafts.append(draft)
            found.size += draft.size
        except BaseException as error:  # a value of the step's own may raise anything while it is judged
            found.refused = error
            raise

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
        """Forget what entries that have not been written after all brought: what is decided now may be another thing."""
        self.forget_outputs()
        for seq, entry in enumerate(entries, self.state.rev + 1):
            self.events.pop(seq, None)
            if (step := output_given(entry.event)) is not None:
                self.results.pop(step, None)

    def inputs_of_running(self, state: SagaState) -> dict[StepId, bytes]:
        """The inputs of the steps that run."""
        return {step: self.inputs[step].data for step in running(state) if step in self.inputs}

    def bind_all(self, state: SagaState, steps: Sequence[StepId]) -> tuple[list[Binding], list[StepError]]:
        """Compute the inputs of steps that may begin together.

        In an empty context: an input map is to give the same in whatever task, of whatever process, it is computed.
        """
        if len(steps) == 1:
            binding, step_error = Context().run(self.bind, state, steps[0])
            return [binding], [] if step_error is None else [step_error]
        return Context().run(self._bind_all, state, steps)

    def _bind_all(self, state: SagaState, steps: Sequence[StepId]) -> tuple[list[Binding], list[StepError]]:
        bindings: list[Binding] = []
        step_errors: list[StepError] = []
        for step in steps:
            binding, step_error = self.bind(state, step)
            bindings.append(binding)
            if step_error is not None:
                step_errors.append(step_error)
            elif isinstance(binding, BoundEach):  # its items leave less room for those of the next
                state = with_fan_out(state, binding)
        return bindings, step_errors

    def bind(self, state: SagaState, step: StepId) -> tuple[Binding, StepError | None]:
        """Compute the step's input in the light of `state`. User code that raises makes it unbindable."""
        try:
            binding = self.binding(step)
            if binding.kind is not StepKind.STEP:
                return bind_wait(binding, _Known(self, state)), None
            if binding.fans_out:
                return self._bind_each(state, step, binding), None
            before, given = input_before(state, step)
            if given:
                return self._bind_given(step, before, given, binding), None
            value = binding.input_type.accept(binding.map_input(_Known(self, state)))
            if binding.when is not None and not holds(step, binding.when, value):
                if before != NO_DIGEST:
                    self.differing[step] = True
                return Declined(step), None
            data = self._given(state, binding)
            # An older build may have written it anew for an attempt before, by an input map.
            if data is None or before not in (NO_DIGEST, self._digest_of(data)):
                data, _ = self.encoded("the input", step, binding.input_type, value)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything; the saga is parked with it
            ending = program_end(error)
            if ending is not None:
                raise ending  # noqa: B904 - it is the error itself, or in that group, which the event loop would not hear
            return Unbindable(step, unreadable=isinstance(error, PayloadError) and error.stored), StepError.of(
                error, step=step
            )
        digest = self._digest_of(data)
        if before not in (NO_DIGEST, digest):
            if self.earlier is None:
                self.wants_journal = True
            elif self.earlier.was(step, before, binding.input_type, (data, value)):
                digest = before
            else:
                self.differing[step] = self.earlier.of_digest(step, before) is not None
        self.inputs[step] = BoundInput(value, data, self._payload_like(data, state, step))
        return Bound(step, digest), None

    def _given(self, state: SagaState, binding: CompiledStep) -> bytes | None:
        """The bytes of an input that is another step's output as it is, or the initial data; None if it has none of its own."""
        source = binding.given_by
        if source is None:
            return None
        if source == INITIAL:
            return self.initial if self.own else None
        at, recorded = output_at(state, source), self.results.get(source)
        if not at or isinstance(at, tuple) or recorded is None or not recorded.own:
            return None
        return self.output_of(source, at)

    def _digest_of(self, data: bytes) -> Digest:
        """The fingerprint of an input."""
        if not self._digest or data != self._digested:
            self._digested, self._digest = data, digest_of(data)
        return self._digest

    def _bind_given(self, step: StepId, digest: Digest, seq: int, binding: CompiledStep) -> Binding:
        """Take the input that a person has given, whatever would be computed, and whether or not the step's condition holds."""
        data = self.events[seq]
        self.inputs[step] = BoundInput(binding.input_type.decode(data), data, seq)
        return Bound(step, digest)

    def _bind_each(self, state: SagaState, step: StepId, binding: CompiledStep) -> Binding:
        """Compute the list that a step fans out over, or give one item its input of it; raises whatever user code does."""
        number = None if step == binding.step_id else number_of(step)
        if number is None:
            given = self._items(step, binding.map_input(_Known(self, state)))
            room = room_for_items(state)
            if len(given) > room:
                raise PayloadError(
                    f"step {step!r} is given {len(given)} items; a saga has at most {ITEM_LIMIT} in all, and {room} are left",
                    hint="split the list over several sagas, or give each item several pieces of work",
                )
            if binding.when is not None and not holds(step, binding.when, given):
                return Declined(step)
            found = self.lists[step] = self._bound_list(step, binding, given)
            return BoundEach(step, len(found.inputs), found.digest)
        digest, by_hand = input_before(state, step)
        if by_hand:
            return self._bind_given(step, digest, by_hand, binding)
        if (known := self.lists.get(binding.step_id)) is None:
            # Somebody else fanned it out: what it saw then is seen again, whatever has come from outside since.
            before = list_before(state, binding.step_id, digest)
            if before is None:  # all items are done, this one by the word of a person
                raise PayloadError("the list of a step that has fanned out is not kept once all its items are done")
            given = self._items(binding.step_id, binding.map_input(_Known(self, before.state)))
            known = self._as_before(before, binding, self._bound_list(binding.step_id, binding, given))
            if known.digest != before.digest and self.earlier is not None:
                self.differing[step] = self.earlier.last.get(step) is not None
        if number < len(known.inputs):
            self.inputs[step] = _unchanged(binding, known.inputs[number])
        return Bound(step, known.digest)

    def _as_before(self, before: ListBefore, binding: CompiledStep, found: BoundList) -> BoundList:
        """The list as it was fanned out, if that is what was computed again."""
        if found.digest != before.digest:
            if self.earlier is None:
                self.wants_journal = True
                return found
            now = [each.data for each in found.inputs], [each.value for each in found.inputs]
            if self.earlier.was_list(before, binding.input_type, now):
                found = BoundList(found.inputs, before.digest)
        self.lists[binding.step_id] = found
        return found

    def _items(self, step: StepId, given: object) -> list[object]:
        if not isinstance(given, Sequence) or isinstance(given, str | bytes | bytearray):
            raise PayloadError(
                f"step {step!r} is done for each item, but its input_map gave {a_type_of(given)}",
                hint="give it a list",
            )
        return list(cast("Sequence[object]", given))

    def _bound_list(self, step: StepId, binding: CompiledStep, given: Sequence[object]) -> BoundList:
        inputs: list[BoundInput] = []
        for number, item in enumerate(given):
            value = binding.input_type.accept(item)
            data, _ = self.encoded(f"input {number}", step, binding.input_type, value)
            inputs.append(BoundInput(value, data, None))
        return BoundList(tuple(inputs), digest_of_list(each.data for each in inputs))

    def encoded(self, what: str, step: StepId, kind: AnyType, value: object) -> tuple[bytes, object]:
        """The bytes of this value of the step's, and what comes back from them.

        Raises PayloadError if it has none, or too many.
        """
        proved = kind.proved(value)
        if len(proved[0]) > self.max_payload_bytes:  # asked here, too: every step of every saga comes by
            check_size(f"{what} of step {step!r}", proved[0], self.max_payload_bytes)
        return proved

    def _payload_like(self, data: bytes, state: SagaState, step: StepId) -> int | None:
        """The journal entry with just these bytes: the initial data, or the output of a step that this one follows."""
        for done in self.plan.step(step).after:
            seq = returned_at(state, done)
            if seq is not None and self.output_of(done, seq) == data:
                return seq
        return 1 if data == self.initial else None

    def for_step(self, action: RunStep) -> BoundInput:
        """The input the step was bound to: a further attempt is given it as it was, whatever the one before has made of it."""
        found = self.inputs[action.step]
        kind = self.binding(action.step).input_type
        if not kind.unchangeable:
            if found.value is _GIVEN:
                return msgspec.structs.replace(found, value=kind.decode_own(found.data))
            self.inputs[action.step] = msgspec.structs.replace(found, value=_GIVEN)
        return found

    def for_doubtful(self, step: StepId) -> BoundInput:
        """The input of a step that may have run: the one it was started with, computed again where it is not at hand.

        Raises PayloadError if it cannot be, or has become another.
        """
        digest, in_list = digest_in_doubt(self.plan, self.state, step)
        found = self.inputs.get(step)
        if found is None or digest_of(found.data) != digest:
            kept = self._kept(step, digest, in_list=in_list)
            if kept is not None:
                return BoundInput(self.binding(step).input_type.decode(kept), kept, None)
            binding, step_error = self.bind(self.state, step)
            if not isinstance(binding, Bound):
                raise PayloadError(f"the input of step {step!r} cannot be computed again: {step_error or binding}")
            if binding.digest != digest:
                raise PayloadError(
                    f"the input of step {step!r} is not the one it was started with",
                    hint="an input_map must be pure: make it give the same for the same outputs, then retry_step",
                )
            found = self.inputs[step]
        return _unchanged(self.binding(step), found)

    def _kept(self, step: StepId, digest: Digest, *, in_list: bool) -> bytes | None:
        """The very input that the step was given, if the journal has been read and has it."""
        if self.earlier is None:
            return None
        kept = self.earlier.of_digest(step, digest)
        return self.earlier.last.get(step) if kept is None and in_list else kept

    def needs_journal(self, action: RunProbe | RunCompensation) -> bool:
        """Whether only the journal tells what the step that may have run was given, or which of its events has come."""
        if isinstance(action, RunCompensation) and action.event_seq:
            expected = self.binding(action.step).compensation_waits_for
            if expected is not None and len(expected.names) > 1:
                return self.earlier is None or action.event_seq not in self.earlier.names
        doubtful = isinstance(action, RunProbe) or not action.seq or is_settled(self.state, action.step)
        return doubtful and self.earlier is None and action.step not in self.inputs

    def for_compensation(self, action: RunCompensation) -> tuple[object, object]:
        """The recorded input and output of a step; raises PayloadError if the definition cannot read them.

        None for the output of one that only may have run.
        """
        if not action.seq:
            return self.for_doubtful(action.step).value, None
        binding = self.binding(action.step)
        recorded = self.results.get(action.step)
        if recorded is not None and is_settled(self.state, action.step):
            return self.for_doubtful(action.step).value, binding.output_type.decode(recorded.payload or b"null")
        if recorded is None or recorded.input is None or recorded.payload is None:
            raise PayloadError(f"the journal holds no input and output of step {action.step!r}")
        if recorded.own:
            return binding.input_type.decode_own(recorded.input), binding.output_type.decode_own(recorded.payload)
        return binding.input_type.decode(recorded.input), binding.output_type.decode(recorded.payload)

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


def _unchanged(binding: CompiledStep, given: BoundInput) -> BoundInput:
    """The input as it was bound, though the step has had it in its hands, or others have the same object."""
    kind = binding.input_type
    return given if kind.unchangeable else msgspec.structs.replace(given, value=kind.decode_own(given.data))


@final
class _Known:
    """The values that inputs are computed from: a saga as it stands at a state, which may not be written yet."""

    __slots__ = ("_saga", "_state")

    def __init__(self, saga: OwnedSaga, state: SagaState) -> None:
        self._saga = saga
        self._state = state

    def output(self, ref: AnyRef) -> object:
        """The output of a step that is done, or the initial data. Raises SagaDefinitionError if there is none."""
        step = ref.step_id
        if step == INITIAL:
            return self._saga.initial_data
        at = output_at(self._state, step)
        return self.whole.output(ref) if at is None else self._saga.output(step, at)  # the former says what is wrong

    @property
    def whole(self) -> InputContext[Any]:  # Any: sagas of all types are driven by one engine
        """All of it."""
        saga, state = self._saga, self._state
        return InputContext(
            saga_id=saga.id,
            initial_data=saga.initial_data,
            step_outputs=_Outputs(saga, state),
            events=tuple(msgspec.json.decode(saga.events[seq]) for seq in state.events),
            latest_event=msgspec.json.decode(saga.events[state.latest_event_seq]) if state.latest_event_seq else None,
        )


@final
class _Outputs(Mapping[StepId, object]):
    """The outputs of the steps that are done, each decoded when it is asked for; of a fan-out the whole, not its items."""

    def __init__(self, saga: OwnedSaga, state: SagaState) -> None:
        self._saga = saga
        self._done = outputs_at(saga.plan, state)

    @override
    def __getitem__(self, step: StepId) -> object:
        return self._saga.output(step, self._done[step])

    @override
    def __iter__(self) -> Iterator[StepId]:
        return iter(self._done)

    @override
    def __len__(self) -> int:
        return len(self._done)
