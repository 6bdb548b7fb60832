"""The parts of `SagaAdmin` have this in common: they read a row, and judge a step and a revision that are named."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, cast
from uuid import UUID

from saga_fn.arguments import check_size, check_whole
from saga_fn.core.effects import Refusal
from saga_fn.core.ids import StepId
from saga_fn.core.plan import LONGEST_ID, StepKind
from saga_fn.definition import StepRef
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.refusals import told_of_refusal
from saga_fn.engine.requests.rows import read_row
from saga_fn.errors import PayloadError, SagaDefinitionError, SagaNotRegisteredError, SagaStateError, shown
from saga_fn.store.records import SagaRecord

_LONGEST_STEP: Final = LONGEST_ID + len("[999]")
"""Characters: of a step's id, or of one of its items."""


class AdminBase:
    """Each part of `SagaAdmin` needs this: the engine whose sagas are looked into, and who asks."""

    _engine: SagaEngine
    _actor: str | None

    def _asked(self, reason: str | None) -> bytes | None:
        return Asked.of(self._actor, reason).encode()

    async def _read(self, saga_id: UUID) -> SagaRecord:
        return await read_row(self._engine, saga_id)

    async def _given(self, saga_id: UUID, chosen: StepId, value: object, *, is_input: bool = False) -> bytes:
        """The bytes of what an operator gives as the output of a step, or as its input."""
        row = await self._read(saga_id)
        registered = self._engine.registry.find(row.name, row.version)
        if registered is None:
            raise SagaNotRegisteredError(row.name, registered=[name for name, _ in self._engine.registry.pairs])
        binding = registered.definition.binding(chosen)
        if binding is None:
            known = shown(list(registered.definition.steps))
            raise SagaDefinitionError(
                f"saga {shown(row.name)} has no step {shown(chosen)}", hint=f"its steps are {known}"
            )
        if is_input and binding.kind is not StepKind.STEP:
            fact, hint = told_of_refusal(Refusal.NO_INPUT)
            raise SagaStateError(f"saga {saga_id} {fact}", saga_id=saga_id, refusal=Refusal.NO_INPUT, hint=hint)
        kept = binding.input_type if is_input else binding.given_for(chosen)
        what = f"the {'input' if is_input else 'output'} for step {shown(chosen)}"
        try:
            payload = kept.encode(kept.accept(value))
        except PayloadError as error:
            _, judged, told = error.fact.partition(f" is no valid {kept.name}: ")
            fact = f"{what} is no valid {kept.name}: {told}" if judged else f"{what}: {error.fact}"
            keys = kept.keys_in_words
            raise PayloadError(
                fact, path=error.path, hint=f"{kept.name} is an object with {keys}" if keys else error.hint
            ) from None
        check_size(what, payload, self._engine.options.max_payload_bytes)
        return payload


def step_of(step: object) -> StepId:
    """The id of the step that is named; raises SagaDefinitionError for what names none."""
    found: object = step.step_id if isinstance(step, StepRef) else step
    if (
        not isinstance(found, str)
        or not 0 < len(found) <= _LONGEST_STEP
        or not (found.isascii() and found.isprintable())
    ):
        raise SagaDefinitionError(
            f"a step's id or its StepRef is wanted, not {shown(found)}",
            hint='as in skip_step(saga_id, "charge", output); steps of SagaAdmin.get_saga has them all',
        )
    return StepId(str.__str__(found))  # of a subclass, too, which the stores cannot encode


def steps_of(steps: object) -> tuple[StepId, ...]:
    """The ids of the steps that are named, each once; raises SagaDefinitionError for what names none."""
    if not isinstance(steps, Sequence | AbstractSet) or isinstance(steps, str | bytes | bytearray):
        raise SagaDefinitionError(
            f"a list of steps is wanted, not {shown(steps)}",
            hint='as in rewind(saga_id, "reserve", forget=("charge", "ship"))',
        )
    return tuple(dict.fromkeys(step_of(step) for step in cast("Collection[object]", steps)))


def revision_of(expect: object) -> int | None:
    """The revision that the operator saw; raises SagaError for what is none."""
    if expect is None:
        return None
    check_whole("expect", expect, least=1, most=2**62)
    return cast("int", expect)
