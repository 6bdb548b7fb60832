"""What becomes of stored data when their type changes: a rolling deploy and its rollback, and a field that was renamed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import attrs
import msgspec
import pydantic
import pytest

from saga_fn import PayloadError
from saga_fn.codec import PayloadType
from tests.support.two_builds import (
    NewAttrs,
    NewData,
    NewDict,
    NewModel,
    NewSparse,
    NewStruct,
    OldAttrs,
    OldData,
    OldDict,
    OldModel,
    OldSparse,
    OldStruct,
)

KINDS: list[tuple[str, Any, Any, Any, Any]] = [  # Any: types of all kinds, and values of them
    ("struct", OldStruct, NewStruct, OldStruct("x"), NewStruct("x")),
    ("omit_defaults", OldSparse, NewSparse, OldSparse("x"), NewSparse("x")),
    ("dataclass", OldData, NewData, OldData("x"), NewData("x")),
    ("attrs", OldAttrs, NewAttrs, OldAttrs("x"), NewAttrs("x")),
    ("typed dict", OldDict, NewDict, {"id": "x"}, {"id": "x"}),
    ("pydantic", OldModel, NewModel, OldModel(id="x"), NewModel(id="x")),
]
_names = [kind[0] for kind in KINDS]


@pytest.mark.parametrize("old, new, before, after", [kind[1:] for kind in KINDS], ids=_names)
def test_an_optional_field_may_come_and_go(old: Any, new: Any, before: Any, after: Any) -> None:
    older, newer = PayloadType.of(old), PayloadType.of(new)
    assert newer.decode(older.encode(before)) == after
    assert newer.means(older.encode(before), after)
    assert older.decode(newer.encode(after)) == before  # the deploy is taken back
    assert older.means(newer.encode(after), before)


@pytest.mark.parametrize("old, new, before, after", [kind[1:] for kind in KINDS], ids=_names)
def test_an_optional_field_may_come_and_go_in_a_list(old: Any, new: Any, before: Any, after: Any) -> None:
    older, newer = PayloadType.of(dict[str, list[old]]), PayloadType.of(dict[str, list[new]])
    assert newer.means(older.encode({"a": [before]}), {"a": [after]})
    assert older.means(newer.encode({"a": [after]}), {"a": [before]})


def test_another_value_of_the_new_field_is_another_value() -> None:
    assert not PayloadType.of(NewStruct).means(PayloadType.of(OldStruct).encode(OldStruct("x")), NewStruct("x", "USD"))
    assert PayloadType.of(OldStruct).means(PayloadType.of(NewStruct).encode(NewStruct("x", "USD")), OldStruct("x"))


class Cents(msgspec.Struct):
    amount_cents: int = 0


@dataclass
class CentsData:
    amount_cents: int = 0


@attrs.frozen
class CentsAttrs:
    amount_cents: int = 0


class CentsModel(pydantic.BaseModel):
    amount_cents: int = 0


class SparseCents(msgspec.Struct, omit_defaults=True):
    amount_cents: int = 0


class Tagged(msgspec.Struct, tag=True):
    amount_cents: int = 0


class Other(msgspec.Struct, tag=True):
    x: int = 0


class Bill(msgspec.Struct):
    line: Cents
    lines: list[Cents] = []
    by_name: dict[str, CentsModel] = {}
    pair: tuple[int, CentsData | None] = (0, None)
    either: Tagged | Other | None = None


class Receipt(pydantic.BaseModel):
    lines: list[CentsModel] = []
    data: CentsData | None = None


class FrozenCents(msgspec.Struct, frozen=True):
    amount_cents: int = 0


_RENAMED = b'{"amount":5}'
RENAMED: list[tuple[object, bytes, str]] = [
    (Cents, _RENAMED, "$"),
    (SparseCents, _RENAMED, "$"),
    (CentsData, _RENAMED, "$"),
    (CentsAttrs, _RENAMED, "$"),
    (CentsModel, _RENAMED, "$"),
    (Cents | None, _RENAMED, "$"),
    (list[Cents], b"[%s]" % _RENAMED, "$[0]"),
    (dict[str, CentsModel], b'{"a":%s}' % _RENAMED, "$[...]"),
    (dict[int, Cents], b'{"1":%s}' % _RENAMED, "$[...]"),
    (set[FrozenCents], b"[%s]" % _RENAMED, "$[...]"),
    (Tagged | Other, b'{"type":"Tagged","amount":5}', "$"),
    (Bill, b'{"line":%s}' % _RENAMED, "$.line"),
    (Bill, b'{"line":{},"lines":[{},%s]}' % _RENAMED, "$.lines[1]"),
    (Bill, b'{"line":{},"by_name":{"a":%s}}' % _RENAMED, "$.by_name[...]"),
    (Bill, b'{"line":{},"pair":[1,%s]}' % _RENAMED, "$.pair[1]"),
    (Bill, b'{"line":{},"either":{"type":"Tagged","amount":5}}', "$.either"),
    (Receipt, b'{"lines":[%s]}' % _RENAMED, "$.lines[0]"),
    (Receipt, b'{"data":%s}' % _RENAMED, "$.data"),
]


@pytest.mark.parametrize("tp, data, path", RENAMED)
def test_a_renamed_field_is_not_read_as_its_default(tp: object, data: bytes, path: str) -> None:
    with pytest.raises(PayloadError, match=r"'amount'.*'amount_cents' is missing") as refusal:
        PayloadType.of(tp).decode(data)
    assert refusal.value.path == path
    assert "old name" in (refusal.value.hint or "")


@pytest.mark.parametrize("tp", [Cents, CentsData, CentsAttrs, CentsModel, SparseCents])
def test_an_unknown_field_alone_and_a_missing_one_alone_are_read(tp: Any) -> None:
    assert PayloadType.of(tp).decode(b'{"amount_cents":7,"more":1}') == tp(amount_cents=7)
    assert PayloadType.of(tp).decode(b"{}") == tp()


class Migrated(pydantic.BaseModel):
    amount_cents: int = 0

    @pydantic.model_validator(mode="before")
    @classmethod
    def rename(cls, data: Any) -> Any:  # Any: what pydantic gives
        return {"amount_cents": data["amount"]} if "amount" in data else data


class Aliased(pydantic.BaseModel):
    amount_cents: int = pydantic.Field(0, validation_alias=pydantic.AliasChoices("amount", "cents"))


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    amount_cents: int = 0


@pytest.mark.parametrize("tp", [Migrated, Aliased])
def test_a_model_that_reads_the_old_name_is_believed(tp: Any) -> None:
    assert PayloadType.of(tp).decode(_RENAMED).amount_cents == 5
    assert PayloadType.of(tp).accept({"amount": 5}).amount_cents == 5


def test_a_model_that_keeps_what_it_does_not_know_is_believed() -> None:
    open_type = PayloadType.of(Open)
    assert open_type.decode(open_type.encode(Open.model_validate({"amount": 5}))) == Open.model_validate({"amount": 5})


UNKNOWN: list[tuple[object, object, str]] = [
    (Cents, {"nope": 1}, "$"),
    (CentsData, {"nope": 1}, "$"),
    (CentsAttrs, {"nope": 1}, "$"),
    (CentsModel, {"nope": 1}, "$"),
    (OldDict, {"id": "x", "nope": 1}, "$"),
    (list[Cents], [{"nope": 1}], "$[0]"),
    (dict[str, CentsModel], {"a": {"nope": 1}}, "$[...]"),
    (Bill, {"line": {"amount_cents": 1, "nope": 1}}, "$.line"),
    (Bill, {"line": Cents(), "either": {"type": "Other", "nope": 1}}, "$.either"),
    (Receipt, {"lines": [{"nope": 1}]}, "$.lines[0]"),
]


@pytest.mark.parametrize("tp, given, path", UNKNOWN)
def test_an_unknown_field_in_what_people_write_is_refused(tp: object, given: object, path: str) -> None:
    payload = PayloadType.of(tp)
    with pytest.raises(PayloadError, match="there is no field 'nope'") as refusal:
        payload.accept(given)
    assert refusal.value.path == path
    with pytest.raises(PayloadError, match="there is no field 'nope'"):
        payload.read(msgspec.json.encode(given))


class Fruit(pydantic.BaseModel):
    kind: Literal["fruit"] = "fruit"
    value: int = 0


class Extra(pydantic.BaseModel):
    value: int = 0
    extra: str = "lost"


class Fuller(msgspec.Struct):
    value: int = 0


@pytest.mark.parametrize("given", [Extra(value=3), Fuller(3), {"value": 3, "kind": "fruit", "extra": "x"}])
def test_an_object_of_another_class_is_refused(given: object) -> None:
    with pytest.raises(PayloadError):
        PayloadType.of(Fruit).accept(given)
    with pytest.raises(PayloadError):
        PayloadType.of(list[Fruit]).accept([given])


def test_what_people_write_may_leave_out_what_has_a_default_and_hold_objects() -> None:
    assert PayloadType.of(Bill).accept({"line": Cents(1), "by_name": {"a": CentsModel()}}).line == Cents(1)
    assert PayloadType.of(Bill).read(b'{"line":{}}') == Bill(Cents())
