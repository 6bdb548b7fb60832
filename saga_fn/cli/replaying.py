"""The commands that stand before a deploy: sagas are exported, and replayed against a build."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from saga_fn.admin.filter_fields import filter_from
from saga_fn.admin.text_fields import id_of
from saga_fn.cli.answers import Answer, lines, said
from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.failures import BadInputError
from saga_fn.cli.looking import each_of, found_by
from saga_fn.cli.options import Texts
from saga_fn.cli.place import orchestrator_of
from saga_fn.cli.session import Given
from saga_fn.errors import SagaNotFoundError, shown
from saga_fn.testing import ReplayKind
from saga_fn.testing import replay as replayed


async def export(
    saga_ids: Annotated[
        tuple[str, ...], Parameter(help="The sagas' ids. Without one, all that the filter finds.")
    ] = (),
    /,
    *,
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], help="The file of JSON lines that they are appended to.")
    ],
    wanted: Texts,
    session: Given,
) -> Answer:
    """Write sagas with their journals to a file, for `replay`. It holds their data."""
    named = [id_of(each) for each in saga_ids]
    if named and wanted:
        raise BadInputError("ids and a filter are given", hint="give one of them")
    written = 0
    async with session.looking() as place:
        chosen = filter_from(wanted, place.known)
        try:
            with output.open("a", encoding="utf-8") as file, session.output.bar("sagas exported") as bar:
                async for saga_id in each_of(named) if named else found_by(place, chosen):
                    try:
                        line = await place.admin.export(saga_id)
                    except SagaNotFoundError:
                        if named:  # else its retention was over meanwhile
                            raise
                        continue
                    file.write(line + "\n")
                    bar.at(written := written + 1, len(named) or None)
        except OSError as error:
            raise BadInputError(
                f"{shown(str(output))} cannot be written: {error.strerror}", hint="name another file"
            ) from error
    return said(f"{written:,} sagas exported to {output}.", {"exported": written, "output": str(output)})


async def replay(
    export: Annotated[Path, Parameter(help="A file that `export` or an archive has written.")],
    /,
    *,
    but: Annotated[
        tuple[ReplayKind, ...],
        Parameter(help="A kind of finding that is meant, and may be. It can be given several times."),
    ] = (),
    session: Given,
) -> Answer:
    """Fold exported sagas against the definitions that --app knows: may this build be deployed? No database is asked."""
    if session.settings.app is None:
        raise BadInputError("no definition is known", hint="name the orchestrator: --app module:orchestrator")
    found = replayed(export, orchestrator_of(session.settings.app))
    parts = [lines(*str(each).splitlines()) for each in found]
    code = ExitCode.FOUND if found.by_kind.keys() - set(but) else ExitCode.DONE
    return Answer(found, (*parts, lines(str(found))), code)
