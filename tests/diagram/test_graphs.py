"""Graphs show every step once, whatever it is called; nothing in them is markup but what the library wrote."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any, get_args

import pytest
from hypothesis import given, settings

from saga_fn import SagaError, SagaStatus, StepStatus
from saga_fn.core.ids import StepId
from saga_fn.core.leftovers import LeftOver, LeftOverKind
from saga_fn.core.plan import Plan, PlannedStep
from saga_fn.diagram import STYLE, GraphFormat, graph
from saga_fn.diagram.looks import look_of_saga, look_of_step
from saga_fn.diagram.measure import broken, text_width
from saga_fn.diagram.svg import TONES
from tests.diagram.plans import HOSTILE, HOSTILE_TEXTS, Seen, plans, sagas, step_of

ANY = settings(deadline=None, derandomize=True, max_examples=25)
SVG = "{http://www.w3.org/2000/svg}"
ALLOWED = {"svg", "title", "desc", "style", "g", "rect", "path", "circle", "text"}
SHORT = 32
"""Characters of a name that stand in one line of a text."""
ONE_LABEL = re.compile(
    r'    (s\d+|start)(\[|\(\[|\{\{)"[^"<>&`%{}|;\\]*((<br/>|#\d+;)[^"<>&`%{}|;\\]*)*"(\]|\]\)|\}\})'
)
ONE_LINE = re.compile(r"    (s\d+|start) (-->|-\.->) s\d+|    classDef \w+ [\w#:,]+|    class [\w,]+ \w+")


def parsed(svg: str, *, embedded: bool) -> ET.Element:
    """The picture, if it is well formed and holds nothing but shapes and texts."""
    root = ET.fromstring(svg)
    for each in root.iter():
        assert each.tag.removeprefix(SVG) in ALLOWED
        for name, value in each.attrib.items():
            assert not name.startswith("on")
            assert name not in ("style", "id", "href")
            assert "url(" not in value
    assert (root.find(f"{SVG}style") is None) == embedded
    assert root.find(f"{SVG}title") is not None
    assert root.find(f"{SVG}desc") is not None
    return root


def steps_drawn(root: ET.Element) -> list[str]:
    """The names of the steps, as they are drawn, box by box."""
    boxes = [each for each in root.iter(f"{SVG}g") if "sfn-step" in each.get("class", "").split()]
    return [
        "".join(text.text or "" for text in box.iter(f"{SVG}text") if text.get("class") == "sfn-name") for box in boxes
    ]


def without_blanks(text: str) -> str:
    return re.sub(r"\s", "", text)


@given(plan=plans())
@ANY
def test_every_step_of_a_definition_is_drawn_once(plan: Plan) -> None:
    names = sorted(without_blanks(step.step) for step in plan.steps)
    svg = graph(plan, "svg", name="order", embedded=True)
    assert sorted(map(without_blanks, steps_drawn(parsed(svg, embedded=True)))) == names
    mermaid = graph(plan, "mermaid", name="order")
    assert len(re.findall(r"^    s\d+[\[({]", mermaid, re.MULTILINE)) == len(names)
    text = without_blanks(graph(plan, "text", name="order", width=200))
    assert all(without_blanks(step.step) in text for step in plan.steps if len(step.step) <= SHORT)


@given(seen=sagas())
@ANY
def test_every_step_of_a_saga_is_drawn_once(seen: Seen) -> None:
    assert seen.plan is not None
    root = parsed(graph(seen.plan, "svg", name=seen.saga_name, seen=seen), embedded=False)
    assert len(steps_drawn(root)) == len(seen.plan.steps)
    words = " ".join(text.text or "" for text in root.iter(f"{SVG}text"))
    for step in seen.steps:
        if step.step_id in seen.plan.index:
            assert without_blanks(look_of_step(step.status).text) in without_blanks(words)


@given(seen=sagas())
@ANY
def test_mermaid_has_nothing_but_its_own_marks(seen: Seen) -> None:
    first, *lines = graph(seen.plan, "mermaid", name=seen.saga_name, seen=seen).splitlines()
    assert first == "flowchart TD"
    for line in lines:
        assert ONE_LABEL.fullmatch(line) or ONE_LINE.fullmatch(line), line


@given(seen=sagas())
@ANY
def test_text_has_no_escape_and_fits_its_width(seen: Seen) -> None:
    for width in (40, 100):
        for plain in (False, True):
            text = graph(seen.plan, "text", name=seen.saga_name, seen=seen, width=width, plain=plain)
            assert not plain or text.isascii()
            assert all(line.isprintable() and len(line) <= width for line in text.splitlines())
    colored = graph(seen.plan, "text", name=seen.saga_name, seen=seen, color=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", colored) == graph(seen.plan, "text", name=seen.saga_name, seen=seen)


@pytest.mark.parametrize("format", get_args(GraphFormat))
@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_a_hostile_name_is_text(format: GraphFormat, name: str) -> None:
    plan = Plan.of(*(PlannedStep(StepId(each)) for each in HOSTILE))
    drawn = graph(plan, format, name=name)
    assert format == "text" or "<script>" not in drawn
    assert not set(drawn) & set("\x00\x1b\u202e\u200f\ud800")
    assert drawn.encode("utf-8")


def test_no_text_is_wider_than_its_box() -> None:
    plan = Plan.of(*(PlannedStep(StepId(each)) for each in HOSTILE))
    root = parsed(graph(plan, "svg"), embedded=False)
    for box in (each for each in root.iter(f"{SVG}g") if "sfn-step" in each.get("class", "")):
        (outline,) = (each for each in box.iter(f"{SVG}rect") if each.get("class") == "sfn-box")
        right = float(outline.attrib["x"]) + float(outline.attrib["width"])
        for text in box.iter(f"{SVG}text"):
            said = text.text or ""
            wide = len(said) * 12.5 * 0.6 if text.get("class") == "sfn-name" else text_width(said, 11) * 0.9
            assert float(text.attrib["x"]) + wide <= right


def test_each_status_has_a_sign_and_words_of_its_own() -> None:
    texts = [look_of_step(status).text for status in StepStatus]
    assert len(set(texts)) == len(texts)
    looks = [*map(look_of_step, StepStatus), *map(look_of_saga, SagaStatus)]
    assert all(len(look.sign) == len(look.plain) == 1 and look.plain.isascii() for look in looks)
    for look in looks:
        same = [other for other in looks if other.tone is not look.tone and other.icon is look.icon]
        assert not same, "a sign has one colour, so that it can be known without"


def test_a_saga_says_why_it_stands_and_what_is_left_over() -> None:
    plan = Plan.of(PlannedStep(StepId("charge"), compensable=True), PlannedStep(StepId("ship"), (StepId("charge"),)))
    seen = Seen(
        plan,
        [
            step_of("charge", StepStatus.COMPENSATION_FAILED, attempt=3),
            step_of("ship", StepStatus.PARKED, parked="outcome_unknown"),
        ],
        SagaStatus.FAILED,
        [LeftOver(StepId("charge"), LeftOverKind.UNDO_FAILED)],
    )
    for format in get_args(GraphFormat):
        drawn = graph(plan, format, name="order", seen=seen)
        for said in ("undo failed", "left over: undo failed", "waits for a person", "outcome unknown", "attempt 3"):
            assert said in drawn, (format, said)


def test_items_are_told_by_their_number() -> None:
    plan = Plan.of(PlannedStep(StepId("seat"), concurrency=2))
    for number, shapes in ((3, 3), (200, 2)):
        items = [step_of(f"seat[{at}]", StepStatus.SUCCEEDED if at else StepStatus.FAILED) for at in range(number)]
        svg = graph(plan, "svg", seen=Seen(plan, [step_of("seat", StepStatus.FAILED), *items]))
        assert f"{number} items" in svg
        assert svg.count('class="sfn-bar') == shapes


def test_a_saga_without_a_plan_says_so() -> None:
    for format in get_args(GraphFormat):
        assert graph(None, format, name="order", seen=Seen(None, unreadable="it was damaged"))
    assert "plan cannot be read" in graph(None, "text", seen=Seen(None))
    _ = parsed(graph(None, "svg", seen=Seen(None)), embedded=False)


@pytest.mark.parametrize(
    "arguments", [{"format": "png"}, {"format": None}, {"width": 39}, {"width": 401}, {"width": "x"}]
)
def test_a_wrong_argument_is_refused_with_the_mend(arguments: dict[str, Any]) -> None:
    with pytest.raises(SagaError) as refused:
        _ = graph(Plan.of(PlannedStep(StepId("a"))), arguments.pop("format", "text"), **arguments)
    assert refused.value.hint


def test_the_style_has_every_colour_in_both_themes() -> None:
    for tone in TONES:
        assert STYLE.count(f"--sfn-{tone}:") == 4
    assert "<" not in STYLE
    assert "@import" not in STYLE
    assert "url(" not in STYLE


@pytest.mark.parametrize(
    "text, lines",
    [
        ("charge", ["charge"]),
        ("charge_the_customer", ["charge_the_", "customer"]),
        ("W" * 30, ["W" * 12, "W" * 12, "W" * 6]),
        ("W" * 90, ["W" * 12, "W" * 12, "W" * 12, "W" * 11 + "…"]),
        ("", [""]),
    ],
)
def test_a_long_text_is_broken_where_it_can_be(text: str, lines: list[str]) -> None:
    assert broken(text, 12, 4) == lines
