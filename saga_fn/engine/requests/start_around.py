"""The service's own code around a start: it gives the headers of a trace, and hides no error of the start."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from typing import Final

from saga_fn.engine.around import StartCall
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.observe.of_process import AroundStartFailed
from saga_fn.engine.requests.start_conflicts import StartedSaga
from saga_fn.errors import SagaError, is_a, shown

_MEND: Final = "@contextmanager def starting(call: StartCall): yield {}"


@contextlib.contextmanager
def around_start(engine: SagaEngine, call: StartCall) -> Generator[Mapping[str, str]]:
    """The code of the service's around a start, and the headers that it gives.

    The start ends as it does by itself: no code around it hides its error, nor makes an error of a saga that has begun.
    """
    started = False
    raised: BaseException | None = None
    try:
        with contextlib.ExitStack() as stack:
            headers = _entered(engine, call, stack)
            try:
                yield headers
                started = True
            except BaseException as error:
                raised = error
                raise
    except Exception as error:
        if raised is None and not started:
            raise
        if raised is None:
            engine.observers.tell(AroundStartFailed(call.saga_name, error))
    if raised is not None:
        raise raised


def _entered(engine: SagaEngine, call: StartCall, stack: contextlib.ExitStack) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for each in engine.options.around_start:
        within = each(call)
        if not is_a(within, contextlib.AbstractContextManager):
            raise SagaError(f"code around starts gives a context manager, not {shown(within)}", hint=_MEND)
        given = stack.enter_context(within)
        if not is_a(given, Mapping):
            raise SagaError(f"code around starts gives headers, not {shown(given)}", hint=_MEND)
        headers.update(given)
    return headers


def tell_call(call: StartCall, started: Sequence[StartedSaga]) -> None:
    """Let the code around it know what has become of the start."""
    call.saga_ids = tuple(each.id for each in started)
    call.created = sum(each.created for each in started)
