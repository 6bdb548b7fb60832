"""The connection of asyncpg's beneath a session of SQLAlchemy's, with its transaction begun."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

from saga_fn.errors import SagaError, shown
from saga_fn.store.connection import CallerConnection

_BEGINS: Final = "SELECT 1"
"""The dialect sends BEGIN with the first statement that goes through its own cursor, and not before."""


async def connection_of(
    session: AsyncSession | AsyncConnection | async_scoped_session[Any], /
) -> CallerConnection:  # Any: a class of sessions of the service's own
    """Give the asyncpg connection of a session, with the session's transaction really begun.

    SQLAlchemy sends BEGIN with the first statement of a transaction. A start on a connection that has had none would be committed by
    itself. So one statement goes through the session first. Changes that the session has not flushed stay as they are.

    Args:
        session: An AsyncSession or an AsyncConnection of SQLAlchemy 2, over `postgresql+asyncpg`.

    Returns:
        The connection, for `connection=`. It is the session's: use it before the session's transaction ends.

    Raises:
        SagaError: It is neither, its driver is not asyncpg, it is in autocommit, or it cannot be used now.

    Example::

        async with session.begin():
            session.add(order)
            await orders.start(data, connection=await connection_of(session))
        await orchestrator.committed()
    """
    given: object = session
    try:
        connection: object = given
        if isinstance(given, AsyncSession | async_scoped_session):
            connection = await given.connection()
        if not isinstance(connection, AsyncConnection):
            raise SagaError(
                f"connection_of wants an AsyncSession or an AsyncConnection, not {type(given).__name__}",
                hint="async_sessionmaker(create_async_engine('postgresql+asyncpg://...'))() makes such a session",
            )
        driver = connection.dialect.driver
        if driver != "asyncpg":
            raise SagaError(
                f"the session's driver is {shown(driver)}, not asyncpg",
                hint="create_async_engine('postgresql+asyncpg://...'); for psycopg 3 see docs/your-transaction.md",
            )
        await connection.exec_driver_sql(_BEGINS)
        raw: CallerConnection | None = (await connection.get_raw_connection()).driver_connection
    except (SQLAlchemyError, OSError) as error:  # an OSError is asyncpg's, of a server that is away
        raise SagaError(
            f"the session given cannot be used now: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
            hint="roll it back, or open another one",
        ) from error
    if raw is None or not raw.is_in_transaction():
        raise SagaError(
            "the session is in autocommit: each of its statements is committed by itself",
            hint="use an engine, and a session, without isolation_level='AUTOCOMMIT'",
        )
    return raw
