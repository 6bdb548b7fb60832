"""The code of a step that the engine runs, and its plan for the core: both made of its parts and its options."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, final

import msgspec

from saga_fn.arguments import seconds_of_option
from saga_fn.codec import AnyType, PayloadType
from saga_fn.core.ids import StepId
from saga_fn.core.plan import OnTimeout, OnUnknown, PlannedStep, StepKind
from saga_fn.core.retry import RetrySchedule
from saga_fn.definition.outgoing import Outgoing, check_publishes
from saga_fn.definition.steps.condition import AnyCondition
from saga_fn.definition.steps.context import StepContext
from saga_fn.definition.steps.error_policy import ErrorPolicy
from saga_fn.definition.steps.parts import AnyCompensate, AnyExecute, StepParts
from saga_fn.definition.steps.retry_policy import ExponentialRetry, NoRetry
from saga_fn.definition.steps.step_options import DEFAULT_TIMEOUT, StepOptions
from saga_fn.definition.steps.transactions import Isolation, check_doubts, isolation_of
from saga_fn.definition.steps.unknown_outcome import resolve_on_unknown, undoes_in_doubt
from saga_fn.definition.values.mapping import InputMap, KnownValues
from saga_fn.definition.waits.event import EventPattern
from saga_fn.definition.waits.wait_parts import WaitParts
from saga_fn.errors import SagaDefinitionError, shown

_DEFAULT_UNDO_RETRY: Final = ExponentialRetry(
    base_delay=timedelta(seconds=1), max_delay=timedelta(minutes=10), within=timedelta(days=7)
)
"""An outage of the service that is to undo something lasts hours at times; a person is asked in the end."""
_DEFAULT_PROBE_RETRY: Final = ExponentialRetry(
    max_attempts=10, base_delay=timedelta(seconds=1), max_delay=timedelta(minutes=1)
)
_DEFAULT_UNKNOWN_RETRY: Final = ExponentialRetry(
    max_attempts=11,  # ten repeats
    base_delay=timedelta(seconds=1),
    max_delay=timedelta(minutes=1),
    within=timedelta(minutes=15),
)
_NOTHING: Final = PayloadType[None].of(type(None))


@final
class CompiledStep(msgspec.Struct, frozen=True):
    """Everything that the engine needs to run one step. Timeouts are in seconds."""

    step_id: StepId
    input_type: AnyType
    output_type: AnyType
    map_input: InputMap
    execute: AnyExecute
    compensate: AnyCompensate | None
    timeout: float | None
    compensation_timeout: float | None
    error_policy: ErrorPolicy
    result_type: AnyType
    """The type that the steps after it are given: a list if it fans out, None too if it is conditional."""
    when: AnyCondition | None = None
    kind: StepKind = StepKind.STEP
    """For a wait, `map_input` computes its correlation, or the moment that it lasts until."""
    compensation_waits_for: EventPattern[object] | None = None
    default: bytes | None = None
    """The value of a wait that is over, where it has one."""
    probe: AnyExecute | None = None
    probe_timeout: float | None = None
    isolation: Isolation | None = None
    """The level of the transaction that it runs in, and its result is committed in; None if it runs in none."""
    undo_isolation: Isolation | None = None
    """The same of its compensation."""
    fans_out: bool = False
    """It is done once for each item of what `map_input` gives; the other types are those of one item."""
    publishes: tuple[Outgoing, ...] = ()
    """The messages that its success publishes."""
    given_by: StepId | None = None
    """The step before it whose output is its input as it is, of the same type, or the caller (INITIAL); None if it is computed."""

    @property
    def input_cannot_fail(self) -> bool:
        """Whether its input is what a step before it, or the caller, has given: nothing is computed or decided."""
        return self.given_by is not None and self.when is None and not self.fans_out

    def given_for(self, step: StepId) -> AnyType:
        """The type of what a person gives in place of running the step: of all of a fan-out, or of that item of it."""
        return self.result_type if step == self.step_id else self.output_type


def compile_step(
    step_id: StepId, parts: StepParts, options: StepOptions, map_input: InputMap, *, given_by: StepId | None
) -> CompiledStep:
    """A step as the engine runs it; `given_by`: the step whose output is its input as it is, of the same type.

    Raises SagaDefinitionError for options that contradict each other.
    """
    timeout = options.get("timeout", DEFAULT_TIMEOUT)
    if "compensation_waits_for" in options and parts.compensate is None:
        raise SagaDefinitionError(
            f"step {shown(step_id)} has compensation_waits_for, but no compensation",
            hint="give compensate=, or leave it out",
        )
    if "retry_on" in options and "retry_policy" not in options:
        raise SagaDefinitionError(
            f"step {shown(step_id)} has retry_on, but no retry_policy: it would have one attempt",
            hint="give it retry_policy=, such as ExponentialRetry(max_attempts=5), or leave retry_on= out",
        )
    if parts.undo_waits and "compensation_waits_for" not in options:
        raise SagaDefinitionError(
            f"the compensation of step {shown(step_id)} may return a WaitFor, but the step does not say for which event",
            hint="step(..., compensation_waits_for=that_event)",
        )
    if parts.transactional:
        check_doubts(step_id, options, probes=parts.probe is not None)
    isolation = isolation_of(step_id, options, transactional=parts.transactional or parts.undo_transactional)
    return CompiledStep(
        step_id=step_id,
        input_type=parts.input_type,
        output_type=parts.output_type,
        map_input=map_input,
        execute=parts.execute,
        compensate=parts.compensate,
        timeout=seconds_of_option("timeout", timeout),
        compensation_timeout=seconds_of_option("compensation_timeout", options.get("compensation_timeout", timeout)),
        error_policy=ErrorPolicy.of(options, parts.errors),
        result_type=parts.result_type,
        when=parts.when,
        compensation_waits_for=options.get("compensation_waits_for"),
        probe=parts.probe,
        probe_timeout=seconds_of_option("probe_timeout", options.get("probe_timeout", timeout)),
        isolation=isolation if parts.transactional else None,
        undo_isolation=isolation if parts.undo_transactional else None,
        fans_out=bool(parts.concurrency),
        publishes=check_publishes("publishes", options.get("publishes", ())),
        given_by=given_by,
    )


def plan_step(step_id: StepId, parts: StepParts, options: StepOptions, after: tuple[StepId, ...]) -> PlannedStep:
    """A step as the core sees it.

    Raises:
        SagaDefinitionError: The step lacks the probe or the compensation that its `on_unknown` needs.
    """
    probes = parts.probe is not None
    event = options.get("compensation_waits_for")
    # In a transaction only its own word that another system was touched leaves a doubt: a person finds out.
    way = (
        OnUnknown.PARK
        if parts.transactional
        else resolve_on_unknown(step_id, options.get("on_unknown"), probes=probes, undo_takes=parts.undo_takes)
    )
    return PlannedStep(
        step=step_id,
        after=after,
        retry=options.get("retry_policy", NoRetry()).schedule(),
        compensable=parts.compensate is not None,
        undo_retry=options.get("compensation_retry_policy", _DEFAULT_UNDO_RETRY).schedule(),
        pivot=options.get("pivot", False),
        on_unknown=way,
        probe_retry=options.get("probe_retry_policy", _DEFAULT_PROBE_RETRY).schedule() if probes else RetrySchedule(),
        undo_waits_for=() if event is None else event.names,
        conditional=parts.when is not None,
        concurrency=parts.concurrency,
        undo_parks=options.get("on_undo_failed", "fail" if "compensation_retry_policy" in options else "park")
        == "park",
        unknown_retry=options.get("unknown_retry_policy", _DEFAULT_UNKNOWN_RETRY).schedule(),
        undoes_in_doubt=undoes_in_doubt(way, takes=parts.undo_takes, gives=parts.output_type.tp),
        refusal_settles=options.get("business_error_settles", False),
        own_retry="retry_policy" in options,
        transactional=parts.transactional,
    )


def compile_wait(step_id: StepId, parts: WaitParts, map_input: InputMap | None) -> CompiledStep:
    """A wait as the engine knows it; `map_input` says what it is about, or the moment that it lasts until."""
    return CompiledStep(
        step_id=step_id,
        input_type=_NOTHING,
        output_type=parts.output_type,
        map_input=_nothing_to_compute if map_input is None else map_input,
        execute=_never_executed,
        compensate=None,
        timeout=None,
        compensation_timeout=None,
        error_policy=ErrorPolicy(),
        result_type=parts.output_type,
        kind=parts.kind,
        default=parts.default,
    )


def plan_wait(step_id: StepId, parts: WaitParts, after: tuple[StepId, ...]) -> PlannedStep:
    """A wait as the core sees it."""
    return PlannedStep(
        step=step_id,
        after=after,
        kind=parts.kind,
        timeout=parts.limit,
        on_timeout=OnTimeout.FAIL if parts.default is None else OnTimeout.DEFAULT,
        waits_for=parts.names,
        correlated=parts.kind is StepKind.EVENT and parts.compute is not None,
    )


def _nothing_to_compute(_: KnownValues) -> object:
    """The correlation of a wait that is about nothing in particular."""
    return None


async def _never_executed(_: object, context: StepContext) -> object:
    raise AssertionError(f"{context.step_id} waits, there is nothing to execute")
