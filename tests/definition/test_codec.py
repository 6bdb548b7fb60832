from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Any, TypedDict
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga_fn import PayloadError, TypeValidationError
from saga_fn.codec import PayloadType
from saga_fn.codec.message import encode_message
from saga_fn.codec.payload import FIRST_HEADER


class Color(Enum):
    RED = "red"


class Line(msgspec.Struct, frozen=True):
    sku: str
    price: Decimal


class Basket(msgspec.Struct):
    lines: list[Line]
    note: str | None = None
    weight: float = 0.0


@dataclass(frozen=True)
class Parcel:
    at: datetime
    size: tuple[int, int]


@attrs.frozen
class Point:
    x: int


class Options(TypedDict):
    fast: bool


class Model(pydantic.BaseModel):
    when: datetime
    tags: list[str] = []


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


@given(value=json_values)
def test_what_is_encoded_comes_back_equal(value: object) -> None:
    payload = PayloadType.of(Any)
    assert payload.decode(payload.encode(value)) == value


@given(value=st.recursive(st.floats() | st.text() | st.integers() | st.datetimes(), st.lists))
def test_whatever_is_given_comes_back_equal_or_is_refused(value: object) -> None:
    payload = PayloadType.of(Any)
    try:
        data = payload.encode(value)
    except PayloadError:
        return
    assert payload.decode(data) == value


GOOD: list[tuple[object, object]] = [
    (Basket, Basket([Line("a", Decimal("1.50"))], weight=0.1)),
    (Parcel, Parcel(datetime(2026, 1, 1, tzinfo=UTC), (1, 2))),
    (Point, Point(3)),
    (Options, {"fast": True}),
    (Model, Model(when=datetime(2026, 1, 1, tzinfo=UTC), tags=["x"])),
    (list[Model], [Model(when=datetime(2026, 1, 1, tzinfo=UTC))]),
    (Color, Color.RED),
    (UUID, uuid4()),
    (int, 2**70),
    (bytes, b"\0\xff"),
    (set[str], {"a", "b"}),
    (dict[str, int | None], {"a": None}),
    (date | None, date(2026, 1, 1)),
    (timedelta, timedelta(seconds=1.5)),
    (str, "NUL \0 is fine in JSON"),
    (type(None), None),
]


@pytest.mark.parametrize("tp, value", GOOD)
def test_every_kind_of_type_comes_back(tp: object, value: object) -> None:
    payload = PayloadType.of(tp)
    assert payload.decode(payload.encode(value)) == value
    assert payload is PayloadType.of(tp)


@pytest.mark.parametrize("tp, value", GOOD)
def test_what_stands_for_a_message_is_the_message(tp: object, value: object) -> None:
    payload = PayloadType.of(tp)
    kept = payload.as_message(value, payload.encode(value))
    assert kept in (None, encode_message(value))


@given(value=st.recursive(json_values | st.floats() | st.datetimes() | st.times() | st.binary(), st.lists))
def test_no_message_that_would_be_refused_is_made_of_what_is_stored(value: object) -> None:
    payload = PayloadType.of(Any)
    try:
        data = payload.encode(value)
    except PayloadError:
        return
    assert payload.as_message(value, data) in (None, encode_message(value))


@pytest.mark.parametrize(
    "tp, value, is_kept", [(Point, Point(3), True), (bytes, b"ab", False), (set[str], {"a"}, False)]
)
def test_most_outputs_stand_for_their_messages(tp: object, value: object, is_kept: bool) -> None:
    payload = PayloadType.of(tp)
    assert (payload.as_message(value, payload.encode(value)) is not None) is is_kept


def test_equal_sets_have_equal_bytes() -> None:
    names = [str(number) for number in range(50)]
    assert PayloadType.of(set[str]).encode(set(names)) == PayloadType.of(set[str]).encode({*sorted(names)})


MISPLACED: Any = Point(1)  # Any: what the checkers would refuse

BAD: list[tuple[str, object, object, str]] = [
    ("NaN", float, math.nan, "None"),
    ("infinity", float, math.inf, "None"),
    ("NaN inside", Basket, Basket([], weight=math.nan), "None"),
    ("NaN of a Decimal", Decimal, Decimal("NaN"), "None"),
    ("naive datetime", datetime, datetime(2026, 1, 1), "timezone.utc"),  # noqa: DTZ001 - the mistake in question
    ("naive inside", Parcel, Parcel(datetime(2026, 1, 1), (1, 2)), "timezone.utc"),  # noqa: DTZ001 - as above
    ("lone surrogate", str, "\ud800", "errors='replace'"),
    ("surrogate key", dict[str, int], {"\udfff": 1}, "errors='replace'"),
    ("time of a zone", time, time(2, 30, tzinfo=ZoneInfo("Europe/Berlin")), "datetime"),
    ("the second of two times", list[time], [time(2, 30, fold=1)], "fold=0"),
    ("huge integer", int, 10**5000, ""),
    ("wrong type", Line, Point(1), "annotation"),
    ("wrong inside", Basket, Basket([MISPLACED]), "annotation"),
    ("None", Line, None, "annotation"),
    ("a subclass that is lost", Any, Point(1), ""),
]


@pytest.mark.parametrize("tp, value, mend", [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_would_not_come_back_is_refused(tp: object, value: object, mend: str) -> None:
    with pytest.raises(PayloadError) as refusal:
        PayloadType.of(tp).encode(value)
    assert mend in (refusal.value.hint or "")


def test_the_path_of_a_flaw_is_told() -> None:
    with pytest.raises(PayloadError) as refusal:
        PayloadType.of(list[Basket]).encode([Basket([]), Basket([], weight=math.inf)])
    assert refusal.value.path == "$[1].weight"


@pytest.mark.parametrize(
    "tp",
    [
        object(),
        Callable[[], int],
        list[Callable[[], int]],
        complex,
        dict[bool, int],
        dict[tuple[int, int], str],
        dict[int | None, int],
        dict[str | int, int],
        dict[Point, int],
        list[dict[Line, int]],
    ],
)
def test_types_that_cannot_be_stored_are_refused(tp: object) -> None:
    with pytest.raises(TypeValidationError) as refusal:
        PayloadType.of(tp)
    assert refusal.value.hint


def test_what_users_give_is_converted() -> None:
    payload = PayloadType.of(Basket)
    basket = Basket([Line("a", Decimal(1))])
    assert payload.accept(basket) is basket
    assert payload.accept({"lines": [{"sku": "a", "price": "1"}]}) == basket
    assert PayloadType.of(Model).accept({"when": "2026-01-01T00:00:00Z"}).tags == []
    with pytest.raises(PayloadError, match="lines"):
        payload.accept({"lines": 3})


class Right(Flag):
    READ = 1
    WRITE = 2


def test_what_is_of_the_type_already_needs_no_conversion() -> None:
    given = [Right.READ, Right.READ | Right.WRITE]
    assert PayloadType.of(list[Right]).accept(given) == given
    assert PayloadType.of(dict[Right, int] | None).accept({Right.READ: 1}) == {Right.READ: 1}
    with pytest.raises(PayloadError):
        PayloadType.of(list[Right]).accept([Color.RED])


def test_an_unknown_field_is_told_without_those_that_may_be_missing() -> None:
    with pytest.raises(PayloadError, match="there is no field 'heavy' - at") as refusal:
        PayloadType.of(Basket).accept({"lines": [], "heavy": True})
    assert "missing" not in str(refusal.value)


def test_bytes_of_another_type_are_refused() -> None:
    with pytest.raises(PayloadError, match="new version"):
        PayloadType.of(Basket).decode(b'{"lines": 7}')
    with pytest.raises(PayloadError):
        PayloadType.of(Basket).decode(b"\xff")


def test_a_payload_in_a_form_of_later_is_refused_with_the_mend() -> None:
    with pytest.raises(PayloadError, match="another form than JSON") as refused:
        PayloadType.of(str).decode(b"\x80secret")
    assert "newer version" in str(refused.value.hint)


@pytest.mark.parametrize(
    "value",
    [
        "ü",
        -1,
        0.5,
        True,
        b"\xff",
        datetime(2026, 1, 1, tzinfo=UTC),
        Point(1),
        Parcel(datetime(2026, 1, 1, tzinfo=UTC), (1, 2)),
    ],
)
def test_the_first_byte_of_each_payload_says_that_it_is_json(value: object) -> None:
    assert PayloadType.of(type(value)).encode(value)[:1] < FIRST_HEADER
