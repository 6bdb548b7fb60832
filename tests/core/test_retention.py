"""Which ended sagas may be deleted, and from which moment on."""

from __future__ import annotations

from saga_fn.core.ids import Micros, Moment
from saga_fn.core.projection import SagaStatus
from saga_fn.core.retention import Deletable, Kept, deletable

NONE = Micros(0)


def test_nothing_may_be_deleted_that_nobody_has_named() -> None:
    assert deletable(Kept(), Moment(100), at_least=NONE) == ()
    assert deletable(Kept(compensated=Micros(30)), Moment(100), at_least=NONE) == (
        Deletable(SagaStatus.COMPENSATED, Moment(70), acknowledged_only=False),
    )


def test_each_end_has_a_length_of_its_own_and_a_failed_one_is_acknowledged_first() -> None:
    kept = Kept(completed=Micros(10), compensated=Micros(20), failed=Micros(30))
    assert deletable(kept, Moment(100), at_least=NONE) == (
        Deletable(SagaStatus.COMPLETED, Moment(90), acknowledged_only=False),
        Deletable(SagaStatus.COMPENSATED, Moment(80), acknowledged_only=False),
        Deletable(SagaStatus.FAILED, Moment(70), acknowledged_only=True),
    )


def test_no_saga_is_kept_for_less_than_the_least() -> None:
    (one,) = deletable(Kept(completed=Micros(10)), Moment(100), at_least=Micros(60))
    assert one.before == 40
