"""The shape of a definition, without its functions: what the core needs to know of a saga."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, assert_never

import msgspec
from typing_extensions import override

from saga_fn.core.ids import Micros, PlanId, StepId, owner_of
from saga_fn.core.plan_flaws import (
    BesidePivot,
    ListedTwice,
    LongFanOutName,
    NamedAsItem,
    NeedsUnlisted,
    NoFanOut,
    NoName,
    NoSteps,
    PivotFansOut,
    PivotFlaw,
    PivotIsUndone,
    PlanFlaw,
    PlanFlawError,
    StepFlaw,
    TooManySteps,
    TwoPivots,
    UndoIsMissing,
    UndoneAfterPivot,
    UndoNeedsOutput,
)
from saga_fn.core.retry import RetrySchedule

MOST_STEPS: Final = 100
LONGEST_ID: Final = 64
"""Characters. A saga of the most steps, with the longest ids, and the most items can be stored: see core/size.py."""
LONGEST_FAN_OUT_ID: Final = 32
"""Characters."""
_ID: Final = re.compile(rf"[ -~]{{1,{LONGEST_ID}}}")


class StepKind(enum.IntEnum):
    """The kind of step at a place in the plan."""

    STEP = 0
    """User code."""
    EVENT = 1
    """A wait for something from outside."""
    SLEEP = 2
    """A wait for a moment."""


class OnTimeout(enum.IntEnum):
    """The fate of a wait for an event whose time is over."""

    FAIL = 0
    """It has failed, and the saga rolls back."""
    DEFAULT = 1
    """It is done, with a value that was declared beforehand."""


class OnUnknown(enum.IntEnum):
    """The ways to settle a step that may have run."""

    REPEAT = 0
    """Run it again: it is idempotent. It is repeated by `unknown_retry`, whatever `retry` says."""
    PROBE = 1
    """Find out."""
    UNDO = 2
    """Turn back, and undo it as what may have run."""
    PARK = 3
    """Let a person find out."""


class PlannedStep(msgspec.Struct, frozen=True, array_like=True):
    """One step as the core sees it.

    `after` names the steps that must be done first, whether for their data or for the order alone.
    `compensable` says that a success obliges to an undo when the saga rolls back. A `pivot` is the point of no return:
    until it is done the saga can be undone, from then on it only goes forward.

    A wait for an event ends with one of those that `waits_for` names, or when its `timeout` is over (None: it never is).
    `correlated`: only with one that is about the same thing, which has to be computed. A sleep takes its `timeout`, or
    lasts until a moment that has to be computed. All times are whole microseconds.

    It is stored as an array, so the order of its fields is the format. A new field goes to the end, with a default.
    """

    step: StepId
    after: tuple[StepId, ...] = ()
    retry: RetrySchedule = RetrySchedule()
    compensable: bool = False
    undo_retry: RetrySchedule = RetrySchedule()
    pivot: bool = False
    on_unknown: OnUnknown = OnUnknown.REPEAT
    """The way to settle it when it may have run."""
    probe_retry: RetrySchedule = RetrySchedule()
    """How often to try to find out whether it has."""
    conditional: bool = False
    """Whether it is taken is decided by its input, when that is there."""
    kind: StepKind = StepKind.STEP
    timeout: Micros | None = None
    on_timeout: OnTimeout = OnTimeout.FAIL
    waits_for: tuple[str, ...] = ()
    correlated: bool = False
    concurrency: int = 0
    """For a fan-out, done once for each item of a list: how many items may run at once. 0: it is none."""
    undo_waits_for: tuple[str, ...] = ()
    """The events that its compensation may wait for."""
    undo_parks: bool = False
    """When `undo_retry` is used up, its compensation waits for a person; else the step is left over."""
    unknown_retry: RetrySchedule = RetrySchedule()
    """How often an attempt may leave open what it has done before the step fails in doubt, where it is to be repeated.

    It counts from the first such attempt on. A crash is no attempt that is counted: crash loops are judged by themselves.
    """
    undoes_in_doubt: bool = False
    """Whether its compensation can do without an output, and so can undo what only may have run."""
    refusal_settles: bool = False
    """Whether the refusal of a repeat says that nothing of the attempts before it has run, or will."""
    own_retry: bool = True
    """Whether `retry` is a policy that was chosen; else what asks to be tried again later goes by `unknown_retry`."""
    transactional: bool = False
    """Whether it runs in the transaction that its success is written in, and touches nothing else.

    Then an execution that was cut short has not happened. It is repeated by `unknown_retry`, and is never in doubt.
    """

    @property
    def needs_input(self) -> bool:
        """Whether something has to be computed before it can begin."""
        match self.kind:
            case StepKind.STEP:
                return True
            case StepKind.EVENT:
                return self.correlated
            case StepKind.SLEEP:
                return self.timeout is None
            case _:
                assert_never(self.kind)


class PlanData(msgspec.Struct, frozen=True, array_like=True):
    """The stored form of a plan, once per fingerprint, so that a journal can be folded for ever.

    It is stored as an array: a new field goes to the end, with a default.
    """

    steps: tuple[PlannedStep, ...]
    compensate_on_failure: bool = True
    format: int = 1
    cancel_siblings: bool = False
    """When a saga turns back, what still runs forward is cut short instead of awaited."""
    deadline: Micros | None = None
    """How long the saga may take, in microseconds; then it rolls back."""
    output: StepId | None = None
    """The step whose output is the saga's result, "" for the initial data; None for a saga without a result.

    Nothing is decided by it. It is kept so that a result can be read by a process with a later definition.
    """


class Plan(msgspec.Struct, frozen=True, eq=False):
    """A directed acyclic graph of steps in an order in which every step follows what it depends on.

    Build it with `Plan.of`; equality and hash are those of its data.

    >>> plan = Plan.of(PlannedStep(StepId("a")), PlannedStep(StepId("b"), after=(StepId("a"),)))
    >>> plan.roots
    ('a',)
    """

    data: PlanData
    id: PlanId
    index: Mapping[StepId, int]
    roots: tuple[StepId, ...]
    descendants: Mapping[StepId, frozenset[StepId]]
    """For each step, every step that must not run before it, near or far."""
    pivot: StepId | None
    """The point of no return, if there is one: every other step comes before it or after it."""
    is_chain: bool
    """Whether each step follows just the one before it, none fans out, and nothing forward depends on the time.

    So nothing waits for an event or a moment, and no retry policy has a budget in time.
    """
    waits: bool
    """Whether anything in it waits for an event or a moment, the deadline apart."""
    events: frozenset[str]
    """The names of all events that it may wait for."""
    has_unknown_policies: bool
    """Whether anything but repeating it is to be done about a step that may have run."""
    concurrencies: Mapping[StepId, int]
    """The fan-outs, and how many items of each may run at once."""

    @classmethod
    def of(
        cls,
        *steps: PlannedStep,
        compensate_on_failure: bool = True,
        cancel_siblings: bool = False,
        deadline: Micros | None = None,
        output: StepId | None = None,
    ) -> Plan:
        """The plan of these steps, each listed after all that it depends on.

        Raises PlanFlawError with the first flaw of `flaws_in`.
        """
        data = PlanData(steps, compensate_on_failure, cancel_siblings=cancel_siblings, deadline=deadline, output=output)
        return cls.from_data(data)

    @classmethod
    def from_data(cls, data: PlanData) -> Plan:
        """The plan that was stored as `data`; raises as `of` does."""
        flaw = next(flaws_in(data), None)
        if flaw is not None:
            raise PlanFlawError(flaw)
        descendants = _descendants(data.steps)
        concurrencies = {planned.step: planned.concurrency for planned in data.steps if planned.concurrency}
        return cls(
            data=data,
            id=_fingerprint(data),
            index={planned.step: place for place, planned in enumerate(data.steps)},
            roots=tuple(planned.step for planned in data.steps if not planned.after),
            descendants=descendants,
            pivot=next((planned.step for planned in data.steps if planned.pivot), None),
            concurrencies=concurrencies,
            is_chain=data.deadline is None
            and not concurrencies
            and all(
                planned.after == (() if not place else (data.steps[place - 1].step,))
                and planned.kind is StepKind.STEP
                and not planned.retry.within
                for place, planned in enumerate(data.steps)
            ),
            has_unknown_policies=any(planned.on_unknown is not OnUnknown.REPEAT for planned in data.steps),
            waits=any(planned.kind is not StepKind.STEP or planned.undo_waits_for for planned in data.steps),
            events=frozenset(name for planned in data.steps for name in (*planned.waits_for, *planned.undo_waits_for)),
        )

    @property
    def steps(self) -> tuple[PlannedStep, ...]:
        """The steps, each after all that it depends on."""
        return self.data.steps

    def step(self, step: StepId) -> PlannedStep:
        """The planned step of that name; KeyError if the plan has none."""
        place = self.index.get(step)  # as nearly always: no item
        return self.data.steps[self.index[self.owner(step)] if place is None else place]

    def gives(self, step: StepId) -> bool:
        """Whether the journal entry of the step's end holds what it gave: not that of a sleep, which gives nothing."""
        return not self.waits or step not in self.index or self.step(step).kind is not StepKind.SLEEP

    def owner(self, step: StepId) -> StepId:
        """The step of the plan that it is an item of; any other step itself."""
        if not self.concurrencies or step in self.index:
            return step
        owner = owner_of(step)
        return owner if owner in self.concurrencies else step

    def __contains__(self, step: StepId) -> bool:
        return self.owner(step) in self.index

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.id == other.id

    @override
    def __hash__(self) -> int:
        return hash(self.id)


def _fingerprint(data: PlanData) -> PlanId:
    """The plan's fingerprint. A plan that has nothing of a later version's has that of the version before."""
    steps: list[list[object]]
    rest: list[object]
    steps, *rest = msgspec.to_builtins(data)
    if not any(planned.transactional for planned in data.steps):
        steps = [planned[:-1] for planned in steps]
    return PlanId(hashlib.blake2b(msgspec.msgpack.encode([steps, *rest]), digest_size=8).hexdigest())


def flaws_in(data: PlanData) -> Iterator[PlanFlaw]:
    """Why this is no plan, one flaw after another; the rules rely on there being none."""
    if not data.steps:
        yield NoSteps()
    before: dict[StepId, PlannedStep] = {}
    sound = True
    for planned in data.steps:
        for flaw in step_flaws(planned, before):
            sound = False
            yield flaw
        before[planned.step] = planned
    if sound:  # else there may be nothing to go along
        yield from _pivot_flaws(data.steps)


def step_flaws(planned: PlannedStep, before: Mapping[StepId, PlannedStep]) -> Iterator[StepFlaw]:
    """Why the step cannot be listed after those."""
    yield from name_flaws(planned.step, before)
    for needed in planned.after:
        if needed not in before:
            yield NeedsUnlisted(planned.step, needed)
    flaw = undo_flaw(
        planned.step,
        planned.on_unknown,
        compensable=planned.compensable,
        undoes_in_doubt=planned.undoes_in_doubt,
    )
    if flaw is not None:
        yield flaw
    if planned.concurrency < 0 or (planned.concurrency and planned.kind is not StepKind.STEP):
        yield NoFanOut(planned.step)
    if planned.concurrency and len(planned.step) > LONGEST_FAN_OUT_ID:
        yield LongFanOutName(planned.step)
    owner = owner_of(planned.step)
    if owner != planned.step and owner in before and before[owner].concurrency:
        yield NamedAsItem(planned.step, owner)
    if planned.concurrency:
        for other in before:
            if other != planned.step and owner_of(other) == planned.step:
                yield NamedAsItem(planned.step, other)


def name_flaws(step: StepId, before: Collection[StepId]) -> Iterator[TooManySteps | NoName | ListedTwice]:
    """Why there can be no step of that id after those."""
    if not _ID.fullmatch(step):
        yield NoName(step)
    if step in before:
        yield ListedTwice(step)
    if len(before) >= MOST_STEPS:
        yield TooManySteps(step)


def undo_flaw(
    step: StepId, on_unknown: OnUnknown, *, compensable: bool, undoes_in_doubt: bool
) -> UndoIsMissing | UndoNeedsOutput | None:
    """Why the step cannot be undone as what may have run, if it is to be."""
    undone = on_unknown is OnUnknown.UNDO
    if (undone or undoes_in_doubt) and not compensable:
        return UndoIsMissing(step)
    return UndoNeedsOutput(step) if undone and not undoes_in_doubt else None


def _pivot_flaws(steps: Sequence[PlannedStep]) -> Iterator[PivotFlaw]:
    """Why there would be two ways to go once the pivot is done."""
    pivots = [planned for planned in steps if planned.pivot]
    if len(pivots) > 1:
        yield TwoPivots(pivots[0].step, pivots[1].step)
    for pivot in pivots[:1]:
        if pivot.concurrency:
            yield PivotFansOut(pivot.step)
        if pivot.compensable:
            yield PivotIsUndone(pivot.step)
        descendants = _descendants(steps)
        for planned in steps:
            if planned.step in descendants[pivot.step]:
                if planned.compensable:
                    yield UndoneAfterPivot(planned.step, pivot.step)
            elif planned is not pivot and pivot.step not in descendants[planned.step]:
                yield BesidePivot(planned.step, pivot.step)


def _descendants(steps: Sequence[PlannedStep]) -> dict[StepId, frozenset[StepId]]:
    """For each step, all that must not run before it."""
    below: dict[StepId, set[StepId]] = {planned.step: set() for planned in steps}
    for planned in reversed(steps):
        for needed in planned.after:
            below[needed] |= {planned.step} | below[planned.step]
    return {step: frozenset(under) for step, under in below.items()}
