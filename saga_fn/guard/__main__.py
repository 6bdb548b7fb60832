"""Print the SQL of the guard's table: `python -m saga_fn.guard --print`, for a migration tool of your own, or another language."""

from __future__ import annotations

import argparse
import sys

from saga_fn.guard._queries import TABLE
from saga_fn.store.schema_name import with_schema


def main(arguments: list[str] | None = None) -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m saga_fn.guard", description="Print the SQL of the guard's table.")
    parser.add_argument("--print", action="store_true", required=True, help="print the SQL, and run nothing")
    parser.add_argument("--schema", default="public", help="default: public")
    schema: str = parser.parse_args(arguments).schema
    try:
        print(f"{with_schema(TABLE, schema)};")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
