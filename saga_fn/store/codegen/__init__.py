"""Generates `saga_fn.store._queries` and `saga_fn.store._migrations` from the hand-written SQL. A development tool.

`scan` reads a file's header and parameters, `describe` asks a live PostgreSQL for the types, `render` writes Python.
Run it with `python -m saga_fn.store.codegen`; nothing of it is imported when sagas run.
"""
