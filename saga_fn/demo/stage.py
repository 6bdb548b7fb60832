"""Who takes part in a run: the services' process and the workers' processes."""

from __future__ import annotations

import socket
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import attrs

from saga_fn.demo.processes import Child, child


@attrs.frozen
class Stage:
    """Where a run takes place: a server, and two schemas in it that no other program uses."""

    dsn: str
    schema: str
    """The schema of the sagas."""
    books_schema: str
    """The schema of the services' books: another, as it would be another database in life."""
    log_folder: Path

    def services(self, seed: int, listening: socket.socket) -> AbstractAsyncContextManager[Child]:
        """The process of the four services, answering on this socket."""
        arguments = ["--schema", self.books_schema, "--sagas-schema", self.schema]
        arguments += ["--seed", str(seed), "--fd", str(listening.fileno())]
        return self._child("services", "saga_fn.demo.services", arguments, inherit=[listening.fileno()])

    def worker(self, number: int, services_url: str) -> AbstractAsyncContextManager[Child]:
        """One worker process, `worker-<number>`."""
        name = f"worker-{number}"
        arguments = ["--name", name, "--schema", self.schema, "--services", services_url]
        return self._child(name, "saga_fn.demo.worker", arguments)

    def _child(
        self, name: str, module: str, arguments: list[str], inherit: list[int] | None = None
    ) -> AbstractAsyncContextManager[Child]:
        # The DSN may hold a password: it travels in the environment, which other users cannot read.
        environment = {"SAGA_FN_DSN": self.dsn}
        return child(
            name, module, arguments, environment=environment, log_folder=self.log_folder, inherit=inherit or []
        )
