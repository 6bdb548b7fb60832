"""How much one statement takes or answers, how far a count goes, and for how long things are kept."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from saga_fn.core.event_matching import BUFFER_LIMIT

KEPT_FOR: Final = timedelta(days=7)
"""How long an event for a business key is kept at most, whenever it says that it expires."""
EXPIRED_AT_ONCE: Final = 500
"""One statement forgets no more expired events than this."""
MOST_UNREAD: Final = 1000
"""A saga's inbox takes no further event while so many of its messages are unread."""
MOST_READ: Final = 2 * MOST_UNREAD
"""A process reads no more messages at once: more than a saga can have left unread for want of room."""
HANDED_OVER_AT_ONCE: Final = 100
"""One statement hands over no more events for a business key than this; the next sweep goes on."""
UNDELIVERED_AT_ONCE: Final = 100
"""One statement finds no more business keys than this whose events were left on their way."""
SENT_AT_ONCE: Final = 100
"""One statement takes no more events than this that were sent in callers' transactions."""
ANSWER_BYTES: Final = 4 * 1024 * 1024
"""One statement takes no further message or event for a process once it brings so many bytes: its answer has seconds to come."""
MOST_SENT: Final = MOST_UNREAD
"""No more of them are on their way to one saga, or to one business key, than this."""
MOST_LOOKED_INTO: Final = 1000
"""An event for a business key whose saga has ended is looked for in the inboxes of no more of its sagas than this."""
MOST_KEPT: Final = BUFFER_LIMIT
"""No more events wait for a business key than a saga takes that does not wait for any of them yet."""
MOST_COUNTED: Final = 1000
"""No look counts further than this to tell how many sagas something is so of."""
MOST_IN_STATS: Final = 10_000
"""No look counts further than this to tell how many sagas of a name, version and state there are."""
MOST_ENDS: Final = 100_000
"""Nor more ends of a name, version and status than this."""
MOST_GROUPS: Final = 20_000
"""Numbers are told of no more names, versions and states than this."""
STILL_FOR: Final = timedelta(hours=1)
"""A saga that a process works on, and of which nothing has become durable for so long, is noticed."""
OPERATIONS_AT_ONCE: Final = 1000
"""No more acts of operators are deleted by one statement."""
PAUSED_LONG: Final = timedelta(hours=1)
"""A pause that is older is noticed."""
SILENT: Final = timedelta(minutes=10)
"""A process that has said nothing for so long is forgotten."""
MOST_PROCESSES: Final = 2000
"""No more processes than this are asked what they work on: those that were seen last."""
MOST_DEFINITIONS: Final = 10_000
"""The most definitions of one process that are believed."""
MOST_DEFINITIONS_OF_ALL: Final = 50_000
"""Nor more than this of all together."""
FORGOTTEN_AT_ONCE: Final = 2000
"""One statement forgets no more silent processes than this."""
MOST_UNFIT: Final = 200
"""One look finds no more sagas than this that were parked because a plan did not fit them."""
DELETED_AT_ONCE: Final = 1000
"""One statement deletes no more sagas than this, and no more tombstones."""
LEAST_KEPT: Final = timedelta(hours=1)
"""A saga is deleted no sooner after its end. So no snapshot that is younger may have missed it all."""


def is_full(bodies: Iterable[bytes]) -> bool:
    """Whether one statement has taken so many bytes that it may have left some for the next."""
    return sum(map(len, bodies)) >= ANSWER_BYTES


PASSED_OVER_FOR: Final = timedelta(seconds=5)
"""A message that is not the first of its saga is looked at again after so long."""
BLOCKED_FOR: Final = timedelta(minutes=5)
"""The same where a dead message stands before it."""
