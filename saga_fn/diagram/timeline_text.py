"""A timeline as text for a terminal: an entry a line, and the pauses between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from saga_fn.core.plan import Plan
from saga_fn.diagram.kinds import Role, kind_of
from saga_fn.diagram.looks import Tone
from saga_fn.diagram.measure import length
from saga_fn.diagram.past import Past, act_text, what_goes_on
from saga_fn.diagram.past_reader import past_of
from saga_fn.diagram.seen import EntrySeen, SagaSeen
from saga_fn.diagram.terminal import bold, colored, told, wrapped

_MOST: Final = 200
"""Entries that are shown; of more, the first and the last."""
_WORTH_A_LINE: Final = timedelta(seconds=1)
"""A pause that long is told of."""
_MOST_NAME: Final = 28


def timeline_text(
    entries: Sequence[EntrySeen],
    plan: Plan | None,
    seen: SagaSeen | None,
    title: str,
    *,
    width: int,
    color: bool,
    plain: bool,
) -> str:
    """The timeline."""
    past = past_of(entries, plan, seen)
    lines = [bold(line, color=color) for line in wrapped(told(title, plain=plain), width)]
    if entries:
        lines.append(
            f"from {entries[0].timestamp:%Y-%m-%d %H:%M:%S} UTC; the number beside the time is that of the claim"
        )
    lines.append("")
    going_on = list(what_goes_on(seen))
    told_of = [*(entry.step_id or "" for entry in entries), *(step.step_id for step, _ in going_on)]
    names = min(_MOST_NAME, max(map(len, told_of), default=0))
    hidden = len(entries) - _MOST
    kept = entries if hidden <= 0 else [*entries[: _MOST // 2], *entries[-_MOST // 2 :]]
    claims = _claims(entries)
    for place, entry in enumerate(kept):
        if hidden > 0 and place == _MOST // 2:
            lines.append(f"      ... {hidden:,} entries are left out")
        elif place and entry.timestamp - kept[place - 1].timestamp >= _WORTH_A_LINE:
            lines.append(f"{' ' * 12} {_dots(plain=plain)}  {length(entry.timestamp - kept[place - 1].timestamp)}")
        lines += _entry(entry, claims[entry.seq], past, names, width=width, color=color, plain=plain)
    for step, look in going_on:
        sign = look.plain if plain else look.sign
        said = look.text if step.parked is None else f"{look.text}: {step.parked.replace('_', ' ')}"
        until = "" if step.wakes_at is None else f" until {step.wakes_at:%Y-%m-%d %H:%M:%S}"
        name = told(step.step_id, plain=plain)[:names].ljust(names)
        lines.append(
            f"         now      {colored(f'{sign} {name}  {said}{until}', look.tone, color=color)}"[: width * 2]
        )
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _dots(*, plain: bool) -> str:
    return ":" if plain else "⋮"


def _claims(entries: Sequence[EntrySeen]) -> dict[int, int | None]:
    """The number of the claim that each entry was written under; None for what others wrote."""
    found: dict[int, int | None] = {}
    numbers: dict[object, int] = {}
    for entry in entries:
        if kind_of(entry.kind).role in (Role.CLAIM, Role.END_OF_EXECUTION):
            _ = numbers.setdefault(entry.token, len(numbers) + 1)
        found[entry.seq] = numbers.get(entry.token)
    return found


def _entry(
    entry: EntrySeen, claim: int | None, past: Past, names: int, *, width: int, color: bool, plain: bool
) -> Iterator[str]:
    kind = kind_of(entry.kind)
    sign = kind.plain if plain else kind.sign
    tone: Tone | None = kind.tone
    said = told(act_text(entry, kind), plain=plain)
    if entry.attempt is not None and entry.attempt > 1:
        said += f", attempt {entry.attempt}"
    if entry.seq in past.begins:
        said += f" [{length(entry.timestamp - past.begins[entry.seq])}]"
    if entry.error:
        said += f": {told(entry.error, plain=plain)}"
    name = told(entry.step_id or "", plain=plain)
    name = name if len(name) <= names else name[: names - 1] + "~"
    stamp = f"{entry.timestamp:%H:%M:%S.%f}"[:12]
    head = f"{stamp} {'' if claim is None else claim:>3}  "
    column = len(head) + 2 + names + 2
    first, *rest = wrapped(said, max(16, width - column))
    yield f"{head}{colored(f'{sign} {name.ljust(names)}  {first}', tone, color=color)}"
    yield from (f"{' ' * column}{line}" for line in rest)
