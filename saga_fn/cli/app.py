"""The command `saga-fn`: its commands, and how one of them is called."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Final

from cyclopts import App, Group, Parameter
from cyclopts.exceptions import CycloptsError

from saga_fn.cli.answers import Answer
from saga_fn.cli.commands import add_commands
from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.failures import BadInputError, failure_of
from saga_fn.cli.output import NotTakenError, Output, fit_for_any_text, no_reader_any_more, terminal
from saga_fn.cli.place import Settings
from saga_fn.cli.session import Session

_NO_SETTINGS: Final = Settings()
_ABOUT: Final = """Look at sagas, repair them, and run the processes that work on them.

Exit codes: 0 it was done; 1 it was refused, or something was found; 2 it could not begin; 3 a fault; 4 the owner has not
answered yet; 130 Ctrl-C; 141 the answer is not taken; 143 SIGTERM."""
_FIRST_STEPS: Final = """First steps:
  $ export SAGA_FN_DSN=postgresql://user@host/database
  $ saga-fn doctor
  $ saga-fn list --waits parked
  $ saga-fn explain 01a225a8-f4ff-8e62-81e9-70c12026bec3"""


def make_app() -> App:
    """The app with all its commands."""
    app = App(
        name="saga-fn",
        help=_ABOUT,
        help_format="plaintext",
        help_epilogue=_FIRST_STEPS,
        version=lambda: version("saga-fn"),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        console=terminal(),
    )
    app.meta.suppress_keyboard_interrupt = False  # run() tells of it, as of all that ends a command
    app.meta.group_parameters = Group("Every command", sort_key=10)
    add_commands(app)
    return app


def run(tokens: Sequence[str]) -> int:
    """Run one command line; gives the exit code. Everything that goes wrong becomes one line on stderr."""
    fit_for_any_text()
    output = Output(as_json="--json" in tokens)
    try:
        code = _called(make_app(), tokens)
        output.flush()
    except (NotTakenError, BrokenPipeError):
        no_reader_any_more()
        return ExitCode.NOT_TAKEN
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - no traceback for an operator at night
        if "--debug" in tokens and not isinstance(error, CycloptsError):
            traceback.print_exception(error)
        failure = failure_of(error)
        output.failure(failure)
        return failure.code
    return code


def _called(app: App, tokens: Sequence[str]) -> int:
    """Read the settings that every command has, then call the command with the rest."""

    def launch(
        *rest: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)], settings: Settings = _NO_SETTINGS
    ) -> int:
        command, bound, ignored = app.parse_args(rest, exit_on_error=False, print_error=False)
        session = Session(settings, Output(as_json=settings.json))
        if settings.json and not {"--help", "-h"}.intersection(rest) and command.__name__ == app.help_print.__name__:
            raise BadInputError("no command is named", hint="saga-fn --help lists the commands")
        given = dict.fromkeys(ignored, session)  # the one parameter that no option stands for
        return _answered(session, command(*bound.args, **bound.kwargs, **given))

    app.meta.default(launch)
    found = app.meta(list(tokens), exit_on_error=False, print_error=False, result_action="return_value")
    return found if isinstance(found, int) else ExitCode.DONE


def _answered(session: Session, found: object) -> int:
    if inspect.iscoroutine(found):
        found = asyncio.run(found)
    if isinstance(found, Answer):
        session.output.answer(found)
        return found.code
    return found if isinstance(found, int) else ExitCode.DONE
