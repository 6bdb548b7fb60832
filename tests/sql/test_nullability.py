"""What the generator takes for never null, and that it takes nothing else for it."""

from __future__ import annotations

import pglast
import pytest

from saga_fn._tools.sql.nullability import Nullability

JUDGE = Nullability("s", frozenset({("job", "note")}))
"""Of a table whose one nullable column is `note`."""

NEVER_NULL = [
    "SELECT j.id AS a FROM s.job AS j",
    "SELECT id AS a FROM s.job",
    "SELECT 1 AS a",
    "SELECT 'x'::text AS a",
    "SELECT now() AS a",
    "SELECT count(*)::integer AS a FROM s.job AS j",
    "SELECT EXISTS (SELECT 1) AS a",
    "SELECT NOT EXISTS (SELECT 1) AND j.note IS NULL AS a FROM s.job AS j",
    "SELECT coalesce(j.note, '') AS a FROM s.job AS j",
    "WITH b AS (SELECT j.id AS c FROM s.job AS j) SELECT b.c AS a FROM b",
    "WITH b (c) AS (SELECT j.id FROM s.job AS j) SELECT b.c AS a FROM b",
    "WITH b AS (UPDATE s.job AS j SET note = '' RETURNING j.id) SELECT b.id AS a FROM b",
    "WITH RECURSIVE b AS (SELECT 1 AS c UNION ALL SELECT b.c FROM b) SELECT b.c AS a FROM b",
    "SELECT b.c AS a FROM s.job AS j CROSS JOIN LATERAL (SELECT k.id AS c FROM s.job AS k) AS b",
    "SELECT j.id AS a FROM s.job AS j LEFT JOIN s.job AS k ON k.id = j.id",
    "SELECT j.id AS a FROM s.job AS j UNION ALL SELECT 1 AS a",
    "INSERT INTO s.job AS j (id) VALUES (1) RETURNING j.id AS a",
    "DELETE FROM s.job AS j USING s.job AS k WHERE k.id = j.id RETURNING k.id AS a",
]

IN_DOUBT = [
    "SELECT b.c AS a FROM s.job AS j CROSS JOIN LATERAL (SELECT j.id AS c) AS b",
    "SELECT j.note AS a FROM s.job AS j",
    "SELECT min(j.id) AS a FROM s.job AS j",
    "SELECT (SELECT j.id FROM s.job AS j) AS a",
    "SELECT NULL AS a",
    "SELECT $1::text AS a",
    "SELECT j.id + 1 AS a FROM s.job AS j",
    "SELECT CASE WHEN j.id = 1 THEN 1 END AS a FROM s.job AS j",
    "SELECT coalesce(j.note, $1::text) AS a FROM s.job AS j",
    "SELECT k.id AS a FROM s.job AS j LEFT JOIN s.job AS k ON k.id = j.id",
    "SELECT j.id AS a FROM s.job AS j RIGHT JOIN s.job AS k ON k.id = j.id",
    "SELECT j.id AS a FROM s.job AS j FULL JOIN s.job AS k ON k.id = j.id",
    "SELECT k.id AS a FROM s.job AS j LEFT JOIN (s.job AS k CROSS JOIN s.job AS m) ON k.id = j.id",
    "SELECT w.x AS a FROM unnest($1::integer[]) AS w (x)",
    "WITH b AS (SELECT max(j.id) AS c FROM s.job AS j) SELECT b.c AS a FROM b",
    "WITH RECURSIVE b AS (SELECT 1 AS c UNION ALL SELECT b.c + 1 FROM b) SELECT b.c AS a FROM b",
    "SELECT j.id AS a FROM s.job AS j UNION ALL SELECT j.note FROM s.job AS j",
    "SELECT o.id AS a FROM other.job AS o",
    "SELECT id AS a FROM s.job AS j CROSS JOIN s.job AS k",
    "UPDATE s.job AS j SET note = 'x' RETURNING j.note AS a",
]


@pytest.mark.parametrize("sql", NEVER_NULL)
def test_what_always_has_a_value_need_not_be_declared(sql: str) -> None:
    assert JUDGE.in_doubt(pglast.parse_sql(sql)[0].stmt) == frozenset()


@pytest.mark.parametrize("sql", IN_DOUBT)
def test_everything_else_is_in_doubt(sql: str) -> None:
    assert JUDGE.in_doubt(pglast.parse_sql(sql)[0].stmt) == {"a"}
