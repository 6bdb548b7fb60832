"""The engine makes it happen: the interpreter of the core's effects, commits, leases and the worker loop.

Nothing in this room decides what becomes of a saga. It computes inputs, commits what the core answered, and starts what
the core asked for, in that order.

The rooms from above: `requests` (what callers, senders and operators ask for), `views` (looks at sagas), `hold` (what a process
holds), `drive` (one saga that it owns), `commit` (writes on their way to the store), `observe` (facts for the log and observers).
`engine.py` wires them.

Beside the rooms stand the modules of one process, in two layers that cannot be one room. `life`, `health`, `gauges` and `worker`
use all rooms. `home`, `attendance`, `outward`, `upkeep`, `stop_signals`, `registry` and `options` are used by them.
"""
