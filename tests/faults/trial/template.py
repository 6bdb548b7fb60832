"""The data folder that every trial of a version begins with: made and migrated once, and copied for each."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from saga_fn.embedded import EmbeddedPostgres
from saga_fn.store.migrate import migrate
from tests.faults.trial.cells import Cell
from tests.support.servers import SETTINGS, folder_in_memory, trust


@asynccontextmanager
async def template(cell: Cell) -> AsyncGenerator[Path]:
    """The folder of an embedded server that has ended, with the schema in its database, for every trial on that version."""
    with tempfile.TemporaryDirectory(prefix="saga-fn-template-", dir=folder_in_memory()) as made:
        Path(made).chmod(0o755)  # the server may run as another user
        home = Path(made) / "home"
        async with EmbeddedPostgres(home, bin_dir=cell.bin_dir, settings=SETTINGS) as server:
            await migrate(server.dsn)
        trust(home / "data")
        yield home


def copied(home: Path, to: Path) -> None:
    """Copy a folder with its owners and rights."""
    subprocess.run(["cp", "-a", str(home), str(to)], check=True)
