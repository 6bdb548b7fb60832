"""Where a fault is tried: which PostgreSQL, and which way to it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from tests.support.tools import PG15


@attrs.frozen
class Cell:
    """One PostgreSQL, reached directly or through PgBouncer in transaction mode."""

    version: int
    pooled: bool

    @property
    def name(self) -> str:
        """Its name in tests and tables."""
        return f"{self.version}-pgbouncer" if self.pooled else str(self.version)

    @property
    def bin_dir(self) -> Path | None:
        """The folder of its programs; None for those of the extra `embedded`."""
        return PG15 if self.version == 15 else None


CELLS: Final = tuple(Cell(version, pooled) for version in (18, 15) for pooled in (False, True))
