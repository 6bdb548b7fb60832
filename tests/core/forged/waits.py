"""Forged states and edges that the laws of `invariants/waits.py` must refuse."""

from __future__ import annotations

import msgspec

from saga_fn.core.effects import Release, RunCompensation, Transition
from saga_fn.core.events import CompensationWaits, EventReceived, Resumed, RetryRequested, Ticked, WaitDefaulted
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.edge import EdgeLaw
from saga_fn.core.invariants.waits import (
    i13_a_named_event_is_taken_once,
    i13_events_are_kept_in_order,
    i13_events_wait_in_order,
    i14_no_timer_fires_early,
    i14_nothing_begins_before_its_saga,
    i14_only_a_person_brings_a_beginning_forward,
    i14_what_is_due_fires,
)
from saga_fn.core.projection import project
from saga_fn.core.state import (
    Attempts,
    Buffered,
    FailedForGood,
    SagaState,
    Sleeping,
    Succeeded,
    UndoFailed,
    Undoing,
    UndoRetrying,
    UndoWaiting,
    Waiting,
)
from tests.core.forged.given import (
    BACK,
    EVENTFUL,
    LATER,
    ONCE,
    SLEEPY,
    TICK,
    TWICE,
    WAITS,
    edge,
    eventful,
    moved,
    state,
)
from tests.core.given import TWO_ROOTS, A, B

HEARD = Attempts(2, generation=4)


def out_of_time(step: StepId, after: SagaState) -> Transition:
    return msgspec.structs.replace(moved(after), timed_out=step)


EDGES: dict[EdgeLaw, list[Edge]] = {
    i13_events_are_kept_in_order: [
        edge(state(), EventReceived(Moment(0)), state(rev=4)),
        edge(state(events=(2,)), TICK, state(rev=4)),
        edge(state(), TICK, state(rev=4, events=(4,))),
        edge(state(events=(2,)), EventReceived(Moment(0)), state(rev=4, events=(4, 2))),
    ],
    i13_a_named_event_is_taken_once: [
        # kept, and gone; come, and gone; taken, and still kept; come, and here twice
        edge(eventful(kept=(2,)), TICK, eventful(rev=4), EVENTFUL),
        edge(eventful(), EventReceived(Moment(0), "paid"), eventful(rev=4), EVENTFUL),
        edge(eventful(kept=(2,)), TICK, eventful(Succeeded(A, 2), kept=(2,), rev=4), EVENTFUL),
        edge(eventful(WAITS), EventReceived(Moment(0), "paid"), eventful(Succeeded(A, 4), kept=(4,), rev=4), EVENTFUL),
        edge(eventful(), TICK, eventful(kept=(4,), rev=4), EVENTFUL),
        edge(eventful(WAITS), TICK, eventful(Succeeded(A, 4), rev=4), EVENTFUL),
        edge(eventful(kept=(2,)), TICK, eventful(Succeeded(A, 2), Succeeded(B, 2), rev=4), EVENTFUL),
        # of a compensation: called with what it took, and still kept; waiting, and called with what nobody sent
        edge(
            state(UndoWaiting(A, 1, ONCE, ("paid",)), goal=BACK),
            EventReceived(Moment(0), "paid"),
            msgspec.structs.replace(state(Undoing(A, 1, HEARD), goal=BACK, rev=4), buffered=(Buffered(4, "paid"),)),
        ),
        edge(
            state(Undoing(A, 1, ONCE), goal=BACK),
            CompensationWaits(Moment(0), A, 1, ("paid",)),
            state(Undoing(A, 1, HEARD), goal=BACK, rev=4),
        ),
    ],
    i13_events_wait_in_order: [
        edge(eventful(kept=(1, 2)), TICK, eventful(kept=(2, 1), rev=4), EVENTFUL),
        *(
            edge(eventful(kept=before), EventReceived(Moment(0), "paid"), eventful(kept=after, rev=4), EVENTFUL)
            for before, after in (((1, 2), (4, 1, 2)), ((1, 2), (2, 1, 4)), ((3,), (3, 3)), ((2, 3), (2, 3, 3)))
        ),
    ],
    i14_no_timer_fires_early: [
        edge(eventful(WAITS), TICK, out_of_time(A, eventful(FailedForGood(A, ONCE), goal=BACK, rev=4)), EVENTFUL),
        edge(eventful(deadline=20), TICK, out_of_time(StepId(""), eventful(goal=BACK, rev=4)), EVENTFUL),
        *(
            edge(
                state(UndoWaiting(A, 1, ONCE, ("paid",), until), goal=BACK),
                TICK,
                out_of_time(A, state(UndoFailed(A, 1, ONCE), goal=BACK, rev=4)),
            )
            for until in (LATER, None)
        ),
        edge(eventful(), TICK, out_of_time(StepId(""), eventful(goal=BACK, rev=4)), EVENTFUL),
        edge(
            eventful(WAITS, at=9),
            EventReceived(Moment(9)),
            out_of_time(A, eventful(FailedForGood(A, ONCE), goal=BACK, at=9, rev=4)),
            EVENTFUL,
        ),
        edge(eventful(WAITS, at=9), TICK, out_of_time(A, eventful(FailedForGood(A, ONCE), at=9, rev=4)), EVENTFUL),
        edge(
            eventful(WAITS, at=9, goal=BACK),
            TICK,
            out_of_time(A, eventful(FailedForGood(A, ONCE), at=9, goal=BACK, rev=4)),
            EVENTFUL,
        ),
    ],
    i14_what_is_due_fires: [
        edge(eventful(WAITS), Ticked(LATER), eventful(WAITS, at=9, rev=4), EVENTFUL),
        edge(eventful(Sleeping(A, LATER)), Resumed(LATER), eventful(Sleeping(A, LATER), at=9, rev=4), SLEEPY),
        edge(eventful(WAITS, deadline=9), Ticked(LATER), eventful(Waiting(A), deadline=9, at=9, rev=4), EVENTFUL),
    ],
    i14_only_a_person_brings_a_beginning_forward: [
        edge(eventful(begins_at=5), TICK, eventful(begins_at=0, rev=4), EVENTFUL),
        edge(eventful(begins_at=5), RetryRequested(Moment(0)), eventful(begins_at=6, rev=4), EVENTFUL),
    ],
    i14_nothing_begins_before_its_saga: [
        edge(eventful(begins_at=5), TICK, eventful(WAITS, begins_at=5, rev=4), EVENTFUL)
    ],
}

# What looks like a lie and is none: no law forbids it.
HONEST_EDGES: list[Edge] = [
    # One compensation begins to wait, and another is called again because its time has come.
    edge(
        state(Undoing(A, 1, ONCE), UndoRetrying(B, 2, ONCE, Moment(0)), goal=BACK),
        CompensationWaits(Moment(0), A, 1, ("paid",)),
        moved(
            state(UndoWaiting(A, 1, ONCE, ("paid",)), Undoing(B, 2, TWICE), goal=BACK, rev=4), RunCompensation(B, 2, 2)
        ),
        TWO_ROOTS,
    )
] + [
    edge(
        eventful(Waiting(A), Waiting(B, LATER), kept=kept),
        event,
        msgspec.structs.replace(moved(after, writes=(Release(project(EVENTFUL, after).due),)), defaults=defaults),
        EVENTFUL,
    )
    for kept, event, after, defaults in (
        ((), EventReceived(Moment(0), "paid"), eventful(Succeeded(A, 4), Waiting(B, LATER), rev=4), ()),
        ((2,), EventReceived(Moment(0), "paid"), eventful(Waiting(A), Waiting(B, LATER), kept=(2, 4), rev=4), ()),
        ((), WaitDefaulted(LATER, B), eventful(Waiting(A), Succeeded(B, 4), at=9, rev=4), ()),
        ((), Ticked(LATER), eventful(Waiting(A), Waiting(B, LATER), at=9, rev=4), (B,)),
    )
]
