"""The four services, over real HTTP, in their own process, with their books in PostgreSQL."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import asyncpg
import httpx
import pytest
from returns.result import Failure, Success

from saga_fn import Delivery, SagaOrchestrator, StepRef, saga
from saga_fn.demo.clients import require_approval
from saga_fn.demo.messages import SAGA, Decision, decision
from saga_fn.demo.services.books import Books
from saga_fn.demo.services.desk import TOO_LATE
from saga_fn.demo.services.risk import DEAR
from saga_fn.demo.services.weather import Operation, Verdict, Weather
from saga_fn.demo.stage import Stage
from tests.support.until import SOON

SEED = 11
WEATHER = Weather(SEED)
REFUSALS = {"reserve": "out of stock", "charge": "card declined", "ship": "address not serviceable"}


def order_with(
    operation: Operation,
    *mishaps: str | None,
    refused: bool = False,
    operation_after: Operation | None = None,
    verdict: Verdict = "approved",
    stutters: bool | None = None,
) -> str:
    """An order that has just this weather at its first attempts of the operation."""
    for number in range(100_000):
        order_id = f"order-{number:04d}"
        if [WEATHER.mishap(order_id, operation, n) for n in range(1, len(mishaps) + 1)] != list(mishaps):
            continue
        if operation_after is not None and WEATHER.mishap(order_id, operation_after, 1) is not None:
            continue
        if WEATHER.verdict(order_id) != verdict or stutters not in (None, WEATHER.stutters(order_id)):
            continue
        if WEATHER.refuses(order_id, operation) is refused:
            return order_id
    raise AssertionError("no such order")


@pytest.fixture
async def books(dsn: str) -> AsyncIterator[Books]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool:
        books = Books(pool, "shop_books")
        await books.create()
        yield books


@pytest.fixture
async def http(books: Books, dsn: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    stage = Stage(dsn, schema="saga_fn", books_schema="shop_books", log_folder=tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with (
            stage.services(SEED, listening),
            httpx.AsyncClient(base_url=url, headers={"Worker": "tester"}, timeout=20) as http,
        ):
            yield http


async def charge(http: httpx.AsyncClient, order_id: str, key: str, amount: int = 500) -> httpx.Response:
    body = {"order_id": order_id, "card_token": "card", "amount_cents": amount}
    return await http.post("/payment/charges", json=body, headers={"Idempotency-Key": key})


async def test_a_request_is_booked_once_however_often_it_is_repeated(books: Books, http: httpx.AsyncClient) -> None:
    order_id = order_with("charge", None)
    answers = [await charge(http, order_id, "key-1") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    (entry,) = await books.entries()
    assert (entry.kind, entry.order_id, entry.amount_cents, entry.key) == ("charged", order_id, 500, "key-1")
    assert answers[0].json() == {"payment_id": entry.reference, "amount_cents": 500}
    assert [(call.operation, call.worker) for call in await books.calls()] == [("charge", "tester")] * 3


async def test_requests_at_once_under_one_key_are_booked_once(books: Books, http: httpx.AsyncClient) -> None:
    order_id = order_with("charge", None, None)
    answers = await asyncio.gather(*(charge(http, order_id, "key-1") for _ in range(8)))
    assert len({answer.content for answer in answers}) == 1
    assert len(await books.entries()) == 1


async def test_another_key_is_another_charge_which_only_the_audit_can_find(
    books: Books, http: httpx.AsyncClient
) -> None:
    order_id = order_with("charge", None)
    await charge(http, order_id, "key-1")
    await charge(http, order_id, "key-2")
    assert Counter(entry.kind for entry in await books.entries()) == {"charged": 2}


async def test_unavailable_means_that_nothing_was_done(books: Books, http: httpx.AsyncClient) -> None:
    order_id = order_with("charge", "unavailable", None)
    assert (await charge(http, order_id, "key-1")).status_code == 503
    assert await books.entries() == ()
    assert (await charge(http, order_id, "key-1")).status_code == 200


async def test_a_late_answer_means_that_it_was_done_all_the_same(books: Books, http: httpx.AsyncClient) -> None:
    order_id = order_with("charge", "late", None)
    with pytest.raises(httpx.ReadTimeout):
        await http.post(
            "/payment/charges",
            json={"order_id": order_id, "card_token": "card", "amount_cents": 500},
            headers={"Idempotency-Key": "key-1"},
            timeout=TOO_LATE / 5,
        )
    async with asyncio.timeout(SOON):
        while not (entries := await books.entries()):
            await asyncio.sleep(0.02)
    (entry,) = entries
    again = await charge(http, order_id, "key-1")
    assert again.json()["payment_id"] == entry.reference
    assert len(await books.entries()) == 1


@pytest.mark.parametrize(
    "operation, path, body",
    [
        ("reserve", "/inventory/reservations", {"pieces": {"BOOK": 1}}),
        ("charge", "/payment/charges", {"card_token": "card", "amount_cents": 500}),
        ("ship", "/shipping/shipments", {"reservation_id": "res-1", "recipient": "Ada", "country": "SE"}),
    ],
)
async def test_a_refusal_is_final_whoever_asks_and_nothing_is_booked(
    books: Books, http: httpx.AsyncClient, operation: Operation, path: str, body: Mapping[str, object]
) -> None:
    order_id = order_with(operation, None, None, refused=True)
    for key in ("key-1", "key-2", "key-1"):
        answer = await http.post(path, json={"order_id": order_id, **body}, headers={"Idempotency-Key": key})
        assert (answer.status_code, answer.text) == (409, REFUSALS[operation])
    assert await books.entries() == ()


async def test_undoing_is_booked_under_the_reference_of_what_was_done(books: Books, http: httpx.AsyncClient) -> None:
    order_id = order_with("charge", None, operation_after="refund")
    payment = (await charge(http, order_id, "key-1")).json()
    refund = {"order_id": order_id, **payment}
    for _ in range(2):
        headers = {"Idempotency-Key": "key-2", "Operation": "key-1"}  # of a charge that names none, it is its key
        answer = await http.post("/payment/refunds", json=refund, headers=headers)
        assert answer.status_code == 200
    charged, refunded = await books.entries()
    assert (charged.kind, refunded.kind) == ("charged", "refunded")
    assert charged.reference == refunded.reference


async def test_requests_that_make_no_sense_are_refused(books: Books, http: httpx.AsyncClient) -> None:
    good = {"order_id": "order-0001", "card_token": "card", "amount_cents": 500}
    without_key = await http.post("/payment/charges", json=good)
    assert (without_key.status_code, without_key.text) == (400, "the header Idempotency-Key is missing")
    nonsense = await http.post("/payment/charges", content=b"{", headers={"Idempotency-Key": "key-1"})
    assert nonsense.status_code == 400
    assert await books.calls() == ()


def test_books_are_kept_only_under_a_plain_name() -> None:
    with pytest.raises(ValueError, match="is not a plain lower-case identifier"):
        Books(None, 'x"; DROP SCHEMA public; --')  # type: ignore[arg-type]  # refused before the pool is looked at


async def test_what_was_not_answered_can_be_found_out(books: Books, http: httpx.AsyncClient) -> None:
    order_id = order_with("ship", None)
    headers = {"Idempotency-Key": "key-1"}
    assert (await http.get("/shipping/shipments", headers=headers)).status_code == 404
    body = {"order_id": order_id, "reservation_id": "r", "recipient": "Ada", "country": "SE"}
    shipped = await http.post("/shipping/shipments", json=body, headers=headers)
    found = await http.get("/shipping/shipments", headers=headers)
    assert (found.status_code, found.json()) == (200, shipped.json())
    assert (await http.get("/shipping/shipments")).status_code == 400


async def test_what_comes_after_its_undoing_is_refused(books: Books, http: httpx.AsyncClient) -> None:
    order_id = order_with("charge", None, operation_after="refund")
    guarded = {"Operation": "saga-1:charge"}
    refund = {"order_id": order_id, "payment_id": "unknown", "amount_cents": 500}
    undone = await http.post("/payment/refunds", json=refund, headers={**guarded, "Idempotency-Key": "key-2"})
    assert undone.status_code == 200
    assert await books.entries() == ()
    body = {"order_id": order_id, "card_token": "card", "amount_cents": 500}
    late = await http.post("/payment/charges", json=body, headers={**guarded, "Idempotency-Key": "key-1"})
    assert (late.status_code, late.text) == (409, "undone before it came")
    assert await books.entries() == ()


@saga(SAGA)
def waiting(order_id: StepRef[str]) -> StepRef[Decision]:
    return decision.wait()


async def ask_for_review(http: httpx.AsyncClient, order_id: str, amount: int) -> None:
    body = {"order_id": order_id, "amount_cents": amount}
    asked = await http.post("/risk/reviews", json=body, headers={"Idempotency-Key": f"review of {order_id}"})
    assert asked.status_code == 200


async def told(books: Books, times: int) -> list[tuple[str, str, Delivery]]:
    """What sagas were told, once they were told so often."""
    async with asyncio.timeout(SOON):
        while len(notices := await books.notices()) < times:
            await asyncio.sleep(0.02)
    return [(notice.verdict, notice.by, notice.delivery) for notice in notices]


async def test_a_decision_reaches_the_saga_of_its_order_once(books: Books, http: httpx.AsyncClient, dsn: str) -> None:
    cheap, dear = order_with("review", None, stutters=False), order_with("review", None, stutters=True)
    async with SagaOrchestrator(dsn) as orchestrator:
        sagas = orchestrator.register(waiting)
        runs = [await sagas.start(order_id, aggregation_id=order_id) for order_id in (cheap, dear)]
        await ask_for_review(http, cheap, DEAR - 1)
        assert await runs[0].result(SOON) == Decision(approved=True, by="a rule")
        await ask_for_review(http, dear, DEAR)
        assert await runs[1].result(SOON) == Decision(approved=True, by="a person")
        assert await told(books, 3) == [
            ("approved", "a rule", Delivery.ACCEPTED),
            ("approved", "a person", Delivery.ACCEPTED),
            ("approved", "a person", Delivery.DUPLICATE),
        ]
    assert Counter(entry.kind for entry in await books.entries()) == {"asked": 2, "approved": 2}


async def test_who_is_asked_again_decides_as_before_and_an_early_decision_is_kept(
    books: Books, http: httpx.AsyncClient, dsn: str
) -> None:
    order_id = order_with("review", None, None, verdict="rejected", stutters=False)
    for _ in range(2):
        await ask_for_review(http, order_id, DEAR)
    assert Counter(await told(books, 2)) == {
        ("rejected", "a person", Delivery.KEPT): 1,
        ("rejected", "a person", Delivery.DUPLICATE): 1,
    }
    assert Counter(entry.kind for entry in await books.entries()) == {"asked": 1, "rejected": 1}
    async with SagaOrchestrator(dsn) as orchestrator:
        run = await orchestrator.register(waiting).start(order_id, aggregation_id=order_id)
        assert await run.result(SOON) == Decision(approved=False, by="a person")


async def test_a_forgotten_order_is_asked_about_and_never_decided_on(books: Books, http: httpx.AsyncClient) -> None:
    forgotten = order_with("review", None, verdict="forgotten")
    await ask_for_review(http, forgotten, DEAR)
    await ask_for_review(http, order_with("review", None, stutters=False), DEAR)
    assert await told(books, 1) == [("approved", "a person", Delivery.KEPT)]
    assert [entry.kind for entry in await books.entries() if entry.order_id == forgotten] == ["asked"]


async def test_only_what_was_approved_goes_on() -> None:
    approval, refusal = Decision(approved=True, by="a rule"), Decision(approved=False, by="a person")
    assert await require_approval(approval) == Success(approval)
    assert await require_approval(refusal) == Failure("refused by a person of the risk office")
