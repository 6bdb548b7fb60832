"""The store that a caller has chosen: one of its own, or PostgreSQL by a DSN or a pool."""

from __future__ import annotations

from saga_fn.arguments import check_is, check_whole
from saga_fn.errors import StoreError
from saga_fn.printable import a_type_of
from saga_fn.store.connection import Pool
from saga_fn.store.protocol import Store, is_store, lacking_in


def chosen_store(
    given: str | Pool | Store,
    *,
    schema: str,
    shards: int,
    pool_size: int,
    max_connections: int,
    transactional_connections: int,
    listen: bool,
    time_limit: float,
    statement_cache_size: int | None,
    listen_dsn: str | None,
    read_only: bool,
) -> Store:
    """The store itself, or one over PostgreSQL; the options are those of `SagaOrchestrator`.

    Raises StoreError for what is no store, no pool and no DSN, or for an option that does not go with it.
    """
    if is_store(given):
        return given
    if not isinstance(given, str) and hasattr(given, "claim_due"):
        raise StoreError(
            f"{a_type_of(given)} is no store: it lacks {', '.join(lacking_in(given))}",
            hint="saga_fn.store.Store says what each of its methods does",
        )
    check_whole("shards", shards, least=1, most=4096)
    check_whole("pool_size", pool_size, least=1)
    check_whole("max_connections", max_connections, least=1)
    check_whole("transactional_connections", transactional_connections, least=1)
    check_is(given, (str, Pool), "a DSN, a pool or a store", error=StoreError, hint='e.g. "postgresql://host/db"')
    if statement_cache_size is not None:
        check_whole("statement_cache_size", statement_cache_size, least=0)
        if not isinstance(given, str):
            raise StoreError(
                "statement_cache_size is for connections of the library's own",
                hint="create the pool with statement_cache_size=0 instead",
            )
    if listen_dsn is not None:
        check_is(listen_dsn, str, "listen_dsn= a DSN", error=StoreError, hint='e.g. "postgresql://host/db"')
    check_is(schema, str, "the schema's name", error=StoreError, hint='e.g. "saga_fn"')
    from saga_fn.store.postgres import PostgresStore  # late: it imports the driver, which is slow to import

    try:
        return PostgresStore(
            given,
            schema=schema,
            shards=shards,
            pool_size=pool_size,
            max_connections=max_connections,
            transactional_connections=transactional_connections,
            listen=listen,
            time_limit=time_limit,
            statement_cache_size=statement_cache_size,
            listen_dsn=listen_dsn,
            read_only=read_only,
        )
    except ValueError as error:
        raise StoreError(str(error).partition("\n")[0], hint=str(error).partition("HINT: ")[2] or None) from error
