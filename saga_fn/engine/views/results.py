"""The result of a saga: of its own, by the plan that it was run by, in any process that asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar, cast
from uuid import UUID

import msgspec

from saga_fn.codec import PayloadType
from saga_fn.core.ids import StepId
from saga_fn.core.inputs import NO_OUTPUT, output_at
from saga_fn.core.plan import Plan, StepKind
from saga_fn.definition import INITIAL, AnySaga, SagaDefinition
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.registry import Registered
from saga_fn.engine.views.journal import beginning_of
from saga_fn.engine.views.plans import readable_plan
from saga_fn.errors import PayloadError, SagaNotFoundError, StoredDataError, shown
from saga_fn.store.ids import shard_of
from saga_fn.store.records import SagaRecord, decode_state

R = TypeVar("R")
_NOTHING: Final = PayloadType[None].of(type(None))


def check_name(row: SagaRecord, name: str) -> None:
    """Raise SagaNotFoundError for a saga of another name: a caller who has its id by mistake must not read it as his own."""
    if row.name != name:
        raise SagaNotFoundError(row.id, wanted=name, found=row.name)


def result_of(live: OwnedSaga, asked: SagaDefinition[Any, R]) -> R:  # Any: what it was started with does not matter
    """The result of a saga that has completed in this process; `asked` is the definition of the process that asks."""
    step = live.plan.data.output
    registered = live.registered
    if step is None and asked.output is None:
        return cast("R", None)
    if step is None:
        return _Asking(live.id, registered.name, registered.version, registered, asked).none()
    read = _type_of(step, registered.definition, asked)
    if step == INITIAL:
        return read.decode(live.initial)
    at = output_at(live.state, step)
    if isinstance(at, tuple):
        return read.decode(_joined(live.results[item].payload for item in at))
    if not at:
        return read.decode(b"null")  # it was not taken
    known = registered.definition.steps.get(step)
    if known is not None and known.result_type is read:
        return cast("R", live.output(step, at))  # what `read` gives
    return read.decode(live.output_of(step, at))


async def read_result(engine: SagaEngine, row: SagaRecord, asked: SagaDefinition[Any, R]) -> R:  # Any: as above
    """The result of a completed saga, from the journal; `asked` is the definition of the process that asks.

    Raises PayloadError if its version gives no result where `asked` promises one, and if its version is not registered here
    and `asked` cannot read it.
    """
    plan = await readable_plan(engine, row)
    step = asked.output if plan is None else plan.data.output
    registered = engine.registry.find(row.name, row.version)
    asking = _Asking(row.id, row.name, row.version, registered, asked)
    if step is None:
        return asking.none()
    read = _type_of(step, asked if registered is None else registered.definition, asked)
    if _is_sleep(plan, step):
        return asking.read(read, b"null")
    state = decode_state(row.state, row.rev)
    at = 1 if step == INITIAL else output_at(state, step)
    if at is None:
        raise StoredDataError("state", f"step {shown(step)}, which gives the result, is not done in it")
    places = [output_at(state, item) for item in at] if isinstance(at, tuple) else [at]
    wanted = [(row.id, seq) for seq in places if isinstance(seq, int) and seq != NO_OUTPUT]
    recorded = await engine.store.results(shard_of(row.id, engine.store.shards), wanted)
    if missing := [seq for key in wanted if key not in recorded for _, seq in [key]]:
        await beginning_of(engine.store, row)
        raise StoredDataError("journal entry", f"number {missing[0]} is not there")
    if isinstance(at, tuple):
        return asking.read(read, _joined(recorded[key].payload for key in wanted))
    # Nothing is recorded of what was not taken.
    payload = recorded[wanted[0]].payload if wanted else None
    return asking.read(read, payload or b"null")


class _Asking(msgspec.Struct, Generic[R], frozen=True):
    """Whose result is asked for, and by whom."""

    saga_id: UUID
    name: str
    version: int
    registered: Registered | None
    asked: SagaDefinition[Any, R]  # Any: what it was started with does not matter

    def read(self, read: PayloadType[R], payload: bytes) -> R:
        """The result. Raises PayloadError, which says so if its version is not registered."""
        try:
            return read.decode(payload)
        except PayloadError as error:
            if self.registered is not None:
                raise
            raise PayloadError(
                f"{self._of_version()}, which is not registered here, and the definition that asks cannot read it: {error.fact}",
                path=error.path,
                stored=True,
                hint=f"register that version as well: register({shown(self.name)}, its_definition, version={self.version})",
            ) from error

    def none(self) -> R:
        """The result of a saga without one. Raises PayloadError where that is no result for the caller's type."""
        promised = cast("PayloadType[R]", _NOTHING) if self.asked.output is None else self.asked.output_type
        try:
            return promised.decode(b"null")
        except PayloadError as error:
            raise PayloadError(
                f"{self._of_version()}, which gives no result, but a {promised.name} is asked for",
                stored=True,
                hint=f"attach by the handle of that version: register({shown(self.name)}, its_definition, version={self.version})",
            ) from error

    def _of_version(self) -> str:
        return f"saga {self.saga_id} was run by version {self.version} of {shown(self.name)}"


def _type_of(step: StepId, own: AnySaga, asked: SagaDefinition[Any, R]) -> PayloadType[R]:  # Any: sagas of all types
    """How the result is read: as the step's type in the saga's own version, else as the caller's."""
    for definition in (own, asked):
        if definition.output == step:
            return definition.output_type
        if step == INITIAL:
            return definition.initial_type
        if step in definition.steps:
            return definition.steps[step].result_type
    return asked.output_type


def _is_sleep(plan: Plan | None, step: StepId) -> bool:
    return plan is not None and step != INITIAL and plan.step(step).kind is StepKind.SLEEP


def _joined(payloads: Iterable[bytes | None]) -> bytes:
    return b"[" + b",".join(payload or b"null" for payload in payloads) + b"]"
