"""Real brokers for the tests: NATS and RabbitMQ, each a process of the test run's own, on free ports, in a temporary folder.

A test that kills a broker starts it again at the same port, with what it had stored.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import final

from typing_extensions import override

from tests.support.ports import free_port
from tests.support.tools import EPMD, NATS_SERVER, RABBITMQ
from tests.support.until import SOON

PASSWORD = "s3cret-of-the-broker"
LARGEST = 64 * 1024
"""Bytes of the largest message that each of them takes."""
_RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the script that needs no user of its own


class Broker:
    """A broker's process: started, killed, started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        log = (self.home / "log.txt").open("ab")
        self._process = subprocess.Popen(
            self._command(), env=self._environment(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.home
        )
        log.close()
        late = time.monotonic() + 3 * SOON
        while not self._answers():
            assert self._process.poll() is None, (self.home / "log.txt").read_text()[-4000:]
            assert time.monotonic() < late, (self.home / "log.txt").read_text()[-4000:]
            time.sleep(0.05)

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let it stand still: connections stay, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(
            os.P_PID, self._process.pid, os.WSTOPPED
        )  # some of its threads may answer until all of them stand still

    def go_on(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it for good."""
        self.kill()

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.settimeout(2)
                return self._greets(connection)
        except OSError:
            return False

    def _greets(self, connection: socket.socket) -> bool:
        raise NotImplementedError


@final
class NatsServer(Broker):
    """NATS with JetStream. `saga` may do everything, `limited` may not publish to `forbidden.>`."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._program = NATS_SERVER.require()
        (home / "nats.conf").write_text(
            f"""
            listen: "127.0.0.1:{self.port}"
            max_payload: {LARGEST}
            jetstream {{ store_dir: "{home / "store"}" }}
            authorization {{ users: [
                {{ user: saga, password: "{PASSWORD}" }},
                {{ user: limited, password: "{PASSWORD}", permissions: {{ publish: {{ deny: ["forbidden.>"] }} }} }}
            ] }}
            """
        )

    def url(self, user: str = "saga") -> str:
        """Its address, with a user's password in it."""
        return f"nats://{user}:{PASSWORD}@127.0.0.1:{self.port}"

    @override
    def _command(self) -> list[str]:
        return [self._program, "-c", str(self.home / "nats.conf")]

    @override
    def _greets(self, connection: socket.socket) -> bool:
        return connection.recv(4) == b"INFO"


@final
class RabbitServer(Broker):
    """RabbitMQ. `saga` may do everything, `limited` may write to nothing called `forbidden...`."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        RABBITMQ.require()
        self._names = free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        everything = {"vhost": "/", "configure": ".*", "read": ".*"}
        definitions = {
            "users": [{"name": name, "password": PASSWORD, "tags": ""} for name in ("saga", "limited")],
            "vhosts": [{"name": "/"}],
            "permissions": [
                {"user": "saga", "write": ".*", **everything},
                {"user": "limited", "write": "^(?!forbidden).*$", **everything},
            ],
        }
        (home / "definitions.json").write_text(json.dumps(definitions))
        (home / "plugins").write_text("[].\n")
        (home / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nload_definitions = {home / 'definitions.json'}\n"
            f"max_message_size = {LARGEST}\nlog.console = true\nlog.console.level = warning\nlog.file = false\n"
        )

    def url(self, user: str = "saga") -> str:
        """Its address, with a user's password in it."""
        return f"amqp://{user}:{PASSWORD}@127.0.0.1:{self.port}/"

    @override
    def start(self) -> None:
        """Start it, with the daemon that knows the names of its nodes: without one of ours it would leave one behind."""
        if self._epmd is None:
            self._epmd = subprocess.Popen(
                [EPMD.require(), "-port", str(self._names), "-address", "127.0.0.1"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        super().start()

    @override
    def close(self) -> None:
        """End both."""
        super().close()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None

    @override
    def _command(self) -> list[str]:
        return [str(_RABBITMQ)]

    @override
    def _environment(self) -> dict[str, str]:
        home = self.home
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._names),
            "RUNNING_UNDER_SYSTEMD": "true",  # the process itself, and not a script that waits for it
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
            "RABBITMQ_LOG_BASE": str(home / "logs"),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_NODENAME": f"saga{self.port}@localhost",
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        }

    @override
    def _greets(self, connection: socket.socket) -> bool:
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        return bool(connection.recv(1))
