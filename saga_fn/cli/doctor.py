"""`saga-fn doctor`: each check with what was found and, if something is wrong, with its mend."""

from __future__ import annotations

import enum
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from importlib.metadata import version
from typing import Final

import attrs

from saga_fn.cli.answers import Answer, Part, Table, lines, text_of
from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.place import dsn_of, opened, orchestrator_of, place_in_words, schema_of
from saga_fn.cli.session import Given
from saga_fn.cli.spelling import IN_COMMANDS, in_commands
from saga_fn.cli.texts import pause_in_words
from saga_fn.engine.health import CLOCKS_AGREE
from saga_fn.errors import SchemaMissingError
from saga_fn.snapshot import Attention, AttentionKind, Pause
from saga_fn.stats import SagaStats, WorkingProcess
from saga_fn.store.examination import Examination, examine
from saga_fn.store.rights import RoleKind, named, needs

_SLOW: Final = timedelta(milliseconds=50)
_WORTH_KNOWING: Final = 2**20
"""Bytes of a table, from which on it matters that its statistics are missing."""
_SHORTLY: Final = timedelta(seconds=5)
"""A worker takes up what is due in less."""
_LARGE: Final = 10 * 2**30
"""Bytes of a table, from which on retention is worth a thought."""


class Verdict(enum.StrEnum):
    """How a check came out."""

    OK = "ok"
    """All is well."""
    NOTE = "note"
    """It is worth knowing, and nothing is broken."""
    WRONG = "wrong"
    """A person should mend it."""


@attrs.frozen
class Check:
    """One check: the subject, the verdict, the finding, and the mend if something is wrong."""

    subject: str
    verdict: Verdict
    found: str
    mend: str | None = None


async def doctor(*, session: Given) -> Answer:
    """Check the connection, versions, rights, a pooler, clocks, the listener, what needs a person, and sizes; with each mend."""
    settings = session.settings
    named_one = None if settings.app is None else orchestrator_of(settings.app)
    dsn, schema = dsn_of(settings, named_one), schema_of(settings, named_one)
    seen = await examine(dsn, schema=schema)
    checks = list(checks_of(seen, schema=schema, where=place_in_words(dsn)))
    if seen.schema_error is None and not seen.lacking.intersection(needs(RoleKind.VIEWER)):
        async with opened(settings) as place:
            health, pauses = await place.orchestrator.health(), await place.admin.pauses()
            processes, stats = await place.admin.processes(), await place.admin.stats()
        checks.append(workers_of(processes))
        checks += due_of(stats)
        checks += findings_of(health.attention, health.problems)
        checks += pauses_of(pauses, health.attention)
    is_wrong = any(each.verdict is Verdict.WRONG for each in checks)
    return Answer(checks, parts_of(checks), ExitCode.FOUND if is_wrong else ExitCode.DONE)


def parts_of(checks: list[Check]) -> tuple[Part, ...]:
    """The checks for people: a table, then the mends."""
    table = Table(("", "check", "found"), tuple((each.verdict.value, each.subject, each.found) for each in checks))
    mends = dict.fromkeys(f"{each.subject}: {each.mend}" for each in checks if each.mend is not None)
    if not mends:
        return (table, lines("", "Nothing has to be mended."))
    return (table, lines("", "Mends:", *(f"  {each}" for each in mends)))


def checks_of(seen: Examination, *, schema: str, where: str) -> Iterator[Check]:
    """The checks of the database and of the way to it."""
    slow = seen.answers_in > _SLOW
    yield Check(
        "connection",
        Verdict.NOTE if slow else Verdict.OK,
        f"{where}, as {seen.role}; it answers in {seen.answers_in / timedelta(milliseconds=1):.1f} ms",
        "each step waits for it: run workers near the database" if slow else None,
    )
    libraries = f"saga_fn {version('saga-fn')}, Python {platform.python_version()}, PostgreSQL {seen.server}"
    yield Check("versions", Verdict.OK, libraries)
    yield _schema(seen, schema)
    yield _kind_of_server(seen)
    if seen.schema_error is None:
        yield _rights(seen)
    yield Check(
        "pooler",
        Verdict.NOTE if seen.is_pooled else Verdict.OK,
        "there is one between here and the server" if seen.is_pooled else "none",
        "in transaction mode give the orchestrator listen_dsn= or listen=False, and see docs/deployment.md"
        if seen.is_pooled
        else None,
    )
    yield _clock(seen)
    yield _listener(seen)
    yield from _sizes(seen)
    yield from _statistics(seen)


def _schema(seen: Examination, schema: str) -> Check:
    error = seen.schema_error
    if error is None:
        return Check("schema", Verdict.OK, f"{schema} is migrated; shards: {seen.shards}")
    mend = (
        f"saga-fn migrate --schema {schema}" if isinstance(error, SchemaMissingError) else in_commands(error.hint or "")
    )
    return Check("schema", Verdict.WRONG, error.fact, mend)


def _kind_of_server(seen: Examination) -> Check:
    if seen.is_replica:
        return Check(
            "server",
            Verdict.NOTE,
            "a replica: it can be looked at only",
            "workers need the primary: target_session_attrs=read-write",
        )
    if seen.is_read_only:
        return Check("server", Verdict.WRONG, "it takes no writes", "end default_transaction_read_only")
    return Check("server", Verdict.OK, "a primary, and it takes writes")


def _rights(seen: Examination) -> Check:
    missing = {kind: [right for right in needs(kind) if right in seen.lacking] for kind in RoleKind}
    enough = [kind.value for kind, rights in missing.items() if not rights]
    if enough:
        rest = [kind.value for kind, rights in missing.items() if rights]
        other = f"; not of {', '.join(rest)}" if rest else ""
        return Check("rights", Verdict.OK, f"{seen.role} has those of {', '.join(enough)}{other}")
    nearest = min(missing, key=lambda kind: len(missing[kind]))
    return Check(
        "rights",
        Verdict.WRONG,
        f"{seen.role} has not those of any kind of process; for a {nearest} it lacks {named(missing[nearest])}",
        f"saga-fn migrate --grant {nearest}={seen.role}, with the user who owns the tables",
    )


def _clock(seen: Examination) -> Check:
    seconds = seen.apart.total_seconds()
    if abs(seen.apart) > CLOCKS_AGREE:
        which = "behind" if seconds > 0 else "ahead of"
        return Check(
            "clock",
            Verdict.WRONG,
            f"this machine's is {abs(seconds):.0f} s {which} the database's",
            "let NTP set both clocks",
        )
    return Check("clock", Verdict.OK, "this machine's and the database's agree")


def _listener(seen: Examination) -> Check:
    if seen.hears is None:
        return Check("listener", Verdict.NOTE, "a replica takes no LISTEN")
    if not seen.hears:
        return Check(
            "listener",
            Verdict.WRONG,
            "no notification comes back by this way, so a process hears of nothing at once",
            "give the orchestrator listen_dsn= around the pooler, or listen=False",
        )
    return Check("listener", Verdict.OK, "a notification comes back")


def _sizes(seen: Examination) -> Iterator[Check]:
    large = [each.name for each in seen.sizes if each.bytes >= _LARGE]
    total = sum(each.bytes for each in seen.sizes)
    biggest = sorted(seen.sizes, key=lambda each: each.bytes, reverse=True)[:3]
    told = ", ".join(f"{each.name} {in_bytes(each.bytes)}" for each in biggest)
    if seen.sizes:
        yield Check(
            "sizes",
            Verdict.NOTE if large else Verdict.OK,
            f"{in_bytes(total)} in all: {told}",
            f"{', '.join(large)}: give definitions a retention=, or saga-fn prune" if large else None,
        )


def _statistics(seen: Examination) -> Iterator[Check]:
    unknown = [each.name for each in seen.sizes if each.rows < 0 and each.bytes >= _WORTH_KNOWING]
    if unknown:
        mend = "run ANALYZE once: until then plans may be those of empty tables"
        yield Check("statistics", Verdict.NOTE, f"never analysed: {', '.join(unknown)}", mend)


def in_bytes(number: int) -> str:
    """A number of bytes for a person.

    >>> in_bytes(8192), in_bytes(3 * 2**30)
    ('8.0 KiB', '3.0 GiB')
    """
    size = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:  # noqa: PLR2004 - what the units count by
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def workers_of(processes: Sequence[WorkingProcess]) -> Check:
    """Whether a process works. One that was killed is known for a minute and a half."""
    if not processes:
        mend = "start a worker; a saga that is due waits for one"
        return Check("workers", Verdict.NOTE, "no process that was seen lately works", mend)
    latest = max(processes, key=lambda each: each.seen_at)
    return Check("workers", Verdict.OK, f"{len(processes)}, {latest.process} seen last, at {text_of(latest.seen_at)}")


def due_of(stats: SagaStats) -> Iterator[Check]:
    """The sagas that wait for a worker, and are no finding yet: also those of a process that was killed, once its lease is over."""
    for each in stats.definitions:
        if each.oldest_due is not None and stats.at - each.oldest_due > _SHORTLY and not each.overdue.sagas:
            yield Check(
                "due",
                Verdict.NOTE,
                f"a saga of {each.saga_name} v{each.version} is due since {text_of(each.oldest_due)}, and no process has taken it",
                "its process may be gone, or the workers have no free slot: saga-fn list --active, then saga-fn explain ID",
            )


def pauses_of(pauses: Iterable[Pause], attention: Iterable[Attention]) -> Iterator[Check]:
    """The pauses of names and of everything that are no finding yet, because they have not lasted for an hour."""
    named = {each.saga_name for each in attention if each.kind is AttentionKind.PAUSED and not each.sagas}
    for pause in pauses:
        if pause.saga_name not in named:
            yield Check(AttentionKind.PAUSED.value, Verdict.NOTE, pause_in_words(pause), IN_COMMANDS.resume(pause))


MENDS: Final[Mapping[AttentionKind, str]] = {
    AttentionKind.PARKED: "saga-fn list --waits parked, then saga-fn explain ID",
    AttentionKind.UNOWNED: "deploy a worker that registers this version",
    AttentionKind.MISFIT: "saga-fn explain ID; deploy a definition that fits, beside the other one or in its place",
    AttentionKind.OVERDUE: "start a worker, or raise concurrency=",
    AttentionKind.FAILED: "saga-fn list --status FAILED --no-acknowledged, then saga-fn explain ID; acknowledge says that it was seen",
    AttentionKind.STILL: "saga-fn explain ID; give the step a timeout=",
    AttentionKind.CLOCK: "let NTP set both clocks",
    AttentionKind.PAUSED: "saga-fn pauses; saga-fn resume NAME, or saga-fn resume --all",
    AttentionKind.SLOTS_HELD: "give the steps a timeout=, or raise concurrency=",
    AttentionKind.SUSPECTS: "look for crashes of the processes that ran them",
    AttentionKind.DEAF: "give the orchestrator listen_dsn= around the pooler, or listen=False",
    AttentionKind.RIGHTS: "saga-fn migrate --grant KIND=ROLE",
    AttentionKind.JOURNAL_MONTHS: "saga-fn migrate --journal-partitions",
    AttentionKind.DEAD_MESSAGES: "saga-fn outgoing list, then saga-fn outgoing redrive ID or saga-fn outgoing discard ID",
    AttentionKind.MESSAGES_WAIT: "look at the broker; give a worker publishers= for the topic",
    AttentionKind.PUBLISHER: "let the publisher, or the hook, end when it is cancelled; restart the process",
    AttentionKind.CONSUMER: "take the message out of the queue that the broker's client library cannot read",
    AttentionKind.RETENTION: "mend the archive; saga-fn prune tries again",
}
_TOLD_BEFORE: Final = (AttentionKind.CLOCK, AttentionKind.DEAF, AttentionKind.RIGHTS)
"""They are of a process, and were checked here already."""


def findings_of(attention: tuple[Attention, ...], problems: tuple[str, ...] = ()) -> Iterator[Check]:
    """The findings that need a person, as checks. With problems of the look itself, it is not known whether there are others."""
    for problem in problems:
        mend = "ask doctor again; if it stays so, look at the load of the database"
        yield Check("sagas", Verdict.WRONG, f"it is not known whether one needs a person: {in_commands(problem)}", mend)
    for each in attention:
        if each.kind in _TOLD_BEFORE:
            continue
        ids = f" ({', '.join(map(str, each.saga_ids))})" if each.saga_ids else ""
        yield Check(each.kind.value, Verdict.WRONG, f"{each.text}{ids}", MENDS.get(each.kind))
    if not problems and not [each for each in attention if each.kind not in _TOLD_BEFORE]:
        yield Check("sagas", Verdict.OK, "none needs a person")
