"""An operator retries a step with another input than the computed one: checked like any other, kept, and told of in the journal."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Literal

import attrs
import msgspec
import pytest

from saga_fn import (
    NOT_DONE,
    Completed,
    FixedRetry,
    NotDone,
    PayloadError,
    PayloadTooLargeError,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaDefinitionError,
    SagaNotRegisteredError,
    SagaStateError,
    SagaStatus,
    StepContext,
    step,
)
from saga_fn import (
    Done as Found,
)
from tests.support.approval import approved, tell
from tests.support.shop import Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

RARELY = FixedRetry(max_attempts=9, delay=timedelta(hours=1))


class Sent(msgspec.Struct, frozen=True):
    to: str
    amount: int = 1


@attrs.define
class Post:
    """Sends parcels to those whose address it knows."""

    known: set[str] = attrs.field(factory=set)
    tried: list[tuple[str, str]] = attrs.field(factory=list)
    """The input that was given, and the generation of the key."""
    undone: list[str] = attrs.field(factory=list)
    fails: int = 0
    in_doubt: int = 0

    async def send(self, inp: Order, ctx: StepContext) -> Sent:
        self.tried.append((inp.order_id, ctx.idempotency_key.partition("execute")[2]))
        if self.in_doubt:
            self.in_doubt -= 1
            raise TimeoutError
        if self.fails or inp.order_id not in self.known:
            self.fails = max(0, self.fails - 1)
            raise KeyError(inp.order_id)
        return Sent(inp.order_id)

    async def recall(self, inp: Order, out: Sent) -> None:
        self.undone.append(inp.order_id)


def posted(
    post: Post, *, ends: Shop | None = None, on_unknown: Literal["repeat", "park"] = "repeat"
) -> SagaDefinition[Order, Sent]:
    builder = SagaBuilder(Order)
    options = step(post.send, compensate=post.recall, retry_policy=RARELY, on_unknown=on_unknown)
    sent = builder.add_step(options, depends_on=builder.initial)
    if ends is not None:
        builder.add_step(step(ends.ship), depends_on=sent, input_map=lambda out: Order(out.to), step_id="ship")
    return builder.build(output=sent)


async def test_a_step_runs_with_the_given_input_and_the_journal_tells_who_gave_it(make: Make) -> None:
    post = Post(known={"right"})
    async with make() as orchestrator:
        run = await orchestrator.register("posted", posted(post)).start(Order("wrong"))
        await suspended(run)
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        await admin.retry_step(
            run.id, "send", input={"order_id": "right", "amount": 2}, reason="a typing error, OPS-12"
        )
        assert await run.result(SOON) == Sent("right")
        assert post.tried == [("wrong", ""), ("right", ":1")]
        seen = await admin.get_saga(run.id)
        (entry,) = [each for each in seen.step_history if each.kind == "retry_requested"]
        assert (entry.step_id, entry.actor, entry.reason) == ("send", "ann@shop", "a typing error, OPS-12")
        assert (entry.input, entry.output, entry.error) == ({"order_id": "right", "amount": 2}, None, None)
        (done,) = [each for each in seen.step_history if each.kind == "step_succeeded"]
        assert done.input == {"order_id": "right", "amount": 2}
        assert await admin.verify(run.id) == []


async def test_the_given_input_stays_through_failures_events_and_other_owners(make: Make) -> None:
    post, shop = Post(known={"right"}, fails=3), Shop(fails={"ship": 1})
    async with make(concurrency=0) as orchestrator:
        run = await orchestrator.register("posted", posted(post, ends=shop)).start(Order("wrong"))
        await orchestrator.run_due()
        admin = SagaAdmin(orchestrator)
        await admin.retry_step(run.id, "send", input=Order("right"))
        await orchestrator.run_due()
        assert await tell(orchestrator, run, {"news": "none"})
        await orchestrator.run_due()
        await admin.retry_step(run.id, "send")
        await orchestrator.run_due()
        assert post.tried == [("wrong", ""), *[("right", ":1")] * 3]
        assert (await run.snapshot()).status is SagaStatus.COMPENSATED
        assert post.undone == ["right"], "undone is what was done"
        assert await admin.verify(run.id) == []


async def test_an_owner_that_works_on_the_saga_takes_the_given_input(make: Make) -> None:
    post, hold = Post(known={"right"}), asyncio.Event()

    async def wait(inp: Order) -> Sent:
        await hold.wait()
        return Sent(inp.order_id)

    builder = SagaBuilder(Order, order="graph")
    builder.add_step(step(wait), depends_on=builder.initial)
    sent = builder.add_step(step(post.send, retry_policy=RARELY), depends_on=builder.initial)
    definition = builder.build(output=sent)
    async with make() as orchestrator, make(concurrency=0) as elsewhere:
        elsewhere.register("posted", definition)
        run = await orchestrator.register("posted", definition).start(Order("wrong"))
        await until(lambda: len(post.tried) == 1)
        async with asyncio.timeout(SOON):
            while (await SagaAdmin(elsewhere).get_saga(run.id)).steps[1].status != "RETRYING":
                await asyncio.sleep(0.01)
        await SagaAdmin(elsewhere).retry_step(run.id, "send", input=Order("right"))
        await until(lambda: len(post.tried) == 2)
        hold.set()
        assert await run.result(SOON) == Sent("right")


async def test_a_step_that_may_have_run_takes_another_input_only_once_that_is_settled(make: Make) -> None:
    post = Post(known={"right"}, in_doubt=1)
    async with make() as orchestrator:
        run = await orchestrator.register("posted", posted(post, on_unknown="park")).start(Order("wrong"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        with pytest.raises(SagaStateError, match="may have run that step") as refused:
            await admin.retry_step(run.id, "send", input=Order("right"))
        assert "settle_never_ran" in (refused.value.hint or "")
        await admin.settle_never_ran(run.id, "send")
        await admin.retry_step(run.id, "send", input=Order("right"))
        assert isinstance(await run.outcome(SOON), Completed)
        assert post.tried == [("wrong", ""), ("right", ":1")]


async def test_a_probe_and_an_undo_of_what_may_have_run_are_given_the_given_input(make: Make) -> None:
    post, asked = Post(known={"right"}, fails=1, in_doubt=0), list[str]()

    async def look(inp: Order) -> Found[Sent] | NotDone:
        asked.append(inp.order_id)
        return Found(Sent(inp.order_id)) if inp.order_id == "right" else NOT_DONE

    builder = SagaBuilder(Order)
    options = step(post.send, compensate=post.recall, retry_policy=RARELY, probe=look)
    sent = builder.add_step(options, depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("posted", builder.build(output=sent)).start(Order("wrong"))
        await suspended(run)
        post.in_doubt = 1
        await SagaAdmin(orchestrator).retry_step(run.id, "send", input=Order("right"))
        assert await run.result(SOON) == Sent("right")
        assert asked == ["right"]


async def test_one_item_of_a_fan_out_is_given_an_input_of_its_own(make: Make) -> None:
    post = Post(known={"a", "right", "c"})
    builder = SagaBuilder(Order)
    each = step(post.send, compensate=post.recall, retry_policy=RARELY).each(concurrency=3)
    sent = builder.add_step(each, input_map=lambda ctx: [Order("a"), Order("wrong"), Order("c")])
    async with make() as orchestrator:
        run = await orchestrator.register("posted", builder.build(output=sent)).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        with pytest.raises(SagaStateError, match="name one item"):
            await admin.retry_step(run.id, "send", input=Order("right"))
        await admin.retry_step(run.id, "send[1]", input=Order("right"))
        assert await run.result(SOON) == [Sent("a"), Sent("right"), Sent("c")]
        assert await admin.verify(run.id) == []


async def test_a_given_input_is_one_of_the_step_s_type(make: Make) -> None:
    post = Post()
    async with make(max_payload_bytes=1000) as orchestrator, make(concurrency=0) as elsewhere:
        run = await orchestrator.register("posted", posted(post)).start(Order("wrong"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        before = (await admin.get_saga(run.id)).revision
        for wrong in (None, 7, "x", {"amount": 1}, Sent("x"), {"order_id": 5}):
            with pytest.raises(PayloadError, match="Order"):
                await admin.retry_step(run.id, "send", input=wrong)
        with pytest.raises(PayloadTooLargeError, match="input for step 'send'"):
            await admin.retry_step(run.id, "send", input=Order("x" * 2000))
        with pytest.raises(SagaDefinitionError, match="has no step 'sned'"):
            await admin.retry_step(run.id, "sned", input=Order("right"))
        with pytest.raises(SagaNotRegisteredError):
            await SagaAdmin(elsewhere).retry_step(run.id, "send", input=Order("right"))
        with pytest.raises(SagaStateError, match="has moved on"):
            await admin.retry_step(run.id, "send", input=Order("right"), expect=before - 1)
        assert (await admin.get_saga(run.id)).revision == before
        assert len(post.tried) == 1


async def test_a_wait_takes_no_input(make: Make) -> None:
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(Shop())).start(Order("1"))
        await suspended(run)
        with pytest.raises(SagaStateError, match="use skip_step"):
            await SagaAdmin(orchestrator).retry_step(run.id, "approval", input=None)


async def test_a_second_click_with_the_same_input_changes_no_step_that_runs(make: Make) -> None:
    post = Post(known={"right"})
    async with make(concurrency=0) as orchestrator:
        run = await orchestrator.register("posted", posted(post)).start(Order("wrong"))
        await orchestrator.run_due()
        admin = SagaAdmin(orchestrator)
        ref = SagaBuilder(Order).add_step(step(post.send), input_map=lambda ctx: ctx.initial_data)
        await admin.step(run.id, ref).retry(input=Order("right"))
        await orchestrator.run_due()
        with pytest.raises(SagaStateError, match="has ended"):
            await admin.step(run.id, ref).retry(input=Order("right"))
        assert [given for given, _ in post.tried] == ["wrong", "right"]
