"""User code, run once: what it does comes back as an event, whatever it does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, cast
from uuid import UUID

import msgspec
from returns.result import Failure, Success

from saga_fn import steady
from saga_fn.core.effects import RunCompensation, RunProbe, RunStep
from saga_fn.core.event_kinds import Phase
from saga_fn.core.events import (
    CompensationFailed,
    CompensationSucceeded,
    CompensationWaits,
    Event,
    FailureKind,
    ProbeAnswered,
    ProbeFailed,
    StepFailed,
    StepSucceeded,
)
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.inputs import input_is_recorded
from saga_fn.core.rewinding import rewound_at
from saga_fn.definition import NOT_DONE, CompiledStep, Done, ErrorPolicy, StepContext, TransactionalContext, WaitFor
from saga_fn.definition.correlation import fingerprint
from saga_fn.definition.outgoing import Draft, check_together, draft_of
from saga_fn.definition.steps.parts import WithoutContext
from saga_fn.engine.around import Around, AroundError, StepCall, within
from saga_fn.engine.drive.owned_saga import Collected, OwnedSaga
from saga_fn.engine.drive.step_error import StepError, program_end
from saga_fn.engine.drive.within import Within
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_sagas import AttemptBegun, AttemptOver, ReturnedLate
from saga_fn.errors import PayloadError, SagaDefinitionError, SagaError
from saga_fn.printable import name_of_type
from saga_fn.store.records import Recorded, time_of
from saga_fn.timeouts import Timeouts


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """An event on its way into the core, with the payloads to be recorded with it and the message that brought it."""

    event: Event
    input: bytes | None = None
    payload: bytes | None = None
    message: UUID | None = None
    input_of: int | None = None
    """The journal entry whose payload the input is; `input` is None then."""
    raised: BaseException | None = None
    """The exception that was raised, for the log alone."""
    outgoing: tuple[Draft, ...] = ()
    """The messages that it publishes."""
    within: Within | None = None
    """The open transaction that a result stands in, and is to be written in."""

    @property
    def size(self) -> int:
        """About how many bytes the statement takes for it that writes it."""
        return len(self.input or b"") + len(self.payload or b"") + sum(draft.size for draft in self.outgoing)


class Clock(msgspec.Struct, frozen=True):
    """The parts of an execution from outside: the store's time, a random number in [0, 1), who cuts it short, code around it."""

    now: Callable[[], Moment]
    jitter_draw: Callable[[], float]
    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    around: tuple[Around, ...] = ()
    lease: timedelta = timedelta(seconds=15)
    """How long the lease of a saga lasts."""
    connection: Any = None  # Any: a driver's; none is imported here
    """The connection of the transaction that it runs in; None if it runs in none."""


def execute(
    saga: OwnedSaga, action: RunStep | RunCompensation | RunProbe, clock: Clock, observers: Observers
) -> Awaitable[Incoming]:
    """Run a step, its compensation or its probe. Not a coroutine itself: each step would pay for one more.

    Raises CancelledError when this very task is cancelled, and KeyboardInterrupt and SystemExit, by which the program ends:
    they say nothing of the step.
    """
    match action:
        case RunStep():
            return _run_step(saga, action, clock, observers)
        case RunCompensation():
            return _run_compensation(saga, action, clock, observers)
        case RunProbe():
            return _run_probe(saga, action, clock, observers)


async def execute_watched(
    saga: OwnedSaga, action: RunStep | RunCompensation | RunProbe, clock: Clock, observers: Observers
) -> Incoming:
    """The same, and those who listen are told when it begins and when it is over."""
    attempt = (saga.identity, action.step, action.attempt, _PHASE[type(action)])
    observers.tell(AttemptBegun(*attempt))
    begun = steady.now()
    try:
        return await execute(saga, action, clock, observers)
    finally:
        observers.tell(AttemptOver(*attempt, steady.now() - begun))


async def _run_step(saga: OwnedSaga, action: RunStep, clock: Clock, observers: Observers) -> Incoming:
    binding = saga.binding(action.step)
    given = saga.for_step(action)
    run = binding.execute
    said: Collected | None = None
    if isinstance(run, WithoutContext):
        value = await _call(saga, action, run.fn, (given.value,), binding.timeout, clock, observers)
    else:
        context = _context(saga, action.step, "execute", action.attempt, action.generation, binding.timeout, clock)
        value = await _call(saga, action, run, (given.value, context), binding.timeout, clock, observers)
        said = _said(saga, context)
    if type(value) is _Raised:
        if said is not None and said.refused is value.error:
            return _with_input(saga, action, _lost(clock, action, value.error))
        return _with_input(saga, action, _raised(clock, action, value, binding.error_policy))
    if type(value) is Failure:
        failure = cast("object", value.failure())  # pyright: ignore[reportUnknownMemberType]  # the step chose its type
        return _with_input(saga, action, _refused(clock, action, failure, binding.error_policy))
    if said is not None and said.refused is not None:  # the step has caught it: it would be done without its message
        return _with_input(saga, action, _lost(clock, action, said.refused))
    if type(value) is Success:
        value = cast("object", value.unwrap())  # pyright: ignore[reportUnknownMemberType]  # encode judges it
    try:
        output = saga.encoded("the output", action.step, binding.output_type.encode, value)
    except PayloadError as error:
        return _with_input(saga, action, _lost(clock, action, error))
    drafts = () if said is None else tuple(said.drafts)
    if binding.publishes:
        together = _with_declared(saga, binding, value, drafts)
        if isinstance(together, BaseException):
            return _with_input(saga, action, _lost(clock, action, together))
        drafts = together
    saga.record(action.step, Recorded(given.data, output, own=True))
    event = StepSucceeded(clock.now(), action.step, action.attempt)
    return Incoming(event, given.data if given.same_as is None else None, output, None, given.same_as, None, drafts)


def _said(saga: OwnedSaga, context: StepContext) -> Collected | None:
    """The messages that an execution has published; None for none."""
    return None if saga.published is None else saga.collected(context.run)


def _lost(clock: Clock, action: RunStep | RunProbe, error: BaseException) -> Incoming:
    """The step has run, and what came of it, its output or a message, cannot be kept."""
    return _failed(clock, action, FailureKind.OUTPUT_LOST, StepError.of(error, step=action.step))


def _with_declared(
    saga: OwnedSaga, binding: CompiledStep, output: object, said: tuple[Draft, ...]
) -> tuple[Draft, ...] | BaseException:
    """The messages with those that the definition declares for this output; or why these cannot be published."""
    most = saga.max_payload_bytes

    def drafts() -> tuple[Draft, ...]:
        return (*said, *(draft_of(message, output, most=most) for message in binding.publishes))

    try:
        together = Context().run(drafts)
        check_together(len(together), sum(draft.size for draft in together), most)
        return together
    except BaseException as error:  # noqa: BLE001 - user code may raise anything; the step was done all the same
        ending = program_end(error)
        if ending is not None:
            raise ending  # noqa: B904 - it is the error itself, or in that group, which the event loop would not hear
        return error


def _with_input(saga: OwnedSaga, action: RunStep, told: Incoming) -> Incoming:
    """A first failure with the step's input, so that whoever repeats it can tell whether it is still the same."""
    if input_is_recorded(saga.state, action.step):
        return told
    given = saga.for_step(action)
    data = given.data if given.same_as is None else None
    return msgspec.structs.replace(told, input=data, input_of=given.same_as)


async def _run_compensation(saga: OwnedSaga, action: RunCompensation, clock: Clock, observers: Observers) -> Incoming:
    binding = saga.binding(action.step)
    timeout = binding.compensation_timeout
    compensate = binding.compensate
    if compensate is None:
        step_error = StepError("NoCompensation", "the registered definition cannot undo this step", action.step)
        return _failed(clock, action, FailureKind.UNREADABLE, step_error)
    try:
        given, output = saga.for_compensation(action)
    except PayloadError as error:
        return _failed(clock, action, FailureKind.UNREADABLE, StepError.of(error, step=action.step))
    said: Collected | None = None
    if isinstance(compensate, WithoutContext):
        returned = await _call(saga, action, compensate.fn, (given, output), timeout, clock, observers)
    else:
        context = _context(saga, action.step, "compensate", action.attempt, action.event_seq, timeout, clock)
        returned = await _call(saga, action, compensate, (given, output, context), timeout, clock, observers)
        said = _said(saga, context)
    if type(returned) is _Raised:
        if said is not None and said.refused is returned.error:
            step_error = StepError.of(returned.error, step=action.step)
            return _failed(clock, action, FailureKind.UNREADABLE, step_error, returned)
        return _failed(clock, action, returned.kind, StepError.of(returned.error, step=action.step), returned)
    if said is not None and said.refused is not None:
        return _failed(clock, action, FailureKind.UNREADABLE, StepError.of(said.refused, step=action.step))
    drafts = () if said is None else tuple(said.drafts)
    if isinstance(returned, WaitFor):
        return _waiting(clock, action, returned, binding, drafts)
    return Incoming(CompensationSucceeded(clock.now(), action.step, action.attempt), outgoing=drafts)


async def _run_probe(saga: OwnedSaga, action: RunProbe, clock: Clock, observers: Observers) -> Incoming:
    binding = saga.binding(action.step)
    # The key is that of the execution in question, so that it can be looked up where it may have arrived.
    context = _context(saga, action.step, "execute", action.attempt, action.generation, binding.probe_timeout, clock)
    probe = binding.probe
    if probe is None:
        step_error = StepError(
            "NoProbe", "the registered definition cannot find out whether this step has run", action.step
        )
        return _failed(clock, action, FailureKind.UNREADABLE, step_error)
    try:
        given = saga.for_doubtful(action.step)
    except PayloadError as error:
        return _failed(clock, action, FailureKind.UNREADABLE, StepError.of(error, step=action.step))
    answer = await _call(saga, action, probe, (given.value, context), binding.probe_timeout, clock, observers)
    said = _said(saga, context)
    if type(answer) is _Raised:
        return _failed(clock, action, FailureKind.ERROR, StepError.of(answer.error, step=action.step), answer)
    if answer is NOT_DONE:
        return Incoming(ProbeAnswered(clock.now(), action.step, action.attempt, done=False))
    if not isinstance(answer, Done):
        step_error = StepError(
            "NoAnswer", f"the probe returned a {name_of_type(answer)}, not Done(output) or NOT_DONE", action.step
        )
        return _failed(clock, action, FailureKind.UNREADABLE, step_error)
    found = cast("object", answer.output)  # pyright: ignore[reportUnknownMemberType]  # encode judges it
    try:
        output = saga.encoded("the output", action.step, binding.output_type.encode, found)
    except PayloadError as error:
        return _lost(clock, action, error)
    drafts = _with_declared(saga, binding, found, () if said is None else tuple(said.drafts))
    if isinstance(drafts, BaseException):
        return _lost(clock, action, drafts)
    saga.record(action.step, Recorded(given.data, output, own=True))
    return Incoming(
        ProbeAnswered(clock.now(), action.step, action.attempt, done=True),
        input=given.data if given.same_as is None else None,
        payload=output,
        input_of=given.same_as,
        outgoing=drafts,
    )


def cut_by_others(
    action: RunStep | RunCompensation | RunProbe, clock: Clock, *, transactional: bool = False
) -> Incoming:
    """The meaning of a cancellation by other code of the process, in the middle of an execution: it may have run.

    In a transaction it has not.
    """
    kind = FailureKind.INTERRUPTED if transactional else FailureKind.UNKNOWN
    kind = FailureKind.ERROR if isinstance(action, RunProbe) else kind
    step_error = StepError("CancelledError", "its task was cancelled by code outside of this library", action.step)
    return _failed(clock, action, kind, step_error)


def failed_within(
    saga: OwnedSaga, action: RunStep | RunCompensation, clock: Clock, kind: FailureKind, error: BaseException
) -> Incoming:
    """The failure of an execution that has returned, and whose transaction could not be committed.

    An error is judged as one that the step raises.
    """
    found = _Raised(error, kind)
    if isinstance(action, RunStep):
        return _with_input(saga, action, _raised(clock, action, found, saga.binding(action.step).error_policy))
    return _failed(clock, action, kind, StepError.of(error, step=action.step), found)


def _waiting(
    clock: Clock, action: RunCompensation, wanted: WaitFor, binding: CompiledStep, drafts: tuple[Draft, ...]
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
        return _failed(clock, action, FailureKind.ERROR, StepError.of(error, step=action.step))
    names = wanted.event.names
    waits = CompensationWaits(clock.now(), action.step, action.attempt, names, limit, correlation)
    return Incoming(waits, outgoing=drafts)


class _Raised(msgspec.Struct, frozen=True):
    error: BaseException
    kind: FailureKind
    is_judged: bool = True
    """Whether the step's options say what it means: not if the step was not called."""


async def _call(
    saga: OwnedSaga,
    action: RunStep | RunCompensation | RunProbe,
    run: Callable[..., Awaitable[object]],
    given: tuple[object, ...],
    timeout: float | None,
    clock: Clock,
    observers: Observers,
) -> object | _Raised:
    """Await user code under its timeout.

    Once that is over it is in doubt, whatever it makes of being cut short: it was in the middle of something. Only an
    output that it returns all the same says that it was done.
    """
    task = None if timeout is None else clock.timeouts.begin(timeout)
    try:
        if clock.around:
            returned = await within(clock.around, _step_call(saga, action, timeout, clock), run, given)
        else:
            returned = await run(*given)
    except BaseException as raised:  # noqa: BLE001 - user code may raise whatever it likes
        around = raised if isinstance(raised, AroundError) else None
        error = raised if around is None else around.cause
        expired = task is not None and timeout is not None and clock.timeouts.end(task, timeout)
        ending = program_end(error)
        if ending is not None:
            raise ending  # noqa: B904 - it is the error itself, or in that group, which the event loop would not hear
        # A caller that cancels this task means the execution; a step may raise CancelledError by itself.
        if isinstance(error, asyncio.CancelledError) and _is_cancelled(task or asyncio.current_task()):
            raise error  # noqa: B904 - as above
        found = _out_of_time(timeout, error) if expired else _Raised(error, FailureKind.ERROR)
        if around is None:
            return found
        # The step has run, whatever the error after it says; before it, nothing has.
        return _Raised(found.error, FailureKind.UNKNOWN if around.has_returned else FailureKind.ERROR, is_judged=False)
    if task is None or timeout is None or not clock.timeouts.end(task, timeout):
        return returned
    if type(returned) is Failure:
        return _out_of_time(timeout, cast("object", returned.failure()))  # pyright: ignore[reportUnknownMemberType]  # as above
    observers.tell(ReturnedLate(saga.identity, action.step, action.attempt, timeout))
    return returned


def _is_cancelled(task: asyncio.Task[object] | None) -> bool:
    return task is not None and task.cancelling() > 0


def _out_of_time(timeout: float | None, made_of_it: object) -> _Raised:
    """The failure of an execution that was cut short by its timeout, and raised that then, or returned that failure."""
    shown = f"did not return within {timeout:g} s"
    if not isinstance(made_of_it, TimeoutError | asyncio.CancelledError):
        shown += f", then failed with {name_of_type(made_of_it)}"
    error = TimeoutError(shown)
    error.__cause__ = made_of_it if isinstance(made_of_it, Exception) else None
    return _Raised(error, FailureKind.UNKNOWN)


def _raised(clock: Clock, action: RunStep, raised: _Raised, policy: ErrorPolicy) -> Incoming:
    """The step's options say what an exception means; that it was cut short says what it is by itself."""
    kind = raised.kind
    if kind is FailureKind.UNKNOWN and clock.connection is not None:  # cut short here, and rolled back
        kind = FailureKind.INTERRUPTED
    after = None
    if kind is FailureKind.ERROR and raised.is_judged:
        kind = policy.judge(raised.error)
        if kind is FailureKind.BUSINESS_ERROR:
            return _refused(clock, action, policy.answer_of(raised.error), policy, raised.error)
        after = policy.delay_of(raised.error)
    step_error = StepError.of(raised.error, step=action.step)
    failed = StepFailed(clock.now(), action.step, action.attempt, kind, clock.jitter_draw(), after)
    return Incoming(failed, payload=step_error.encode(), raised=raised.error)


def _refused(
    clock: Clock, action: RunStep, error: object, policy: ErrorPolicy, raised: BaseException | None = None
) -> Incoming:
    step_error = StepError.answer(error, policy.encode(error), step=action.step, raised=raised)
    refused = StepFailed(clock.now(), action.step, action.attempt, FailureKind.BUSINESS_ERROR, clock.jitter_draw())
    return Incoming(refused, payload=step_error.encode(), raised=raised)


def _failed(
    clock: Clock,
    action: RunStep | RunCompensation | RunProbe,
    kind: FailureKind,
    step_error: StepError,
    raised: _Raised | None = None,
) -> Incoming:
    """A failure that is judged by nothing that the step names; it says when to try again, all the same, if it does."""
    after = _NOTHING_NAMED.delay_of(raised.error) if raised is not None and raised.kind is FailureKind.ERROR else None
    event = _FAILED[type(action)](clock.now(), action.step, action.attempt, kind, clock.jitter_draw(), after)
    return Incoming(event, payload=step_error.encode(), raised=None if raised is None else raised.error)


_NOTHING_NAMED: Final = ErrorPolicy()
_PHASE: Final[Mapping[type[RunStep | RunCompensation | RunProbe], Phase]] = {
    RunStep: Phase.EXECUTE,
    RunCompensation: Phase.COMPENSATE,
    RunProbe: Phase.PROBE,
}
_FAILED: Final[
    Mapping[type[RunStep | RunCompensation | RunProbe], type[StepFailed | CompensationFailed | ProbeFailed]]
] = {
    RunStep: StepFailed,
    RunCompensation: CompensationFailed,
    RunProbe: ProbeFailed,
}


def _step_call(
    saga: OwnedSaga, action: RunStep | RunCompensation | RunProbe, timeout: float | None, clock: Clock
) -> StepCall:
    match action:
        case RunStep():
            context = _context(saga, action.step, "execute", action.attempt, action.generation, timeout, clock)
            return StepCall("execute", context, saga.identity)
        case RunCompensation():
            context = _context(saga, action.step, "compensate", action.attempt, action.event_seq, timeout, clock)
            return StepCall("compensate", context, saga.identity)
        case RunProbe():
            context = _context(saga, action.step, "execute", action.attempt, action.generation, timeout, clock)
            return StepCall("probe", context, saga.identity)


def _context(
    saga: OwnedSaga,
    step: StepId,
    direction: str,
    attempt: int,
    generation: int,
    timeout: float | None,
    clock: Clock,
) -> StepContext:
    deadline: datetime | None = None
    if timeout is not None:
        deadline = time_of(Moment(clock.now() + int(timeout * 1_000_000)))
    rewound = rewound_at(saga.plan, saga.state, step) if saga.state.rewound else 0
    kind = StepContext if clock.connection is None else partial(TransactionalContext, connection=clock.connection)
    # A generation goes on from the entry that took the saga back; a compensation begins with that entry itself.
    run = generation or (rewound if direction == "compensate" else 0)
    return kind(
        saga_id=saga.id,
        saga_name=saga.registered.name,
        step_id=step,
        attempt=attempt,
        idempotency_key=f"{saga.id}:{step}:{direction}" + (f":{run}" if run else ""),
        trace_id=saga.trace_id,
        trace_carrier=saga.carrier,
        deadline=deadline,
        generation=generation if direction == "execute" else 0,
        rewound=rewound,
        received_event=_received_event(saga, step, generation) if direction == "compensate" and generation else None,
        outlet=saga,
    )


def _received_event(saga: OwnedSaga, step: StepId, seq: int) -> tuple[str, bytes] | None:
    expected = saga.binding(step).compensation_waits_for
    if expected is None:
        return None
    name = expected.names[0] if saga.earlier is None else saga.earlier.names.get(seq, expected.names[0])
    return name, saga.events[seq]
