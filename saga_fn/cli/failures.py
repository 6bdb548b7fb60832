"""A failure as one line: the fact and its mend."""

from __future__ import annotations

import traceback
from typing import Final

import attrs
from cyclopts.exceptions import CycloptsError, MissingArgumentError, UnknownCommandError

from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.spelling import in_commands
from saga_fn.errors import (
    ActiveSagaAlreadyExistsError,
    OperationNotFoundError,
    SagaDeletedError,
    SagaError,
    SagaNotFoundError,
    SagaNotRegisteredError,
    SagaStateError,
    SchemaMissingError,
)
from saga_fn.printable import message_of, name_of_type, printable

_LONGEST: Final = 1500


class BadInputError(SagaError):
    """An argument of a command, or a setting, is not what it has to be."""


class EndedError(SagaError):
    """Ctrl-C or SIGTERM has ended the command, and something that it began goes on."""

    def __init__(self, fact: str, *, code: ExitCode, hint: str) -> None:
        """`code` is that of the signal."""
        super().__init__(fact, hint=hint)
        self.code = code


@attrs.frozen
class Failure:
    """The failure of a command."""

    fact: str
    mend: str | None
    code: ExitCode
    refusal: str | None = None

    @property
    def line(self) -> str:
        """The line for people."""
        mend = "" if self.mend is None else f". Mend: {self.mend}"
        return printable(f"saga-fn: {self.fact}{mend}", _LONGEST)

    @property
    def data(self) -> dict[str, object]:
        """The same for programs."""
        return {"error": self.fact, "mend": self.mend, "refusal": self.refusal, "code": int(self.code)}


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception is."""
    match error:
        case SagaStateError(refusal="not_answered", saga_id=saga_id):
            mend = f"the request stands, and the owner of the saga answers it yet: saga-fn show {saga_id} tells what became of it"
            return Failure(error.fact, mend, ExitCode.ASKED, error.refusal)
        case EndedError():
            return Failure(error.fact, error.hint, error.code)
        case SagaStateError(refusal=refusal):
            return Failure(in_commands(error.fact), _mend_of(error), ExitCode.FOUND, refusal)
        case ActiveSagaAlreadyExistsError():
            mend = f"saga-fn explain {error.saga_id} tells of that one; ask again once it has ended"
            return Failure(error.fact, mend, ExitCode.FOUND, "key_taken")
        case SagaError():
            return Failure(in_commands(error.fact), _mend_of(error), ExitCode.BAD_INPUT)
        case UnknownCommandError():
            said = " ".join(str(error).partition("Available commands")[0].split())
            return Failure(said.rstrip(". "), "saga-fn --help lists the commands", ExitCode.BAD_INPUT)
        case CycloptsError():
            said = " ".join(str(error).split())
            if isinstance(error, MissingArgumentError) and error.argument is not None and not error.tokens_so_far:
                lacks = f"the value of {error.keyword}" if error.keyword else error.argument.name
                said = f"{lacks.rstrip('_')} is missing"  # `with_fields` tells two of one name apart by it
            command = " ".join(error.command_chain or ("COMMAND",))
            return Failure(said.rstrip("."), f"saga-fn {command} --help shows how it is written", ExitCode.BAD_INPUT)
        case KeyboardInterrupt():
            return Failure("interrupted", None, ExitCode.INTERRUPTED)
        case _:
            where = traceback.extract_tb(error.__traceback__)[-1:]
            place = "".join(f" ({each.filename}:{each.lineno})" for each in where)
            said = f"a fault: {name_of_type(error)}: {message_of(error)}{place}"
            return Failure(said, "--debug shows all of it; please report it", ExitCode.FAULT)


def _mend_of(error: SagaError) -> str | None:
    match error:
        case SchemaMissingError():
            return f"saga-fn migrate --schema {error.schema} applies it, with a user who may create tables"
        case SagaNotRegisteredError():
            return "name the orchestrator that has registered it: --app module:orchestrator"
        case OperationNotFoundError():
            return "saga-fn operations list has them"
        case SagaDeletedError():
            return error.hint
        case SagaNotFoundError():
            return "saga-fn list shows the ids; is it this database, and this --schema?"
        case _:
            return None if error.hint is None else in_commands(error.hint)
