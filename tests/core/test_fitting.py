"""Whether a plan fits a saga: told on a copy, by the rule that takes the saga to that plan."""

from __future__ import annotations

from saga_fn.core.effects import Misfit
from saga_fn.core.events import SagaParked
from saga_fn.core.fitting import misfit
from saga_fn.core.ids import Moment
from saga_fn.core.plan import Plan
from saga_fn.core.state import ParkReason
from tests.core.given import ONE, A, started, step

AT = Moment(9)


def test_a_plan_fits_a_saga_if_it_knows_what_has_begun() -> None:
    state = started(ONE, A).state
    assert misfit(ONE, state, AT) is None
    assert misfit(Plan.of(step("a"), step("b", "a")), state, AT) is None
    found = misfit(Plan.of(step("b")), state, AT)
    assert found is not None
    assert (found.misfit, found.step) == (Misfit.GONE, A)


def test_its_own_plan_fits_a_saga_that_another_one_has_parked() -> None:
    saga = started(ONE, A)
    saga.tell(SagaParked(saga.moment, ParkReason.PLAN_CHANGED))
    assert misfit(ONE, saga.state, AT) is None
    assert misfit(Plan.of(step("b")), saga.state, AT) is not None
