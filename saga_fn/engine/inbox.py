"""Reading the letters of a saga that nobody owns, in the owner's stead."""

from __future__ import annotations

from uuid import UUID

from returns.result import Failure

from saga_fn.core.effects import Refusal, Rejection, Release
from saga_fn.core.events import EventReceived
from saga_fn.core.state import SagaState
from saga_fn.core.transition import transition
from saga_fn.core.waiting import takes_more
from saga_fn.engine.committer import Applied
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.mail import answer_to, read_mail
from saga_fn.engine.verbs import announce, unowned_write
from saga_fn.engine.waits import unreadable
from saga_fn.store.records import Entry, SagaRecord, decode_state


async def read_inbox(engine: SagaEngine, row: SagaRecord) -> frozenset[UUID]:
    """Read the letters of a saga that nobody owns, as its next owner would, by one compare-and-set.

    Nothing is done if anything has changed since `row` was read, or if this process could not judge all that is there.
    Returns the letters that stay unread because the saga has no room for their events.
    """
    registered = engine.registry.find(row.name, row.version)
    left: set[UUID] = set()
    if registered is None or registered.definition.plan.id != row.plan:
        return frozenset()
    letters = await engine.store.letters(row.id)
    mail = [read_mail(letter, row.now) for letter in letters]
    events = [(item, item.event) for item in mail if isinstance(item.event, EventReceived)]
    if not events or len(events) < len(mail):
        return frozenset()
    plan, state = registered.definition.plan, decode_state(row.state)
    no_room: SagaState | None = None
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
            rejection: Rejection = decision.failure()
            if rejection.refusal is Refusal.NO_ROOM:
                left.add(item.letter)
                no_room = no_room or state
            else:
                answers.append((item.letter, rejection.refusal.value))
            continue
        moved = decision.unwrap()
        state, release = moved.state, next(iter(moved.writes), None)
        entries.append(Entry(received, payload=item.payload))
        answers.append((item.letter, answer_to(received, state)))
    if not entries:
        for letter, answer in answers:
            await engine.store.answer(row.id, letter, answer)
        return frozenset(left)
    due = release.due if release is not None else state.at
    if no_room is not None and takes_more(no_room, state) and not state.ended:
        due = row.now  # the next owner reads what is left in the inbox
    write = unowned_write(row, plan, state, due=due, entries=entries, answers=answers)
    if isinstance(await engine.committer.commit(write), Applied):
        announce(engine, None)
    return frozenset(left)
