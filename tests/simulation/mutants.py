"""One guard taken away: the code of a function is replaced in place, and put back."""

from __future__ import annotations
import __future__

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Generator
from types import CodeType, FunctionType
from typing import Any

import attrs


@attrs.frozen
class Mutant:
    """A function of the library with one piece of its text replaced."""

    name: str
    function: Callable[..., Any]  # Any: functions of all kinds
    before: str
    after: str

    @contextlib.contextmanager
    def alive(self) -> Generator[None]:
        """Have it in place of the function, while the block lasts."""
        function = self.function
        assert isinstance(function, FunctionType)
        was = function.__code__
        function.__code__ = self._code(function)
        try:
            yield
        finally:
            function.__code__ = was

    def _code(self, function: FunctionType) -> CodeType:
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.before) == 1, (
            f"{self.name}: {self.before!r} is there {source.count(self.before)} times"
        )
        changed = source.replace(self.before, self.after)
        module = compile(changed, inspect.getfile(function), "exec", __future__.annotations.compiler_flag)
        found = [each for each in module.co_consts if isinstance(each, CodeType) and each.co_name == function.__name__]
        (code,) = found
        assert code.co_freevars == function.__code__.co_freevars, "a closure cannot be replaced"
        return code
