"""The place where a command works: the database, and the definitions that are known."""

from __future__ import annotations

import importlib
import inspect
import os
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, redirect_stdout
from getpass import getuser
from typing import Annotated, Final, cast

import attrs
from cyclopts import Parameter

from saga_fn.admin import SagaAdmin
from saga_fn.cli.failures import BadInputError
from saga_fn.engine.registry import Registered
from saga_fn.errors import SagaError, shown
from saga_fn.orchestrator import SagaOrchestrator
from saga_fn.printable import a_type_of, message_of, name_of_type
from saga_fn.store.dsn import place_of
from saga_fn.store.migrate import settled_shards
from saga_fn.store.postgres import PostgresStore

DEFAULT_SCHEMA: Final = "saga_fn"
_DSN: Final = "The database. Without it SAGA_FN_DSN, or the orchestrator's own."
_APP: Final = "module:orchestrator, which knows the definitions, or SAGA_FN_APP. It may be in this folder."
_NO_DSN: Final = (
    "give --dsn postgresql://user@host/database, set SAGA_FN_DSN, or name an orchestrator: --app module:name"
)

_OWN: Final = (
    "leave --dsn, SAGA_FN_DSN and --schema out, or let the module make its orchestrator with them: "
    'SagaOrchestrator(os.environ["SAGA_FN_DSN"])'
)


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Settings:
    """The options that every command takes, before its name or after it."""

    dsn: Annotated[str | None, Parameter(env_var="SAGA_FN_DSN", show_env_var=False, help=_DSN)] = None
    """The database."""
    schema: Annotated[
        str | None, Parameter(help="The schema of the tables. Without it the orchestrator's, or saga_fn.")
    ] = None
    """The schema."""
    app: Annotated[str | None, Parameter(env_var="SAGA_FN_APP", show_env_var=False, help=_APP)] = None
    """The orchestrator whose definitions are known."""
    json: Annotated[bool, Parameter(negative="", show_default=False, help="Answer with JSON, one line an answer.")] = (
        False
    )
    """Whether answers are JSON."""
    debug: Annotated[bool, Parameter(negative="", show_default=False, help="Show the traceback of a fault.")] = False
    """Whether tracebacks are shown."""


@attrs.frozen
class Place:
    """An open way to the sagas."""

    orchestrator: SagaOrchestrator
    """It works on nothing."""
    admin: SagaAdmin
    """It asks in the operator's name."""
    where: str
    """The database in words, without its password."""

    @property
    def known(self) -> list[Registered]:
        """The definitions that are known here."""
        return self.orchestrator.engine.registry.all


def orchestrator_of(app: str) -> SagaOrchestrator:
    """The orchestrator that `module:name` names, or that a function of that name makes. Raises BadInputError."""
    module_name, colon, path = app.partition(":")
    if not colon or not module_name or not path:
        raise BadInputError(
            f"{shown(app)} names no orchestrator", hint="write module:name, such as shop.main:orchestrator"
        )
    here = os.getcwd()  # noqa: PTH109 - a text, as sys.path has it
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with redirect_stdout(sys.stderr):  # stdout is for answers
            found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise BadInputError(
                f"there is no module {shown(module_name)}",
                hint="run it in the folder that has the module, or install it",
            ) from error
        raise _not_imported(module_name, error) from error
    except SagaError:
        raise
    except Exception as error:
        raise _not_imported(module_name, error) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise BadInputError(f"module {shown(module_name)} has no {shown(path)}", hint=_known_in(module_name))
        found = getattr(found, name)
    if not isinstance(found, SagaOrchestrator) and callable(found):
        found = _made_by(cast("Callable[[], object]", found), app)
        if inspect.iscoroutine(found):
            found.close()  # else Python warns that it was never awaited
    if not isinstance(found, SagaOrchestrator):
        raise BadInputError(f"{shown(app)} is {a_type_of(found)}, no SagaOrchestrator", hint=_known_in(module_name))
    return found


def _made_by(make: Callable[[], object], app: str) -> object:
    try:
        with redirect_stdout(sys.stderr):
            return make()
    except SagaError:
        raise
    except Exception as error:
        raise BadInputError(
            f"{shown(app)} raises {name_of_type(error)}: {message_of(error)}",
            hint="name an orchestrator, or a function that makes it",
        ) from error


def _not_imported(module: str, error: Exception) -> BadInputError:
    return BadInputError(
        f"module {shown(module)} cannot be imported: {name_of_type(error)}: {message_of(error)}",
        hint="--debug shows where",
    )


def _known_in(module: str) -> str:
    inside = vars(sys.modules[module])
    names = [name for name, value in inside.items() if isinstance(value, SagaOrchestrator)]
    return f"its orchestrators are {', '.join(names)}" if names else "it has no orchestrator: name another module"


def actor_of(by: str | None) -> str:
    """The operator's name: the one that was given, or user@host of this machine."""
    if by is not None:
        return by
    try:
        user = getuser()
    except (OSError, KeyError):  # a container may know no name for its user
        user = "unknown"
    return "".join(each for each in f"{user}@{socket.gethostname()}" if each.isprintable())[:255]


@asynccontextmanager
async def opened(
    settings: Settings, *, writes: bool = False, by: str | None = None, listen: bool = False
) -> AsyncGenerator[Place]:
    """Open the way that the settings name, and close it. Without `writes` a viewer's rights and a replica will do."""
    orchestrator, where = await operators_own(settings, writes=writes, listen=listen)
    async with orchestrator:
        yield Place(orchestrator, SagaAdmin(orchestrator, actor=actor_of(by)), where)


async def operators_own(settings: Settings, *, writes: bool, listen: bool) -> tuple[SagaOrchestrator, str]:
    """An orchestrator that works on nothing, with the definitions of the one that is named, and its database in words."""
    named = None if settings.app is None else orchestrator_of(settings.app)
    dsn = dsn_of(settings, named)
    schema = schema_of(settings, named)
    shards = await settled_shards(dsn, schema=schema) or 1
    own = SagaOrchestrator(
        dsn,
        schema=schema,
        shards=shards,
        concurrency=0,
        read_only=not writes,
        listen=listen,
        pool_size=2,
        statement_cache_size=None if listen else 0,  # what is asked once goes through every pooler so
    )
    for each in () if named is None else named.engine.registry.all:
        own.register(each.name, each.definition, version=each.version)
    return own, place_in_words(dsn)


def schema_of(settings: Settings, named: SagaOrchestrator | None) -> str:
    """The schema that the settings name: theirs, the orchestrator's, or the usual one."""
    store = None if named is None else named.engine.store
    return settings.schema or (store.schema if isinstance(store, PostgresStore) else DEFAULT_SCHEMA)


def dsn_of(settings: Settings, named: SagaOrchestrator | None) -> str:
    """The DSN that the settings name. Raises BadInputError if they name none."""
    if settings.dsn is not None:
        return settings.dsn
    if named is None:
        raise BadInputError("no database is named", hint=_NO_DSN)
    store = named.engine.store
    if isinstance(store, PostgresStore) and isinstance(store.source, str):
        return store.source
    kind = "is made with a pool of its own" if isinstance(store, PostgresStore) else "keeps its sagas in no database"
    raise BadInputError(f"{shown(settings.app)} {kind}", hint="give --dsn beside it")


def check_own_place(settings: Settings, named: SagaOrchestrator, app: str) -> None:
    """Raise BadInputError if the settings name another database or schema than the orchestrator's own: it works in its own alone.

    Where it was made with a pool, its database cannot be told, and none is compared.
    """
    store = named.engine.store
    if not isinstance(store, PostgresStore):
        if settings.dsn is not None:
            raise BadInputError(
                f"{shown(app)} keeps its sagas in no database, and {place_in_words(settings.dsn)} is named", hint=_OWN
            )
        return
    if isinstance(store.source, str) and settings.dsn not in (None, store.source):
        own, other = place_in_words(store.source), place_in_words(settings.dsn or "")
        raise BadInputError(f"{shown(app)} works in its own database, {own}, and {other} is named", hint=_OWN)
    if settings.schema not in (None, store.schema):
        raise BadInputError(
            f"{shown(app)} works in its own schema, {shown(store.schema)}, and {shown(settings.schema)} is named",
            hint=_OWN,
        )


def place_in_words(dsn: str) -> str:
    """The hosts and the database that a DSN leads to: its password and its options are left out.

    >>> place_in_words("postgresql://ann:secret@db:5432/shop?sslmode=require")
    'db:5432/shop'
    """
    hosts, database = place_of(dsn)
    return f"{hosts}/{database}"
