"""The law of the codec over generated types and values: what is accepted comes back the same, in whatever process.

A type that could not keep a value is refused before there is one. The bytes are the same whatever the seed of hashes, so that
a value that was stored by one process is told to be the same by another.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import make_dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict

from saga_fn import PayloadError, TypeValidationError
from saga_fn.codec import PayloadType
from saga_fn.codec.equality import same

Case = tuple[Any, st.SearchStrategy[Any]]
"""A type, and values of it."""


class Color(Enum):
    RED = "red"
    BLUE = "blue"


_zones = st.sampled_from(
    [UTC, timezone(timedelta(hours=5, minutes=30)), ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")]
)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
LEAVES: list[Case] = [
    (int, st.integers()),
    (float, st.floats()),
    (bool, st.booleans()),
    (str, _texts | st.just("\ud800")),
    (bytes, st.binary(max_size=5)),
    (Decimal, st.decimals()),
    (UUID, st.uuids()),
    (date, st.dates()),
    (datetime, st.datetimes(timezones=_zones, allow_imaginary=True) | st.datetimes()),
    (timedelta, st.timedeltas()),
    (Color, st.sampled_from(Color)),
    (Any, st.none() | st.integers() | _texts | st.lists(st.integers(), max_size=2)),
]
# Types that are made at run time are none to a checker.
_frozenset: Any = frozenset
_list: Any = list
_tuple: Any = tuple
_dict: Any = dict
_HASHABLE = {int, str, UUID, date, Color, datetime, bytes}


def _of_class(make: Callable[[list[tuple[str, Any]]], Any], cases: list[Case]) -> Case:
    names = [f"f{number}" for number in range(len(cases))]
    cls = make([(name, case[0]) for name, case in zip(names, cases, strict=True)])
    return cls, st.builds(cls, **{name: case[1] for name, case in zip(names, cases, strict=True)})


def _pydantic(fields: list[tuple[str, Any]]) -> Any:
    config = pydantic.ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", allow_inf_nan=True)
    chosen: dict[str, Any] = {name: (tp, ...) for name, tp in fields}
    try:
        return pydantic.create_model("Model", __config__=config, **chosen)
    except pydantic.errors.PydanticSchemaGenerationError:
        reject()  # pydantic knows no Structs


def _typed_dict(cases: list[Case]) -> Case:
    names = {f"f{number}": case for number, case in enumerate(cases)}
    make: Any = TypedDict  # Any: made at run time
    return make("Keys", {name: tp for name, (tp, _) in names.items()}), st.fixed_dictionaries(
        {name: values for name, (_, values) in names.items()}
    )


@st.composite
def cases(draw: st.DrawFn, depth: int = 2) -> Case:
    kinds = ["leaf", "list", "tuple", "dict", "set", "none", "struct", "sparse", "data", "attrs", "model", "keys"]
    kind = "leaf" if depth == 0 else draw(st.sampled_from(kinds))
    if kind == "leaf":
        return draw(st.sampled_from(LEAVES))
    if kind == "set":
        tp, values = draw(st.sampled_from([leaf for leaf in LEAVES if leaf[0] in _HASHABLE]))
        return _frozenset[tp], st.frozensets(values, max_size=3)
    if kind in ("list", "tuple", "dict", "none"):
        tp, values = draw(cases(depth=depth - 1))
        around: dict[str, Callable[[], Case]] = {
            "list": lambda: (_list[tp], st.lists(values, max_size=3)),
            "tuple": lambda: (_tuple[tp, int], st.tuples(values, st.integers())),
            "dict": lambda: (_dict[str, tp], st.dictionaries(_texts, values, max_size=3)),
            "none": lambda: (tp | None if isinstance(tp, type) else tp, values),
        }
        return around[kind]()
    inside = draw(st.lists(cases(depth=depth - 1), min_size=1, max_size=3))
    if kind == "keys":
        return _typed_dict(inside)
    makers: dict[str, Callable[[list[tuple[str, Any]]], Any]] = {
        "struct": lambda fields: msgspec.defstruct("Struct", fields),
        "sparse": lambda fields: msgspec.defstruct(
            "Sparse", [(name, tp, None) for name, tp in fields], omit_defaults=True
        ),
        "data": lambda fields: make_dataclass("Data", fields),
        "attrs": lambda fields: attrs.make_class("Attrs", {name: attrs.field(type=tp) for name, tp in fields}),
        "model": _pydantic,
    }
    return _of_class(makers[kind], inside)


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    deadline=None,
)
@given(data=st.data())
def test_what_is_accepted_comes_back_the_same(data: st.DataObject) -> None:
    tp, values = data.draw(cases())
    try:
        payload = PayloadType.of(tp)
    except TypeValidationError:
        return
    value = data.draw(values)
    try:
        stored = payload.encode(value)
    except PayloadError:
        return
    back = payload.decode(stored)
    assert same(back, value)
    assert payload.encode(back) == stored, "it is stored as it was, by whoever has read it"
    assert payload.means(stored, value)
    assert same(payload.read(stored), value)


def fingerprint() -> str:
    """Of the bytes of values whose order depends on hashes, each made in another order of insertion."""

    class Tagged(pydantic.BaseModel):
        tags: set[str]
        nested: dict[str, frozenset[UUID]] = {}
        colors: set[Color] = set()

    class Point(msgspec.Struct, frozen=True):
        x: str

    words = [f"word {number}" for number in range(40)]
    ids = frozenset(UUID(int=number**9) for number in range(20))
    values: list[tuple[Any, object]] = [
        (set[str], set(words)),
        (Tagged, Tagged(tags=set(words), nested={"a": ids}, colors=set(Color))),
        (list[Tagged | None], [Tagged(tags=set(words))]),
        (frozenset[Point], frozenset(Point(word) for word in words)),
        (dict[int, set[Color]], {1: set(Color)}),
        (set[tuple[str, int | None]], {(word, None) for word in words} | {(word, 1) for word in words}),
    ]
    return hashlib.sha256(b"".join(PayloadType.of(tp).encode(value) for tp, value in values)).hexdigest()


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_equal_values_have_equal_bytes_whatever_the_seed_of_hashes(seed: str) -> None:
    code = "from tests.definition.test_codec_law import fingerprint; print(fingerprint())"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == fingerprint()
