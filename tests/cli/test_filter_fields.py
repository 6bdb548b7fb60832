"""A filter as a form: every argument of SagaFilter, read from texts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga_fn import Attribute, HasValue, MemoryStore, PayloadError, SagaFilter, SagaOrchestrator, SagaStatus, WaitReason
from saga_fn.admin.filter_fields import FILTER_FIELDS, condition_from, filter_from, in_words
from saga_fn.listing import asked_of, listing_of
from tests.support.shop import Shop, make_saga

ID = UUID("01a225a8-f4ff-8e62-81e9-70c12026bec3")


def test_every_argument_of_a_filter_has_a_field() -> None:
    assert {field.name for field in FILTER_FIELDS} == set(SagaFilter.__struct_fields__)


@pytest.mark.parametrize(
    "texts, expected",
    [
        ({}, SagaFilter()),
        ({"saga_name": "", "version": ""}, SagaFilter()),
        ({"saga_name": "shop", "version": "2"}, SagaFilter(saga_name="shop", version=2)),
        ({"status": "failed", "acknowledged": "no"}, SagaFilter(status=SagaStatus.FAILED, acknowledged=False)),
        ({"active": "true"}, SagaFilter(active=True)),
        ({"waits": "parked"}, SagaFilter(waits=WaitReason.PARKED)),
        ({"waits": "retry, event"}, SagaFilter(waits=WaitReason.RETRY | WaitReason.EVENT)),
        ({"parked": "past_pivot", "step": "a", "error": "E"}, SagaFilter(parked="past_pivot", step="a", error="E")),
        ({"aggregation_id": "order-7"}, SagaFilter(aggregation_id="order-7")),
        ({"older_than": "2h"}, SagaFilter(older_than=timedelta(hours=2))),
        ({"created_from": "2026-11-29"}, SagaFilter(created_from=datetime(2026, 11, 29, tzinfo=UTC))),
        (
            {"ended_before": "2026-11-29T01:00:00+02:00"},
            SagaFilter(ended_before=datetime.fromisoformat("2026-11-29T01:00:00+02:00")),
        ),
        ({"attribute": "customer=c-17"}, SagaFilter(attribute=Attribute("customer", str).equals("c-17"))),
    ],
)
def test_a_filter_is_read_from_texts(texts: dict[str, str], expected: SagaFilter) -> None:
    assert filter_from(texts) == expected
    told = in_words(asked_of(listing_of(expected, oldest_first=False, after=None, most=1).wanted))
    assert set(told) == {name for name, text in texts.items() if text}
    assert filter_from(told) == expected, "it is told as it could be given"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("customer=a=b..c", Attribute("customer", str).equals("a=b..c")),
        ("customer>=m", Attribute("customer", str).at_least("m")),
        ("items:int=3", Attribute("items", int).equals(3)),
        ("items:int<=3", Attribute("items", int).at_most(3)),
        ("total:decimal=1.5..2", Attribute("total", Decimal).between(Decimal("1.5"), Decimal(2))),
        ("gift:bool=yes", Attribute("gift", bool).equals(value=True)),
        ("day:date>=2026-11-01", Attribute("day", date).at_least(date(2026, 11, 1))),
        ("at:datetime=2026-11-01", Attribute("at", datetime).equals(datetime(2026, 11, 1, tzinfo=UTC))),
        (f"parent:uuid={ID}", Attribute("parent", UUID).equals(ID)),
    ],
)
def test_a_condition_on_an_attribute_is_read(text: str, expected: HasValue) -> None:
    assert condition_from(text, {}) == expected
    asked = listing_of(SagaFilter(attribute=expected), oldest_first=False, after=None, most=1).wanted
    told = in_words(asked_of(asked))["attribute"]
    assert condition_from(told, {expected.attribute: expected.kind}) == expected, "it is told as it could be given"
    assert in_words(asked_of(asked), values=False) == {"attribute": f"{expected.attribute}=…"}


def test_the_type_of_an_attribute_is_that_of_its_definition() -> None:
    orchestrator = SagaOrchestrator(MemoryStore())
    count = Attribute("count", int)
    orchestrator.register("shop", msgspec.structs.replace(make_saga(Shop()), attributes=(count,)))
    known = orchestrator.engine.registry.all
    assert filter_from({"attribute": "count=7"}, known).attribute == count.equals(7)
    elsewhere = filter_from({"attribute": "count=7", "saga_name": "other"}, known)
    assert elsewhere.attribute == Attribute("count", str).equals("7")


@pytest.mark.parametrize(
    "texts",
    [
        {"name": "shop"},
        {"version": "two"},
        {"version": "0"},
        {"version": "\u0662"},
        {"status": "BROKEN"},
        {"waits": "godot"},
        {"waits": "parked,godot"},
        {"parked": "nothing"},
        {"active": "2"},
        {"older_than": "long"},
        {"created_from": "yesterday"},
        {"attribute": "customer"},
        {"attribute": "\x1b=1"},
        {"attribute": "customer:text=a"},
        {"attribute": "items:int=many"},
        {"attribute": "total:decimal=1..x"},
        {"attribute": "total:decimal=NaN"},
        {"attribute": "at:datetime=never"},
        {"aggregation_id": "a\0b"},
    ],
)
def test_what_is_no_filter_is_refused_with_the_mend(texts: dict[str, str]) -> None:
    with pytest.raises(PayloadError) as refused:
        filter_from(texts)
    assert refused.value.hint
    assert refused.value.fact.isprintable()


@given(st.dictionaries(st.sampled_from([field.name for field in FILTER_FIELDS]), st.text(max_size=12), max_size=4))
def test_whatever_is_typed_is_read_or_refused(texts: dict[str, str]) -> None:
    refused: PayloadError | None = None
    try:
        assert isinstance(filter_from(texts), SagaFilter)
    except PayloadError as error:
        refused = error
    assert refused is None or refused.hint
