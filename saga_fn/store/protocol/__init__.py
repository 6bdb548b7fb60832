"""The store, as the engine uses it. PostgreSQL and memory give the same answers: one conformance suite holds both.

A store of your own is a class with these methods. `tests/support/stores.py` adds it to the suite. `saga_fn.store.records` has the
values, `saga_fn.store.errors` the errors.
"""

from saga_fn.store.protocol.deletion import (
    Deletion,
)
from saga_fn.store.protocol.events import (
    KeptEvents,
    SentEvents,
)
from saga_fn.store.protocol.lacking import (
    is_store,
    lacking_in,
)
from saga_fn.store.protocol.lists import (
    Lists,
)
from saga_fn.store.protocol.operations import (
    Operations,
    Pauses,
)
from saga_fn.store.protocol.outgoing import (
    OutgoingMessages,
)
from saga_fn.store.protocol.processes import (
    Processes,
)
from saga_fn.store.protocol.store import (
    KEY_WAIT,
    Store,
)
from saga_fn.store.protocol.transactions import (
    OpenTransaction,
    Transactions,
)

__all__ = [
    "KEY_WAIT",
    "Deletion",
    "KeptEvents",
    "Lists",
    "OpenTransaction",
    "Operations",
    "OutgoingMessages",
    "Pauses",
    "Processes",
    "SentEvents",
    "Store",
    "Transactions",
    "is_store",
    "lacking_in",
]
