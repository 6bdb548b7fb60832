"""Settings of Python's that cannot be."""

from __future__ import annotations

from saga_fn.tuning import run, tune_gc


async def main() -> int:
    """Run the application."""
    return 1


# refused: arg-type | reportArgumentType
tune_gc(threshold="often")
# refused: call-arg | reportCallIssue
tune_gc(often=1)
# refused: arg-type | reportArgumentType
run(main)
# refused: arg-type | reportArgumentType
run(main(), uvloop="yes")
