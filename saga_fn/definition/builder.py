"""A saga put together step by step, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast, final, overload

import attrs
from typing_extensions import Unpack, override

from saga_fn.codec import PayloadType
from saga_fn.core.ids import StepId, owner_of
from saga_fn.core.plan import Plan, PlannedStep, StepKind
from saga_fn.definition.base import StepBase
from saga_fn.definition.binding import StepBinding, bind_step, bind_wait, plan_step, plan_wait
from saga_fn.definition.captured import Captured
from saga_fn.definition.deadline import check_deadline
from saga_fn.definition.ids import check_items, check_size, new_id
from saga_fn.definition.mapping import Mapped, Source, computed, handed_on
from saga_fn.definition.options import StepOptions, check_options
from saga_fn.definition.pivot import check_pivot
from saga_fn.definition.refs import INITIAL, AnyRefs, InputContext, StepRef
from saga_fn.definition.signature import payload_type
from saga_fn.definition.step import parts_of
from saga_fn.definition.waits import WaitingBuilder, WaitParts
from saga_fn.duration import micros_of
from saga_fn.errors import (
    SagaDefinitionError,
    is_a,
    shown,
)

D = TypeVar("D")
R = TypeVar("R")
I = TypeVar("I")  # noqa: E741 - input and output, the names the docs use throughout
O = TypeVar("O")  # noqa: E741
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
E = TypeVar("E")
F = TypeVar("F")

Order: TypeAlias = Literal["sequential", "graph"]
OnSiblings: TypeAlias = Literal["await", "cancel"]


@final
@attrs.frozen(eq=False)
class SagaDefinition(Generic[D, R]):
    """A saga from initial data D to result R: immutable, and the same for every run of it."""

    name: str | None
    """The name `@saga` gave it; one built by `SagaBuilder` gets its name when it is registered."""
    plan: Plan = attrs.field(repr=False)
    initial_type: PayloadType[D]
    output_type: PayloadType[R]
    output: StepId | None
    """The step whose output is the result; `INITIAL` for the initial data, None for a saga without a result."""
    steps: Mapping[StepId, StepBinding] = attrs.field(repr=False)
    _pin: Callable[[D, R], tuple[D, R]] | None = attrs.field(
        default=None, init=False, repr=False
    )  # never set: invariance

    def binding(self, step: StepId) -> StepBinding | None:
        """What it takes to run the step, or the item of a fan-out; None if there is no such step."""
        if not is_a(step, str):
            return None
        return self.steps.get(step) or self.steps.get(owner_of(step))


@final
class SagaBuilder(WaitingBuilder[D]):
    """Collects the steps of a saga. `initial` is the type of its initial data.

    Steps run in the order they are added. With `order="graph"` a step waits only for what it depends on, so that
    branches run at the same time. When one of them has failed for good, `siblings_on_failure` says what becomes of those
    that run: "await" (the default) lets them come to their ends, "cancel" cuts them short, and they may have run. Then
    everything that ran is undone, in reverse, and in parallel where the graph allows.
    `compensate_on_failure=False` ends a failed saga FAILED without undoing anything. When `deadline` is over, a saga that
    still goes forward rolls back, unless it is past its pivot; what could never be in time is refused.

    Example::

        builder = SagaBuilder(Order)
        reserved = builder.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data.order_id))
        charged = builder.add_step(charge, depends_on=reserved, input_map=lambda r: ChargeInput(r.reservation_id))
        create_order = builder.build(output=charged)        # SagaDefinition[Order, Payment]
    """

    @overload
    def __init__(
        self: SagaBuilder[dict[str, Any]],  # Any: a saga of untyped data, by choice
        *,
        compensate_on_failure: bool = ...,
        order: Order = ...,
        siblings_on_failure: OnSiblings = ...,
        deadline: timedelta | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        initial: type[D],
        *,
        compensate_on_failure: bool = ...,
        order: Order = ...,
        siblings_on_failure: OnSiblings = ...,
        deadline: timedelta | None = ...,
    ) -> None: ...
    def __init__(
        self,
        initial: Any = dict[str, Any],  # Any: see the overloads
        *,
        compensate_on_failure: bool = True,
        order: Order = "sequential",
        siblings_on_failure: OnSiblings = "await",
        deadline: timedelta | None = None,
    ) -> None:
        if not _is_one_of(order, "sequential", "graph"):
            raise SagaDefinitionError(f"order must be 'sequential' or 'graph', not {shown(order)}")
        if not _is_one_of(siblings_on_failure, "await", "cancel"):
            raise SagaDefinitionError(
                f"siblings_on_failure must be 'await' or 'cancel', not {shown(siblings_on_failure)}",
                hint="'await' lets the branches that run come to their ends before anything is undone",
            )
        if siblings_on_failure == "cancel" and order != "graph":
            raise SagaDefinitionError(
                "siblings_on_failure='cancel' says nothing where one step runs after another",
                hint="with order='graph' branches run at the same time",
            )
        super().__init__()
        self._initial_type: PayloadType[Any] = payload_type(initial, "the initial data")  # Any: see the overloads
        self._compensate_on_failure = bool(compensate_on_failure)
        self._cancel_siblings = siblings_on_failure == "cancel"
        self._sequential = order == "sequential"
        self._deadline = None if deadline is None else micros_of("deadline", deadline, least=1)
        self._planned: list[PlannedStep] = []
        self._bindings: dict[StepId, StepBinding] = {}
        self._captures: list[Captured] = []
        self._built = False

    @property
    def initial(self) -> StepRef[D]:
        """The initial data, wherever a step's output can stand."""
        return StepRef(self, INITIAL)

    @overload
    def add_step(
        self,
        step: StepBase[I, O],
        *,
        input_map: Callable[[InputContext[D]], I],
        after: AnyRefs = ...,
        **options: Unpack[StepOptions],
    ) -> StepRef[O]: ...
    @overload
    def add_step(
        self, step: StepBase[I, O], *, depends_on: StepRef[I], after: AnyRefs = ..., **options: Unpack[StepOptions]
    ) -> StepRef[O]: ...
    @overload
    def add_step(
        self,
        step: StepBase[I, O],
        *,
        depends_on: StepRef[A],
        input_map: Callable[[A], I],
        after: AnyRefs = ...,
        **options: Unpack[StepOptions],
    ) -> StepRef[O]: ...
    @overload
    def add_step(
        self,
        step: StepBase[I, O],
        *,
        depends_on: tuple[StepRef[A]],
        input_map: Callable[[A], I],
        after: AnyRefs = ...,
        **options: Unpack[StepOptions],
    ) -> StepRef[O]: ...
    @overload
    def add_step(
        self,
        step: StepBase[I, O],
        *,
        depends_on: tuple[StepRef[A], StepRef[B]],
        input_map: Callable[[A, B], I],
        after: AnyRefs = ...,
        **options: Unpack[StepOptions],
    ) -> StepRef[O]: ...
    @overload
    def add_step(
        self,
        step: StepBase[I, O],
        *,
        depends_on: tuple[StepRef[A], StepRef[B], StepRef[C]],
        input_map: Callable[[A, B, C], I],
        after: AnyRefs = ...,
        **options: Unpack[StepOptions],
    ) -> StepRef[O]: ...
    @overload
    def add_step(
        self,
        step: StepBase[I, O],
        *,
        depends_on: tuple[StepRef[A], StepRef[B], StepRef[C], StepRef[E]],
        input_map: Callable[[A, B, C, E], I],
        after: AnyRefs = ...,
        **options: Unpack[StepOptions],
    ) -> StepRef[O]: ...
    @overload
    def add_step(
        self,
        step: StepBase[I, O],
        *,
        depends_on: tuple[StepRef[A], StepRef[B], StepRef[C], StepRef[E], StepRef[F]],
        input_map: Callable[[A, B, C, E, F], I],
        after: AnyRefs = ...,
        **options: Unpack[StepOptions],
    ) -> StepRef[O]: ...
    def add_step(
        self,
        step: StepBase[I, O],
        *,
        depends_on: Any = None,  # Any: see the overloads
        input_map: Any = None,  # Any: see the overloads
        after: AnyRefs = (),
        **options: Unpack[StepOptions],
    ) -> StepRef[O]:
        """Add a step and get the reference to its output.

        Without `depends_on`, `input_map` is given the InputContext; with it, the outputs of those steps, one argument
        each. It may be left out where one step's output already is the other's input. It must be pure: it is computed
        again after a crash. `after` names steps to wait for without taking their output, for `order="graph"`.

        Raises SagaDefinitionError, and TypeValidationError for types that do not fit.
        """
        given: object = depends_on
        if depends_on is None:
            refs: tuple[Any, ...] = ()
        elif isinstance(depends_on, StepRef):
            refs = cast("tuple[Any, ...]", (depends_on,))  # judged one by one in `wire`, as below
        elif isinstance(depends_on, tuple) and depends_on:
            refs = cast("Any", depends_on)  # as above
        else:
            raise SagaDefinitionError(
                f"depends_on must be a StepRef or a tuple of StepRefs, not {shown(given)}",
                hint="write depends_on=(first, second), or leave it out",
            )
        return cast(
            "StepRef[O]", self.wire(step, refs, input_map, after, options)
        )  # the overloads above have checked it

    def wire(
        self,
        step: StepBase[Any, Any],
        refs: Sequence[StepRef[Any]],
        using: Callable[..., object] | None,
        after: AnyRefs,
        options: StepOptions,
    ) -> StepRef[Any]:  # Any throughout: both spellings come here after their overloads were checked
        """Add a step, untyped: what `add_step` and the traced calls of a `@saga` share."""
        self._refuse_built()
        parts = parts_of(step)
        check_options(options)
        _check_refs(parts.name, refs)
        chosen = cast("StepOptions", {**parts.options, **options})  # a TypedDict merged with itself
        step_id = new_id(chosen.get("step_id", parts.name), self._bindings)
        if (event := chosen.get("compensation_waits_for")) is not None:
            self.expect(event)
        follows = self._follows(step_id, refs, after)
        if using is None:
            map_input = handed_on(step_id, parts, self._sources(refs or (self.initial,)))
        else:
            map_input = self._computed(step_id, refs, using, "the input_map (using)", follows, parts.taken_type)
        self._captures.extend(Captured.of(f"{what} of step {shown(step_id)}", fn) for what, fn in parts.functions)
        return self._add(plan_step(step_id, parts, chosen, follows), bind_step(step_id, parts, chosen, map_input))

    @override
    def wire_wait(self, parts: WaitParts, after: AnyRefs) -> StepRef[Any]:  # Any: waits for events of all types
        """Add a wait, untyped: what all its spellings share."""
        self._refuse_built()
        if not is_a(parts, WaitParts):
            raise SagaDefinitionError(f"{shown(parts)} is no wait", hint="use add_event or add_sleep")
        step_id = new_id(parts.step_id, self._bindings)
        follows = self._follows(step_id, parts.refs, after)
        map_input = None
        if parts.compute is not None:
            what = "what the wait for it is about" if parts.kind is StepKind.EVENT else "the moment to sleep until"
            wanted = str if parts.kind is StepKind.EVENT else datetime
            map_input = self._computed(step_id, parts.refs, parts.compute, what, follows, wanted)
        return self._add(plan_wait(step_id, parts, follows), bind_wait(step_id, parts, map_input))

    def _add(self, planned: PlannedStep, binding: StepBinding) -> StepRef[Any]:  # Any: steps of all types
        check_items(planned, self._planned)
        self._planned.append(planned)
        self._bindings[planned.step] = binding
        return StepRef(self, planned.step)

    def _follows(self, step_id: StepId, refs: Sequence[StepRef[Any]], after: AnyRefs) -> tuple[StepId, ...]:
        """The steps that have to be done before this one."""
        named = (*refs, *(after if isinstance(after, tuple) else (after,)))
        for ref in named:
            self._check_ref(step_id, ref)
        if self._sequential:
            return (self._planned[-1].step,) if self._planned else ()
        return tuple(dict.fromkeys(ref.step_id for ref in named if ref.step_id != INITIAL))

    def _computed(
        self,
        step_id: StepId,
        refs: Sequence[StepRef[Any]],  # Any: steps of all types
        using: Callable[..., object],
        what: str,
        follows: tuple[StepId, ...],
        wanted: object,
    ) -> Mapped:
        declared = None if self._sequential else frozenset(follows)
        self._captures.append(Captured.of(f"{what} of step {shown(step_id)}", using))
        return computed(
            step_id,
            self._sources(refs),
            using,
            what=what,
            declared=declared,
            initial=self._initial_type.tp,
            wanted=wanted,
        )

    def _sources(self, refs: Sequence[StepRef[Any]]) -> list[Source]:  # Any: steps of all types
        return [Source(ref, self._type_of(ref), self._is_conditional(ref)) for ref in refs]

    def _type_of(self, ref: StepRef[Any]) -> PayloadType[Any]:  # Any: steps of all types
        return self._initial_type if ref.step_id == INITIAL else self._bindings[ref.step_id].result_type

    def _is_conditional(self, ref: StepRef[Any]) -> bool:  # Any: steps of all types
        return ref.step_id != INITIAL and self._bindings[ref.step_id].when is not None

    def _check_ref(self, user: str, ref: object) -> None:
        if not isinstance(ref, StepRef):
            raise SagaDefinitionError(
                f"{shown(user)} depends on {shown(ref)}, which is not a StepRef",
                hint="pass what add_step (or the call of a step) gave; several of them as a tuple",
            )
        known = cast("StepRef[object]", ref)  # isinstance cannot see the type argument
        if known.builder is not self:
            raise SagaDefinitionError(
                f"{shown(user)} depends on {shown(known)} of another saga",
                hint="use refs only in the saga that made them",
            )
        if ref.step_id != INITIAL and ref.step_id not in self._bindings:
            raise SagaDefinitionError(
                f"{shown(user)} depends on step {shown(ref.step_id)}, which is not there",
                hint="add first what a step depends on, and pass the StepRef that gave: so no steps wait for each other",
            )

    @overload
    def build(self) -> SagaDefinition[D, None]: ...
    @overload
    def build(self, *, output: StepRef[R]) -> SagaDefinition[D, R]: ...
    def build(self, *, output: StepRef[Any] | None = None) -> SagaDefinition[D, Any]:  # Any: see the overloads
        """The finished saga; `output` is the step whose output is its result. Raises SagaDefinitionError if it is empty."""
        return self.finish(None, output)

    def finish(self, name: str | None, output: StepRef[Any] | None) -> SagaDefinition[D, Any]:  # Any: see `build`
        """What `build` and `@saga` share."""
        self._refuse_built()
        if not self._planned:
            raise SagaDefinitionError("a saga needs at least one step", hint="add one with add_step")
        if output is not None:
            self._check_ref("the saga's output", output)
        for captured in self._captures:
            captured.check()
        check_pivot(self._planned)
        plan = Plan.of(
            *self._planned,
            compensate_on_failure=self._compensate_on_failure,
            cancel_siblings=self._cancel_siblings,
            deadline=self._deadline,
            output=None if output is None else output.step_id,
        )
        check_deadline(plan)
        check_size(plan)
        self._built = True
        return SagaDefinition(
            name=name,
            plan=plan,
            initial_type=self._initial_type,
            output_type=PayloadType.of(type(None)) if output is None else self._type_of(output),
            output=None if output is None else output.step_id,
            steps=MappingProxyType(dict(self._bindings)),
        )

    def _refuse_built(self) -> None:
        if self._built:
            raise SagaDefinitionError("this saga is built already", hint="use another SagaBuilder for another saga")


def _is_one_of(value: object, *words: str) -> bool:
    """Whether it is one of these words; a value that is no string is not even compared."""
    return isinstance(value, str) and value in words


def _check_refs(user: str, refs: object) -> None:
    if not isinstance(refs, Sequence):
        raise SagaDefinitionError(f"{shown(user)} depends on {shown(refs)}, which is no StepRef", hint="use add_step")
