"""One numbered change of the schema, as data."""

from __future__ import annotations

import attrs


@attrs.frozen
class Migration:
    """A change of the schema; the generated `_migrations` holds all of them."""

    number: int
    """From 1 on, without gaps."""
    name: str
    breaking: bool
    """A library that does not know this migration must not run against the schema (`--! breaking`)."""
    concurrently: bool
    """Its statements run one by one outside a transaction, and can be repeated (`--! concurrently`)."""
    fingerprint: str
    """The fingerprint of its statements. A schema that was migrated by other ones under the same number is another schema."""
    record: str
    """Inserts the version row. It comes first: while it is not committed, it is the lock on this migration."""
    statements: tuple[str, ...]
