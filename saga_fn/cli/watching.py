"""`saga-fn watch`: one saga, entry by entry as its journal grows, or the whole store on one screen."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import attrs
from cyclopts import Parameter
from rich.live import Live
from rich.text import Text

from saga_fn import WaitReason
from saga_fn.admin.text_fields import id_of, length_of
from saga_fn.cli.answers import Part, json_of, lines, text_of
from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.layout import laid_out
from saga_fn.cli.output import console_on
from saga_fn.cli.place import Place
from saga_fn.cli.session import Given, Session
from saga_fn.cli.texts import entry_data, entry_line, of_attention, of_operations, of_pauses, of_rows
from saga_fn.listing import MOST_ROWS, SagaFilter
from saga_fn.snapshot import Attention, Operation, OperationState, Pause, SagaCount, SagaPage, SagaRow

_ROWS = 10


async def watch(
    saga_id: Annotated[str | None, Parameter(help="The saga's id. Without it the whole store is watched.")] = None,
    /,
    *,
    every: Annotated[str, Parameter(help="The time between two looks, such as 2s.")] = "2s",
    times: Annotated[int | None, Parameter(help="End after so many looks. Without it Ctrl-C ends it.")] = None,
    session: Given,
) -> int:
    """Watch one saga until it ends or waits for a person, or all: what needs a person, pauses, operations, the newest sagas."""
    pause = max(length_of("every", every), timedelta(milliseconds=100))
    async with session.looking() as place:
        if saga_id is not None:
            return await _follow(place, id_of(saga_id), pause, times, session)
        return await _survey(place, pause, times, session)


async def _follow(place: Place, saga_id: UUID, pause: timedelta, times: int | None, session: Session) -> int:
    """Write each entry of the journal as it comes, until the saga ends or stands still."""
    output, seen, looks = session.output, 0, 0
    while True:
        saga = await place.admin.get_saga(saga_id, journal_after=seen)
        for entry in saga.step_history:
            seen = entry.seq
            if output.as_json:
                output.write(json_of(entry_data(entry, payloads=False)))
            else:
                output.parts((lines(entry_line(entry)),))
        output.flush()
        looks += 1
        if seen >= saga.revision and (saga.status.is_terminal or saga.parked is not None):
            left = ", ".join(f"{each.step_id} ({each.kind.value})" for each in saga.left_over)
            why = f"parked, {saga.parked}" if saga.parked else left
            output.parts((lines(f"{saga.status}{f': {why}' if why else ''}"),), to_stderr=True)
            return ExitCode.DONE if saga.status.is_success else ExitCode.FOUND
        if times is not None and looks >= times:
            return ExitCode.DONE
        if len(saga.step_history) < MOST_ROWS:
            await asyncio.sleep(pause.total_seconds())


async def _survey(place: Place, pause: timedelta, times: int | None, session: Session) -> int:
    """Show the store again and again: on a terminal in one place, else one below the other."""
    output, looks = session.output, 0
    console = console_on(sys.stdout)
    is_live = sys.stdout.isatty() and not output.as_json
    with Live(console=console, auto_refresh=False, screen=is_live) if is_live else nullcontext() as live:
        while True:
            seen = await _look(place)
            if output.as_json:
                output.write(json_of(seen))
            elif live is None:
                output.parts(_parts(place, seen))
                output.flush()
            else:
                shown = laid_out(_parts(place, seen), console.width)[: max(1, console.height - 1)]
                text = (Text(each.text, style="bold" if each.is_heading else "", no_wrap=True) for each in shown)
                live.update(Text("\n").join(text), refresh=True)
            looks += 1
            if times is not None and looks >= times:
                return ExitCode.DONE
            await asyncio.sleep(pause.total_seconds())


@attrs.frozen
class Seen:
    """One look at the whole store."""

    at: datetime
    problems: tuple[str, ...]
    attention: tuple[Attention, ...]
    pauses: tuple[Pause, ...]
    alone: SagaCount
    """The sagas that are paused by themselves."""
    operations: tuple[Operation, ...]
    newest: tuple[SagaRow, ...]


async def _look(place: Place) -> Seen:
    admin = place.admin
    health = await place.orchestrator.health()
    page = await admin.list(limit=_ROWS)
    operations = await admin.list_operations(limit=_ROWS)
    running = tuple(each for each in operations if each.state is OperationState.RUNNING)
    pauses, alone = await admin.pauses(), await admin.count(SagaFilter(waits=WaitReason.PAUSED))
    return Seen(datetime.now(UTC), health.problems, health.attention, pauses, alone, running, page.rows)


def _parts(place: Place, seen: Seen) -> tuple[Part, ...]:
    parts: list[Part] = [lines(f"{place.where} at {text_of(seen.at)} UTC"), of_attention(seen.attention, seen.problems)]
    if seen.pauses or seen.alone.sagas:
        parts += of_pauses(seen.pauses, seen.alone)
    if seen.operations:
        parts.append(of_operations(seen.operations))
    return (*parts, of_rows(SagaPage(seen.newest, None, seen.pauses)))
