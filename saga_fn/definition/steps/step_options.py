"""The options of a step, which can be set again where it is wired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, TypedDict

from saga_fn.arguments import seconds_of_option
from saga_fn.definition.outgoing import Outgoing, check_publishes
from saga_fn.definition.steps.error_policy import ErrorTypes, check_errors, error_types
from saga_fn.definition.steps.retry_policy import RetryPolicy, check_policy
from saga_fn.definition.steps.transactions import Isolation, check_isolation
from saga_fn.definition.steps.undo_failure import OnUndoFailedChoice, check_on_undo_failed
from saga_fn.definition.steps.unknown_outcome import OnUnknownChoice, check_on_unknown
from saga_fn.definition.waits.event import EventPattern
from saga_fn.errors import SagaDefinitionError, is_a, shown

DEFAULT_TIMEOUT: Final = timedelta(seconds=60)
"""The time of one attempt where nothing else is said: a call that hangs does not keep its saga's slot for ever."""


class CommonOptions(TypedDict, total=False):
    """The options of a step, which can be set again where it is wired: the wiring wins. Beside it, see `StepOptions`."""

    step_id: str
    """The step's name in its saga, 1 to 64 printable ASCII characters. Default: the function's or class's name in snake_case."""
    timeout: timedelta | None
    """How long one attempt may take, as a timedelta of at most 365 days; None sets no limit. Default: 60 seconds.

    An attempt that is cut short may have run, and is settled as `on_unknown` says.
    """
    retry_policy: RetryPolicy
    """How often to attempt it. An attempt that may have run is repeated by `unknown_retry_policy` instead. Default: once."""
    compensation_retry_policy: RetryPolicy
    """How often to attempt its compensation. When the policy is used up, `on_undo_failed` says how the saga goes on.

    Default: for a week, at growing delays of at most 10 minutes.
    """
    on_undo_failed: OnUndoFailedChoice
    """The end of its last attempt to undo it: `park` the step for a person (`undo_failed`), or `fail` the saga and list the step.

    A person tries a parked one again with `retry_step`, says with `settle_undone` that it was undone by hand, or gives it up with
    `abort`. Default: `park`; but `fail` if it has a `compensation_retry_policy`.
    """
    compensation_waits_for: EventPattern[object]
    """The event that its compensation may wait for, by returning `WaitFor(event)`; or `any_of` several. Default: none."""
    compensation_timeout: timedelta | None
    """How long one attempt of its compensation may take, as a timedelta. Default: the step's `timeout`."""
    pivot: bool
    """Whether it is the point of no return: before it a failure is undone, after it the saga only goes forward. Default: False."""
    retry_on: ErrorTypes
    """The exceptions after which it is tried again by its `retry_policy`; any other ends its attempts. Default: every exception.

    To name one says that the step has not been done. So a timeout that leaves it open (TimeoutError, httpx.ReadTimeout) is refused
    here and in `give_up_on`: such a step is repeated as `unknown_retry_policy` says. A base class (OSError, httpx.HTTPError,
    Exception) does not say so of the timeouts and lost connections below it.
    """
    give_up_on: ErrorTypes
    """The exceptions that are business errors, as a returned Failure is: the step has not been done, and is not tried again.

    `failure.error` of the saga's end is the exception itself, equal to the one that was raised. It is None where the exception holds
    a value that cannot be stored: bytes (UnicodeDecodeError), other exceptions (a group), NaN, a client's request or response.
    Then `failure` has type and message alone. A class of one's own that could never be stored is refused here. So is each E
    in the `Result[O, E]` that a step returns, if it could not. Default: none.
    """
    unknown_on: ErrorTypes
    """The exceptions after which it may have been done, or not. It is then settled as `on_unknown` or its `probe` say. Default: none
    beside those that the library knows.
    """
    unknown_retry_policy: RetryPolicy
    """How often to repeat a step that may have run, with `on_unknown="repeat"`; `retry_policy` does not count then.

    It counts the attempts that leave open what they have done, and its `within` runs from the first of them. Takeovers after a
    crash are not counted. Without a `retry_policy` it also says how often a step is tried again that raises `RetryLater`.
    Default: 10 repeats, with growing delays of at most a minute, within 15 minutes.
    """
    business_error_settles: bool
    """Whether a business error of a repeat says that the attempts before it have done nothing, and will not.

    True is for participants that keep their answer under the idempotency key. With False the saga ends FAILED, and the step may
    have run, or it is undone as that. Default: False.
    """
    isolation: Isolation
    """The isolation level of a transactional step's transactions: `read_committed`, `repeatable_read` or `serializable`.

    Above `read_committed` a conflict costs a whole repeat: with another transaction, a message to the saga or a renewal of its lease.
    After 5 repeats the step is parked. It needs a `timeout` below half a lease, and no step may run beside it.
    Default: `read_committed`.
    """
    probe_retry_policy: RetryPolicy
    """How often to ask its probe. Default: 10 times, with growing delays of at most a minute."""
    probe_timeout: timedelta | None
    """How long its probe may take, as a timedelta. Default: the step's `timeout`."""
    publishes: Outgoing | Sequence[Outgoing]
    """The messages that are published when it is done, once for each item of a fan-out. Default: none.

    They are written by the commit that keeps its output. If a function of theirs raises, the step is parked (`output_lost`).
    """


class StepOptions(CommonOptions, total=False):
    """The options of a step, which can be set again where it is wired: the wiring wins."""

    on_unknown: OnUnknownChoice
    """The way to settle it when it may have run: `repeat` it by `unknown_retry_policy`, or `park` it for a person.

    On the step itself there is also `undo`, or a `probe` that finds out: see `step`. Default: `repeat`, or the probe if there is one.
    """


def _check_event(name: str, value: object) -> None:
    if not isinstance(value, EventPattern):
        raise SagaDefinitionError(
            f"{name} must be an Event, or any_of several, not {shown(value)}", hint='Event("refunded", Refund)'
        )


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise SagaDefinitionError(f"{name} must be True or False, not {shown(value)}")


def _check_later(_name: str, _value: object) -> None:
    """A step's id is judged in its saga, where it may be given by the step's name, too."""


_JUDGES: Final[Mapping[str, Callable[[str, object], object]]] = {
    "step_id": _check_later,
    "timeout": seconds_of_option,
    "retry_policy": check_policy,
    "compensation_retry_policy": check_policy,
    "on_undo_failed": check_on_undo_failed,
    "compensation_waits_for": _check_event,
    "compensation_timeout": seconds_of_option,
    "pivot": _check_flag,
    "retry_on": error_types,
    "give_up_on": error_types,
    "unknown_on": error_types,
    "unknown_retry_policy": check_policy,
    "business_error_settles": _check_flag,
    "isolation": check_isolation,
    "probe_retry_policy": check_policy,
    "probe_timeout": seconds_of_option,
    "publishes": check_publishes,
    "on_unknown": check_on_unknown,
}


def check_options(options: StepOptions) -> None:
    """Raise SagaDefinitionError for an option that there is not, or whose value cannot be."""
    if not is_a(options, Mapping):
        raise SagaDefinitionError(
            f"options of a step are named, not {shown(options)}", hint="e.g. step(charge, pivot=True)"
        )
    unknown = sorted(map(str, set(options) - set(_JUDGES)))
    if unknown:
        raise SagaDefinitionError(
            f"unknown step option {', '.join(unknown)}",
            hint=f"options are {', '.join(sorted(_JUDGES))}; where it is wired also after and using (input_map)",
        )
    for name, value in options.items():
        _JUDGES[name](name, value)
    check_errors(options)
