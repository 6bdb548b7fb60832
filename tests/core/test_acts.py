"""The fate of an act whose process has not told it, by what it has left."""

from __future__ import annotations

import pytest

from saga_fn.core.acts import NEVER_DONE, UNKNOWN, Trace, came_of
from saga_fn.core.event_matching import Answer


def left(*, is_there: bool = True, is_written: bool = False, is_sent: bool = False, answer: str | None = None) -> Trace:
    return Trace(is_there=is_there, is_written=is_written, is_sent=is_sent, answer=answer)


@pytest.mark.parametrize(
    "verb, trace, outcome",
    [
        ("pause", None, UNKNOWN),
        ("cancel", left(is_written=True), Answer.APPLIED),
        ("abort", left(is_written=True), Answer.APPLIED),
        ("cancel", left(is_sent=True), None),
        ("cancel", left(is_sent=True, answer="applied"), Answer.APPLIED),
        ("cancel", left(is_sent=True, answer="past_pivot"), "past_pivot"),
        ("rewind", left(is_sent=True, answer='unnamed: ["charge"]'), "unnamed"),
        ("cancel", left(), NEVER_DONE),
        ("cancel", left(is_there=False), UNKNOWN),
        ("acknowledge", left(), UNKNOWN),
        ("abort", left(), UNKNOWN),
    ],
)
def test_an_act_is_told_by_what_it_has_left(verb: str, trace: Trace | None, outcome: str | None) -> None:
    assert came_of(verb, trace) == outcome
