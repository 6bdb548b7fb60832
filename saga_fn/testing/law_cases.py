"""The cases of a definition's laws: for each step what may befall it, as the World does it and as the core is told of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, assert_never, final

import attrs

from saga_fn.core.calls import Befalls, FaultAt
from saga_fn.core.calls import Call as Called
from saga_fn.core.events import FailureKind
from saga_fn.core.ids import StepId
from saga_fn.core.plan import OnUnknown, PlannedStep, StepKind
from saga_fn.definition import NOT_DONE, AnySaga, Done
from saga_fn.testing.calls import Phase
from saga_fn.testing.fakes import At

if TYPE_CHECKING:
    from saga_fn.testing.world import World

CALLED: Final[dict[Phase, Called]] = {
    "execute": Called.EXECUTE,
    "compensate": Called.UNDO,
    "probe": Called.PROBE,
}
"""By phase, the call as the core names it."""
_CRASHES: Final[dict[At, tuple[Befalls, Called, str]]] = {
    "before": (Befalls.CRASH_BEFORE, Called.EXECUTE, "crash before"),
    "after": (Befalls.CRASH_AFTER, Called.EXECUTE, "crash after"),
    "after_commit": (Befalls.CRASH_AFTER_COMMIT, Called.EXECUTE, "crash after the commit of"),
    "in_undo": (Befalls.CRASH_AFTER, Called.UNDO, "crash in the undo of"),
    "in_probe": (Befalls.CRASH_AFTER, Called.PROBE, "crash in the probe of"),
}
_FAKES: Final[dict[Phase, str]] = {"execute": "fake", "compensate": "fake_undo", "probe": "fake_probe"}
_NOUNS: Final[dict[Phase, str]] = {"execute": "", "compensate": "undo of ", "probe": "probe of "}
_FAILURE: Final = "it fails, as the law wants it"
UNDISTURBED: Final = "undisturbed"
"""The id of the case that nothing befalls."""
EventsCome: TypeAlias = Literal["in time", "early", "twice", "never"]
"""When the events of a case come: as they are awaited, before that, each one twice, or not at all."""


@final
@attrs.frozen
class Crash:
    """A worker process dies."""

    step: StepId
    at: At

    @property
    def id(self) -> str:
        """In words."""
        return f"{_CRASHES[self.at][2]} {self.step}"

    @property
    def fault(self) -> FaultAt:
        """As the core is told."""
        how, called, _ = _CRASHES[self.at]
        return FaultAt(how, self.step, called)

    @property
    def said(self) -> str:
        """As Python says it."""
        return f'world.crash({_literal(self.step)}, at="{self.at}")'

    def do(self, world: World) -> None:
        """Do it."""
        world.crash(self.step, at=self.at)


@final
@attrs.frozen
class Twice:
    """A call is made twice."""

    step: StepId
    phase: Phase

    @property
    def id(self) -> str:
        """In words."""
        return f"{_NOUNS[self.phase]}{self.step} twice"

    @property
    def fault(self) -> FaultAt:
        """As the core is told."""
        return FaultAt(Befalls.TWICE, self.step, CALLED[self.phase])

    @property
    def said(self) -> str:
        """As Python says it."""
        return f'world.twice({_literal(self.step)}, phase="{self.phase}")'

    def do(self, world: World) -> None:
        """Do it."""
        world.twice(self.step, phase=self.phase)


@final
@attrs.frozen
class Late:
    """An answer comes too late."""

    step: StepId
    phase: Phase
    has_timeout: bool

    @property
    def id(self) -> str:
        """In words."""
        what = self.step if self.phase == "execute" else f"the {_NOUNS[self.phase]}{self.step}"
        return f"late answer of {what}"

    @property
    def fault(self) -> FaultAt:
        """As the core is told."""
        return FaultAt(Befalls.LATE if self.has_timeout else Befalls.TAKEN, self.step, CALLED[self.phase])

    @property
    def said(self) -> str:
        """As Python says it."""
        return f'world.late({_literal(self.step)}, phase="{self.phase}")'

    def do(self, world: World) -> None:
        """Do it."""
        world.late(self.step, phase=self.phase)


@final
@attrs.frozen
class Fails:
    """A call raises, once or always."""

    step: StepId
    phase: Phase
    times: int | None
    kind: FailureKind

    @property
    def id(self) -> str:
        """In words."""
        return f"{_NOUNS[self.phase]}{self.step} fails{'' if self.times is None else ' once'}"

    @property
    def fault(self) -> FaultAt:
        """As the core is told."""
        return FaultAt(Befalls.FAILS, self.step, CALLED[self.phase], self.times, self.kind)

    @property
    def said(self) -> str:
        """As Python says it."""
        times = "" if self.times is None else f", times={self.times}"
        return f"world.{_FAKES[self.phase]}({_literal(self.step)}, raises=RuntimeError({written(_FAILURE)}){times})"

    def do(self, world: World) -> None:
        """Do it."""
        error = RuntimeError(_FAILURE)
        match self.phase:
            case "execute":
                world.fake(self.step, raises=error, times=self.times)
            case "compensate":
                world.fake_undo(self.step, raises=error, times=self.times)
            case "probe":
                world.fake_probe(self.step, raises=error, times=self.times)
            case _:
                assert_never(self.phase)


@final
@attrs.frozen
class Lies:
    """A probe says the contrary of what is so."""

    step: StepId
    output: object
    """The output that it speaks of, which no call has returned here; `NOT_DONE` if it says that there is none."""

    @property
    def id(self) -> str:
        """In words."""
        return f"probe of {self.step} says {'no' if self.output is NOT_DONE else 'yes'}, and it is not so"

    @property
    def fault(self) -> FaultAt:
        """As the core is told."""
        return FaultAt(Befalls.LIES, self.step, Called.PROBE)

    @property
    def said(self) -> str:
        """As Python says it."""
        told = "NOT_DONE" if self.output is NOT_DONE else f"Done({written(self.output)})"
        return f"world.fake_probe({_literal(self.step)}, returns={told}, times=1)"

    def do(self, world: World) -> None:
        """Do it."""
        told = NOT_DONE if self.output is NOT_DONE else Done(self.output)
        world.fake_probe(self.step, returns=told, times=1)


Act: TypeAlias = Crash | Twice | Late | Fails | Lies
"""An act upon a World before its saga starts."""


@final
@attrs.frozen
class YesIsALie:
    """Stands for the lie of a probe that speaks of the output which the undisturbed saga has had."""

    step: StepId


@final
@attrs.frozen
class TurnsBack:
    """Stands for what turns the saga back once this step is done: it is chosen when the undisturbed saga has run."""

    step: StepId


@final
@attrs.frozen
class Cause:
    """One way to turn a saga back: something befalls a step, waits get no event, or neither, where it turns back by itself."""

    act: Act | None = None
    withholds: frozenset[StepId] = frozenset()


@final
@attrs.frozen
class Scenario:
    """One case."""

    id: str
    """In words, unique among its definition's."""
    acts: tuple[Act | YesIsALie | TurnsBack, ...] = ()
    loses_lease_at: StepId | None = None
    """The step at which another worker takes the saga, while the first one stands still."""
    events_come: EventsCome = "in time"
    withholds: frozenset[StepId] = frozenset()
    """The waits that are sent no event, though others are."""
    compares_books: bool = True
    """Whether the end says what the fakes have to hold: not where a probe lied, or work was done after it was given up."""

    @property
    def faults(self) -> tuple[FaultAt, ...]:
        """As the core is told; not of what turns the saga back, where that is still to be chosen."""
        found = [each.fault for each in self.acts if not isinstance(each, YesIsALie | TurnsBack)]
        if self.loses_lease_at is not None:
            found.append(FaultAt(Befalls.TAKEN, self.loses_lease_at))
        found += [FaultAt(Befalls.LIES, each.step, Called.PROBE) for each in self.acts if isinstance(each, YesIsALie)]
        return tuple(found)

    @property
    def turns_back(self) -> StepId | None:
        """The step that has to be done before the saga turns back, if what turns it back is still to be chosen."""
        return next((each.step for each in self.acts if isinstance(each, TurnsBack)), None)

    def turned_back_by(self, cause: Cause) -> Scenario:
        """The case with its cause."""
        acts = tuple(each for each in self.acts if not isinstance(each, TurnsBack))
        return attrs.evolve(self, acts=acts if cause.act is None else (cause.act, *acts), withholds=cause.withholds)


def scenarios(definition: AnySaga, events: Iterable[str]) -> Iterator[Scenario]:
    """Every case of the definition, with those events at hand."""
    plan = definition.plan
    yield Scenario(UNDISTURBED)
    for planned in plan.steps:
        if planned.kind is StepKind.STEP:
            yield from _of_step(definition, planned)
    for planned in plan.steps:
        if planned.kind is StepKind.STEP and planned.compensable and not planned.undo_waits_for:
            yield from _of_undo(definition, planned)
    if plan.events & set(events):
        yield Scenario("events before their waits", events_come="early")
        yield Scenario("every event twice", events_come="twice")
        yield Scenario("no event", events_come="never")


def _of_step(definition: AnySaga, planned: PlannedStep) -> Iterator[Scenario]:
    step, binding = planned.step, definition.steps[planned.step]
    crashes: tuple[At, ...] = ("before", "after", "after_commit")
    # A database would roll back what a transactional step has done, and a fake has done it.
    keeps = not planned.transactional
    for at in crashes:
        yield attrs.evolve(_one(Crash(step, at)), compares_books=keeps or at != "after")
    if keeps:
        yield _one(Twice(step, "execute"))
    yield attrs.evolve(_one(Late(step, "execute", binding.timeout is not None)), compares_books=keeps)
    yield Scenario(f"late worker at {step}", loses_lease_at=step, compares_books=False)
    yield _one(_fails(definition, step))
    if planned.on_unknown is OnUnknown.PROBE:
        after, before = Crash(step, "after"), Crash(step, "before")
        yield _two(after, Crash(step, "in_probe"))
        yield _two(after, Fails(step, "probe", 1, FailureKind.ERROR))
        yield attrs.evolve(_two(after, Lies(step, NOT_DONE)), compares_books=False)
        lie = f"{before.id}, and {Lies(step, None).id}"
        yield Scenario(lie, (before, YesIsALie(step)), compares_books=False)


def _of_undo(definition: AnySaga, planned: PlannedStep) -> Iterator[Scenario]:
    step = planned.step
    if not list(causes(definition, step)):
        return
    if not planned.transactional:  # else a database rolls back the first, and the second is the only one
        yield _undone(Twice(step, "compensate"))
        yield _undone(Crash(step, "in_undo"))
        yield _undone(Late(step, "compensate", definition.steps[step].compensation_timeout is not None))
    yield _undone(Fails(step, "compensate", 1, FailureKind.ERROR))
    yield _undone(Fails(step, "compensate", None, FailureKind.ERROR), always=True)


def causes(definition: AnySaga, step: StepId) -> Iterator[Cause]:
    """All that may turn a saga back once this step is done, the best first.

    That is a step that fails, the last before the others; then a wait without its event; then all waits without one, which may come
    to the deadline; then a crash that leaves this step in doubt; then nothing at all, where the saga turns back by itself.
    No definition says whether it is so: the steps of a run may be others. Only the core can tell of that.
    """
    plan = definition.plan
    past = plan.descendants[plan.pivot] if plan.pivot is not None else frozenset[StepId]()
    after = [each for each in reversed(plan.steps) if each.step != step and step not in plan.descendants[each.step]]
    for other in after:
        if other.kind is StepKind.STEP and other.step not in past:
            yield Cause(_fails(definition, other.step))
    waits = [other.step for other in after if other.kind is StepKind.EVENT and other.step not in past]
    yield from (Cause(withholds=frozenset({wait})) for wait in waits)
    if waits:
        yield Cause(withholds=frozenset(waits))
    if plan.step(step).on_unknown is OnUnknown.UNDO:
        yield Cause(Crash(step, "after"))
    if after:
        yield Cause()


def _fails(definition: AnySaga, step: StepId) -> Fails:
    return Fails(step, "execute", None, definition.steps[step].error_policy.judge(RuntimeError()))


def _undone(act: Act, *, always: bool = False) -> Scenario:
    return Scenario(f"{act.id}{' always' if always else ''}", (TurnsBack(act.step), act))


def _one(act: Act) -> Scenario:
    return Scenario(act.id, (act,))


def _two(first: Act, then: Act) -> Scenario:
    return Scenario(f"{first.id}, and {then.id}", (first, then))


def _literal(step: StepId) -> str:
    return written(str(step))


def written(value: object) -> str:
    """A value as its own repr writes it, for a program to paste; an ellipsis where that raises."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - it is code of the user's
        return "..."
