"""`python -m saga_fn.demo`. It stands alone, so that it can say what is missing."""

from __future__ import annotations

import sys

from saga_fn.extras import mend_of


def main() -> int:
    """Run the demo; gives the exit code."""
    try:
        from saga_fn.demo.command import run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("saga_fn"):
            raise
        sys.stderr.write(f"{error.name} is not installed. Mend: {mend_of('demo')}\n")
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())
