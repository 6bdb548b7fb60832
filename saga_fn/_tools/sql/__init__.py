"""Tools for the hand-written SQL in `sql/`: `python -m saga_fn._tools.sql generate`, `check` or `lint`.

`scan` reads a file's header and parameters, `qualify` names every schema, `describe` asks a live PostgreSQL for the types,
`render` writes Python, and `generate` puts these together. `lint` holds each statement to the rules. Needs the extra `dev`.
"""
