"""Forged edges that the laws of `invariants/verbs.py` must refuse."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from saga_fn.core.effects import Release
from saga_fn.core.events import (
    CompensationRequested,
    EventReceived,
    Finding,
    Rescheduled,
    RetryRequested,
    RewindRequested,
    StepSettled,
    Ticked,
)
from saga_fn.core.ids import Digest, Moment
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.edge import EdgeLaw
from saga_fn.core.invariants.verbs import (
    i17_a_retry_is_of_the_step_it_names,
    i17_a_settled_step_is_as_the_operator_says,
    i17_a_verb_is_for_the_state_that_the_operator_saw,
    i17_an_input_that_a_person_gives_is_the_steps_input,
    i17_going_back_forgets_only_what_is_named,
    i17_what_comes_from_outside_starts_nothing_that_nobody_would_run,
    i17_what_has_gone_back_is_undone_as_another,
    i17_what_sleeps_is_moved_to_the_moment_that_was_named,
)
from saga_fn.core.state import (
    Attempts,
    Doubt,
    FailedForGood,
    FannedOut,
    ParkReason,
    Probing,
    Retrying,
    Rewound,
    Running,
    Settled,
    Skipped,
    Sleeping,
    Succeeded,
    Undoing,
    Undone,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unknown,
    Waiting,
)
from tests.core.forged.given import (
    A0,
    ASKED,
    ASKED_ONCE,
    BACK,
    DOUBTFUL,
    FANNED,
    HELD,
    LATER,
    ONCE,
    RAN,
    SEEN,
    TWO,
    edge,
    moved,
    parked,
    state,
)
from tests.core.given import PIVOTED, TWO_ROOTS, A, B

FAILED_ONCE = Attempts(1, 1)
GIVEN = Attempts(1, digest=SEEN, given=2)
NOW = Moment(0)

EDGES: dict[EdgeLaw, list[Edge]] = {
    i17_a_verb_is_for_the_state_that_the_operator_saw: [
        edge(RAN, CompensationRequested(NOW, expect=2), state(goal=BACK, rev=4)),
        edge(RAN, CompensationRequested(NOW, expect=4), state(goal=BACK, rev=4)),
    ],
    i17_a_retry_is_of_the_step_it_names: [
        edge(state(parked(A), parked(B)), RetryRequested(NOW, A), state(parked(A), Retrying(B, ONCE, NOW), rev=4)),
        edge(
            state(Retrying(A, ONCE, LATER), Retrying(B, FAILED_ONCE, LATER)),
            RetryRequested(NOW, A),
            state(Retrying(A, ONCE, NOW), Retrying(B, ONCE, LATER), rev=4),
        ),
        edge(
            state(UndoParked(B, 1, ONCE, ParkReason.ROW_REJECTED), goal=BACK),
            RetryRequested(NOW, A),
            state(UndoRetrying(B, 1, ONCE, NOW), goal=BACK, rev=4),
        ),
        edge(state(parked(B)), RetryRequested(NOW, A), state(Unknown(B, ONCE), rev=4)),
    ],
    i17_a_settled_step_is_as_the_operator_says: [
        edge(state(was), StepSettled(NOW, A, finding=finding), state(now, rev=4))
        for was, finding, now in (
            (Unknown(A, DOUBTFUL), Finding.NEVER_RAN, Unknown(A, DOUBTFUL)),
            (Unknown(A, DOUBTFUL), Finding.DONE, FailedForGood(A, DOUBTFUL)),
            (Skipped(A, 2, Doubt.MAY_HAVE_RUN), Finding.UNDONE, Skipped(A, 2, Doubt.MAY_HAVE_RUN)),
            (Unknown(A, DOUBTFUL), Finding.UNDONE, Retrying(A, ONCE, LATER)),
        )
    ],
    i17_an_input_that_a_person_gives_is_the_steps_input: [
        edge(state(was), RetryRequested(NOW, A, digest=SEEN), state(Retrying(A, now, NOW), rev=4))
        for was, now in (
            (parked(A), Attempts(1, digest=SEEN, generation=1)),
            (parked(A), Attempts(1, digest=SEEN, generation=1, given=3)),
            (parked(A), Attempts(1, digest=Digest(b"y"), generation=1, given=4)),
            (parked(A), Attempts(1, digest=SEEN, given=4)),
            (Unknown(A, DOUBTFUL), Attempts(1, digest=SEEN, generation=1, given=4)),
            (parked(A), replace(DOUBTFUL, digest=SEEN, generation=1, given=4)),
        )
    ]
    + [
        edge(state(Retrying(A, GIVEN, NOW)), Ticked(NOW), state(Running(A, now), rev=4))
        for now in (replace(GIVEN, given=0), replace(GIVEN, given=4), replace(GIVEN, digest=Digest(b"y")))
    ]
    + [
        edge(
            state(Retrying(A, GIVEN, NOW)),
            RetryRequested(NOW, A),
            state(Retrying(A, replace(GIVEN, given=4), NOW), rev=4),
        )
    ],
    i17_what_sleeps_is_moved_to_the_moment_that_was_named: [
        edge(
            state(Retrying(A, ONCE, NOW), Retrying(B, ONCE, NOW)),
            Rescheduled(NOW, LATER, A),
            state(Retrying(A, ONCE, NOW), Retrying(B, ONCE, LATER), rev=4),
        ),
        edge(state(Waiting(A, LATER)), Rescheduled(NOW, NOW), state(Waiting(A, NOW), rev=4)),
        edge(state(Sleeping(A, LATER)), Rescheduled(NOW, LATER), state(Sleeping(A, NOW), rev=4)),
        edge(
            state(Sleeping(A, NOW)),
            Rescheduled(NOW, LATER),
            msgspec.structs.replace(state(Sleeping(A, LATER), rev=4), deadline=LATER),
        ),
        edge(
            msgspec.structs.replace(state(), begins_at=LATER),
            Rescheduled(NOW, NOW),
            msgspec.structs.replace(state(rev=4), begins_at=LATER),
        ),
    ],
    i17_going_back_forgets_only_what_is_named: [
        edge(state(Succeeded(A, 1)), Ticked(NOW), state(Rewound(A, 4), rev=4)),
        edge(state(Succeeded(A, 1)), Ticked(NOW), state(rev=4)),
        *(
            edge(state(*was), RewindRequested(NOW, named, forget, None, ()), state(*now, rev=4), plan)
            for was, named, forget, now, plan in (
                # Not what was asked, or not as it is to be.
                ((), A, (A,), (), TWO),
                ((Succeeded(A, 1), parked(B)), B, (A,), (Rewound(A, 4), Rewound(B, 4)), TWO),
                ((Succeeded(A, 1), parked(B)), B, (A,), (Rewound(B, 4),), TWO),
                ((Succeeded(A, 1), parked(B)), A, (A,), (Rewound(A, 4), parked(B)), TWO),
                ((Succeeded(A, 1),), A, (A,), (Rewound(A, 3),), TWO),
                ((Succeeded(A, 1),), A, (A,), (), TWO),
                ((FannedOut(A, 1, SEEN), Succeeded(A0, 2)), A, (A,), (Rewound(A, 4), Rewound(A0, 4)), FANNED),
                # Something that runs, or may.
                ((Running(A, ONCE),), A, (A,), (Rewound(A, 4),), TWO),
                ((FailedForGood(A, HELD),), A, (A,), (Rewound(A, 4),), TWO),
                # Something that is in the world, or may be, and was not named.
                ((Succeeded(A, 1),), A, (B,), (Rewound(A, 4),), TWO),
                ((Settled(A, 1, SEEN),), A, (), (Rewound(A, 4),), TWO),
                ((FailedForGood(A, DOUBTFUL),), A, (), (Rewound(A, 4),), TWO),
                ((Skipped(A, 1, Doubt.MAY_HAVE_RUN),), A, (), (Rewound(A, 4),), TWO),
                ((UndoParked(A, 1, ONCE, ParkReason.UNDO_FAILED),), A, (), (Rewound(A, 4),), TWO),
                # A pivot that is done or in doubt.
                ((Succeeded(A, 1), Succeeded(B, 2)), B, (B,), (Succeeded(A, 1), Rewound(B, 4)), PIVOTED),
                ((Succeeded(A, 1), Skipped(B, 2)), B, (B,), (Succeeded(A, 1), Rewound(B, 4)), PIVOTED),
                ((Succeeded(A, 1), FailedForGood(B, DOUBTFUL)), B, (B,), (Succeeded(A, 1), Rewound(B, 4)), PIVOTED),
            )
        ),
    ],
    i17_what_has_gone_back_is_undone_as_another: [
        edge(state(Undone(A, 1), goal=BACK), Ticked(NOW), state(Succeeded(A, 1), rev=4)),
        edge(state(Undone(A, 1), goal=BACK), Ticked(NOW), state(Undoing(A, 1, ONCE), goal=BACK, rev=4)),
        edge(state(), Ticked(NOW), msgspec.structs.replace(state(rev=4), rewound=(Rewound(A, 4),))),
        edge(msgspec.structs.replace(state(), rewound=(Rewound(A, 2),)), Ticked(NOW), state(rev=4)),
        *(
            edge(
                msgspec.structs.replace(state(Undone(A, 1)), rewound=(Rewound(A, 2),)),
                RewindRequested(NOW, A),
                msgspec.structs.replace(state(now, rev=4), rewound=rewound),
            )
            for now, rewound in (
                (Rewound(A, 4), ()),
                (Rewound(A, 4), (Rewound(A, 2),)),
                (Rewound(A, 4), (Rewound(A, 2), Rewound(A, 4))),
                (Rewound(A, 4), (Rewound(A, 4), Rewound(B, 4))),
                (Undone(A, 1), (Rewound(A, 4),)),
            )
        ),
    ],
    i17_what_comes_from_outside_starts_nothing_that_nobody_would_run: [
        edge(state(Succeeded(A, 1)), CompensationRequested(NOW), state(Undoing(A, 1, ONCE), goal=BACK, rev=4)),
        edge(
            state(UndoWaiting(A, 1, ONCE, ("paid",)), goal=BACK),
            EventReceived(NOW, "paid"),
            state(Undoing(A, 1, Attempts(2)), goal=BACK, rev=4),
        ),
        edge(state(Unknown(A, DOUBTFUL)), Rescheduled(NOW, NOW), state(Probing(A, ASKED_ONCE), rev=4), ASKED),
    ],
}

# What looks like a lie and is none: no law forbids it.
HONEST_EDGES: list[Edge] = [
    edge(
        state(FailedForGood(A, HELD)),
        RewindRequested(NOW, A, stopped=(A,)),
        moved(
            msgspec.structs.replace(state(Rewound(A, 4), rev=4), rewound=(Rewound(A, 4),)),
            needs=(A,),
            writes=(Release(NOW),),
        ),
    ),
    edge(
        state(Retrying(A, FAILED_ONCE, LATER), Retrying(B, FAILED_ONCE, LATER)),
        RetryRequested(NOW, A, expect=3),
        msgspec.structs.replace(
            moved(
                state(Retrying(A, ONCE, NOW), Retrying(B, FAILED_ONCE, LATER), rev=4),
                needs=(A,),
                writes=(Release(NOW),),
            )
        ),
        TWO_ROOTS,
    ),
]
