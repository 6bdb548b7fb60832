"""A saga put together step by step: the typed face of its wiring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast, final, overload

from typing_extensions import Unpack

from saga_fn.definition.attributes import Attribute, AttributeBase, V
from saga_fn.definition.forgotten_steps import no_ref
from saga_fn.definition.outgoing import GivenHook, Hooks
from saga_fn.definition.retention import Retention
from saga_fn.definition.saga_definition import SagaDefinition
from saga_fn.definition.saga_options import OnSiblings, Order, judged
from saga_fn.definition.steps.base import StepBase
from saga_fn.definition.steps.step_options import StepOptions
from saga_fn.definition.values.annotations import payload_type
from saga_fn.definition.values.input_context import InputContext
from saga_fn.definition.values.refs import AnyRef, AnyRefs, StepRef
from saga_fn.definition.wiring import Wiring
from saga_fn.errors import shown

D = TypeVar("D")
R = TypeVar("R")
I = TypeVar("I")  # noqa: E741 - input and output, the names the docs use throughout
O = TypeVar("O")  # noqa: E741
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
E = TypeVar("E")
F = TypeVar("F")


@final
class SagaBuilder(Wiring[D]):
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
        hooks = Hooks(
            on_started=on_started,
            on_completed=on_completed,
            on_compensated=on_compensated,
            on_failed=on_failed,
            on_parked=on_parked,
        )
        options = judged(
            compensate_on_failure=compensate_on_failure,
            order=order,
            siblings_on_failure=siblings_on_failure,
            deadline=deadline,
            retention=retention,
            hooks=hooks,
        )
        super().__init__(payload_type(initial, "the initial data"), options, attributes)

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
            raise no_ref(
                f"depends_on must be a StepRef or a tuple of StepRefs, not {shown(refs)}",
                refs,
                "write depends_on=(first, second), or leave it out",
            )
        # The overloads above have checked the types, and `wire` judges the references one by one.
        return cast("StepRef[O]", self.wire(step, cast("tuple[AnyRef, ...]", refs), input_map, after, options))

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
        self._set_attribute(attribute, source, input_map)

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
