"""Random definitions: all that a saga can be made of, in steps whose behaviour follows from the seed and from nothing else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any, Final, Literal

import attrs

from saga_fn import (
    NOT_DONE,
    ArchivedSaga,
    Attribute,
    Done,
    Event,
    ExponentialRetry,
    FixedRetry,
    NoRetry,
    NotDone,
    OutcomeUnknown,
    Outgoing,
    Retention,
    RetryLater,
    SagaBuilder,
    SagaDefinition,
    StepContext,
    WaitFor,
    any_of,
    step,
)
from tests.faults.chaos.sagas import DeclinedError, Job, Note, approved, called, refunded, refused
from tests.simulation.machine import Machine
from tests.simulation.outside import NEVER, Outside

FEATURES: Final = (
    "branches",
    "items",
    "events",
    "sleeps",
    "conditions",
    "probes",
    "parks",
    "undoes_in_doubt",
    "settles",
    "no_undo",
    "few_undos",
    "undo_waits",
    "pivot",
    "deadline",
    "cancels",
    "halts",
    "publishes",
    "hooks",
    "attributes",
    "correlates",
    "retries",
)
"""The features that a definition may have; one that is made simpler lacks some."""

Kind = Literal["step", "items", "event", "sleep"]


TOPIC: Final = "news"


@attrs.frozen
class StepPlan:
    """One step, drawn by chance."""

    id: str
    kind: Kind
    after: tuple[int, ...]
    source: int
    """The place of the step whose output it is given; -1 for the initial data."""
    doubt: Literal["repeat", "park", "undo", "probe"]
    undo: Literal["none", "plain", "few", "waits"]
    conditional: bool
    publishes: bool
    settles: bool
    attempts: int
    seconds: float
    pivot: bool
    correlated: bool
    limited: bool
    default: bool
    concurrency: int


@attrs.frozen
class Drawn:
    """One definition, drawn by chance."""

    name: str
    steps: tuple[StepPlan, ...]
    graph: bool
    cancels: bool
    halts: bool
    deadline: float | None
    hooks: bool
    attributes: bool

    @property
    def waits_for(self) -> tuple[Event[Note], ...]:
        """The events that its sagas may wait for."""
        found: list[Event[Note]] = []
        for each in self.steps:
            if each.kind == "event":
                found += [called] if each.correlated else [approved, refused]
            if each.undo == "waits":
                found.append(refunded)
        return tuple(dict.fromkeys(found))

    @property
    def not_undoable(self) -> frozenset[str]:
        """The steps without a compensation."""
        return frozenset(each.id for each in self.steps if each.undo == "none")

    @property
    def acting(self) -> frozenset[str]:
        """The steps that call a participant themselves: a wait does not, nor a fan-out, but its items."""
        return frozenset(each.id for each in self.steps if each.kind == "step")


def draw(seed: str, number: int, tamed: Collection[str] = (), without: Collection[str] = ()) -> Drawn:
    """The definition of that number: `tamed` are features that none has, `without` are steps that are left out."""
    dice, name = random.Random(f"{seed} definition {number}"), f"saga-{number}"
    graph, pivot = dice.random() < 0.6, dice.random() < 0.3
    place_of_pivot = dice.randrange(6)
    count = dice.choice((1, 2, 3, 3, 4, 4, 5, 6))
    steps = [_step(dice, place) for place in range(count)]
    whole = Drawn(
        name,
        tuple(steps),
        graph=graph,
        cancels=dice.random() < 0.5,
        halts=dice.random() < 0.1,
        deadline=None if dice.random() < 0.7 else 30 + 60 * dice.random(),
        hooks=dice.random() < 0.3,
        attributes=dice.random() < 0.3,
    )
    if pivot and place_of_pivot < count and "pivot" not in tamed:
        whole = _with_pivot(whole, place_of_pivot)
    return _without(_tamed(whole, frozenset(tamed)), frozenset(without))


def _step(dice: random.Random, place: int) -> StepPlan:
    kind: Kind = dice.choice(("step", "step", "step", "step", "step", "items", "event", "sleep"))
    after = tuple(each for each in range(place) if dice.random() < 0.5)
    return StepPlan(
        id=f"{kind}-{place}",
        kind=kind,
        after=after,
        source=dice.choice((-1, *after)),
        doubt=dice.choice(("repeat", "repeat", "probe", "undo", "park")),
        undo=dice.choice(("plain", "plain", "plain", "few", "waits", "none")),
        conditional=dice.random() < 0.15,
        publishes=dice.random() < 0.25,
        settles=dice.random() < 0.2,
        attempts=dice.choice((1, 2, 3, 4)),
        seconds=dice.choice((0.5, 2.0, 5.0)),
        pivot=False,
        correlated=dice.random() < 0.3,
        limited=dice.random() < 0.7,
        default=dice.random() < 0.5,
        concurrency=dice.choice((1, 2, 3)),
    )


def _with_pivot(whole: Drawn, at: int) -> Drawn:
    steps = list(whole.steps)
    for place, each in enumerate(steps):
        if place == at:
            steps[place] = attrs.evolve(
                each,
                id=f"step-{place}",
                kind="step",
                undo="none",
                doubt="repeat" if each.doubt in {"undo", "park"} else each.doubt,
                conditional=False,
                pivot=True,
                after=tuple(range(at)),
            )
        elif place > at:
            after = tuple(sorted({*each.after, at}))
            doubt = "repeat" if each.doubt == "undo" else each.doubt
            steps[place] = attrs.evolve(each, undo="none", after=after, doubt=doubt)
    return attrs.evolve(whole, steps=tuple(steps))


def _tamed(whole: Drawn, tamed: frozenset[str]) -> Drawn:
    def tame(each: StepPlan) -> StepPlan:
        kind = each.kind
        if (kind, "items") == ("items", "items" if "items" in tamed else ""):
            kind = "step"
        if (kind == "event" and "events" in tamed) or (kind == "sleep" and "sleeps" in tamed):
            kind = "step"
        doubt = each.doubt
        if {"probe": "probes", "park": "parks", "undo": "undoes_in_doubt"}.get(doubt) in tamed:
            doubt = "repeat"
        undo = each.undo
        if {"none": "no_undo", "few": "few_undos", "waits": "undo_waits"}.get(undo) in tamed and not _past(whole, each):
            undo = "plain"
        return attrs.evolve(
            each,
            kind=kind,
            doubt=doubt,
            undo=undo,
            conditional=each.conditional and "conditions" not in tamed,
            publishes=each.publishes and "publishes" not in tamed,
            settles=each.settles and "settles" not in tamed,
            correlated=each.correlated and "correlates" not in tamed,
            attempts=1 if "retries" in tamed else each.attempts,
        )

    return attrs.evolve(
        whole,
        steps=tuple(map(tame, whole.steps)),
        graph=whole.graph and "branches" not in tamed,
        cancels=whole.cancels and "cancels" not in tamed,
        halts=whole.halts and "halts" not in tamed,
        deadline=None if "deadline" in tamed else whole.deadline,
        hooks=whole.hooks and "hooks" not in tamed,
        attributes=whole.attributes and "attributes" not in tamed,
    )


def _past(whole: Drawn, step: StepPlan) -> bool:
    """Whether a step is the pivot, or after it."""
    at = next((place for place, each in enumerate(whole.steps) if each.pivot), None)
    return at is not None and whole.steps.index(step) >= at


def _without(whole: Drawn, names: frozenset[str]) -> Drawn:
    gone = {place for place, each in enumerate(whole.steps) if f"{whole.name}/{each.id}" in names}
    if not gone or len(gone) == len(whole.steps):
        return whole
    kept = [place for place in range(len(whole.steps)) if place not in gone]
    moved = {place: new for new, place in enumerate(kept)}
    steps = tuple(
        attrs.evolve(
            whole.steps[place],
            after=tuple(moved[each] for each in whole.steps[place].after if each in moved),
            source=moved.get(whole.steps[place].source, -1),
        )
        for place in kept
    )
    return attrs.evolve(whole, steps=steps)


class Code:
    """The code of the steps, the same in every process."""

    def __init__(self, machine: Machine, outside: Outside, seed: str, *, tame: bool = False) -> None:
        self._machine = machine
        self._outside = outside
        self._seed = seed
        self._tame = tame
        """Whether nothing goes wrong in it."""

    def _dice(self, job: Job, ctx: StepContext, direction: str) -> random.Random:
        return random.Random(
            f"{self._seed} {job.number} {ctx.step_id} {direction} {ctx.attempt} {ctx.generation} {ctx.rewound}"
        )

    async def work(self, inp: Job, ctx: StepContext) -> Job:
        """Do it, or not, and say so, or not."""
        return await self._work(inp, ctx, settles=False)

    async def settle(self, inp: Job, ctx: StepContext) -> Job:
        """As `work`; an answer of no is kept, so that no request before it can do it either."""
        return await self._work(inp, ctx, settles=True)

    def _smooth(self, job: Job) -> bool:
        return self._tame or job.number % 3 == 0

    async def _work(self, inp: Job, ctx: StepContext, *, settles: bool) -> Job:
        outside, node = self._outside, self._machine.here
        outside.begin(node, ctx, "execute")
        made = node.loop.time()
        dice = self._dice(inp, ctx, "execute")
        smooth, mood = self._smooth(inp), dice.random()
        if dice.random() < 0.02 and not smooth:
            await asyncio.sleep(NEVER)
        await asyncio.sleep(1.5 * dice.random() ** 4)
        if not smooth:
            if mood < 0.08:
                raise RuntimeError("not this time")
            if mood < 0.11:
                raise RetryLater(timedelta(seconds=0.5))
            if mood < 0.13:
                raise TimeoutError("no answer")
            if mood < 0.22 and not (
                settles and await outside.request(node, lambda: outside.ask(ctx, forever=True), dice)
            ):
                raise DeclinedError  # if it does not settle, what was asked for before may have been done all the same
        if dice.random() < 0.2 and self._publishes:
            ctx.publish(TOPIC, {"of": ctx.step_id})
        await outside.request(node, lambda: outside.do(ctx, made), dice)
        if not smooth:
            if mood > 0.95:
                raise OutcomeUnknown("the answer was lost")
            if mood > 0.93:
                await asyncio.sleep(NEVER)
        return inp

    _publishes = True

    async def undo(self, inp: Job, out: Job | None, ctx: StepContext) -> None:
        """Undo it, sooner or later."""
        await self._undo(inp, ctx)

    async def ask_back(self, inp: Job, out: Job | None, ctx: StepContext) -> WaitFor | None:
        """As `undo`, but what was asked for may have to come from outside first."""
        dice = await self._undo(inp, ctx)
        if ctx.received(refunded) is not None or dice.random() < 0.5:
            return None
        return WaitFor(refunded, timeout=timedelta(seconds=8))

    async def _undo(self, inp: Job, ctx: StepContext) -> random.Random:
        outside, node = self._outside, self._machine.here
        outside.begin(node, ctx, "compensate")
        dice = self._dice(inp, ctx, "compensate")
        mood = dice.random()
        if mood < 0.15 and not self._tame:
            raise RuntimeError("not undone")
        await outside.request(node, lambda: outside.undo(ctx), dice)
        if mood > 0.95 and not self._tame:
            await asyncio.sleep(NEVER)
        return dice

    async def find(self, inp: Job, ctx: StepContext) -> Done[Job] | NotDone:
        """Find out, if it can be found out now."""
        outside, node = self._outside, self._machine.here
        outside.begin(node, ctx, "probe")
        dice = self._dice(inp, ctx, "probe")
        if dice.random() < 0.2 and not self._tame:
            raise RuntimeError("no answer")
        done = await outside.request(node, lambda: outside.ask(ctx, forever=False), dice)
        return Done(inp) if done else NOT_DONE

    async def archive(self, sagas: Sequence[ArchivedSaga]) -> None:
        """Keep sagas that are about to be deleted, or say that there is no room."""
        node, dice = self._machine.here, random.Random(f"{self._seed} archive {sagas[0].id} {self._machine.now}")
        if dice.random() < 0.2:
            raise OSError("no room")
        await self._outside.request(node, lambda: self._outside.archive(sagas), dice)

    async def hook(self, news: object) -> None:
        """Hear of a moment of a saga."""
        await asyncio.sleep(0.01)


def retention_of(seed: str, number: int, code: Code) -> Retention | None:
    """How long the sagas of the definition of that number are kept."""
    dice = random.Random(f"{seed} retention {number}")
    if dice.random() < 0.2:
        return None
    hours = [timedelta(hours=dice.randrange(1, 200)) if dice.random() < 0.8 else None for _ in range(3)]
    return Retention(
        completed=hours[0] or timedelta(hours=1), compensated=hours[1], failed=hours[2], archive=code.archive
    )


def is_odd(job: Job) -> bool:
    """Whether a conditional step is taken."""
    return job.number % 2 == 1


def about(job: Job) -> str:
    """The correlation of a wait."""
    return f"job {job.number}"


def _some(job: Job) -> list[Job]:
    """The items of a fan-out: none to three."""
    return [job] * (job.number % 4)


def define(
    drawn: Drawn, code: Code, *, build: int = 0, retention: Retention | None = None
) -> SagaDefinition[Job, Any]:  # Any: results of all types
    """Make a definition of what was drawn; another build of it has other limits."""
    hooks: dict[str, Any] = {}  # Any: hooks of both kinds
    if drawn.hooks:
        hooks = {
            "on_started": code.hook,
            "on_completed": Outgoing(TOPIC),
            "on_compensated": Outgoing(TOPIC),
            "on_failed": Outgoing(TOPIC),
        }
    number = Attribute("number", int)
    builder = SagaBuilder(
        Job,
        order="graph" if drawn.graph else "sequential",
        siblings_on_failure="cancel" if drawn.graph and drawn.cancels else "await",
        compensate_on_failure=not drawn.halts,
        deadline=None if drawn.deadline is None else timedelta(seconds=drawn.deadline),
        attributes=(number,) if drawn.attributes else (),
        retention=retention,
        **hooks,
    )
    if drawn.attributes:
        builder.set_attribute(number, builder.initial, input_map=lambda job: job.number)
    refs: list[Any] = []  # Any: references of all types
    for each in drawn.steps:
        refs.append(_add(builder, each, drawn, code, refs, build))
    return builder.build()


def _add(builder: Any, each: StepPlan, drawn: Drawn, code: Code, refs: list[Any], build: int) -> Any:  # Any: as above
    after = {"after": tuple(refs[place] for place in each.after)} if drawn.graph else {}
    limit = timedelta(seconds=3 * each.seconds)
    if each.kind == "event":
        if each.correlated:
            return builder.add_event(
                called, depends_on=builder.initial, correlate=about, timeout=limit, step_id=each.id, **after
            )
        default: dict[str, Any] = {"default": Note(-1)} if each.default else {}
        return builder.add_event(any_of(approved, refused), timeout=limit, step_id=each.id, **default, **after)
    if each.kind == "sleep":
        return builder.add_sleep(timedelta(seconds=each.seconds), step_id=each.id, **after)
    source = builder.initial
    if each.source >= 0 and drawn.steps[each.source].kind == "step" and not drawn.steps[each.source].conditional:
        source = refs[each.source]
    made = _made(each, code, build)
    if each.conditional and each.kind != "items":
        made = made.when(is_odd)
    if each.kind == "items":
        return builder.add_step(
            made.each(concurrency=each.concurrency),
            depends_on=source,
            input_map=_some,
            step_id=each.id,
            **after,
        )
    return builder.add_step(made, depends_on=source, step_id=each.id, **after)


def _made(each: StepPlan, code: Code, build: int) -> Any:  # Any: steps with all options
    options: dict[str, Any] = {
        "timeout": timedelta(seconds=each.seconds * 2 + build),
        "retry_policy": FixedRetry(max_attempts=each.attempts + build, delay=timedelta(seconds=0.5)),
        "compensation_retry_policy": NoRetry()
        if each.undo == "few"
        else ExponentialRetry(
            base_delay=timedelta(seconds=0.3), max_delay=timedelta(seconds=4), within=timedelta(hours=1)
        ),
        "probe_retry_policy": FixedRetry(max_attempts=8, delay=timedelta(seconds=0.4)),
        "unknown_retry_policy": FixedRetry(max_attempts=5, delay=timedelta(seconds=0.6)),
        "give_up_on": DeclinedError,
    }
    if each.settles:
        options["business_error_settles"] = True
    if each.publishes:
        options["publishes"] = Outgoing(TOPIC)
    if each.pivot:
        options["pivot"] = True
    if each.undo == "waits":
        options |= {"compensate": code.ask_back, "compensation_waits_for": refunded}
    elif each.undo != "none":
        options["compensate"] = code.undo
    if each.doubt == "probe":
        options["probe"] = code.find
    elif each.doubt == "park" or (each.doubt == "undo" and each.undo != "none"):
        options["on_unknown"] = each.doubt
    work: Callable[..., Any] = code.settle if each.settles else code.work
    return step(work, **options)
