"""`saga-fn doctor`: each fault has its line and its mend."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import attrs
import msgspec
import pytest

from saga_fn import AttentionKind, StoreError
from saga_fn.cli.doctor import MENDS, Check, Verdict, checks_of, due_of, findings_of, in_bytes, parts_of, workers_of
from saga_fn.errors import SchemaMissingError
from saga_fn.snapshot import Attention
from saga_fn.stats import SagaStats, WorkingProcess
from saga_fn.store.examination import Examination, TableSize, examine
from saga_fn.store.rights import Right, RoleKind, needs
from tests.cli.conftest import Cli, Seeded
from tests.cli.test_answers import told
from tests.cli.test_texts import NONE, NOON, STATS
from tests.store.pooler import pooled
from tests.support.roles import execute, role

WELL = Examination(
    server="18.1",
    role="ann",
    database="shop",
    is_replica=False,
    is_read_only=False,
    answers_in=timedelta(milliseconds=1),
    apart=timedelta(0),
    is_pooled=False,
    hears=True,
    schema_error=None,
    shards=1,
    lacking=frozenset(),
    sizes=(TableSize("saga", 8192, 10), TableSize("saga_journal", 3 * 2**20, 7)),
)


def check(seen: Examination, subject: str) -> Check:
    [found] = [each for each in checks_of(seen, schema="saga_fn", where="db/shop") if each.subject == subject]
    return found


def test_a_healthy_database_has_nothing_to_mend() -> None:
    checks = list(checks_of(WELL, schema="saga_fn", where="db/shop"))
    assert {each.verdict for each in checks} == {Verdict.OK}
    assert [each.subject for each in checks] == [
        *("connection", "versions", "schema", "server", "rights", "pooler", "clock", "listener", "sizes")
    ]
    text = told(None, *parts_of(checks))
    assert "ok  connection  db/shop, as ann; it answers in 1.0 ms" in text
    assert text.endswith("Nothing has to be mended.")


@pytest.mark.parametrize(
    "changes, subject, verdict, mend",
    [
        ({"answers_in": timedelta(seconds=1)}, "connection", Verdict.NOTE, "near the database"),
        (
            {"schema_error": SchemaMissingError("saga_fn", found=0, needed=1, hint="")},
            "schema",
            Verdict.WRONG,
            "saga-fn migrate",
        ),
        ({"schema_error": StoreError("it differs", hint="drop it")}, "schema", Verdict.WRONG, "drop it"),
        ({"is_replica": True}, "server", Verdict.NOTE, "primary"),
        ({"is_read_only": True}, "server", Verdict.WRONG, "default_transaction_read_only"),
        ({"lacking": frozenset({Right("saga", "SELECT")})}, "rights", Verdict.WRONG, "saga-fn migrate --grant"),
        ({"is_pooled": True}, "pooler", Verdict.NOTE, "listen_dsn="),
        ({"apart": timedelta(seconds=9)}, "clock", Verdict.WRONG, "NTP"),
        ({"apart": timedelta(seconds=-9)}, "clock", Verdict.WRONG, "NTP"),
        ({"hears": False}, "listener", Verdict.WRONG, "listen_dsn="),
        ({"sizes": (TableSize("saga_journal", 2**35, 1),)}, "sizes", Verdict.NOTE, "retention="),
        ({"sizes": (TableSize("saga", 2**21, -1),)}, "statistics", Verdict.NOTE, "ANALYZE"),
    ],
)
def test_each_fault_has_its_mend(changes: dict[str, object], subject: str, verdict: Verdict, mend: str) -> None:
    found = check(attrs.evolve(WELL, **changes), subject)  # type: ignore[arg-type]  # each of its own type
    assert found.verdict is verdict
    assert mend in (found.mend or "")


def test_a_role_is_told_what_it_may_do() -> None:
    lacking = frozenset(needs(RoleKind.PRUNER)) - frozenset(needs(RoleKind.VIEWER))
    assert "viewer" in check(attrs.evolve(WELL, lacking=lacking), "rights").found
    assert "not of" in check(attrs.evolve(WELL, lacking=lacking), "rights").found


def test_a_mend_that_two_findings_have_is_printed_once() -> None:
    found = list(findings_of((Attention(AttentionKind.PARKED, "one"), Attention(AttentionKind.PARKED, "another"))))
    assert len(found) == 2  # each stands in the table
    assert told(None, *parts_of(found)).count(MENDS[AttentionKind.PARKED]) == 1


def test_each_finding_has_its_mend() -> None:
    assert {*MENDS} == {*AttentionKind}
    found = list(findings_of(tuple(Attention(kind, "text") for kind in AttentionKind)))
    assert all(each.mend for each in found)
    assert {each.verdict for each in found} == {Verdict.WRONG}
    assert [each.verdict for each in findings_of(())] == [Verdict.OK]


@pytest.mark.parametrize("number, text", [(0, "0.0 B"), (1024, "1.0 KiB"), (2**50, "1024.0 TiB")])
def test_sizes_are_told_in_their_unit(number: int, text: str) -> None:
    assert in_bytes(number) == text


async def test_a_database_is_examined(cli: Cli, any_dsn: str) -> None:
    seen = await examine(any_dsn, schema="saga_fn")
    assert (seen.hears, seen.is_pooled, seen.schema_error, seen.shards) == (True, False, None, 1)
    assert abs(seen.apart) < timedelta(seconds=5)
    assert {each.name for each in seen.sizes} >= {"saga", "saga_journal", "setting"}
    assert sum(each.bytes for each in seen.sizes) > 0
    told = await cli("doctor", "--dsn", any_dsn)
    assert (told.code, told.err) == (0, "")


async def test_sizes_count_partitions(empty_dsn: str, cli: Cli) -> None:
    await cli("migrate", "--journal-partitions", "--dsn", empty_dsn)
    seen = await examine(empty_dsn, schema="saga_fn")
    [journal] = [each for each in seen.sizes if each.name.startswith("saga_journal")]
    assert journal.bytes > 0


async def test_what_needs_a_person_is_found(cli: Cli, seeded: Seeded) -> None:
    told = await cli("doctor", "--json", "--dsn", seeded.dsn)
    assert told.code == 1
    [wrong] = [each for each in told.data if each["verdict"] == "wrong"]
    assert (wrong["subject"], wrong["mend"]) == ("parked", "saga-fn list --waits parked, then saga-fn explain ID")


async def test_a_role_without_rights_is_told_so(cli: Cli, dsn: str) -> None:
    async with role(dsn) as (name, own):
        await execute(
            dsn,
            f"GRANT USAGE ON SCHEMA saga_fn TO {name}",
            f"GRANT SELECT ON saga_fn.migration, saga_fn.setting TO {name}",
        )
        told = await cli("doctor", "--dsn", own)
    assert told.code == 1
    assert "--grant" in told.out


async def test_it_says_whether_a_worker_is_there(cli: Cli, seeded: Seeded) -> None:
    told = await cli("doctor", "--dsn", seeded.dsn)
    assert "note   workers     no process that was seen lately works" in told.out
    assert "workers: start a worker" in told.out
    seen = WorkingProcess(UUID(int=1), "shop-7f4c:41", datetime(2026, 11, 29, 12, tzinfo=UTC), (("order", 1),))
    assert workers_of([seen]).found == "1, shop-7f4c:41 seen last, at 2026-11-29 12:00:00 UTC"


async def test_a_saga_that_nobody_takes_is_noted_before_it_is_a_finding(cli: Cli, seeded: Seeded) -> None:
    assert "note   due" not in (await cli("doctor", "--dsn", seeded.dsn)).out
    await execute(seeded.dsn, "UPDATE saga_fn.saga SET due_at = now() - interval '15 seconds' WHERE name = 'billing'")
    assert "note   due" in (await cli("doctor", "--dsn", seeded.dsn)).out
    waits = msgspec.structs.replace(STATS, overdue=NONE)
    [found] = due_of(SagaStats(NOON + timedelta(seconds=20), (waits,)))
    assert (found.subject, found.verdict) == ("due", Verdict.NOTE)
    assert found.found == "a saga of shipping v2 is due since 2026-11-29 12:00:00 UTC, and no process has taken it"
    assert not [*due_of(SagaStats(NOON + timedelta(seconds=2), (waits,)))], "a worker may take it yet"
    assert not [*due_of(SagaStats(NOON + timedelta(seconds=90), (STATS,)))], "it is a finding of health by then"


async def test_unowned_versions_are_found(cli: Cli, seeded: Seeded) -> None:
    await execute(seeded.dsn, "UPDATE saga_fn.saga SET due_at = now() - interval '1 hour' WHERE name = 'billing'")
    told = await cli("doctor", "--dsn", seeded.dsn)
    assert "no process works on this version" in told.out
    assert "deploy a worker that registers this version" in told.out


async def test_a_pooler_is_found_and_everything_works_through_it(cli: Cli, seeded: Seeded) -> None:
    async with pooled(seeded.dsn) as given:
        told = await cli("doctor", "--dsn", given)
        found = {line.split()[1]: line.split()[0] for line in told.out.splitlines() if len(line.split()) > 2}
        assert (found["pooler"], found["listener"]) == ("note", "wrong")
        assert "listen_dsn=" in told.out
        for command in (("list",), ("explain", seeded.retrying), ("stats",), ("verify",), ("migrate", "--dry-run")):
            assert (await cli(*command, "--dsn", given)).code == 0
        assert (await cli("cancel", seeded.retrying, "--yes", "--dsn", given)).code == 0


async def test_nobody_is_told_that_all_is_well_when_the_look_has_failed(
    cli: Cli, seeded: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saga_fn.engine.health.HEALTH_LIMIT", 0.0)
    told = await cli("doctor", "--dsn", seeded.dsn)
    assert told.code == 1
    assert "it is not known whether one needs a person" in told.out
    assert "none needs a person" not in told.out
    watched = await cli("watch", "--times", "1", "--dsn", seeded.dsn)
    assert "not known" in watched.out
    assert "does not answer" in watched.out
    assert "Nothing needs a person" not in watched.out
    [line] = (await cli("watch", "--times", "1", "--json", "--dsn", seeded.dsn)).out.splitlines()
    assert "does not answer" in json.loads(line)["problems"][0]


async def test_a_role_without_any_right_is_told_how_to_get_them(cli: Cli, dsn: str) -> None:
    async with role(dsn) as (_, own):
        told = await cli("doctor", "--dsn", own)
    assert told.code == 1
    assert "--grant" in told.out
