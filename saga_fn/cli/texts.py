"""The library's values as parts for people: pure functions from data to text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from saga_fn import WaitReason
from saga_fn.admin.filter_fields import in_words
from saga_fn.cli.answers import Facts, Lines, Part, Table, facts, json_of, lines, text_of
from saga_fn.cli.spelling import IN_COMMANDS, commands_for
from saga_fn.core.step_report import is_executed
from saga_fn.explanation import Explanation, VerbPreview, unread_in_words
from saga_fn.explanation import in_words as preview_in_words
from saga_fn.listing import MOST_ROWS
from saga_fn.printable import kept
from saga_fn.snapshot import (
    Attention,
    BulkPreview,
    HistoryEntry,
    Operation,
    Pause,
    Pruned,
    SagaAdminSnapshot,
    SagaCount,
    SagaOwner,
    SagaPage,
    SagaRow,
    StepSnapshot,
    UnsentMessage,
)
from saga_fn.stats import DefinitionStats, SagaStats, WorkingProcess

_ID: Final = "saga"
_ROW: Final = (_ID, "name", "v", "status", "why", "step", "error", "key", "started", "changed")


def of_page(page: SagaPage) -> tuple[Part, ...]:
    """Sagas as a list has them, and the pauses that hold some of them."""
    table = of_rows(page) if page.rows else lines("No saga is found.")
    if not page.pauses:
        return (table,)
    return (table, lines(*(f"Paused: {pause_in_words(each)}." for each in page.pauses)))


def of_rows(page: SagaPage) -> Table:
    """The rows of a page."""
    return Table(_ROW, tuple(_row(each, page.holding(each)) for each in page.rows))


def _row(row: SagaRow, holding: Sequence[Pause]) -> tuple[str, ...]:
    waits = row.parked or text_of(row.waits & ~WaitReason.PAUSED)
    by_itself = "paused" if WaitReason.PAUSED in row.waits else None
    held = dict.fromkeys("all paused" if each.saga_name is None else "name paused" for each in holding)
    why = ", ".join(filter(None, (waits, by_itself, *held)))
    texts = (row.id, row.saga_name, row.version, row.status, why, row.problem_step, row.last_error, row.aggregation_id)
    return (*map(text_of, texts), text_of(row.created_at), text_of(row.updated_at))


def of_saga(saga: SagaAdminSnapshot, *, journal: int, payloads: bool) -> tuple[Part, ...]:
    """One saga, all of it."""
    parts: list[Part] = [
        facts(
            f"{saga.saga_name} v{saga.version}  {saga.id}",
            (
                ("status", saga.status),
                ("revision", saga.revision),
                ("business key", saga.aggregation_id),
                ("direction", None if saga.ended_at or saga.unreadable else "back" if saga.goes_back else "forward"),
                ("waits for", saga.waits or None),
                ("parked", saga.parked),
                ("at step", saga.current_step_id),
                ("owner", None if saga.owner is None else saga.owner.process or saga.owner.id),
                ("lease", None if saga.owner is None else _lease(saga.owner)),
                ("last error", saga.last_error),
                ("unreadable", saga.unreadable),
                ("paused", "; ".join(map(pause_in_words, saga.pauses)) or None),
                ("acknowledged", saga.acknowledged or None),
                ("begins at", saga.begins_at),
                ("rolls back at", saga.rolls_back_at),
                ("started", saga.created_at),
                ("changed", saga.updated_at),
                ("ended", saga.ended_at),
                ("trace", saga.trace_id),
            ),
        ),
        Table(
            ("step", "status", "attempt", "failures", "again at", "parked"),
            tuple(_step(each, is_interrupted=saga.is_interrupted) for each in saga.steps),
            "Steps",
        ),
    ]
    if saga.waiting_for:
        rows = tuple((each.step_id, text_of(each.events), text_of(each.until)) for each in saga.waiting_for)
        parts.append(Table(("step", "event", "until"), rows, "Waits"))
    if saga.unread:
        unread = tuple((str(each), text_of(each.sent_at)) for each in saga.unread)
        parts.append(Table(("stored for it", "sent"), unread, "Not read yet"))
    if saga.left_over:
        parts.append(
            Table(("step", "left over"), tuple((each.step_id, each.kind.value) for each in saga.left_over), "Left over")
        )
    if stays := tuple(kept(saga.stays_done, saga.rewound)):
        parts.append(lines(*stays))
    if saga.failure is not None:
        parts.append(
            facts(
                "Failure",
                (("step", saga.failure.step_id), ("type", saga.failure.type), ("message", saga.failure.message)),
            )
        )
    if saga.attributes:
        parts.append(facts("Attributes", saga.attributes.items()))
    if saga.rejections:
        parts += [Facts("Beside the journal", ()), Lines(tuple(f"  {each}" for each in saga.rejections))]
    if payloads:
        parts.append(Facts("Data", tuple((name, json_of(value)) for name, value in saga.context.items())))
    if journal:
        shown = saga.step_history[-journal:]
        parts.append(of_history(shown, payloads=payloads))
        if len(shown) < saga.revision:
            told = f"The last {len(shown)} of {saga.revision:,} entries; --journal {MOST_ROWS} shows up to so many."
            parts.append(lines(told))
    return tuple(parts)


def _lease(owner: SagaOwner) -> str:
    return f"{'over since' if owner.is_gone else 'until'} {text_of(owner.lease_until)}"


def _step(step: StepSnapshot, *, is_interrupted: bool) -> tuple[str, ...]:
    status = text_of(step.status)
    if is_interrupted and is_executed(step.status):
        status += " (interrupted)"
    return tuple(
        map(
            text_of,
            (step.step_id, status, step.attempt or None, step.failures or None, step.wakes_at, step.parked),
        )
    )


def of_history(entries: Iterable[HistoryEntry], *, payloads: bool) -> Table:
    """Entries of a journal."""
    return Table(
        ("#", "time", "event", "step", "attempt", "what"),
        tuple(_entry(each, payloads=payloads) for each in entries),
        "Journal",
    )


def _entry(entry: HistoryEntry, *, payloads: bool) -> tuple[str, ...]:
    by = "" if entry.actor is None else f"by {entry.actor}"
    owner = entry.process and f"owned by {entry.process}"
    said = [entry.finding, entry.error, entry.event, by, entry.reason, owner]
    if payloads:
        given = (("input", entry.input), ("output", entry.output), ("business error", entry.business_error))
        said += [f"{name} {json_of(value)}" for name, value in given if value is not None]
    what = "; ".join(each for each in said if each)
    return (*map(text_of, (entry.seq, entry.timestamp, entry.kind, entry.step_id, entry.attempt)), what)


def of_preview(explained: Explanation, preview: VerbPreview, *, where: str) -> tuple[Part, ...]:
    """The preview of one verb of one saga, as the operator sees it before the question."""
    verb = IN_COMMANDS.verb(preview.verb)
    named = verb if preview.step_id is None else f"{verb} {preview.step_id}"
    why = "; ".join((*(each.text for each in explained.reasons), *unread_in_words(explained))) or None
    return (
        facts(
            f"{named}: {explained.saga_name} v{explained.version}  {explained.saga_id}",
            (
                ("database", where),
                ("business key", explained.aggregation_id),
                ("now", f"{explained.status} at revision {explained.revision}"),
                ("why", why),
                (
                    "effect" if preview.is_legal else "refused",
                    preview_in_words(preview, commands_for(explained.saga_id)),
                ),
            ),
        ),
    )


def of_bulk(told: BulkPreview, named: str, *, where: str) -> tuple[Part, ...]:
    """The preview of a verb of many sagas."""
    looked_at = f"of the first {told.looked_at:,}" if told.looked_at else None
    refusals = ", ".join(f"{number:,} {code}" for code, number in told.refusals.items())
    samples = tuple(
        (str(each.saga.id), each.saga.saga_name, text_of(each.saga.status), each.refusal or "accepts it")
        for each in told.samples
    )
    found = facts(
        named,
        (
            ("database", where),
            ("sagas", told.sagas),
            ("would accept it", None if looked_at is None else f"{told.accepted:,} {looked_at}"),
            ("would refuse it", refusals or None),
            *told.told,
            ("paused", "; ".join(map(pause_in_words, told.pauses)) or None),
        ),
    )
    return (found, Table((_ID, "name", "status", "answer"), samples, "Some of them")) if samples else (found,)


def pause_in_words(pause: Pause) -> str:
    """A pause that holds what a verb lets begin."""
    by = "" if pause.actor is None else f" by {pause.actor}"
    why = "" if pause.reason is None else f": {pause.reason}"
    whose = "everything" if pause.saga_name is None else pause.saga_name if pause.saga_id is None else "this saga"
    return f"{whose}, since {text_of(pause.since)}{by}{why}; nothing begins before that pause ends"


def of_operation(operation: Operation) -> tuple[Part, ...]:
    """One act of an operator."""
    refusals = ", ".join(f"{number:,} {code}" for code, number in operation.refusals.items())
    return (
        facts(
            f"{operation.verb}  {operation.id}",
            (
                ("state", operation.state),
                ("step", operation.step_id),
                ("saga", operation.saga_id),
                ("filter", _filter(operation) or None),
                ("unreadable", operation.unreadable),
                ("by", operation.actor),
                ("reason", operation.reason),
                ("done", operation.done),
                ("asked", operation.asked or None),
                ("refused", refusals or None),
                ("remaining", operation.remaining),
                ("began", operation.began_at),
                ("changed", operation.updated_at),
            ),
        ),
    )


def _filter(operation: Operation) -> str:
    return ", ".join(f"{name}: {value}" for name, value in in_words(operation.wanted).items())


def of_operations(operations: Iterable[Operation]) -> Table:
    """The acts of operators."""
    rows = (
        (
            each.id,
            each.verb,
            each.state,
            each.done,
            each.refused,
            each.saga_id or (_filter(each) if each.unreadable is None else "(cannot be read)"),
            each.actor,
            each.reason,
            each.began_at,
        )
        for each in operations
    )
    columns = ("operation", "verb", "state", "done", "refused", "sagas", "by", "reason", "began")
    return Table(columns, tuple(tuple(map(text_of, row)) for row in rows))


def of_pauses(pauses: Iterable[Pause], alone: SagaCount) -> tuple[Part, ...]:
    """The pauses of names and of everything, and how many sagas are paused by themselves."""
    rows = tuple(
        (each.saga_name or "(all sagas)", text_of(each.since), each.actor or "", each.reason or "") for each in pauses
    )
    many = "saga" if alone.sagas == 1 else "sagas"
    told = lines(f"Paused by themselves: {alone} {many}. saga-fn list --waits paused lists them.")
    listed = Table(("paused", "since", "by", "reason"), rows)
    if not alone.sagas:
        return (listed,) if rows else (lines("Nothing is paused."),)
    return (listed, told) if rows else (told,)


def of_attention(findings: Iterable[Attention], problems: Iterable[str] = ()) -> Part:
    """The findings that a person should look at. With problems of the look itself, it is not known whether there are others."""
    rows = tuple((each.kind.value, each.text, ", ".join(map(str, each.saga_ids))) for each in findings)
    rows = (*(("not known", each, "") for each in problems), *rows)
    return Table(("finding", "what", "sagas"), rows) if rows else lines("Nothing needs a person.")


_STATS: Final[tuple[str, ...]] = (
    *(
        "name",
        "v",
        "running",
        "undoing",
        "retrying",
        "timer",
        "event",
        "parked",
        "paused alone",
        "failed",
        "overdue",
    ),
    *("oldest due", "processes", "ended in the last hour", "state"),
)


def of_stats(stats: SagaStats, processes: Iterable[WorkingProcess]) -> tuple[Part, ...]:
    """The numbers of every definition, and the processes that work."""
    working = tuple(
        (
            text_of(each.process),
            text_of(each.seen_at),
            ", ".join(f"{name} v{number}" for name, number in each.definitions),
            str(each.id),
        )
        for each in processes
    )
    definitions = Table(_STATS, tuple(map(_definition, stats.definitions)))
    seen = Table(("process", "seen", "works on", "id"), working, "Processes") if working else lines("No process works.")
    return (definitions if stats.definitions else lines("There are no sagas."), seen)


def _definition(of: DefinitionStats) -> tuple[str, ...]:
    counts = (
        *(of.running, of.compensating, of.retrying, of.sleeping, of.waiting),
        *(of.parked, of.paused_alone, of.failed, of.overdue),
    )
    ended = ", ".join(f"{_in_an_hour(minutes)} {status}" for status, minutes in of.ends.items())
    mark = "paused" if of.paused else "unowned" if of.is_unowned else ""
    return (of.saga_name, str(of.version), *map(str, counts), text_of(of.oldest_due), str(of.processes), ended, mark)


def _in_an_hour(minutes: Iterable[int | None]) -> str:
    """The sum, and `+` if not every minute was counted."""
    each = list(minutes)
    return f"{sum(filter(None, each)):,}{'+' if None in each else ''}"


def of_pruned(pruned: Pruned, *, dry_run: bool) -> Lines:
    """The answer of a deletion."""
    what = "could be deleted" if dry_run else "were deleted"
    more = "; there are more" if pruned.is_more else ""
    return lines(f"{pruned.sagas:,} sagas {what}{more}.")


def saga_without(saga: SagaAdminSnapshot, *, payloads: bool) -> dict[str, object]:
    """The snapshot as data, with the payloads only if they were asked for."""
    found = {
        name: getattr(saga, name)
        for name in saga.__struct_fields__
        if name not in ("plan", "step_history", "context", "outgoing")
    }
    found["outgoing"] = [unsent_data(each, payloads=payloads) for each in saga.outgoing]
    found["step_history"] = [entry_data(each, payloads=payloads) for each in saga.step_history]
    if payloads:
        found["context"] = saga.context
    return found


def unsent_data(message: UnsentMessage, *, payloads: bool) -> dict[str, object]:
    """An outgoing message as data, with its payload only if that was asked for."""
    left_out = () if payloads else ("payload",)
    return {name: getattr(message, name) for name in message.__struct_fields__ if name not in left_out}


def entry_line(entry: HistoryEntry) -> str:
    """An entry of a journal in one line."""
    number, time, kind, step, attempt, what = _entry(entry, payloads=False)
    tried = f" (attempt {attempt})" if attempt else ""
    return f"#{number} {time} {kind}{f' {step}' if step else ''}{tried}{f': {what}' if what else ''}"


def entry_data(entry: HistoryEntry, *, payloads: bool) -> dict[str, object]:
    """An entry of a journal as data, with payloads only if they were asked for."""
    left_out = () if payloads else ("input", "output", "business_error")
    return {name: getattr(entry, name) for name in entry.__struct_fields__ if name not in left_out}
