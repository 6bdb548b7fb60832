"""Roles of a test's own: made with a password and no rights, and gone when it ends."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit

import asyncpg


@asynccontextmanager
async def role(dsn: str) -> AsyncGenerator[tuple[str, str]]:
    """The name of a role that may connect to the database, and a DSN with which it does."""
    name, password = f"saga_fn_test_{os.getpid()}_{secrets.token_hex(4)}", secrets.token_hex(8)
    await execute(dsn, f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    try:
        yield name, _as(dsn, name, password)
    finally:
        await execute(dsn, f"DROP OWNED BY {name}; DROP ROLE {name}")


async def execute(dsn: str, *statements: str) -> None:
    """Run statements as the superuser of the test's server."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def _as(dsn: str, name: str, password: str) -> str:
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(name)}:{quote(password)}@{host}").geturl()
