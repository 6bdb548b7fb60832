# type: ignore  # noqa: PGH003 - every case is a mistake that the checkers refuse; here it is made at run time
"""Transactional steps that cannot be, and what the refusal advises; and what the core is told of those that can."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga_fn import (
    NOT_DONE,
    ContextStep,
    Done,
    NotDone,
    SagaBuilder,
    StepContext,
    TransactionalContext,
    TransactionalStep,
    step,
)
from saga_fn.core.plan import OnUnknown
from tests.definition.refusal import Cases, each_of, refused
from tests.definition.shop import Reserved, ReserveInput, release

SHORT = timedelta(seconds=5)


async def book(inp: ReserveInput, ctx: TransactionalContext) -> Reserved:
    return Reserved(inp.order_id)


async def plain(inp: ReserveInput) -> Reserved:
    return Reserved(inp.order_id)


async def with_context(inp: ReserveInput, ctx: StepContext) -> Reserved:
    return Reserved(inp.order_id)


async def unbook(inp: ReserveInput, out: Reserved, ctx: TransactionalContext) -> None: ...


async def find(inp: ReserveInput) -> Done[Reserved] | NotDone:
    return NOT_DONE


async def find_within(inp: ReserveInput, ctx: TransactionalContext) -> Done[Reserved] | NotDone:
    return NOT_DONE


class Book(TransactionalStep[ReserveInput, Reserved]):
    async def execute(self, inp: ReserveInput, ctx: TransactionalContext) -> Reserved:
        return Reserved(inp.order_id)


class Doubted(Book):
    async def probe(self, inp: ReserveInput, ctx: TransactionalContext) -> Done[Reserved] | NotDone:
        return NOT_DONE


class Plain(ContextStep[ReserveInput, Reserved]):
    async def execute(self, inp: ReserveInput, ctx: StepContext) -> Reserved:
        return Reserved(inp.order_id)


class Disguised(ContextStep[ReserveInput, Reserved]):
    async def execute(self, inp: ReserveInput, ctx: TransactionalContext) -> Reserved:
        return Reserved(inp.order_id)


def wired(given, **options):
    builder = SagaBuilder(ReserveInput)
    builder.add_step(given, depends_on=builder.initial, **options)
    return builder.build()


def beside(**options):
    builder = SagaBuilder(ReserveInput, order="graph")
    builder.add_step(step(book, transactional=True), depends_on=builder.initial, timeout=SHORT, **options)
    builder.add_step(step(plain), depends_on=builder.initial)
    return builder.build()


def each(concurrency):
    builder = SagaBuilder(ReserveInput)
    builder.add_step(
        step(book, transactional=True).each(concurrency=concurrency),
        input_map=lambda ctx: [ctx.initial_data],
        isolation="serializable",
        timeout=SHORT,
    )
    return builder.build()


CASES: Cases = [
    ("a context without a transaction", lambda: step(book), "is not transactional", "transactional=True"),
    ("no context", lambda: step(plain, transactional=True), "does not take the connection", "TransactionalContext"),
    (
        "a plain context",
        lambda: step(with_context, transactional=True),
        "does not take the connection",
        "TransactionalContext",
    ),
    ("no flag", lambda: step(book, transactional=1), "must be True or False", ""),
    ("a probe", lambda: step(book, transactional=True, probe=find), "has probe=", "leave probe= out"),
    (
        "a way to settle it",
        lambda: step(book, transactional=True, on_unknown="repeat"),
        "has on_unknown=",
        "leave on_unknown= out",
    ),
    (
        "exceptions that leave it open",
        lambda: step(book, transactional=True, unknown_on=KeyError),
        "has unknown_on=",
        "leave unknown_on= out",
    ),
    (
        "a way to settle it, where it is wired",
        lambda: wired(step(book, transactional=True), on_unknown="park"),
        "has on_unknown=",
        "leave on_unknown= out",
    ),
    ("a probe of a class", lambda: step(Doubted()), "has a method probe", "leave method probe out"),
    ("a probe of a class, as it is wired", lambda: wired(Doubted()), "has a method probe", "leave method probe out"),
    ("a probe of a class, of items", lambda: step(Doubted()).each(concurrency=2), "has a method probe", ""),
    ("a probe beside a class", lambda: step(Book(), probe=find), "has probe=", "leave probe= out"),
    ("a way to settle a class", lambda: step(Book(), on_unknown="repeat"), "has on_unknown=", "leave on_unknown= out"),
    (
        "a way to settle a class, where it is wired",
        lambda: wired(Book(), unknown_on=KeyError),
        "has unknown_on=",
        "leave unknown_on= out",
    ),
    ("a probe in a transaction", lambda: step(plain, probe=find_within), "a probe has no transaction", "StepContext"),
    ("a class of another kind", lambda: step(Plain(), transactional=True), "by its class", "TransactionalStep"),
    ("a class in disguise", lambda: step(Disguised()), "takes a TransactionalContext", "TransactionalStep"),
    ("no isolation", lambda: step(book, transactional=True, isolation="chaos"), "must be one of", "read_committed"),
    (
        "isolation of nothing",
        lambda: wired(step(plain), isolation="serializable"),
        "has an isolation",
        "leave isolation=",
    ),
    (
        "isolation without a time",
        lambda: wired(step(book, transactional=True), isolation="serializable"),
        "no timeout of its own",
        "half a lease",
    ),
    (
        "isolation of a compensation without a time",
        lambda: wired(
            step(plain, compensate=unbook), isolation="serializable", timeout=SHORT, compensation_timeout=None
        ),
        "no timeout of its own",
        "half a lease",
    ),
    ("isolation beside another", lambda: beside(isolation="repeatable_read"), "may run beside it", "after="),
    ("isolation of items at once", lambda: each(2), "run at once", "concurrency=1"),
]


@each_of(CASES)
def test_it_is_refused_with_what_to_do_instead(make, fact, mend) -> None:
    refused(make, fact, mend)


def test_a_class_is_told_so_where_the_function_would_be() -> None:
    step(Book(), transactional=True)


@pytest.mark.parametrize(
    "given, execute, undo",
    [
        (step(book, transactional=True), "read_committed", None),
        (step(book, transactional=True, compensate=unbook), "read_committed", "read_committed"),
        (step(book, transactional=True, compensate=release), "read_committed", None),
        (step(plain, compensate=unbook), None, "read_committed"),
        (step(plain, compensate=release), None, None),
        (step(book, transactional=True, isolation="serializable", timeout=SHORT), "serializable", None),
        (Book(), "read_committed", None),
    ],
)
def test_the_plan_and_the_engine_know_what_runs_in_a_transaction(given, execute, undo) -> None:
    definition = wired(given, step_id="it")
    binding, planned = definition.steps["it"], definition.plan.steps[0]
    assert (binding.isolation, binding.undo_isolation) == (execute, undo)
    assert planned.transactional is (execute is not None)
    assert planned.on_unknown is (OnUnknown.PARK if execute else OnUnknown.REPEAT)


def test_items_one_after_another_and_branches_of_read_committed_may_be() -> None:
    each(1)
    beside()
    beside(isolation="read_committed")
