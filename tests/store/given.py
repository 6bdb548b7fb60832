"""The words the conformance suite is written in: sagas to insert, and what their owners write."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import attrs
from returns.result import Success

from saga_fn.core.events import Binding, Bound, Event, FailureKind, Resumed, Started, StepFailed, StepSucceeded
from saga_fn.core.ids import Digest, Micros, Moment, StepId
from saga_fn.core.plan import Plan, PlannedStep
from saga_fn.core.projection import project
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import SagaState
from saga_fn.core.transition import transition
from saga_fn.store.ids import new_saga_id, shard_of
from saga_fn.store.protocol import Store
from saga_fn.store.records import Attributes, ClaimedSaga, Entry, NewSaga, SagaWrite, decode_state

LONG = timedelta(seconds=60)
OVER = timedelta(0)
"""A lease that has run out when the next statement comes."""
HOUR = 3_600_000_000

A, B = StepId("a"), StepId("b")
PLAN = Plan.of(
    PlannedStep(A, retry=RetrySchedule(attempts=3, base=Micros(HOUR))),
    PlannedStep(B, (A,), RetrySchedule(attempts=3, base=Micros(HOUR))),
)
OWNER, OTHER = UUID(int=1), UUID(int=2)
SHOP = [("shop", 1)]


def bound(step: StepId) -> tuple[Binding, ...]:
    return (Bound(step, Digest(b"12345678")),)


@attrs.define
class Hand:
    """A process that writes a saga: knows its state, and under which token and revision it stands."""

    id: UUID
    token: UUID | None
    owner: UUID | None
    state: SagaState
    inbox_seen: int = 0

    def write(self, *events: Event, payload: bytes | None = None) -> SagaWrite:
        """What its next commit is, if these events happen; the hand itself stays as it is."""
        state, release, entries = self.state, None, list[Entry]()
        for event in events:
            decision = transition(PLAN, state, event)
            assert isinstance(decision, Success), (state, event, decision)
            moved = decision.unwrap()
            state, release = moved.state, next(iter(moved.writes), None)
            entries.append(Entry(event, b'"in"', payload))
        return SagaWrite(
            id=self.id,
            token=self.token,
            rev=self.state.rev,
            state=state,
            projection=project(PLAN, state),
            release=release is not None,
            due=release.due if release else None,
            inbox_seen=self.inbox_seen if release else None,
            last_error=None,
            entries=tuple(entries),
            answers=(),
            writer=self.token or uuid4(),
        )

    def succeeded(self, step: StepId = A) -> SagaWrite:
        """The step's result; the step after it starts."""
        inputs = bound(B) if step == A else ()
        return self.write(StepSucceeded(Moment(self.state.at + 1), step, 1, inputs), payload=b'"out"')

    def failed(self) -> SagaWrite:
        """The first step failed, and is to be tried again in an hour: the saga is given up until then."""
        return self.write(StepFailed(Moment(self.state.at + 1), A, 1, FailureKind.ERROR), payload=b'{"type": "Boom"}')

    def resumed(self, now: Moment) -> SagaWrite:
        """What a claim writes first."""
        return self.write(Resumed(now, inputs=bound(A)))

    def after(self, write: SagaWrite) -> Hand:
        """The hand once that write stands."""
        kept = not write.release
        return Hand(self.id, self.token if kept else None, self.owner if kept else None, write.state, self.inbox_seen)


def new_saga(
    store: Store,
    *,
    owned: bool = True,
    aggregation_id: str | None = None,
    key: str | None = None,
    name: str = "shop",
    version: int = 1,
    payload: bytes = b'"data"',
    attributes: Attributes = (),
) -> NewSaga:
    event = Started(store.now(), PLAN.id, bound(A) if owned else ())
    decision = transition(PLAN, None, event)
    assert isinstance(decision, Success)
    token = uuid4() if owned else None
    return NewSaga(
        id=new_saga_id(name=name, aggregation_id=aggregation_id, idempotency_key=key),
        name=name,
        version=version,
        aggregation_id=aggregation_id,
        trace_id="trace",
        trace_carrier=None,
        request=b"request",
        state=decision.unwrap().state,
        event=event,
        payload=payload,
        token=token,
        owner=OWNER if owned else None,
        writer=token or uuid4(),
        projection=project(PLAN, decision.unwrap().state),
        attributes=attributes,
        keyed=key is not None,
    )


def hand_of(new: NewSaga) -> Hand:
    return Hand(new.id, new.token, new.owner, new.state)


def hand_of_claim(claim: ClaimedSaga, owner: UUID) -> Hand:
    return Hand(claim.id, claim.token, owner, decode_state(claim.state, claim.rev), claim.inbox_sent)


async def start(store: Store, *, lease: timedelta = LONG, owned: bool = True, **options: object) -> Hand:
    """Insert a saga, and be its owner if it is to have one."""
    new = new_saga(store, owned=owned, **options)  # type: ignore[arg-type]  # handed through
    inserted = await store.insert(shard_of(new.id, store.shards), [new], lease=lease)
    assert inserted.ids == {new.id}
    return hand_of(new)
