"""One saga with all that is known of it: data, history, steps, owner, and what waits to be read by the owner."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

import msgspec
from typing_extensions import override

from saga_fn.codec.searchable import Searchable
from saga_fn.core.plan import Plan
from saga_fn.printable import LONGEST_NAME, printable
from saga_fn.snapshot.history import HistoryEntry
from saga_fn.snapshot.pauses import Pause
from saga_fn.snapshot.saga import SagaSnapshot
from saga_fn.snapshot.steps import StepFailure, StepSnapshot
from saga_fn.snapshot.undelivered import UnsentMessage
from saga_fn.snapshot.unreadable import Unreadable

if TYPE_CHECKING:
    from saga_fn.diagram import GraphFormat, TimelineFormat


class UnreadMessage(msgspec.Struct, frozen=True):
    """Something that is stored for a saga, and that no owner of it has read yet: an event, or a verb."""

    id: UUID
    """Its id."""
    event: str | None
    """The name of the event; None for one without a name, and for a verb."""
    verb: str | None
    """The verb that an operator asked for, or None."""
    sent_at: datetime
    """The time when it was sent."""
    is_readable: bool
    """Whether its next owner can read it. One that is not readable is answered so, and changes nothing."""

    @override
    def __str__(self) -> str:
        """It in a few words, for a person."""
        if not self.is_readable:
            return f"{'a verb' if self.verb else 'an event'} that cannot be read"
        if self.verb is not None:
            return f"the verb {self.verb}"
        return "an event" if self.event is None else f"the event {printable(self.event, LONGEST_NAME)}"


class SagaOwner(msgspec.Struct, frozen=True):
    """The process that has claimed a saga."""

    id: UUID
    """The id under which it claims."""
    process: str | None
    """Its host and its number there (`shop-7f4c:41`); None if the process is not known any more."""
    seen_at: datetime | None
    """When it last said what it works on, or None."""
    lease_until: datetime
    """The end of its lease."""
    is_gone: bool
    """Whether its lease is over, so that another process may take the saga over."""


class SagaAdminSnapshot(SagaSnapshot, frozen=True):
    """A snapshot with the saga's data and history. Its payloads are plain JSON, and changing them changes nothing."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"context", "step_history", "attributes", "plan", "outgoing"})

    context: Mapping[str, Any]  # Any: JSON of any types the saga has
    """The data: `saga_name`, `initial_data`, `step_outputs`, `events` and, if there is one, `latest_event`, as plain JSON."""
    step_history: tuple[HistoryEntry, ...]
    """The journal, entry by entry: the last 1,000 of them, or those that `get_saga` was asked for by `journal_after=`."""
    rejections: tuple[str, ...]
    """Records beside the journal: late results, refused verbs."""
    steps: tuple[StepSnapshot, ...]
    """Every step of the plan, in its order, with its state."""
    attributes: Mapping[str, Searchable | Unreadable] = MappingProxyType({})
    """Its search attributes by name; `Unreadable` stands for a value that could not be computed."""
    failure: StepFailure | None = None
    """The failure that made it turn back; while it goes forward, the last one that has not been mended since."""
    pauses: tuple[Pause, ...] = ()
    """The pauses that it is under, the oldest first: its own, that of its name, and that of everything."""
    plan: Plan | None = None
    """Its plan, for `diagram`; None if it cannot be read."""
    outgoing: tuple[UnsentMessage, ...] = ()
    """Its outgoing messages that are not published, in their order; the first 100."""
    owner: SagaOwner | None = None
    """The process that has claimed it, or None."""
    unread: tuple[UnreadMessage, ...] = ()
    """The events and verbs that are stored for it, and that no owner has read yet, in their order; the first 32."""

    is_interrupted: bool = False
    """Whether what is executed by the statuses of its steps was cut off: no process has its lease any more, and any may go on."""

    @property
    def lease_over(self) -> datetime | None:
        """The end of its owner's lease, if that is over, so that another process may go on; else None."""
        return None if self.owner is None or not self.owner.is_gone else self.owner.lease_until

    def diagram(
        self,
        format: GraphFormat = "svg",
        /,
        *,
        width: int = 100,
        color: bool = False,
        plain: bool = False,
        embedded: bool = False,
    ) -> str:
        """Draw its graph, with the state of each step: what is done, why it stands, what is left over.

        Args:
            format: "svg", "mermaid" or "text". Default: "svg".
            width: The greatest number of characters of a line of "text", 40 to 400. Default: 100.
            color: Whether "text" has colours for a terminal. Default: False.
            plain: Whether "text" is of ASCII alone. Default: False.
            embedded: Whether "svg" is for a page that has `saga_fn.diagram.STYLE` in its style sheet. Default: False, it brings
                its style.

        Returns:
            The picture. Without a readable plan there are no boxes in it.

        Raises:
            SagaError: There is no such format, or `width` is out of its range.

        Example::

            print((await admin.get_saga(saga_id)).diagram("text", color=True))
        """
        from saga_fn.diagram import graph

        return graph(
            self.plan, format, name=self.saga_name, seen=self, width=width, color=color, plain=plain, embedded=embedded
        )

    def timeline(
        self,
        format: TimelineFormat = "svg",
        /,
        *,
        width: int = 100,
        color: bool = False,
        plain: bool = False,
        embedded: bool = False,
    ) -> str:
        """Draw `step_history` in the order of time: attempts, waits, compensations, probes, and acts of operators.

        Several pages of a history are drawn by `saga_fn.diagram.timeline`.

        Args:
            format: "svg" or "text". Default: "svg".
            width: The greatest number of characters of a line of "text", 40 to 400. Default: 100.
            color: Whether "text" has colours for a terminal. Default: False.
            plain: Whether "text" is of ASCII alone. Default: False.
            embedded: Whether "svg" is for a page that has `saga_fn.diagram.STYLE` in its style sheet. Default: False, it brings
                its style.

        Returns:
            The picture.

        Raises:
            SagaError: There is no such format, or `width` is out of its range.
        """
        from saga_fn.diagram import timeline

        return timeline(
            self.step_history,
            format,
            plan=self.plan,
            name=self.saga_name,
            seen=self,
            width=width,
            color=color,
            plain=plain,
            embedded=embedded,
        )

    @override
    def _repr_svg_(self) -> str:
        return self.diagram()

    def _repr_html_(self) -> str:
        """For a notebook: where it stands, and how it came there."""
        return f"<div>{self.diagram()}</div><div>{self.timeline()}</div>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        text = f"{self.diagram('text')}\n{self.timeline('text')}"
        return {"text/html": self._repr_html_(), "image/svg+xml": self.diagram(), "text/plain": text}
