"""SQLAlchemy's sessions and connections, as `start`, `start_many` and `send` take them. It needs `saga-fn[sqlalchemy]`.

::

    from saga_fn.sqlalchemy import connection_of

    async with session.begin():
        session.add(order)
        await orders.start(data, connection=await connection_of(session))
    await orchestrator.committed()
"""

from saga_fn.extras import missing

try:
    from sqlalchemy.ext import asyncio as _asyncio
except ImportError as _error:
    raise missing("connection_of needs", "sqlalchemy", _error) from _error

from saga_fn.sqlalchemy.connections import connection_of

__all__ = ["connection_of"]

del missing, _asyncio
