"""A world for one test: sagas run in it as in production, and its clock moves only when nothing else can happen."""

from __future__ import annotations

from collections.abc import Collection, KeysView, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self, TypeVar, final
from uuid import UUID

from saga_fn.admin import SagaAdmin
from saga_fn.arguments import check_is, micros_of
from saga_fn.definition import Event, SagaDefinition
from saga_fn.definition.outgoing import is_topic
from saga_fn.definition.waits.event import EventPattern
from saga_fn.engine.requests.outside_event import Delivery
from saga_fn.errors import SagaDefinitionError, SagaError, shown
from saga_fn.handle import SagaHandle
from saga_fn.orchestrator import SagaOrchestrator
from saga_fn.outgoing import OutgoingMessage
from saga_fn.snapshot import SagaSnapshot
from saga_fn.store.records import time_of
from saga_fn.testing.calling import Stop
from saga_fn.testing.calls import AnyStepName, Call, NeverCameError, Phase
from saga_fn.testing.fakes import named
from saga_fn.testing.scene import Scene
from saga_fn.testing.world_faults import AnyRun, WorldFaults, check_phase, id_of

D = TypeVar("D")
R = TypeVar("R")
T = TypeVar("T")
_FIRST_YEAR: Final = 1971
"""Moments are counted from the beginning of 1970, in whatever time zone the test means it."""
_LAST_YEAR: Final = 9000
"""Enough is left for what is due later: no date of Python's lies past the year 9999."""
_LATEST_YEAR: Final = 9800
"""The same, for a clock that goes on."""


def _judged(topics: Collection[object]) -> list[str]:
    """The topics. Raises SagaError for what are none."""
    hint = 'World(topics=["orders.*"])'
    if not isinstance(topics, list | tuple | set | frozenset | Mapping | KeysView):
        raise SagaError(f"topics are a list of texts, not {shown(topics)}", hint=hint)
    found: list[str] = []
    for topic in topics:
        if not is_topic(topic):
            raise SagaError(f"{shown(topic)} is no topic, and no prefix of topics with a star", hint=hint)
        found.append(topic)
    return found


@final
class World(WorldFaults):
    """Sagas for one test, without a database and without waiting.

    Its clock stands still while anything of yours runs, so no timeout fires while a fake is answering. Once nothing can go on, it
    jumps to the next moment at which something is due. Code of yours that awaits the end of a saga does not hold it up. Sagas
    run in worker processes of the World's own, which a test may kill. The test's own handles live through that.

    Use it in one event loop, by `async with`, or by the fixture `world` of the pytest plugin. Leaving it raises what has failed in
    it, and WorldError for a crash or another fault that was asked for and never came.

    Args:
        start: The moment at which its clock begins, a datetime with a time zone, in the years 1971 to 9000. Default: None, now.
        lease: How long a dead worker's sagas wait for another one, by the World's clock. It is a timedelta of more than 0 and at
            most 365 days. Default: 15 seconds.
        patience: How long one call of a step, a fake or a hook may take in real time; after that the test fails. It is a
            timedelta of more than 0 and at most 365 days. Default: 60 seconds.
        only_fakes: Whether a call of a step that has no fake fails the test, in place of being made. Default: False.
        topics: The topics that have a publisher, written as the keys of an orchestrator's `publishers`. A step that publishes to
            another topic is parked, and a definition that declares another one is refused, as in production. Default: every topic.

    Raises:
        SagaError: `start` has no time zone, `start`, `lease` or `patience` is out of its range, or `topics` are none.

    Example::

        async with World() as world:
            orders = world.register(order_saga)
            world.fake(charge, returns="receipt-1")
            world.crash(charge, at="after")
            assert await orders.run(order) == "receipt-1"
            assert world.called == ("charge", "probe charge")
    """

    def __init__(
        self,
        *,
        start: datetime | None = None,
        lease: timedelta = timedelta(seconds=15),
        patience: timedelta = timedelta(seconds=60),
        only_fakes: bool = False,
        topics: Collection[str] = ("*",),
    ) -> None:
        hint = "e.g. datetime(2026, 1, 1, tzinfo=UTC)"
        check_is(start, (datetime, type(None)), "the moment at which a World begins", error=SagaError, hint=hint)
        if start is not None and start.utcoffset() is None:
            raise SagaError("the moment at which a World begins has no time zone", hint=hint)
        if start is not None and not _FIRST_YEAR <= start.year <= _LAST_YEAR:
            years = f"from {_FIRST_YEAR} to {_LAST_YEAR:,}"
            raise SagaError(f"a World begins in a year {years}, not in {start.year}", hint=hint)
        _ = micros_of("lease", lease, error=SagaError)
        _ = micros_of("patience", patience, error=SagaError)
        begin = datetime.now(UTC) if start is None else start
        super().__init__(Scene(begin, lease=lease, patience=patience, only_fakes=only_fakes, topics=_judged(topics)))
        self._closed = False

    async def __aenter__(self) -> Self:
        """Begin in the event loop that runs.

        Raises:
            WorldError: It was used in another event loop.
        """
        self._scene.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it.

        Args:
            kind: The class of the exception that ends the block, or None.
            error: That exception, or None.
            traceback: Its traceback, or None.

        Raises:
            WorldError: A fault that was asked for never came. It is raised if nothing else is.
        """
        try:
            self._end(check=error is None)
        finally:
            await self._scene.front.__aexit__(None, None, None)

    def close(self, *, check: bool = True) -> None:
        """End it, where it was not entered. A second call does nothing.

        Args:
            check: Whether to raise what has failed in it. Default: True.

        Raises:
            WorldError: A fault that was asked for never came.
        """
        try:
            self._end(check=check)
        finally:
            self._scene.leave()

    def _end(self, *, check: bool) -> None:
        if self._closed:
            return
        self._closed = True
        self._scene.close()
        if check:
            if not self._scene.is_told:
                self._scene.raise_failure()
            if self._scene.calling.faults.left:
                raise NeverCameError(
                    f"what was asked for never came: {'; '.join(self._scene.calling.faults.left)}",
                    hint="the step was not called, or not as often: world.called tells what was",
                )

    # For the test to use.

    @property
    def orchestrator(self) -> SagaOrchestrator:
        """An orchestrator for the test, and for code of yours that wants one: it starts, sends and awaits, and runs nothing."""
        return self._scene.front

    @property
    def admin(self) -> SagaAdmin:
        """The face for operators, over the sagas of this World."""
        return SagaAdmin(self._scene.front)

    @property
    def now(self) -> datetime:
        """The time of the World's clock."""
        return time_of(self._scene.store.now())

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call of a step, a compensation or a probe, in the order in which they were made."""
        return self._scene.calling.calls

    @property
    def called(self) -> tuple[str, ...]:
        """The same in a word each: "charge", "undo charge", "probe charge"."""
        return tuple(call.what for call in self._scene.calling.calls)

    @property
    def messages(self) -> tuple[OutgoingMessage, ...]:
        """Every outgoing message that was published, in order, as its publisher is given it. After a crash one may come twice."""
        return tuple(self._scene.messages)

    def register(
        self, definition: SagaDefinition[D, R], /, *, name: str | None = None, version: int = 1
    ) -> SagaHandle[D, R]:
        """Make a saga known to this World.

        Args:
            definition: The saga, made by `@saga` or `SagaBuilder.build`.
            name: The saga's name. Default: None, its own.
            version: A whole number from 1 to 2,147,483,647. Default: 1.

        Returns:
            The handle that starts such sagas. While its `run`, or `result` of a run, is awaited, the World goes on. Their
            `timeout` goes by the World's clock.

        Raises:
            SagaDefinitionError: The definition is none, the name or version cannot be one, or a topic that it declares has no
                publisher.
        """
        check_is(
            definition,
            SagaDefinition,
            "a definition",
            error=SagaDefinitionError,
            hint="pass what @saga or build() made",
        )
        self._scene.open_where_possible()
        chosen = name if name is not None else definition.name or ""
        self._scene.topics.check_definition(chosen, definition)
        stand_in = self._scene.through(definition)
        handle = self._scene.front.register(chosen, stand_in, version=version)
        self._scene.add(chosen, version, definition, stand_in)
        return handle

    # Time.

    async def until(
        self,
        run: AnyRun,
        /,
        *,
        step: AnyStepName | None = None,
        phase: Phase = "execute",
        waits_for: EventPattern[Any] | str | None = None,
    ) -> SagaSnapshot:
        """Go on until a saga has come so far. A saga that stood still before a call goes on first.

        Args:
            run: The saga's run, or its id.
            step: A step, as for `fake`: until it is about to be called. There it stands still until the World is asked to go on.
                Default: None, until the saga has ended or waits for a person.
            phase: The phase of `step` that is about to be called. Default: "execute".
            waits_for: An event, or its name: until the saga waits for it. Default: None.

        Returns:
            The saga as it is then.

        Raises:
            WorldError: That never comes; the message tells what the saga has come to instead.
            SagaDefinitionError: `step` is no step, or `waits_for` is no event.
            TypeValidationError: A type of a step cannot be stored.
            SagaNotFoundError: There is no such saga.
            SagaError: It is neither a run nor an id, or both `step` and `waits_for` are given.
        """
        saga_id = id_of(run)
        if step is not None and waits_for is not None:
            raise SagaError("a saga is awaited at a step or at a wait", hint="leave out `step` or `waits_for`")
        if step is not None:
            return await self._until_called(saga_id, step, phase)
        if waits_for is not None:
            return await self._until_waits(saga_id, waits_for)
        self._scene.open()
        self._scene.calling.release()
        _ = self._scene.snapshot(saga_id)
        if not await self._scene.drive(lambda: True if self._is_over(saga_id) else None):
            raise self._scene.never(saga_id, "its end is awaited")
        return self._scene.snapshot(saga_id)

    async def _until_called(self, saga_id: UUID, step: AnyStepName, phase: Phase) -> SagaSnapshot:
        check_phase(phase)
        scene, steps = self._scene, named(step, self._scene.sagas, of_one=True)
        scene.open()
        scene.calling.release()
        stop = scene.calling.stop = Stop(saga_id, steps, phase)
        _ = scene.snapshot(saga_id)
        _ = await scene.drive(lambda: True if stop.reached or self._is_over(saga_id) else None)
        if not stop.reached:
            scene.calling.stop = None
            words = {"execute": "", "compensate": "the undo of ", "probe": "the probe of "}
            raise scene.never(saga_id, f"{words[phase]}step {shown(steps.said)} is to be called")
        return scene.snapshot(saga_id)

    async def _until_waits(self, saga_id: UUID, event: EventPattern[Any] | str) -> SagaSnapshot:
        hint = 'pass the event, or its name: waits_for="approval"'
        check_is(event, (EventPattern, str), "an event", error=SagaDefinitionError, hint=hint)
        names = {event} if isinstance(event, str) else set(event.names)
        scene = self._scene
        scene.open()
        scene.calling.release()
        seen: list[SagaSnapshot] = [scene.snapshot(saga_id)]

        def waits() -> bool | None:
            row = scene.row(saga_id)
            if row is not None and row.rev != seen[-1].revision:
                seen.append(scene.snapshot(saga_id))
            return True if names & _awaited(seen[-1]) or self._is_over(saga_id) else None

        _ = await scene.drive(waits)
        if not names & _awaited(seen[-1]):
            raise scene.never(saga_id, f"a wait for {' or '.join(map(shown, sorted(names)))} is awaited")
        return seen[-1]

    def _is_over(self, saga_id: UUID) -> bool:
        """Whether the saga has ended, or can go on by a person alone."""
        row = self._scene.row(saga_id)
        return row is not None and (row.ended_at is not None or (row.is_parked and row.owner is None))

    async def advance(self, delta: timedelta, /) -> None:
        """Let so much time pass. All that falls due meanwhile happens, in its order. A saga that stood still goes on first.

        Args:
            delta: How much, as a timedelta of 0 to 365 days. With 0, all happens that can happen now.

        Raises:
            SagaError: It is no timedelta, or out of its range, or the clock would pass the year 9800.
            WorldError: Something else drives this World.
        """
        seconds = micros_of("the time", delta, least=0, error=SagaError) / 1_000_000
        latest = datetime(_LATEST_YEAR, 1, 1, tzinfo=UTC)
        if self.now > latest - delta:
            raise SagaError(
                f"the clock of a World goes no further than to the year {_LATEST_YEAR:,}, and it shows {self.now.year:,}",
                hint="let less time pass, or begin earlier: World(start=datetime(2026, 1, 1, tzinfo=UTC))",
            )
        scene = self._scene
        scene.open()
        scene.calling.release()
        limit = scene.clock.time.monotonic() + seconds
        for _ in ("on the way there", "there"):
            await scene.drive(_never, limit=limit)
            scene.clock.move_to(limit)

    async def run(self, *, past_waits: bool = False) -> None:
        """Run every saga to its end, or to where only a person or an event can help. A saga that stood still goes on first.

        Args:
            past_waits: Whether it goes on past waits for events, to their timeouts and to the saga's deadline. Default: False.

        Raises:
            WorldError: Something else drives this World.
        """
        self._scene.open()
        self._scene.calling.release()
        await self._scene.drive(_never, past_waits=past_waits)

    async def send(
        self,
        run: AnyRun,
        event: Event[T],
        payload: T,
        /,
        *,
        event_id: str | None = None,
        correlation_id: str | None = None,
    ) -> Delivery:
        """Send an event to a saga, as `orchestrator.to(run.id, event).send(payload)` does.

        Args:
            run: The saga's run, or its id.
            event: The event.
            payload: An instance of the event's type.
            event_id: An id that names this event. Default: None.
            correlation_id: The thing that the event is about. Default: None.

        Returns:
            The outcome; see `Delivery`.

        Raises:
            PayloadError: The payload is not of the event's type.
            SagaNotFoundError: There is no such saga.
            SagaStateError: The saga waits for no such event.
            SagaError: An argument is not what it has to be.
        """
        self._scene.open()
        sender = self._scene.front.to(id_of(run), event)
        return await sender.send(payload, event_id=event_id, correlation_id=correlation_id)


def _never() -> bool | None:
    return None


def _awaited(snapshot: SagaSnapshot) -> set[str]:
    return {event for wait in snapshot.waiting_for for event in wait.events}


def wants_only_fakes(world: World, wanted: bool | None) -> bool:
    """Let a call that has no fake fail the test, if that is wanted. None wants it if a step is faked by now. Gives what holds."""
    # No test asks for it so late: it says only_fakes= to its World.
    calling = world._scene.calling  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    calling.only_fakes = calling.fakes.has_a_step if wanted is None else wanted
    return calling.only_fakes
