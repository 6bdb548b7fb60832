"""Variables that a function of a saga's definition takes from around it, and that have become another since it was wired.

A lambda in a loop sees the loop's last value when it runs, not the one that it was written for.
"""

from __future__ import annotations

import contextlib
import dis
import functools
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType
from typing import Final, cast, final

import msgspec

from saga_fn.errors import SagaDefinitionError, shown

_UNSET: Final = object()


@final
class Captured(msgspec.Struct, frozen=True):
    """The variables that a function found around it when it was wired."""

    what: str
    _looked_at: tuple[FunctionType, ...]
    """The function, if it is one that can be."""
    _found: Mapping[str, object]

    @classmethod
    def of(cls, what: str, fn: Callable[..., object]) -> Captured:
        """Look around the function; only one that was written right there, a lambda or an inner function, is looked at."""
        written: object = fn
        while isinstance(written, functools.partial):
            written = cast("functools.partial[object]", written).func
        if not isinstance(written, FunctionType) or not (written.__name__ == "<lambda>" or written.__closure__):
            return cls(what, (), {})
        return cls(what, (written,), _around(written))

    def check(self) -> None:
        """Raise SagaDefinitionError if a variable is another now: the saga is built, so it would run with that one."""
        now = {name: found for fn in self._looked_at for name, found in _around(fn).items()}
        changed = [name for name, found in self._found.items() if now.get(name, _UNSET) is not found]
        if changed:
            raise SagaDefinitionError(
                f"{self.what} uses the variable {shown(changed[0])}, which has another value now than when the step was added",
                hint=f"in a loop, bind it when the function is made: lambda value, {changed[0]}={changed[0]}: ...",
            )


def _around(fn: FunctionType) -> dict[str, object]:
    """The variables that the function reads, of the functions around it and of its module, as far as they are set."""
    found: dict[str, object] = {}
    for name in _globals_read(fn.__code__):
        if name in fn.__globals__:
            found[name] = fn.__globals__[name]
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not set yet
            found[name] = cell.cell_contents
    return found


def _globals_read(code: CodeType) -> Iterator[str]:
    """The names that the code looks up in its module: not those of attributes, which look alike in its tables."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _globals_read(inner)
