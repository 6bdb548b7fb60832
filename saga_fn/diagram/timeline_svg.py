"""A timeline as SVG: a lane for each step, and above them who had the saga."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import attrs

from saga_fn.core.ids import StepId, owner_of
from saga_fn.core.plan import Plan
from saga_fn.diagram.axis import Axis, axis_of
from saga_fn.diagram.icons import Icon, icon
from saga_fn.diagram.kinds import Role
from saga_fn.diagram.looks import Tone, look_of_saga
from saga_fn.diagram.measure import MONO, broken, length, text_width
from saga_fn.diagram.past import Act, Past, Span, SpanKind
from saga_fn.diagram.past_reader import past_of
from saga_fn.diagram.seen import EntrySeen, SagaSeen
from saga_fn.diagram.svg import Attribute, element, escaped, number, picture, words
from saga_fn.printable import kept

_MOST: Final = 160
"""Entries that are shown; of more, the first and the last."""
_MARGIN: Final = 20
_MOST_LABEL: Final = 24
"""Characters."""
_LABEL_SIZE: Final = 11.5
_LEAST: Final = 560
"""Pixels of the axis."""
_MOST_WIDTH: Final = 1800
_BAR: Final = 12
_ROW: Final = 16
"""Pixels from one bar to the next of a lane that has several at a time."""
_MOST_ROWS: Final = 5
_MOST_ACTS: Final = 20
_NOW: Final = 22
"""Pixels behind the last moment for what goes on."""
_MARK: Final = 8.0
"""The radius of the mark of an act."""


@attrs.frozen
class _Lane:
    """The spans of a step, and those of its items."""

    step: str
    rows: tuple[tuple[Span, ...], ...]
    """Spans that do not overlap, row by row."""

    @property
    def height(self) -> float:
        """Its height in pixels."""
        return max(1, len(self.rows)) * _ROW + 8


def timeline_svg(
    entries: Sequence[EntrySeen], plan: Plan | None, seen: SagaSeen | None, title: str, *, embedded: bool
) -> str:
    """The timeline."""
    about = f"{len(entries)} entries of a saga's journal, in the order of time."
    if not entries:
        inside = [words(_MARGIN, 36, title, "sfn-title"), words(_MARGIN, 58, "no entries", "sfn-about")]
        return picture(360, 80, title, about, inside, embedded=embedded)
    past = past_of(entries, plan, seen)
    hidden = _hidden(entries)
    spans = [span for span in past.spans if _is_shown(span.begin, span.end, hidden)]
    acts = [act for act in past.acts if _is_shown(act.at, act.at, hidden)]
    axis = axis_of(_moments(entries, spans, hidden), hidden, least=_LEAST, most=_MOST_WIDTH)
    lanes = _lanes(spans, acts, plan, axis)
    left = _MARGIN + _label_width(lanes) + 12
    head = list(_head(entries, seen, title))
    top = _MARGIN + 50.0 + 18 * (len(head) - 1)
    numbers = {id(act): at for at, act in enumerate(acts, 1)}
    bottom = top + 24.0 + sum(lane.height for lane in lanes)
    inside = [*_heading(head), *_scale(axis, left, top, bottom), *_claims(past, axis, left, top)]
    y = top + 24
    for place, lane in enumerate(lanes):
        inside += _lane(lane, acts, numbers, axis, left, y, shaded=place % 2 == 0)
        y += lane.height
    inside += _breaks(axis, left, top, bottom, len(entries) - _MOST)
    y += 14
    key = list(_key(spans, entries[0].timestamp, y))
    inside += key
    y += 22 if key else 0
    notes, y = _told(acts, y)
    inside += notes
    width = max(left + axis.width + _NOW + _MARGIN, 420)
    return picture(width, y + _MARGIN - 8, title, about, inside, embedded=embedded)


def _hidden(entries: Sequence[EntrySeen]) -> list[tuple[datetime, datetime]]:
    if len(entries) <= _MOST:
        return []
    begin, end = entries[_MOST // 3].timestamp, entries[-(_MOST - _MOST // 3)].timestamp
    return [(begin, end)] if begin < end else []


def _is_shown(begin: datetime, end: datetime | None, hidden: Sequence[tuple[datetime, datetime]]) -> bool:
    return not any(first < begin and end is not None and end < last for first, last in hidden)


def _moments(
    entries: Sequence[EntrySeen], spans: Sequence[Span], hidden: Sequence[tuple[datetime, datetime]]
) -> Iterator[datetime]:
    kept = [each for each in entries if _is_shown(each.timestamp, each.timestamp, hidden)]
    yield from (each.timestamp for each in kept)
    for span in spans:
        yield span.begin
        if span.end is not None:
            yield span.end


def _head(
    entries: Sequence[EntrySeen], seen: SagaSeen | None, title: str
) -> Iterator[tuple[str, str, Icon | None, str]]:
    yield title, "sfn-title", None, ""
    if seen is not None:
        look = look_of_saga(seen.status)
        yield look.text, f"sfn-about sfn-said-{look.tone.value}", look.icon, f"sfn-{look.tone.value}"
        for stays in kept(seen.stays_done, seen.rewound):
            yield stays, "sfn-about", None, ""
    first, last = entries[0].timestamp, max(entry.timestamp for entry in entries)
    took = f"{len(entries):,} entries in {length(last - first)}, from {first:%Y-%m-%d %H:%M:%S} UTC"
    yield f"{took}; long times are drawn shorter than they are", "sfn-about", None, ""


def _heading(head: Sequence[tuple[str, str, Icon | None, str]]) -> Iterator[str]:
    y = _MARGIN + 16.0
    for text, kind, sign, sign_kind in head:
        if sign is not None:
            yield icon(sign, _MARGIN + 6, y - 4, sign_kind)
        yield words(_MARGIN + (20 if sign is not None else 0), y, text, kind)
        y += 19


def _label_width(lanes: Sequence[_Lane]) -> float:
    longest = max([len(lane.step) for lane in lanes], default=0)
    return max(min(longest, _MOST_LABEL) * _LABEL_SIZE * MONO, 48)


def _scale(axis: Axis, left: float, top: float, bottom: float) -> Iterator[str]:
    free = 0.0
    for place, label in axis.ticks():
        size = text_width(label, 11)
        late = place + size > axis.width + _NOW
        begin = place - size if late else place
        if begin >= free:  # one with a day and milliseconds is wider than ticks are apart
            yield words(left + place, top - 8, label, "sfn-axis", anchor="end" if late else "start")
            free = begin + size + 6
        way = f"M{number(left + place)} {number(top - 4)}V{number(bottom)}"
        yield element("path", {"class": "sfn-grid", "d": way})


def _claims(past: Past, axis: Axis, left: float, top: float) -> Iterator[str]:
    yield words(left - 12, top + 12, "claim", "sfn-axis", anchor="end")
    for claim in past.claims:
        begin, end = axis.place(claim.begin), axis.place(claim.end)
        at: dict[str, Attribute] = {
            "class": "sfn-claim sfn-again" if claim.is_takeover else "sfn-claim",
            "x": left + begin,
            "y": top + 3,
            "width": max(end - begin, 3),
            "height": 12,
            "rx": 3,
        }
        name = f"{claim.number}, a takeover" if claim.is_takeover else str(claim.number)
        owner = "" if claim.process is None else f", {claim.process}"
        text = f"claim {name}{owner}: {length(claim.end - claim.begin)}"
        inside = [element("title", None, [text]), element("rect", at)]
        shown = next(
            (each for each in (f"{name}{owner}", name, str(claim.number)) if end - begin >= text_width(each, 11) + 8),
            None,
        )
        if shown is not None:
            inside.append(words(left + begin + 4, top + 12.5, shown, "sfn-count"))
        yield element("g", None, inside)


def _lanes(spans: Sequence[Span], acts: Sequence[Act], plan: Plan | None, axis: Axis) -> list[_Lane]:
    by_step: dict[str, list[Span]] = {}
    for step in [step.step for step in plan.steps] if plan is not None else []:
        by_step[step] = []
    for span in spans:
        by_step.setdefault(owner_of(StepId(span.step)), []).append(span)
    for act in acts:
        if act.step is not None:
            _ = by_step.setdefault(owner_of(StepId(act.step)), [])
    acted = {owner_of(StepId(act.step)) for act in acts if act.step is not None}
    found = [_Lane(step, _rows(own, axis)) for step, own in by_step.items() if own or step in acted]
    if any(act.step is None for act in acts):
        found.insert(0, _Lane("", ()))
    return found


def _rows(spans: Sequence[Span], axis: Axis) -> tuple[tuple[Span, ...], ...]:
    """The spans in rows, each span in the first where it has room; the last takes what has none."""
    rows: list[list[Span]] = []
    ends: list[float] = []
    for span in sorted(spans, key=lambda span: (span.begin, span.step)):
        begin, end = _extent(span, axis)
        free = next((row for row, last in enumerate(ends) if last <= begin + 1), None)
        if free is None and len(rows) < _MOST_ROWS:
            rows.append([])
            ends.append(0.0)
            free = len(rows) - 1
        row = len(rows) - 1 if free is None else free
        rows[row].append(span)
        ends[row] = max(ends[row], end)
    return tuple(tuple(row) for row in rows)


def _extent(span: Span, axis: Axis) -> tuple[float, float]:
    begin = axis.place(span.begin)
    return begin, axis.width + _NOW if span.end is None else axis.place(span.end)


def _lane(
    lane: _Lane, acts: Sequence[Act], numbers: Mapping[int, int], axis: Axis, left: float, y: float, *, shaded: bool
) -> Iterator[str]:
    if shaded:
        at: dict[str, Attribute] = {
            "class": "sfn-lane",
            "x": _MARGIN - 8,
            "y": y,
            "width": left + axis.width + _NOW - _MARGIN + 8,
            "height": lane.height,
            "rx": 3,
        }
        yield element("rect", at)
    name = lane.step if len(lane.step) <= _MOST_LABEL else lane.step[: _MOST_LABEL - 1] + "…"
    middle = y + lane.height / 2
    yield words(left - 12, middle + 4, name or "the saga", "sfn-label" if name else "sfn-axis", anchor="end")
    for row, spans in enumerate(lane.rows):
        for span in spans:
            begin, end = _extent(span, axis)
            yield _bar(span, left + begin, y + 4 + row * _ROW + (_ROW - _BAR) / 2, max(end - begin, 3))
    free = 0.0
    for act in acts:
        if owner_of(StepId(act.step or "")) == lane.step:
            x = min(
                max(axis.place(act.at), free), axis.width
            )  # beside the one before where both are at nearly one moment
            yield _act(act, numbers[id(act)], left + x, middle)
            free = x + 2 * _MARK + 1


def _bar(span: Span, x: float, y: float, width: float) -> str:
    said = f"{span.step}: {span.text}" + ("" if span.end is None else f", {length(span.end - span.begin)}")
    inside = [element("title", None, [_short(said)])]
    tone = f"sfn-{span.tone.value}"
    at: dict[str, Attribute] = {"x": x, "y": y, "width": width, "height": _BAR, "rx": 3}
    sign: Icon | None = None
    failed = span.tone is Tone.BAD
    match span.kind:
        case SpanKind.PAUSE:
            way = f"M{number(x + 1)} {number(y + _BAR / 2)}H{number(x + width - 1)}"
            inside.append(element("path", {"class": f"sfn-thin {tone}", "d": way}))
        case SpanKind.WAIT:
            inside.append(element("rect", {"class": f"sfn-soft {tone}", **at, "rx": 6}))
            sign = Icon.CLOCK
        case SpanKind.CUT_SHORT:
            inside.append(element("rect", {"class": f"sfn-soft {tone}", **at, "stroke-dasharray": "3 2"}))
            sign = Icon.QUESTION
        case SpanKind.PROBE:
            inside.append(element("rect", {"class": f"sfn-soft {tone}", **at}))
            sign = Icon.LENS
        case SpanKind.EXECUTE | SpanKind.COMPENSATE:
            inside.append(element("rect", {"class": f"{'sfn-bar' if failed else 'sfn-soft'} {tone}", **at}))
            back = span.kind is SpanKind.COMPENSATE
            if failed:
                sign = Icon.CROSS
            elif span.end is None:
                sign = Icon.BACK if back else Icon.PLAY
            else:
                sign = Icon.UNDO if back else Icon.CHECK
    if sign is not None and width >= _BAR:
        on_bar = failed and span.kind in (SpanKind.EXECUTE, SpanKind.COMPENSATE)
        inside.append(icon(sign, x + width / 2, y + _BAR / 2, "sfn-on-bar" if on_bar else tone))
    return element("g", None, inside)


def _act(act: Act, mark: int, x: float, y: float) -> str:
    tone = "sfn-person" if act.kind.role is Role.VERB else "sfn-wait"
    circle: dict[str, Attribute] = {"class": f"sfn-act {tone}", "cx": x, "cy": y, "r": _MARK}
    inside = [
        element("title", None, [_short(act.text)]),
        element("circle", circle),
        words(x, y + 3.5, str(mark), f"sfn-count sfn-said-{tone.removeprefix('sfn-')}", anchor="middle"),
    ]
    return element("g", None, inside)


def _breaks(axis: Axis, left: float, top: float, bottom: float, count: int) -> Iterator[str]:
    for begin, end in axis.breaks:
        at: dict[str, Attribute] = {"x": left + begin, "y": top, "width": end - begin, "height": bottom - top}
        yield element("rect", {"class": "sfn-break", **at})
        middle = left + (begin + end) / 2
        yield words(middle, top + 16, f"{count:,}", "sfn-axis", anchor="middle")
        yield words(middle, top + 30, "entries", "sfn-axis", anchor="middle")
        yield words(middle, top + 44, "left out", "sfn-axis", anchor="middle")


_KEYS: Final = (
    (SpanKind.EXECUTE, Tone.GOOD, "execution"),
    (SpanKind.COMPENSATE, Tone.UNDONE, "compensation"),
    (SpanKind.PROBE, Tone.BUSY, "probe"),
    (SpanKind.WAIT, Tone.WAIT, "wait"),
    (SpanKind.PAUSE, Tone.AGAIN, "between attempts"),
    (SpanKind.CUT_SHORT, Tone.AGAIN, "cut short"),
)


def _key(spans: Sequence[Span], at: datetime, y: float) -> Iterator[str]:
    """The kinds of spans that there are, each with its name."""
    x = float(_MARGIN)
    known = {span.kind for span in spans}
    keys = [key for key in _KEYS if key[0] in known]
    if any(span.tone is Tone.BAD for span in spans):
        keys.append((SpanKind.EXECUTE, Tone.BAD, "failed"))
    for kind, tone, text in keys:
        yield _bar(Span("", kind, at, at, tone, text), x, y, 20)
        yield words(x + 26, y + 10, text, "sfn-axis")
        x += 40 + text_width(text, 11)


def _told(acts: Sequence[Act], y: float) -> tuple[list[str], float]:
    inside: list[str] = []
    for mark, act in enumerate(acts[:_MOST_ACTS], 1):
        step = f"{act.step}: " if act.step else ""
        for place, line in enumerate(broken(f"{step}{act.text}", 84, 2)):
            if not place:
                inside.append(words(_MARGIN + 8, y + 10, str(mark), "sfn-count", anchor="middle"))
                inside.append(words(_MARGIN + 24, y + 10, f"{act.at:%H:%M:%S}", "sfn-axis"))
            inside.append(words(_MARGIN + 96, y + 10, line, "sfn-note"))
            y += 17
    if len(acts) > _MOST_ACTS:
        inside.append(words(_MARGIN + 96, y + 10, f"and {len(acts) - _MOST_ACTS:,} more", "sfn-note"))
        y += 17
    return inside, y


def _short(text: str) -> str:
    return escaped(text, 300)
