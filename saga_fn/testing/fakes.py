"""The fakes of steps' code, and the faults that befall its calls, by the steps that a test names."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, Literal, TypeAlias, cast, final
from uuid import UUID

import attrs
from typing_extensions import TypeIs

from saga_fn.arguments import check_is
from saga_fn.codec import type_name
from saga_fn.core.ids import StepId, owner_of
from saga_fn.core.plan import StepKind
from saga_fn.definition import NOT_DONE, AnySaga, CompiledStep, Done
from saga_fn.definition.steps.base import AnyStep, StepBase
from saga_fn.definition.steps.parts import WithoutContext
from saga_fn.definition.steps.step import parts_of
from saga_fn.definition.values.refs import StepRef
from saga_fn.errors import PayloadError, SagaDefinitionError, shown
from saga_fn.testing.calls import Phase, Place, WorldError, done_by

At: TypeAlias = Literal["before", "after", "after_commit", "in_undo", "in_probe"]
"""The moment of a crash."""
FaultKind: TypeAlias = At | Literal["twice", "late"]
"""A crash, by its moment; or a call that is made twice, or whose answer comes too late."""
AnyCode: TypeAlias = Callable[..., object]
PHASES: Final[dict[str, Phase]] = {
    "before": "execute",
    "after": "execute",
    "after_commit": "execute",
    "in_undo": "compensate",
    "in_probe": "probe",
}


@final
@attrs.frozen
class Named:
    """The steps that a test names: by an id, or the code of one step under every id."""

    said: str
    places: frozenset[tuple[str, str]]
    """The names of the sagas, with the ids of their steps that are meant; an item may be named by itself."""

    def means(self, saga_name: str, step_id: str) -> bool:
        """Whether it names this step of that saga, or the step that this is an item of."""
        return (saga_name, step_id) in self.places or (saga_name, owner_of(StepId(step_id))) in self.places


def named(step: object, sagas: Iterable[tuple[str, AnySaga]], *, of_one: bool = False) -> Named:
    """The steps that are named so in these sagas. Raises WorldError where there is none.

    An id is refused where two sagas have another step each under it, unless one of the sagas alone is meant (`of_one`). Sagas of
    one name are versions of one saga, and have the same steps.
    """
    known = [(name, each) for name, definition in sagas for each in _steps(definition)]
    if _is_step(step):
        parts = parts_of(step)
        code = code_of(parts.execute)
        said = parts.name
        places = {(name, str(each.step_id)) for name, each in known if code_of(each.execute) == code}
    else:
        hint = 'pass its id, as in "charge", its StepRef, or the step itself'
        check_is(step, (str, StepRef), "a step", error=SagaDefinitionError, hint=hint)
        said = str(step.step_id) if isinstance(step, StepRef) else cast("str", step)
        found = [(name, each) for name, each in known if owner_of(StepId(said)) == each.step_id]
        if not of_one:
            _refuse_two(said, found)
        places = {(name, said) for name, _ in found}
    if not places:
        names = ", ".join(dict.fromkeys(shown(str(each.step_id)) for _, each in known))
        raise WorldError(
            f"no saga of this World has a step {shown(said)}",
            hint=f"its steps are {names}" if names else "register the saga first: world.register(order_saga)",
        )
    return Named(said, frozenset(places))


def _refuse_two(said: str, found: Iterable[tuple[str, CompiledStep]]) -> None:
    """Raise WorldError for an id under which two sagas have nothing in common: a fake of the one would stand in for the other."""
    codes: dict[str, list[AnyCode]] = {}
    for name, each in found:
        codes.setdefault(name, []).append(code_of(each.execute))
    for (one, of_one), (other, of_other) in itertools.combinations(codes.items(), 2):
        if not any(code in of_other for code in of_one):
            raise WorldError(
                f"the sagas {shown(one)} and {shown(other)} of this World have another step {shown(said)} each",
                hint="pass the step itself, as in world.fake(charge, ...); or give one of them another id: step_id=",
            )


def _is_step(value: object) -> TypeIs[AnyStep]:
    return isinstance(value, StepBase)


def code_of(execute: AnyCode) -> AnyCode:
    """The user's own function: what calls it without a context is made anew each time for a step that is an object."""
    return execute.fn if isinstance(execute, WithoutContext) else execute


def _steps(definition: AnySaga) -> Iterator[CompiledStep]:
    return (step for step in definition.steps.values() if step.kind is StepKind.STEP)


@final
class Fake:
    """The code that stands in for one phase of some steps, for ever or for some calls."""

    __slots__ = ("code", "left", "named", "phase")

    def __init__(self, named: Named, phase: Phase, code: AnyCode, times: int | None = None) -> None:
        self.named: Named = named
        self.phase: Phase = phase
        self.code: AnyCode = code
        self.left: int | None = times


@final
class Fakes:
    """The fakes of a World. The latest comes first, for as long as it has calls left."""

    def __init__(self) -> None:
        self._fakes: list[Fake] = []
        self._done: dict[str, Done[object]] = {}
        """By idempotency key, what the fake of a step has done: its probe answers by that, where that has no fake."""
        self._real: set[tuple[UUID, str]] = set()
        """The steps of sagas whose own code was called: their own undo and probe know of that."""

    @property
    def has_a_step(self) -> bool:
        """Whether the work of a step is faked, not its undo or its probe alone."""
        return any(fake.phase == "execute" for fake in self._fakes)

    def add(self, fake: Fake) -> None:
        """One more, which comes before the others."""
        self._fakes.insert(0, fake)

    def stands_in(self, place: Place, step: CompiledStep) -> Callable[[], Awaitable[object]] | None:
        """The call of what stands in for the code of this place; None if its own code is to be called."""
        found = self._take(place)
        if found is not None:
            code = found.code
            return lambda: self._call(code, place, step)
        work = place.context.saga_id, place.context.step_id
        if place.phase == "execute":
            self._real.add(work)
        elif work not in self._real and self._is_faked(place):
            return lambda: self._by_itself(place)
        return None

    def _take(self, place: Place) -> Fake | None:
        for fake in self._fakes:
            if (
                fake.phase == place.phase
                and fake.named.means(place.context.saga_name, place.context.step_id)
                and fake.left != 0
            ):
                fake.left = None if fake.left is None else fake.left - 1
                return fake
        return None

    def _is_faked(self, place: Place) -> bool:
        return any(
            fake.phase == "execute" and fake.named.means(place.context.saga_name, place.context.step_id)
            for fake in self._fakes
        )

    async def _call(self, code: AnyCode, place: Place, step: CompiledStep) -> object:
        given = (*place.given, place.context)
        value = code(*given[: _wanted(code, len(place.given))])
        if inspect.isawaitable(value):
            value = cast("object", await value)
        if place.phase == "execute":
            done = done_by(value)
            if isinstance(done, Done):
                _check(done.output, place, step)
                self._done[place.context.idempotency_key] = done
        return value

    async def _by_itself(self, place: Place) -> object:
        """The undo and the probe of a step whose work is faked: what the fake has done is undone, and known."""
        if place.phase == "compensate":
            return None
        return self._done.get(place.context.idempotency_key, NOT_DONE)


def check_code(code: object, values: int, what: str) -> AnyCode:
    """The function; raises SagaDefinitionError for what cannot be called with so many values."""
    if not callable(code):
        raise SagaDefinitionError(
            f"{what} is faked by a function, not by {shown(code)}",
            hint="a value is given by returns=, an error by raises=",
        )
    try:
        _ = _wanted(code, values)
    except TypeError as error:
        wanted = "the step's input" if values == 1 else "the step's input and its output"
        raise SagaDefinitionError(
            f"{what} cannot be faked by {shown(code)}: {error}",
            hint=f"it takes {wanted}, and may take a StepContext after",
        ) from None
    return code


def _wanted(code: AnyCode, values: int) -> int:
    """How many arguments it wants: the values, or the context as well. Raises TypeError."""
    try:
        signature = inspect.signature(code)
    except ValueError:  # of a function that is not Python's
        return values
    try:
        _ = signature.bind(*[None] * values)
    except TypeError:
        _ = signature.bind(*[None] * (values + 1))
        return values + 1
    return values


def _check(output: object, place: Place, step: CompiledStep) -> None:
    """Raise WorldError for an output that the step itself could not return."""
    try:
        _ = step.output_type.encode(output)
    except PayloadError as error:
        raise WorldError(
            f"the fake of step {shown(place.context.step_id)} has returned {shown(output)}: {error.fact}",
            hint=f"it has to return what the step returns: {type_name(step.output_type.tp)}",
        ) from None


@final
class Fault:
    """A fault that befalls the next calls of some steps."""

    __slots__ = ("kind", "left", "named", "phase")

    def __init__(self, kind: FaultKind, named: Named, phase: Phase, times: int) -> None:
        self.kind: FaultKind = kind
        self.named: Named = named
        self.phase: Phase = phase
        self.left: int = times

    @property
    def said(self) -> str:
        """As the test has said it."""
        what = (
            f'crash("{self.named.said}", at="{self.kind}")'
            if self.kind in PHASES
            else f'{self.kind}("{self.named.said}")'
        )
        return what if self.left == 1 else f"{what}, {self.left} times"


@final
class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """One more, which comes after the others."""
        self._faults.append(fault)

    def take(self, kind: FaultKind, phase: Phase, saga_name: str, step_id: str) -> bool:
        """Whether this call is to suffer this; counts it."""
        for fault in self._faults:
            if fault.kind == kind and fault.phase == phase and fault.left and fault.named.means(saga_name, step_id):
                fault.left -= 1
                return True
        return False

    @property
    def left(self) -> list[str]:
        """Those that never came."""
        return [fault.said for fault in self._faults if fault.left]
