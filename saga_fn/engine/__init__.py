"""The engine makes it happen: the interpreter of the core's effects, commits, leases and the worker loop.

Nothing in this room decides what becomes of a saga. It computes inputs, commits what the core answered, and starts what
the core asked for, in that order.
"""
