"""The risk office: says of every order whether it may be carried out, in its own time, by an event to the order's saga.

It is a stranger to the sagas: it knows the event, the saga's name and the order's number, and neither the definition nor
whether the saga is waiting yet, is in a person's hands, or has ended.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import attrs
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saga_fn import SagaOrchestrator
from saga_fn.demo.messages import SAGA, Decision, Review, ReviewRequest, decision
from saga_fn.demo.services.books import Entry, Notice
from saga_fn.demo.services.desk import Desk, Posting, answer, read_body
from saga_fn.demo.services.weather import Verdict, Weather

DEAR = 100_00
"""Cents from which on a person looks at an order. A cheaper one is approved by a rule, at once."""

EXPIRES = timedelta(minutes=1)
"""How long a decision is kept for a saga that is not there: one that was rolled back before it was decided on, say."""


def verdict_on(weather: Weather, order_id: str, amount_cents: int) -> Verdict:
    """The answer that the office will give."""
    return "approved" if amount_cents < DEAR else weather.verdict(order_id)


@attrs.frozen
class RiskOffice:
    """Who decides. `sagas` is where decisions are sent to, `background` what they are made in."""

    desk: Desk
    sagas: SagaOrchestrator
    background: asyncio.TaskGroup

    def routes(self) -> list[Route]:
        """The service's one end point."""

        async def review(request: Request) -> Response:
            wanted = await read_body(request, ReviewRequest)
            asked = await self.desk.serve(request, Posting("review", "asked", wanted.order_id))
            self.background.create_task(self._decide(wanted, asked.reference))
            return answer(Review(asked.reference))

        return [Route("/reviews", review, methods=["POST"])]

    async def _decide(self, wanted: ReviewRequest, reference: str) -> None:
        """Who is asked again decides no differently, and says it again: the saga has to tell that it is the same."""
        weather, books = self.desk.weather, self.desk.books
        verdict = verdict_on(weather, wanted.order_id, wanted.amount_cents)
        if verdict == "forgotten":
            return
        by_rule = wanted.amount_cents < DEAR
        await asyncio.sleep(0.0 if by_rule else weather.reflection(wanted.order_id))
        key = f"decision on {reference}"
        await books.record(Entry(key, verdict, wanted.order_id, reference), operation=key)
        told = Decision(approved=verdict == "approved", by="a rule" if by_rule else "a person")
        for _ in range(2 if weather.stutters(wanted.order_id) else 1):
            sent_at = await books.now()
            to = self.sagas.to((SAGA, wanted.order_id), decision, may_be_new=True)  # it may come before the first order
            delivery = await to.send(told, event_id=reference, expires=EXPIRES)
            await books.note_sent(Notice(wanted.order_id, verdict, told.by, delivery, sent_at))
