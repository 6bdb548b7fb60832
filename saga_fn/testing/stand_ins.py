"""A definition whose code is called through a World: everything else of it is as it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import msgspec

from saga_fn.core.plan import StepKind
from saga_fn.definition import CompiledStep, SagaDefinition, SagaNews, StepContext
from saga_fn.definition.outgoing import GivenHook, Hooks, Outgoing
from saga_fn.testing.calls import Place

D = TypeVar("D")
R = TypeVar("R")
Code: TypeAlias = Callable[..., Awaitable[object]]
"""The user's code: it is called with what a place is given, and with its context."""
Through: TypeAlias = Callable[[Place, Code], Awaitable[object]]
"""Makes a call of the user's code, or of what stands in for it."""
ThroughHook: TypeAlias = Callable[[Callable[[], Awaitable[object]]], Awaitable[object]]


def through(
    definition: SagaDefinition[D, R], steps: Callable[[CompiledStep], Through], hooks: ThroughHook
) -> SagaDefinition[D, R]:
    """The same definition, each call of whose code goes through these."""
    stand_ins = {
        step_id: _step(step, steps(step)) if step.kind is StepKind.STEP else step
        for step_id, step in definition.steps.items()
    }
    return msgspec.structs.replace(definition, steps=stand_ins, hooks=_hooks(definition.hooks, hooks))


def _step(step: CompiledStep, call: Through) -> CompiledStep:
    async def execute(given: object, context: StepContext) -> object:
        return await call(Place("execute", (given,), context), step.execute)

    async def compensate(given: object, output: object, context: StepContext) -> Any:  # Any: judged by the engine
        undo = step.compensate
        assert undo is not None, "else it is never called"
        return await call(Place("compensate", (given, output), context), undo)

    async def probe(given: object, context: StepContext) -> object:
        ask = step.probe
        assert ask is not None, "else it is never called"
        return await call(Place("probe", (given,), context), ask)

    return msgspec.structs.replace(
        step,
        execute=execute,
        compensate=None if step.compensate is None else compensate,
        probe=None if step.probe is None else probe,
    )


def _hooks(hooks: Hooks | None, call: ThroughHook) -> Hooks | None:
    if hooks is None:
        return None
    return msgspec.structs.replace(hooks, **{hook.value: _hook(given, call) for hook, given in hooks.all.items()})


def _hook(given: GivenHook, call: ThroughHook) -> GivenHook:
    if isinstance(given, Outgoing):
        return given

    async def told(news: SagaNews) -> object:
        return await call(lambda: given(news))

    return told
