"""Lengths of time, as they are told to a person."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga_fn.printable import in_words


@pytest.mark.parametrize(
    "length, words",
    [
        (timedelta(days=30), "30 days"),
        (timedelta(days=1), "24 hours"),
        (timedelta(hours=25), "25 hours"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(seconds=90), "90 s"),
        (timedelta(days=30, milliseconds=100), "2592000.1 s"),
        (timedelta(milliseconds=200), "0.2 s"),
        (timedelta(0), "0 s"),
    ],
)
def test_a_length_of_time_is_told_in_the_largest_unit_that_tells_all_of_it(length: timedelta, words: str) -> None:
    assert in_words(length // timedelta(microseconds=1)) == words
