"""User code, run once: what it does comes back as an event, whatever it does."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from contextvars import Context
from typing import Final, cast

from returns.result import Failure, Success

from saga_fn import steady
from saga_fn.core.effects import RunCompensation, RunProbe, RunStep
from saga_fn.core.event_kinds import Phase
from saga_fn.core.events import (
    CompensationSucceeded,
    CompensationWaits,
    FailureKind,
    ProbeAnswered,
    StepSucceeded,
)
from saga_fn.core.ids import Digest
from saga_fn.definition import NOT_DONE, CompiledStep, Done, StepContext, WaitFor
from saga_fn.definition.correlation import fingerprint
from saga_fn.definition.outgoing import Draft, check_together, draft_of, plain_draft
from saga_fn.definition.steps.parts import WithoutContext
from saga_fn.engine.drive.call import Raised, call, context_of
from saga_fn.engine.drive.execution_inputs import given_for_compensation, input_for_step, input_in_doubt
from saga_fn.engine.drive.failed import failed, output_lost, step_raised, step_refused, with_input
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.drive.published import Collected
from saga_fn.engine.drive.step_error import StepError, program_end
from saga_fn.engine.drive.surroundings import Surroundings
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_attempts import AttemptBegun, AttemptOver
from saga_fn.errors import PayloadError, SagaDefinitionError, SagaError
from saga_fn.printable import a_type_of

_PHASE: Final[Mapping[type[RunStep | RunCompensation | RunProbe], Phase]] = {
    RunStep: Phase.EXECUTE,
    RunCompensation: Phase.COMPENSATE,
    RunProbe: Phase.PROBE,
}


def execute(
    saga: OwnedSaga, action: RunStep | RunCompensation | RunProbe, surroundings: Surroundings, observers: Observers
) -> Awaitable[Incoming]:
    """Run a step, its compensation or its probe. Not a coroutine itself: each step would pay for one more.

    Raises CancelledError when this very task is cancelled, and KeyboardInterrupt and SystemExit, by which the program ends:
    they say nothing of the step.
    """
    match action:
        case RunStep():
            return _run_step(saga, action, surroundings, observers)
        case RunCompensation():
            return _run_compensation(saga, action, surroundings, observers)
        case RunProbe():
            return _run_probe(saga, action, surroundings, observers)


async def execute_watched(
    saga: OwnedSaga, action: RunStep | RunCompensation | RunProbe, surroundings: Surroundings, observers: Observers
) -> Incoming:
    """The same, and those who listen are told when it begins and when it is over."""
    attempt = (saga.identity, action.step, action.attempt, _PHASE[type(action)])
    observers.tell(AttemptBegun(*attempt))
    begun = steady.now()
    try:
        return await execute(saga, action, surroundings, observers)
    finally:
        observers.tell(AttemptOver(*attempt, steady.now() - begun))


async def _run_step(saga: OwnedSaga, action: RunStep, surroundings: Surroundings, observers: Observers) -> Incoming:
    binding = saga.binding(action.step)
    given = input_for_step(saga, action, binding.input_type)
    run = binding.execute
    said: Collected | None = None
    if isinstance(run, WithoutContext):
        value = await call(saga, action, run.fn, (given.value,), binding.timeout, surroundings, observers)
    else:
        context = context_of(
            saga, action.step, "execute", action.attempt, action.generation, binding.timeout, surroundings
        )
        value = await call(saga, action, run, (given.value, context), binding.timeout, surroundings, observers)
        said = _said(saga, context)
    refused = None if said is None else said.refused
    if refused is not None and _loses_message(value, refused, surroundings):
        return with_input(saga, action, output_lost(surroundings, action, refused))
    if type(value) is Raised:
        return with_input(saga, action, step_raised(surroundings, action, value, binding.error_policy))
    if type(value) is Failure:
        failure = cast("object", value.failure())  # pyright: ignore[reportUnknownMemberType]  # the step chose its type
        return with_input(saga, action, step_refused(surroundings, action, failure, binding.error_policy))
    if type(value) is Success:
        value = cast("object", value.unwrap())  # pyright: ignore[reportUnknownMemberType]  # encode judges it
    try:
        output = saga.encoded("the output", action.step, binding.output_type, value)
    except PayloadError as error:
        return with_input(saga, action, output_lost(surroundings, action, error))
    drafts = () if said is None else tuple(said.drafts)
    if binding.publishes:
        together = _with_declared(saga, binding, value, output[0], drafts)
        if isinstance(together, BaseException):
            return with_input(saga, action, output_lost(surroundings, action, together))
        drafts = together
    saga.returned(action.step, binding, given, output)
    event = StepSucceeded(surroundings.now(), action.step, action.attempt)
    return Incoming(event, given.data if given.same_as is None else None, output[0], None, given.same_as, None, drafts)


async def _run_compensation(
    saga: OwnedSaga, action: RunCompensation, surroundings: Surroundings, observers: Observers
) -> Incoming:
    binding = saga.binding(action.step)
    timeout = binding.compensation_timeout
    compensate = binding.compensate
    if compensate is None:
        step_error = StepError("NoCompensation", "the registered definition cannot undo this step", action.step)
        return failed(surroundings, action, FailureKind.UNREADABLE, step_error)
    try:
        given, output = given_for_compensation(saga, action)
    except PayloadError as error:
        return failed(surroundings, action, FailureKind.UNREADABLE, StepError.of(error, step=action.step))
    said: Collected | None = None
    if isinstance(compensate, WithoutContext):
        returned = await call(saga, action, compensate.fn, (given, output), timeout, surroundings, observers)
    else:
        context = context_of(saga, action.step, "compensate", action.attempt, action.event_seq, timeout, surroundings)
        returned = await call(saga, action, compensate, (given, output, context), timeout, surroundings, observers)
        said = _said(saga, context)
    if type(returned) is Raised:
        if said is not None and said.refused is returned.error:
            step_error = StepError.of(returned.error, step=action.step)
            return failed(surroundings, action, FailureKind.UNREADABLE, step_error, returned)
        return failed(surroundings, action, returned.kind, StepError.of(returned.error, step=action.step), returned)
    if said is not None and said.refused is not None:
        return failed(surroundings, action, FailureKind.UNREADABLE, StepError.of(said.refused, step=action.step))
    drafts = () if said is None else tuple(said.drafts)
    if isinstance(returned, WaitFor):
        return _waiting(surroundings, action, returned, binding, drafts)
    return Incoming(CompensationSucceeded(surroundings.now(), action.step, action.attempt), outgoing=drafts)


async def _run_probe(saga: OwnedSaga, action: RunProbe, surroundings: Surroundings, observers: Observers) -> Incoming:
    binding = saga.binding(action.step)
    # The key is that of the execution in question, so that it can be looked up where it may have arrived.
    context = context_of(
        saga, action.step, "execute", action.attempt, action.generation, binding.probe_timeout, surroundings
    )
    probe = binding.probe
    if probe is None:
        step_error = StepError(
            "NoProbe", "the registered definition cannot find out whether this step has run", action.step
        )
        return failed(surroundings, action, FailureKind.UNREADABLE, step_error)
    try:
        given = input_in_doubt(saga, action.step)
    except PayloadError as error:
        return failed(surroundings, action, FailureKind.UNREADABLE, StepError.of(error, step=action.step))
    answer = await call(saga, action, probe, (given.value, context), binding.probe_timeout, surroundings, observers)
    said = _said(saga, context)
    if type(answer) is Raised:
        return failed(surroundings, action, FailureKind.ERROR, StepError.of(answer.error, step=action.step), answer)
    if answer is NOT_DONE:
        return Incoming(ProbeAnswered(surroundings.now(), action.step, action.attempt, done=False))
    if not isinstance(answer, Done):
        step_error = StepError(
            "NoAnswer", f"the probe returned {a_type_of(answer)}, not Done(output) or NOT_DONE", action.step
        )
        return failed(surroundings, action, FailureKind.UNREADABLE, step_error)
    if said is not None and said.refused is not None:  # it was caught: the step would be done without its message
        return output_lost(surroundings, action, said.refused)
    found = cast("object", answer.output)  # pyright: ignore[reportUnknownMemberType]  # encode judges it
    try:
        output = saga.encoded("the output", action.step, binding.output_type, found)
    except PayloadError as error:
        return output_lost(surroundings, action, error)
    drafts = _with_declared(saga, binding, found, output[0], () if said is None else tuple(said.drafts))
    if isinstance(drafts, BaseException):
        return output_lost(surroundings, action, drafts)
    saga.returned(action.step, binding, given, output)
    return Incoming(
        ProbeAnswered(surroundings.now(), action.step, action.attempt, done=True),
        input=given.data if given.same_as is None else None,
        payload=output[0],
        input_of=given.same_as,
        outgoing=drafts,
    )


def _said(saga: OwnedSaga, context: StepContext) -> Collected | None:
    """The messages that an execution has published; None for none."""
    return None if saga.published is None else saga.collected(context.run)


def _loses_message(value: object, refused: BaseException, surroundings: Surroundings) -> bool:
    """Whether a step of which a message was refused has run, and its message is lost.

    An error that it makes of the refusal says nothing of its effect. A transaction that fails has none; and a step that was cut
    short is in doubt, with or without a message.
    """
    if type(value) is Raised:
        return value.error is refused or (value.kind is FailureKind.ERROR and surroundings.connection is None)
    return type(value) is not Failure or surroundings.connection is None


def _with_declared(
    saga: OwnedSaga, binding: CompiledStep, output: object, data: bytes, said: tuple[Draft, ...]
) -> tuple[Draft, ...] | BaseException:
    """The messages with those that the definition declares for this output; or why these cannot be published.

    `data` is what is stored of the output: a message that is the output itself has the same bytes, where it can.
    """
    most, payload = saga.max_payload_bytes, binding.output_type.as_message(output, data)
    if payload is not None and not said and len(binding.publishes) == 1:
        plain = plain_draft(binding.publishes[0], payload, most=most)
        if plain is not None:
            return (plain,)

    def drafts() -> tuple[Draft, ...]:
        return (*said, *[draft_of(message, output, payload=payload, most=most) for message in binding.publishes])

    try:
        together = Context().run(drafts)
        check_together(len(together), sum(draft.size for draft in together), most)
        return together
    except BaseException as error:  # noqa: BLE001 - user code may raise anything; the step was done all the same
        ending = program_end(error)
        if ending is not None:
            raise ending  # noqa: B904 - it is the error itself, or in that group, which the event loop would not hear
        return error


def _waiting(
    surroundings: Surroundings,
    action: RunCompensation,
    wanted: WaitFor,
    binding: CompiledStep,
    drafts: tuple[Draft, ...],
) -> Incoming:
    """The compensation wants to be called again with an event."""
    try:
        declared = binding.compensation_waits_for
        if declared is None or not set(wanted.event.names).issubset(declared.names):
            raise SagaDefinitionError(
                f"the compensation of step {action.step!r} waits for {wanted.event!r}, which the step does not declare",
                hint="step(..., compensation_waits_for=that_event)",
            )
        correlation = Digest(b"") if wanted.correlation_id is None else fingerprint(wanted.correlation_id)
        limit = wanted.limit()
    except SagaError as error:
        return failed(surroundings, action, FailureKind.ERROR, StepError.of(error, step=action.step))
    names = wanted.event.names
    waits = CompensationWaits(surroundings.now(), action.step, action.attempt, names, limit, correlation)
    return Incoming(waits, outgoing=drafts)
