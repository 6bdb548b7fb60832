"""A timeline tells when everything began and ended, who had the saga, and what others did; it stays small."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import timedelta
from itertools import pairwise
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saga_fn import HistoryEntry, SagaError, SagaStatus, StepStatus
from saga_fn.core.events import Event
from saga_fn.core.ids import Micros, StepId
from saga_fn.core.plan import Plan, PlannedStep, StepKind
from saga_fn.diagram import TimelineFormat, timeline
from saga_fn.diagram.axis import axis_of
from saga_fn.diagram.kinds import KINDS, Role, kind_of
from saga_fn.diagram.measure import length, text_width
from saga_fn.diagram.past import Past, SpanKind
from saga_fn.diagram.past_reader import past_of
from tests.diagram.plans import BEGIN, HOSTILE_TEXTS, Seen, entry, step_of
from tests.diagram.test_graphs import parsed

A, B, C = StepId("a"), StepId("b"), StepId("c")
CHAIN = Plan.of(PlannedStep(A, compensable=True), PlannedStep(B, (A,)), PlannedStep(C, (B,)))
SECOND, THIRD = UUID(int=2), UUID(int=3)


def spans_of(past: Past, step: str, kind: SpanKind | None = None) -> list[tuple[float, float | None]]:
    """When the spans of a step began and ended, in seconds after the begin."""
    return [
        (seconds(span.begin - BEGIN), None if span.end is None else seconds(span.end - BEGIN))
        for span in past.spans
        if span.step == step and kind in (None, span.kind)
    ]


def seconds(time: timedelta) -> float:
    return time.total_seconds()


def kinds_of_events() -> set[str]:
    return {re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower() for kind in get_args(Event)}


def test_every_kind_of_event_has_a_look() -> None:
    assert KINDS.keys() == kinds_of_events() | {"unreadable"}


def test_a_kind_that_this_build_does_not_know_is_told_by_its_name() -> None:
    assert kind_of("saga_teleported").text == "saga teleported"


def test_a_step_begins_when_what_it_follows_has_ended() -> None:
    past = past_of(
        [entry(1, "started", 0), entry(2, "step_succeeded", 2, A), entry(3, "step_succeeded", 5, B)], CHAIN, None
    )
    assert spans_of(past, A) == [(0, 2)]
    assert spans_of(past, B) == [(2, 5)]


def test_between_two_attempts_there_is_a_pause_that_ends_with_the_timer() -> None:
    entries = [
        entry(1, "started", 0),
        entry(2, "step_failed", 1, A, error="ConnectionError: gone"),
        entry(3, "resumed", 60, token=SECOND),
        entry(4, "step_succeeded", 61, A, attempt=2, token=SECOND),
    ]
    past = past_of(entries, CHAIN, None)
    assert spans_of(past, A, SpanKind.EXECUTE) == [(0, 1), (60, 61)]
    assert spans_of(past, A, SpanKind.PAUSE) == [(1, 60)]
    assert [(claim.number, seconds(claim.begin - BEGIN)) for claim in past.claims] == [(1, 0), (2, 60)]


def test_an_attempt_that_its_process_did_not_live_to_end_was_cut_short() -> None:
    entries = [
        entry(1, "started", 0),
        entry(2, "resumed", 20, token=SECOND, takeover=True),
        entry(3, "probe_answered", 21, A, token=SECOND),
        entry(4, "step_succeeded", 22, A, attempt=2, token=SECOND),
    ]
    past = past_of(entries, CHAIN, None)
    assert spans_of(past, A, SpanKind.CUT_SHORT) == [(0, 20)]
    assert spans_of(past, A, SpanKind.PROBE) == [(20, 21)]
    assert [claim.is_takeover for claim in past.claims] == [False, True]


def test_a_wait_ends_with_its_event_and_a_sleep_with_its_timer() -> None:
    plan = Plan.of(
        PlannedStep(A, kind=StepKind.EVENT, waits_for=("approval",)),
        PlannedStep(B, (A,), kind=StepKind.SLEEP, timeout=Micros(10_000_000)),
        PlannedStep(C, (B,)),
    )
    entries = [
        entry(1, "started", 0),
        entry(2, "event_received", 5, event="approval", token=THIRD),
        entry(3, "resumed", 6, token=SECOND),
        entry(4, "resumed", 15, token=UUID(int=4)),
        entry(5, "step_succeeded", 16, C, token=UUID(int=4)),
    ]
    past = past_of(entries, plan, None)
    assert spans_of(past, A) == [(0, 5)]
    assert spans_of(past, B) == [(5, 15)]
    assert spans_of(past, C) == [(15, 16)]
    assert len(past.claims) == 3, "a sender has no claim"


def test_an_event_that_came_early_ends_its_wait_at_once() -> None:
    plan = Plan.of(PlannedStep(A), PlannedStep(B, (A,), kind=StepKind.EVENT, waits_for=("approval",)))
    entries = [
        entry(1, "started", 0),
        entry(2, "event_received", 1, event="approval"),
        entry(3, "step_succeeded", 2, A),
    ]
    assert spans_of(past_of(entries, plan, None), B) == [(2, 2)]


def test_a_wait_that_is_over_goes_on_with_its_default() -> None:
    plan = Plan.of(PlannedStep(A, kind=StepKind.EVENT, waits_for=("approval",), timeout=Micros(1)))
    entries = [entry(1, "started", 0), entry(2, "wait_defaulted", 3, A)]
    assert spans_of(past_of(entries, plan, None), A) == [(0, 3)]


def test_a_wait_whose_time_is_over_ends_there() -> None:
    plan = Plan.of(
        PlannedStep(A, compensable=True),
        PlannedStep(B, (A,), kind=StepKind.EVENT, waits_for=("approval",), timeout=Micros(60_000_000)),
    )
    entries = [
        entry(1, "started", 0),
        entry(2, "step_succeeded", 1, A),
        entry(3, "resumed", 62, token=SECOND),
        entry(4, "compensation_succeeded", 63, A, token=SECOND),
    ]
    past = past_of(entries, plan, Seen(plan, [], SagaStatus.COMPENSATED))
    assert spans_of(past, B) == [(1, 61)]
    assert spans_of(past, A, SpanKind.COMPENSATE) == [(62, 63)]


def test_a_wait_of_a_history_that_goes_on_lasts_to_its_end() -> None:
    plan = Plan.of(PlannedStep(A, kind=StepKind.EVENT, waits_for=("approval",)), PlannedStep(B))
    entries = [entry(1, "started", 0), entry(2, "step_succeeded", 4, B)]
    assert spans_of(past_of(entries, plan, None), A) == [(0, 4)]


def test_a_compensation_begins_after_those_of_the_steps_behind_it() -> None:
    plan = Plan.of(
        PlannedStep(A, compensable=True), PlannedStep(B, (A,), compensable=True), PlannedStep(C, (B,), compensable=True)
    )
    entries = [
        entry(1, "started", 0),
        entry(2, "step_succeeded", 1, A),
        entry(3, "step_succeeded", 2, B),
        entry(4, "step_failed", 3, C),
        entry(5, "compensation_succeeded", 5, B),
        entry(6, "compensation_succeeded", 9, A),
    ]
    past = past_of(entries, plan, None)
    assert spans_of(past, B, SpanKind.COMPENSATE) == [(3, 5)]
    assert spans_of(past, A, SpanKind.COMPENSATE) == [(5, 9)]


def test_a_step_that_was_passed_over_holds_nothing_up() -> None:
    plan = Plan.of(PlannedStep(A), PlannedStep(B, (A,), conditional=True), PlannedStep(C, (B,)))
    entries = [entry(1, "started", 0), entry(2, "step_succeeded", 2, A), entry(3, "step_succeeded", 5, C)]
    assert spans_of(past_of(entries, plan, None), C) == [(2, 5)]


def test_many_steps_that_were_passed_over_are_looked_through_once_each() -> None:
    layers = [tuple(StepId(f"{at}_{side}") for side in "ab") for at in range(48)]
    between = [
        PlannedStep(step, before, conditional=True)
        for before, own in zip([(A,), *layers[:-1]], layers, strict=True)
        for step in own
    ]
    plan = Plan.of(PlannedStep(A), *between, PlannedStep(C, layers[-1]))
    entries = [entry(1, "started", 0), entry(2, "step_succeeded", 2, A), entry(3, "step_succeeded", 5, C)]
    assert spans_of(past_of(entries, plan, None), C) == [(2, 5)]


def test_an_item_begins_when_there_is_room_for_it() -> None:
    plan = Plan.of(PlannedStep(A, concurrency=2))
    entries = [entry(1, "started", 0), *(entry(2 + at, "step_succeeded", 3 + at, f"a[{at}]") for at in range(4))]
    past = past_of(entries, plan, None)
    assert [spans_of(past, f"a[{at}]") for at in range(4)] == [[(0, 3)], [(0, 4)], [(3, 5)], [(4, 6)]]


def test_an_item_is_undone_when_there_is_room_for_it() -> None:
    plan = Plan.of(PlannedStep(A, concurrency=2, compensable=True), PlannedStep(B, (A,)))
    entries = [
        entry(1, "started", 0),
        *(entry(2 + at, "step_succeeded", 1, f"a[{at}]") for at in range(4)),
        entry(6, "step_failed", 2, B),
        *(entry(7 + at, "compensation_succeeded", 4 + at // 2, f"a[{at}]") for at in range(4)),
    ]
    past = past_of(entries, plan, None)
    assert [spans_of(past, f"a[{at}]", SpanKind.COMPENSATE) for at in range(4)] == [
        [(2, 4)],
        [(2, 4)],
        [(4, 5)],
        [(4, 5)],
    ]


def test_after_a_rewind_a_step_begins_anew() -> None:
    entries = [
        entry(1, "started", 0),
        entry(2, "step_succeeded", 1, A),
        entry(3, "step_succeeded", 2, B),
        entry(4, "rewind_requested", 10, B, actor="ann", token=THIRD),
        entry(5, "resumed", 11, token=SECOND),
        entry(6, "step_succeeded", 12, B, attempt=2, token=SECOND),
    ]
    assert spans_of(past_of(entries, CHAIN, None), B) == [(1, 2), (11, 12)]


def test_the_state_now_goes_on() -> None:
    entries = [entry(1, "started", 0), entry(2, "step_failed", 1, A)]
    seen = Seen(CHAIN, [step_of("a", StepStatus.RETRYING, wakes_at=BEGIN)])
    assert spans_of(past_of(entries, CHAIN, seen), A) == [(0, 1), (1, None)]
    over = Seen(CHAIN, [step_of("a", StepStatus.RETRYING)], SagaStatus.FAILED)
    assert spans_of(past_of(entries, CHAIN, over), A) == [(0, 1)]


def test_without_a_plan_the_entry_before_is_taken_for_the_begin() -> None:
    entries = [entry(1, "started", 0), entry(2, "step_succeeded", 2, A), entry(3, "step_succeeded", 5, B)]
    assert spans_of(past_of(entries, None, None), B) == [(2, 5)]


def long_history(count: int) -> list[HistoryEntry]:
    failures = [
        entry(at, "step_failed", at * 60.0, A, attempt=at - 1, error="TimeoutError") for at in range(2, count + 1)
    ]
    return [entry(1, "started", 0), *failures]


@pytest.mark.parametrize("format", get_args(TimelineFormat))
def test_of_ten_thousand_entries_the_middle_is_left_out(format: TimelineFormat) -> None:
    entries = long_history(10_000)
    drawn = timeline(entries, format, plan=CHAIN)
    assert len(drawn) < 150_000
    assert re.search(r"9,8\d\d", drawn), "it says how many"
    assert "left out" in drawn
    assert "attempt 9999" in drawn
    assert "attempt 5000" not in drawn


def test_a_text_has_a_line_for_each_entry_and_each_pause() -> None:
    entries = [
        entry(1, "started", 0),
        entry(2, "step_failed", 1, A, error="ConnectionError: gone"),
        entry(3, "retry_requested", 7200, A, actor="ann", reason="the bank is back", token=THIRD),
        entry(4, "resumed", 7200.5, token=SECOND, takeover=True),
    ]
    text = timeline(entries, "text", plan=CHAIN, name="order", plain=True)
    assert re.search(r"06:00:01\.000 +1 +x a +failed \[1 s\]: ConnectionError: gone", text)
    assert re.search(r": +2 h$", text, re.MULTILINE)
    assert re.search(r"08:00:00\.000 +! a +ann asks: try again \(the bank is back\)", text)
    assert re.search(r"08:00:00\.500 +2 +> +another process takes it over", text)


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_texts_are_texts(text: str) -> None:
    entries = [
        entry(1, "started", 0),
        entry(2, "step_failed", 1, "a", error=text),
        entry(3, "compensation_requested", 2, actor=text, reason=text),
        entry(4, "event_received", 3, event="<b>"),
        entry(5, text or "nothing", 4, '"><script>'),
    ]
    for embedded in (False, True):
        _ = parsed(timeline(entries, "svg", plan=CHAIN, name=text, embedded=embedded), embedded=embedded)
    for plain in (False, True):
        for width in (40, 120):
            drawn = timeline(entries, "text", plan=CHAIN, name=text, width=width, plain=plain)
            assert all(line.isprintable() for line in drawn.splitlines())
            assert not plain or drawn.isascii()


@st.composite
def histories(draw: st.DrawFn) -> list[HistoryEntry]:
    """Entries of all kinds, in an order that no saga may have."""
    count = draw(st.integers(0, 40))
    at = 0.0
    found: list[HistoryEntry] = []
    for seq in range(1, count + 1):
        at += draw(st.sampled_from([0.0, 0.001, 1.0, 86_400.0, -10.0]))  # an entry that cannot be read has an old time
        kind = draw(st.sampled_from(sorted(KINDS)))
        step = draw(st.sampled_from([None, "a", "b", "c", "b[3]", "elsewhere"]))
        token = UUID(int=draw(st.integers(1, 3)))
        found.append(entry(seq, kind, at, step, token=token, event=draw(st.sampled_from([None, "approval"]))))
    return found


@given(entries=histories(), known=st.booleans())
@settings(deadline=None, derandomize=True, max_examples=40)
def test_any_history_can_be_drawn(entries: list[HistoryEntry], known: bool) -> None:
    plan = Plan.of(
        PlannedStep(A, kind=StepKind.EVENT, waits_for=("approval",)),
        PlannedStep(B, (A,), concurrency=2),
        PlannedStep(C, (B,), kind=StepKind.SLEEP),
    )
    seen = Seen(
        plan, [step_of("a", StepStatus.WAITING), step_of("b", StepStatus.RUNNING), step_of("b[0]", StepStatus.RUNNING)]
    )
    for format in get_args(TimelineFormat):
        drawn = timeline(entries, format, plan=plan if known else None, seen=seen if known else None)
        assert drawn == timeline(entries, format, plan=plan if known else None, seen=seen if known else None)
    past = past_of(entries, plan if known else None, seen)
    assert all(span.end is None or span.begin <= span.end for span in past.spans)
    root: ET.Element = parsed(timeline(entries, "svg", plan=plan, seen=seen), embedded=False)
    width = float(root.attrib["width"])
    for each in root.iter():
        if "x" in each.attrib and "width" in each.attrib:
            assert float(each.attrib["x"]) + float(each.attrib["width"]) <= width


def test_moments_stand_in_their_order_however_far_apart() -> None:
    moments = [
        BEGIN,
        BEGIN + timedelta(milliseconds=2),
        BEGIN + timedelta(days=3),
        BEGIN + timedelta(days=3, seconds=1),
    ]
    axis = axis_of(moments, [], least=400, most=1000)
    places = [axis.place(moment) for moment in moments]
    assert places == sorted(set(places))
    assert places[-1] == pytest.approx(400, abs=2)
    assert axis.place(BEGIN - timedelta(days=1)) == 0
    assert axis.place(BEGIN + timedelta(days=9)) == places[-1]
    assert places[1] < axis.place(BEGIN + timedelta(days=1)) < places[2]


@pytest.mark.parametrize("arguments", [{"format": "mermaid"}, {"width": 7}])
def test_a_wrong_argument_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(SagaError):
        _ = timeline([], arguments.pop("format", "text"), **arguments)


@pytest.mark.parametrize(
    "time, said",
    [(0, "0"), (0.00001, "0"), (0.0004, "0.4 ms"), (1, "1 s"), (90, "1.5 min"), (7200, "2 h"), (3e6, "34.7 days")],
)
def test_lengths_of_time_are_short(time: float, said: str) -> None:
    assert length(timedelta(seconds=time)) == said


def test_the_roles_of_kinds_are_those_of_their_events() -> None:
    ends = {name for name, kind in KINDS.items() if kind.role is Role.END_OF_EXECUTION}
    assert {
        name for name in kinds_of_events() if name.startswith(("step_s", "step_f", "compensation_", "probe_"))
    } - ends == {
        "step_skipped",
        "step_settled",
        "compensation_requested",
    }


@given(
    st.lists(st.sampled_from([0.002, 0.3, 20.0, 3000.0, 86_300.0]), min_size=2, max_size=30),
    st.lists(st.booleans(), min_size=30, max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_no_label_stands_on_another(gaps: list[float], asked: list[bool]) -> None:
    at, entries = 0.0, [entry(1, "started", 0)]
    for number, (gap, by_person) in enumerate(zip(gaps, asked, strict=False), 2):
        at += gap
        kind = "retry_requested" if by_person else "step_failed"
        entries.append(entry(number, kind, at, A, actor="ann" if by_person else None))
    root = parsed(timeline(entries, "svg", plan=CHAIN, name="order"), embedded=False)
    texts = [each for each in root.iter() if each.tag.endswith("text")]
    top = min(float(each.attrib["y"]) for each in texts if each.attrib["class"] == "sfn-axis")
    ends = [0.0]
    for each in texts:
        if each.attrib["class"] == "sfn-axis" and float(each.attrib["y"]) == top:
            size, x = text_width(each.text or "", 11), float(each.attrib["x"])
            begin = x - size if each.attrib.get("text-anchor") == "end" else x
            assert begin >= ends[-1]
            ends.append(begin + size)
    assert len(ends) > 1


def test_marks_of_acts_at_one_moment_stand_side_by_side() -> None:
    entries = [entry(1, "started", 0), *(entry(each, "retry_requested", 9, A, actor="ann") for each in range(2, 5))]
    entries += [entry(5, "step_succeeded", 9000, A)]
    root = parsed(timeline(entries, "svg", plan=CHAIN, name="order"), embedded=False)
    marks = [float(each.attrib["cx"]) for each in root.iter() if "sfn-act" in each.attrib.get("class", "")]
    assert len(marks) == 3
    assert all(after - before > 16 for before, after in pairwise(marks))
