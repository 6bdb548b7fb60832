"""A saga put together step by step, and what comes out of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, cast, final, get_args, overload

import attrs
from typing_extensions import Unpack, override

from saga_fn.codec import PayloadType, type_name
from saga_fn.core.ids import StepId, owner_of
from saga_fn.core.plan import OnTimeout, Plan, PlannedStep, StepKind
from saga_fn.core.retry import RetrySchedule
from saga_fn.definition.deadline import check_deadline
from saga_fn.definition.doubt import way_of
from saga_fn.definition.event import Expected, WaitFor, WaitParts, micros_of
from saga_fn.definition.failing import Refusals
from saga_fn.definition.pivot import check_pivot
from saga_fn.definition.refs import INITIAL, InputContext, StepContext, StepRef
from saga_fn.definition.retry import ExponentialRetry, NoRetry, checked_policy, seconds_of
from saga_fn.definition.signature import fits, hints_of, payload_type, takes
from saga_fn.definition.step import AnyRefs, StepBase, StepOptions, StepParts, check_options, parts_of
from saga_fn.definition.waits import WaitingBuilder
from saga_fn.errors import SagaDefinitionError, TypeValidationError

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

MOST_STEPS: Final = 100
LONGEST_ID: Final = 64
"""Characters. With the most steps, a saga's encoded state stays well under its limit of 16 KiB."""
LONGEST_FAN_OUT_ID: Final = 32
"""Characters. With the most items, the same."""
_STEP_ID: Final = re.compile(rf"[ -~]{{1,{LONGEST_ID}}}")

_DEFAULT_UNDO_RETRY: Final = ExponentialRetry(
    max_attempts=10, base_delay=timedelta(seconds=1), max_delay=timedelta(minutes=1)
)


@final
@attrs.frozen
class StepBinding:
    """What the engine needs to run one step. Timeouts are in seconds."""

    step_id: StepId
    input_type: PayloadType[Any]  # Any: steps of all types stand side by side
    output_type: PayloadType[Any]  # Any: as above
    map_input: Callable[[InputContext[Any]], object]  # Any: as above
    execute: Callable[[Any, StepContext], Awaitable[object]]  # Any: as above
    compensate: Callable[[Any, Any, StepContext], Awaitable[WaitFor | None]] | None  # Any: as above
    timeout: float | None
    compensation_timeout: float | None
    refusals: Refusals
    result_type: PayloadType[Any]  # Any: as above
    """What those that follow the step are given: a list if it fans out, None too if it is conditional."""
    when: Callable[[Any], object] | None = None  # Any: as above
    kind: StepKind = StepKind.STEP
    """Of a wait `map_input` computes what it is about, or the moment that it lasts until."""
    compensation_waits_for: Expected[object] | None = None
    default: bytes | None = None
    """What a wait gives that is over, where it has such a value."""
    probe: Callable[[Any, StepContext], Awaitable[object]] | None = None  # Any: as above
    probe_timeout: float | None = None
    fans_out: bool = False
    """It is done once for each item of what `map_input` gives; the other types are those of one item."""


@final
@attrs.frozen(eq=False)
class SagaDefinition(Generic[D, R]):
    """A saga from initial data D to result R: immutable, and the same for every run of it."""

    name: str | None
    """The name `@saga` gave it; one built by `SagaBuilder` gets its name when it is registered."""
    plan: Plan
    initial_type: PayloadType[D]
    output_type: PayloadType[R]
    output: StepId | None
    """The step whose output is the result; `INITIAL` for the initial data, None for a saga without a result."""
    steps: Mapping[StepId, StepBinding]
    _pin: Callable[[D, R], tuple[D, R]] | None = None  # never set: invariance


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
        if order not in ("sequential", "graph"):
            raise SagaDefinitionError(f"order must be 'sequential' or 'graph', not {order!r}")
        if siblings_on_failure not in ("await", "cancel"):
            raise SagaDefinitionError(
                f"siblings_on_failure must be 'await' or 'cancel', not {siblings_on_failure!r}",
                hint="'await' lets the branches that run come to their ends before anything is undone",
            )
        if siblings_on_failure == "cancel" and order != "graph":
            raise SagaDefinitionError(
                "siblings_on_failure='cancel' says nothing where one step runs after another",
                hint="with order='graph' branches run at the same time",
            )
        self._initial_type: PayloadType[Any] = payload_type(initial, "the initial data")  # Any: see the overloads
        self._compensate_on_failure = bool(compensate_on_failure)
        self._cancel_siblings = siblings_on_failure == "cancel"
        self._sequential = order == "sequential"
        self._deadline = None if deadline is None else micros_of("deadline", deadline, least=1)
        self._planned: list[PlannedStep] = []
        self._bindings: dict[StepId, StepBinding] = {}
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
        if depends_on is None:
            refs: tuple[Any, ...] = ()
        elif isinstance(depends_on, StepRef):
            refs = cast("tuple[Any, ...]", (depends_on,))  # judged one by one in `wire`, as below
        elif isinstance(depends_on, tuple) and depends_on:
            refs = cast("Any", depends_on)  # as above
        else:
            raise SagaDefinitionError(
                f"depends_on must be a StepRef or a tuple of StepRefs, not {depends_on!r:.80}",
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
        chosen = cast("StepOptions", {**parts.options, **options})  # a TypedDict merged with itself
        step_id = self._new_id(chosen.get("step_id", parts.name))
        named = (*refs, *(after if isinstance(after, tuple) else (after,)))
        follows = self._follows(step_id, named)
        self._check_items(step_id, parts.width, pivot=bool(chosen.get("pivot")))
        timeout = seconds_of("timeout", chosen.get("timeout"))
        self._bindings[step_id] = StepBinding(
            step_id=step_id,
            input_type=parts.input_type,
            output_type=parts.output_type,
            map_input=self._mapping(step_id, parts, refs, using, None if self._sequential else frozenset(follows)),
            execute=parts.execute,
            compensate=parts.compensate,
            timeout=timeout,
            compensation_timeout=seconds_of("compensation_timeout", chosen["compensation_timeout"])
            if "compensation_timeout" in chosen
            else timeout,
            result_type=parts.result_type,
            compensation_waits_for=chosen.get("compensation_waits_for"),
            when=parts.when,
            refusals=Refusals.of(chosen, parts.errors),
            probe=parts.probe,
            probe_timeout=seconds_of("probe_timeout", chosen["probe_timeout"])
            if "probe_timeout" in chosen
            else timeout,
            fans_out=bool(parts.width),
        )
        undo_retry = chosen.get("compensation_retry_policy", _DEFAULT_UNDO_RETRY)
        self._planned.append(
            PlannedStep(
                step=step_id,
                after=follows,
                retry=checked_policy("retry_policy", chosen.get("retry_policy", NoRetry())).schedule(),
                compensable=parts.compensate is not None,
                undo_retry=checked_policy("compensation_retry_policy", undo_retry).schedule(),
                pivot=chosen.get("pivot", False),
                on_unknown=way_of(
                    step_id,
                    chosen.get("on_unknown"),
                    probes=parts.probe is not None,
                    undo_takes=parts.undo_takes,
                ),
                probe_retry=checked_policy(
                    "probe_retry_policy", chosen.get("probe_retry_policy", _DEFAULT_UNDO_RETRY)
                ).schedule()
                if parts.probe is not None
                else RetrySchedule(),
                undo_waits_for=chosen["compensation_waits_for"].names if "compensation_waits_for" in chosen else (),
                conditional=parts.when is not None,
                width=parts.width,
            )
        )
        return StepRef(self, step_id)

    @override
    def wire_wait(self, parts: WaitParts, after: AnyRefs) -> StepRef[Any]:  # Any: waits for events of all types
        """Add a wait, untyped: what all its spellings share."""
        self._refuse_built()
        step_id = self._new_id(parts.step_id)
        named = (*parts.refs, *(after if isinstance(after, tuple) else (after,)))
        follows = self._follows(step_id, named)
        self._check_items(step_id, 0, pivot=False)
        declared = None if self._sequential else frozenset(follows)
        compute: Callable[[InputContext[Any]], object] = _nothing_to_compute  # Any: as above
        if parts.compute is not None:
            what = "what the wait for it is about" if parts.kind is StepKind.EVENT else "the moment to sleep until"
            compute = self._computed(step_id, parts.refs, parts.compute, declared, what)
        self._bindings[step_id] = StepBinding(
            step_id=step_id,
            input_type=_NOTHING,
            output_type=parts.output_type,
            map_input=compute,
            execute=_never_executed,
            compensate=None,
            timeout=None,
            compensation_timeout=None,
            result_type=parts.output_type,
            refusals=Refusals(),
            kind=parts.kind,
            default=parts.default,
        )
        self._planned.append(
            PlannedStep(
                step=step_id,
                after=follows,
                kind=parts.kind,
                limit=parts.limit,
                on_timeout=OnTimeout.FAIL if parts.default is None else OnTimeout.DEFAULT,
                waits_for=parts.names,
                correlated=parts.kind is StepKind.EVENT and parts.compute is not None,
            )
        )
        return StepRef(self, step_id)

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
        check_pivot(self._planned)
        plan = Plan.of(
            *self._planned,
            compensate_on_failure=self._compensate_on_failure,
            cancel_siblings=self._cancel_siblings,
            deadline=self._deadline,
        )
        check_deadline(plan)
        self._built = True
        result: PayloadType[Any] = PayloadType.of(type(None))  # Any: see `build`
        if output is not None:
            is_initial = output.step_id == INITIAL
            result = self._initial_type if is_initial else self._bindings[output.step_id].result_type
        return SagaDefinition(
            name=name,
            plan=plan,
            initial_type=self._initial_type,
            output_type=result,
            output=None if output is None else output.step_id,
            steps=MappingProxyType(dict(self._bindings)),
        )

    def _follows(self, step_id: StepId, named: Sequence[StepRef[object]]) -> tuple[StepId, ...]:
        for ref in named:
            self._check_ref(step_id, ref)
        if self._sequential:
            return (self._planned[-1].step,) if self._planned else ()
        return tuple(dict.fromkeys(ref.step_id for ref in named if ref.step_id != INITIAL))

    def _refuse_built(self) -> None:
        if self._built:
            raise SagaDefinitionError("this saga is built already", hint="use another SagaBuilder for another saga")

    def _new_id(self, wanted: object) -> StepId:
        if not isinstance(wanted, str) or not _STEP_ID.fullmatch(wanted):
            raise SagaDefinitionError(
                f"step_id must be a string of 1 to {LONGEST_ID} printable ASCII characters, not {wanted!r:.100}",
                hint="give one with step_id=",
            )
        if wanted in self._bindings:
            raise SagaDefinitionError(
                f"this saga has a step {wanted!r} already", hint="give this one a name of its own with step_id="
            )
        if len(self._planned) >= MOST_STEPS:
            raise SagaDefinitionError(f"a saga has at most {MOST_STEPS} steps", hint="split it into several sagas")
        return StepId(wanted)

    def _check_items(self, step_id: StepId, width: int, *, pivot: bool) -> None:
        """Items are steps, whose ids are made of the fan-out's and a number."""
        if width and len(step_id) > LONGEST_FAN_OUT_ID:
            raise SagaDefinitionError(
                f"step {step_id!r} is done for each item, so its id may have {LONGEST_FAN_OUT_ID} characters at most",
                hint="give it a shorter one with step_id=",
            )
        if width and pivot:
            raise SagaDefinitionError(
                f"step {step_id!r} is done for each item, so it cannot be the pivot",
                hint="there is one point of no return: make a step before or after it the pivot",
            )
        fan_outs = {planned.step for planned in self._planned if planned.width}
        items = [known for known in self._bindings if width and owner_of(known) == step_id]
        if items or owner_of(step_id) in fan_outs:
            raise SagaDefinitionError(
                f"steps {step_id!r} and {(items or [owner_of(step_id)])[0]!r} cannot be told from each other's items",
                hint="give one of them another step_id=",
            )

    def _check_ref(self, user: str, ref: object) -> None:
        if not isinstance(ref, StepRef):
            raise SagaDefinitionError(
                f"{user!r} depends on {ref!r:.80}, which is not a StepRef",
                hint="pass what add_step (or the call of a step) gave; several of them as a tuple",
            )
        if ref.builder is not self:
            raise SagaDefinitionError(
                f"{user!r} depends on {ref!r} of another saga", hint="use refs only in the saga that made them"
            )

    def _mapping(
        self,
        step_id: StepId,
        parts: StepParts,
        refs: Sequence[StepRef[Any]],  # Any: see `wire`
        using: Callable[..., object] | None,
        declared: frozenset[StepId] | None,
    ) -> Callable[[InputContext[Any]], object]:  # Any: see `wire`
        if using is None:
            self._check_fit(step_id, parts, refs)
            only = refs[0] if refs else StepRef[Any](self, INITIAL)
            return lambda context: context.output(only)
        return self._computed(step_id, refs, using, declared, "the input_map")

    def _computed(
        self,
        step_id: StepId,
        refs: Sequence[StepRef[Any]],  # Any: see `wire`
        using: Callable[..., object],
        declared: frozenset[StepId] | None,
        what: str,
    ) -> Callable[[InputContext[Any]], object]:  # Any: see `wire`
        arguments = len(refs) or 1
        if not takes(using, arguments):
            given = "the InputContext" if not refs else f"the output{'s' if arguments > 1 else ''} it depends on"
            raise SagaDefinitionError(
                f"{what} of step {step_id!r} cannot be called with {arguments} argument(s)",
                hint=f"it is given {given}, in the order of depends_on",
            )
        if inspect.iscoroutinefunction(using):
            raise SagaDefinitionError(
                f"{what} of step {step_id!r} is async", hint="make it a plain function; steps do the awaiting"
            )
        self._check_awaits_none(step_id, refs, using)
        if refs:
            return lambda context: using(*(context.output(ref) for ref in refs))
        if declared is None:
            return using
        return lambda context: using(_restricted(context, declared))

    def _check_fit(self, step_id: StepId, parts: StepParts, refs: Sequence[StepRef[Any]]) -> None:  # Any: see `wire`
        if len(refs) > 1:
            raise SagaDefinitionError(
                f"step {step_id!r} depends on {len(refs)} steps, so its input has to be put together",
                hint="give input_map (using, in a @saga)",
            )
        from_type = self._initial_type
        if refs and refs[0].step_id != INITIAL:
            from_type = self._bindings[refs[0].step_id].result_type
        if not fits(from_type.tp, parts.taken_type) or (parts.width and not _items_fit(from_type.tp, parts)):
            raise TypeValidationError(
                f"step {step_id!r} takes {type_name(parts.taken_type)}, but is given {from_type.name}",
                hint="give input_map (using, in a @saga) to make the one from the other",
            )

    def _check_awaits_none(
        self,
        step_id: StepId,
        refs: Sequence[StepRef[Any]],  # Any: see `wire`
        using: Callable[..., object],
    ) -> None:
        """Refuse what says by its annotations that it does not take the None of a step that was not taken."""
        if not any(ref.step_id != INITIAL and self._bindings[ref.step_id].when for ref in refs):
            return
        if not inspect.isfunction(using) and not inspect.ismethod(using):
            return
        hints = hints_of(using)
        for ref, parameter in zip(refs, inspect.signature(using).parameters, strict=False):
            maybe = ref.step_id != INITIAL and self._bindings[ref.step_id].when is not None
            if maybe and parameter in hints and not fits(type(None), hints[parameter]):
                raise TypeValidationError(
                    f"the input_map of step {step_id!r} takes a {type_name(hints[parameter])}, "
                    f"but step {ref.step_id!r} is conditional and may give None",
                    hint=f"annotate it {type_name(hints[parameter])} | None, and say what to do without it",
                )


def _items_fit(given: object, parts: StepParts) -> bool:
    """Whether what a list holds can be an item's input; a string holds no items."""
    if isinstance(given, type) and issubclass(given, str | bytes | bytearray):
        return False
    held = get_args(given)
    return not held or all(fits(one, parts.input_type.tp) for one in held if one is not ...)


def _restricted(context: InputContext[Any], declared: frozenset[StepId]) -> InputContext[Any]:  # Any: see `wire`
    """In a graph other steps may or may not be done yet: what a step sees must not depend on that."""
    seen = {step: output for step, output in context.step_outputs.items() if step in declared}
    return attrs.evolve(context, declared=declared, step_outputs=seen)


_NOTHING: Final = PayloadType[None].of(type(None))


def _nothing_to_compute(_: InputContext[Any]) -> object:  # Any: sagas of all types
    """What a wait is about that is about nothing in particular."""
    return None


async def _never_executed(_: object, context: StepContext) -> object:
    raise AssertionError(f"{context.step_id} waits, there is nothing to execute")


@final
@attrs.frozen
class StepInputMap:
    """Kept for porting from python-saga-orchestrator: an input_map with what it depends on."""

    input_map: Callable[..., object]
    depends_on: StepRef[Any] | tuple[StepRef[Any], ...] | None = None  # Any: steps of all types


@final
@attrs.frozen
class StepDefinition:
    """Kept for porting from python-saga-orchestrator: a step with its wiring, as `add_step` takes them."""

    step: StepBase[Any, Any]  # Any: steps of all types
    input: StepInputMap
    options: StepOptions = attrs.field(factory=StepOptions)

    def add_to(self, builder: SagaBuilder[Any]) -> StepRef[Any]:  # Any: as above
        """Add the step to a saga."""
        wanted = self.input.depends_on
        refs = () if wanted is None else wanted if isinstance(wanted, tuple) else (wanted,)
        return builder.wire(self.step, refs, self.input.input_map, (), self.options)
