"""Write the versions of all that development needs, as they are installed here: `make lock`.

The file is one of constraints: pip takes these versions for whatever it installs, and installs nothing for their sake.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).parents[2] / "constraints-dev.txt"
HEAD = "# Written by `make lock`; `make test LOCKED=1` installs these versions.\n"


def main() -> None:
    """Write the file."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "freeze", "--exclude-editable"]
    frozen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    FILE.write_text(HEAD + frozen, encoding="utf-8")


if __name__ == "__main__":
    main()
