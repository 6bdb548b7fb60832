"""How the generator refuses a file."""

from __future__ import annotations


class SqlFileError(Exception):
    """A file under sql/ that the generator does not take. The message names the file, the fault and the mend."""
