"""Which sagas a person may acknowledge."""

from __future__ import annotations

import pytest

from saga_fn.core.acknowledgement import refused
from saga_fn.core.effects import Refusal
from saga_fn.core.projection import SagaStatus


@pytest.mark.parametrize("status", SagaStatus)
def test_only_what_has_failed_is_acknowledged_and_that_once(status: SagaStatus) -> None:
    if status is SagaStatus.FAILED:
        assert refused(status, acknowledged=False) is None
        assert refused(status, acknowledged=True) is Refusal.ACKNOWLEDGED
    else:
        assert refused(status, acknowledged=False) is Refusal.NOT_FAILED
