"""Reading the letters of a saga that nobody owns, in the owner's stead."""

from __future__ import annotations

from uuid import UUID

from returns.result import Failure

from saga_fn.core.effects import Release
from saga_fn.core.events import EventReceived
from saga_fn.core.transition import transition
from saga_fn.engine.committer import Applied
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.mail import answer_to, read_mail
from saga_fn.engine.verbs import announce, unowned_write
from saga_fn.engine.waits import unreadable
from saga_fn.store.records import Entry, SagaRecord, decode_state


async def read_inbox(engine: SagaEngine, row: SagaRecord) -> None:
    """Read the letters of a saga that nobody owns, as its next owner would, by one compare-and-set.

    Nothing is done if anything has changed since `row` was read, or if this process could not judge all that is there.
    """
    registered = engine.registry.find(row.name, row.version)
    if registered is None or registered.definition.plan.id != row.plan:
        return
    letters = await engine.store.letters(row.id)
    mail = [read_mail(letter, row.now) for letter in letters]
    events = [(item, item.event) for item in mail if isinstance(item.event, EventReceived)]
    if not events or len(events) < len(mail):
        return
    plan, state = registered.definition.plan, decode_state(row.state)
    release: Release | None = None
    entries: list[Entry] = []
    answers: list[tuple[UUID, str]] = []
    for item, received in events:
        assert item.letter is not None, "it came as a letter"
        if received.name and unreadable(registered.definition, received.name, item.payload or b"null") is not None:
            answers.append((item.letter, "unreadable"))
            continue
        decision = transition(plan, state, received)
        if isinstance(decision, Failure):
            answers.append((item.letter, decision.failure().refusal.value))
            continue
        moved = decision.unwrap()
        state, release = moved.state, next(iter(moved.writes), None)
        entries.append(Entry(received, payload=item.payload))
        answers.append((item.letter, answer_to(received, state)))
    if not entries:
        for letter, answer in answers:
            await engine.store.answer(row.id, letter, answer)
        return
    due = release.due if release is not None else state.at
    write = unowned_write(row, plan, state, due=due, entries=entries, answers=answers)
    if isinstance(await engine.committer.commit(write), Applied):
        announce(engine, None)
