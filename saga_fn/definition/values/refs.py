"""References: each stands for a value that will be there when the saga runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeAlias, TypeVar, final

from typing_extensions import override

from saga_fn.core.ids import StepId
from saga_fn.errors import SagaDefinitionError, is_a, shown

O_co = TypeVar("O_co", covariant=True)

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
        name = self.step_id if is_a(self.step_id, str) else shown(self.step_id)
        return f"StepRef({name or 'initial data'})"

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

AnyRef: TypeAlias = StepRef[Any]  # Any: the outputs of a saga's steps are of all types
AnyRefs: TypeAlias = StepRef[object] | tuple[StepRef[object], ...]
"""One reference or several, of steps to wait for."""
