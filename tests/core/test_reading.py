"""What is read from a state, apart from what other tests ask of it on their way."""

from __future__ import annotations

from saga_fn.core.events import HandedBack
from saga_fn.core.ids import Moment
from saga_fn.core.reading import suspect
from tests.core.given import SECOND, A, sequence, started


def test_a_crash_loop_is_suspect_from_its_second_takeover() -> None:
    saga = started(sequence("ab"), A)
    assert not suspect(saga.state, takeover=True)
    saga.take_over(A)
    assert not suspect(saga.state, takeover=False)
    assert suspect(saga.state, takeover=True)
    saga.tell(HandedBack(Moment(SECOND)))
    assert not suspect(saga.state, takeover=True)
    saga.resume(A)
    saga.take_over(A)
    assert suspect(saga.state, takeover=False)
