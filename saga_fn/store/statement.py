"""The form of every generated statement: a text with the schema in place."""

from __future__ import annotations

from typing import ClassVar, Final

from saga_fn.store.schema_name import with_schema


class Statement:
    """One statement for one schema. Each generated one has a `run` with its parameters.

    Args:
        schema: The schema of the store's tables.

    Raises:
        ValueError: `schema` cannot be the name of a schema.
    """

    __slots__ = ("sql",)

    TEXT: ClassVar[str]
    """With a marker where the schema belongs."""

    def __init__(self, schema: str) -> None:
        self.sql: Final = with_schema(self.TEXT, schema)
