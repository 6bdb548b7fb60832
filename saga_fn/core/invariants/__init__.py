"""The laws that hold of every saga, as pure predicates: of a state, and of an edge from one state to the next.

The names carry the numbers that tests, reports and audits use; I2 and I5 are of the store: one saga for each key, one
owner at a time. Nothing here decides anything: the predicates are written from the promises, not from the transition
function, so that each can catch the other lying.
"""

from __future__ import annotations

from typing import Final, get_args

from saga_fn.core.events import (
    AbortRequested,
    CompensationFailed,
    CompensationRequested,
    CompensationWaits,
    EventReceived,
    HandedBack,
    MomentsMoved,
    OperatorVerb,
    Paused,
    PauseRequested,
    ProbeAnswered,
    ProbeFailed,
    Rescheduled,
    Resumed,
    ResumeRequested,
    RetryRequested,
    RewindRequested,
    StepFailed,
    StepSettled,
    Ticked,
)
from saga_fn.core.invariants.asked import Asked, Change, Of, Trait
from saga_fn.core.invariants.branches import (
    i7_no_successor_starts_early,
    i7_nothing_runs_before_what_it_follows,
    i7_only_a_condition_passes_over,
    i8_siblings_are_awaited_unless_declared_otherwise,
    i8_siblings_are_cut_short_where_that_is_declared,
)
from saga_fn.core.invariants.edge import Edge, EdgeLaw, StateLaw
from saga_fn.core.invariants.effects import effects_agree_with_the_state, needs_are_what_could_start
from saga_fn.core.invariants.ends import (
    i11_an_end_is_at_rest,
    i11_ends_are_absorbing,
    i12_compensated_means_nothing_left,
    i12_completed_means_all_done,
    i12_failed_lists_what_is_left,
    i16_a_cancellation_is_before_or_after_the_end,
)
from saga_fn.core.invariants.history import i3_revisions_are_gapless, i4_executions_are_told_apart, i6_results_are_kept
from saga_fn.core.invariants.items import i7_items_belong_to_a_list, i15_no_more_items_at_once_than_declared
from saga_fn.core.invariants.pauses import (
    i18_a_claim_alone_ends_a_pause,
    i18_a_moment_knows_when_it_was_set,
    i18_a_paused_saga_begins_nothing,
    i18_moments_are_moved_once_for_a_time,
    i18_what_runs_comes_to_its_end,
)
from saga_fn.core.invariants.pivot import (
    i10_no_way_back_from_a_pivot_in_doubt,
    i10_nothing_is_undone_past_the_pivot,
    i10_only_a_person_ends_it_past_the_pivot,
)
from saga_fn.core.invariants.retries import (
    i15_an_undo_is_left_over_only_where_that_is_declared,
    i15_attempts_stay_within_the_policy,
    i15_journals_are_bounded,
    i15_nothing_starts_before_its_time,
    i15_only_what_was_alone_is_a_crash_loop,
    i15_what_is_parked_goes_on_by_a_person,
    i15_what_may_run_on_is_waited_for,
)
from saga_fn.core.invariants.rollback import (
    i8_nothing_new_starts_once_it_turned_back,
    i8_nothing_runs_forward_beside_a_compensation,
    i9_in_reverse_order,
    i9_only_what_succeeded_is_undone,
    i9_undone_means_its_compensation_returned,
    i10_no_way_forward_after_an_undo,
)
from saga_fn.core.invariants.rows import (
    i1_a_message_makes_it_due,
    i1_a_scan_finds_it,
    i1_the_row_keeps_the_tables_rules,
)
from saga_fn.core.invariants.unknown_outcome import (
    i9_a_doubt_is_settled_by_what_says_so,
    i9_a_person_is_asked_before_what_is_left_to_one_is_given_up,
    i9_what_can_be_found_out_is_before_anything_is_undone,
    i9_what_is_handed_back_is_in_doubt_if_it_had_begun,
    i9_what_may_have_run_is_settled_as_declared,
    i9_what_ran_in_a_transaction_is_in_doubt_by_its_own_word_alone,
    i9_what_was_interrupted_in_a_transaction_is_repeated,
)
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
from saga_fn.core.invariants.waits import (
    i13_a_named_event_is_taken_once,
    i13_events_are_kept_in_order,
    i13_events_wait_in_order,
    i14_no_timer_fires_early,
    i14_nothing_begins_before_its_saga,
    i14_only_a_person_brings_a_beginning_forward,
    i14_what_is_due_fires,
)
from saga_fn.core.state import (
    TIMED,
    UNDOING,
    UNFINISHED,
    FailedForGood,
    NotTaken,
    Parked,
    Retrying,
    Rewound,
    Running,
    Skipped,
    StepState,
    UndoFailed,
    Undone,
    UndoParked,
    UndoRetrying,
    Unknown,
)

__all__ = ["ASKED", "EDGE_LAWS", "STATE_LAWS", "Edge", "EdgeLaw", "StateLaw"]

STATE_LAWS: Final[tuple[StateLaw, ...]] = (
    i1_a_scan_finds_it,
    i1_the_row_keeps_the_tables_rules,
    i1_a_message_makes_it_due,
    i7_nothing_runs_before_what_it_follows,
    i7_items_belong_to_a_list,
    i8_nothing_runs_forward_beside_a_compensation,
    i8_siblings_are_cut_short_where_that_is_declared,
    i10_nothing_is_undone_past_the_pivot,
    i11_an_end_is_at_rest,
    i12_completed_means_all_done,
    i12_compensated_means_nothing_left,
    i12_failed_lists_what_is_left,
)
_NOT_BEGUN: Final[frozenset[type[object]]] = frozenset({type(None)})
_PARKED: Final[frozenset[type[object]]] = frozenset({Parked, UndoParked})
_OPEN: Final[frozenset[type[object]]] = UNFINISHED | {Skipped}
_TRIED: Final[frozenset[type[object]]] = UNFINISHED | (UNDOING - {Undone})
_AWAITS: Final[frozenset[type[object]]] = TIMED | {Retrying, Unknown, UndoRetrying}
_OF_PAUSES: Final = (Paused, PauseRequested, ResumeRequested, MomentsMoved)


def _to(kind: type[StepState]) -> Change:
    return None, frozenset({kind})


ASKED: Final = Asked(
    (
        i3_revisions_are_gapless,
        i10_no_way_forward_after_an_undo,
        effects_agree_with_the_state,
        needs_are_what_could_start,
    ),
    (
        (i4_executions_are_told_apart, Of(Trait.STARTS)),
        (i6_results_are_kept, Of(Trait.MORE_OR_FEWER, changes=[(None, None)])),
        (i7_no_successor_starts_early, Of(Trait.STARTS, changes=[(_NOT_BEGUN | {Rewound}, None)])),
        (i7_only_a_condition_passes_over, Of(changes=[_to(NotTaken)])),
        (i8_nothing_new_starts_once_it_turned_back, Of(Trait.NOT_FORWARD)),
        (i8_siblings_are_awaited_unless_declared_otherwise, Of(events=[StepFailed])),
        (i9_a_doubt_is_settled_by_what_says_so, Of(changes=[(_OPEN, _OPEN)])),
        (i9_a_person_is_asked_before_what_is_left_to_one_is_given_up, Of(changes=[_to(FailedForGood)])),
        (i9_in_reverse_order, Of(Trait.TURNS)),
        (i9_only_what_succeeded_is_undone, Of(Trait.TURNS)),
        (i9_undone_means_its_compensation_returned, Of(changes=[_to(Undone)])),
        (i9_what_can_be_found_out_is_before_anything_is_undone, Of(Trait.TURNS)),
        (i9_what_is_handed_back_is_in_doubt_if_it_had_begun, Of(events=[HandedBack])),
        (i9_what_may_have_run_is_settled_as_declared, Of(Trait.STARTS)),
        (
            i9_what_ran_in_a_transaction_is_in_doubt_by_its_own_word_alone,
            Of(changes=[(frozenset({Running}), UNFINISHED)]),
        ),
        (i9_what_was_interrupted_in_a_transaction_is_repeated, Of(events=[HandedBack, Resumed])),
        (i10_no_way_back_from_a_pivot_in_doubt, Of(Trait.TURNS)),
        (i10_only_a_person_ends_it_past_the_pivot, Of(Trait.NOT_FORWARD)),
        (i11_ends_are_absorbing, Of(Trait.NOT_FORWARD)),
        (
            i13_a_named_event_is_taken_once,
            Of(Trait.WAITS, events=[EventReceived, RewindRequested, CompensationWaits]),
        ),
        (i13_events_are_kept_in_order, Of(Trait.UNNAMED_EVENTS, events=[EventReceived])),
        (i13_events_wait_in_order, Of(Trait.WAITS)),
        (i14_no_timer_fires_early, Of(Trait.TIMED_OUT)),
        (i14_nothing_begins_before_its_saga, Of(Trait.BEGINS_LATER)),
        (i14_only_a_person_brings_a_beginning_forward, Of(Trait.BEGINS_LATER)),
        (i14_what_is_due_fires, Of(events=[Ticked, Resumed])),
        (i15_an_undo_is_left_over_only_where_that_is_declared, Of(changes=[_to(UndoFailed)])),
        (i15_attempts_stay_within_the_policy, Of(events=[StepFailed, CompensationFailed, ProbeFailed])),
        (i15_journals_are_bounded, Of(events=[StepFailed, CompensationFailed, ProbeFailed, ProbeAnswered])),
        (i15_no_more_items_at_once_than_declared, Of(Trait.STARTS)),
        (i15_nothing_starts_before_its_time, Of(Trait.STARTS)),
        (i15_only_what_was_alone_is_a_crash_loop, Of(changes=[(None, _PARKED)])),
        (i15_what_is_parked_goes_on_by_a_person, Of(changes=[(_PARKED, None)])),
        (i15_what_may_run_on_is_waited_for, Of(changes=[(_TRIED, _TRIED)])),
        (i16_a_cancellation_is_before_or_after_the_end, Of(events=[AbortRequested, CompensationRequested])),
        (i17_a_retry_is_of_the_step_it_names, Of(events=[RetryRequested])),
        (i17_a_settled_step_is_as_the_operator_says, Of(events=[StepSettled])),
        (i17_a_verb_is_for_the_state_that_the_operator_saw, Of(events=get_args(OperatorVerb))),
        (
            i17_an_input_that_a_person_gives_is_the_steps_input,
            Of(events=[RetryRequested], changes=[(None, UNFINISHED)]),
        ),
        (
            i17_going_back_forgets_only_what_is_named,
            Of(Trait.MORE_OR_FEWER, events=[RewindRequested], changes=[(_NOT_BEGUN, None), _to(Rewound)]),
        ),
        (i17_what_comes_from_outside_starts_nothing_that_nobody_would_run, Of(Trait.STARTS)),
        (
            i17_what_has_gone_back_is_undone_as_another,
            Of(Trait.WENT_BACK, events=[RewindRequested], changes=[(UNDOING, None)]),
        ),
        (i17_what_sleeps_is_moved_to_the_moment_that_was_named, Of(events=[Rescheduled])),
        (i18_a_claim_alone_ends_a_pause, Of(Trait.PAUSES, events=_OF_PAUSES)),
        (i18_a_moment_knows_when_it_was_set, Of(Trait.PAUSES, changes=[(None, _AWAITS)])),
        (i18_a_paused_saga_begins_nothing, Of(Trait.PAUSES)),
        (i18_moments_are_moved_once_for_a_time, Of(Trait.PAUSES, events=_OF_PAUSES)),
        (i18_what_runs_comes_to_its_end, Of(events=_OF_PAUSES)),
    ),
)
"""The laws of edges, each with the edges that it says something of."""
EDGE_LAWS: Final = ASKED.every
