"""The inputs of steps that may begin: computed by the input maps, and compared with those that the steps were given before.

They are computed in an empty context: an input map is to give the same in whatever task, of whatever process, it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context
from typing import cast

from saga_fn.core.events import Binding, Bound, BoundEach, Declined, Unbindable
from saga_fn.core.fan_out import ITEM_LIMIT
from saga_fn.core.ids import Digest, StepId, number_of
from saga_fn.core.inputs import NO_DIGEST, ListBefore, input_before, list_before, returned_at
from saga_fn.core.owning import room_for_items, with_fan_out
from saga_fn.core.plan import StepKind
from saga_fn.core.state import SagaState
from saga_fn.definition import INITIAL, CompiledStep
from saga_fn.definition.steps.condition import holds
from saga_fn.engine.drive.earlier import digest_of_list
from saga_fn.engine.drive.input_values import Known
from saga_fn.engine.drive.owned_saga import BoundInput, BoundList, OwnedSaga
from saga_fn.engine.drive.step_error import StepError, program_end
from saga_fn.engine.drive.waits import bind_wait
from saga_fn.errors import PayloadError
from saga_fn.printable import a_type_of


def bind_all(saga: OwnedSaga, state: SagaState, steps: Sequence[StepId]) -> tuple[list[Binding], list[StepError]]:
    """Compute the inputs of steps that may begin together.

    In an empty context: an input map is to give the same in whatever task, of whatever process, it is computed.
    """
    if len(steps) == 1:
        binding, step_error = Context().run(bind, saga, state, steps[0])
        return [binding], [] if step_error is None else [step_error]
    return Context().run(_bind_all, saga, state, steps)


def _bind_all(saga: OwnedSaga, state: SagaState, steps: Sequence[StepId]) -> tuple[list[Binding], list[StepError]]:
    bindings: list[Binding] = []
    step_errors: list[StepError] = []
    for step in steps:
        binding, step_error = bind(saga, state, step)
        bindings.append(binding)
        if step_error is not None:
            step_errors.append(step_error)
        elif isinstance(binding, BoundEach):  # its items leave less room for those of the next
            state = with_fan_out(state, binding)
    return bindings, step_errors


def bind(saga: OwnedSaga, state: SagaState, step: StepId) -> tuple[Binding, StepError | None]:
    """Compute the step's input in the light of `state`. User code that raises makes it unbindable."""
    try:
        binding = saga.binding(step)
        if binding.kind is not StepKind.STEP:
            return bind_wait(binding, Known(saga, state)), None
        if binding.fans_out:
            return _bind_each(saga, state, step, binding), None
        before, given = input_before(state, step)
        if given:
            return _bind_given(saga, step, before, given, binding), None
        value = binding.input_type.accept(binding.map_input(Known(saga, state)))
        if binding.when is not None and not holds(step, binding.when, value):
            if before != NO_DIGEST:
                saga.differing[step] = True
            return Declined(step), None
        data, same_as = _given(saga, state, binding)
        # An older build may have written it anew for an attempt before, by an input map.
        if data is None or (before != NO_DIGEST and before != saga.fingerprint(data)):
            data, _ = saga.encoded("the input", step, binding.input_type, value)
            same_as = _payload_like(saga, data, state, step)
    except BaseException as error:  # noqa: BLE001 - user code may raise anything; the saga is parked with it
        ending = program_end(error)
        if ending is not None:
            raise ending  # noqa: B904 - it is the error itself, or in that group, which the event loop would not hear
        return Unbindable(step, unreadable=isinstance(error, PayloadError) and error.stored), StepError.of(
            error, step=step
        )
    digest = saga.fingerprint(data)
    if before not in (NO_DIGEST, digest):
        if saga.earlier is None:
            saga.wants_journal = True
        elif saga.earlier.was(step, before, binding.input_type, (data, value)):
            digest = before
        else:
            saga.differing[step] = saga.earlier.of_digest(step, before) is not None
    saga.inputs[step] = BoundInput(value, data, same_as)
    return Bound(step, digest), None


def _given(saga: OwnedSaga, state: SagaState, binding: CompiledStep) -> tuple[bytes | None, int | None]:
    """The bytes of an input that is another step's output as it is, or the initial data, and the journal entry that has them.

    None if they have to be computed: it is neither, or this process has not written them.
    """
    source = binding.given_by
    if source is None:
        return None, None
    if source == INITIAL:
        return (saga.initial, 1) if saga.own else (None, None)
    seq, recorded = returned_at(state, source), saga.results.get(source)
    if seq is None or recorded is None or not recorded.own:
        return None, None
    return saga.output_of(source, seq), seq


def _bind_given(saga: OwnedSaga, step: StepId, digest: Digest, seq: int, binding: CompiledStep) -> Binding:
    """Take the input that a person has given, whatever would be computed, and whether or not the step's condition holds."""
    data = saga.events[seq]
    saga.inputs[step] = BoundInput(binding.input_type.decode(data), data, seq)
    return Bound(step, digest)


def _bind_each(saga: OwnedSaga, state: SagaState, step: StepId, binding: CompiledStep) -> Binding:
    """Compute the list that a step fans out over, or give one item its input of it; raises whatever user code does."""
    number = None if step == binding.step_id else number_of(step)
    if number is None:
        given = _items(step, binding.map_input(Known(saga, state)))
        room = room_for_items(state)
        if len(given) > room:
            raise PayloadError(
                f"step {step!r} is given {len(given)} items; a saga has at most {ITEM_LIMIT} in all, and {room} are left",
                hint="split the list over several sagas, or give each item several pieces of work",
            )
        if binding.when is not None and not holds(step, binding.when, given):
            return Declined(step)
        found = saga.lists[step] = _bound_list(saga, step, binding, given)
        return BoundEach(step, len(found.inputs), found.digest)
    digest, by_hand = input_before(state, step)
    if by_hand:
        return _bind_given(saga, step, digest, by_hand, binding)
    if (known := saga.lists.get(binding.step_id)) is None:
        # Another process fanned it out: what that saw then is seen again, whatever has come from outside since.
        before = list_before(state, binding.step_id, digest)
        if before is None:  # all items are done, this one by the word of a person
            raise PayloadError("the list of a step that has fanned out is not kept once all its items are done")
        given = _items(binding.step_id, binding.map_input(Known(saga, before.state)))
        known = _as_before(saga, before, binding, _bound_list(saga, binding.step_id, binding, given))
        if known.digest != before.digest and saga.earlier is not None:
            saga.differing[step] = saga.earlier.last.get(step) is not None
    if number < len(known.inputs):
        saga.inputs[step] = known.inputs[number].unchanged(binding.input_type)
    return Bound(step, known.digest)


def _as_before(saga: OwnedSaga, before: ListBefore, binding: CompiledStep, found: BoundList) -> BoundList:
    """The list as it was fanned out, if that is what was computed again."""
    if found.digest != before.digest:
        if saga.earlier is None:
            saga.wants_journal = True
            return found
        now = [each.data for each in found.inputs], [each.value for each in found.inputs]
        if saga.earlier.was_list(before, binding.input_type, now):
            found = BoundList(found.inputs, before.digest)
    saga.lists[binding.step_id] = found
    return found


def _items(step: StepId, given: object) -> list[object]:
    if not isinstance(given, Sequence) or isinstance(given, str | bytes | bytearray):
        raise PayloadError(
            f"step {step!r} is done for each item, but its input_map gave {a_type_of(given)}",
            hint="give it a list",
        )
    return list(cast("Sequence[object]", given))


def _bound_list(saga: OwnedSaga, step: StepId, binding: CompiledStep, given: Sequence[object]) -> BoundList:
    inputs: list[BoundInput] = []
    for number, item in enumerate(given):
        value = binding.input_type.accept(item)
        data, _ = saga.encoded(f"input {number}", step, binding.input_type, value)
        inputs.append(BoundInput(value, data, None))
    return BoundList(tuple(inputs), digest_of_list(each.data for each in inputs))


def _payload_like(saga: OwnedSaga, data: bytes, state: SagaState, step: StepId) -> int | None:
    """The journal entry with just these bytes: the initial data, or the output of a step that this one follows."""
    for done in saga.plan.step(step).after:
        seq = returned_at(state, done)
        if seq is not None and saga.output_of(done, seq) == data:
            return seq
    return 1 if data == saga.initial else None
