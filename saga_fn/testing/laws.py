"""Laws that every saga keeps whatever befalls it, as generated cases for the tests of one definition."""

from __future__ import annotations

import asyncio
import copy
import unittest
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast, final

import attrs
from typing_extensions import override

from saga_fn.arguments import check_is, check_no_loop
from saga_fn.core.calls import Answers, Befalls, answers_in
from saga_fn.core.calls import Call as Called
from saga_fn.core.events import Event as Entry
from saga_fn.core.foretelling import Foretold, foretell, refold
from saga_fn.core.ids import StepId, owner_of
from saga_fn.core.plan import StepKind
from saga_fn.core.surprises import Surprise, surprises
from saga_fn.definition import AnySaga, Done, Event, SagaDefinition
from saga_fn.definition.correlation import fingerprint
from saga_fn.engine.requests.outside_event import Delivery
from saga_fn.errors import SagaDefinitionError, SagaError, is_a, shown
from saga_fn.handle import SagaRun
from saga_fn.snapshot import SagaAdminSnapshot
from saga_fn.store.records import decode_event
from saga_fn.testing.calls import Call, NeverCameError, WorldError, done_by
from saga_fn.testing.law_cases import (
    CALLED,
    UNDISTURBED,
    Act,
    Lies,
    Scenario,
    TurnsBack,
    Twice,
    YesIsALie,
    causes,
    scenarios,
)
from saga_fn.testing.law_history import CASE_KEY, LACKS, LoseLease, Move, Run, Send, program_of
from saga_fn.testing.law_keys import broken_key
from saga_fn.testing.law_log import few_lines
from saga_fn.testing.world import World, wants_only_fakes

D = TypeVar("D")

Books: TypeAlias = Callable[[], object]
"""Tells what the fakes hold, as a value that can be compared, such as a dict of the money that was taken."""
Fakes: TypeAlias = Callable[[World], Books | None]
"""Puts the fakes into a World, new ones each time, and may return what tells what they hold."""
# Any: events of all types stand side by side.
Sent: TypeAlias = tuple[Event[Any], Any] | tuple[Event[Any], Any, str]
"""An event, its payload and, where the wait is correlated, the correlation id."""
_MOST_MOVES: Final = 200


class LawError(SagaError, AssertionError):
    """A saga has broken a law."""

    case: str
    """The case, in words."""
    history: str
    """The case as a program in Python, which shows it."""

    def __init__(self, case: str, fact: str, history: str) -> None:
        self.case = case
        self.history = history
        super().__init__(
            f"{case}: {fact}\n\n{history}\n",
            hint="run the program above: it does the same, and prints each call"
            if not history.startswith(LACKS)
            else "put into the program above what its first line names, and run it: it does the same, and prints each call",
        )


class _OtherThingError(Exception):
    """The saga waits for an event of that name, but about another thing than each that is given."""


class LawNotJudgedError(SagaError, unittest.SkipTest):
    """A case cannot be judged: the saga does what cannot be foretold, or never comes to where the case befalls it.

    pytest and unittest show it as skipped, with the reason.
    """

    case: str
    """The case, in words."""

    def __init__(
        self, case: str, fact: str, *, hint: str = "fakes that answer the same whenever they are called can be foretold"
    ) -> None:
        self.case = case
        super().__init__(f"{case}: not judged, for {fact}", hint=hint)


@final
@attrs.frozen(repr=False)
class LawCase:
    """One case of the laws of a definition. Call it, or await `run()`; both raise LawError if a law is broken."""

    id: str
    """The case in words, for `ids=str`."""
    _scenario: Scenario
    _trial: _Trial

    async def run(self) -> None:
        """Try it, in a World of its own.

        Raises:
            LawError: A law is broken.
            LawNotJudgedError: It cannot be judged, or tried: `start` does not take the step, or the event of a wait before it is
                not given. A test framework shows it as skipped, with the reason.
        """
        __tracebackhide__ = True  # pytest shows the law that is broken, not the lines of this file
        await self._trial.judge(self._scenario)

    def __call__(self) -> None:
        """Try it, where no event loop runs.

        Raises:
            LawError: A law is broken.
            LawNotJudgedError: As for `run`. A test framework shows it as skipped, with the reason.
            SagaError: An event loop runs in this thread already.
        """
        __tracebackhide__ = True
        check_no_loop(hint="await case.run(), in a test that is async")
        try:
            asyncio.run(self.run())
        except LawError as error:
            raise error.with_traceback(None) from error.__cause__  # without the frames of asyncio, for the same reason

    @override
    def __str__(self) -> str:
        return self.id

    @override
    def __repr__(self) -> str:
        return f"<law {self.id}>"


def laws(
    definition: SagaDefinition[D, Any],  # Any: results of all types; none is given or taken
    fakes: Fakes,
    /,
    start: D,
    *,
    events: Iterable[Sent] = (),
    only_fakes: bool | None = None,
) -> tuple[LawCase, ...]:
    """Generate the cases of a definition's laws: crashes around each step, calls made twice, late answers, failures, lies.

    Each case runs a saga in a World of its own. The laws are:

    - it ends as the core says, which is told of the same answers and the same faults. Where calls run at the same time, each order
      of their answers is accepted. Then a fault, or the undisturbed saga, has to explain each failure;
    - a step that is called again with the same input has the same idempotency key. Under one key it returns the same, and
      its probe tells of the same;
    - if it ends as the undisturbed saga does, the fakes hold the same; if all was undone, they hold what they held before. The
      saga has the same id in each case, so the idempotency keys are the same.

    Args:
        definition: The definition.
        fakes: A function that is given a World and puts your fakes into it, new ones each time. It may return a function that
            tells what they hold; without one the third law is not judged.
        start: The initial data of the saga.
        events: For each event that the saga waits for, the event and its payload, and the correlation id if it has one. An event
            that is not named never comes, and a case that needs a step behind its wait is not judged then: a test framework
            shows it as skipped. Default: none.
        only_fakes: Whether the call of a step that has no fake fails the case, in place of being made. With False the step's own
            code runs, and sends what it sends. Default: None, which says yes if `fakes` fakes a step.

    Returns:
        The cases, the undisturbed one first, each with a readable `id`.

    Raises:
        SagaDefinitionError: It is no definition, `fakes` is no function, or `events` is no list of events with payloads. A case
            raises it where the saga waits for an event about another thing than those that are given.
        PayloadError: `start`, or the payload of an event, is not of its type; or a correlation id is none.

    Example::

        def fakes(world: World) -> Callable[[], object]:
            bank = FakeBank()
            world.fake(charge, bank.charge)
            world.fake_probe(charge, bank.find)
            return lambda: dict(bank.taken)


        @pytest.mark.parametrize("case", laws(order_saga, fakes, start=order, events=[(approval, approved)]), ids=str)
        def test_a_law(case: LawCase) -> None:
            case()
    """
    check_is(
        definition, SagaDefinition, "a definition", error=SagaDefinitionError, hint="pass what @saga or build() made"
    )
    if not callable(fakes):
        raise SagaDefinitionError(
            f"fakes are put into a World by a function, not by {shown(fakes)}",
            hint="def fakes(world: World) -> None: ...",
        )
    _ = definition.initial_type.encode(start)
    trial = _Trial(definition, fakes, start, _checked(events), only_fakes=only_fakes)
    names = [name for event in trial.events for name in event[0].names]
    return tuple(LawCase(each.id, each, trial) for each in scenarios(definition, names))


def _checked(events: object) -> tuple[Sent, ...]:
    hint = "events=[(approval, Approval(by='ann'))]"
    if not is_a(events, Iterable) or is_a(events, (str, bytes, Mapping)):
        raise SagaDefinitionError(f"events are a list of events with payloads, not {shown(events)}", hint=hint)
    found: list[Sent] = []
    for each in cast("Iterable[object]", events):
        given: object = each
        parts: tuple[object, ...] = cast("tuple[object, ...]", each) if isinstance(each, tuple) else ()
        event = next(iter(parts), None)
        if not (2 <= len(parts) <= 3 and isinstance(event, Event)):  # noqa: PLR2004 - as `Sent` says
            raise SagaDefinitionError(f"an event stands with its payload, not as {shown(given)}", hint=hint)
        sent = cast("Sent", each)
        _ = sent[0].payload_of(sent[0].names[0]).encode(sent[1])
        if len(sent) == 3:  # noqa: PLR2004 - as `Sent` says
            _ = fingerprint(sent[2])
        found.append(sent)
    return tuple(found)


@final
@attrs.frozen
class _Played:
    """A saga that has come to its end in a World."""

    end: tuple[object, ...]
    is_done: bool
    is_undone: bool
    calls: tuple[Call, ...]
    journal: tuple[Entry, ...]
    answers: Answers
    books: object
    unsent: tuple[str, ...]
    """The names of the events that it waited for, and that are not given."""


@final
class _Trial:
    """All cases of one call of `laws`. The undisturbed saga is run once for all of them."""

    def __init__(
        self, definition: AnySaga, fakes: Fakes, start: object, events: tuple[Sent, ...], *, only_fakes: bool | None
    ) -> None:
        self.definition = definition
        self.fakes = fakes
        self.start = start
        self.events = events
        self._only_fakes = only_fakes
        self._wants_fakes = False
        """Whether the call of a step that has no fake fails a case: it is known once the fakes are in a World."""
        self._usual: tuple[_Played, object] | None = None

    async def judge(self, scenario: Scenario) -> None:
        """Run the case, and hold it to the laws."""
        __tracebackhide__ = True
        usual, before = await self._undisturbed() if self._usual is None else self._usual
        scenario = self._turned_back(scenario, usual)
        answers = self._as_they_come(usual.answers, scenario)
        foretold = foretell(self.definition.plan, answers, scenario.faults)
        acts = _acts(scenario, usual)
        if not foretold.came:
            if self._may_end_otherwise(foretold, usual) and _has_called(usual, scenario):
                raise LawNotJudgedError(scenario.id, "it cannot be foretold whether this befalls the saga")
            raise _not_reached(scenario, usual)
        did: list[Move] = []
        doubt: str | None = None
        try:
            played, _ = await self._play(scenario, acts, did)
            if (
                scenario.events_come == "never" or scenario.withholds
            ):  # then steps may be given what they never were before
                answers = self._as_they_come(played.answers, scenario)
                foretold = foretell(self.definition.plan, answers, scenario.faults)
            fact = broken_key(self.definition, played.calls, lies=any(isinstance(each, Lies) for each in acts))
            if played.end != foretold.end:
                fact, doubt = self._otherwise(scenario, played, usual, foretold, fact)
            fact = fact or self._books(scenario, played, usual, before)
        except NeverCameError as error:
            if self._may_end_otherwise(foretold, usual):
                raise LawNotJudgedError(
                    scenario.id, "the saga took another course, on which this does not befall it"
                ) from error
            raise LawError(scenario.id, error.fact, self._history(acts, did)) from error
        except _OtherThingError as error:
            raise LawNotJudgedError(scenario.id, str(error)) from error
        except Exception as error:
            raise LawError(scenario.id, f"{type(error).__name__}: {error}", self._history(acts, did)) from error
        if fact is not None:
            raise LawError(scenario.id, fact, self._history(acts, did))
        if doubt is not None:
            raise LawNotJudgedError(scenario.id, doubt)
        if not _has_befallen(played, scenario):
            raise _not_reached(scenario, usual)

    def _turned_back(self, scenario: Scenario, usual: _Played) -> Scenario:
        """The case with the first cause by which the core undoes the step; raises LawNotJudgedError if none does."""
        step = scenario.turns_back
        if step is None:
            return scenario
        called = _called(usual)
        for cause in causes(self.definition, step):
            if cause.act is not None and cause.act.step not in called:
                continue
            tried = Scenario(scenario.id, (Twice(step, "compensate"),)).turned_back_by(cause)
            if foretell(self.definition.plan, self._as_they_come(usual.answers, tried), tried.faults).came:
                return scenario.turned_back_by(cause)
        raise _not_reached(scenario, usual)

    def _may_end_otherwise(self, foretold: Foretold, usual: _Played) -> bool:
        """Whether the end hangs on what is not foretold: the order of answers, failures by chance, or a compensation that waits."""
        return (
            not foretold.is_sure
            or any(each is not None for failed in usual.answers.failures.values() for each in failed)
            or any(planned.undo_waits_for for planned in self.definition.plan.steps)
        )

    def _as_they_come(self, answers: Answers, scenario: Scenario) -> Answers:
        """The answers that a saga was given, with the events as they come in this case."""
        names = [name for each in self.events for name in each[0].names]
        early = names if scenario.events_come == "early" or scenario.loses_lease_at is not None else []
        come = [] if scenario.events_come == "never" else names
        return Answers(answers.inputs, answers.failures, come, early, scenario.withholds)

    async def _undisturbed(self) -> tuple[_Played, object]:
        __tracebackhide__ = True
        scenario, did = Scenario(UNDISTURBED), list[Move]()
        try:
            self._usual = await self._play(scenario, (), did)
        except _OtherThingError as error:
            raise SagaDefinitionError(
                str(error), hint='events=[(paid, Paid(), "order-7")], with the id that correlate= gives for `start`'
            ) from error
        except Exception as error:
            raise LawError(scenario.id, f"{type(error).__name__}: {error}", self._history((), did)) from error
        return self._usual

    def _history(self, acts: Sequence[Act], did: Sequence[Move]) -> str:
        sends = [
            (each[0], each[0].names[0], each[1], each[0].payload_of(each[0].names[0]), _about(each))
            for each in self.events
        ]
        return program_of(self.definition, self.fakes, self.start, acts, sends, did, only_fakes=self._wants_fakes)

    # How it is run.

    async def _play(self, scenario: Scenario, acts: Sequence[Act], did: list[Move]) -> tuple[_Played, object]:
        with few_lines():
            return await self._played(scenario, acts, did)

    async def _played(self, scenario: Scenario, acts: Sequence[Act], did: list[Move]) -> tuple[_Played, object]:
        async with World() as world:
            handle = world.register(self.definition, name=self.definition.name or "saga")
            books = self.fakes(world)
            self._wants_fakes = wants_only_fakes(world, self._only_fakes)
            before = None if books is None else copy.deepcopy(books())
            for act in acts:
                act.do(world)
            # The same id each time, which is in the idempotency keys that the fakes are given: so their books can be compared.
            run = await handle.start(self.start, idempotency_key=CASE_KEY)
            unsent = await self._drive(world, run, scenario, did)
            snapshot = await world.admin.get_saga(run.id)
            records = await world.orchestrator.engine.store.journal(run.id)
            journal = tuple(decode_event(each.event) for each in records)
            played = _Played(
                _end_of(snapshot),
                snapshot.status.is_success,
                snapshot.status.is_terminal and not snapshot.status.is_success and not snapshot.left_over,
                world.calls,
                journal,
                answers_in(journal),
                None if books is None else copy.deepcopy(books()),
                unsent,
            )
            return played, before

    async def _drive(self, world: World, run: SagaRun[Any], scenario: Scenario, did: list[Move]) -> tuple[str, ...]:
        """Run the saga, and send it what it waits for. Gives the names of the events that it waited for, and that are not given."""
        given = {name for each in self.events for name in each[0].names}
        waits = {each.step for each in self.definition.plan.steps if each.kind is StepKind.EVENT}
        unsent: dict[str, None] = {}
        if scenario.events_come == "early" or scenario.loses_lease_at is not None:
            for early in range(len(self.events)):
                await self._send(world, run, early, f"early {early}", did)
        if scenario.loses_lease_at is not None:
            did.append(LoseLease(scenario.loses_lease_at))
            try:
                await world.until(run, step=scenario.loses_lease_at)
            except WorldError as error:
                raise NeverCameError(error.fact) from error
            world.lose_lease(run)
        for _ in range(_MOST_MOVES):
            did.append(Run())
            await world.run()
            seen = await run.snapshot()
            if seen.status.is_terminal:
                break
            for wait in seen.waiting_for:
                if wait.step_id in waits and not given & set(wait.events):
                    unsent.update(dict.fromkeys(wait.events))
            awaited = {
                name for wait in seen.waiting_for if wait.step_id not in scenario.withholds for name in wait.events
            }
            numbers = [at for at, each in enumerate(self.events) if awaited & set(each[0].names)]
            if not numbers or scenario.events_come == "never":
                did.append(Run(past_waits=True))
                await world.run(past_waits=True)
            else:
                await self._send_awaited(world, run, numbers, scenario, did)
            if (await run.snapshot()).revision == seen.revision:
                break
        return tuple(unsent)

    async def _send_awaited(
        self, world: World, run: SagaRun[Any], numbers: Sequence[int], scenario: Scenario, did: list[Move]
    ) -> None:
        """Send the first of these events that a wait takes."""
        move = len(did)
        for number in numbers:
            event_id = f"{move} {number}"  # two of one name are two events
            taken = await self._send(world, run, number, event_id, did)
            if scenario.events_come == "twice":
                _ = await self._send(world, run, number, event_id, did)
            if taken is not Delivery.BUFFERED:
                return
        names = " or ".join(shown(self.events[number][0].names[0]) for number in numbers)
        raise _OtherThingError(f"the saga waits for {names} about another thing than the events that are given")

    async def _send(self, world: World, run: SagaRun[Any], number: int, event_id: str, did: list[Move]) -> Delivery:
        each = self.events[number]
        did.append(Send(number, event_id))
        return await world.send(run, each[0], each[1], event_id=event_id, correlation_id=_about(each))

    # The laws.

    def _otherwise(
        self, scenario: Scenario, played: _Played, usual: _Played, foretold: Foretold, fact: str | None
    ) -> tuple[str | None, str | None]:
        """The law that an end which is not the foretold one breaks, and why it cannot be judged; None for what is not so."""
        told = f"it ends as {_said(played.end)}, and the core says {_said(foretold.end)}"
        if not self._may_end_otherwise(foretold, usual):
            return told, None
        plan = self.definition.plan
        made = refold(plan, played.journal)
        if made is None or made.end != played.end:
            return told, None
        found = list(surprises(plan, played.journal, usual.journal, scenario.faults))
        certain = next((each for each in found if each.certain), None)
        if certain is not None:
            return f"{_named(certain)} failed, and nothing explains that: {told}", None
        return fact, f"{_named(found[0])} failed, which cannot be foretold" if found else None

    def _books(self, scenario: Scenario, played: _Played, usual: _Played, before: object) -> str | None:
        """How the books of the fakes break a law, in words; None if they do not."""
        if not scenario.compares_books:
            return None
        if played.is_done and usual.is_done and played.books != usual.books:
            told = f"the fakes hold {shown(played.books)}, and {shown(usual.books)} if nothing befalls the saga"
            return (
                told
                if scenario.id != UNDISTURBED
                else f"{told}: the fakes keep state from case to case, or hold what is random"
            )
        if played.is_undone and played.books != before:
            return f"all is undone, but the fakes hold {shown(played.books)}, and held {shown(before)} before"
        return None


def _acts(scenario: Scenario, usual: _Played) -> tuple[Act, ...]:
    """The acts upon the World. Raises LawNotJudgedError if a lie has to speak of an output, and the undisturbed saga has had none."""
    found: list[Act] = []
    for each in scenario.acts:
        if not isinstance(each, YesIsALie):
            assert not isinstance(each, TurnsBack), "the cause was chosen before"
            found.append(each)
            continue
        returned = (
            done_by(call.returned)
            for call in usual.calls
            if call.step == each.step and call.phase == "execute" and call.is_over and call.raised is None
        )
        done = next((each for each in returned if isinstance(each, Done)), None)
        if done is None:
            raise _not_reached(scenario, usual)
        found.append(Lies(each.step, done.output))
    return tuple(found)


def _called(usual: _Played) -> frozenset[StepId]:
    """The steps that the undisturbed saga has called."""
    return frozenset(owner_of(StepId(each.step)) for each in usual.calls)


def _has_called(usual: _Played, scenario: Scenario) -> bool:
    """Whether the undisturbed saga has called each step that something befalls; and with success, where that comes after one."""
    called = _called(usual)
    succeeded = {owner_of(step) for step, each in usual.answers.failures.items() if None in each}
    return all(
        fault.step in (succeeded if fault.how is Befalls.CRASH_AFTER_COMMIT else called) for fault in scenario.faults
    )


def _has_befallen(played: _Played, scenario: Scenario) -> bool:
    """Whether each fault that befalls all calls of its kind has met one of them: those with a number are foretold."""
    made = {(owner_of(StepId(each.step)), CALLED[each.phase]) for each in played.calls}
    return all((fault.step, fault.call) in made for fault in scenario.faults if fault.times is None)


def _not_reached(scenario: Scenario, usual: _Played) -> LawNotJudgedError:
    """The reason why what is to befall the saga cannot befall it."""
    steps = [*([] if scenario.turns_back is None else [scenario.turns_back]), *(each.step for each in scenario.faults)]
    untaken = [step for step in steps if step not in _called(usual)]
    if usual.unsent and (untaken or scenario.turns_back is not None or not _has_called(usual, scenario)):
        event = usual.unsent[0]
        return LawNotJudgedError(
            scenario.id,
            f"the saga waits for {' or '.join(map(shown, usual.unsent))} before that, and no such event is given",
            hint=f"laws(..., events=[...]) with the event {shown(event)} and its payload",
        )
    if untaken:
        return LawNotJudgedError(
            scenario.id,
            f"a saga with these initial data, events and answers does not take step {shown(str(untaken[0]))}",
            hint="laws(...) once more, with initial data, fakes or events by which it is taken",
        )
    if scenario.turns_back is not None:
        return LawNotJudgedError(
            scenario.id,
            f"nothing that the laws do turns the saga back once {shown(str(scenario.turns_back))} is done",
            hint="laws(...) once more, with initial data by which a later step is taken",
        )
    return LawNotJudgedError(
        scenario.id,
        "a saga with these answers comes to its end before that",
        hint="laws(...) once more, with fakes whose answers bring the saga there",
    )


def _named(found: Surprise) -> str:
    return {Called.EXECUTE: "", Called.UNDO: "undo ", Called.PROBE: "probe "}[found.call] + found.step


def _end_of(snapshot: SagaAdminSnapshot) -> tuple[object, ...]:
    return (
        snapshot.status,
        tuple((each.step_id, each.status) for each in snapshot.steps),
        tuple((each.step_id, each.kind.value) for each in snapshot.left_over),
    )


def _said(end: tuple[object, ...]) -> str:
    status, steps, left = cast("tuple[str, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]", end)
    words = [f"{step} {state.lower().replace('_', ' ')}" for step, state in steps]
    words += [f"left over: {step} ({kind})" for step, kind in left]
    return f"{status} ({', '.join(words)})"


def _about(each: Sent) -> str | None:
    return each[2] if len(each) == 3 else None  # noqa: PLR2004 - as `Sent` says
