"""The commands that look at sagas and change nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Final, Literal
from uuid import UUID

import attrs
from cyclopts import Parameter

from saga_fn.admin.filter_fields import filter_from
from saga_fn.admin.text_fields import id_of
from saga_fn.cli.answers import Answer, Drawn, json_of, lines, said
from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.failures import BadInputError
from saga_fn.cli.known import misspelt
from saga_fn.cli.options import Texts
from saga_fn.cli.place import Place, orchestrator_of
from saga_fn.cli.session import Given, Session, flag
from saga_fn.cli.spelling import commands_for
from saga_fn.cli.texts import of_page, of_rows, of_saga, of_stats, saga_without
from saga_fn.definition import AnySaga
from saga_fn.diagram import timeline as draw_timeline
from saga_fn.errors import SagaNotFoundError, shown
from saga_fn.explanation import Explanation, lines_of
from saga_fn.listing import MOST_ROWS, SagaFilter
from saga_fn.snapshot import HistoryEntry, SagaCount

_NEEDS_APP: Final = (
    "The definition is not known here: a verb that gives a value needs it, by --app module:orchestrator."
)
Id = Annotated[str, Parameter(help="The saga's id.")]
File = Annotated[Path | None, Parameter(name=["--output", "-o"], help="Write it to this file.")]
Payloads = Annotated[bool, flag("Show inputs, outputs and other data, too.")]


async def list_sagas(
    wanted: Texts,
    *,
    limit: Annotated[int, Parameter(help="The most rows of the page, 1 to 1000.")] = 50,
    after: Annotated[str | None, Parameter(help="The `next` of the page before.")] = None,
    oldest_first: Annotated[bool, flag("The oldest start first.")] = False,
    every: Annotated[bool, flag("All rows, page after page. With --json a line for each.", "--all")] = False,
    count: Annotated[bool, flag("Only their number, up to 1,000.")] = False,
    session: Given,
) -> Answer | None:
    """List sagas, the newest start first."""
    async with session.looking() as place:
        chosen = filter_from(wanted, place.known)
        if count:
            number = await place.admin.count(chosen)
            return said(str(number), {"sagas": number.sagas, "is_more": number.is_more})
        if every:
            await _write_all(place, chosen, oldest_first=oldest_first, session=session)
            return None
        page = await place.admin.list(chosen, limit=limit, after=after, oldest_first=oldest_first)
        why = None if page.rows or after else await misspelt(place, chosen)
    if why is not None:
        return Answer(page, (*of_page(page), lines(why)))
    more = () if page.next is None else (lines(f"There are more: --after {page.next}"),)
    return Answer(page, (*of_page(page), *more))


async def _write_all(place: Place, chosen: SagaFilter, *, oldest_first: bool, session: Given) -> None:
    after: str | None = None
    while True:
        page = await place.admin.list(chosen, limit=MOST_ROWS, after=after, oldest_first=oldest_first)
        if session.output.as_json:
            for row in page.rows:
                session.output.write(json_of(row))
        elif page.next is None:
            session.output.parts(of_page(page))
        else:
            session.output.parts((of_rows(page),))
        after = page.next
        if after is None:
            return


async def show(
    saga_id: Id,
    /,
    *,
    journal: Annotated[int, Parameter(help="How many of the last entries of its journal to show, up to 1000.")] = 10,
    payloads: Payloads = False,
    session: Given,
) -> Answer:
    """Show one saga: its status, its steps, its waits, what is left over, and the end of its journal."""
    if not 0 <= journal <= MOST_ROWS:
        raise BadInputError(f"--journal is a number from 0 to {MOST_ROWS}, not {journal}", hint="--journal 50")
    async with session.looking() as place:
        saga = await place.admin.get_saga(id_of(saga_id), journal_limit=max(1, journal))
    return Answer(saga_without(saga, payloads=payloads), of_saga(saga, journal=journal, payloads=payloads))


async def stats(*, session: Given) -> Answer:
    """Count the sagas of every definition by what they do, the ends of the last hour, and the processes that work."""
    async with session.looking() as place:
        found, processes = await place.admin.stats(), await place.admin.processes()
    return Answer({"stats": found, "processes": processes}, of_stats(found, processes))


async def explain(saga_id: Id, /, *, session: Given) -> Answer:
    """Explain why a saga stands where it stands, and what each verb would do to it now."""
    async with session.looking() as place:
        explained = as_an_operator(await place.admin.explain(id_of(saga_id)))
        told = lines(*lines_of(explained, commands_for(explained.saga_id)))
        unknown = place.orchestrator.engine.registry.find(explained.saga_name, explained.version) is None
    return Answer(explained, (told, lines(_NEEDS_APP)) if unknown else (told,))


def as_an_operator(explained: Explanation) -> Explanation:
    """The explanation for one who may ask for verbs: a command that asks opens the database anew, not for looks alone."""
    return attrs.evolve(explained, verbs=tuple(attrs.evolve(each, not_here=None) for each in explained.verbs))


async def history(place: Place, saga_id: UUID) -> AsyncGenerator[HistoryEntry]:
    """Every entry of the saga's journal, page after page."""
    after = 0
    while True:
        entries = (await place.admin.get_saga(saga_id, journal_after=after)).step_history
        for each in entries:
            yield each
        if len(entries) < MOST_ROWS:
            return
        after = entries[-1].seq


async def verify(
    saga_ids: Annotated[
        tuple[str, ...], Parameter(help="The sagas' ids. Without one, all that the filter finds.")
    ] = (),
    /,
    *,
    wanted: Texts,
    session: Given,
) -> Answer:
    """Fold the journals of sagas again, and compare the results with their rows."""
    found: dict[str, list[str]] = {}
    seen = 0
    async with session.looking() as place:
        named = [id_of(each) for each in saga_ids]
        chosen = filter_from(wanted, place.known)
        if named and wanted:
            raise BadInputError("ids and a filter are given", hint="give one of them")
        number = SagaCount(len(named), is_more=False) if named else await place.admin.count(chosen)
        with session.output.bar("sagas verified") as bar:
            async for saga_id in each_of(named) if named else found_by(place, chosen):
                try:
                    found[str(saga_id)] = await place.admin.verify(saga_id)
                except SagaNotFoundError:
                    if named:  # else its retention was over meanwhile
                        raise
                bar.at(seen := seen + 1, None if number.is_more else number.sagas)
    found = {saga_id: differences for saga_id, differences in found.items() if differences}
    parts = [lines(f"{saga_id}: {each}") for saga_id, differences in found.items() for each in differences]
    told = f"{seen:,} sagas verified; {len(found):,} differ from their journals."
    data = {"verified": seen, "differences": found}
    return Answer(data, (*parts, lines(told)), ExitCode.FOUND if found else ExitCode.DONE)


async def each_of(saga_ids: list[UUID]) -> AsyncGenerator[UUID]:
    """The sagas that are named."""
    for each in saga_ids:
        yield each


async def found_by(place: Place, chosen: SagaFilter) -> AsyncGenerator[UUID]:
    """The sagas that the filter finds."""
    async for row in place.admin.list_all(chosen):
        yield row.id


async def timeline(
    saga_id: Id,
    /,
    *,
    format: Annotated[Literal["text", "svg"], Parameter(help="text or svg.")] = "text",
    output: File = None,
    session: Given,
) -> Answer:
    """Draw what happened to a saga, in the order of its journal: attempts, waits, retries, compensations, and operators' acts."""
    async with session.looking() as place:
        saga = await place.admin.get_saga(id_of(saga_id))
        entries = [each async for each in history(place, saga.id)]
    canvas = session.output.canvas
    color = canvas.color and output is None
    drawn = draw_timeline(
        entries,
        format,
        plan=saga.plan,
        name=saga.saga_name,
        seen=saga,
        width=canvas.width,
        color=color,
        plain=canvas.plain,
    )
    return _drawn(drawn, format, output)


async def diagram(
    of: Annotated[str, Parameter(help="A saga's id, or the name of a definition that --app knows.")],
    /,
    *,
    format: Annotated[Literal["text", "mermaid", "svg"], Parameter(help="text, mermaid or svg.")] = "text",
    version: Annotated[int | None, Parameter(help="The definition's version. Without it the newest.")] = None,
    output: File = None,
    session: Given,
) -> Answer:
    """Draw the graph of a definition, or that of a saga with the state of each step."""
    canvas = session.output.canvas
    color = canvas.color and output is None
    if not _is_id(of):
        definition = _definition(session, of, version)
        drawn = definition.diagram(format, name=of, width=canvas.width, color=color, plain=canvas.plain)
        return _drawn(drawn, format, output)
    async with session.looking() as place:
        saga = await place.admin.get_saga(id_of(of), journal_limit=1)
    return _drawn(saga.diagram(format, width=canvas.width, color=color, plain=canvas.plain), format, output)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _definition(session: Session, name: str, version: int | None) -> AnySaga:
    if session.settings.app is None:
        raise BadInputError(
            f"{shown(name)} is no saga's id, and no definition is known",
            hint="name the orchestrator: --app module:orchestrator",
        )
    registry = orchestrator_of(session.settings.app).engine.registry
    found = [each for each in registry.versions(name) if version in (None, each.version)]
    if not found:
        known = ", ".join(f"{each.name} v{each.version}" for each in registry.all) or "none"
        raise BadInputError(
            f"{shown(session.settings.app)} knows no such definition: {shown(name)}", hint=f"it knows {known}"
        )
    return found[-1].definition


def _drawn(picture: str, format: str, output: Path | None) -> Answer:
    if output is None:
        return Answer({"format": format, "picture": picture}, (Drawn(picture),))
    try:
        output.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise BadInputError(
            f"{shown(str(output))} cannot be written: {error.strerror}", hint="name another file"
        ) from error
    return said(f"Written to {output}.", {"format": format, "output": str(output)})
