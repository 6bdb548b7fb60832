"""The messages that one execution has published so far, judged one by one and together."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from saga_fn.definition.outgoing import Draft, check_together, check_topic
from saga_fn.engine.topics import Topics


class Collected(msgspec.Struct):
    """The messages that one execution has published."""

    drafts: list[Draft] = msgspec.field(default_factory=list)
    size: int = 0
    """How many bytes they take."""
    refused: BaseException | None = None
    """Why a message of it cannot be stored."""

    def add(
        self,
        topic: str,
        payload: object,
        key: str | None,
        headers: Mapping[str, str] | None,
        *,
        topics: Topics,
        most: int,
    ) -> None:
        """Take a message of at most so many bytes. Raises PayloadError or SagaDefinitionError for one that cannot be stored.

        Every refusal is kept, whatever its type: the execution may have had its effect, and its message is lost.
        """
        try:
            check_topic(topic)
            topics.check(topic)
            draft = Draft.of(topic, payload, key=key, headers=headers, most=most)
            check_together(len(self.drafts) + 1, self.size + draft.size, most)
            self.drafts.append(draft)
            self.size += draft.size
        except BaseException as error:  # a value of the step's own may raise anything while it is judged
            self.refused = error
            raise
