"""For the tests of your own sagas: every end that one may come to, found before it meets the world.

It needs no pytest, no database and nothing but this library.
"""

from saga_fn.testing.ends import ForbiddenEndError, SagaEnd, SagaEnds, explore

__all__ = ["ForbiddenEndError", "SagaEnd", "SagaEnds", "explore"]
