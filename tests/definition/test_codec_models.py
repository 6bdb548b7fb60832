"""Types whose values only pydantic, or only their class, can tell apart: stored, or refused with the type."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum, IntEnum
from ipaddress import IPv4Address, IPv6Network
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest

from saga_fn import PayloadError, TypeValidationError
from saga_fn.codec import PayloadType
from saga_fn.codec.equality import same

T = TypeVar("T")


class Box(msgspec.Struct, Generic[T]):
    v: T


@attrs.frozen
class AttrsBox(Generic[T]):
    v: T


class ModelBox(pydantic.BaseModel, Generic[T]):
    v: T


class Site(pydantic.BaseModel):
    url: pydantic.HttpUrl
    ip: IPv4Address = IPv4Address("10.0.0.1")
    net: IPv6Network | None = None
    path: PurePosixPath = PurePosixPath("/srv")
    pattern: re.Pattern[str] = re.compile("a.*")
    recent: deque[int] = deque()
    z: complex = 0j
    tags: set[str] = set()
    delay: timedelta = timedelta(0)


class Square(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    side: int

    @pydantic.computed_field  # type: ignore[prop-decorator]  # pydantic's own way to write it
    @property
    def area(self) -> int:
        return self.side**2


class Approved(pydantic.BaseModel):
    by: str


class Rejected(pydantic.BaseModel):
    why: str
    final: bool = True


class Red(pydantic.BaseModel):
    kind: Literal["red"] = "red"
    x: int = 0


class Blue(pydantic.BaseModel):
    kind: Literal["blue"] = "blue"
    x: int = 0


class Painted(pydantic.BaseModel):
    color: Annotated[Red | Blue, pydantic.Field(discriminator="kind")]


class Sparse(msgspec.Struct, omit_defaults=True):
    x: int = 1
    y: list[int] = []


class Places(msgspec.Struct, omit_defaults=True, array_like=True, tag=True):
    x: int = 1
    y: list[int] = []


class Point(msgspec.Struct, frozen=True):
    x: int


class Nested(msgspec.Struct):
    site: Site
    sparse: Sparse = msgspec.field(default_factory=Sparse)


_SITE = Site(url=pydantic.HttpUrl("http://a.b/c"), tags={"a", "b"}, recent=deque([1]))

GOOD: list[tuple[object, object, str | None]] = [
    (Box[int], Box(1), '{"v":1}'),
    (list[Box[str]], [Box("x")], None),
    (AttrsBox[Box[int]], AttrsBox(Box(1)), None),
    (ModelBox[int], ModelBox[int](v=1), None),
    (Site, _SITE, None),
    (Site | None, _SITE, None),
    (dict[str, list[Site]], {"a": [_SITE]}, None),
    (Nested, Nested(_SITE), None),
    (Square, Square(side=3), '{"side":3}'),
    (Approved | Rejected, Rejected(why="x"), None),
    (Approved | Rejected | None, None, None),
    (list[Approved | Rejected], [Approved(by="x"), Rejected(why="y")], None),
    (Red | Blue, Blue(), None),
    (Painted, Painted(color=Blue(x=2)), None),
    (Sparse, Sparse(), '{"x":1,"y":[]}'),
    (list[Sparse], [Sparse(2)], '[{"x":2,"y":[]}]'),
    (Places, Places(), '["Places",1,[]]'),
    (set[Point], {Point(2), Point(1)}, '[{"x":1},{"x":2}]'),
    (dict[int, set[int]], {1: {2, 1}}, '{"1":[1,2]}'),
    (set[tuple[int, int | None]], {(1, None), (1, 0)}, "[[1,0],[1,null]]"),
]


@pytest.mark.parametrize("tp, value, text", GOOD)
def test_it_comes_back(tp: object, value: object, text: str | None) -> None:
    payload = PayloadType.of(tp)
    data = payload.encode(value)
    assert payload.decode(data) == value
    assert payload.accept(value) == value
    assert text is None or data.decode() == text


class Overlapping(pydantic.BaseModel):
    by: str
    more: int = 0


class WithUnion(pydantic.BaseModel):
    answer: Approved | Overlapping


class WithText(pydantic.BaseModel):
    when: datetime | str


class WithBytes(pydantic.BaseModel):
    data: bytes


class WithSecret(pydantic.BaseModel):
    key: pydantic.SecretStr


class WithExcluded(pydantic.BaseModel):
    x: int = pydantic.Field(1, exclude=True)


class WithFunction(pydantic.BaseModel):
    fn: Callable[[], int] | None = None


class WithObject(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    point: object | None = None
    thread: re.Match[str] | None = None


class WithSets(pydantic.BaseModel):
    x: list[int] | set[int]


@attrs.define
class Private:
    _x: int


class StructOfModels(msgspec.Struct):
    answer: Approved | Rejected


class StructOfPath(msgspec.Struct):
    path: PurePosixPath | None = None


class Shade(Enum):
    DARK = (0, 1)


class Number(Enum):
    ONE = 1


REFUSED_FIELDS: list[object] = [
    pydantic.FutureDatetime,
    list[pydantic.FutureDate] | None,
    pydantic.NaiveDatetime,
    pydantic.FilePath,
    Shade,
    dict[str | int, int],
    dict[tuple[int, int], int],
    dict[int | None, int],
    dict[Number, int],
    dict[Literal[1, 2], int],
    dict[frozenset[int], int],
]


@pytest.mark.parametrize("tp", REFUSED_FIELDS, ids=str)
def test_a_model_with_a_field_that_does_not_always_come_back_is_refused(tp: object) -> None:
    fields: Any = {"x": (tp, ...)}  # Any: what the field is of is known here only
    with pytest.raises(TypeValidationError) as refusal:
        PayloadType.of(pydantic.create_model("Holder", **fields))
    assert refusal.value.hint


@pytest.mark.parametrize("tp", [dict[IntEnum, int], dict[int | float, int], dict[UUID, date], pydantic.PastDatetime])
def test_a_model_with_other_keys_and_moments_is_stored(tp: object) -> None:
    fields: Any = {"x": (tp, ...)}  # Any: as above
    PayloadType.of(pydantic.create_model("Holder", **fields))


REFUSED = [
    Approved | Overlapping,
    WithUnion,
    list[WithUnion],
    WithText,
    WithBytes,
    WithSecret,
    WithExcluded,
    WithFunction,
    WithObject,
    WithSets,
    Private,
    StructOfModels,
    StructOfPath,
    Approved | Point,
    Box[Callable[[], int]],
]


@pytest.mark.parametrize("tp", REFUSED)
def test_what_could_not_always_come_back_is_refused_with_the_type(tp: object) -> None:
    with pytest.raises(TypeValidationError) as refusal:
        PayloadType.of(tp)
    assert refusal.value.hint


class Appointment(msgspec.Struct):
    at: datetime


class Meeting(pydantic.BaseModel):
    at: datetime


@pytest.mark.parametrize("hour", range(-2, 4))
@pytest.mark.parametrize("month, day", [(10, 31), (3, 28)])
def test_a_local_time_is_stored_in_every_hour_of_the_year(hour: int, month: int, day: int) -> None:
    instant = datetime(2027, month, day, tzinfo=UTC) + timedelta(hours=hour)
    local = instant.astimezone(ZoneInfo("Europe/Berlin"))
    kinds: list[tuple[object, object]] = [
        (datetime, local),
        (Appointment, Appointment(local)),
        (Meeting, Meeting(at=local)),
        (list[Appointment | None], [Appointment(local)]),
        (dict[datetime, datetime], {local: local}),
    ]
    for tp, value in kinds:
        payload = PayloadType.of(tp)
        assert same(payload.decode(payload.encode(value)), value)
    back = PayloadType.of(datetime).decode(PayloadType.of(datetime).encode(local))
    assert (back.astimezone(UTC), back.utcoffset()) == (instant, local.utcoffset())


def test_another_hour_is_not_the_same() -> None:
    local = datetime(2027, 10, 31, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    first, second = (
        local.replace(tzinfo=timezone(timedelta(hours=2))),
        local.replace(tzinfo=timezone(timedelta(hours=1))),
    )
    assert same([local], [first])
    assert not same([local], [second])
    assert not same([local], [local.replace(tzinfo=None)])
    assert not same([local, 1], [first, 2])
    assert not same({"a": local, "b": 1}, {"a": first, "b": 2})


class Checked(pydantic.BaseModel):
    number: int
    by_name: dict[str, int] = {}
    either: Annotated[Red | Blue, pydantic.Field(discriminator="kind")] | None = None

    @pydantic.field_validator("number")
    @classmethod
    def judge(cls, number: int) -> int:
        if number < 0:
            raise ValueError(f"CANARY {number}")
        return number


class Judged(msgspec.Struct):
    x: int

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("CANARY")


class Tagged(msgspec.Struct, tag="a"):
    x: int


class Tagged2(msgspec.Struct, tag="b"):
    x: int


TEXTS: list[tuple[object, object, str | None]] = [
    (Checked, {"number": "CANARY"}, "$.number"),
    (Checked, {"number": -1}, "$.number"),
    (Checked, {"number": 1, "by_name": {"CANARY": "x"}}, "$.by_name[...]"),
    (Checked, {"number": 1, "either": {"kind": "CANARY"}}, "$.either"),
    (list[Checked], [{"number": "CANARY"}], "$[0].number"),
    (dict[str, Checked], {"CANARY": {"number": "x"}}, "$[...].number"),
    (Literal["a", "b"], "CANARY", None),
    (Tagged | Tagged2, {"type": "CANARY"}, "$.type"),
    (dict[int, int], {"CANARY": 1}, "$"),
    (dict[str, int], {"CANARY": "CANARY"}, "$[...]"),
    (list[Judged], [{"x": -1}], "$[0]"),
    (Judged, {"x": 1, "CANARY 4111": 1}, "$"),
]


@pytest.mark.parametrize("tp, given, path", TEXTS)
def test_errors_name_the_place_and_no_value(tp: object, given: object, path: str | None) -> None:
    payload = PayloadType.of(tp)
    for by_text in (False, True):
        with pytest.raises(PayloadError) as refusal:
            _ = payload.read(msgspec.json.encode(given)) if by_text else payload.accept(given)
        assert refusal.value.path == path
        assert "CANARY" not in str(refusal.value)
        assert refusal.value.__cause__ is None
        assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_what_would_change_is_named_by_its_place() -> None:
    with pytest.raises(PayloadError) as refusal:
        PayloadType.of(dict[str, list[Any]]).encode({"a": [1, (2,)]})
    assert refusal.value.path == "$[...][1]"


_NEW_SYNTAX = """
class Box[T](msgspec.Struct):
    v: T

class ModelBox[T](pydantic.BaseModel):
    v: T

type Id = int
Ids = list[Id]
type Pair[T] = tuple[T, T]
type Json = dict[str, Json] | list[Json] | str | None
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is that of Python 3.12")
def test_the_new_syntax_of_generics_and_aliases_is_known() -> None:
    found: dict[str, Any] = {"msgspec": msgspec, "pydantic": pydantic, "__name__": __name__}
    exec(_NEW_SYNTAX, found)
    cases = [
        (found["Box"][int], found["Box"](1)),
        (found["ModelBox"][int], found["ModelBox"][int](v=1)),
        (found["Ids"], [1]),
        (found["Pair"][int], (1, 2)),
    ]
    for tp, value in cases:
        assert PayloadType.of(tp).decode(PayloadType.of(tp).encode(value)) == value
    with pytest.raises(TypeValidationError, match="names itself"):
        PayloadType.of(found["Json"])
