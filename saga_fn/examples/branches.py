"""Parallel, conditional and repeated steps: `python -m saga_fn.examples.branches`. It runs in memory.

A journey is booked. With `order="graph"` a step waits only for what it is given:

- the hotel and the flights are booked at the same time;
- `seat.each(concurrency=2)` books one seat a traveller, two at once, and gives their list in order;
- `insure.when(...)` is taken by dear journeys only; what follows it is given `Policy | None`;
- the voucher joins them all. If one branch fails, the others come to their ends, and then everything that was booked is
  cancelled, at the same time where the graph allows.
"""

from __future__ import annotations

import asyncio

import msgspec

from saga_fn import Compensated, Completed, MemoryStore, SagaAdmin, SagaHandle, SagaOrchestrator, StepRef, saga, step


class Journey(msgspec.Struct, frozen=True):
    journey_id: str
    travellers: list[str]
    price: int


class Room(msgspec.Struct, frozen=True):
    room_id: str


class Traveller(msgspec.Struct, frozen=True):
    name: str


class Seat(msgspec.Struct, frozen=True):
    seat_id: str


class Policy(msgspec.Struct, frozen=True):
    policy_id: str


class Booked(msgspec.Struct, frozen=True):
    room: Room
    seats: list[Seat]
    policy: Policy | None


class Voucher(msgspec.Struct, frozen=True):
    text: str


DEAR = 1000


async def leave(journey: Journey, out: Room) -> None:
    print(f"  gave back {out.room_id}")


@step(compensate=leave)
async def room(journey: Journey) -> Room:
    return Room(f"room-of-{journey.journey_id}")


async def free(traveller: Traveller, out: Seat) -> None:
    print(f"  freed {out.seat_id}")


@step(compensate=free)
async def seat(traveller: Traveller) -> Seat:
    if traveller.name == "nobody":
        raise LookupError("no such traveller")
    return Seat(f"seat-of-{traveller.name}")


@step
async def insure(journey: Journey) -> Policy:
    return Policy(f"policy-of-{journey.journey_id}")


@step
async def voucher(booked: Booked) -> Voucher:
    seats = ", ".join(one.seat_id for one in booked.seats)
    return Voucher(f"{booked.room.room_id}, {seats}, {booked.policy.policy_id if booked.policy else 'not insured'}")


@saga("book", order="graph")
def book(journey: StepRef[Journey]) -> StepRef[Voucher]:
    hotel = room(journey)
    seats = seat.each(concurrency=2)(journey, using=lambda j: [Traveller(name) for name in j.travellers])
    policy = insure.when(lambda j: j.price > DEAR)(journey)
    return voucher(hotel, seats, policy, using=Booked)


async def tell(journeys: SagaHandle[Journey, Voucher], journey: Journey) -> None:
    run = await journeys.start(journey)
    match await run.outcome(timeout=10):
        case Completed(result=done):
            print(f"{journey.journey_id}: {done.text}")
        case other:
            assert isinstance(other, Compensated)
            print(f"{journey.journey_id}: cancelled, {other.error}")


async def main() -> None:
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        journeys = orchestrator.register(book)
        await tell(journeys, Journey("journey-1", ["ann", "bob", "cyd"], price=300))
        await tell(journeys, Journey("journey-2", ["ann"], price=5000))
        await tell(journeys, Journey("journey-3", ["ann", "nobody"], price=300))
        run = await journeys.start(Journey("journey-4", ["ann", "bob"], price=300))
        await run.result(timeout=10)
        for one in (await SagaAdmin(orchestrator).get_saga(run.id)).steps:
            print(f"  {one.step_id}: {one.status}")


if __name__ == "__main__":
    asyncio.run(main())
