"""The statuses and wait reasons that SQL names are the core's: each list, each word and each bit."""

from __future__ import annotations

import re
from typing import Final

from saga_fn._tools.sql.generate import QUERIES
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.store.records import NOT_BY_MESSAGE

SQL: Final = {
    path.stem: path.read_text("utf-8") for path in sorted(QUERIES.parent.rglob("*.sql")) if "guard" not in path.parts
}
LISTS: Final = re.compile(r"ARRAY\[('[A-Z]+'(?:, '[A-Z]+')*)\]|'\{([A-Z]+(?:,[A-Z]+)*)\}'")
WORDS: Final = re.compile(r"'([A-Z]{4,})'")
MASKS: Final = re.compile(r"waits & (\d+)")
BELOW: Final = re.compile(r"waits < (\d+)")
FROM: Final = re.compile(r"waits >= (\d+)")
ENDS: Final = [status.value for status in SagaStatus if status.is_terminal]
LIVE: Final = [status.value for status in SagaStatus if not status.is_terminal]
TIMED: Final = WaitReason.RETRY | WaitReason.TIMER
IN_A_ROW: Final = {"0001_sagas", "commit_saga", "commit_sagas"}
"""Where a row's end is told by its status: the table's rules, and the two statements that write a row's end beside it."""
ASKED: Final = {"0001_sagas", "acknowledge_saga", "find_acknowledged", "list_failed", "read_attention", "read_stats"}
"""Where one status is named: the index of what has failed, the looks at it, its acknowledgement, and the rule on moments."""


def test_a_list_of_statuses_is_that_of_the_live_ones_or_of_the_ends() -> None:
    listed = [
        (name, re.findall(r"[A-Z]+", "".join(each))) for name, text in SQL.items() for each in LISTS.findall(text)
    ]
    assert [(name, each) for name, each in listed if each not in (LIVE, ENDS)] == []
    assert [each for name, each in listed if name == "0001_sagas"] == [LIVE, ENDS]
    assert {name for name, _ in listed} == IN_A_ROW


def test_no_statement_names_a_status_but_to_find_what_has_failed() -> None:
    named = {name for name, text in SQL.items() if {*WORDS.findall(LISTS.sub("", text))} & {*SagaStatus}}
    assert named == ASKED


def test_the_bits_that_statements_look_at_are_those_of_the_core() -> None:
    known = {TIMED, WaitReason.RETRY, WaitReason.EVENT, WaitReason.PARKED, WaitReason.PAUSED, NOT_BY_MESSAGE}
    assert {int(bits) for text in SQL.values() for bits in MASKS.findall(text)} == {int(each) for each in known}


def test_what_is_parked_is_found_by_comparing() -> None:
    """An index on `waits` finds what is parked, or parked for want of a plan, by the size of the number. Above are the paused."""
    least = {int(number) for text in SQL.values() for number in FROM.findall(text)}
    assert least == {int(WaitReason.PARKED), int(WaitReason.PLAN)}
    lower = [each for each in WaitReason if each < WaitReason.PARKED]
    assert sum(lower) + NOT_BY_MESSAGE < WaitReason.PARKED
    assert {*WaitReason} == {*lower, WaitReason.PARKED, WaitReason.PLAN, WaitReason.PAUSED}
    assert {int(number) for text in SQL.values() for number in BELOW.findall(text)} == {int(WaitReason.PAUSED)}


def test_no_reason_to_wait_has_the_bit_that_keeps_messages_from_waking() -> None:
    assert NOT_BY_MESSAGE not in {each.value for each in WaitReason}
