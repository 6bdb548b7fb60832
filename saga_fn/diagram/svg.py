"""Writing SVG: elements, escaped texts, and the style that pictures have in common.

An embedded picture has classes and presentation attributes alone, so that a page with a strict policy may hold it: no `style`
attribute, no `<style>`, no script, no id that two pictures on a page could share.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from saga_fn.printable import printable

Attribute: TypeAlias = str | int | float
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
LONGEST_TEXT: Final = 2000
"""Characters of one text in a picture."""

_LIGHT: Final = {
    "paper": "#ffffff",
    "ink": "#1f2328",
    "soft": "#59636e",
    "line": "#c4cad1",
    "edge": "#8c959f",
    "box": "#f6f8fa",
    "good": "#1a7f37",
    "good-box": "#e6f4ea",
    "busy": "#0969da",
    "busy-box": "#e3effc",
    "wait": "#8250df",
    "wait-box": "#f1eafd",
    "again": "#9a6700",
    "again-box": "#fdf3d4",
    "person": "#bc4c00",
    "person-box": "#fdeadb",
    "bad": "#cf222e",
    "bad-box": "#fde8e9",
    "undone": "#57606a",
    "undone-box": "#eceff2",
}
_DARK: Final = {
    "paper": "#0d1117",
    "ink": "#e6edf3",
    "soft": "#9198a1",
    "line": "#3d444d",
    "edge": "#6e7681",
    "box": "#161b22",
    "good": "#3fb950",
    "good-box": "#12261a",
    "busy": "#58a6ff",
    "busy-box": "#11233b",
    "wait": "#b794f6",
    "wait-box": "#231a3a",
    "again": "#d9a72a",
    "again-box": "#2b220c",
    "person": "#f0883e",
    "person-box": "#331d0c",
    "bad": "#ff7b72",
    "bad-box": "#35171a",
    "undone": "#9198a1",
    "undone-box": "#21262d",
}
TONES: Final = ("good", "busy", "wait", "again", "person", "bad", "undone")
"""The colours that say something; a shape or a word beside each says the same."""


def escaped(text: str, longest: int | None = None) -> str:
    r"""The text as it may stand in an element or an attribute: printable, without markup, and cut to `longest` characters.

    >>> escaped('<b> & "q"\x00')
    '&lt;b&gt; &amp; &quot;q&quot;\\x00'
    """
    return printable(text, 10 * len(text) + 1 if longest is None else longest).translate(_ESCAPES)


def number(value: float) -> str:
    """A number with one digit behind the point at most, the same on every machine.

    >>> number(2.0), number(0.25), number(-0.01)
    ('2', '0.3', '0')
    """
    rounded = int(abs(value) * 10 + 0.5)
    sign = "-" if value < 0 and rounded else ""
    return f"{sign}{rounded // 10}" + (f".{rounded % 10}" if rounded % 10 else "")


def element(name: str, attributes: dict[str, Attribute] | None = None, inside: Iterable[str] = ()) -> str:
    """An element; what stands inside are elements and escaped texts."""
    written = "".join(
        f' {key}="{escaped(value) if isinstance(value, str) else number(value)}"'
        for key, value in (attributes or {}).items()
    )
    body = "".join(inside)
    return f"<{name}{written}>{body}</{name}>" if body else f"<{name}{written}/>"


def words(x: float, y: float, text: str, kind: str = "sfn-name", *, anchor: str = "start") -> str:
    """A line of text; `kind` is its classes."""
    attributes: dict[str, Attribute] = {"x": x, "y": y, "class": kind}
    if anchor != "start":
        attributes["text-anchor"] = anchor
    return element("text", attributes, [escaped(text, LONGEST_TEXT)])


def picture(width: float, height: float, title: str, about: str, inside: Iterable[str], *, embedded: bool) -> str:
    """A whole picture. Standing alone it brings its style and its paper."""
    head = [
        element("title", None, [escaped(title, LONGEST_TEXT)]),
        element("desc", None, [escaped(about, LONGEST_TEXT)]),
    ]
    if not embedded:
        paper: dict[str, Attribute] = {"class": "sfn-paper", "width": width, "height": height, "rx": 6}
        head += [element("style", None, [STYLE]), element("rect", paper)]
    attributes: dict[str, Attribute] = {
        "xmlns": "http://www.w3.org/2000/svg",
        "class": "sfn",
        "viewBox": f"0 0 {number(width)} {number(height)}",
        "width": width,
        "height": height,
        "role": "img",
        "font-family": "ui-sans-serif, system-ui, sans-serif",
        "font-size": 13,
    }
    return element("svg", attributes, [*head, *inside])


def _colours(values: dict[str, str]) -> str:
    return "".join(f"--sfn-{name}:{value};" for name, value in values.items())


def _within(theme: str, jupyter: str, material: str) -> str:
    """A picture in a page that says by itself which theme it has; in Jupyter, and on a site made by mkdocs."""
    marks = (f"data-theme={theme}", f"data-jp-theme-light={jupyter}", f"data-md-color-scheme={material}")
    return ",".join(f"[{mark}] .sfn" for mark in marks)


def _tone(name: str) -> str:
    colour = f"var(--sfn-{name})"
    return (
        f".sfn-{name} .sfn-box,.sfn-{name} .sfn-behind{{fill:var(--sfn-{name}-box);stroke:{colour}}}"
        f".sfn-{name} .sfn-sign,.sfn-sign.sfn-{name}{{stroke:{colour}}}"
        f".sfn .sfn-{name} .sfn-state,.sfn .sfn-said-{name}{{fill:{colour}}}"
        f".sfn-bar.sfn-{name}{{fill:{colour}}}"
        f".sfn-thin.sfn-{name}{{stroke:{colour}}}"
        f".sfn-soft.sfn-{name},.sfn-act.sfn-{name},.sfn-claim.sfn-{name}{{fill:var(--sfn-{name}-box);stroke:{colour}}}"
    )


STYLE: Final = "".join(
    [
        f".sfn{{{_colours(_LIGHT)}color:var(--sfn-ink)}}",
        f"@media(prefers-color-scheme:dark){{.sfn{{{_colours(_DARK)}}}}}",
        f"{_within('light', 'true', 'default')}{{{_colours(_LIGHT)}}}",
        f"{_within('dark', 'false', 'slate')}{{{_colours(_DARK)}}}",
        ".sfn-paper{fill:var(--sfn-paper)}",
        ".sfn text{fill:currentColor}",
        ".sfn .sfn-title{font-size:15px;font-weight:600}",
        ".sfn .sfn-chart{font-weight:600}",
        ".sfn .sfn-name{font:600 12.5px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}",
        ".sfn .sfn-about{fill:var(--sfn-soft);font-size:12px}",
        ".sfn .sfn-note,.sfn .sfn-axis{fill:var(--sfn-soft);font-size:11px}",
        ".sfn .sfn-state{fill:var(--sfn-soft);font-weight:600}",
        ".sfn .sfn-left{fill:var(--sfn-bad);font-weight:600}",
        ".sfn-box,.sfn-behind{fill:var(--sfn-box);stroke:var(--sfn-line)}",
        ".sfn-frame{fill:none;stroke:var(--sfn-line);stroke-dasharray:1 3;stroke-linecap:round}",
        ".sfn-edge,.sfn-rule{fill:none;stroke:var(--sfn-edge)}",
        ".sfn-pivot{fill:none;stroke:var(--sfn-soft);stroke-dasharray:2 4}",
        ".sfn-sign{fill:none;stroke:var(--sfn-soft);stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}",
        ".sfn .sfn-sign.sfn-mark{stroke:var(--sfn-soft);stroke-width:1.3}",
        ".sfn-tip,.sfn-dot{fill:var(--sfn-edge)}",
        ".sfn-ring{fill:none;stroke:var(--sfn-edge);stroke-width:1.5}",
        ".sfn-bar{fill:var(--sfn-line)}",
        ".sfn-soft,.sfn-act,.sfn-claim{fill:var(--sfn-box);stroke:var(--sfn-line)}",
        ".sfn-thin{fill:none;stroke:var(--sfn-line);stroke-dasharray:3 3;stroke-width:1.5}",
        ".sfn-sign.sfn-on-bar{stroke:var(--sfn-paper)}",
        ".sfn-lane{fill:var(--sfn-box)}",
        ".sfn-grid{fill:none;stroke:var(--sfn-line);stroke-opacity:.6;stroke-dasharray:1 3}",
        ".sfn-break{fill:var(--sfn-paper);stroke:var(--sfn-line);stroke-dasharray:2 3}",
        ".sfn .sfn-label{font:11.5px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}",
        ".sfn .sfn-count{font-size:10px;font-weight:600}",
        *map(_tone, TONES),
    ]
)
"""The rules for the classes of all pictures, for the style sheet of a page that embeds them."""
