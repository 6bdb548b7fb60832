"""Exceptions that a step raises to say what became of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from typing_extensions import override

from saga_fn.core.retry import LONGEST_DELAY
from saga_fn.errors import SagaDefinitionError
from saga_fn.printable import a_type_of

_MICROSECOND: Final = timedelta(microseconds=1)


class OutcomeUnknown(Exception):  # noqa: N818 - it says what is so; the fault lies elsewhere
    """Raise it in a step that may have been done, or not: a request has left, and no answer has come.

    The saga then settles it as the step says: by its `probe`, or by `on_unknown`. It takes the arguments of an Exception, best a
    sentence that says what is unknown. Subclasses count as it.

    Example::

        answer = await client.post("/charges", json=body)
        if answer.status_code == 202:
            raise OutcomeUnknown("the bank is still at it")
    """


class RetryLater(Exception):  # noqa: N818 - as above
    """Raise it in a step that has not been done, and has to be tried again later.

    It is for participants that say when to come back, by a 429's `Retry-After`: that takes the place of the policy's delay.
    It counts as an attempt of the step's `retry_policy` (without one, of `unknown_retry_policy`). It ends the attempts when
    that is used up, or when `after` leads beyond its `within`. `retry_on` need not name it. Subclasses count as it.

    Args:
        after: The earliest time of the next attempt, as a timedelta from now, 0 to 365 days. A negative one counts as 0, a longer
            one as 365 days.
        message: The reason, for the history. Default: an empty one.

    Raises:
        SagaDefinitionError: `after` is no timedelta.

    Example::

        if answer.status_code == 429:
            raise RetryLater(timedelta(seconds=int(answer.headers["Retry-After"])))
    """

    after: timedelta
    """The earliest time of the next attempt, as a timedelta from now."""

    def __init__(self, after: timedelta, message: str = "") -> None:
        if not isinstance(after, timedelta):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
            raise SagaDefinitionError(
                f"RetryLater.after must be a timedelta, not {a_type_of(after)}",
                hint="raise RetryLater(timedelta(seconds=30))",
            )
        self.after = min(max(after, timedelta(0)), LONGEST_DELAY * _MICROSECOND)
        super().__init__(after, message)

    @override
    def __str__(self) -> str:
        soonest = f"not before {self.after.total_seconds():g} s from now"
        return f"{self.args[1]} ({soonest})" if self.args[1] else soonest
