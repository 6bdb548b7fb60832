"""The choices for a step whose compensation has failed as often as it may."""

from __future__ import annotations

from typing import Final, Literal, get_args

from saga_fn.errors import SagaDefinitionError, shown

OnUndoFailedChoice = Literal["park", "fail"]
"""Park the step for a person, or end the saga as FAILED."""
_CHOICES: Final = get_args(OnUndoFailedChoice)


def check_on_undo_failed(name: str, value: object) -> None:
    """Raise SagaDefinitionError for what is none of the choices."""
    if not isinstance(value, str) or value not in _CHOICES:
        raise SagaDefinitionError(
            f"{name} must be one of {', '.join(map(shown, _CHOICES))}, not {shown(value)}",
            hint="'park' to leave the step to a person, 'fail' to end the saga as FAILED",
        )
