"""The parts that all pages are made of. Every text goes through htpy, which escapes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import htpy as h
import msgspec
from htpy import Node
from markupsafe import Markup

from saga_fn import SagaError, SagaRow, WaitReason
from saga_fn.console.context import Context, Page
from saga_fn.console.live import digest_of
from saga_fn.console.static import ASSETS
from saga_fn.snapshot import Unreadable

_SECTIONS: Final = (
    ("", "Needs a person", "h"),
    ("sagas", "Sagas", "s"),
    ("definitions", "Definitions", "d"),
    ("acts", "Acts", "a"),
    ("kept", "Kept events", "k"),
)
"""The pages that every page links to: path, name, and the key that opens it after a `g`."""
NOTHING: Final = "\N{EN DASH}"
"""Stands where there is nothing to show."""
LONGEST_VALUE: Final = 20_000
"""Characters of one payload that a page shows."""
_LONGEST_TEXT: Final = 2_000
_IN_PAGES: Final = {
    "with SagaAdmin.get_saga; if the verb is still right, give the new revision as expect=.": "at the saga, and ask again.",
    "look at it with SagaAdmin.get_saga": "look at the saga's page",
    "look again with get_saga": "look again at the saga's page",
    "with SagaAdmin.get_saga": "on the saga's page",
    "look at it with SagaAdmin.explain": "look at the saga's page",
    "SagaAdmin.get_saga": "the saga's page",
    "SagaAdmin.explain": "the saga's page",
    "SagaAdmin.pauses": "the page Acts",
    "SagaAdmin.kept_events": "the page Kept events",
    "SagaAdmin.": "",
    "skip_step(..., not_begun=True)": "choose true for not begun",
    "everything=True": "tick the box below",
}
"""Calls that mends name, the longer ones first, and the same for one who has these pages."""
_FORGET: Final = re.compile(r"forget=\[(.*)\](?=\. )")


def document(context: Context, page: Page) -> str:
    """A whole page."""
    live = drawn(page.live)
    parts = h.html(lang="en")[
        head(f"{page.title} · saga_fn", context.root),
        h.body(data_digest=None if page.live is None else digest_of(live))[
            h.a(".skip", href="#main")["To the content"],
            h.header(".top")[
                h.nav(aria_label="Pages")[
                    (
                        h.a(
                            href=context.to(path),
                            data_key=key,
                            title=f"g {key}",
                            aria_current="page" if name == page.title else None,
                        )[name]
                        for path, name, key in _SECTIONS
                    )
                ],
                h.form(".find", action=context.to("find"), method="get", role="search")[
                    h.input(
                        id="find",
                        name="q",
                        placeholder="id or business key",
                        aria_label="Find a saga by its id or business key",
                        title="/",
                        maxlength="255",
                        autocomplete="off",
                        spellcheck="false",
                    ),
                    h.button["Find"],
                ],
                h.span(".who")[h.span("#state", role="status", aria_live="polite"), " ", context.operator.name],
            ],
            h.main("#main", tabindex="-1")[
                h.h1[page.title],
                page.before,
                None if page.live is None else h.div("#live")[live],
                page.after,
            ],
        ],
    ]
    return str(parts)


def drawn(node: Node) -> Markup:
    """The text of a part of a page."""
    return Markup("".join(h.fragment[node].iter_chunks()))  # noqa: S704 - htpy has escaped it


def bare(title: str, root: str, *content: Node) -> str:
    """A page for a user who is not recognised."""
    return str(h.html(lang="en")[head(f"{title} · saga_fn", root), h.body[h.main("#main")[h.h1[title], content]]])


def head(title: str, root: str) -> Node:
    """The head of each page: two files of our own, and nothing from elsewhere."""
    return h.head[
        h.meta(charset="utf-8"),
        h.meta(name="viewport", content="width=device-width, initial-scale=1"),
        h.meta(name="color-scheme", content="light dark"),
        h.meta(name="robots", content="noindex"),
        h.title[title],
        h.link(rel="icon", href=f"{root}static/{ASSETS['icon.svg'].address}", type="image/svg+xml"),
        h.link(rel="stylesheet", href=f"{root}static/{ASSETS['console.css'].address}"),
        h.script(src=f"{root}static/{ASSETS['console.js'].address}", defer=True),
    ]


def told(error: SagaError, before: str | None = None) -> Node:
    """An error, with its mend; with a text before it, it is none yet."""
    return h.div(class_="box bad" if before is None else "box", role="alert" if before is None else None)[
        None if before is None else h.p[before],
        h.p[text(error.fact)],
        mend(error.hint),
    ]


def mend(said: str | None) -> Node:
    """A mend of the library, for one who has this page and no Python."""
    return h.p[h.b["Mend: "], text(in_pages(said))] if said else None


def in_pages(said: str) -> str:
    """The same text, with pages and fields of forms instead of calls.

    >>> in_pages("see steps of SagaAdmin.get_saga for what waits")
    "see steps of the saga's page for what waits"
    """
    for call, page in _IN_PAGES.items():
        said = said.replace(call, page)
    return _FORGET.sub(r"tick under forget: \1", said)


def text(value: object, longest: int = _LONGEST_TEXT) -> str:
    """A text of any author, with what does not print made visible, and no longer than that."""
    said = str(value)
    cut = said if len(said) <= longest else said[:longest] + "…"
    return "\n".join(line if line.isprintable() else _made_visible(line) for line in cut.split("\n"))


def _made_visible(line: str) -> str:
    return "".join(each if each.isprintable() or each == "\t" else f"\\u{ord(each):04x}" for each in line)


def time(at: datetime | None) -> Node:
    """A moment in UTC. The browser says beside it how long ago that is."""
    if at is None:
        return NOTHING
    return h.time(datetime=at.isoformat(), title=at.isoformat())[f"{at:%Y-%m-%d %H:%M:%S} UTC"]


def status(name: str) -> Node:
    """A status of a saga or a step, coloured."""
    return h.span(class_=f"status s-{name.lower().replace('_', '-')}")[name]


def code(kind: str) -> Node:
    """A stable code, as the docs and alerts have it."""
    return h.code(".code")[text(kind)]


def saga_link(context: Context, saga_id: UUID) -> Node:
    """The way to a saga."""
    return h.a(".id", href=context.to("sagas", saga_id))[str(saga_id)]


def step_name(step: str | None) -> Node:
    """The id of a step."""
    return NOTHING if step is None else h.code[text(step)]


def picture(svg: str) -> Node:
    """A picture by `saga_fn.diagram`, which escapes what it writes, as htpy does."""
    return h.div(".picture", tabindex="0")[Markup(svg)]  # noqa: S704 - as above


def value(payload: object) -> Node:
    """A payload as JSON. Numbers are written in full, for no browser ever reads them as numbers."""
    if isinstance(payload, Unreadable):
        return h.em[str(payload)]
    try:
        said = json.dumps(payload, indent=2, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        said = "(a value that cannot be shown)"
    return h.pre(".value")[text(said, LONGEST_VALUE)]


def chart(svg: str, narrow: str) -> Node:
    """The same, as wide as the page at most; a phone shows the second one."""
    return h.div(".picture.chart")[Markup(svg), Markup(narrow)]  # noqa: S704 - as above


def plain(given: object) -> object:
    """A business error as JSON has it, of any type."""
    try:
        return msgspec.to_builtins(given, str_keys=True)
    except Exception:  # noqa: BLE001 - the type is a user's, and what it raises would hide the page
        return f"({type(given).__name__})"


def table(heads: Sequence[str], rows: Iterable[Sequence[Node]], *, empty: str = "There are none.") -> Node:
    """A table. On a narrow screen each cell says its own heading."""
    # Each row is drawn at once: htpy passes each piece of text up through every level above it.
    body = [
        drawn(h.tr[[h.td(data_label=heading)[h.div[cell]] for heading, cell in zip(heads, row, strict=True)]])
        for row in rows
    ]
    if not body:
        return h.p(".empty")[empty]
    return h.div(".wide")[h.table[h.thead[h.tr[(h.th(scope="col")[heading] for heading in heads)]], h.tbody[body]]]


def facts(pairs: Iterable[tuple[str, Node]]) -> Node:
    """Facts, each by its name."""
    return h.dl(".facts")[(h.div[h.dt[name], h.dd[said]] for name, said in pairs)]


def section(title: str, *content: Node, id_: str | None = None) -> Node:
    """A part of a page."""
    return h.section(id=id_)[h.h2[title], content]


def post(context: Context, action: str, *content: Node, class_: str | None = None) -> Node:
    """A form that changes something: it names the browser and the operator that it was made for."""
    return h.form(method="post", action=action, class_=class_)[
        h.input(type="hidden", name="token", value=context.form_token), content
    ]


def hidden(fields: Mapping[str, object]) -> Node:
    """Fields that go with a form as they are."""
    return [h.input(type="hidden", name=name, value=str(value)) for name, value in fields.items()]


def reason_field(given: str = "") -> Node:
    """The reason, which every act of an operator has."""
    return h.label(".field")[
        h.span["Reason"],
        h.input(
            name="reason", value=given, required=True, maxlength="1000", autocomplete="off", placeholder="OPS-12: ..."
        ),
        h.small["It stands in the journal beside your name."],
    ]


def row_cells(context: Context, row: SagaRow) -> Sequence[Node]:
    """A saga of a list."""
    return (
        saga_link(context, row.id),
        [text(row.saga_name), h.small[f" v{row.version}"]],
        NOTHING if row.aggregation_id is None else text(row.aggregation_id),
        [status(row.status), acknowledged(row)],
        why_in(row),
        time(row.created_at),
        time(row.ended_at or row.updated_at),
    )


ROW_HEADS: Final = ("saga", "name", "business key", "status", "why", "started", "ended, or changed")


def acknowledged(row: SagaRow) -> Node:
    """Whether an operator has looked at it."""
    return h.small[" acknowledged"] if row.acknowledged else None


def why_in(row: SagaRow) -> Node:
    """The reason why a saga stands where it stands, as far as its row has it."""
    said: list[Node] = []
    if row.parked is not None:
        said += [code(row.parked), " "]
        if WaitReason.PAUSED in row.waits:
            said += ["paused "]
    elif row.waits:
        said += [", ".join(each.name.lower() for each in type(row.waits) if each in row.waits and each.name), " "]
    if row.problem_step is not None:
        said += ["at ", step_name(row.problem_step), " "]
    if row.last_error is not None:
        said += [h.span(".error")[text(row.last_error)]]
    return said or NOTHING
