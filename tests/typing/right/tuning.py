"""Settings of Python's, for an application."""

from __future__ import annotations

from typing import assert_type

from saga_fn.tuning import GcBefore, run, tune_gc


async def main() -> int:
    """Run the application."""
    return 1


assert_type(tune_gc(), GcBefore)
assert_type(tune_gc(threshold=10_000, freeze=False), GcBefore)
assert_type(run(main()), int)
assert_type(run(main(), uvloop=True, threshold=700), int)
