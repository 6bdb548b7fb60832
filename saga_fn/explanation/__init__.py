"""The explanation of a saga: why it stands where it stands, and what each verb would do to it."""

from saga_fn.explanation.explained import Explanation, Happened, WaitingMessage, going_on, lines_of, unread_in_words
from saga_fn.explanation.preview import IN_PYTHON, Spelling, VerbPreview, course_behind, in_words
from saga_fn.explanation.reason import StandingReason

__all__ = [
    "IN_PYTHON",
    "Explanation",
    "Happened",
    "Spelling",
    "StandingReason",
    "VerbPreview",
    "WaitingMessage",
    "course_behind",
    "going_on",
    "in_words",
    "lines_of",
    "unread_in_words",
]
