"""Each verb takes of what an operator says the part that it knows."""

from __future__ import annotations

import pytest

from saga_fn.core.events import Rescheduled, ResumeRequested, RetryRequested, RewindRequested, StepSkipped
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.verbs import Verb, ask, with_all

AT, LATER, CHARGE, GIVEN = Moment(5), Moment(9), StepId("charge"), Digest(b"fingerpr")


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb is not Verb.ACKNOWLEDGE])
def test_a_verb_has_the_revision_and_what_else_it_knows(verb: Verb) -> None:
    event = ask(verb, CHARGE, AT, until=LATER)
    assert event is not None
    full = with_all(event, expect=7, given=GIVEN, not_begun=True, forget=(CHARGE,), to=LATER, step=CHARGE, extend=True)
    assert (type(full), full.at, full.expect) == (type(event), AT, 7)
    match full:
        case RetryRequested():
            assert full.digest == GIVEN
        case StepSkipped():
            assert full.not_begun
        case RewindRequested():
            assert full.forget == (CHARGE,)
        case Rescheduled():
            assert (full.to, full.step) == (LATER, CHARGE)
        case ResumeRequested():
            assert full.extend
        case _:
            pass
    assert (
        with_all(
            event, expect=None, given=Digest(b""), not_begun=False, forget=(), to=None, step=StepId(""), extend=False
        )
        == event
    )
