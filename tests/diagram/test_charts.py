"""Small charts: every count has its height, every part its colour and its name, and nothing is markup."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saga_fn import SagaError, SagaStatus
from saga_fn.diagram import Age, Column, ages, bars
from saga_fn.diagram.charts import ENDS
from tests.diagram.plans import HOSTILE_TEXTS
from tests.diagram.test_graphs import SVG, parsed

COLUMNS = [Column("09:00", {"COMPLETED": 10, "FAILED": 2}), Column("09:01", {"COMPENSATED": 5}), Column("09:02", {})]


def parts(root: ET.Element, kind: str) -> list[float]:
    """The heights of the parts of that look, without that in the legend."""
    return [
        float(each.attrib["height"])
        for each in root.iter(f"{SVG}rect")
        if each.get("class") == kind and "rx" not in each.attrib
    ]


def test_a_part_is_as_high_as_its_count() -> None:
    root = parsed(bars(COLUMNS, title="Ends a minute"), embedded=False)
    (completed,), (compensated,) = parts(root, "sfn-soft sfn-good"), parts(root, "sfn-soft sfn-undone")
    (failed,) = parts(root, "sfn-bar sfn-bad")
    assert completed == pytest.approx(2 * compensated, abs=0.2)
    assert completed == pytest.approx(5 * failed, abs=0.3)


def test_the_ends_have_looks_of_their_own() -> None:
    assert ENDS.keys() == {status.value for status in SagaStatus if status.is_terminal}


def test_a_legend_tells_each_name_and_its_sum() -> None:
    drawn = bars(COLUMNS, title="Ends a minute")
    for said in ("COMPLETED 10", "COMPENSATED 5", "FAILED 2", "Ends a minute", "09:00"):
        assert f">{said}</text>" in drawn


def test_an_age_is_written_behind_its_bar() -> None:
    drawn = ages([Age("order", timedelta(minutes=4)), Age("trial", None)], title="Oldest due")
    assert ">4 min</text>" in drawn
    assert ">none</text>" in drawn
    assert drawn.count("sfn-soft sfn-busy") == 1


def test_a_chart_of_nothing_says_so() -> None:
    assert ">nothing</text>" in bars([], title="Ends a minute")
    assert ">nothing</text>" in ages([], title="Oldest due")


@given(
    columns=st.lists(
        st.builds(
            Column,
            st.sampled_from(HOSTILE_TEXTS),
            st.dictionaries(
                st.sampled_from([*HOSTILE_TEXTS, "COMPLETED", "FAILED"]), st.integers(-5, 10**18), max_size=6
            ),
        ),
        max_size=40,
    ),
    title=st.sampled_from(HOSTILE_TEXTS),
    width=st.integers(100, 900),
    height=st.integers(80, 300),
    embedded=st.booleans(),
)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_bars_stay_in_the_picture(columns: list[Column], title: str, width: int, height: int, embedded: bool) -> None:
    drawn = bars(columns, title=title, width=width, height=height, embedded=embedded)
    assert drawn == bars(columns, title=title, width=width, height=height, embedded=embedded)
    for each in parsed(drawn, embedded=embedded).iter(f"{SVG}rect"):
        if "x" in each.attrib:
            assert float(each.attrib["x"]) + float(each.attrib["width"]) <= width + 0.1
            assert (
                0 <= float(each.attrib["y"]) <= float(each.attrib["y"]) + float(each.attrib["height"]) <= height + 0.1
            )


@given(
    rows=st.lists(
        st.builds(
            Age, st.sampled_from(HOSTILE_TEXTS), st.none() | st.timedeltas(timedelta(days=-1), timedelta(days=4000))
        ),
        max_size=20,
    ),
    width=st.integers(100, 900),
)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_ages_stay_in_the_picture(rows: list[Age], width: int) -> None:
    for each in parsed(ages(rows, title="Oldest due", width=width, embedded=True), embedded=True).iter(f"{SVG}rect"):
        assert float(each.attrib["x"]) + float(each.attrib["width"]) <= width


@pytest.mark.parametrize(
    "arguments",
    [
        {"columns": [Column("a", {})] * 501},
        {"columns": ["a"]},
        {"columns": None},
        {"width": 99},
        {"height": 79},
        {"width": "x"},
    ],
)
def test_a_wrong_argument_is_refused_with_the_mend(arguments: dict[str, Any]) -> None:
    with pytest.raises(SagaError) as refused:
        _ = bars(arguments.pop("columns", []), title="x", **arguments)
    assert refused.value.hint


def test_too_many_ages_are_refused() -> None:
    with pytest.raises(SagaError):
        _ = ages([Age("a", None)] * 101, title="x")


def test_a_column_that_nobody_has_counted_is_not_drawn_as_none() -> None:
    drawn = bars([Column("09:41", None), Column("09:42", {"COMPLETED": 3})], title="Ends a minute")
    assert "<title>09:41 not counted</title>" in drawn
    assert drawn.count('class="sfn-break"') == 2, "the column, and the legend"
    assert "COMPLETED: 3, not counted: 1 columns" in drawn
    assert ">nothing</text>" not in bars([Column("09:41", None)], title="Ends a minute")
