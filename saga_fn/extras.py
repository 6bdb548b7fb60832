"""A package that an extra brings, and that is not installed: the one place that says how it is got."""

from __future__ import annotations


def mend_of(*extras: str) -> str:
    """Tell how these extras are installed.

    No package index has saga-fn yet, so its name alone would install nothing, or another project of that name.

    >>> print(mend_of("cli"))
    install saga-fn with its extra 'cli', from the checkout or wheel that it came from: pip install '/path/to/it[cli]'
    """
    named = " and ".join(f"'{extra}'" for extra in extras)
    return (
        f"install saga-fn with its extra{'s' if len(extras) > 1 else ''} {named}, "
        f"from the checkout or wheel that it came from: pip install '/path/to/it[{','.join(extras)}]'"
    )


def missing(needs: str, extra: str, error: ImportError) -> ImportError:
    """Give the error for a package that was not found. `needs` says who needs it, as in "traces need"."""
    return ImportError(f"{needs} {error.name}: {mend_of(extra)}", name=error.name)
