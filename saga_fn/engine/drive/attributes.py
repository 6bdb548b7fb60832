"""Search attributes as a commit sets them: computed of the outputs that it makes durable, or of the initial data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from typing import NamedTuple

from saga_fn.codec.searchable import unknown
from saga_fn.core.ids import StepId
from saga_fn.core.inputs import outputs_gained
from saga_fn.core.state import SagaState
from saga_fn.definition import AnySaga, Setting
from saga_fn.engine.drive.step_error import program_end
from saga_fn.errors import PayloadError, shown
from saga_fn.store.records import Attributes, Entry


class Unknown(NamedTuple):
    """An attribute whose value could not be computed of a step's output. The row says so, and the saga goes on."""

    attribute: str
    step: StepId
    error: BaseException


def at_start(definition: AnySaga, initial_data: object) -> Attributes:
    """The attributes that a saga starts with. Raises PayloadError for one that cannot be computed: nothing is written then."""
    return Context().run(_at_start, definition.set_at_start, initial_data) if definition.set_at_start else ()


def _at_start(settings: Sequence[Setting], initial_data: object) -> Attributes:
    found: list[tuple[str, str]] = []
    for setting in settings:
        try:
            text = setting.text(initial_data)
        except PayloadError:
            raise
        except BaseException as error:
            if program_end(error) is not None:
                raise
            raise PayloadError(
                f"attribute {shown(setting.attribute.name)} cannot be computed of these initial data ({type(error).__name__})",
                hint="make its function give a value, or None, for all data that a saga may start with",
            ) from error
        if text is not None:
            found.append((setting.attribute.name, text))
    return tuple(found)


def set_by(
    definition: AnySaga,
    before: SagaState,
    after: SagaState,
    entries: Sequence[Entry],
    payload_of: Callable[[int], bytes],
) -> tuple[Attributes, tuple[Unknown, ...]]:
    """The attributes that are set by what these entries bring, and those of them that could not be computed.

    `payload_of` gives the payload of an entry before them: of an event that a wait takes only now.
    """
    gained = outputs_gained(before, after, [entry.event for entry in entries])
    outputs = [
        (setting, payload_of(seq) if seq <= before.rev else entries[seq - before.rev - 1].payload or b"null")
        for step, seq in gained
        for setting in definition.set_by.get(step, ())
    ]
    return Context().run(_texts, outputs) if outputs else ((), ())


def sources_before(definition: AnySaga, before: SagaState, after: SagaState, entries: Sequence[Entry]) -> list[int]:
    """The entries before these whose payloads `set_by` asks for."""
    gained = outputs_gained(before, after, [entry.event for entry in entries])
    return [seq for step, seq in gained if seq <= before.rev and step in definition.set_by]


def _texts(outputs: Iterable[tuple[Setting, bytes]]) -> tuple[Attributes, tuple[Unknown, ...]]:
    found: dict[str, str] = {}
    faults: list[Unknown] = []
    for setting, payload in outputs:
        name = setting.attribute.name
        try:
            text = setting.text(setting.gives.decode(payload))
        except BaseException as error:  # noqa: BLE001 - user code may raise anything; the step was done all the same
            ending = program_end(error)
            if ending is not None:
                raise ending  # noqa: B904 - it is the error itself, or in that group, which the event loop would not hear
            faults.append(Unknown(name, setting.source, error))
            text = unknown(error)
        if text is not None:
            found[name] = text
    return tuple(found.items()), tuple(faults)
