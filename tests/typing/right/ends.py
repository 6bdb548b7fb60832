"""Every end of a definition, and laws about them."""

from __future__ import annotations

from typing import assert_type

from saga_fn import SagaStatus, StepStatus
from saga_fn.testing import SagaEnd, SagaEnds, explore
from tests.typing.shop import charge, create_order, reserve

found = explore(create_order, forbid=lambda end: end.is_done(charge) and not end.is_done("reserve"), most_states=9)
assert_type(found, SagaEnds)
assert_type(found.ends, tuple[SagaEnd, ...])
assert_type(found.ends[0].status, SagaStatus)
assert_type(found.ends[0].status_of(reserve), StepStatus)
assert_type(found.diagram("mermaid"), str)
