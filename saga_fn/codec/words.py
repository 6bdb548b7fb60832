"""The words of messages about types and errors. They name types, fields and places, never a value: payloads do not belong in logs."""

from __future__ import annotations

import re
import sys
import typing
from typing import Any, Final, cast

SUPPORTED: Final = (
    "use a msgspec Struct, a dataclass, an attrs class, a TypedDict, a pydantic model, or builtins and what holds them"
)
UNIONS: Final = (
    "beside a pydantic model a union can only have None here: put the union into a pydantic model of its own, "
    "or use msgspec Structs with tag=True"
)
UNRESOLVED: Final = (
    "import it at run time, at module level, above its use: not under TYPE_CHECKING, not inside a function. "
    "With ruff's TC rules, put saga_fn.step and saga_fn.saga into runtime-evaluated-decorators, "
    "saga_fn.BaseStep and saga_fn.ContextStep into runtime-evaluated-base-classes (lint.flake8-type-checking)"
)

_AT: Final = re.compile(r" - at (?:`key` in )?`(?:key in )?(\$[^`]*)`$")
_QUOTES: Final = re.compile(r"^(Invalid (?:enum )?value) .*", re.DOTALL)
"""Msgspec's messages that quote what was given."""
_TELLS: Final = frozenset({"value_error", "assertion_error", "union_tag_invalid", "uuid_parsing"})
"""Pydantic's errors whose texts hold what was given, or what a class of the user's says of it."""


class UnfitError(ValueError):
    """A value is none of the type; says why, and where. For msgspec's hooks, which may raise nothing else."""

    def __init__(self, fact: str, path: str | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.path = path


def split(error: BaseException, names: frozenset[str] = frozenset()) -> tuple[str, str | None]:
    """The message of an error of msgspec's or pydantic's, and the path in it. `names` may stand in the path."""
    if isinstance(error, UnfitError):
        return error.fact, error.path
    if hasattr(error, "errors") and type(error).__module__.startswith("pydantic"):
        return _of_pydantic(cast("Any", error), names)  # Any: a ValidationError, which is not imported
    text = str(error)
    found = _AT.search(text)
    fact, path = (text[: found.start()], found.group(1)) if found else (text, None)
    cause = error.__cause__
    if isinstance(cause, UnfitError):
        return cause.fact, f"{path or '$'}{(cause.path or '$')[1:]}"
    if cause is not None:  # an exception of a class of the user's, who may have put into it what was given
        fact = f"its class refused it ({type(cause).__name__})"
    elif type(error).__module__ != "msgspec" and not isinstance(error, TypeError | OverflowError | RecursionError):
        fact = type(error).__name__
    return _QUOTES.sub(r"\1", fact), path


def _of_pydantic(error: Any, names: frozenset[str]) -> tuple[str, str]:  # Any: as above
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    kind = str(first["type"])
    path = "$" + "".join(_step(each, names) for each in first["loc"])
    fact = f"a check of its class refused it ({kind})" if kind in _TELLS or not _is_builtin(kind) else str(first["msg"])
    return fact, path


def _is_builtin(kind: str) -> bool:
    core: Any = sys.modules["pydantic_core"]  # Any: not imported, as above
    return kind in typing.get_args(core.core_schema.ErrorType)


def _step(each: object, names: frozenset[str]) -> str:
    """A step of pydantic's path: what is no field's name may be the key of a dict, which is data."""
    if isinstance(each, int):
        return f"[{each}]"
    return f".{each}" if each in names else "[...]"


def type_name(tp: object) -> str:
    """A type as a person writes it.

    >>> type_name(dict[str, int] | None)
    'dict[str, int] | None'
    """
    if isinstance(tp, type) and not typing.get_args(tp):
        return "None" if tp is type(None) else tp.__qualname__
    try:
        text = str(tp)
    except Exception:  # noqa: BLE001 - what is no type may have any __str__ of its own
        text = type(tp).__qualname__
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?:<locals>\.)?(?=\w)", "", text)


def shown(value: object) -> str:
    """A value as a message shows it: its type only."""
    return f"a value of type {type_name(type(value))}"
