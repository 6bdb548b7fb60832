"""One call of user code: what it is told, its timeout, and the code around it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import cast

import msgspec
from returns.result import Failure

from saga_fn.core.effects import RunCompensation, RunProbe, RunStep
from saga_fn.core.events import FailureKind
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.rewinding import rewound_at
from saga_fn.definition import StepContext, TransactionalContext
from saga_fn.engine.around import AroundError, StepCall, within
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.drive.step_error import program_end
from saga_fn.engine.drive.surroundings import Surroundings
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_attempts import ReturnedLate
from saga_fn.printable import name_of_type
from saga_fn.store.records import time_of


class Raised(msgspec.Struct, frozen=True):
    """An exception out of user code, or of the code around it; or a timeout."""

    error: BaseException
    kind: FailureKind
    is_judged: bool = True
    """Whether the step's options say what it means: not if the step was not called."""


async def call(
    saga: OwnedSaga,
    action: RunStep | RunCompensation | RunProbe,
    run: Callable[..., Awaitable[object]],
    given: tuple[object, ...],
    timeout: float | None,
    surroundings: Surroundings,
    observers: Observers,
) -> object | Raised:
    """Await user code under its timeout.

    Once that is over it is in doubt, whatever it makes of being cut short: it was in the middle of something. Only an
    output that it returns all the same says that it was done.
    """
    task = None if timeout is None else surroundings.timeouts.begin(timeout)
    try:
        if surroundings.around:
            returned = await within(surroundings.around, _step_call(saga, action, timeout, surroundings), run, given)
        else:
            returned = await run(*given)
    except BaseException as raised:  # noqa: BLE001 - user code may raise whatever it likes
        around = raised if isinstance(raised, AroundError) else None
        error = raised if around is None else around.cause
        expired = task is not None and timeout is not None and surroundings.timeouts.end(task, timeout)
        ending = program_end(error)
        if ending is not None:
            raise ending  # noqa: B904 - it is the error itself, or in that group, which the event loop would not hear
        # A caller that cancels this task means the execution; a step may raise CancelledError by itself.
        if isinstance(error, asyncio.CancelledError) and _is_cancelled(task or asyncio.current_task()):
            raise error  # noqa: B904 - as above
        found = _out_of_time(timeout, error) if expired else Raised(error, FailureKind.ERROR)
        if around is None:
            return found
        # The step has run, whatever the error after it says; before it, nothing has.
        return Raised(found.error, FailureKind.UNKNOWN if around.has_returned else FailureKind.ERROR, is_judged=False)
    if task is None or timeout is None or not surroundings.timeouts.end(task, timeout):
        return returned
    if type(returned) is Failure:
        return _out_of_time(timeout, cast("object", returned.failure()))  # pyright: ignore[reportUnknownMemberType]  # as above
    observers.tell(ReturnedLate(saga.identity, action.step, action.attempt, timeout))
    return returned


def _is_cancelled(task: asyncio.Task[object] | None) -> bool:
    return task is not None and task.cancelling() > 0


def _out_of_time(timeout: float | None, made_of_it: object) -> Raised:
    """The failure of an execution that was cut short by its timeout, and raised that then, or returned that failure."""
    shown = f"did not return within {timeout:g} s"
    if not isinstance(made_of_it, TimeoutError | asyncio.CancelledError):
        shown += f", then failed with {name_of_type(made_of_it)}"
    error = TimeoutError(shown)
    error.__cause__ = made_of_it if isinstance(made_of_it, Exception) else None
    return Raised(error, FailureKind.UNKNOWN)


def _step_call(
    saga: OwnedSaga, action: RunStep | RunCompensation | RunProbe, timeout: float | None, surroundings: Surroundings
) -> StepCall:
    match action:
        case RunStep():
            context = context_of(saga, action.step, "execute", action.attempt, action.generation, timeout, surroundings)
            return StepCall("execute", context, saga.identity)
        case RunCompensation():
            context = context_of(
                saga, action.step, "compensate", action.attempt, action.event_seq, timeout, surroundings
            )
            return StepCall("compensate", context, saga.identity)
        case RunProbe():
            context = context_of(saga, action.step, "execute", action.attempt, action.generation, timeout, surroundings)
            return StepCall("probe", context, saga.identity)


def context_of(
    saga: OwnedSaga,
    step: StepId,
    direction: str,
    attempt: int,
    generation: int,
    timeout: float | None,
    surroundings: Surroundings,
) -> StepContext:
    """The context that user code is given of its execution."""
    deadline: datetime | None = None
    if timeout is not None:
        deadline = time_of(Moment(surroundings.now() + int(timeout * 1_000_000)))
    rewound = rewound_at(saga.plan, saga.state, step) if saga.state.rewound else 0
    kind = (
        StepContext
        if surroundings.connection is None
        else partial(TransactionalContext, connection=surroundings.connection)
    )
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
