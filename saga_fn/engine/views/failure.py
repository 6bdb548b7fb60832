"""The failure that made a saga turn back: told by folding its journal again, for only the state machine knows when it turned."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec
from returns.result import Failure

from saga_fn.core.event_kinds import PayloadKind, payload_of, plan_of
from saga_fn.core.events import Event, is_verb
from saga_fn.core.failure_cause import gives_up, goes_on
from saga_fn.core.ids import StepId
from saga_fn.core.plan import Plan
from saga_fn.core.state import SagaState
from saga_fn.core.transition import transition
from saga_fn.core.verbs import Verb, verb_of
from saga_fn.engine.drive.asked import Asked, asked_in
from saga_fn.engine.drive.failure_so_far import FailureSoFar, failure_after
from saga_fn.engine.drive.step_error import StepError, step_error_in
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.registry import Registered
from saga_fn.engine.views.journal import entries_of
from saga_fn.engine.views.plans import find_plan
from saga_fn.errors import PayloadError
from saga_fn.snapshot import StepFailure
from saga_fn.store.records import JournalRecord, SagaRecord, decode_event


def step_error_of(event: Event, record: JournalRecord) -> StepError | None:
    """The fault that a journal entry tells of, if it does."""
    return step_error_in(record.payload) if payload_of(event) is PayloadKind.ERROR else None


async def failure_of(
    engine: SagaEngine, row: SagaRecord, known: Sequence[JournalRecord] = ()
) -> tuple[str | None, StepFailure | None]:
    """The failure that made the saga turn back, as text, and as the step's failure if it was one."""
    return told_of((await turn_of(engine, row, known)).failure, engine.registry.find(row.name, row.version))


class Turn(msgspec.Struct, frozen=True):
    """Why a saga goes forward no more."""

    failure: FailureSoFar | None = None
    """The failure that counts, or None."""
    verb: Verb | None = None
    """The verb by which an operator has turned it back, or has ended it; None if it turned back by itself."""
    asked: Asked = Asked()
    """Who asked for that, and why."""


async def turn_of(engine: SagaEngine, row: SagaRecord, known: Sequence[JournalRecord] = ()) -> Turn:
    """The failure that made the saga turn back, or the verb of an operator that did.

    If it goes forward: the last failure that has not been mended since. If an operator rolled it back, that
    too; if nothing had failed, the failure of a compensation. `known` are the first entries of its journal, if they were read.
    """
    failure: FailureSoFar | None = None
    turn = Turn()
    state: SagaState | None = None
    plan: Plan | None = None
    async with contextlib.aclosing(entries_of(engine.store, row, known)) as journal:
        async for record in journal:
            event = decode_event(record.event)
            if (plan_id := plan_of(event)) is not None:
                plan = await find_plan(engine, row, plan_id)
            decision = None if plan is None else transition(plan, state, event)
            if decision is None or isinstance(decision, Failure):
                break  # `SagaAdmin.verify` says what is wrong with the journal
            before, state = state, decision.unwrap().state
            failure = failure_after(failure, before, event, state, step_error_of(event, record))
            if goes_on(state):
                turn = Turn()
            elif gives_up(before, event, state):
                turn = Turn(verb=verb_of(event), asked=asked_in(record.input)) if is_verb(event) else Turn()
    return msgspec.structs.replace(turn, failure=failure)


def told_of(failure: FailureSoFar | None, registered: Registered | None) -> tuple[str | None, StepFailure | None]:
    """The failure that counts, as text, and as what it was if it was a step that failed."""
    if failure is None:
        return None, None
    failed, step_error = failure.cause.failed, failure.step_error
    return str(step_error), None if failed is None else _step_failure(registered, failed, step_error)


def _step_failure(registered: Registered | None, step: StepId, step_error: StepError) -> StepFailure:
    error: object = None
    if step_error.data is not None:
        error = msgspec.json.decode(step_error.data)
        with contextlib.suppress(PayloadError):  # the definition declares another error by now
            binding = None if registered is None else registered.definition.binding(step)
            error = error if binding is None else binding.error_policy.decode(step_error.type, step_error.data)
    return StepFailure(step, step_error.type, step_error.message, error)
