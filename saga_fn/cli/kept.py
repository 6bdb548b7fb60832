"""The commands for events that are kept for sagas that are not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from saga_fn.cli.answers import Answer, Part, Table, json_of, lines, said, text_of
from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.failures import BadInputError
from saga_fn.cli.looking import Payloads
from saga_fn.cli.session import By, Given, Reason, Yes, flag
from saga_fn.snapshot import KeptEvent


async def list_kept(
    name: Annotated[str | None, Parameter(help="Only those for sagas of this name.")] = None,
    /,
    *,
    key: Annotated[str | None, Parameter(help="Only those for this business key.")] = None,
    payloads: Payloads = False,
    session: Given,
) -> Answer:
    """List events that are kept for sagas that are not there yet, the oldest first."""
    async with session.looking() as place:
        found = await place.admin.kept_events(name, key)
    return Answer(_data(found, payloads=payloads), _shown(found, payloads=payloads))


async def discard(
    name: Annotated[str, Parameter(help="The name of the sagas that the events are for.")],
    key: Annotated[str, Parameter(help="The business key that they are for.")],
    event: Annotated[str | None, Parameter(help="The name of the event.")] = None,
    /,
    *,
    every: Annotated[bool, flag("The events of every name.", "--all")] = False,
    yes: Yes = False,
    by: By = None,
    reason: Reason = None,
    session: Given,
) -> Answer:
    """Discard kept events of a name and business key. No saga will ever get them, and a repeated event is kept anew."""
    if (event is None) is not every:
        raise BadInputError("name the event, or say --all", hint="saga-fn kept list shows the events")
    async with session.acting(by) as place:
        found = [each for each in await place.admin.kept_events(name, key) if event in (None, each.event)]
        if not found:
            return said("No such event is kept.", {"discarded": 0}, ExitCode.FOUND)
        session.before_the_question((lines(f"database: {place.where}"), *_shown(found, payloads=False)), yes=yes)
        if not session.agrees("Discard them?", yes=yes):
            return said("Nothing was discarded.", {"discarded": 0}, ExitCode.FOUND)
        gone = await place.admin.discard_kept(name, key, event, reason=reason)
    return said(f"Discarded: {gone:,}.", {"discarded": gone})


def _data(found: Sequence[KeptEvent], *, payloads: bool) -> list[dict[str, object]]:
    left_out = () if payloads else ("payload",)
    return [{name: getattr(each, name) for name in each.__struct_fields__ if name not in left_out} for each in found]


def _shown(found: Sequence[KeptEvent], *, payloads: bool) -> tuple[Part, ...]:
    if not found:
        return (lines("No event is kept."),)
    heads = ("name", "key", "event", "sent", "void at", *(("value",) if payloads else ()))
    rows = [
        (each.saga_name, each.aggregation_id, each.event, text_of(each.sent_at), text_of(each.expires_at))
        + ((json_of(each.payload),) if payloads else ())
        for each in found
    ]
    return (Table(heads, tuple(rows)),)
