"""For the tests of your own sagas: a World to run them in, every end that one may come to, laws, and replays.

It needs no pytest, no database and nothing but this library.
"""

from saga_fn.testing.calls import Call, Phase, WorldError
from saga_fn.testing.ends import ForbiddenEndError, SagaEnd, SagaEnds, explore
from saga_fn.testing.laws import LawCase, LawError, LawNotJudgedError, laws
from saga_fn.testing.replay import Replayed, ReplayError, ReplayFinding, ReplayKind, replay
from saga_fn.testing.world import World

__all__ = [
    "Call",
    "ForbiddenEndError",
    "LawCase",
    "LawError",
    "LawNotJudgedError",
    "Phase",
    "ReplayError",
    "ReplayFinding",
    "ReplayKind",
    "Replayed",
    "SagaEnd",
    "SagaEnds",
    "World",
    "WorldError",
    "explore",
    "laws",
    "replay",
]
