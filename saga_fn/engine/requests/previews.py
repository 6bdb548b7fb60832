"""The previews of verbs: each is folded on a copy of the saga, and told with what this process can ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Final
from uuid import UUID

import attrs
import msgspec

from saga_fn.core import acknowledgement
from saga_fn.core.effects import Refusal, Rejection
from saga_fn.core.event_kinds import step_of
from saga_fn.core.events import OperatorVerb, takes_up
from saga_fn.core.explain.course import MoveKind
from saga_fn.core.explain.preview import Consequences, preview, questions
from saga_fn.core.explain.prospects import Prospects
from saga_fn.core.ids import StepId
from saga_fn.core.leftovers import all_that_may_be_left
from saga_fn.core.plan import Plan
from saga_fn.core.projection import ENDED_UNREAD, SagaStatus
from saga_fn.core.state import SagaState
from saga_fn.core.verbs import Verb
from saga_fn.definition import AnySaga
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.deeds import Deed
from saga_fn.engine.requests.refusals import steps_of, told_of_refusal
from saga_fn.engine.views.known_saga import KnownSaga
from saga_fn.errors import SagaError
from saga_fn.explanation import VerbPreview
from saga_fn.store.ids import shard_of
from saga_fn.store.records import SagaRecord, moment_of, time_of

WORK: Final = 100_000
"""One explanation follows courses no further than this, in steps that are looked at: a saga of 200 items would take too long."""
_WORK_OF_ONE: Final = 60_000
"""Nor one course further than this: the other tasks of the process have their turn after each."""
_LONGEST: Final = 400
"""Events of one course."""
UNREADABLE_STATE: Final = "state_unreadable"
NO_PLAN: Final = "plan_missing"
KEY_TAKEN: Final = "key_taken"
"""The codes for a verb that is refused for what the state machine knows nothing of."""


def _asked(plan: Plan, known: KnownSaga, state: SagaState, deed: Deed | None) -> Iterator[tuple[Verb, OperatorVerb]]:
    """The events of every verb, with nothing more said; or that of the one verb, with all that is given with it."""
    row = known.row
    until = moment_of(row.due_at) if row.owner is not None and row.due_at is not None else row.now
    if deed is None:
        yield from questions(plan, state, row.now, until=until)
    elif (event := deed.event(row.now, until=until)) is not None:
        yield deed.verb, event


async def previews_of(engine: SagaEngine, known: KnownSaga, deed: Deed | None) -> AsyncGenerator[VerbPreview]:
    """Every verb, of every step where it names one; or the one verb, with all that is given with it."""
    row, plan, state = known.row, known.plan, known.state
    here = _Here.of(engine, row)
    if plan is None or state is None:
        for each in _of_what_cannot_be_read(known, deed):
            yield attrs.evolve(each, not_here=here.why_not(each.verb))
    else:
        left = WORK
        stopped = await engine.taken.stopped(row.id, row.rev) if row.ended_at is not None else ()
        holder = await _holder(engine, row)
        for verb, asked in _asked(plan, known, state, deed):
            event = _knowing(asked, stopped)
            said = preview(
                plan, state, event, leased=row.leased, unread=known.news, owners=known.owners, most=room(state, left)
            )
            if isinstance(said, Consequences):
                left -= 2 * (1 + len(said.course.moves)) * _steps(state)
            await asyncio.sleep(0)
            if holder is not None and isinstance(said, Consequences) and not said.state.ended:
                fact = f"another saga, {holder}, is active for its business key"
                previewed = _refused(
                    verb, step_of(event), KEY_TAKEN, fact, "wait until that one has ended, or cancel it"
                )
            else:
                previewed = _previewed(verb, step_of(event), said, here.why_not(verb, step_of(event)), row)
                if previewed.refusal == Refusal.UNKNOWN_STEP:
                    previewed = attrs.evolve(previewed, mend=steps_of(plan))
            if previewed.is_legal:
                previewed = attrs.evolve(previewed, unread=tuple(each.message for each in known.unread))
            yield _during_a_pause(previewed) if known.is_paused_by_name else previewed
    if deed is None or deed.verb is Verb.ACKNOWLEDGE:
        yield attrs.evolve(_of_acknowledging(known), not_here=here.why_not(Verb.ACKNOWLEDGE))


async def _holder(engine: SagaEngine, row: SagaRecord) -> UUID | None:
    """Who keeps a saga that has ended from being active again: another one that is, for the same business key."""
    if row.ended_at is None or row.aggregation_id is None:
        return None
    return await engine.store.active(shard_of(row.id, engine.store.shards), row.name, row.aggregation_id)


def _of_acknowledging(known: KnownSaga) -> VerbPreview:
    row = known.row
    refusal = acknowledgement.refused(row.status, acknowledged=row.acknowledged)
    if refusal is not None:
        return _refused(Verb.ACKNOWLEDGE, None, refusal.value)
    return VerbPreview(
        Verb.ACKNOWLEDGE, None, True, ends_as=row.status, may_end_as=(row.status,), left_over=known.left_over
    )


def room(state: SagaState, work: int) -> int:
    """How many events of a course may be followed, with so much work left."""
    return max(0, min(_LONGEST, min(work, _WORK_OF_ONE) // _steps(state)))


def _steps(state: SagaState) -> int:
    return len(state.steps) + 1


def _knowing(event: OperatorVerb, stopped: tuple[StepId, ...]) -> OperatorVerb:
    """The same, with what this process knows to have ended of what was cut short, as the verb itself would know it."""
    return msgspec.structs.replace(event, stopped=stopped) if stopped and takes_up(event) else event


@attrs.frozen
class _Here:
    """Whether this process can ask for verbs."""

    is_read_only: str | None
    definition: AnySaga | None

    @classmethod
    def of(cls, engine: SagaEngine, row: SagaRecord) -> _Here:
        """The abilities of this process, for that saga."""
        registered = engine.registry.find(row.name, row.version)
        definition = None if registered is None else registered.definition
        try:
            engine.gate.require_writes()
        except SagaError as error:
            return cls(error.fact, definition)
        return cls(None, definition)

    def why_not(self, verb: Verb, step: StepId | None = None) -> str | None:
        """Why this process cannot ask for the verb."""
        if self.is_read_only is not None or not verb.needs_output:
            return self.is_read_only
        if self.definition is None:
            return "this process has not registered the saga, and could not check the output"
        if step is not None and self.definition.binding(step) is None:
            return "the definition that this process has registered has no such step, and could not check its output"
        return None


def _of_what_cannot_be_read(known: KnownSaga, deed: Deed | None) -> Iterator[VerbPreview]:
    """The verbs upon a saga that the state machine cannot be asked about: `abort` alone needs neither state nor plan."""
    steps = [] if known.plan is None else [planned.step for planned in known.plan.steps]
    if deed is not None:
        steps = [StepId(deed.step)]
    lost = known.flaw is not None and known.plan is None and known.flaw.endswith("not in the store")
    for verb in Verb if deed is None else [deed.verb]:
        if verb is Verb.ACKNOWLEDGE:
            continue
        for step in steps if verb.names_a_step else [None]:
            if lost:
                yield _refused(verb, step, NO_PLAN, "its plan is not in the store", "was the table saga_plan emptied?")
            elif verb is not Verb.ABORT:
                mend = "restore the row, or end it with abort"
                yield _refused(verb, step, UNREADABLE_STATE, f"it cannot be read: {known.flaw}", mend)
            elif known.row.ended_at is not None:
                yield _refused(verb, None, Refusal.FINISHED.value, status=known.row.status)
            else:
                left = () if known.plan is None else all_that_may_be_left(known.plan)
                ends = ENDED_UNREAD.status
                yield VerbPreview(verb, None, True, ends_as=ends, left_over=left, may_end_as=(ends,))


def _refused(
    verb: Verb,
    step: str | None,
    refusal: str,
    fact: str | None = None,
    mend: str | None = None,
    *,
    status: SagaStatus | None = None,
) -> VerbPreview:
    if fact is None:
        said, mend = told_of_refusal(refusal, status)
        fact = f"the saga {said}"
    return VerbPreview(verb, step, False, refusal.partition(":")[0], fact, mend)


def _previewed(
    verb: Verb, step: StepId | None, said: Rejection | Consequences, not_here: str | None, row: SagaRecord
) -> VerbPreview:
    if isinstance(said, Rejection):
        return attrs.evolve(_refused(verb, step, said.answer, status=row.status), unnamed=said.unnamed)
    return VerbPreview(
        verb,
        step,
        True,
        not_here=not_here,
        at_once=said.at_once,
        after_pause=said.after_pause,
        course=said.course.moves,
        is_whole=said.course.is_whole,
        no_plan_fits=said.course.misfit,
        ends_as=said.course.end,
        left_over=said.left_over,
        stays_done=said.stays_done,
        goes_on_at=time_of(said.due) if said.due is not None and said.due > row.now else None,
        may_end_as=ends_of(said.prospects),
        may_be_undone=said.prospects.may_be_undone,
        may_be_left=said.prospects.may_be_left,
        another_key=said.another_key,
        runs_on=said.runs_on,
        forgotten=said.forgotten,
        rows_may_stand=said.rows_may_stand,
    )


def _during_a_pause(said: VerbPreview) -> VerbPreview:
    """The same for a paused saga: what runs can be cut short, and nothing else begins before the pause ends."""
    stops = tuple(move for move in said.at_once if move.kind is MoveKind.CUT_SHORT)
    begins = tuple(move for move in said.at_once if move.kind is not MoveKind.CUT_SHORT)
    return attrs.evolve(said, at_once=stops, after_pause=(*begins, *said.after_pause), goes_on_at=None)


def ends_of(said: Prospects) -> tuple[SagaStatus, ...]:
    """Every end that a saga may come to, in the order of the statuses."""
    return tuple(status for status in SagaStatus if status in said.ends)
