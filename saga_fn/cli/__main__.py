"""The entry point of the command `saga-fn`. It stands alone, so that it can say what is missing."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; gives the exit code."""
    try:
        from saga_fn.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        sys.stderr.write(f"saga-fn: {error.name} is not installed. Mend: pip install 'saga-fn[cli]'\n")
        return 2
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
