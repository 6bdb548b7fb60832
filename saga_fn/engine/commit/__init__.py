"""Writes of sagas on their way to the store, many a statement."""
