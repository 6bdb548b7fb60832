"""The exit codes of `saga-fn`."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """How a command ended, for a script."""

    DONE = 0
    """It was done, or there was nothing to find."""
    FOUND = 1
    """A saga refused the verb, the operator said no, or a check has found something."""
    BAD_INPUT = 2
    """It could not begin: a wrong argument, an id that there is not, a database that does not answer or is not migrated."""
    FAULT = 3
    """A fault of this program, or of the module that was named; `--debug` shows where."""
    ASKED = 4
    """The owner of the saga has not answered yet. The request stands, and is answered later."""
    INTERRUPTED = 130
    """Ctrl-C ended it."""
    NOT_TAKEN = 141
    """The answer is not taken: the reader of the pipe has gone, or the disk is full. All that was to be done is done."""
    TERMINATED = 143
    """SIGTERM ended it."""
