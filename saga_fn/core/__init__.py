"""The pure core: it decides what happens next.

A fully deterministic implementation of the saga protocol: no I/O, no clock, no randomness, no payloads and no
user code. `transition(plan, state, event)` decides, everything else in this room is the data it decides on.
"""
