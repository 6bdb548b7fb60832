"""The world outside of all sagas: the systems that steps call, as careful participants, and the broker.

A request may arrive late, twice, or after the death of who sent it. A request that is repeated under its key has one effect. What
was undone, or said to be not done, is refused to a request that was made before that.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar, final
from uuid import UUID

import attrs

from saga_fn import ArchivedSaga, StepContext
from saga_fn.outgoing import FailedForNow, OutgoingMessage, Published, PublishOutcome, RefusedForGood
from tests.simulation.judge import Judge
from tests.simulation.machine import Machine, Node

T = TypeVar("T")


class LateError(RuntimeError):
    """The request came after it was undone, or said to be not done; it has done nothing."""


@attrs.define
class Effect:
    """The books of one step of one saga, for one run of it: a rewind makes another one."""

    keys: set[str] = attrs.field(factory=set)
    """The keys that it was done under."""
    undone: bool = False
    barred: float = -1.0
    """No request that was made up to then does it any more."""
    undoable: bool = True
    """Whether its step has a compensation."""

    @property
    def stands(self) -> bool:
        """Whether it has been done, and not undone."""
        return bool(self.keys) and not self.undone


@final
class Outside:
    """All of it, with one memory."""

    def __init__(self, machine: Machine, judge: Judge, seed: str) -> None:
        self._machine = machine
        self._dice = random.Random(f"{seed} outside")
        self.judge = judge
        self.effects: dict[tuple[UUID, str, int], Effect] = {}
        self.begun: defaultdict[tuple[UUID, str, str, int, int], set[str]] = defaultdict(set)
        """The keys under which executions were begun."""
        self.published: defaultdict[UUID, list[UUID]] = defaultdict(list)
        """The messages that the broker has got, by saga, in the order in which it first had them."""
        self.lying = False
        """Whether participants forget what they are asked to remember: for a test of the judge."""

    # The books.

    def effect(self, ctx: StepContext) -> Effect:
        """The line of the books that a step is about."""
        key = ctx.saga_id, ctx.step_id, ctx.rewound
        found = self.effects.get(key)
        if found is None:
            found = self.effects[key] = Effect()
        return found

    def begin(self, node: Node, ctx: StepContext, direction: str) -> None:
        """Write down that an execution begins."""
        self.judge.begins(node, ctx, direction)
        if direction == "probe":
            return
        event = 0 if ctx.received_event is None else 1 + self._number(ctx.received_event[1])
        self.begun[ctx.saga_id, ctx.step_id, f"{direction} {ctx.rewound}", ctx.generation, event].add(
            ctx.idempotency_key
        )

    @staticmethod
    def _number(payload: bytes) -> int:
        return int.from_bytes(payload)

    def do(self, ctx: StepContext, made: float) -> None:
        """Do it, once for each key. `made` is when the request was made. Raises LateError."""
        effect, key = self.effect(ctx), ctx.idempotency_key
        if effect.undone or (effect.barred >= made and key not in effect.keys):
            raise LateError
        effect.keys.add(key)

    def undo(self, ctx: StepContext) -> None:
        """Undo it, or see to it that it is never done."""
        self.effect(ctx).undone = not self.lying

    def ask(self, ctx: StepContext, *, forever: bool) -> bool:
        """Whether it has been done; if not, no request that was made before now, or none ever, will do it."""
        effect = self.effect(ctx)
        if not effect.keys:
            effect.barred = math.inf if forever else max(effect.barred, self._machine.now)
        return bool(effect.keys)

    def archive(self, sagas: Sequence[ArchivedSaga]) -> None:
        """Have these sagas from now on, each as it stood when it ended."""
        self.judge.archived.update(saga.id for saga in sagas)

    async def request(self, node: Node, what: Callable[[], T], luck: random.Random) -> T:
        """Send a request from a process; it arrives whatever becomes of that, and perhaps twice."""
        answer = node.loop.create_future()
        there, back = 0.2 * luck.random() ** 3, 0.2 * luck.random() ** 3
        if luck.random() < 0.02:
            there += 12 * luck.random()
        if luck.random() < 0.05:
            self._machine.after(there + 8 * luck.random(), lambda: _silently(what))

        def arrive() -> None:
            given: Any  # Any: as the request has it
            try:
                given = what()
            except LateError as error:
                given = error
            self._machine.after(back, lambda: _answer(node, answer, given))

        self._machine.after(there, arrive)
        return await answer  # type: ignore[no-any-return]  # a future of all results

    # The broker.

    def publisher(self, node: Node) -> Callable[[Sequence[OutgoingMessage]], Any]:
        """The publisher of one process."""

        async def publish(messages: Sequence[OutgoingMessage]) -> Sequence[PublishOutcome]:
            return await self.request(node, lambda: [self._publish(each) for each in messages], self._dice)

        return publish

    def _publish(self, message: OutgoingMessage) -> PublishOutcome:
        luck = self._dice.random()
        if luck < 0.05:
            return FailedForNow("not now", after=None if luck < 0.03 else timedelta(seconds=1))
        if luck < 0.055:
            return RefusedForGood("never")
        known = self.published[message.saga_id]
        if message.id not in known:
            known.append(message.id)
        return Published() if luck < 0.97 else FailedForNow("the answer was lost")


def _silently(what: Callable[[], object]) -> None:
    try:
        _ = what()
    except LateError:
        return


def _answer(node: Node, answer: Any, given: object) -> None:  # Any: a future of all results
    if not node.alive or answer.done():
        return
    if isinstance(given, LateError):
        answer.set_exception(given)
    else:
        answer.set_result(given)


NEVER: Final = 3600.0
"""Seconds that no step is given: its timeout comes first."""
