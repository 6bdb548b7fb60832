"""The place that a preview names is the one that the driver goes to."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from saga_fn import StoreError
from saga_fn.cli.place import place_in_words


@pytest.mark.parametrize(
    "dsn, environment, place",
    [
        ("postgresql://ann:secret@db/shop?sslmode=require", {}, "db:5432/shop"),
        ("postgresql:///shop?host=prod-db", {}, "prod-db:5432/shop"),
        ("postgresql:///shop?host=prod-db&port=7000", {}, "prod-db:7000/shop"),
        ("postgresql://db/?dbname=shop", {}, "db:5432/shop"),
        ("postgresql:///?dbname=shop&host=db", {}, "db:5432/shop"),
        ("host=db dbname=shop password=secret", {}, "db:5432/shop"),
        ("postgresql://a,b:7000/shop", {}, "a:5432,b:7000/shop"),
        ("postgresql:///shop?host=/run/db", {}, "/run/db/.s.PGSQL.5432/shop"),
        ("postgresql:///shop", {}, "this host:5432/shop"),
        ("postgresql:///shop", {"PGHOST": "prod-db", "PGPORT": "7000"}, "prod-db:7000/shop"),
        ("postgresql://db", {"PGDATABASE": "prod"}, "db:5432/prod"),
        ("postgresql://db/", {"PGDATABASE": "prod"}, "db:5432/prod"),
        ("postgresql://db/shop", {"PGHOST": "other", "PGDATABASE": "other"}, "db:5432/shop"),
        ("postgresql://ann@db", {}, "db:5432/ann"),
    ],
)
def test_the_place_is_the_one_that_the_driver_goes_to(
    dsn: str, environment: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE", "PGSERVICEFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert place_in_words(dsn) == place


def test_a_service_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "services").write_text("[shop]\nhost=prod-db\ndbname=prod\nport=7000\n", "utf-8")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    assert place_in_words("postgresql://?service=shop") == "prod-db:7000/prod"


async def test_a_database_that_the_query_names_is_the_one_that_is_opened(dsn: str) -> None:
    head, _, name = dsn.partition("?")[0].rpartition("/")
    query = dsn.partition("?")[2]
    other = f"{head}/?dbname={name}{'&' if query else ''}{query}"
    connection = await asyncpg.connect(dsn)
    try:
        here = await connection.fetchval("SELECT current_database()")
    finally:
        await connection.close()
    assert place_in_words(other) == place_in_words(dsn)
    assert place_in_words(other).endswith(f"/{here}")


def test_a_place_that_cannot_be_read_is_told() -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        place_in_words("host=a,b,c port=1,2 dbname=shop")
