"""The participant that an example's steps call: it does each thing once for its key, undoes it, and keeps books."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from saga_fn import StepContext
from saga_fn.testing import World


@final
class Participant:
    """All services of one saga in a World."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._answers: dict[str, object] = {}
        self._holds: set[str] = set()

    def does(self, step: str, answer: Callable[[Any], object]) -> None:  # Any: inputs of all steps
        """Stand for a step that has a compensation, and for that."""

        def do(inp: object, ctx: StepContext) -> object:
            given = self._answers.setdefault(ctx.idempotency_key, answer(inp))
            self._holds.add(ctx.operation)
            return given

        def undo(inp: object, out: object, ctx: StepContext) -> None:
            self._holds.discard(ctx.operation)

        self._world.fake(step, do)
        self._world.fake_undo(step, undo)

    def holds(self) -> object:
        """The things that were done and not undone: the saga and the step of each."""
        return sorted(self._holds)
