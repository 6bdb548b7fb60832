"""The parts of a step, read off its functions or its class, in every spelling."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias, final

import msgspec

from saga_fn.codec import AnyType, PayloadType, type_name
from saga_fn.definition.steps.base import AnyStep, BaseStep, ContextStep, TransactionalStep
from saga_fn.definition.steps.condition import AnyCondition
from saga_fn.definition.steps.context import StepContext, TransactionalContext
from saga_fn.definition.steps.error_policy import Returned, errors_of_method, returned_errors
from saga_fn.definition.steps.signature import output_type, read_signature
from saga_fn.definition.steps.step_options import StepOptions
from saga_fn.definition.steps.transactions import check_doubts, check_spelling
from saga_fn.definition.steps.unknown_outcome import check_probe
from saga_fn.definition.values.annotations import (
    fits,
    hints_of,
    members,
    name_in_messages,
    payload_type,
    type_arguments,
)
from saga_fn.definition.waits.event import ALL_AT_ONCE, OF_STEPS, EventPattern, WaitFor
from saga_fn.errors import SagaDefinitionError, TypeValidationError, shown
from saga_fn.printable import with_article

# Any: the functions of steps of all types stand side by side; what they are given has been decoded as they say.
AnyExecute: TypeAlias = Callable[[Any, StepContext], Awaitable[object]]
AnyCompensate: TypeAlias = Callable[[Any, Any, StepContext], Awaitable[WaitFor | None]]

_OPTIONS: Final = frozenset(StepOptions.__annotations__)


class StepParts(msgspec.Struct, frozen=True):
    """The parts of a step, in every spelling."""

    name: str
    input_type: AnyType
    output_type: AnyType
    execute: AnyExecute
    compensate: AnyCompensate | None
    options: StepOptions
    when: AnyCondition | None = None
    errors: Returned | None = None
    """The business errors that it returns in a Failure."""
    probe: AnyExecute | None = None
    undo_takes: object = None
    """The type that its compensation takes for the output; None without one."""
    undo_waits: bool = False
    """Its compensation says that it may return a WaitFor."""
    transactional: bool = False
    """It runs in the transaction that its result is committed in."""
    undo_transactional: bool = False
    """So does its compensation."""
    concurrency: int = 0
    """For a fan-out, whose types are those of one item: how many items run at once. 0: it is none."""

    @property
    def functions(self) -> Iterator[tuple[str, Callable[..., object]]]:
        """The functions that the user has written for it, and what each is called."""
        for what, fn in (
            ("the function", self.execute),
            ("the compensation", self.compensate),
            ("the probe", self.probe),
            ("the condition", self.when),
        ):
            if fn is not None:
                yield what, fn.fn if isinstance(fn, WithoutContext) else fn

    @property
    def taken_type(self) -> object:
        """The type that the step as a whole is given."""
        if not self.concurrency:
            return self.input_type.tp
        sequence: Any = Sequence  # Any: subscribed with a type that is known at run time only
        return sequence[self.input_type.tp]

    @property
    def given_type(self) -> object:
        """The type that its input comes as: for a fan-out always a list."""
        whole: Any = list  # Any: as above
        return whole[self.input_type.tp] if self.concurrency else self.input_type.tp

    @property
    def result_type(self) -> AnyType:
        """The type that the steps after it are given."""
        whole: Any = list  # Any: as in `taken_type`
        whole = whole[self.output_type.tp] if self.concurrency else self.output_type.tp
        return PayloadType.of(whole if self.when is None else whole | None)


@final
class WithoutContext(msgspec.Struct, frozen=True, eq=False):
    """A function of so many values, to be called as one that is given a StepContext, too."""

    fn: Callable[..., Awaitable[Any]]  # Any: functions of all types
    values: int

    def __call__(self, *given: object) -> Awaitable[Any]:  # Any: as above
        """Call it without the context."""
        return self.fn(*given[: self.values])


def parts_of_function(
    fn: Any, compensate: Any, probe: Any, options: StepOptions, *, transactional: bool = False
) -> StepParts:  # Any: judged here
    """Read the parts of a step that is a function. Raises SagaDefinitionError for one that cannot be run."""
    _refuse_wait(fn)
    name = name_in_messages(fn).rpartition(".")[2]
    if name == "<lambda>":
        raise SagaDefinitionError("a lambda cannot be a step", hint="write an async function")
    if probe is not None and "on_unknown" in options:
        raise SagaDefinitionError(
            f"step {name} has a probe and on_unknown={shown(options['on_unknown'])}",
            hint="the probe settles a step that may have run: leave on_unknown out",
        )
    does = read_signature(fn, values=1, what="step")
    check_spelling(name, transactional=transactional, wants_connection=does.wants_connection)
    gives = output_type(does.gives)
    undo, undo_takes, undo_waits, undo_transactional = None, None, False, False
    if compensate is not None:
        undoes = read_signature(compensate, values=2, what="compensation")
        if not (fits(does.takes[0], undoes.takes[0]) and fits(gives, undoes.takes[1])):
            raise TypeValidationError(
                f"compensation {name_in_messages(compensate)} takes {', '.join(map(type_name, undoes.takes))}, "
                f"but step {name} has {type_name(does.takes[0])}, {type_name(gives)}",
                hint="a compensation takes exactly the step's input and its output",
            )
        undo = _with_context(compensate, 2, wants=undoes.wants_context)
        undo_takes = undoes.takes[1]
        undo_waits = WaitFor in members(undoes.gives)
        undo_transactional = undoes.wants_connection
    asks = None
    if probe is not None:
        probes = read_signature(probe, values=1, what="probe")
        if probes.wants_connection:
            raise SagaDefinitionError(
                f"probe {name_in_messages(probe)} takes a TransactionalContext, but a probe has no transaction",
                hint="annotate it StepContext, and ask by a connection of your own",
            )
        check_probe(name, probe, probes, takes=does.takes[0], gives=gives)
        asks = _with_context(probe, 1, wants=probes.wants_context)
    return StepParts(
        name=_snake(name),
        input_type=payload_type(does.takes[0], f"the input of step {name}"),
        output_type=_output(name, gives),
        execute=_with_context(fn, 1, wants=does.wants_context),
        compensate=undo,
        options=options,
        errors=returned_errors(name, does.gives),
        probe=asks,
        undo_takes=undo_takes,
        undo_waits=undo_waits,
        transactional=transactional,
        undo_transactional=undo_transactional,
    )


def parts_of_object(given: AnyStep) -> StepParts:
    """Read the parts of a step that is an object. Raises SagaDefinitionError for what is not one."""
    _refuse_wait(given)
    if not isinstance(given, BaseStep | ContextStep | TransactionalStep):
        raise SagaDefinitionError(
            f"{shown(given)} is not a step",
            hint="wrap a function with step(...), and give a step object, not its class",
        )
    cls = type(given)
    within = isinstance(given, TransactionalStep)
    base = TransactionalStep if within else BaseStep if isinstance(given, BaseStep) else ContextStep
    types = type_arguments(cls, base)
    if len(types) != 2:  # noqa: PLR2004 - input and output
        raise TypeValidationError(
            f"{cls.__name__} does not say its input and output types", hint=f"class {cls.__name__}(BaseStep[In, Out])"
        )
    _refuse_options(cls, base)
    if within and hasattr(given, "probe"):
        check_doubts(cls.__name__, {}, probes=True, has_class=True)
    wants = base is not BaseStep
    execute = _method(given, base, "execute", 1 + wants)
    undo = _method(given, base, "compensate", 2 + wants)
    undo_takes, undo_waits = (None, False) if undo is None else _undo_says(undo)
    gives = output_type(types[1])
    _check_annotations(cls, execute, (types[0],), gives)
    _check_annotations(cls, undo, (types[0], gives), None)
    asks = None if within else _method(given, base, "probe", 1 + wants)
    return StepParts(
        name=_snake(cls.__name__),
        input_type=payload_type(types[0], f"the input of step {cls.__name__}"),
        output_type=_output(cls.__name__, gives),
        execute=_with_context(execute, 1, wants=wants),
        compensate=undo and _with_context(undo, 2, wants=wants),
        options={},
        errors=errors_of_method(cls.__name__, execute),
        probe=asks and _with_context(asks, 1, wants=wants),
        undo_takes=undo_takes,
        undo_waits=undo_waits,
        transactional=within,
        undo_transactional=within and undo is not None,
    )


def _with_context(fn: Any, values: int, *, wants: bool) -> Any:  # Any: functions of all types
    return fn if wants else WithoutContext(fn, values)


def _method(given: object, base: type, name: str, values: int) -> Any:  # Any: a method of any types
    """The method that the step's class, or the step itself, puts in place of the base's; None if that is left as it is."""
    cls = type(given)
    if inspect.getattr_static(given, name) is inspect.getattr_static(base, name):
        return None
    method = getattr(given, name)
    if not inspect.iscoroutinefunction(method):
        raise SagaDefinitionError(f"{cls.__name__}.{name} is not async", hint="write it with `async def`")
    try:
        inspect.signature(method).bind(*[None] * values)
    except TypeError as error:
        raise SagaDefinitionError(
            f"{cls.__name__}.{name} cannot be called with {values} argument(s): {error}",
            hint="execute takes the input, compensate the input and the output; a ContextStep's also the StepContext",
        ) from error
    return method


def _refuse_options(cls: type, base: type) -> None:
    """Refuse a class that says as an attribute what a step is told as an option: nothing would read it."""
    for each in cls.__mro__[: cls.__mro__.index(base)]:
        for name, value in vars(each).items():
            is_its_own = name == "timeout" and isinstance(
                value, int | float
            )  # for a client: the option takes no number
            if name not in _OPTIONS or is_its_own:
                continue
            raise SagaDefinitionError(
                f"{each.__name__}.{name} is an attribute, and an option of a step is read from step(...) alone",
                hint=f"step({cls.__name__}(...), {name}=...); or give the attribute another name, if the class itself needs it",
            )


def _check_annotations(
    cls: type, method: Callable[..., object] | None, given: Sequence[object], wanted: object
) -> None:
    """Refuse a method that says by its annotations that it takes or gives something else than its class says."""
    if method is None:
        return
    try:
        hints = hints_of(method)
        gives = output_type(hints.get("return", Any))
    except TypeValidationError:
        return  # an annotation for the checkers alone
    name = f"{cls.__name__}.{method.__name__}"
    if TransactionalContext in hints.values() and not issubclass(cls, TransactionalStep):
        raise SagaDefinitionError(
            f"{name} takes a TransactionalContext, but {cls.__name__} is not transactional",
            hint=f"class {cls.__name__}(TransactionalStep[In, Out])",
        )
    for one, parameter in zip(given, inspect.signature(method).parameters, strict=False):
        if not fits(one, hints.get(parameter, Any)):
            raise TypeValidationError(
                f"{name} takes {with_article(type_name(hints[parameter]))}, "
                f"but {cls.__name__} says that it is given {with_article(type_name(one))}",
                hint=f"make it the same in both: class {cls.__name__}(BaseStep[In, Out])",
            )
    if wanted is not None and gives is not object and not fits(gives, wanted):  # object says nothing
        raise TypeValidationError(
            f"{name} gives {with_article(type_name(gives))}, but {cls.__name__} says that it is {with_article(type_name(wanted))}",
            hint=f"make it the same in both: class {cls.__name__}(BaseStep[In, Out])",
        )


def _undo_says(compensate: Callable[..., object]) -> tuple[object, bool]:
    """The type that a compensation takes for the output, if it can be told, and whether it may return a WaitFor."""
    second = list(inspect.signature(compensate).parameters)[1]
    try:
        hints = hints_of(compensate)
    except TypeValidationError:
        return Any, False
    return hints.get(second, Any), WaitFor in members(hints.get("return"))


def _output(name: str, gives: object) -> AnyType:
    if WaitFor in members(gives):
        raise SagaDefinitionError(
            f"step {name} returns a WaitFor, which only a compensation can",
            hint="going forward wait between steps: approval.wait(...) in a @saga, add_event in a builder; instead of "
            f"waiting for each item of a list, {ALL_AT_ONCE}",
        )
    return payload_type(gives, f"the output of step {name}")


def _refuse_wait(given: object) -> None:
    if isinstance(getattr(given, "__self__", given), EventPattern):
        raise SagaDefinitionError(
            f"{shown(given)} is not a step",
            hint=f"wait between steps: approval.wait(...) in a @saga, add_event in a builder; {OF_STEPS}",
        )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
