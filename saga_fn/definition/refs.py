"""What stands for a value that will be there when the saga runs, and what user code is given then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeAlias, TypeVar, cast, final
from uuid import UUID

import attrs
from typing_extensions import override

from saga_fn.core.ids import StepId
from saga_fn.errors import (
    SagaDefinitionError,
    is_a,
    shown,
)

if TYPE_CHECKING:
    from saga_fn.definition.event import Event

O_co = TypeVar("O_co", covariant=True)
T = TypeVar("T")
O = TypeVar("O")  # noqa: E741 - the name the docs use throughout
D_co = TypeVar("D_co", covariant=True)

INITIAL: Final = StepId("")
"""Stands where a step's id would, for the saga's initial data."""


@final
class StepRef(Generic[O_co]):
    """The future output of a step (or the initial data) of the saga that is being built.

    It holds no value: Python's control flow on it is refused, because the saga has not run when it is built. `add_step` and the
    call of a step make it.

    Args:
        builder: The builder that made it.
        step_id: The step's id.
    """

    __slots__ = ("builder", "step_id")

    _output: Callable[[], O_co]  # declared, never set: fixes the variance

    builder: object
    """The builder that made the reference; it is good there only."""
    step_id: StepId
    """The id of the step."""

    def __init__(self, builder: object, step_id: StepId) -> None:
        self.builder = builder
        self.step_id = step_id

    @override
    def __repr__(self) -> str:
        return f"StepRef({self.step_id or 'initial data'})"

    @override
    def __str__(self) -> NoReturn:
        raise _has_no_value(self, "put into a text", "make the text inside a step, or in its `using` / `input_map`, {}")

    @override
    def __format__(self, spec: str) -> NoReturn:
        str(self)
        raise AssertionError("str() refuses")

    def __bool__(self) -> NoReturn:
        raise _has_no_value(
            self,
            "decided by: `if`, `and` and `not` ask for it now",
            "decide inside a step, or in its `using` / `input_map`, {}",
        )

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StepRef):
            raise _has_no_value(self, *_COMPARED)
        return self is other

    @override
    def __hash__(self) -> int:
        return object.__hash__(self)

    def __iter__(self) -> NoReturn:
        raise _has_no_value(self, *_ITERATED)

    if not TYPE_CHECKING:  # the checkers must go on to refuse unknown attributes

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("__"):  # protocols of Python's own, which ask whether it is there
                raise AttributeError(name)
            if name in ("when", "each"):
                raise SagaDefinitionError(
                    f"{self!r} has no {shown(name)}: it is what a step gives, not a step",
                    hint="say it of the step, before it is wired: charge.when(...)(order), charge.each(concurrency=3)(orders); "
                    "a wait and a sleep have neither",
                )
            raise SagaDefinitionError(
                f"{self!r} has no attribute {shown(name)}: it has no value while the saga is being built",
                hint=f"look into it in `using` / `input_map`, as in using=lambda value: value.{name}",
            )


_COMPARED: Final = (
    "compared",
    "compare inside a step, in its `using` / `input_map`, or in its condition: step.when(lambda value: ...)",
)
_ITERATED: Final = (
    "iterated or unpacked",
    "take it apart in `using` / `input_map`, {}, or do a step for each item: step.each(...)",
)
_COMPUTED: Final = ("computed with", "compute inside a step, or in its `using` / `input_map`, {}")
_LOOKED_INTO: Final = ("looked into", "look into it inside a step, or in its `using` / `input_map`, {}")
_AWAITED: Final = (
    "awaited",
    "leave `await` out: the saga awaits its steps, and `using` / `input_map` are given the value",
)
_BINARY: Final = [
    "add",
    "sub",
    "mul",
    "matmul",
    "truediv",
    "floordiv",
    "mod",
    "divmod",
    "pow",
    "lshift",
    "rshift",
    "and",
    "or",
    "xor",
]
_UNARY: Final = [
    "neg",
    "pos",
    "abs",
    "invert",
    "int",
    "float",
    "complex",
    "index",
    "round",
    "trunc",
    "floor",
    "ceil",
    "bytes",
    "fspath",
]
_REFUSED: Final = {
    **dict.fromkeys(("lt", "le", "gt", "ge"), _COMPARED),
    **dict.fromkeys([*_BINARY, *(f"r{name}" for name in _BINARY), *_UNARY, "bytes", "fspath"], _COMPUTED),
    **dict.fromkeys(("len", "contains", "getitem", "setitem", "delitem"), _LOOKED_INTO),
    **dict.fromkeys(("next", "reversed", "aiter", "anext"), _ITERATED),
    "await": _AWAITED,
}
"""Every other question of Python's to a value, by the name of its method without the underscores."""


def _has_no_value(ref: StepRef[object], asked: str, mend: str) -> SagaDefinitionError:
    return SagaDefinitionError(
        f"{ref!r} has no value while the saga is being built, so it cannot be {asked}",
        hint=mend.format("which run with the value"),
    )


def _refusing(name: str, asked: str, mend: str) -> Callable[..., NoReturn]:
    def refuse(ref: StepRef[object], *_: object) -> NoReturn:
        raise _has_no_value(ref, asked, mend)

    refuse.__name__ = name
    return refuse


for _name, _said in _REFUSED.items():  # here, not in the class: the checkers must go on to refuse them, too
    setattr(StepRef, f"__{_name}__", _refusing(f"__{_name}__", *_said))

AnyRefs: TypeAlias = StepRef[object] | tuple[StepRef[object], ...]
"""One reference or several, of steps to wait for."""


@final
@attrs.frozen
class InputContext(Generic[D_co]):
    """The argument of an `input_map` without `depends_on`."""

    saga_id: UUID
    """The saga's id."""
    initial_data: D_co = attrs.field(repr=False)
    """The saga's initial data."""
    step_outputs: Mapping[StepId, object] = attrs.field(repr=False)
    """The outputs of the steps that are done, by step id."""
    events: tuple[Any, ...] = attrs.field(default=(), repr=False)  # Any: what the outside world sent, in whatever shape
    """The events that the saga got by `notify` without a name, as JSON, in order."""
    # Any: as above
    latest_event: Any = attrs.field(default=None, repr=False)
    """The last of them that the current step has not taken, or None."""
    declared: frozenset[StepId] | None = None
    """The steps whose outputs may be asked for; None for every step before."""

    def output(self, ref: StepRef[O]) -> O:
        """Give the output of a step that is done.

        Args:
            ref: The step's reference.

        Returns:
            The output.

        Raises:
            SagaDefinitionError: The step is not one that this step waits for.
        """
        if not is_a(ref, StepRef):
            raise SagaDefinitionError(f"{shown(ref)} is not a StepRef", hint="pass what add_step gave")
        if ref.step_id == INITIAL:
            return cast("O", self.initial_data)  # the reference was made with this very type
        if self.declared is not None and ref.step_id not in self.declared:
            raise SagaDefinitionError(
                f"the output of step {shown(ref.step_id)} is not declared by this step",
                hint="with order='graph' name it in depends_on= or after=",
            )
        try:
            return cast("O", self.step_outputs[ref.step_id])  # decoded by the very type the reference was made with
        except KeyError:
            raise SagaDefinitionError(
                f"step {shown(ref.step_id)} has no output here",
                hint="a step can only use the outputs of steps before it",
            ) from None

    @property
    def context(self) -> dict[str, Any]:  # Any: the seed's untyped view
        """Everything in one dict, as python-saga-orchestrator had it."""
        found: dict[str, Any] = {
            "initial_data": self.initial_data,
            "step_outputs": dict(self.step_outputs),
            "events": list(self.events),
        }
        return found if self.latest_event is None else {**found, "latest_event": self.latest_event}


def _is_heard(_: StepContext, __: attrs.Attribute[tuple[str, bytes] | None], value: object) -> None:
    match value:
        case None | (str(), bytes()):
            pass
        case _:
            raise SagaDefinitionError(
                f"heard must be a name and the bytes of a payload, not {shown(value)}",
                hint='heard=("approval", b"true")',
            )


@final
@attrs.frozen
class StepContext:
    """The facts that a step may ask for beside its input: annotate its second parameter `StepContext`."""

    saga_id: UUID
    """The saga's id."""
    saga_name: str
    """The saga's name."""
    step_id: str
    """The step's id in its saga."""
    attempt: int
    """The number of the execution in this direction, from 1."""
    idempotency_key: str
    """The same over every retry and crash of this step in this direction: send it to the system that you call."""
    trace_id: str
    """The id for logs that the saga was started with."""
    deadline: datetime | None
    """The time when this attempt's timeout is over; None without one."""
    generation: int = 0
    """How often it was given another input than before, by an event or an operator. Each has another key. Default: 0."""
    heard: tuple[str, bytes] | None = attrs.field(default=None, validator=_is_heard)
    """The name and the payload of the event that a compensation has waited for; ask `received` for it. Default: None."""

    @property
    def operation(self) -> str:
        """A name for the work of this step in this saga, the same in every direction: for a participant's guard."""
        return f"{self.saga_id}:{self.step_id}"

    def received(self, event: Event[T]) -> T | None:
        """Give the value of the event that the compensation was waiting for.

        Args:
            event: The event.

        Returns:
            The value, or None if the compensation is called for another reason.

        Raises:
            SagaDefinitionError: `event` is no Event.
            PayloadError: The stored value is not of the event's type.
            TypeValidationError: The event does not say which type it brings.
        """
        from saga_fn.definition.event import check_event  # late: it needs this module

        check_event(event)
        if self.heard is None or self.heard[0] not in event.names:
            return None
        return event.payload.decode(self.heard[1])
