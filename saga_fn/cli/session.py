"""All that a command is given beside its own arguments."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Annotated, TypeAlias

import attrs
from cyclopts import Parameter

from saga_fn.cli.answers import Part
from saga_fn.cli.failures import BadInputError
from saga_fn.cli.output import Output
from saga_fn.cli.place import Place, Settings, opened


@attrs.frozen
class Session:
    """The settings of one call of `saga-fn`, and its terminal."""

    settings: Settings
    output: Output

    def looking(self) -> AbstractAsyncContextManager[Place]:
        """Open the place for looks alone: a viewer's rights and a replica will do."""
        return opened(self.settings)

    def acting(self, by: str | None) -> AbstractAsyncContextManager[Place]:
        """Open the place for verbs, in the name of an operator."""
        return opened(self.settings, writes=True, by=by)

    def before_the_question(self, parts: tuple[Part, ...], *, yes: bool) -> None:
        """Show a preview on stderr. With --json only a person who is asked gets it: a program reads it in the answer."""
        if not self.output.as_json or (not yes and self.output.can_ask):
            self.output.parts(parts, to_stderr=True)

    def agrees(self, question: str, *, yes: bool) -> bool:
        """Whether the operator wants it. Raises BadInputError if there is no terminal to ask on."""
        if yes:
            return True
        if not self.output.can_ask:
            raise BadInputError(
                "no person can be asked here, and --yes was not given", hint="look at the preview, then add --yes"
            )
        return self.output.agrees(question)


def flag(about: str, *names: str) -> Parameter:
    """An option that is on where it is named, and off else."""
    return Parameter(name=names or None, negative="", show_default=False, help=about)


Given: TypeAlias = Annotated[Session, Parameter(parse=False)]
"""The session, which the app passes: no option stands for it."""

By: TypeAlias = Annotated[str | None, Parameter(help="The operator's name, for the journal. Without it user@host.")]
Reason: TypeAlias = Annotated[str | None, Parameter(help="Why, for the journal: one line.")]
Yes: TypeAlias = Annotated[bool, flag("Do not ask.", "--yes", "-y")]
