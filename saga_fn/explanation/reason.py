"""One reason why a saga stands where it stands, in words, with the thing that helps."""

from __future__ import annotations

from datetime import datetime
from typing import Final, assert_never

import attrs

from saga_fn.core.explain.reasons import Cause
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import ParkReason
from saga_fn.core.verbs import Verb
from saga_fn.explanation.wording import LONGEST_ERROR, in_utc, said_by
from saga_fn.printable import counted


@attrs.frozen
class StandingReason:
    """One reason why a saga stands where it stands."""

    cause: Cause
    """Its kind."""
    step_id: str | None
    """The step that it is about, or None."""
    until: datetime | None
    """When it is over by itself; None if it is not, or if the moment is not known."""
    events: tuple[str, ...]
    """The names of the events that it waits for."""
    parked: str | None
    """The reason why it waits for a person, or None."""
    attempt: int
    """The number of the attempt, the present or the last one; 0 if there was none."""
    failures: int
    """The number of failed attempts that its retry policy counts."""
    may_have_run: bool
    """Whether the step may have run, and it is not known yet."""
    is_paused: bool = False
    """Whether it is not over before the end of a pause, even if `until` has come."""
    transactional: bool = False
    """Whether the step runs in a transaction of the database, and touches nothing else."""
    error: str | None = attrs.field(default=None, repr=False)
    """The error's type and message, or None. It is told of an attempt, undo or probe that is tried again, and of a saga that has ended
    COMPENSATED or FAILED. A person decides by it where a step is parked as `input_failed`, `output_lost`, `outcome_unknown` or
    `past_pivot`."""
    ended_as: SagaStatus | None = None
    """The end of a saga that is COMPENSATED or FAILED, or None. Then `step_id` is the step that failed, if one did."""
    most_attempts: int | None = None
    """The number of attempts that the retry policy of the step, its undo or its probe allows; None if that is not told."""
    probes_failed: int = 0
    """For a step that may have run: how often its probe has failed since it was asked first."""
    verb: Verb | None = None
    """The verb by which an operator has turned back, or ended, a saga that is COMPENSATED or FAILED; None if none has."""
    actor: str | None = None
    """The operator who asked for that verb, if that was said."""
    reason: str | None = None
    """The operator's reason, if that was said."""
    is_over: bool = False
    """Whether `until` has come, and no process has acted on it yet."""
    is_owned: bool = False
    """For what is due: whether a process has claimed the saga already, and goes on with it."""
    is_interrupted: bool = False
    """For what a process executed: whether no process has the saga's lease any more, so that any may go on with it."""
    lease_over: datetime | None = None
    """For what was interrupted: the end of its process's lease. None if the saga was handed back since, by a process that claimed it
    and could not go on with it."""

    @property
    def text(self) -> str:
        """The reason in words."""
        said = [_told(self)]
        if self.error is not None and self.cause is not Cause.ENDED:
            said.append(self.error[:LONGEST_ERROR])
        if (
            self.may_have_run
            and self.cause is not Cause.DOUBT
            and not (self.is_interrupted and self.cause is Cause.RUNNING)
        ):
            said.append("it may have run")
        most = "" if self.most_attempts is None else f" of {self.most_attempts}"
        if self.probes_failed:
            said.append(f"its probe has failed {counted(self.probes_failed, 'time')}{most}")
        if self.failures:
            said.append(f"failures counted: {self.failures}{'' if self.probes_failed else most}")
        if self.until is not None:
            said.append(f"until {in_utc(self.until)}" + (", which is over" if self.is_over else ""))
        waits_for_the_pause = self.is_paused and self.cause is not Cause.WORKER
        return "; ".join(said) + (", and for the end of the pause" if waits_for_the_pause else "")

    @property
    def mend(self) -> str | None:
        """The thing that helps, where a person has to do something; else None."""
        if self.parked is None:
            return None
        why = ParkReason(self.parked)
        return _said_of(why, transactional=self.transactional)[1]


MEND_OF_MISFIT: Final = (
    "deploy one that fits, as by @step(step_id=...) for a step that was renamed: the saga then goes on by itself"
)
"""The thing that helps where a definition does not fit what a saga has done."""
_MENDS: Final[dict[ParkReason, tuple[str, str]]] = {
    ParkReason.INPUT_FAILED: (
        "its input could not be computed",
        "mend and deploy the definition, then retry_step; or give its output by skip_step",
    ),
    ParkReason.INPUT_CHANGED: (
        "a repeat computed another input than the attempt before it",
        "deploy a definition that computes the old input again; retry_step accepts the new one",
    ),
    ParkReason.OUTPUT_LOST: (
        "it ran, and its output, or a message that it publishes, cannot be kept",
        "mend that, or deploy the topic's publisher, then retry_step; or settle_done, which loses messages; or settle_undone",
    ),
    ParkReason.PAYLOAD_UNREADABLE: (
        "the definition cannot decode a stored payload",
        "deploy a definition that can, then retry_step",
    ),
    ParkReason.PLAN_CHANGED: (
        "the definition of its workers does not fit what it has done",
        MEND_OF_MISFIT,
    ),
    ParkReason.CRASH_LOOP: (
        "its process died again and again while it ran alone there",
        "find out what kills the process, then retry_step",
    ),
    ParkReason.ROW_REJECTED: (
        "the database refused its row, or it was set aside",
        "see rejections of get_saga for the cause, mend it, then retry_step; abort ends it",
    ),
    ParkReason.STATE_UNREADABLE: ("its stored state cannot be read", "restore the row, or end it with abort"),
    ParkReason.PAST_PIVOT: (
        "it failed for good after the pivot, and the only way is forward",
        "mend the cause, then retry_step; or give its output by skip_step",
    ),
    ParkReason.OUTCOME_UNKNOWN: (
        "only a person can find out whether it has run",
        "ask the other system, then settle_done, settle_undone or settle_never_ran; if it does not know, cancel",
    ),
    ParkReason.UNDO_FAILED: (
        "its compensation has failed for as long as it is tried",
        "mend the cause, then retry_step; or undo it by hand, then settle_undone",
    ),
    ParkReason.TOO_LONG: (
        "it was tried so often that the journal has come to its limit",
        "give its output by skip_step, or cancel",
    ),
    ParkReason.CONFLICTS: (
        "each of its transactions met a conflict with another one; nothing of it is in the database",
        "lower its isolation, or keep others from the rows that it reads, then retry_step",
    ),
    ParkReason.SETTLED: (
        "nothing of it is in the world, and it is not decided how the saga goes on",
        "retry_step, or cancel",
    ),
}
_MENDS_WITHIN: Final[dict[ParkReason, tuple[str, str]]] = {
    ParkReason.OUTPUT_LOST: (
        "its output, or a message that it publishes, cannot be kept: its transaction was rolled back, nothing of the attempt is there",
        "mend that, or deploy the topic's publisher, then retry_step; or, before a pivot, cancel",
    ),
    ParkReason.OUTCOME_UNKNOWN: (  # only these two ways lead there
        _MENDS[ParkReason.OUTCOME_UNKNOWN][0],
        (
            "if it has ended its own transaction, look whether its rows are there; if another system did not answer, its rows are "
            "rolled back: ask that system; then settle_done, settle_undone or settle_never_ran; if neither can be known, cancel"
        ),
    ),
}
"""The same for a transactional step, where it is another."""


def _said_of(why: ParkReason, *, transactional: bool) -> tuple[str, str]:
    """A reason to wait for a person in words, and the thing that helps."""
    return _MENDS_WITHIN.get(why, _MENDS[why]) if transactional else _MENDS[why]


def _told(reason: StandingReason) -> str:
    step, attempt = reason.step_id, reason.attempt
    match reason.cause:
        case Cause.RUNNING | Cause.PROBING | Cause.UNDOING if reason.is_interrupted:
            return f"{_interrupted(reason)}: {_no_lease(reason.lease_over)}, and the next worker goes on with it as its plan says"
        case Cause.RUNNING:
            within = " in a transaction, and touches the database alone" if reason.transactional else ""
            return f"step {step} is being executed{within}, attempt {attempt}"
        case Cause.PROBING:
            return f"a probe is finding out whether step {step} has run"
        case Cause.UNDOING:
            return f"the compensation of step {step} is being executed, attempt {attempt}"
        case Cause.RETRY:
            return f"step {step} waits for its next attempt after attempt {attempt}"
        case Cause.DOUBT:
            return f"step {step} may have run (attempt {attempt}), and that is to be settled as its plan says"
        case Cause.UNDO_RETRY:
            return f"the compensation of step {step} waits for its next attempt after attempt {attempt}"
        case Cause.EVENT:
            return f"step {step} waits for the event {' or '.join(reason.events)}"
        case Cause.UNDO_EVENT:
            return f"the compensation of step {step} waits for the event {' or '.join(reason.events)}"
        case Cause.SLEEP:
            return f"step {step} sleeps"
        case Cause.BEGIN:
            return "the start is delayed"
        case Cause.STOPPING:
            return "an execution that was cut short may not have stopped yet, and nothing is undone before"
        case Cause.PERSON:
            return f"step {step} waits for a person ({reason.parked}): {_fact(reason)}"
        case Cause.UNDO_PERSON:
            return f"the compensation of step {step} waits for a person ({reason.parked}): {_fact(reason)}"
        case Cause.WORKER:
            on = f" with step {step}" if step else ""
            if reason.is_owned and not reason.is_paused:
                return f"it is due, and its owner goes on{on}"
            awaited = "the end of the pause" if reason.is_paused else "a worker"
            return f"it is due, and waits for {awaited}" + (f" to go on{on}" if step else "")
        case Cause.SET_ASIDE:
            return f"the saga as a whole waits for a person ({reason.parked}): {_fact(reason)}"
        case Cause.ENDED:
            return _ended(reason)
        case _:
            assert_never(reason.cause)


def _no_lease(over: datetime | None) -> str:
    if over is None:
        return "no process has the saga any more"
    return f"the lease of its process is over since {in_utc(over)}"


def _interrupted(reason: StandingReason) -> str:
    """The execution of a process whose lease is over."""
    step, attempt = reason.step_id, reason.attempt
    if reason.cause is Cause.PROBING:
        return f"a probe was finding out whether step {step} has run"
    if reason.cause is Cause.UNDOING:
        return f"the compensation of step {step} may have run (attempt {attempt})"
    if not reason.may_have_run:
        return f"step {step} was being executed in a transaction that is not committed (attempt {attempt})"
    return f"step {step} may have run (attempt {attempt})"


def _ended(reason: StandingReason) -> str:
    """The end, and the failure that counts for it."""
    if reason.ended_as is None:
        return "it has ended"
    told = f"it has ended {reason.ended_as}"
    if reason.verb is not None:
        told += f": an operator asked for {reason.verb}{said_by(reason.actor, reason.reason)}"
    if reason.error is None:
        return told if reason.verb is not None else f"{told}, and its journal tells of no failure"
    told += ": " if reason.verb is None else "; its failure: "
    if reason.step_id is not None:
        told += f"step {reason.step_id} failed"
        if reason.attempt:
            most = reason.most_attempts
            told += " for good" if reason.verb is None else ""
            told += f", attempt {reason.attempt}"
            told += "" if most is None or most < reason.attempt else f" of {most}"
        told += ": "
    return f"{told}{reason.error[:LONGEST_ERROR]}"


def _fact(of: StandingReason) -> str:
    return "" if of.parked is None else _said_of(ParkReason(of.parked), transactional=of.transactional)[0]
