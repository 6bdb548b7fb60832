"""A service of the tests: what `--app` names."""

from __future__ import annotations

import os
from datetime import timedelta

import msgspec

from saga_fn import Attribute, FixedRetry, MemoryStore, SagaOrchestrator, StepRef, saga, step

ESCAPES = "\x1b[31mred\x1b[0m \x1b]0;title\x07 [bold]markup[/bold] \u202e \n second line"
"""Texts that a terminal, or rich, would take for orders."""


class Order(msgspec.Struct, frozen=True):
    order_id: str
    number: int = 2**53 + 1


customer = Attribute("customer", str)


async def release(order: Order, out: str) -> None: ...


@step(compensate=release)
async def reserve(order: Order) -> str:
    return order.order_id


@step(pivot=True)
async def promise(order: Order) -> Order:
    return order


@step
async def print_label(order: Order) -> str:
    raise ConnectionError(ESCAPES)


@step(retry_policy=FixedRetry(max_attempts=5, delay=timedelta(hours=1)))
async def charge(order: Order) -> str:
    raise ConnectionError(ESCAPES)


@saga("shipping", attributes=(customer,))
def shipping(order: StepRef[Order]) -> StepRef[str]:
    customer.set(order, using=lambda order: order.order_id)
    return print_label(promise(order))


@saga("billing")
def billing(order: StepRef[Order]) -> StepRef[str]:
    reserve(order)
    return charge(order)


@saga("quick")
def quick(order: StepRef[Order]) -> StepRef[str]:
    return reserve(order)


def registered(orchestrator: SagaOrchestrator) -> SagaOrchestrator:
    for each in (shipping, billing, quick):
        orchestrator.register(each)
    return orchestrator


def orchestrator() -> SagaOrchestrator:
    """The orchestrator that a service makes of its environment."""
    return registered(SagaOrchestrator(os.environ["SAGA_FN_TEST_APP_DSN"]))


def talking() -> SagaOrchestrator:
    print("the service says something")
    return orchestrator()


async def later() -> SagaOrchestrator:
    return orchestrator()


def looking_only() -> SagaOrchestrator:
    return registered(SagaOrchestrator(os.environ["SAGA_FN_TEST_APP_DSN"], concurrency=0))


def empty() -> SagaOrchestrator:
    return SagaOrchestrator(os.environ["SAGA_FN_TEST_APP_DSN"])


def broken() -> SagaOrchestrator:
    raise ValueError(ESCAPES)


in_memory = registered(SagaOrchestrator(MemoryStore()))
nothing = None
