"""The entry point of the command `saga-fn`. It stands alone, so that it can say what is missing."""

from __future__ import annotations

import sys

from saga_fn.extras import mend_of


def main() -> int:
    """Run the command line; gives the exit code."""
    try:
        from saga_fn.cli.app import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # while the modules were read, or at the very end
        as_json = '{"error": "interrupted", "mend": null, "refusal": null, "code": 130}'
        sys.stderr.write(f"{as_json if '--json' in sys.argv else 'saga-fn: interrupted'}\n")
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        sys.stderr.write(f"saga-fn: {error.name} is not installed. Mend: {mend_of('cli')}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
