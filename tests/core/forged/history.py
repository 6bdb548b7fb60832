"""Forged states and edges that the laws of `invariants/history.py` must refuse."""

from __future__ import annotations

import msgspec

from saga_fn.core.events import (
    EventReceived,
    Finding,
    ProbeAnswered,
    StepSettled,
    StepSkipped,
    StepSucceeded,
    Ticked,
    WaitDefaulted,
)
from saga_fn.core.ids import Moment
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.edge import EdgeLaw
from saga_fn.core.invariants.history import i3_revisions_are_gapless, i4_executions_are_told_apart, i6_results_are_kept
from saga_fn.core.state import (
    Attempts,
    FannedOut,
    Joined,
    NotTaken,
    Probing,
    Rewound,
    Running,
    Settled,
    Skipped,
    Sleeping,
    Succeeded,
    Undoing,
    Undone,
    UndoRetrying,
    Unknown,
    Waiting,
)
from tests.core.forged.given import (
    ASKED_ONCE,
    BACK,
    DOUBTFUL,
    EVENTFUL,
    LATER,
    ONCE,
    RAN,
    SEEN,
    SLEEPY,
    SUCCESS,
    TICK,
    TWICE,
    UNDONE_IN_DOUBT,
    WAITS,
    edge,
    eventful,
    parked,
    state,
)
from tests.core.given import A, B

DONE = state(Succeeded(A, 4), rev=4)

EDGES: dict[EdgeLaw, list[Edge]] = {
    i3_revisions_are_gapless: [
        edge(state(rev=3), TICK, state(rev=3)),
        edge(state(rev=3), TICK, state(rev=5)),
        edge(state(), Ticked(Moment(5)), state(rev=4)),
        edge(state(), TICK, msgspec.structs.replace(state(rev=4), at=Moment(-1))),
    ],
    i4_executions_are_told_apart: [
        edge(state(Unknown(A, ONCE)), TICK, state(Running(A, ONCE), rev=4)),
        edge(state(Running(A, TWICE)), TICK, state(Running(A, ONCE), rev=4)),
        edge(state(UndoRetrying(A, 1, ONCE, Moment(0)), goal=BACK), TICK, state(Undoing(A, 1, ONCE), goal=BACK, rev=4)),
        edge(state(), TICK, state(Running(A, Attempts(0)), rev=4)),
        edge(state(Unknown(A, ASKED_ONCE)), TICK, state(Probing(A, ASKED_ONCE), rev=4)),
        edge(state(Rewound(A, 2)), TICK, state(Running(A, TWICE), rev=4)),
    ],
    i6_results_are_kept: [
        edge(state(Succeeded(A, 2)), TICK, state(Succeeded(A, 4), rev=4)),
        edge(state(Skipped(A, 2)), TICK, state(Running(A, ONCE), rev=4)),
        edge(state(Undone(A, 2)), TICK, state(Undone(A, 4), rev=4)),
        edge(state(Succeeded(A, 2)), TICK, state(rev=4)),
        edge(state(parked(A)), TICK, state(Skipped(A, 4), rev=4)),
        edge(state(parked(A)), StepSkipped(Moment(0), B), state(Skipped(A, 4), rev=4)),
        edge(state(parked(A)), StepSkipped(Moment(0), A), state(Skipped(A, 3), rev=4)),
        edge(state(), StepSkipped(Moment(0), A), state(Skipped(A, 4), rev=4)),
        edge(state(Rewound(A, 2)), StepSkipped(Moment(0), A), state(Skipped(A, 4), rev=4)),
        *(
            edge(state(was), told, state(Settled(A, seq, SEEN), rev=4))
            for was, told, seq in (
                (Unknown(A, DOUBTFUL), TICK, 4),
                (Unknown(A, DOUBTFUL), StepSettled(Moment(0), A, finding=Finding.NEVER_RAN), 4),
                (Unknown(A, DOUBTFUL), StepSettled(Moment(0), B, finding=Finding.DONE), 4),
                (Unknown(A, DOUBTFUL), StepSettled(Moment(0), A, finding=Finding.DONE), 3),
                (Unknown(A, ONCE), StepSettled(Moment(0), A, finding=Finding.DONE), 4),
                (Running(A, DOUBTFUL), StepSettled(Moment(0), A, finding=Finding.DONE), 4),
            )
        ),
        edge(RAN, TICK, DONE),
        edge(state(Unknown(A, ONCE)), SUCCESS, DONE),
        edge(RAN, StepSucceeded(Moment(0), B, 1), DONE),
        edge(RAN, StepSucceeded(Moment(0), A, 2), DONE),
        edge(RAN, SUCCESS, state(Succeeded(A, 3), rev=4)),
        edge(state(Probing(A, ASKED_ONCE)), TICK, DONE),
        edge(state(Probing(A, ASKED_ONCE)), ProbeAnswered(Moment(0), A, 1, done=False), DONE),
        edge(state(Probing(A, ASKED_ONCE)), ProbeAnswered(Moment(0), A, 2, done=True), DONE),
        edge(state(Probing(A, ASKED_ONCE)), ProbeAnswered(Moment(0), B, 1, done=True), DONE),
        edge(state(Probing(A, ASKED_ONCE)), ProbeAnswered(Moment(0), A, 1, done=True), state(Succeeded(A, 3), rev=4)),
        edge(state(Unknown(A, DOUBTFUL)), ProbeAnswered(Moment(0), A, 0, done=True), DONE),
        edge(state(Unknown(A, DOUBTFUL)), TICK, state(Undoing(A, 4, ONCE), goal=BACK, rev=4), UNDONE_IN_DOUBT),
        edge(state(NotTaken(A)), TICK, state(Running(A, ONCE), rev=4)),
        edge(state(FannedOut(A, 2, SEEN)), TICK, state(FannedOut(A, 1, SEEN), rev=4)),
        edge(state(FannedOut(A, 2, SEEN)), TICK, state(Joined(A, 1), rev=4)),
        edge(state(Joined(A, 2)), TICK, state(FannedOut(A, 2, SEEN), rev=4)),
        edge(state(NotTaken(A)), StepSkipped(Moment(0), A), state(Skipped(A, 4), rev=4)),
        # What a wait takes is what it waits for, when it comes, or what was kept for it.
        edge(eventful(WAITS), EventReceived(Moment(0), "sent"), eventful(Succeeded(A, 4), rev=4), EVENTFUL),
        edge(eventful(), EventReceived(Moment(0), "paid"), eventful(Succeeded(A, 4), rev=4), EVENTFUL),
        edge(eventful(WAITS), TICK, eventful(Succeeded(A, 4), rev=4), EVENTFUL),
        edge(eventful(WAITS), TICK, eventful(Succeeded(A, 2), rev=4), EVENTFUL),
        edge(eventful(Waiting(B, LATER), kept=(2,)), TICK, eventful(Succeeded(B, 2), rev=4), EVENTFUL),
        edge(eventful(Waiting(B, LATER)), WaitDefaulted(Moment(0), B), eventful(Succeeded(B, 4), rev=4), EVENTFUL),
        edge(eventful(WAITS), WaitDefaulted(LATER, A), eventful(Succeeded(A, 4), at=9, rev=4), EVENTFUL),
        edge(
            eventful(Waiting(A, LATER), Waiting(B, LATER)),
            WaitDefaulted(LATER, A),
            eventful(Waiting(A, LATER), Succeeded(B, 4), at=9, rev=4),
            EVENTFUL,
        ),
        edge(eventful(Waiting(B)), WaitDefaulted(LATER, B), eventful(Succeeded(B, 4), at=9, rev=4), EVENTFUL),
        edge(eventful(Sleeping(A, LATER)), TICK, eventful(Succeeded(A, 4), rev=4), SLEEPY),
        edge(eventful(), TICK, eventful(Succeeded(A, 4), rev=4), SLEEPY),
    ],
}
