"""The commands that run something: a worker, the demo, the console."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Final, Literal

from cyclopts import App, Parameter

from saga_fn.cli.answers import Answer, Drawn, said
from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.failures import BadInputError
from saga_fn.cli.place import actor_of, check_own_place, opened, orchestrator_of
from saga_fn.cli.session import By, Given, flag
from saga_fn.errors import shown
from saga_fn.extras import mend_of

Level = Literal["debug", "info", "warning", "error"]
_AT_THE_END: Final = "Leave the console open over its sagas until a key is pressed. It is on at a terminal."
_LINE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


async def worker(
    app: Annotated[
        str | None, Parameter(help="module:orchestrator, or a function that makes it. Without it --app or SAGA_FN_APP.")
    ] = None,
    /,
    *,
    log_level: Annotated[Level, Parameter(help="debug, info, warning or error.")] = "info",
    session: Given,
) -> Answer:
    """Work on sagas until SIGTERM or Ctrl-C, in the orchestrator's own database: another --dsn or SAGA_FN_DSN is refused."""
    app = app or session.settings.app
    if app is None:
        raise BadInputError(
            "no orchestrator is named", hint="saga-fn worker shop.main:orchestrator, or name it in SAGA_FN_APP"
        )
    orchestrator = orchestrator_of(app)
    check_own_place(session.settings, orchestrator, app)
    known = [f"{each.name} v{each.version}" for each in orchestrator.engine.registry.all]
    if not known:
        raise BadInputError(
            f"{shown(app)} has registered no definition", hint="orchestrator.register(...) in its module"
        )
    if not orchestrator.engine.options.concurrency:
        raise BadInputError(
            f"{shown(app)} works on nothing: it was made with concurrency=0", hint="name one that works"
        )
    logging.basicConfig(level=log_level.upper(), format=_LINE)  # it does nothing where the module has set its own
    session.output.note(f"Working on {', '.join(known)}. Ctrl-C stops it.")
    await orchestrator.run_forever()
    return said("Stopped.", {"stopped": True, "definitions": known})


def demo(
    *,
    orders: Annotated[
        str | None, Parameter(help="A file of orders, one JSON object a line. Without it those of the package.")
    ] = None,
    limit: Annotated[int | None, Parameter(help="Take only so many of them.")] = None,
    seed: Annotated[int, Parameter(help="The same seed gives the same refusals.")] = 1,
    workers: Annotated[int, Parameter(help="How many worker processes.")] = 2,
    no_kill: Annotated[bool, flag("Let all workers live.")] = False,
    console: Annotated[bool | None, Parameter(help=_AT_THE_END, show_default=False)] = None,
) -> int:
    """Fulfil a few hundred orders with two workers, kill one of them half-way, and audit the books. It brings its own PostgreSQL."""
    try:
        from saga_fn.demo.command import run
    except ModuleNotFoundError as error:
        raise BadInputError(f"{error.name} is not installed", hint=mend_of("cli", "demo")) from error
    given = {"--orders": orders, "--limit": limit, "--seed": seed, "--workers": workers}
    flags = {"--no-kill": no_kill, "--console": console is True, "--no-console": console is False}
    arguments = [part for name, value in given.items() if value is not None for part in (name, str(value))]
    try:
        return run([*arguments, *(name for name, is_on in flags.items() if is_on)])
    except SystemExit as error:  # argparse has said why
        return error.code if isinstance(error.code, int) else ExitCode.BAD_INPUT


async def console(
    *,
    host: Annotated[
        str, Parameter(help="The address to listen on. Another than this machine's own needs a mounted console.")
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(help="The port; 0 takes a free one.")] = 8420,
    by: By = None,
    session: Given,
) -> Answer:
    """Serve the console on this machine. The address that is printed lets its first reader in."""
    try:
        from saga_fn.console import serve
    except ImportError as error:
        raise BadInputError("the console is not installed", hint=mend_of("cli", "console")) from error

    def announce(address: str) -> None:
        session.output.answer(said(f"Open {address}", {"address": address}))
        session.output.flush()

    async with opened(session.settings, writes=True, by=by, listen=True) as place:
        await serve(place.orchestrator, host=host, port=port, actor=actor_of(by), announce=announce)
    return said("Stopped.", {"stopped": True})


def completion_of(app: App) -> Callable[..., Answer]:
    """The command that prints the script by which a shell completes what is typed."""

    def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="bash, zsh or fish.")], /) -> Answer:
        """Print the script that lets a shell complete commands and options."""
        text = app.generate_completion(prog_name="saga-fn", shell=shell)
        return Answer({"shell": shell, "script": text}, (Drawn(text),))

    return completion
