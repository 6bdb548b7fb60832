"""Messages are judged when they are read: what is forged, garbled or of another time costs its sender, and no saga."""

from __future__ import annotations

import asyncio
import base64
from uuid import UUID, uuid4

import msgspec
import pytest

from saga_fn import Completed, SagaAdmin, SagaOrchestrator, SagaRun
from saga_fn.store.protocol import Store
from saga_fn.store.records import InboxMessage, MessageStatus
from tests.support.answers import answer_to
from tests.support.approval import Approval, approval, approved
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, until


def forged(kind: str, **fields: object) -> InboxMessage:
    return InboxMessage(uuid4(), kind, msgspec.json.encode(fields))


def text(payload: bytes) -> str:
    return base64.b64encode(payload).decode()


MESSAGES = {
    "a kind that nobody knows": forged("__import__"),
    "no JSON": InboxMessage(uuid4(), "event", b"\xff\x00"),
    "no object": InboxMessage(uuid4(), "event", b"[]"),
    "nothing at all": InboxMessage(uuid4(), "skip_step", b""),
    "a deep nest": InboxMessage(uuid4(), "event", b'{"payload": "' + text(b"[" * 100_000).encode() + b'"}'),
    "a deep nest beside it": InboxMessage(uuid4(), "event", b'{"x": ' + b"[" * 100_000 + b"}"),
    "no base64": forged("event", payload="?"),
    "no payload": forged("event"),
    "a payload that is no JSON": forged("event", payload=text(b"\x00")),
    "a payload that is no object": forged("event", payload=text(b"[1]")),
    "no digits": forged("event", payload=text(b"{}"), correlation="zz"),
    "a fingerprint of another length": forged("event", payload=text(b"{}"), correlation="00"),
    "an expiry before all time": forged("event", payload=text(b"{}"), expires=-1),
    "an expiry after all time": forged("event", payload=text(b"{}"), expires=2**70),
    "an input that its step cannot read": forged("retry_step", step="charge", payload=text(b'{"amount": "much"}')),
    "steps to forget that are no list": forged("rewind", step="charge", forget="charge"),
    "a revision that none can be": forged("compensate_step", expect=2**70),
    "an output of another type": forged("skip_step", step="charge", payload=text(b'{"paid": 1}')),
    "no output": forged("skip_step", step="charge"),
    "an output that is too large": forged("skip_step", step="charge", payload=text(b'{"what":"' + b"x" * 9000 + b'"}')),
    "a finding that nobody knows": forged("settle_step", step="charge", finding="perhaps"),
    "no finding": forged("settle_step", step="charge"),
    "what was done, without an output": forged("settle_step", step="charge", finding="done"),
    "what was done, of another type": forged(
        "settle_step", step="charge", finding="done", payload=text(b'{"paid": 1}')
    ),
    "what never ran, with an output": forged("settle_step", step="charge", finding="never_ran", payload=text(b"{}")),
    "an actor of many lines": forged("compensate_step", actor="ann\nroot"),
    "a reason without end": forged("compensate_step", reason="x" * 5000),
    "a message that is too large": forged("compensate_step", payload=text(b"x" * 100_000)),
}


async def answered(store: Store, saga_id: UUID, message: InboxMessage) -> str:
    async with asyncio.timeout(SOON):
        while (answer := await answer_to(store, saga_id, message)) is None:
            await asyncio.sleep(0.01)
    return answer


async def ends_well(orchestrator: SagaOrchestrator, run: SagaRun[Done], shop: Shop, message: InboxMessage) -> None:
    """The saga goes on as if the message had never come; it is noted beside the journal."""
    assert shop.hold is not None
    shop.hold.set()
    assert isinstance(await run.outcome(SOON), Completed)
    assert shop.done == ["reserve", "charge", "ship"]
    seen = await SagaAdmin(orchestrator).get_saga(run.id)
    assert [note.split(":")[0] for note in seen.rejections] == ["unreadable"]


@pytest.mark.parametrize("name", MESSAGES)
async def test_an_owner_answers_what_it_cannot_read_and_goes_on(make: Make, name: str) -> None:
    message, shop = MESSAGES[name], Shop(hold=asyncio.Event())
    async with make(max_payload_bytes=8192) as orchestrator:
        store = orchestrator.engine.store
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        assert await store.send(run.id, message) is MessageStatus.STORED
        await store.hint([run.id])
        orchestrator.engine.recheck_inbox(run.id)
        assert await answered(store, run.id, message) == "unreadable"
        await ends_well(orchestrator, run, shop, message)


@pytest.mark.parametrize("name", MESSAGES)
async def test_whoever_claims_a_saga_with_such_a_message_goes_on_too(make: Make, name: str) -> None:
    message, shop = MESSAGES[name], Shop()
    async with make(max_payload_bytes=8192, concurrency=0) as orchestrator:
        store = orchestrator.engine.store
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        assert await store.send(run.id, message) is MessageStatus.STORED
        await orchestrator.run_due()
        assert await answered(store, run.id, message) == "unreadable"
        assert isinstance(await run.outcome(SOON), Completed)


async def test_a_sender_that_reads_in_the_owner_s_stead_is_not_stopped_by_another_s_message(make: Make) -> None:
    shop = Shop()
    async with make(concurrency=0, max_payload_bytes=8192) as orchestrator:
        store = orchestrator.engine.store
        run = await orchestrator.register("approved", approved(shop)).start(Order("1"))
        await orchestrator.run_due()
        messages = [
            message for message in MESSAGES.values() if message.kind not in ("skip_step", "settle_step", "retry_step")
        ]
        for message in messages:
            assert await store.send(run.id, message) is MessageStatus.STORED
        assert await orchestrator.to(run.id, approval).send(Approval("ann")) == "accepted"
        assert {await answered(store, run.id, message) for message in messages} == {"unreadable"}
