"""The verbs: of one saga, and of all that a filter finds. Each shows its preview before it asks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

import attrs
from cyclopts import Parameter

from saga_fn.admin.bulk_verbs import BulkVerb
from saga_fn.admin.filter_fields import FILTER_FIELDS, filter_from
from saga_fn.admin.operations import MOST_PER_SECOND
from saga_fn.admin.text_fields import FieldKind, id_of
from saga_fn.admin.verb_fields import VerbForm, ask_of, verb_from
from saga_fn.arguments import check_whole
from saga_fn.cli.answers import Answer, Part, lines, said
from saga_fn.cli.ending import told_at_the_end
from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.failures import BadInputError
from saga_fn.cli.looking import Id, as_an_operator
from saga_fn.cli.options import Texts, with_fields
from saga_fn.cli.place import Place
from saga_fn.cli.session import By, Given, Reason, Session, Yes, flag
from saga_fn.cli.spelling import IN_COMMANDS
from saga_fn.cli.texts import of_bulk, of_operation, of_preview
from saga_fn.core.effects import Refusal
from saga_fn.engine.requests.refusals import told_of_refusal
from saga_fn.errors import PayloadError, SagaStateError
from saga_fn.explanation import Explanation, VerbPreview, going_on
from saga_fn.listing import SagaFilter
from saga_fn.printable import kept
from saga_fn.snapshot import Operation, OperationState

DryRun = Annotated[bool, flag("Show the preview, and change nothing.")]
_LOOK_EVERY = 0.3
"""Seconds between two looks at an operation."""
_AT_ONCE = 1.0
"""Seconds after which a person who waits for an answer is told for whose."""


@attrs.frozen
class _Value:
    """The value that a verb gives a step."""

    option: str
    is_given: bool

    @classmethod
    def of(cls, name: str, given: Texts) -> _Value:
        """The one of that field."""
        return cls(f"--{name.replace('_', '-')}", bool(given.get(name)))


async def _apply(
    verb: BulkVerb,
    saga_id: UUID,
    *,
    expect: int | None,
    dry_run: bool,
    yes: bool,
    by: str | None,
    reason: str | None,
    session: Session,
    value: _Value | None,
) -> Answer:
    async with session.looking() if dry_run else session.acting(by) as place:
        with _naming(value):
            explained = await place.admin.explain(saga_id, verb=verb)
        explained = as_an_operator(explained) if dry_run else explained
        (preview,) = explained.verbs
        if dry_run and expect not in (None, explained.revision):  # the verb itself would say so
            fact, mend = told_of_refusal(Refusal.MOVED_ON)
            raise SagaStateError(f"saga {saga_id} {fact}", saga_id=saga_id, refusal=Refusal.MOVED_ON, hint=mend)
        parts, data = of_preview(explained, preview, where=place.where), _preview_data(explained, preview)
        if dry_run or not preview.is_legal:
            return Answer(data, parts, ExitCode.DONE if preview.is_legal else ExitCode.FOUND)
        session.before_the_question(parts, yes=yes)
        if preview.not_here is not None:
            raise BadInputError(
                f"not from here: {preview.not_here}", hint="name the orchestrator: --app module:orchestrator"
            )
        if not session.agrees("Do it?", yes=yes):
            return said("Nothing was changed.", data, ExitCode.FOUND)
        seen = explained.revision if expect is None else expect
        with told_at_the_end(
            f"the request may stand, and is answered then: saga-fn show {saga_id} tells what became of it"
        ):
            await _answered(ask_of(place.admin, saga_id, verb, expect=seen, reason=reason), session)
        after = await place.orchestrator.get_snapshot(saga_id)
    told = f"{IN_COMMANDS.verb(verb.verb)} is done: saga {saga_id} is {after.status} at revision {after.revision}"
    if after.status.is_terminal:
        told = "; ".join((told, *kept(after.stays_done, after.rewound)))
    elif (begins := going_on(explained, preview)) is not None:
        told += f". {begins}"
    return said(f"{told}.", {**data, "status": after.status, "revision": after.revision, "done": True})


@contextmanager
def _naming(value: _Value | None) -> Generator[None]:
    """Name the option whose value the step does not take, be it that it was not given, which is null."""
    try:
        yield
    except PayloadError as error:
        if value is None:
            raise
        hint = f"give another value with {value.option}, as JSON"
        if not value.is_given:
            hint = f"{value.option} was not given, which is null: give the value as JSON"
        raise PayloadError(error.fact, hint=hint) from error


async def _answered(asked: Awaitable[None], session: Session) -> None:
    """Wait for the saga's answer. If it does not come at once, say who has to give it."""
    waiting = asyncio.ensure_future(asked)
    try:
        if not (await asyncio.wait([waiting], timeout=_AT_ONCE))[0]:
            session.output.note("The request waits for the process that owns the saga to answer it, up to a minute.")
        await waiting
    finally:
        waiting.cancel()  # nothing, if it is over
        await asyncio.gather(waiting, return_exceptions=True)


def _preview_data(explained: Explanation, preview: VerbPreview) -> dict[str, object]:
    return {"saga_id": explained.saga_id, "seen": explained.revision, "preview": preview, "done": False}


def verb_command(form: VerbForm) -> Callable[..., object]:
    """The command that asks a verb of one saga."""

    async def command(
        saga_id: Id,
        /,
        *,
        given: Texts,
        expect: Annotated[
            int | None, Parameter(help="The revision that you have seen. Without it that of the preview.")
        ] = None,
        dry_run: DryRun = False,
        yes: Yes = False,
        by: By = None,
        reason: Reason = None,
        session: Given,
    ) -> Answer:
        verb, chosen = verb_from(form.verb, given), id_of(saga_id)
        value = next((_Value.of(each.name, given) for each in form.fields if each.kind is FieldKind.JSON), None)
        return await _apply(
            verb,
            chosen,
            expect=expect,
            dry_run=dry_run,
            yes=yes,
            by=by,
            reason=reason,
            session=session,
            value=value,
        )

    return with_fields(command, {"given": form.fields}, name=form.verb)


def bulk_command(form: VerbForm) -> Callable[..., object]:
    """The command that asks a verb of all sagas that a filter finds."""

    async def command(
        *,
        wanted: Texts,
        verb: Texts,
        everything: Annotated[bool, flag("All sagas are meant: no filter is given.")] = False,
        dry_run: DryRun = False,
        per_second: Annotated[int, Parameter(help="The greatest number of sagas per second.")] = 50,
        idempotency_key: Annotated[
            str | None, Parameter(help="One key is one operation: a repeat goes on with it.")
        ] = None,
        background: Annotated[bool, flag("Begin it, and leave it to the workers.")] = False,
        yes: Yes = False,
        by: By = None,
        reason: Reason = None,
        session: Given,
    ) -> Answer:
        asked = verb_from(form.verb, verb)
        check_whole("per_second", per_second, least=1, most=MOST_PER_SECOND)
        async with session.looking() if dry_run else session.acting(by) as place:
            chosen = filter_from(wanted, place.known)
            if chosen == SagaFilter() and not everything:
                raise BadInputError(
                    "this filter finds all sagas", hint="narrow it, or say that so much is meant: --everything"
                )
            told = await place.admin.preview(chosen, asked, everything=everything)
            parts = of_bulk(told, _named(asked), where=place.where)
            if dry_run:
                return Answer(told, parts)
            session.before_the_question(parts, yes=yes)
            if not told.sagas.sagas:
                return said("No saga is found.", {"preview": told, "operation": None})
            if not session.agrees("Do it?", yes=yes):
                return said("Nothing was changed.", {"preview": told, "operation": None}, ExitCode.FOUND)
            operation = await place.admin.begin_operation(
                chosen,
                asked,
                everything=everything,
                per_second=per_second,
                idempotency_key=idempotency_key,
                reason=reason,
            )
            if not background:
                operation = await carried_out(place, operation, session)
        over = over_of(operation, background=background)
        return Answer({"preview": told, "operation": operation}, (*of_operation(operation), *over.parts), over.code)

    return with_fields(command, {"wanted": FILTER_FIELDS, "verb": form.fields}, name=form.verb)


@attrs.frozen
class Over:
    """How an operation has come out, beside its facts."""

    code: ExitCode
    parts: tuple[Part, ...]


def over_of(operation: Operation, *, background: bool = False) -> Over:
    """Whether an operation has done all that was wanted, and what is missing. One for the workers has only to be begun."""
    told: list[str] = []
    if operation.state is OperationState.STOPPED:
        told.append(f"It was stopped before its end: saga-fn operations continue {operation.id} goes on with it.")
    elif operation.state is OperationState.RUNNING and not background:
        told.append(f"It is not over: saga-fn operations show {operation.id} shows how far it is.")
    if operation.asked and not background:
        told.append(
            f"{operation.asked:,} sagas were asked, and their owners have not answered yet. The requests stand."
        )
    is_wanting = bool(told or operation.refusals)
    return Over(ExitCode.FOUND if is_wanting else ExitCode.DONE, (lines("", *told),) if told else ())


def _named(verb: BulkVerb) -> str:
    step = getattr(verb, "step", None) or getattr(verb, "to", None)
    verb_at_a_shell = IN_COMMANDS.verb(verb.verb)
    return verb_at_a_shell if step is None else f"{verb_at_a_shell} {step}"


async def carried_out(place: Place, operation: Operation, session: Session) -> Operation:
    """Carry the operation out here, with a progress bar. If this is ended, the workers go on with it."""
    carrying = asyncio.create_task(place.admin.continue_operation(operation.id))
    hint = f"The workers go on with it: saga-fn operations stop {operation.id} stops it."
    try:
        with told_at_the_end(hint), session.output.bar(operation.verb) as bar:
            while not carrying.done():
                seen = await place.admin.get_operation(operation.id)
                over, left = seen.done + seen.asked + seen.refused, seen.remaining
                bar.at(over, None if left is None or left.is_more else over + left.sagas)
                await asyncio.wait([carrying], timeout=_LOOK_EVERY)
    finally:
        carrying.cancel()  # nothing, if it is over
        await asyncio.gather(carrying, return_exceptions=True)
    return carrying.result()
