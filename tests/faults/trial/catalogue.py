"""The 48 faults by number and name: what must hold in each, and where one does not apply.

`python -m tests.faults.trial.page` makes the table in docs/faults.md of it, and a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from tests.faults.trial.cells import CELLS, Cell

DIRECT: Final = frozenset(cell for cell in CELLS if not cell.pooled)


@attrs.frozen
class Fault:
    """One of them. `not_in`: the cells where it is not tried, each with the reason."""

    number: int
    name: str
    must_hold: str
    not_in: Mapping[Cell, str] = attrs.field(factory=dict[Cell, str])
    loses: bool = False
    """Whether starts may be lost: they are counted, and no other fault loses any."""

    def cells(self) -> tuple[Cell, ...]:
        """Where it is tried."""
        return tuple(cell for cell in CELLS if cell not in self.not_in)


def _nowhere(reason: str) -> dict[Cell, str]:
    return dict.fromkeys(CELLS, reason)


_LISTED: Final = (
    Fault(1, "a worker is killed before a step starts", "another one takes the saga over"),
    Fault(2, "a worker is killed in a step", "the step is called again under its key"),
    Fault(3, "a worker is killed after a step, before its commit", "the step is called once more"),
    Fault(4, "a worker is killed when its commit is sent and not answered", "the commit counts once, or not"),
    Fault(5, "the answer to a commit is lost, and the worker lives", "nothing is recorded twice"),
    Fault(6, "a connection is reset in a statement for many sagas", "all of the statement, or nothing of it"),
    Fault(7, "connections fall silent, or are closed in one direction", "waits end, another takes over"),
    Fault(8, "every packet is late by 50 ms, 500 ms or 2.5 s", "no lease is taken too early by many"),
    Fault(9, "10 KB a second get through a connection", "all comes to its end"),
    Fault(10, "the network goes and comes back, twice", "all of them connect again"),
    Fault(11, "all server processes of connections are terminated", "each connection is made again"),
    Fault(12, "all running statements are cancelled", "they are sent again"),
    Fault(13, "another session locks a table for some seconds", "all stands still, and goes on"),
    Fault(14, "PostgreSQL is stopped at once, as a crash would", "accepted starts are there"),
    Fault(15, "the postmaster is killed, or one of its processes", "accepted starts are there"),
    Fault(16, "PostgreSQL is restarted again and again", "all comes to its end"),
    Fault(17, "PostgreSQL is restarted exactly in a takeover", "nothing is stranded"),
    Fault(18, "a synchronous standby is promoted", "no accepted start is lost"),
    Fault(
        19, "an asynchronous standby that lags is promoted", "what is lost is counted, the rest is right", loses=True
    ),
    Fault(20, "the old primary goes on beside the new one", "what is lost is counted, the rest is right", loses=True),
    Fault(21, "the server that is reached takes no writes", "no saga fails of it"),
    Fault(22, "the disk is full", "starts are refused, and all goes on when there is room"),
    Fault(23, "each fsync takes 300 ms", "all is late, nothing more"),
    Fault(24, "fsync fails with EIO", "PostgreSQL recovers, accepted starts are there"),
    Fault(25, "fsync lies, and the machine crashes", "the loss is noticed and counted", loses=True),
    Fault(26, "there are too many connections", "they are asked for again later"),
    Fault(27, "the server has no room for locks", "statements are sent again"),
    Fault(28, "deadlocks between batches and a foreign session", "statements are sent again"),
    Fault(29, "every transaction is serializable", "statements are sent again"),
    Fault(30, "an old transaction keeps dead rows", "nothing but time is lost"),
    Fault(31, "nothing is vacuumed", "nothing but time is lost"),
    Fault(32, "notifications are lost: the listener dies, or the queue stands", "all is found by polling"),
    Fault(33, "a thousand foreign notifications a second", "each worker claims as seldom as without them"),
    Fault(
        34,
        "PgBouncer is killed and comes back",
        "all of them connect again",
        dict.fromkeys(DIRECT, "there is no pooler on this way"),
    ),
    Fault(35, "a worker's clock jumps by an hour and drifts", "the clock of the database decides"),
    Fault(36, "the database's clock jumps forward and back", "an early takeover does no harm"),
    Fault(37, "a worker stands still for longer than its lease", "what it says later is refused"),
    Fault(38, "a step blocks the event loop", "its lease is lost, and nothing else"),
    Fault(39, "a step raises what is no error, or returns what cannot be stored", "other sagas go on"),
    Fault(40, "a call of the engine is cancelled at each of its awaits", "no owner is left over"),
    Fault(41, "two processes with the same name, forked from one", "each is an owner of its own"),
    Fault(42, "events come twice, early, late, and without a saga", "each is taken once"),
    Fault(43, "an abort races with steps, retries and rollbacks", "each saga has one end"),
    Fault(
        44, "a compensation fails some times, or for ever", "it is tried again, or its saga ends FAILED and names it"
    ),
    Fault(
        45,
        "a request arrives after its compensation",
        "the participant's guard refuses it",
        _nowhere("it happens at a participant: the engine's server has no part in it"),
    ),
    Fault(46, "workers of two versions of a definition work side by side", "each takes its own"),
    Fault(
        47,
        "the schema is migrated under load, killed half-way, and by two at once",
        "it is carried on",
    ),
    Fault(48, "SIGTERM under load, a second one, a stop that takes too long", "all is given back in time"),
)
FAULTS: Final = {fault.number: fault for fault in _LISTED}
