"""The steps of a saga, wired one by one, untyped: what `SagaBuilder` and the traced calls of a `@saga` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar, cast

from typing_extensions import override

from saga_fn.codec import AnyType, PayloadType
from saga_fn.core.ids import StepId
from saga_fn.core.plan import PlanData, PlannedStep, StepKind
from saga_fn.core.plan_flaws import NeedsUnlisted
from saga_fn.definition.attribute_settings import Attributes
from saga_fn.definition.attributes import AttributeBase
from saga_fn.definition.captured import Captured
from saga_fn.definition.checks import check_step, checked_plan, new_id, refusal
from saga_fn.definition.compiled_step import CompiledStep, compile_step, compile_wait, plan_step, plan_wait
from saga_fn.definition.forgotten_steps import no_ref
from saga_fn.definition.saga_definition import SagaDefinition
from saga_fn.definition.saga_options import SagaOptions
from saga_fn.definition.steps.base import AnyStep
from saga_fn.definition.steps.step import parts_of
from saga_fn.definition.steps.step_options import StepOptions, check_options
from saga_fn.definition.steps.transactions import READ_COMMITTED, check_alone
from saga_fn.definition.values.mapping import InputMap, Source, mapped, pass_through
from saga_fn.definition.values.refs import INITIAL, AnyRef, AnyRefs, StepRef
from saga_fn.definition.waits.wait_parts import WaitingBuilder, WaitParts
from saga_fn.errors import SagaDefinitionError, is_a, shown

D = TypeVar("D")


class Wiring(WaitingBuilder[D]):
    """The steps, waits and attributes of one saga, as they are added.

    Args:
        initial: The type of the initial data.
        options: The options of the saga.
        attributes: The search attributes of the saga.

    Raises:
        SagaDefinitionError: The saga cannot have these attributes.
    """

    def __init__(self, initial: AnyType, options: SagaOptions, attributes: Sequence[AttributeBase]) -> None:
        super().__init__()
        self._initial_type: AnyType = initial
        self._options = options
        self._planned: dict[StepId, PlannedStep] = {}
        self._bindings: dict[StepId, CompiledStep] = {}
        self._captures: list[Captured] = []
        self._attributes = Attributes(attributes)
        self._built = False

    @property
    def initial(self) -> StepRef[D]:
        """The reference to the initial data; it can stand for a step's output everywhere."""
        return StepRef(self, INITIAL)

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
        given_by: StepId | None = None
        if using is None:
            sources = self._sources(refs or (self.initial,))
            map_input = pass_through(step_id, parts.taken_type, sources)
            if sources[0].gives.tp == parts.taken_type:
                given_by = sources[0].ref.step_id
        else:
            map_input = self._mapped(step_id, refs, using, "the input_map (using)", follows, parts.taken_type)
        self._captures.extend(Captured.of(f"{what} of step {shown(step_id)}", fn) for what, fn in parts.functions)
        compiled = compile_step(step_id, parts, chosen, map_input, given_by=given_by)
        return self._add(plan_step(step_id, parts, chosen, follows), compiled)

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

    def _set_attribute(self, attribute: AttributeBase, source: AnyRef, input_map: Callable[..., object] | None) -> None:
        """Set a search attribute, untyped."""
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
                compensate_on_failure=self._options.compensates,
                cancel_siblings=self._options.cancels_siblings,
                deadline=self._options.deadline,
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
            retention=self._options.retention,
            attributes=self._attributes.all,
            set_at_start=settings.get(INITIAL, ()),
            set_by=MappingProxyType({step: each for step, each in settings.items() if step != INITIAL}),
            hooks=self._options.hooks,
        )

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
        if self._options.is_sequential:
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
        declared = None if self._options.is_sequential else frozenset(follows)
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
            raise no_ref(
                f"{shown(user)} depends on {shown(ref)}, which is not a StepRef",
                ref,
                "pass what add_step (or the call of a step) gave; several of them as a tuple",
            )
        known = cast("StepRef[object]", ref)  # isinstance cannot see the type argument
        if known.builder is not self:
            raise SagaDefinitionError(
                f"{shown(user)} depends on {shown(known)} of another saga",
                hint="use refs only in the saga that made them",
            )
        if ref.step_id != INITIAL and ref.step_id not in self._bindings:
            raise refusal(NeedsUnlisted(StepId(user), ref.step_id))

    def _refuse_built(self) -> None:
        if self._built:
            raise SagaDefinitionError("this saga is built already", hint="use another SagaBuilder for another saga")


def _check_refs(user: str, refs: object) -> None:
    if not isinstance(refs, Sequence):
        raise SagaDefinitionError(f"{shown(user)} depends on {shown(refs)}, which is no StepRef", hint="use add_step")
