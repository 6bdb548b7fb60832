"""The part of a World that puts something in the place of a step's own code, of its compensation or of its probe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar, overload

import attrs
from returns.result import Result

from saga_fn.arguments import check_is, check_whole
from saga_fn.definition import Done, NotDone, StepContext, WaitFor
from saga_fn.definition.steps.base import StepBase
from saga_fn.definition.values.refs import StepRef
from saga_fn.errors import SagaDefinitionError, shown
from saga_fn.testing.calls import AnyStepName, Phase
from saga_fn.testing.fakes import AnyCode, Fake, check_code, named
from saga_fn.testing.scene import Scene

I = TypeVar("I")  # noqa: E741 - input and output, the names the docs use throughout
O = TypeVar("O")  # noqa: E741
Answer: TypeAlias = O | Result[O, object] | Awaitable[O | Result[O, object]]
"""The answer of a fake of a step: the output, a Result of one, or either to be awaited."""


@attrs.frozen
class _Nothing:
    """Stands where no value was given: None may be one."""


_NOTHING: Final = _Nothing()


class WorldFakes:
    """Fakes of steps, of their compensations and of their probes."""

    def __init__(self, scene: Scene) -> None:
        self._scene: Scene = scene

    # Fakes. Any: the input of a step that is named by its id or its reference is not known to the checkers.

    @overload
    def fake(self, step: StepBase[I, O], fn: Callable[[I], Answer[O]], /, *, times: int | None = ...) -> None: ...
    @overload
    def fake(
        self, step: StepBase[I, O], fn: Callable[[I, StepContext], Answer[O]], /, *, times: int | None = ...
    ) -> None: ...
    @overload
    def fake(self, step: StepBase[I, O], /, *, returns: O, times: int | None = ...) -> None: ...
    @overload
    def fake(self, step: StepRef[O], fn: Callable[[Any], Answer[O]], /, *, times: int | None = ...) -> None: ...
    @overload
    def fake(
        self, step: StepRef[O], fn: Callable[[Any, StepContext], Answer[O]], /, *, times: int | None = ...
    ) -> None: ...
    @overload
    def fake(self, step: StepRef[O], /, *, returns: O, times: int | None = ...) -> None: ...
    @overload
    def fake(self, step: str, fn: Callable[[Any], object], /, *, times: int | None = ...) -> None: ...
    @overload
    def fake(self, step: str, fn: Callable[[Any, StepContext], object], /, *, times: int | None = ...) -> None: ...
    @overload
    def fake(self, step: str, /, *, returns: object, times: int | None = ...) -> None: ...
    @overload
    def fake(self, step: AnyStepName, /, *, raises: BaseException, times: int | None = ...) -> None: ...
    def fake(
        self,
        step: AnyStepName,
        fn: AnyCode | None = None,
        /,
        *,
        returns: object = _NOTHING,
        raises: BaseException | None = None,
        times: int | None = None,
    ) -> None:
        """Put something in the place of a step's own code.

        The latest fake counts, for as long as it has calls left. The undo and the probe of a faked step are faked, too: the undo
        returns at once, and the probe tells what the fake has returned under the idempotency key. `fake_undo` and `fake_probe` say
        otherwise. An AssertionError in a fake fails the test.

        Args:
            step: The step itself, its id or its StepRef. The checkers judge the fake by the step itself.
            fn: The function in its place, async or not: it is given the input, and a StepContext where it takes another. Default:
                None.
            returns: A value to return, in place of `fn`. Default: none.
            raises: An exception to raise, in place of `fn`. Default: None.
            times: How many calls it stands for, 1 or more. Default: None, all.

        Raises:
            WorldError: No saga of this World has such a step, or two have another one each under that id.
            SagaDefinitionError: It is no step, the function cannot be called so, or there is not exactly one of `fn`, `returns`
                and `raises`.
            SagaError: `times` is out of its range.

        Example::

            world.fake(charge, lambda order: f"receipt for {order.order_id}")
            world.fake(charge, raises=httpx.ReadTimeout("too slow"), times=1)
        """
        self._fake(step, "execute", fn, returns, raises, times, values=1)

    @overload
    def fake_undo(
        self,
        step: StepBase[I, O],
        fn: Callable[[I, O], WaitFor | Awaitable[WaitFor | None] | None],
        /,
        *,
        times: int | None = ...,
    ) -> None: ...
    @overload
    def fake_undo(
        self,
        step: StepBase[I, O],
        fn: Callable[[I, O, StepContext], WaitFor | Awaitable[WaitFor | None] | None],
        /,
        *,
        times: int | None = ...,
    ) -> None: ...
    @overload
    def fake_undo(
        self, step: str | StepRef[Any], fn: Callable[[Any, Any], object], /, *, times: int | None = ...
    ) -> None: ...
    @overload
    def fake_undo(
        self, step: str | StepRef[Any], fn: Callable[[Any, Any, StepContext], object], /, *, times: int | None = ...
    ) -> None: ...
    @overload
    def fake_undo(self, step: AnyStepName, /, *, raises: BaseException, times: int | None = ...) -> None: ...
    def fake_undo(
        self,
        step: AnyStepName,
        fn: AnyCode | None = None,
        /,
        *,
        raises: BaseException | None = None,
        times: int | None = None,
    ) -> None:
        """Put something in the place of a step's compensation.

        Args:
            step: The step, as for `fake`.
            fn: The function in its place, async or not: it is given the input and the output, and a StepContext where it takes one
                more. Where the step may be undone in doubt, the output is None. Default: None.
            raises: An exception to raise, in place of `fn`. Default: None.
            times: How many calls it stands for, 1 or more. Default: None, all.

        Raises:
            WorldError: No saga of this World has such a step, or two have another one each under that id.
            SagaDefinitionError: As for `fake`.
            SagaError: `times` is out of its range.
        """
        self._fake(step, "compensate", fn, _NOTHING, raises, times, values=2)

    @overload
    def fake_probe(
        self,
        step: StepBase[I, O],
        fn: Callable[[I], Done[O] | NotDone | Awaitable[Done[O] | NotDone]],
        /,
        *,
        times: int | None = ...,
    ) -> None: ...
    @overload
    def fake_probe(
        self,
        step: StepBase[I, O],
        fn: Callable[[I, StepContext], Done[O] | NotDone | Awaitable[Done[O] | NotDone]],
        /,
        *,
        times: int | None = ...,
    ) -> None: ...
    @overload
    def fake_probe(self, step: StepBase[I, O], /, *, returns: Done[O] | NotDone, times: int | None = ...) -> None: ...
    @overload
    def fake_probe(
        self, step: str | StepRef[Any], fn: Callable[[Any], object], /, *, times: int | None = ...
    ) -> None: ...
    @overload
    def fake_probe(
        self, step: str | StepRef[Any], fn: Callable[[Any, StepContext], object], /, *, times: int | None = ...
    ) -> None: ...
    @overload
    def fake_probe(self, step: str | StepRef[Any], /, *, returns: object, times: int | None = ...) -> None: ...
    @overload
    def fake_probe(self, step: AnyStepName, /, *, raises: BaseException, times: int | None = ...) -> None: ...
    def fake_probe(
        self,
        step: AnyStepName,
        fn: AnyCode | None = None,
        /,
        *,
        returns: object = _NOTHING,
        raises: BaseException | None = None,
        times: int | None = None,
    ) -> None:
        """Put something in the place of a step's probe.

        Args:
            step: The step, as for `fake`.
            fn: The function in its place, async or not, which returns `Done(output)` or `NOT_DONE`: it is given the input, and a
                StepContext where it takes one more. Default: None.
            returns: An answer, in place of `fn`. Default: none.
            raises: An exception to raise, in place of `fn`. Default: None.
            times: How many calls it stands for, 1 or more. Default: None, all.

        Raises:
            WorldError: No saga of this World has such a step, or two have another one each under that id.
            SagaDefinitionError: As for `fake`.
            SagaError: `times` is out of its range.
        """
        self._fake(step, "probe", fn, returns, raises, times, values=1)

    def _fake(
        self,
        step: AnyStepName,
        phase: Phase,
        fn: object,
        returns: object,
        raises: BaseException | None,
        times: int | None,
        *,
        values: int,
    ) -> None:
        steps = named(step, self._scene.sagas)
        if times is not None:
            check_whole("times", times, least=1)
        what = f"step {shown(steps.said)}"
        if (fn is not None) + (returns is not _NOTHING) + (raises is not None) != 1:
            raise SagaDefinitionError(
                f"{what} is faked by one of a function, returns= and raises=",
                hint="world.fake(charge, lambda order: ...), or world.fake(charge, returns=...)",
            )
        if raises is not None:
            check_is(
                raises, BaseException, "an exception", error=SagaDefinitionError, hint="raises=TimeoutError('too slow')"
            )
            code = _raising(raises)
        elif fn is None:
            code = _returning(returns)
        else:
            code = check_code(fn, values, what)
        self._scene.calling.fakes.add(Fake(steps, phase, code, times))


def _raising(error: BaseException) -> AnyCode:
    def fake(*_: object) -> object:
        raise error

    return fake


def _returning(value: object) -> AnyCode:
    def fake(*_: object) -> object:
        return value

    return fake
