"""The table of faults in the docs is what is tried, and every fault is tried somewhere."""

from __future__ import annotations

from tests.faults.trial.catalogue import FAULTS
from tests.faults.trial.happen import TRIALS
from tests.faults.trial.page import PAGE, marked, written


def test_the_page_is_what_the_tests_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == written(), "make it again: python -m tests.faults.trial.page"


def test_every_fault_of_the_list_is_tried_where_it_can_happen() -> None:
    assert list(FAULTS) == list(range(1, 49))
    assert TRIALS.keys() == {number for number, fault in FAULTS.items() if fault.cells()}
    assert marked().keys() <= FAULTS.keys()
    assert marked().keys() | TRIALS.keys() == FAULTS.keys()
