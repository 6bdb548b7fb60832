"""An answer as data and as text: numbers that a double cannot hold, and texts that a terminal would obey."""

from __future__ import annotations

import enum
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga_fn import SagaStatus, WaitReason
from saga_fn.cli.answers import Drawn, Facts, Lines, Part, Table, facts, json_of, plain, text_of
from saga_fn.cli.layout import laid_out
from saga_fn.snapshot import Unreadable
from tests.cli.shop_app import ESCAPES

ID = UUID("01a225a8-f4ff-8e62-81e9-70c12026bec3")
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Kind(enum.IntEnum):
    ONE = 1


class Struct(msgspec.Struct):
    number: int


@attrs.frozen
class Attrs:
    inside: tuple[Struct, ...]


@pytest.mark.parametrize(
    "value, expected",
    [
        (None, None),
        (True, True),
        (2**53, 2**53),
        (2**53 + 1, "9007199254740993"),
        (-(2**53) - 1, "-9007199254740993"),
        (1.5, 1.5),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (ID, str(ID)),
        (Decimal("1.50"), "1.50"),
        (NOON, "2026-11-29T12:00:00+00:00"),
        (date(2026, 11, 29), "2026-11-29"),
        (timedelta(minutes=1), 60.0),
        (b"\x00", {"base64": "AA=="}),
        (SagaStatus.FAILED, "FAILED"),
        (Kind.ONE, 1),
        (WaitReason.RETRY | WaitReason.PARKED, ["retry", "parked"]),
        (WaitReason.NOTHING, []),
        (Unreadable(7), {"unreadable": 7}),
        ({1: {2}}, {"1": [2]}),
        (Attrs((Struct(2**60),)), {"inside": [{"number": str(2**60)}]}),
        (object, {"text": "<class 'object'>"}),
    ],
)
def test_each_value_has_its_json(value: object, expected: object) -> None:
    assert plain(value) == expected
    assert json.loads(json_of(value)) == expected


@given(st.text())
def test_json_is_ascii_in_one_line(text: str) -> None:
    told = json_of({"text": text})
    assert told.isascii()
    assert told.isprintable()
    assert json.loads(told) == {"text": text}


@pytest.mark.parametrize(
    "value, expected",
    [(None, ""), (False, "no"), (NOON, "2026-11-29 12:00:00 UTC"), (WaitReason.EVENT, "event"), (("a", 1), "a, 1")],
)
def test_each_value_has_its_text(value: object, expected: str) -> None:
    assert text_of(value) == expected


PARTS: list[Part] = [
    Table(("saga", "name"), (("1", "order"), ("22", "\u4e2d\u6587")), "Sagas"),
    facts("Facts", (("status", SagaStatus.FAILED), ("nothing", None), ("key", "k"))),
    Lines(("one", "two")),
]


def told(width: int | None, *parts: Part) -> str:
    return "\n".join(line.text for line in laid_out(parts, width))


def test_parts_are_laid_out_with_room_between_them() -> None:
    assert told(None, *PARTS) == (
        "Sagas\nsaga  name\n1     order\n22    \u4e2d\u6587\n\nFacts\n  status  FAILED\n  key     k\none\ntwo"
    )
    assert [line.text for line in laid_out(PARTS, None) if line.is_heading] == ["Sagas", "saga  name", "Facts"]


def test_a_table_that_is_too_wide_becomes_a_block_for_each_row() -> None:
    assert told(10, PARTS[0]) == "Sagas\nsaga  1\nname  order\n\nsaga  22\nname  \u4e2d\u6587"
    assert told(11, PARTS[0]) == told(None, PARTS[0])
    assert told(3, Table(("saga", "name"), ())) == "saga  name"


def test_a_picture_is_written_as_it_is() -> None:
    assert told(10, Drawn("\x1b[1mbox\x1b[0m\n")) == "\x1b[1mbox\x1b[0m"


@given(st.text(), st.integers(1, 60) | st.none())
def test_no_text_reaches_the_terminal_as_an_order(text: str, width: int | None) -> None:
    hostile = text + ESCAPES
    parts = (Lines((hostile,)), Facts(hostile, ((hostile, hostile),)), Table((hostile,), ((hostile,),), hostile))
    assert all(line.text.isprintable() for line in laid_out(parts, width))
