"""What a builder adds beside steps: waits for events and for moments."""

from __future__ import annotations

import abc
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar, overload

from saga_fn.definition.event import NO_DEFAULT, Expected, WaitParts, check_wait_options, sleep_parts, wait_parts
from saga_fn.definition.refs import InputContext, StepRef
from saga_fn.definition.step import AnyRefs

D = TypeVar("D")
T = TypeVar("T")
U = TypeVar("U")
A = TypeVar("A")


class WaitingBuilder(abc.ABC, Generic[D]):
    """The part of SagaBuilder that is about waiting."""

    @abc.abstractmethod
    def wire_wait(self, parts: WaitParts, after: AnyRefs) -> StepRef[Any]:  # Any: waits for events of all types
        """Add a wait, untyped: what all its spellings share."""

    @overload
    def add_event(
        self, event: Expected[T], *, timeout: timedelta | None = ..., after: AnyRefs = ..., step_id: str = ...
    ) -> StepRef[T]: ...
    @overload
    def add_event(
        self, event: Expected[T], *, timeout: timedelta, default: U, after: AnyRefs = ..., step_id: str = ...
    ) -> StepRef[T | U]: ...
    @overload
    def add_event(
        self,
        event: Expected[T],
        *,
        correlate: Callable[[InputContext[D]], str],
        timeout: timedelta | None = ...,
        after: AnyRefs = ...,
        step_id: str = ...,
    ) -> StepRef[T]: ...
    @overload
    def add_event(
        self,
        event: Expected[T],
        *,
        correlate: Callable[[InputContext[D]], str],
        timeout: timedelta,
        default: U,
        after: AnyRefs = ...,
        step_id: str = ...,
    ) -> StepRef[T | U]: ...
    @overload
    def add_event(
        self,
        event: Expected[T],
        *,
        depends_on: StepRef[A],
        correlate: Callable[[A], str],
        timeout: timedelta | None = ...,
        after: AnyRefs = ...,
        step_id: str = ...,
    ) -> StepRef[T]: ...
    @overload
    def add_event(
        self,
        event: Expected[T],
        *,
        depends_on: StepRef[A],
        correlate: Callable[[A], str],
        timeout: timedelta,
        default: U,
        after: AnyRefs = ...,
        step_id: str = ...,
    ) -> StepRef[T | U]: ...
    def add_event(
        self,
        event: Expected[Any],  # Any: see the overloads
        *,
        depends_on: StepRef[Any] | None = None,  # Any: see the overloads
        correlate: Callable[[Any], str] | None = None,  # Any: see the overloads
        timeout: timedelta | None = None,
        default: object = NO_DEFAULT,
        after: AnyRefs = (),
        step_id: str | None = None,
        **others: object,
    ) -> StepRef[Any]:  # Any: see the overloads
        """Wait here for an event from outside, and get the reference to what it brings.

        An event that came before is taken at once. When `timeout` is over, the saga rolls back, or goes on with
        `default` if there is one. With `correlate` (of the output of `depends_on`, else of the InputContext) only an
        event sent with the same `correlation_id` is taken. Raises SagaDefinitionError.
        """
        check_wait_options(others, "depends_on", "correlate", "timeout", "default")
        refs = () if depends_on is None else (depends_on,)
        parts = wait_parts(event, refs=refs, correlate=correlate, timeout=timeout, default=default, step_id=step_id)
        return self.wire_wait(parts, after)

    @overload
    def add_sleep(self, duration: timedelta, /, *, after: AnyRefs = ..., step_id: str = ...) -> StepRef[None]: ...
    @overload
    def add_sleep(self, /, *, until: StepRef[datetime], after: AnyRefs = ..., step_id: str = ...) -> StepRef[None]: ...
    @overload
    def add_sleep(
        self, /, *, until: StepRef[A], input_map: Callable[[A], datetime], after: AnyRefs = ..., step_id: str = ...
    ) -> StepRef[None]: ...
    def add_sleep(
        self,
        duration: timedelta | None = None,
        /,
        *,
        until: StepRef[Any] | None = None,  # Any: see the overloads
        input_map: Callable[[Any], datetime] | None = None,  # Any: see the overloads
        after: AnyRefs = (),
        step_id: str = "sleep",
        **others: object,
    ) -> StepRef[None]:
        """Sleep here for a while, or until a moment (aware) from an earlier output. Raises SagaDefinitionError.

        It sleeps in the store, however long: nothing waits in this process, and no restart cuts it short.
        """
        check_wait_options(others, "until", "input_map")
        return self.wire_wait(sleep_parts(duration, until, input_map, step_id), after)
