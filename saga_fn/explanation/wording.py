"""The words that the texts of explanations share: moments, moves, lists of names that are cut."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from saga_fn.core.explain.course import Move, MoveKind
from saga_fn.core.leftovers import LeftOver
from saga_fn.core.projection import SagaStatus

MOST_NAMED: Final = 12
"""The text names no more steps, or moves, in one place."""
LONGEST_ERROR: Final = 300
"""Characters."""
NO_PLAN_FITS: Final = "no definition that processes work with fits what it has done"
_MOVED: Final = {
    MoveKind.RUN: "run",
    MoveKind.UNDO: "undo",
    MoveKind.PROBE: "probe",
    MoveKind.AWAIT: "wait at",
    MoveKind.CUT_SHORT: "cut short",
}


def listed(names: Iterable[str]) -> str:
    """The first of the names, and how many more there are."""
    every = list(names)
    more = len(every) - MOST_NAMED
    return ", ".join([*every[:MOST_NAMED], f"and {more} more"] if more > 0 else every)


def moves_in_words(moves: Iterable[Move]) -> str:
    """The moves, one after the other."""
    return listed(f"{_MOVED[move.kind]} {move.step}" for move in moves)


def left_in_words(left: Iterable[LeftOver]) -> str:
    """The effects that are left over, with their kinds."""
    return listed(f"{each.step_id} ({each.kind})" for each in left)


def course_in_words(course: tuple[Move, ...], rest: tuple[Move, ...], end: SagaStatus | None, *, is_whole: bool) -> str:
    """The course in words; `rest` are those of its moves that are not told before it."""
    ending = "then a person has to go on" if end is None else f"then it ends {end}"
    if not is_whole:
        ending = "and so on"
    told = f"{moves_in_words(rest)}, {ending}" if rest else ending.removeprefix("then ")
    return f"if all goes well: {told}" if course else told


def in_utc(moment: datetime) -> str:
    """The moment, to the second."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def said_by(actor: str | None, reason: str | None) -> str:
    """Who has asked for something, and why, as far as that was said."""
    by = "" if actor is None else f", by {actor}"
    return by + ("" if reason is None else f", because: {reason}")
