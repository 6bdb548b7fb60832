"""A saga put together step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar, cast, final, overload

from typing_extensions import Unpack, override

from saga_fn.arguments import check_is, micros_of
from saga_fn.codec import AnyType, PayloadType
from saga_fn.core.ids import StepId
from saga_fn.core.plan import PlanData, PlannedStep, StepKind
from saga_fn.core.plan_flaws import NeedsUnlisted
from saga_fn.definition.attribute_settings import Attributes
from saga_fn.definition.attributes import Attribute, AttributeBase, V
from saga_fn.definition.captured import Captured
from saga_fn.definition.checks import check_step, checked_plan, new_id, refusal
from saga_fn.definition.compiled_step import CompiledStep, compile_step, compile_wait, plan_step, plan_wait
from saga_fn.definition.outgoing import GivenHook, Hooks
from saga_fn.definition.retention import Retention
from saga_fn.definition.saga_definition import SagaDefinition
from saga_fn.definition.steps.base import AnyStep, StepBase
from saga_fn.definition.steps.step import parts_of
from saga_fn.definition.steps.step_options import StepOptions, check_options
from saga_fn.definition.steps.transactions import READ_COMMITTED, check_alone
from saga_fn.definition.values.annotations import payload_type
from saga_fn.definition.values.input_context import InputContext
from saga_fn.definition.values.mapping import InputMap, Source, mapped, pass_through
from saga_fn.definition.values.refs import INITIAL, AnyRef, AnyRefs, StepRef
from saga_fn.definition.waits.wait_parts import WaitingBuilder, WaitParts
from saga_fn.errors import SagaDefinitionError, is_a, shown

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
class SagaBuilder(WaitingBuilder[D]):
    """Collects the steps of a saga.

    Args:
        initial: The type of the initial data. Default: `dict[str, Any]`.
        compensate_on_failure: Whether a failed saga is rolled back. False ends it FAILED without undoing anything. Default: True.
        order: "sequential" runs the steps in the order in which they are added. "graph" lets a step wait only for the steps that
            it depends on, so that branches run at the same time. Default: "sequential".
        siblings_on_failure: When a branch has failed for good, "await" lets the other branches come to their ends. "cancel" cuts
            them short, and they may have run. Then all that ran is undone, in reverse. Default: "await".
        deadline: The longest time that the saga goes forward, as a timedelta of at most 365 days. Then it is rolled back, unless it
            is past its pivot. A saga that could never be in time is refused. Default: None, no limit.
        retention: How long its sagas are kept after their ends. Default: None, for ever.
        attributes: The search attributes of the saga, 8 at most. Default: none.
        on_started: A message that is published when the saga is stored, or an async function that is called then, at least once.
            Default: None.
        on_completed: The same for its end COMPLETED. Default: None.
        on_compensated: The same for its end COMPENSATED. Default: None.
        on_failed: The same for its end FAILED. Default: None.
        on_parked: The same for the moment when it begins to wait for a person. Default: None.

    Raises:
        SagaDefinitionError: An option is not one of its values.
        TypeValidationError: The initial data cannot be stored.

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
        retention: Retention | None = ...,
        attributes: Sequence[AttributeBase] = ...,
        on_started: GivenHook | None = ...,
        on_completed: GivenHook | None = ...,
        on_compensated: GivenHook | None = ...,
        on_failed: GivenHook | None = ...,
        on_parked: GivenHook | None = ...,
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
        retention: Retention | None = ...,
        attributes: Sequence[AttributeBase] = ...,
        on_started: GivenHook | None = ...,
        on_completed: GivenHook | None = ...,
        on_compensated: GivenHook | None = ...,
        on_failed: GivenHook | None = ...,
        on_parked: GivenHook | None = ...,
    ) -> None: ...
    def __init__(
        self,
        initial: Any = dict[str, Any],  # Any: see the overloads
        *,
        compensate_on_failure: bool = True,
        order: Order = "sequential",
        siblings_on_failure: OnSiblings = "await",
        deadline: timedelta | None = None,
        retention: Retention | None = None,
        attributes: Sequence[AttributeBase] = (),
        on_started: GivenHook | None = None,
        on_completed: GivenHook | None = None,
        on_compensated: GivenHook | None = None,
        on_failed: GivenHook | None = None,
        on_parked: GivenHook | None = None,
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
        hint = "retention=Retention(completed=timedelta(days=30))"
        check_is(retention, (Retention, type(None)), "a Retention", error=SagaDefinitionError, hint=hint)
        super().__init__()
        self._retention = retention
        self._initial_type: AnyType = payload_type(initial, "the initial data")
        self._compensate_on_failure = bool(compensate_on_failure)
        self._cancel_siblings = siblings_on_failure == "cancel"
        self._sequential = order == "sequential"
        self._deadline = None if deadline is None else micros_of("deadline", deadline, least=1)
        self._planned: dict[StepId, PlannedStep] = {}
        self._bindings: dict[StepId, CompiledStep] = {}
        self._captures: list[Captured] = []
        self._attributes = Attributes(attributes)
        hooks = Hooks(
            on_started=on_started,
            on_completed=on_completed,
            on_compensated=on_compensated,
            on_failed=on_failed,
            on_parked=on_parked,
        )
        self._hooks = hooks if hooks.all else None
        self._built = False

    @property
    def initial(self) -> StepRef[D]:
        """The reference to the initial data; it can stand for a step's output everywhere."""
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
        depends_on: object = None,
        input_map: Callable[..., object] | None = None,
        after: AnyRefs = (),
        **options: Unpack[StepOptions],
    ) -> StepRef[O]:
        """Add a step and get the reference to its output.

        Args:
            step: The step, made by `step` or from a class.
            depends_on: The StepRef or the tuple of StepRefs whose outputs the step is given. Default: None, no output.
            input_map: A function that makes the step's input: of the outputs of `depends_on`, one argument each, or else of the
                InputContext. It must be pure, for it is computed again after a crash. Default: None, where one step's output is
                already the other's input.
            after: Steps to wait for without taking their output, for `order="graph"`. Default: none.
            options: The options of `StepOptions`, which win over those of the step. Default: those of the step.

        Returns:
            The reference to the step's output, for the steps that follow.

        Raises:
            SagaDefinitionError: The step or an option cannot be used so, or the saga is built already.
            TypeValidationError: The types do not fit.
        """
        refs: object = depends_on
        if depends_on is None:
            refs = ()
        elif isinstance(depends_on, StepRef):
            refs = (cast("StepRef[object]", depends_on),)  # isinstance cannot see the type argument
        elif not isinstance(depends_on, tuple) or not depends_on:
            raise SagaDefinitionError(
                f"depends_on must be a StepRef or a tuple of StepRefs, not {shown(refs)}",
                hint="write depends_on=(first, second), or leave it out",
            )
        # The overloads above have checked the types, and `wire` judges the references one by one.
        return cast("StepRef[O]", self.wire(step, cast("tuple[AnyRef, ...]", refs), input_map, after, options))

    def wire(
        self,
        step: AnyStep,
        refs: Sequence[AnyRef],
        using: Callable[..., object] | None,
        after: AnyRefs,
        options: StepOptions,
    ) -> AnyRef:
        """Add a step, untyped. `add_step` and the traced calls of a `@saga` share it; call those.

        Args:
            step: The step.
            refs: The references whose outputs it is given.
            using: The function that makes its input, or None.
            after: Steps to wait for without taking their output.
            options: Options of the step here.

        Returns:
            The reference to the step's output.

        Raises:
            SagaDefinitionError: The step or an option cannot be used so, or the saga is built already.
            TypeValidationError: The types do not fit.
        """
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
            map_input = pass_through(step_id, parts.taken_type, self._sources(refs or (self.initial,)))
        else:
            map_input = self._mapped(step_id, refs, using, "the input_map (using)", follows, parts.taken_type)
        self._captures.extend(Captured.of(f"{what} of step {shown(step_id)}", fn) for what, fn in parts.functions)
        return self._add(plan_step(step_id, parts, chosen, follows), compile_step(step_id, parts, chosen, map_input))

    @override
    def wire_wait(self, parts: WaitParts, after: AnyRefs) -> AnyRef:
        """Add a wait, untyped. All spellings of waits share it; call `add_event` or `add_sleep`.

        Args:
            parts: The parts of the wait.
            after: Steps to wait for without taking their output.

        Returns:
            The reference to the wait's output.

        Raises:
            SagaDefinitionError: The wait cannot be used so, or the saga is built already.
            TypeValidationError: The types do not fit.
        """
        self._refuse_built()
        if not is_a(parts, WaitParts):
            raise SagaDefinitionError(f"{shown(parts)} is no wait", hint="use add_event or add_sleep")
        step_id = new_id(parts.step_id, self._bindings)
        follows = self._follows(step_id, parts.refs, after)
        map_input = None
        if parts.compute is not None:
            what = "what the wait for it is about" if parts.kind is StepKind.EVENT else "the moment to sleep until"
            wanted = str if parts.kind is StepKind.EVENT else datetime
            map_input = self._mapped(step_id, parts.refs, parts.compute, what, follows, wanted)
        return self._add(plan_wait(step_id, parts, follows), compile_wait(step_id, parts, map_input))

    @overload
    def set_attribute(self, attribute: Attribute[V], source: StepRef[V]) -> None: ...
    @overload
    def set_attribute(
        self, attribute: Attribute[V], source: StepRef[A], *, input_map: Callable[[A], V | None]
    ) -> None: ...
    def set_attribute(
        self, attribute: AttributeBase, source: AnyRef, *, input_map: Callable[..., object] | None = None
    ) -> None:
        """Set a search attribute when a step gives its output, in the same commit; of `initial` it is set at the start.

        Args:
            attribute: An attribute of the builder's.
            source: The reference to the step's output or to the initial data. A step that is done for each item of a list cannot
                be one.
            input_map: A pure function from that output to the value. A value of None says nothing, and the attribute keeps the
                one that it had. Default: None, the output is the value.

        Raises:
            SagaDefinitionError: The attribute is none of the builder's, or cannot be set so; or the saga is built already.
            TypeValidationError: The types do not fit.

        Example::

            builder = SagaBuilder(Order, attributes=(customer,))
            builder.set_attribute(customer, builder.initial, input_map=lambda order: order.customer_id)
        """
        self._refuse_built()
        known = self._attributes.declared(attribute)
        what = f"attribute {shown(known.name)}"
        self._check_ref(what, source)
        if source.step_id != INITIAL and self._bindings[source.step_id].fans_out:
            raise SagaDefinitionError(
                f"{what} cannot be set by step {shown(source.step_id)}, which is done for each item of a list",
                hint="set it from a step after it that joins the items",
            )
        (given,) = self._sources([source])
        if input_map is not None:
            self._captures.append(Captured.of(f"the function of {what}", input_map))
        self._attributes.add(known, given, input_map)

    def _add(self, planned: PlannedStep, binding: CompiledStep) -> AnyRef:
        check_step(planned, self._planned)
        self._planned[planned.step] = planned
        self._bindings[planned.step] = binding
        return StepRef(self, planned.step)

    def _follows(self, step_id: StepId, refs: Sequence[AnyRef], after: AnyRefs) -> tuple[StepId, ...]:
        """The steps that have to be done before this one."""
        named = (*refs, *(after if isinstance(after, tuple) else (after,)))
        for ref in named:
            self._check_ref(step_id, ref)
        if self._sequential:
            return (next(reversed(self._planned)),) if self._planned else ()
        return tuple(dict.fromkeys(ref.step_id for ref in named if ref.step_id != INITIAL))

    def _mapped(
        self,
        step_id: StepId,
        refs: Sequence[AnyRef],
        using: Callable[..., object],
        what: str,
        follows: tuple[StepId, ...],
        wanted: object,
    ) -> InputMap:
        declared = None if self._sequential else frozenset(follows)
        self._captures.append(Captured.of(f"{what} of step {shown(step_id)}", using))
        return mapped(
            step_id,
            self._sources(refs),
            using,
            what=what,
            declared=declared,
            initial=self._initial_type.tp,
            wanted=wanted,
        )

    def _sources(self, refs: Sequence[AnyRef]) -> list[Source]:
        return [Source(ref, self._type_of(ref), self._is_conditional(ref)) for ref in refs]

    def _type_of(self, ref: AnyRef) -> AnyType:
        return self._initial_type if ref.step_id == INITIAL else self._bindings[ref.step_id].result_type

    def _is_conditional(self, ref: AnyRef) -> bool:
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
            raise refusal(NeedsUnlisted(StepId(user), ref.step_id))

    @overload
    def build(self) -> SagaDefinition[D, None]: ...
    @overload
    def build(self, *, output: StepRef[R]) -> SagaDefinition[D, R]: ...
    def build(self, *, output: AnyRef | None = None) -> SagaDefinition[D, Any]:  # Any: see the overloads
        """Finish the saga.

        Args:
            output: The step whose output is the saga's result. Default: None, the saga has no result.

        Returns:
            The definition, which can be registered.

        Raises:
            SagaDefinitionError: The saga has no step, is built already, or its steps do not fit together.
        """
        return self.finish(None, output)

    def finish(self, name: str | None, output: AnyRef | None) -> SagaDefinition[D, Any]:  # Any: see `build`
        """Finish the saga, untyped. `build` and `@saga` share it; call those.

        Args:
            name: The saga's name, or None.
            output: The step whose output is the result, or None.

        Returns:
            The definition.

        Raises:
            SagaDefinitionError: The saga has no step, is built already, or its steps do not fit together.
        """
        self._refuse_built()
        if output is not None:
            self._check_ref("the saga's output", output)
        settings = self._attributes.settings(self._initial_type)
        for captured in self._captures:
            captured.check()
        plan = checked_plan(
            PlanData(
                tuple(self._planned.values()),
                compensate_on_failure=self._compensate_on_failure,
                cancel_siblings=self._cancel_siblings,
                deadline=self._deadline,
                output=None if output is None else output.step_id,
            )
        )
        levels = ((step, each.isolation or each.undo_isolation) for step, each in self._bindings.items())
        check_alone(plan, ((step, level) for step, level in levels if level is not None and level != READ_COMMITTED))
        self._built = True
        return SagaDefinition(
            name=name,
            plan=plan,
            initial_type=self._initial_type,
            output_type=PayloadType.of(type(None)) if output is None else self._type_of(output),
            output=None if output is None else output.step_id,
            steps=MappingProxyType(dict(self._bindings)),
            retention=self._retention,
            attributes=self._attributes.all,
            set_at_start=settings.get(INITIAL, ()),
            set_by=MappingProxyType({step: each for step, each in settings.items() if step != INITIAL}),
            hooks=self._hooks,
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
