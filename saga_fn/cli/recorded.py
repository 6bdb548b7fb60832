"""The acts of operators, and pauses."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter

from saga_fn import WaitReason
from saga_fn.admin.text_fields import id_of
from saga_fn.cli.acting import carried_out, over_of
from saga_fn.cli.answers import Answer, lines, said
from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.failures import BadInputError
from saga_fn.cli.known import UNKNOWN, knows_name
from saga_fn.cli.session import By, Given, Reason, Yes, flag
from saga_fn.cli.texts import of_operation, of_operations, of_pauses
from saga_fn.errors import SagaNotRegisteredError, shown
from saga_fn.listing import SagaFilter
from saga_fn.snapshot import SagaCount

OperationId = Annotated[str, Parameter(help="The operation's id.")]
Name = Annotated[str | None, Parameter(help="The name of the sagas.")]
Every = Annotated[bool, flag("The sagas of every name.", "--all")]


NO_PAUSE: Final = "there is no such pause."
Extend = Annotated[bool, flag("Move timers and deadlines by the length of the pause, so that none fires at once.")]


async def list_operations(
    *, limit: Annotated[int, Parameter(help="The most of them, 1 to 1000.")] = 20, session: Given
) -> Answer:
    """List what operators have done, the newest first: verbs of one saga, operations on many, pauses and their ends."""
    async with session.looking() as place:
        found = await place.admin.list_operations(limit=limit)
    return Answer(found, (of_operations(found),))


async def show_operation(operation_id: OperationId, /, *, session: Given) -> Answer:
    """Show how far an operation is, and which sagas have refused the verb, and why."""
    async with session.looking() as place:
        found = await place.admin.get_operation(id_of(operation_id, "an operation's id"))
    return Answer(found, of_operation(found))


async def stop_operation(operation_id: OperationId, /, *, by: By = None, session: Given) -> Answer:
    """Stop an operation after the batch that it is at. It can go on later."""
    async with session.acting(by) as place:
        found = await place.admin.stop_operation(id_of(operation_id, "an operation's id"))
    return Answer(found, of_operation(found))


async def continue_operation(operation_id: OperationId, /, *, by: By = None, session: Given) -> Answer:
    """Carry an operation out until it is over, with a progress bar. One that was stopped goes on."""
    async with session.acting(by) as place:
        begun = await place.admin.get_operation(id_of(operation_id, "an operation's id"))
        found = await carried_out(place, begun, session)
    over = over_of(found)
    return Answer(found, (*of_operation(found), *over.parts), over.code)


async def pauses(*, session: Given) -> Answer:
    """List what is paused, since when, by whom and why: names, and everything. Sagas that are paused by themselves are counted."""
    async with session.looking() as place:
        found = await place.admin.pauses()
        alone = await place.admin.count(SagaFilter(waits=WaitReason.PAUSED))
    return Answer({"pauses": found, "sagas": alone}, of_pauses(found, alone))


async def pause(
    name: Name = None,
    /,
    *,
    every: Every = False,
    may_be_new: Annotated[bool, flag("The name may be one that no saga and no process has yet.")] = False,
    yes: Yes = False,
    by: By = None,
    reason: Reason = None,
    session: Given,
) -> Answer:
    """Let the sagas of a name begin nothing more until they are resumed. No start and no event is refused."""
    _one_of(name, every, "pause")
    async with session.acting(by) as place:
        is_known = name is None or await knows_name(place, name)
        note = "" if is_known else f" {UNKNOWN}"
        if not yes:
            active = await place.admin.count(SagaFilter(saga_name=name, active=True))
            told = f"{_whose(name)}: {active} have not ended, and they begin no step, undo or probe before the pause ends.{note}"
            session.before_the_question((lines(f"database: {place.where}", told),), yes=yes)
        if not session.agrees(f"Pause {_whose(name)} in {place.where}?", yes=yes):
            return said("Nothing was changed.", {"paused": False}, ExitCode.FOUND)
        admin = place.admin
        try:
            if name is None:
                done = await admin.pause_all(reason=reason)
            else:  # with --yes no operator has read the note
                done = await admin.pause(name, may_be_new=may_be_new or not yes, reason=reason)
        except SagaNotRegisteredError as error:
            raise _unknown(name, "spell it as it is registered, or add --may-be-new") from error
    if not done:
        return said(f"{_whose(name)}: paused already.", {"paused": False}, ExitCode.FOUND)
    return said(f"{_whose(name)}: paused.{note}", {"paused": True, "is_known": is_known})


async def resume(
    name: Name = None,
    /,
    *,
    every: Every = False,
    extend: Extend = False,
    yes: Yes = False,
    by: By = None,
    reason: Reason = None,
    session: Given,
) -> Answer:
    """End a pause. Sagas go on when both the pause of their name and that of everything are ended."""
    _one_of(name, every, "resume")
    async with session.acting(by) as place:
        held = [each for each in await place.admin.pauses() if each.saga_name == name]
        if not held:
            if name is not None and not await knows_name(place, name):
                raise _unknown(name, "saga-fn pauses lists what is paused")
            return said(f"{_whose(name)}: {NO_PAUSE}", {"resumed": False}, ExitCode.FOUND)
        told = of_pauses(held, SagaCount(0, is_more=False))
        session.before_the_question((lines(f"database: {place.where}"), *told), yes=yes)
        if not session.agrees(f"Resume {_whose(name)} in {place.where}?", yes=yes):
            return said("Nothing was changed.", {"resumed": False}, ExitCode.FOUND)
        admin = place.admin
        if name is None:
            done = await admin.resume_all(extend=extend, reason=reason)
        else:
            done = await admin.resume(name, extend=extend, reason=reason)
    if not done:
        return said(f"{_whose(name)}: {NO_PAUSE}", {"resumed": False}, ExitCode.FOUND)
    return said(f"{_whose(name)}: resumed.", {"resumed": True})


def _one_of(name: str | None, every: bool, command: str) -> None:
    if (name is None) is not every:
        hint = f"saga-fn {command} shipping, or saga-fn {command} --all"
        raise BadInputError("name the sagas, or say --all", hint=hint)


def _unknown(name: str | None, hint: str) -> BadInputError:
    return BadInputError(f"no saga is named {shown(name)}, and no process works on one", hint=hint)


def _whose(name: str | None) -> str:
    return "all sagas" if name is None else f"sagas named {shown(name)}"
