"""Verbs as forms: each field is described, and read from a text; a text that is none is refused with its mend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args, get_type_hints
from uuid import UUID, uuid4

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga_fn import (
    Abort,
    Acknowledge,
    BulkVerb,
    Cancel,
    PauseSaga,
    PayloadError,
    ResumeSaga,
    RetryStep,
    Rewind,
    SagaAdmin,
    SagaError,
    SettleDone,
    SettleNeverRan,
    SettleUndone,
    SkipStep,
    StartNow,
)
from saga_fn.admin.text_fields import FieldKind, TextField, id_of, length_of, read_fields, value_of
from saga_fn.admin.verb_fields import VERB_FORMS, ask_of, verb_from
from saga_fn.core.verbs import Verb

READ: list[tuple[str, dict[str, str], BulkVerb]] = [
    ("retry_step", {"step": "charge"}, RetryStep("charge")),
    ("retry-step", {"step": " charge ", "input": ""}, RetryStep("charge")),
    ("retry_step", {"step": "charge", "input": '{"order_id": "7"}'}, RetryStep("charge", {"order_id": "7"})),
    ("retry_step", {"step": "charge", "input": "null"}, RetryStep("charge", None)),
    ("skip_step", {"step": "charge"}, SkipStep("charge", None)),
    ("skip_step", {"step": "c", "mock_output": "1", "not_begun": "yes"}, SkipStep("c", 1, not_begun=True)),
    ("cancel", {}, Cancel()),
    ("rewind", {"to": "a", "forget": "a, b,,a"}, Rewind("a", forget=("a", "b"))),
    ("abort", {}, Abort()),
    ("settle_done", {"step": "a", "output": '"p-1"'}, SettleDone("a", "p-1")),
    ("settle_undone", {"step": "a"}, SettleUndone("a")),
    ("settle_never_ran", {"step": "a[3]"}, SettleNeverRan("a[3]")),
    ("start_now", {"at": ""}, StartNow()),
    ("start_now", {"at": "2026-11-29T06:00"}, StartNow(datetime(2026, 11, 29, 6, tzinfo=UTC))),
    ("start_now", {"step": "nap"}, StartNow(step="nap")),
    ("pause_saga", {}, PauseSaga()),
    ("resume-saga", {"extend": "yes"}, ResumeSaga(extend=True)),
    ("acknowledge", {}, Acknowledge()),
]


@pytest.mark.parametrize("verb, texts, expected", READ)
def test_a_verb_is_read_from_texts(verb: str, texts: dict[str, str], expected: BulkVerb) -> None:
    assert verb_from(verb, texts) == expected


def test_every_verb_has_a_form() -> None:
    assert {*VERB_FORMS} == {*Verb} == {kind.verb for kind in get_args(BulkVerb)}
    assert {verb.replace("-", "_") for verb, _, _ in READ} == {*VERB_FORMS}


@pytest.mark.parametrize("verb", VERB_FORMS)
def test_a_form_says_in_one_sentence_what_the_verb_does(verb: Verb) -> None:
    form = VERB_FORMS[verb]
    assert form.summary.endswith(".")
    assert "`SagaAdmin" not in form.summary
    assert "\n" not in form.summary
    assert [field.name for field in form.fields] == [field.name for field in attrs.fields(form.kind)]
    assert all(field.summary.endswith(".") for field in form.fields)


REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("remove", {}, "the verbs are retry_step"),
    ("cancel", {"step": "a"}, "its fields are none"),
    ("retry_step", {}, "the id of a step"),
    ("retry_step", {"step": "  "}, "the id of a step"),
    ("retry_step", {"step": "a\x1b[31m"}, "steps of SagaAdmin.get_saga"),
    ("retry_step", {"step": "a", "input": "{'a': 1}"}, "double quotes"),
    ("retry_step", {"step": "a", "input": "NaN"}, "double quotes"),
    ("retry_step", {"step": "a", "input": "\udcff"}, "double quotes"),
    ("retry_step", {"step": "a", "input": "[" * 200_000}, "double quotes"),
    ("skip_step", {"step": "a", "not_begun": "maybe"}, "true or false"),
    ("start_now", {"at": "tomorrow"}, "a moment, such as"),
]


@pytest.mark.parametrize("verb, texts, mend", REFUSED)
def test_what_is_no_verb_is_refused_with_the_mend(verb: str, texts: dict[str, str], mend: str) -> None:
    with pytest.raises(SagaError) as refused:
        verb_from(verb, texts)
    assert mend in (refused.value.hint or "")
    assert refused.value.fact.isprintable()


def test_a_number_beyond_a_double_is_read_as_it_is() -> None:
    assert verb_from("settle_done", {"step": "a", "output": "9007199254740993"}) == SettleDone("a", 9007199254740993)


@given(verb=st.sampled_from([*VERB_FORMS]), texts=st.data())
def test_whatever_is_typed_is_read_or_refused(verb: Verb, texts: st.DataObject) -> None:
    typed = st.text(max_size=20) | st.sampled_from(["1", "true", "null", "[1]", "2026-01-01", "a,b", "charge"])
    form = VERB_FORMS[verb]
    filled = {field.name: texts.draw(typed, label=field.name) for field in form.fields}
    refused: SagaError | None = None
    try:
        assert type(verb_from(verb, filled)) is form.kind
    except SagaError as error:
        refused = error
    assert refused is None or (refused.hint and refused.fact.isprintable())


@pytest.mark.parametrize(
    "text, length", [("90s", 90.0), ("15 m", 900.0), ("2h", 7200.0), ("7d", 604800.0), ("1w", 604800.0), ("5ms", 0.005)]
)
def test_a_length_of_time_has_a_unit(text: str, length: float) -> None:
    assert length_of("older_than", text) == timedelta(seconds=length)


@pytest.mark.parametrize("text", ["90", "s", "-1s", "1.5h", "1y", "999999999w", "", "\u0663s"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(PayloadError):
        length_of("older_than", text)


def test_every_kind_of_field_is_read() -> None:
    for kind in FieldKind:
        field = TextField("it", kind, "It.", choices=("ONE", "two"))
        texts = {FieldKind.FLAG: "on", FieldKind.TIME: "2026-01-01T00:00:00+02:00", FieldKind.LENGTH: "1h"}
        chosen = {FieldKind.WHOLE: "-3", FieldKind.CHOICE: "one", FieldKind.CHOICES: "two,ONE", FieldKind.JSON: "[]"}
        assert value_of(field, {**texts, **chosen}.get(kind, "x")) is not None
        with pytest.raises(PayloadError) as missing:
            read_fields([attrs.evolve(field, is_required=True)], {}, of="a form")
        assert missing.value.hint


def test_what_is_no_id_is_refused() -> None:
    assert id_of("01a225a8-f4ff-8e62-81e9-70c12026bec3") == UUID("01a225a8-f4ff-8e62-81e9-70c12026bec3")
    with pytest.raises(PayloadError, match="is a UUID"):
        id_of("order-7")


class Recorder:
    """Stands for SagaAdmin: it notes which method was called, and how."""

    def __init__(self) -> None:
        self.called: list[tuple[str, tuple[object, ...], dict[str, object]]] = []

    def __getattr__(self, name: str) -> Any:  # Any: each method of SagaAdmin
        async def called(*given: object, **named: object) -> None:
            self.called.append((name, given, named))

        return called


@pytest.mark.parametrize("verb, texts, expected", READ)
async def test_a_verb_is_asked_of_one_saga_by_its_method(verb: str, texts: dict[str, str], expected: BulkVerb) -> None:
    recorder, saga_id = Recorder(), uuid4()
    await ask_of(recorder, saga_id, verb_from(verb, texts), expect=3, reason="OPS-12")  # type: ignore[arg-type]
    [(name, given, named)] = recorder.called
    assert (given[0], named["expect"], named["reason"]) == (saga_id, 3, "OPS-12")
    assert name == expected.verb or (name == "reschedule" and expected.verb == "start_now")
    hints = get_type_hints(getattr(SagaAdmin, name))
    assert {*named} <= {*hints}
    values = [*given[1:], *(value for key, value in named.items() if key not in ("expect", "reason"))]
    wanted = [value for value in attrs.astuple(expected, recurse=False) if value not in (None, msgspec.UNSET)]
    assert all(value in values for value in wanted)
