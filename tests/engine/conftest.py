"""Every test of this folder that takes `make` runs on all stores: in memory, and in each PostgreSQL that is found."""

from __future__ import annotations

from tests.support.stores import make, memory
from tests.support.transactional import rows

__all__ = ["make", "memory", "rows"]
