"""For the tests of your own sagas: every end that one may come to, and whether a build goes on with what production has begun.

It needs no pytest, no database and nothing but this library.
"""

from saga_fn.testing.ends import ForbiddenEndError, SagaEnd, SagaEnds, explore
from saga_fn.testing.replay import Replayed, ReplayError, ReplayFinding, ReplayKind, replay

__all__ = [
    "ForbiddenEndError",
    "ReplayError",
    "ReplayFinding",
    "ReplayKind",
    "Replayed",
    "SagaEnd",
    "SagaEnds",
    "explore",
    "replay",
]
