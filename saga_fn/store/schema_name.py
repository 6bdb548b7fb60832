"""The name of the schema that holds a store's tables: the user's choice, checked before it becomes part of SQL."""

from __future__ import annotations

import re
from typing import Final

from saga_fn.errors import (
    StoreError,
    is_a,
    shown,
)

SCHEMA_MARKER: Final = "{schema}"
"""Stands for the quoted schema in the generated SQL."""

_ALLOWED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LONGEST: Final = 63


class SchemaNameError(StoreError, ValueError):
    """The value given cannot be the name of a schema of ours."""


def validate_schema_name(name: str) -> str:
    """Give `name` back if it can be a schema of ours, else raise SchemaNameError with what to change.

    Allowed are 1 to 63 ASCII letters, digits and underscores, not beginning with a digit or with `pg_`. The name is
    always quoted, so capitals stay capitals and keywords such as `order` are fine.

        >>> validate_schema_name("orders_saga")
        'orders_saga'
    """
    if not is_a(name, str):
        problem = "is no string"
    elif len(name) > _LONGEST:
        problem = f"has {len(name)} characters and PostgreSQL keeps only {_LONGEST}"
    elif not _ALLOWED.fullmatch(name):
        problem = "has a character that is not allowed"
    elif name.lower().startswith("pg_") or name.lower() == "information_schema":
        problem = "is reserved by PostgreSQL"
    else:
        return name
    raise SchemaNameError(
        f"schema name {shown(name)} {problem}.",
        hint="use ASCII letters, digits and underscores, "
        "beginning with a letter or an underscore but not with pg_, such as 'saga_fn'.",
    )


def with_schema(sql: str, schema: str) -> str:
    """Put a schema's validated and quoted name in place of each marker of a generated statement."""
    return sql.replace(SCHEMA_MARKER, f'"{validate_schema_name(schema)}"')
