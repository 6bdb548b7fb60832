"""What is read from a state, apart from what other tests ask of it on their way."""

from __future__ import annotations

from saga_fn.core.events import HandedBack
from saga_fn.core.facts import takeovers
from saga_fn.core.ids import Moment
from tests.core.given import SECOND, A, sequence, started


def test_takeovers_without_progress_are_counted() -> None:
    saga = started(sequence("ab"), A)
    assert takeovers(saga.state, takeover=True) == 1
    saga.take_over(A)
    assert takeovers(saga.state, takeover=False) == 1
    assert takeovers(saga.state, takeover=True) == 2
    saga.tell(HandedBack(Moment(SECOND)))
    assert takeovers(saga.state, takeover=True) == 1
    saga.resume(A)
    saga.take_over(A)
    assert takeovers(saga.state, takeover=False) == 2
