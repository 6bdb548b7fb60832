"""The saga that is being traced: who calls a step inside a `@saga` function finds its builder here."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from saga_fn.definition.values.refs import AnyRef, StepRef
from saga_fn.errors import SagaDefinitionError


class TracedBuilder(Protocol):
    """As much of a builder as the lines of a `@saga` ask for, untyped: the overloads of what they call have checked it."""

    @property
    def wire(self) -> Callable[..., AnyRef]:
        """Add a step."""
        ...

    @property
    def add_event(self) -> Callable[..., AnyRef]:
        """Add a wait for an event."""
        ...

    @property
    def set_attribute(self) -> Callable[..., None]:
        """Set a search attribute."""
        ...

    @property
    def add_sleep(self) -> Callable[..., StepRef[None]]:
        """Add a sleep."""
        ...


_current: ContextVar[TracedBuilder | None] = ContextVar("saga_fn_builder", default=None)


@contextmanager
def tracing(builder: TracedBuilder) -> Generator[None]:
    """Have what is called meanwhile added to this builder."""
    token = _current.set(builder)
    try:
        yield
    finally:
        _current.reset(token)


def current_builder(what: str) -> TracedBuilder:
    """The builder of the saga that is being traced; raises SagaDefinitionError outside of one."""
    builder = _current.get()
    if builder is None:
        raise SagaDefinitionError(
            f"{what} outside of a @saga function",
            hint="call steps inside a function decorated with @saga, or wire them with SagaBuilder.add_step",
        )
    return builder
